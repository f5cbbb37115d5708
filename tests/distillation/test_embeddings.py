"""Laws of distillation into embeddings: its gradient is the true one, what it learns teaches, a run can be cut."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dilm.distillation.embedded import DistilledEmbeddings
from dilm.distillation.embeddings import (
    LearntRows,
    embedded,
    fields_of_positions,
    learn,
    loss_after_training,
    starting_texts,
)
from dilm.distillation.projection import nearest_tokens, to_text, token_table
from dilm.distillation.unrolling import Unrolling, unroll
from dilm.errors import DataError, ModelError, RecipeError
from dilm.evaluation.finetune import finetune
from dilm.models import scratch
from dilm.models.classifier import Classifier
from dilm.numerics.metrics import accuracy
from dilm.runtime.device import choose
from dilm.runtime.optimize import AdamW, Schedule
from dilm.types import Dataset, Example, Task

STEPS = 40
WANTED = Unrolling(steps=3, per_step=1)


@pytest.fixture(scope="module")
def learner(train: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """A BERT of one layer whose body tells the classes apart, as a pretrained one would; every reset draws a head."""
    folders = [tmp_path_factory.mktemp(name) for name in ("fresh", "taught")]
    tokenizer = scratch.train_tokenizer([row.texts[0] for row in train], vocabulary=300, kind="masked")
    body = scratch.small_bert(tokenizer, scratch.Size(layers=1, width=16, heads=2), 0)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        for parameter in body.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    scratch.save(body, tokenizer, folders[0])
    one = opened(folders[0], train.task)
    finetune(one, train, Schedule(80, 5e-3), 16, 0)
    scratch.save(one.model, tokenizer, folders[1])
    return opened(folders[1], train.task)


@pytest.fixture(scope="module")
def halves(train: Dataset) -> tuple[Dataset, Dataset]:
    """Rows to learn from and rows to be examined on."""
    return train.take(range(0, 36, 2)), train.take(range(1, 36, 2))


@pytest.fixture(scope="module")
def learnt(learner: Classifier, halves: tuple[Dataset, Dataset]) -> LearntRows:
    """From two rows that say nothing of the classes."""
    rows = LearntRows.from_texts(learner, told_twice(halves[0]), WANTED, rate=0.5, labels="hard")
    list(learn(rows, learner, (halves[0], 9), updater(rows), range(STEPS), seed=0))
    return rows


def opened(folder: Path, task: Task) -> Classifier:
    return Classifier.open(str(folder), task, choose("cpu", "fp32"), 16)


def told_twice(train: Dataset) -> Dataset:
    """One text, called each of the classes."""
    return Dataset(train.task, [Example(train[0].texts, label) for label in train.task.conditions])


def updater(rows: LearntRows, steps: int = STEPS) -> AdamW:
    return AdamW(rows.parameters(), Schedule(steps, 0.1, weight_decay=0.0))


def scores(rows: DistilledEmbeddings, learner: Classifier, test: Dataset) -> list[float]:
    """Accuracy after training on the rows, for heads that learning never saw."""
    found = []
    for seed in range(100, 106):
        rows.train(learner, seed)
        found.append(accuracy(learner.predict(test), test.labels))
    return found


def same(one: DistilledEmbeddings, other: DistilledEmbeddings) -> bool:
    pairs = [(getattr(one, name), getattr(other, name)) for name in ("embeddings", "fields", "labels", "rates")]
    pairs += [(one.beside[name], other.beside[name]) for name in one.beside | other.beside]
    if one.attention is not None and other.attention is not None:
        pairs.append((one.attention, other.attention))
    equal = all(torch.equal(left, right) and left.dtype == right.dtype for left, right in pairs)
    equal = equal and (one.attention is None) == (other.attention is None)
    return equal and (one.unrolling, one.identity) == (other.unrolling, other.identity)


@pytest.mark.parametrize(
    ("trains", "per_step", "attention"),
    [("all", 2, "none"), ("all", 1, "none"), ("head", 2, "none"), ("all", 2, "cls"), ("all", 1, "all")],
)
def test_the_gradient_through_training_is_the_true_one(
    learner: Classifier, halves: tuple[Dataset, Dataset], trains: str, per_step: int, attention: str
):
    """Against central differences, in double precision, along a random direction of each thing that is learnt."""
    exact = deepcopy(learner)
    exact.model.double()
    exact.reset(3)
    texts = starting_texts(halves[0], 2, seed=0)
    rows = LearntRows.from_texts(exact, texts, Unrolling(3, per_step, trains, attention, 3.0), rate=0.3)
    with torch.no_grad():
        for parameter in rows.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4)))
    assert rows.embeddings.dtype == torch.float64
    loss = loss_after_training(rows.current(), exact, halves[1][:8])
    pieces = torch.autograd.grad(loss, list(rows.parameters()))
    torch.manual_seed(0)
    for parameter, piece in zip(rows.parameters(), pieces, strict=True):
        direction = torch.randn_like(parameter)
        true = slope(rows, exact, halves[1][:8], (parameter, direction))
        assert float((piece * direction).sum()) == pytest.approx(true, rel=1e-5, abs=1e-10)
        assert abs(true) > 1e-6


@torch.no_grad()
def slope(rows: LearntRows, learner: Classifier, real: Dataset, along: tuple[nn.Parameter, Tensor]) -> float:
    parameter, direction = along
    losses = []
    for way in (1e-5, -2e-5):
        parameter.add_(way * direction)
        with torch.enable_grad():
            losses.append(float(loss_after_training(rows.current(), learner, real).detach()))
    parameter.add_(1e-5 * direction)
    return (losses[0] - losses[1]) / 2e-5


def test_rows_may_start_as_tokens_drawn_at_random(learner: Classifier, halves: tuple[Dataset, Dataset]):
    """Ordinary ones, the same for the same seed; the tokenizer's own marks stay where they are."""
    texts = starting_texts(halves[0], 3, 0)
    real, drawn, again, other = (embedded(learner, texts, Unrolling(3, 1), 0.1, seed) for seed in (None, 5, 5, 6))
    assert same(drawn, again) and not same(drawn, other)
    tokens, special = to_numbers(drawn, learner), learner.encodings.tokenizer.all_special_ids
    marks = torch.isin(to_numbers(real, learner), torch.tensor(special))
    assert torch.equal(tokens[:, 0], to_numbers(real, learner)[:, 0])  # [CLS]
    assert len(tokens[~marks].unique()) > 20 and not set(tokens[~marks].tolist()) & set(special)
    assert not set(to_text(drawn, learner).examples) & set(texts.examples)


def to_numbers(rows: DistilledEmbeddings, learner: Classifier) -> Tensor:
    return nearest_tokens(rows.embeddings, token_table(learner))


def test_a_decoder_learns_from_embeddings_too(folders: dict[str, Path], halves: tuple[Dataset, Dataset]):
    """GPT-2 pools the last position of embeddings, also where the text that they started from was padded."""
    decoder = opened(folders["generator"], halves[0].task)
    lengths = [len(row["input_ids"]) for row in decoder.encodings.rows(halves[0])]
    texts = halves[0].take([lengths.index(min(lengths[:9])), 9 + lengths[9:].index(max(lengths[9:]))])
    rows = LearntRows.from_texts(decoder, texts, Unrolling(3, 1), rate=0.3)
    assert rows.start.beside["attention_mask"].all()
    seen = list(learn(rows, decoder, (halves[0], 18), updater(rows), range(STEPS), seed=0))
    assert sum(seen[-5:]) < sum(seen[:5]) - 0.05
    moved = (rows.result().embeddings - rows.start.embeddings).abs().amax(-1)
    assert (moved > 1e-3).all()  # every position takes part


def test_learning_lowers_the_loss_on_rows_and_heads_it_never_saw(
    learner: Classifier, halves: tuple[Dataset, Dataset], learnt: LearntRows
):
    losses = []
    for rows in (learnt.start, learnt.result()):
        learner.reset(77)
        losses.append(float(loss_after_training(rows, learner, halves[1]).detach()))
    assert losses[1] < losses[0] / 2


def test_learnt_rows_teach_what_they_did_not_say_at_first(
    learner: Classifier, halves: tuple[Dataset, Dataset], learnt: LearntRows
):
    before, after = (scores(rows, learner, halves[1]) for rows in (learnt.start, learnt.result()))
    assert min(after) > 0.9
    assert sum(before) / len(before) < 0.7


def test_soft_labels_are_distributions_that_are_learnt_too(learner: Classifier, halves: tuple[Dataset, Dataset]):
    rows = LearntRows.from_texts(learner, told_twice(halves[0]), WANTED, rate=0.5)
    torch.testing.assert_close(rows.result().labels, torch.tensor([[0.9, 0.1], [0.1, 0.9]]))
    seen = list(learn(rows, learner, (halves[0], 9), updater(rows), range(STEPS), seed=0))
    after = rows.result()
    assert sum(seen[-5:]) < sum(seen[:5]) / 2
    torch.testing.assert_close(after.labels.sum(-1), torch.ones(2))
    assert not torch.allclose(after.labels, torch.tensor([[0.9, 0.1], [0.1, 0.9]]), atol=0.01)


def test_hard_labels_stay_and_rates_are_learnt_and_positive(learnt: LearntRows):
    after = learnt.result()
    assert torch.equal(after.labels, torch.eye(2))
    assert (after.rates > 0).all() and not torch.allclose(after.rates, learnt.start.rates, rtol=0.05)


@pytest.mark.parametrize("trains", ["all", "head"])
def test_training_is_what_was_differentiated(learner: Classifier, learnt: LearntRows, trains: str):
    rows = replace(learnt.result(), unrolling=replace(WANTED, trains=trains))
    rows.train(learner, 5)
    trained = learner.snapshot()
    rows.train(learner, 5)
    assert all(torch.equal(value, trained[name]) for name, value in learner.snapshot().items())
    rows.train(learner, 6)
    other = learner.snapshot()
    none = replace(rows, rates=torch.zeros(3))  # a reset, and steps that go nowhere
    none.train(learner, 5)
    untrained, cpu = learner.snapshot(), torch.device("cpu")
    for name, weight in unroll(learner, rows.lessons(cpu), trains).items():
        torch.testing.assert_close(weight.detach(), trained[name], rtol=0, atol=1e-6)
    moved = {name for name, value in untrained.items() if not torch.equal(value, trained[name])}
    assert not torch.equal(other["classifier.weight"], trained["classifier.weight"])
    assert not learner.model.training
    assert (moved == {"classifier.weight", "classifier.bias"}) == (trains == "head")
    assert "bert.embeddings.word_embeddings.weight" not in moved


@pytest.mark.parametrize("whose", ["cls", "all"])
def test_attention_labels_begin_as_the_learners_own_attention(
    learner: Classifier, halves: tuple[Dataset, Dataset], whose: str
):
    """So that the first step is that of rows without them, and only learning makes a difference."""
    texts = starting_texts(halves[0], 1, 0)
    plain, labelled = (
        LearntRows.from_texts(learner, texts, Unrolling(1, 1, attention=attention), rate=0.3).current()
        for attention in ("none", whose)
    )
    learner.reset(0)
    (step,), (other,) = (rows.lessons(torch.device("cpu")) for rows in (plain, labelled))
    assert step.looking is None and other.looking is not None
    width = plain.embeddings.shape[1]
    assert other.looking.labels.shape == (2, 1, 2, {"cls": 1, "all": width}[whose], width)
    for name, weight in unroll(learner, [step], "all").items():
        torch.testing.assert_close(unroll(learner, [other], "all")[name], weight, atol=1e-4, rtol=1e-3)


def test_attention_labels_teach_where_to_look(learner: Classifier, halves: tuple[Dataset, Dataset]):
    """Labels that ask for one token, and nothing else in the loss that moves: the attention follows them."""
    start = embedded(learner, starting_texts(halves[0], 1, 0), Unrolling(30, 1, "all", "cls", 50.0), 0.02)
    assert start.attention is not None
    wish = torch.zeros_like(start.attention)
    wish[..., 2] = 1.0
    rows = replace(start, attention=wish)
    before, after = [], []
    for found, rates in ((before, torch.zeros(30)), (after, rows.rates)):
        replace(rows, rates=rates).train(learner, 0)
        inputs = {"inputs_embeds": rows.embeddings, **rows.beside}
        found.append(float(learner.attend(inputs, {}, "cls")[1][..., 2].mean().detach()))
    assert after[0] > 2 * before[0]


def test_attention_labels_are_learnt_kept_and_cut_in_two(
    learner: Classifier, halves: tuple[Dataset, Dataset], tmp_path: Path
):
    def new() -> LearntRows:
        wanted = Unrolling(3, 1, "all", "cls")
        return LearntRows.from_texts(learner, starting_texts(halves[0], 2, 0), wanted, rate=0.3)

    whole, first, second = new(), new(), new()
    list(learn(whole, learner, (halves[0], 8), updater(whole, 4), range(4), seed=0))
    update, again = updater(first, 4), updater(second, 4)
    list(learn(first, learner, (halves[0], 8), update, range(2), seed=0))
    second.load_state_dict(first.state_dict())
    again.restore(update.state())
    list(learn(second, learner, (halves[0], 8), again, range(2, 4), seed=0))
    result = whole.result()
    assert same(result, second.result())
    assert result.attention is not None and new().start.attention is not None
    assert not torch.allclose(result.attention, new().start.attention, atol=1e-3)
    torch.testing.assert_close(result.attention.sum(-1), torch.ones(result.attention.shape[:-1]))
    result.save(tmp_path / "rows.safetensors")
    assert same(DistilledEmbeddings.load(tmp_path / "rows.safetensors"), result)


def test_learning_leaves_the_learner_and_its_gradients_alone(learner: Classifier, halves: tuple[Dataset, Dataset]):
    rows = LearntRows.from_texts(learner, starting_texts(halves[0], 1, 0), WANTED)
    learner.reset(0)
    before = learner.snapshot()
    loss_after_training(rows.current(), learner, halves[0]).backward()
    assert all(torch.equal(value, before[name]) for name, value in learner.snapshot().items())
    assert all(parameter.grad is None for parameter in learner.parameters())


def test_a_run_that_is_cut_in_two_is_the_same_bit_for_bit(learner: Classifier, halves: tuple[Dataset, Dataset]):
    def new() -> LearntRows:
        return LearntRows.from_texts(learner, starting_texts(halves[0], 2, 0), WANTED)

    whole, first, second = new(), new(), new()
    losses = list(learn(whole, learner, (halves[0], 8), updater(whole, 5), range(5), seed=0))
    update, again = updater(first, 5), updater(second, 5)
    early = list(learn(first, learner, (halves[0], 8), update, range(2), seed=0))
    second.load_state_dict(first.state_dict())
    again.restore(update.state())
    torch.manual_seed(99)  # no draw may hang on the global stream
    assert early + list(learn(second, learner, (halves[0], 8), again, range(2, 5), seed=0)) == losses
    assert same(whole.result(), second.result())
    other = new()
    assert list(learn(other, learner, (halves[0], 8), updater(other, 5), range(5), seed=1)) != losses


def test_a_saved_set_comes_back_bit_for_bit(learnt: LearntRows, tmp_path: Path):
    rows = learnt.result()
    rows.save(tmp_path / "rows.safetensors")
    assert same(DistilledEmbeddings.load(tmp_path / "rows.safetensors"), rows)


def test_a_result_is_a_copy(learner: Classifier, halves: tuple[Dataset, Dataset]):
    rows = LearntRows.from_texts(learner, starting_texts(halves[0], 1, 0), WANTED)
    before, again = rows.result(), rows.result()
    with torch.no_grad():
        for parameter in rows.parameters():
            parameter.add_(1)
    assert same(before, again) and not torch.equal(rows.result().embeddings, before.embeddings)


def test_another_file_is_no_set(tmp_path: Path):
    (tmp_path / "rows").write_text("nothing of the kind")
    for path in (tmp_path / "rows", tmp_path / "missing"):
        with pytest.raises(DataError, match="does not hold distilled embeddings"):
            DistilledEmbeddings.load(path)


def test_only_the_learner_that_made_a_set_can_use_it(learner: Classifier, learnt: LearntRows, new_learner):
    foreign, rows = new_learner(), learnt.result()
    before = foreign.snapshot()
    for use in (lambda: rows.train(foreign, 0), lambda: to_text(rows, foreign)):
        with pytest.raises(ModelError, match=r"learnt for learner .* with 2 classes.*learn them anew"):
            use()
    assert all(torch.equal(value, before[name]) for name, value in foreign.snapshot().items())
    three = deepcopy(learner)
    three.task = replace(learner.task, labels=("bad", "good", "mixed"))
    with pytest.raises(ModelError, match="with 3"):
        rows.train(three, 0)


def test_a_projection_gives_as_many_texts_of_each_class(learner: Classifier, learnt: LearntRows, train: Dataset):
    three = embedded(learner, starting_texts(train, 3, 0), WANTED, 0.1)
    for rows, per_class in ((learnt.result(), 1), (three, 3)):
        texts = to_text(rows, learner)
        assert texts.counts == (per_class, per_class) and texts.labels == sorted(texts.labels)
        assert texts.task == learner.task


def test_embeddings_of_texts_project_to_these_texts(learner: Classifier, train: Dataset):
    texts = starting_texts(train, 4, 0)
    assert to_text(embedded(learner, texts, Unrolling(2, 2), 0.1), learner).examples == texts.examples


def test_the_nearest_token_is_the_nearest():
    table, points = torch.randn(7, 3, generator=torch.Generator().manual_seed(0)), torch.randn(2, 5, 3)
    assert torch.equal(nearest_tokens(points, table), torch.cdist(points, table[None]).argmin(-1))


def test_both_texts_of_a_pair_come_back(folders: dict[str, Path]):
    pairs = Task("pairs", ("one", "other"), ("no", "yes"))
    rows = Dataset(pairs, [Example(("the plot was dull", "fine"), 0), Example(("film", "the end was warm"), 1)])
    learner = opened(folders["learner"], pairs)
    start = embedded(learner, rows, Unrolling(1, 1), 0.1)
    assert set(start.beside["token_type_ids"].unique().tolist()) == {0, 1}
    assert to_text(start, learner).examples == rows.examples
    learner.encodings.tokenizer.sep_token = None  # marks no border, so positions are divided evenly
    assert set(fields_of_positions(learner, rows)[0].tolist()) == {0, 1}


def test_every_row_takes_its_turn(learner: Classifier, train: Dataset):
    start = embedded(learner, starting_texts(train, 3, 0), Unrolling(2, 2), 0.1)
    taken = [lesson.inputs["inputs_embeds"] for lesson in start.lessons(torch.device("cpu"))]
    assert torch.equal(taken[0], start.embeddings[[0, 1, 3, 4]]) and torch.equal(
        taken[1], start.embeddings[[2, 0, 5, 3]]
    )
    with pytest.raises(DataError, match="do not reach all 3"):
        embedded(learner, starting_texts(train, 3, 0), Unrolling(2, 1), 0.1)


def test_starting_texts_are_distinct_rows_of_each_class(train: Dataset):
    chosen = starting_texts(train, 5, seed=1)
    assert chosen.counts == (5, 5) and len(set(chosen.examples)) == 10 and set(chosen) <= set(train)
    assert chosen.examples == starting_texts(train, 5, seed=1).examples != starting_texts(train, 5, seed=2).examples
    with pytest.raises(DataError, match="19 rows of each class"):
        starting_texts(train, 19, seed=0)


def test_settings_that_make_no_sense_are_refused(learner: Classifier, train: Dataset):
    texts = starting_texts(train, 1, 0)
    with pytest.raises(RecipeError, match="`all`"):
        Unrolling(1, 1, "body")
    with pytest.raises(RecipeError, match="`cls`"):
        Unrolling(1, 1, attention="some")
    with pytest.raises(DataError, match="attention labels"):
        replace(embedded(learner, texts, WANTED, 0.1), unrolling=Unrolling(3, 1, attention="cls"))
    with pytest.raises(RecipeError, match="at least one step"):
        Unrolling(0, 1)
    with pytest.raises(RecipeError, match="teaches nothing"):
        LearntRows.from_texts(learner, texts, WANTED, rate=0.0)
    for wrong in (train.take([0]), train.take([18, 0])):
        with pytest.raises(DataError, match="class by class"):
            LearntRows.from_texts(learner, wrong, WANTED)
    with pytest.raises(RecipeError, match="`soft`"):
        LearntRows.from_texts(learner, texts, WANTED, labels="fuzzy")
