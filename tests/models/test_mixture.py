"""Mixtures: one distribution over texts made of several, whose members learn by responsibility and write by weight."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest
import torch
from tiny_models import rough
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import (
    AutoModelForSeq2SeqLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5Config,
)

from dilm.distillation.fit import Lessons, fit
from dilm.models.causal import CausalGenerator
from dilm.models.decoders import inner
from dilm.models.mixture import Mixture
from dilm.models.scratch import save
from dilm.numerics.likelihood import mixture_nll, mixture_weights
from dilm.runtime import meter
from dilm.runtime.device import Place
from dilm.runtime.optimize import AdamW, Schedule
from dilm.types import Dataset, Draft, Example, Task

LETTERS = Task("letters", ("text",), ("no", "yes"), max_tokens=3)
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0}


def tokenizer(words: str) -> PreTrainedTokenizerFast:
    """Knows these words and no others; frames are `[PAD]`, `[BOS]`, `[EOS]`."""
    known = ["[PAD]", "[BOS]", "[EOS]", *words.split()]
    core = Tokenizer(models.WordLevel({word: place for place, word in enumerate(known)}, unk_token="[PAD]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="[PAD]", bos_token="[BOS]", eos_token="[EOS]")


def gpt2() -> PreTrainedModel:
    return GPT2LMHeadModel(GPT2Config(vocab_size=5, n_positions=16, n_embd=16, n_layer=1, n_head=2))


def t5() -> PreTrainedModel:
    return AutoModelForSeq2SeqLM.from_config(T5Config(vocab_size=5, pad_token_id=0, eos_token_id=2, **T5))


def wordy(generator: CausalGenerator) -> CausalGenerator:
    """Frames beside the end have no chance: what can be written can be said in words."""
    model = inner(generator.model)
    table = model.get_output_embeddings().weight
    head = nn.Linear(table.shape[1], table.shape[0])
    never = [0, 1, *generator.frame.new]
    with torch.no_grad():
        head.weight.copy_(table)
        head.bias.zero_()
        head.bias[never] = -1e4
    model.lm_head = head
    return generator


@pytest.fixture
def mixture(tmp_path: Path, place: Place) -> Mixture:
    """A GPT-2 and a T5, each with a tokenizer of its own in which words have other numbers."""
    members = []
    for seed, (make, words) in enumerate([(gpt2, "a b"), (t5, "b a")]):
        torch.manual_seed(seed)
        save(rough(make()), tokenizer(words), tmp_path / str(seed))
        members.append(wordy(CausalGenerator.open(str(tmp_path / str(seed)), LETTERS, place)))
    made = Mixture(members)
    made.likelihood = "sum"
    made.weights = torch.tensor([[0.3, 0.7], [0.9, 0.1]], dtype=torch.float64)
    made.eval()
    return made


def every_text() -> list[str]:
    """All of at most three words, and all beginnings of longer ones: four words, of which the end is cut off."""
    return [" ".join(words) for count in range(5) for words in itertools.product("ab", repeat=count)]


def examples(*texts: str, label: int = 0) -> list[Example]:
    return [Example((text,), label) for text in texts]


@pytest.mark.parametrize("label", [0, 1])
def test_the_likelihoods_of_all_texts_sum_to_one(mixture: Mixture, label: int):
    for member in mixture.members:
        member._encoded |= {(text,): [*member.encode([text])[0], member.end][:4] for text in every_text()}
    nll = mixture.nll(examples(*every_text(), label=label))
    assert len(nll) == 31 and nll.detach().double().neg().exp().sum().item() == pytest.approx(1, abs=1e-5)
    alone = [member.nll(examples(*every_text(), label=label)).detach().neg().exp() for member in mixture.members]
    told = sum(weight * share for weight, share in zip(mixture.weights[label].float(), alone, strict=True))
    torch.testing.assert_close(nll.detach().neg().exp(), told, **CLOSE)
    assert (alone[0] - alone[1]).abs().max() > 0.01  # the members differ, under tokenizers that differ


def test_each_member_learns_by_its_responsibility(mixture: Mixture):
    rows = examples("a b", "b", "a a a")
    alone = torch.stack([member.nll(rows) for member in mixture.members], 1)
    responsible = torch.softmax(mixture.weights[0].log().float() - alone.detach(), 1)
    assert responsible.min() > 0.002 and responsible.max() < 0.998
    for place, member in enumerate(mixture.members):
        weights = [each for each in member.parameters() if each.requires_grad]
        ours = torch.autograd.grad(mixture.nll(rows).sum(), weights, allow_unused=True)
        theirs = torch.autograd.grad((member.nll(rows) * responsible[:, place]).sum(), weights, allow_unused=True)
        for one, other in zip(ours, theirs, strict=True):
            assert one is other or torch.allclose(one, other, **CLOSE)


def test_parts_of_a_loss_have_its_gradient_one_after_the_other(mixture: Mixture):
    rows, found = examples(*every_text()), []
    mixture.model.double()
    for apart in (False, True):
        for member in mixture.members:
            member.tokens_at_once = 12
        mixture.model.zero_grad()
        nll, parts = mixture.nll_in_parts(rows) if apart else (mixture.nll(rows), lambda loss: iter([loss]))
        pieces = 0
        for part in parts(torch.softmax(-nll, 0)[:3].sum().log()):
            part.backward()
            pieces += 1
        assert (pieces > 4) == apart
        found.append([each.grad.clone() for each in mixture.parameters() if each.grad is not None])
    assert sum(each.norm() for each in found[0]) > 1e-3
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


@pytest.mark.parametrize("likelihood", ["token", "sum"])
def test_tokens_cost_what_the_text_costs(mixture: Mixture, likelihood: str):
    rows, mixture.likelihood = examples(*every_text()), likelihood
    told = mixture.token_nlls(rows)
    whole = torch.stack([each.sum() if likelihood == "sum" else each.mean() for each in told])
    torch.testing.assert_close(whole, mixture.nll(rows).detach(), **CLOSE)
    if likelihood == "sum":  # a text's tokens do not know what follows
        beginning = mixture.token_nlls(examples("a b b"))[0][:3], mixture.token_nlls(examples("a b b a"))[0][:3]
        torch.testing.assert_close(*beginning, **CLOSE)


def test_tokens_of_other_tokenizers_share_the_gain():
    costs = [torch.tensor([2.0, 1.0]), torch.tensor([0.5, 0.5, 0.5])]
    told = Mixture._told(costs, torch.tensor([0.5, 0.5], dtype=torch.float64))
    whole = mixture_nll(torch.tensor([[3.0, 1.5]]), torch.tensor([[0.5, 0.5]]))
    assert len(told) == 3 and told.sum().item() == pytest.approx(whole.item(), abs=1e-5)


def test_members_write_by_weight_and_in_no_order(mixture: Mixture, monkeypatch: pytest.MonkeyPatch):
    def signing(name: str):
        return lambda condition, n, rng: [Draft((f"{name}{at}",), True) for at in range(n)]

    for name, member in zip("xy", mixture.members, strict=True):
        monkeypatch.setattr(member, "sample", signing(name))
    drafts = [draft.texts[0] for draft in mixture.sample(0, 4000, torch.Generator().manual_seed(0))]
    counts = Counter(text[0] for text in drafts)
    assert abs(counts["x"] - 1200) < 4 * (4000 * 0.3 * 0.7) ** 0.5 and sum(counts.values()) == 4000
    assert len(set(drafts)) == 4000 and drafts != sorted(drafts)
    assert drafts == [draft.texts[0] for draft in mixture.sample(0, 4000, torch.Generator().manual_seed(0))]


def test_texts_come_as_often_as_their_likelihoods_say(mixture: Mixture):
    for member in mixture.members:
        member.sampling = type(member.sampling)(top_p=1.0, max_tokens=3, batch=2000)
    texts = [text for text in every_text()[1:] if len(text.split()) < 4]
    odds = mixture.nll(examples(*texts)).detach().double().neg().exp()
    drawn = Counter(draft.texts[0] for draft in mixture.sample(0, 4000, torch.Generator().manual_seed(0)))
    empty = mixture.nll(examples("")).detach().neg().exp().item()
    assert empty < 0.6
    # a form forbids the empty text in each member, so frequencies are compared by rank and rough size
    seen = torch.tensor([drawn[text] / 4000 for text in texts], dtype=torch.float64)
    assert torch.corrcoef(torch.stack([seen, odds]))[0, 1] > 0.95


def test_each_learns_its_share_at_the_cost_of_one(mixture: Mixture):
    rows = Dataset(LETTERS, [row for label in (0, 1) for row in examples(*every_text()[1:15], label=label)])
    shares = Counter(mixture.owner(row, seed=5) for row in rows)
    assert shares.keys() == {0, 1}
    for text in {row.texts for row in rows}:
        assert len({mixture.owner(Example(text, label), 5) for label in (0, 1)}) == 1
    with mixture.dealt(5):
        own = [row for row in rows if mixture.owner(row, 5) == 0]
        begin = meter.spent()
        nll = mixture.nll(rows.examples)
        spent = (meter.spent() - begin).tokens
        loss = mixture.nll(own).sum()
    begin = meter.spent()
    mixture.members[0].nll(rows.examples)
    assert spent == (meter.spent() - begin).tokens
    for row, told in zip(rows, nll, strict=True):
        alone = mixture.members[mixture.owner(row, 5)].nll([row])[0]
        torch.testing.assert_close(told, alone, **CLOSE)
    loss.backward()
    grads = [any(each.grad is not None for each in member.parameters()) for member in mixture.members]
    assert grads == [True, False]
    torch.testing.assert_close(mixture.nll(own), mixture._mixed(mixture._nlls(own), own), **CLOSE)  # together again


def test_dealt_rows_are_fitted(mixture: Mixture):
    rows = Dataset(LETTERS, examples("a a", "b", "a a b") + examples("b b", "a", "b b a", label=1))
    before = mixture.nll(rows.examples).mean().item()
    with mixture.dealt(1):
        update = AdamW(mixture.parameters(), Schedule(20, 1e-2))
        assert len(list(fit(mixture, Lessons(rows, 6, 0.5, 0), update, range(20)))) == 20
    mixture.eval()
    assert mixture.nll(rows.examples).mean().item() < before


def test_weights_settle_where_rows_are_likeliest(mixture: Mixture):
    rows = examples("a", "b", "a b", "b b b") + examples("a", "a a", label=1)
    mixture.settle(rows)
    assert mixture.weights.sum(1).tolist() == pytest.approx([1, 1]) and mixture.weights.min() > 0.05
    nlls = torch.stack([member.nll(rows[:4]) for member in mixture.members], 1).detach().double()
    torch.testing.assert_close(mixture.weights[0], mixture_weights(nlls))


def test_weights_of_many_rows_are_their_shares():
    """Rows that only one member can write; then a grid search, where both can."""
    sure = torch.tensor([[1.0, 99.0]] * 30 + [[99.0, 1.0]] * 10)
    assert mixture_weights(sure).tolist() == pytest.approx([31 / 42, 11 / 42], abs=1e-4)
    nlls = torch.rand(500, 2, generator=torch.Generator().manual_seed(0)).double() * 4
    grid = torch.linspace(0.01, 0.99, 99).double()
    worth = [mixture_nll(nlls, torch.stack([w, 1 - w]).expand(500, 2)).sum().item() for w in grid]
    assert mixture_weights(nlls)[0].item() == pytest.approx(grid[worth.index(min(worth))].item(), abs=0.02)
