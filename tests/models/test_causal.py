"""The generator's likelihoods, tokens and files, on tiny models with weights large enough that mistakes show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_models import PAIRS, TASK, rows
from torch import Tensor
from transformers import AutoModelForCausalLM

from dilm.errors import ModelError
from dilm.models.causal import CausalGenerator
from dilm.models.decoders import SEPARATOR, inner, is_causal, open_causal_model
from dilm.models.hub import open_model
from dilm.models.reading import Reading
from dilm.models.tables import plain_tables
from dilm.runtime import meter
from dilm.runtime.device import Place
from dilm.runtime.summed import into_sums
from dilm.types import Example, Task

WRITERS = ("gpt2", "bert", "roberta", "llama")
CLOSE = {"rtol": 1e-5, "atol": 1e-5}

Opener = Callable[..., CausalGenerator]


@pytest.fixture
def opened(tiny_folder: Callable[[str], str], place: Place) -> Opener:
    def opener(kind: str, task: Task = TASK, likelihood: str = "sum") -> CausalGenerator:
        folder = tiny_folder(kind)  # which draws its weights the first time
        torch.manual_seed(1)
        generator = CausalGenerator.open(folder, task, place)
        with torch.no_grad():  # fresh weights are so small that a wrong neighbour would hardly be felt
            for parameter in generator.model.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape))
        generator.likelihood = likelihood
        generator.eval()
        return generator

    return opener


def many() -> list[Example]:
    """Forty rows of one to nine words, more than run together at once."""
    words = " ".join(example.texts[0] for example in rows()).split()
    return [Example((" ".join(words[at : at + 1 + at * 7 % 9]),), at % 3) for at in range(40)]


def token_rows(generator: CausalGenerator, examples: Sequence[Example]) -> list[list[int]]:
    """Condition, fields parted by the separator, end."""
    found = []
    for example in examples:
        body: list[int] = []
        for field in example.texts:
            body += [generator.separator] * bool(body)
            body += generator.tokenizer(field, add_special_tokens=False)["input_ids"]
        found.append([generator.conditions[example.label], *body, generator.end])
    return found


@torch.no_grad()
def naive(generator: CausalGenerator, tokens: list[list[int]]) -> Tensor:
    """Each row on its own, token by token: [n]."""
    sums = []
    for row in tokens:
        log_probabilities = generator.model(input_ids=torch.tensor([row])).logits[0].log_softmax(-1)
        sums.append(-sum(log_probabilities[at, token] for at, token in enumerate(row[1:])))
    return torch.stack(sums)


@pytest.mark.parametrize("kind", WRITERS)
def test_nll_is_the_sum_of_token_log_probabilities(opened: Opener, kind: str):
    generator, examples = opened(kind), many()
    torch.testing.assert_close(generator.nll(examples), naive(generator, token_rows(generator, examples)), **CLOSE)


@pytest.mark.parametrize("kind", ["gpt2", "bert"])
def test_tokens_cost_what_each_adds_and_dropout_changes_none(opened: Opener, kind: str):
    """Each the difference of two likelihoods, of the text so far with it and without, in whatever mode."""
    generator, examples = opened(kind), many()
    generator.train()
    told = generator.token_nlls(examples)
    for row, costs in zip(token_rows(generator, examples), told, strict=True):
        sums = [naive(generator, [row[: at + 1]]) for at in range(1, len(row))]
        torch.testing.assert_close(costs.cumsum(0), torch.cat(sums), rtol=1e-4, atol=1e-4)
    generator.likelihood = "token"
    torch.testing.assert_close(torch.stack([each.mean() for each in told]), generator.nll(examples), **CLOSE)


@pytest.mark.parametrize("likelihood", ["token", "sum"])
@pytest.mark.parametrize("kind", ["gpt2", "bert"])
def test_nll_does_not_depend_on_neighbours_or_order(opened: Opener, kind: str, likelihood: str):
    generator, examples = opened(kind, likelihood=likelihood), many()
    alone = torch.cat([generator.nll([example]) for example in examples])
    torch.testing.assert_close(generator.nll(examples), alone, **CLOSE)
    torch.testing.assert_close(generator.nll(examples[::-1]).flip(0), alone, **CLOSE)


def test_the_token_likelihood_is_a_mean_and_the_padded_one_feels_the_longest_text(opened: Opener):
    generator, examples = opened("gpt2"), many()
    lengths = torch.tensor([len(row) - 1 for row in token_rows(generator, examples)])
    sums = generator.nll(examples)
    generator.likelihood = "token"
    torch.testing.assert_close(generator.nll(examples), sums / lengths, **CLOSE)
    generator.likelihood = "padded"
    torch.testing.assert_close(generator.nll(examples), sums / lengths.max(), **CLOSE)
    torch.testing.assert_close(generator.nll(examples[:1]), sums[:1] / lengths[0], **CLOSE)


def test_nll_teaches_the_generator_and_leaves_its_logits_whole(opened: Opener):
    generator = opened("gpt2")
    generator.nll(many()[:3]).mean().backward()
    assert all(parameter.grad is not None for parameter in generator.parameters())
    assert generator.model(input_ids=torch.zeros(2, 5, dtype=torch.long)).logits.shape[:2] == (2, 5)


@pytest.mark.parametrize("kind", WRITERS)
def test_new_tokens_start_as_copies_of_the_start_token(tiny_folder, place: Place, kind: str):
    generator = CausalGenerator.open(tiny_folder(kind), TASK, place)
    assert len({*generator.conditions, generator.separator, generator.start, generator.end}) == 6
    for layer in (generator.model.get_input_embeddings(), generator.model.get_output_embeddings()):
        assert layer.weight.shape[0] == len(generator.tokenizer)
        for token in (*generator.conditions, generator.separator):
            assert torch.equal(layer.weight[token], layer.weight[generator.start])


@pytest.mark.parametrize("kind", WRITERS)
def test_a_class_may_begin_with_the_meaning_of_its_name(tiny_folder, place: Place, kind: str):
    generator = CausalGenerator.open(tiny_folder(kind), TASK, place)
    table = generator.model.get_input_embeddings().weight
    before = table.detach().clone()
    generator.name_classes()
    for condition, name in zip(generator.conditions, TASK.labels, strict=True):
        tokens = generator.tokenizer(f" {name}", add_special_tokens=False)["input_ids"]
        assert torch.allclose(table[condition], before[generator.start] + before[tokens].mean(0))
    others = [token for token in range(len(table)) if token not in generator.conditions]
    assert torch.equal(table[others], before[others])


def test_opening_is_no_draw(tiny_folder, place: Place):
    """Two runs with one seed start from the same weights, whatever else the process drew before."""
    first, second = (CausalGenerator.open(tiny_folder("gpt2"), PAIRS, place) for _ in range(2))
    assert all(torch.equal(*pair) for pair in zip(first.parameters(), second.parameters(), strict=True))


def test_classes_differ_once_the_condition_is_trained(opened: Opener):
    one, other = opened("gpt2").nll([Example(("no",), 0), Example(("no",), 1)])
    assert abs((one - other).item()) > 1e-3


@pytest.mark.parametrize("kind", ["gpt2", "bert"])
def test_fields_are_parted_by_the_separator_and_come_back(opened: Opener, kind: str):
    generator = opened(kind, PAIRS)
    examples = [Example(("a warm, warm heart", "no"), 0), Example(("no", "the plot goes nowhere"), 1)]
    for example, row in zip(examples, token_rows(generator, examples), strict=True):
        assert generator._tokens(example) == row
        assert row.count(generator.tokenizer.convert_tokens_to_ids(SEPARATOR)) == 1
        draft = generator._draft(row[1:])
        assert (draft.texts, draft.finished) == (example.texts, True)


def test_nll_of_a_pair_is_that_of_both_fields(opened: Opener):
    generator = opened("gpt2", PAIRS)
    examples = [Example(("a warm heart", "no"), 0), Example(("a warm heart", "the music"), 1)]
    torch.testing.assert_close(generator.nll(examples), naive(generator, token_rows(generator, examples)), **CLOSE)


def test_an_unfinished_draft_says_so(opened: Opener):
    generator = opened("gpt2")
    row = generator._tokens(Example(("a warm heart",), 0))[1:]
    assert not generator._draft(row[:-1]).finished
    assert generator._draft([*row[:-1], generator.separator, *row]).texts == ("a warm heart", "a warm heart")
    assert generator._draft([generator.end]).texts == ("",)


def test_a_text_that_is_too_long_is_read_as_a_passage_that_ends(opened: Opener):
    generator = opened("gpt2", Task("films", ("text",), TASK.labels, max_tokens=4))
    examples = many()
    rows = [generator._tokens(example) for example in examples]
    short = [row == whole for row, whole in zip(rows, token_rows(generator, examples), strict=True)]
    assert any(short) and not all(short)
    assert all(row[-1] == generator.end and 2 < len(row) <= 1 + 4 + 1 for row in rows)
    torch.testing.assert_close(generator.nll(examples), naive(generator, rows), **CLOSE)


def test_no_text_is_longer_than_the_model_can_hold(opened: Opener):
    """The tiny GPT-2 has 40 positions; the task would allow more."""
    generator = opened("gpt2", Task("films", ("text",), TASK.labels, max_tokens=64))
    assert generator.nll([Example(("warm heart " * 60,), 0)]).isfinite().all()
    assert len(generator.sample(0, 4, torch.Generator().manual_seed(0))) == 4


@pytest.mark.parametrize("kind", WRITERS)
def test_what_is_saved_opens_with_the_same_likelihoods(opened, place: Place, tmp_path: Path, capfd, kind: str):
    generator = opened(kind)
    generator.save(tmp_path)
    assert capfd.readouterr() == ("", "")
    again = CausalGenerator.open(str(tmp_path), TASK, place)
    again.likelihood = "sum"
    assert (again.conditions, again.separator) == (generator.conditions, generator.separator)
    torch.testing.assert_close(again.nll(many()), generator.nll(many()), rtol=1e-6, atol=1e-6)


def test_the_probe_tells_who_reads_ahead(tiny_folder: Callable[[str], str]):
    assert is_causal(open_model(AutoModelForCausalLM, tiny_folder("gpt2")))
    assert not is_causal(open_model(AutoModelForCausalLM, tiny_folder("bert")))
    assert is_causal(open_causal_model(tiny_folder("bert")))


@pytest.mark.parametrize("kind", ["xlnet", "distilbert", "t5"])
def test_a_model_that_cannot_write_left_to_right_is_refused(tiny_folder: Callable[[str], str], kind: str):
    with pytest.raises(ModelError) as told:
        open_causal_model(tiny_folder(kind))
    assert "causal" in told.value.remedy or "cannot be opened" in told.value.problem


@pytest.mark.parametrize("kind", WRITERS)
def test_activations_that_are_computed_again_change_nothing(opened: Opener, kind: str):
    """Not a bit, with dropout: what is forgotten is drawn again."""
    found = []
    for recompute in (False, True):
        generator = opened(kind)
        generator.recompute = recompute
        generator.train()
        torch.manual_seed(7)
        losses = generator.nll(many())
        pieces = torch.autograd.grad(losses.square().sum(), list(generator.parameters()), allow_unused=True)
        found.append((losses, [piece for piece in pieces if piece is not None]))
    assert torch.equal(found[0][0], found[1][0])
    assert all(torch.equal(one, other) for one, other in zip(found[0][1], found[1][1], strict=True))


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("kind", WRITERS)
def test_parts_of_a_loss_have_its_gradient_one_after_the_other(opened: Opener, kind: str, recompute: bool):
    """Of a loss that no sum over texts is, with dropout, in pieces of a few tokens."""
    gradients = []
    for apart in (False, True):
        generator = opened(kind)
        generator.recompute, generator.tokens_at_once = recompute, 30
        generator.model.double()
        generator.train()
        torch.manual_seed(7)
        generator.model.zero_grad()
        nll, parts = generator.nll_in_parts(many()) if apart else (generator.nll(many()), lambda loss: iter([loss]))
        count = 0
        for part in parts(torch.softmax(-nll, 0)[:3].sum().log()):
            part.backward()
            count += 1
        assert (count > 2) == apart
        gradients.append([weight.grad.clone() for weight in generator.parameters() if weight.grad is not None])
    assert sum(piece.norm() for piece in gradients[0]) > 1e-3
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("task", [TASK, PAIRS], ids=["texts", "pairs"])
@pytest.mark.parametrize("kind", [*WRITERS, "t5", "bart", "qwen2"])
def test_gradients_of_the_vocabulary_are_summed_in_place(opened: Opener, kind: str, task: Task, recompute: bool):
    """Of tables that read and say, or do one of both, with a bias and padding or without: as autograd sums them."""
    texts = [Example(row.texts * len(task.fields), row.label % len(task.labels)) for row in many()]
    found = []
    for ours in (False, True):
        generator = opened(kind, task)
        assert plain_tables(inner(generator.model))
        generator.recompute, generator.tokens_at_once = recompute, 100
        generator.reading = Reading(inner(generator.model)) if ours else Reading()
        generator.reading.padding_free = None  # dropout falls on other numbers without padding
        generator.model.double().train()
        torch.manual_seed(7)
        for half in (texts[:20], texts[20:]):
            with into_sums(generator.parameters()):
                generator.nll(half).mean().backward()
        found.append([weight.grad for weight in generator.parameters()])
    for one, other in zip(*found, strict=True):
        assert one is other is None or torch.allclose(one, other, rtol=0, atol=1e-10)


def test_frozen_tables_get_no_gradient(opened: Opener):
    generator = opened("gpt2")
    generator.freeze_vocabulary()
    with into_sums(generator.parameters()):
        generator.nll(many()).mean().backward()
    assert not plain_tables(inner(generator.model))
    assert inner(generator.model).get_input_embeddings().weight.grad is None


def test_memory_is_spared_step_by_step_until_one_text_runs_alone(opened: Opener):
    generator = opened("gpt2")
    before = generator.nll(many())
    together = [generator.tokens_at_once]
    while generator.spare_memory():
        together.append(generator.tokens_at_once)
        torch.testing.assert_close(generator.nll(many()), before, **CLOSE)
    assert generator.recompute and together[0] == together[1]  # that first
    assert together[-1] <= generator.task.max_tokens < together[-2] == 2 * together[-1]


def test_tokens_are_counted_once_though_activations_are_computed_again(opened: Opener):
    spent = []
    for recompute in (False, True):
        generator = opened("gpt2")
        generator.recompute = recompute
        begin = meter.spent()
        generator.nll(many()).sum().backward()
        spent.append((meter.spent() - begin).tokens)
    assert spent[0] == spent[1] > 0


def test_fewer_texts_are_written_at_once_where_memory_does_not_suffice(opened: Opener):
    """As if fewer had been asked for from the beginning."""
    generator = opened("gpt2")
    write = generator.text_writer
    generator.sampling = replace(generator.sampling, batch=5)
    few = generator.sample(1, 12, torch.Generator().manual_seed(0))

    def writing(model, form, n, sampling, rng, banned):
        texts = write(model, form, n, sampling, rng, banned)
        if sampling.batch > 5:
            raise RuntimeError("CUDA out of memory.")
        return texts

    generator.text_writer = writing
    generator.sampling = replace(generator.sampling, batch=20)
    assert generator.sample(1, 12, torch.Generator().manual_seed(0)) == few
    assert generator.appetite.amount == 5
