"""Laws of the learner: its reset is exact, its closed form is autograd's, its answers do not depend on the batch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shortages import FULL
from tiny_models import KINDS, OTHERS, PAIRS, SENTENCES, TASK, rows
from torch import nn
from transformers import AutoModelForSequenceClassification

from dilm.errors import ModelError, ResourceError
from dilm.models.classifier import Classifier
from dilm.models.encodings import Encodings
from dilm.models.heads import find_head
from dilm.models.hub import open_model, open_tokenizer
from dilm.models.weights import tensors
from dilm.runtime import memory, meter
from dilm.types import Example


@pytest.fixture(scope="module")
def learner(tiny_folder, place):
    """A classifier of any architecture, opened once."""
    opened = {}

    def of(kind: str, task=TASK) -> Classifier:
        if (kind, task.name) not in opened:
            opened[kind, task.name] = Classifier.open(tiny_folder(kind), task, place)
        opened[kind, task.name].reset(0)
        return opened[kind, task.name]

    return of


def same(left: dict, right: dict) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def autograd(learner: Classifier, examples: list[Example]) -> torch.Tensor:
    return torch.stack(
        [
            torch.cat(
                [piece.flatten() for piece in torch.autograd.grad(learner.loss([one])[0], learner.head_parameters())]
            )
            for one in examples
        ]
    )


@pytest.mark.parametrize("task", [TASK, PAIRS], ids=lambda task: task.name)
@pytest.mark.parametrize("kind", KINDS)
def test_closed_form_is_autograd(learner, kind, task):
    one = learner(kind, task)
    with torch.no_grad():
        for parameter in one.head_parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    gradients = one.gradients(rows(task))
    assert gradients.shape == (len(SENTENCES), sum(parameter.numel() for parameter in one.head_parameters()))
    torch.testing.assert_close(gradients, autograd(one, rows(task)), atol=1e-5, rtol=1e-4)


SOFT = [Example(("good",), 0, (0.2, 0.7, 0.1)), Example(("a bad one",), 1), Example(("so",), 2, (0.5, 0.5, 0.0))]


def test_a_soft_label_mixes_the_losses_of_the_classes(learner):
    one = learner("bert")
    one.eval()
    hard = torch.stack([one.loss([Example(row.texts, label) for row in SOFT]) for label in (0, 1, 2)])
    shares = torch.tensor([[0.2, 0.0, 0.5], [0.7, 1.0, 0.5], [0.1, 0.0, 0.0]])
    assert torch.allclose(one.loss(SOFT), (shares * hard).sum(0), atol=1e-6)


def test_closed_form_is_autograd_for_soft_labels_too(learner):
    one = learner("bert")
    assert torch.allclose(one.gradients(SOFT), autograd(one, SOFT), atol=1e-6)


@pytest.mark.parametrize("kind", OTHERS)
def test_a_head_is_found_in_other_architectures(learner, kind):
    one = learner(kind)
    torch.testing.assert_close(one.gradients(rows()), autograd(one, rows()), atol=1e-5, rtol=1e-4)


def test_the_head_is_the_last_linear_layer(learner):
    names = {kind: {id(m): n for n, m in learner(kind).model.named_modules()}[id(learner(kind).head)] for kind in KINDS}
    assert names == {
        "bert": "classifier",
        "roberta": "classifier.out_proj",
        "xlnet": "logits_proj",
        "gpt2": "score",
        "distilbert": "classifier",
    }
    assert len(learner("gpt2").head_parameters()) == 1 and len(learner("bert").head_parameters()) == 2


def test_features_give_the_logits_of_the_model(learner):
    for kind in (*KINDS, *OTHERS):
        one = learner(kind)
        features, logits = one.features(rows())
        torch.testing.assert_close(one.head(features), logits, atol=1e-6, rtol=1e-5)
        losses = nn.functional.cross_entropy(logits, torch.tensor([row.label for row in rows()]), reduction="none")
        torch.testing.assert_close(one.loss(rows()), losses, atol=1e-5, rtol=1e-4)


def test_probabilities_are_those_that_the_loss_is_made_of(learner):
    one = learner("bert")
    one.train()
    probabilities = one.probabilities(rows())
    assert one.model.training and not probabilities.requires_grad
    one.eval()
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(len(SENTENCES)))
    own = probabilities[torch.arange(len(SENTENCES)), [row.label for row in rows()]]
    torch.testing.assert_close(-own.log(), one.loss(rows()).detach(), atol=1e-5, rtol=1e-4)
    assert probabilities.argmax(-1).tolist() == one.predict(rows())


def test_the_pooled_position_is_right_even_for_a_head_of_zeros(learner):
    one = learner("gpt2")
    features, _ = one.features(rows())
    with torch.no_grad():
        one.head.weight.zero_()
    assert torch.equal(one.features(rows())[0], features)


def test_a_model_without_linear_head_is_refused(tiny_folder):
    name = tiny_folder("bert")
    model = open_model(AutoModelForSequenceClassification, name, num_labels=3)
    model.classifier = nn.Sequential(model.classifier, nn.Tanh())
    one = Encodings(open_tokenizer(name), model, 32)
    with pytest.raises(ModelError, match="No linear layer"):
        find_head(model, one.batch(one.rows(rows()), torch.device("cpu")))


@pytest.mark.parametrize("kind", KINDS)
def test_reset_restores_every_weight_and_buffer(learner, kind):
    one = learner(kind)
    one.reset(3)
    before = one.snapshot()
    with torch.no_grad():
        for tensor in tensors(one.model).values():
            tensor.add_(1)
    one.train()
    one.reset(3)
    assert same(one.snapshot(), before)
    assert not one.model.training


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_draws_another_head_and_nothing_else(learner, kind, tiny_folder):
    one = learner(kind)
    one.reset(1)
    first = one.snapshot()
    one.reset(2)
    second = one.snapshot()
    changed = {name for name in first if not torch.equal(first[name], second[name])}
    _, report = open_model(
        AutoModelForSequenceClassification, tiny_folder(kind), num_labels=3, output_loading_info=True
    )
    assert {name for name in changed if name.endswith("weight")} == {
        name for name in report["missing_keys"] if name.endswith("weight")
    }
    assert changed <= set(report["missing_keys"])


def test_a_head_does_not_depend_on_the_past_and_leaves_the_global_stream_alone(tiny_folder, place, learner):
    one = learner("roberta")
    one.reset(7)
    torch.manual_seed(5)
    other = Classifier.open(tiny_folder("roberta"), TASK, place)
    state = torch.get_rng_state()
    other.reset(7)
    assert torch.equal(torch.get_rng_state(), state)
    assert same(one.snapshot(), other.snapshot())


def test_a_head_in_the_checkpoint_is_drawn_anew_too(learner, tiny_folder, place, tmp_path):
    trained = learner("bert")
    trained.model.save_pretrained(tmp_path)
    open_tokenizer(tiny_folder("bert")).save_pretrained(tmp_path)
    one = Classifier.open(str(tmp_path), TASK, place)
    one.reset(1)
    first = one.snapshot()
    one.reset(2)
    assert [name for name, tensor in one.snapshot().items() if not torch.equal(tensor, first[name])] == [
        "classifier.weight"
    ]
    two = Classifier.open(str(tmp_path), PAIRS, place)  # another number of classes
    assert two.head.out_features == 2


def test_a_snapshot_is_a_copy(learner):
    one = learner("distilbert")
    before, answers = one.snapshot(), one.features(rows())[1]
    adam = torch.optim.Adam(one.parameters(), lr=0.1)
    one.train()
    one.loss(rows()).mean().backward()
    adam.step()
    assert not same(one.snapshot(), before)
    one.restore(before)
    assert same(one.snapshot(), before)
    assert torch.equal(one.features(rows())[1], answers)


@pytest.mark.parametrize("kind", [*KINDS, "llama"])
def test_no_answer_depends_on_the_batch(learner, kind):
    one = learner(kind)
    together = one.features(rows())
    for at, row in enumerate(rows()):
        alone = one.features([row])
        for left, right in zip(alone, together, strict=True):
            torch.testing.assert_close(left[0], right[at], atol=1e-5, rtol=1e-4)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(max_size=60), max_size=5))
def test_any_text_can_be_read(learner, texts):
    for kind in ("bert", "gpt2"):
        examples = [Example((text,), 0) for text in texts]
        answers = learner(kind).predict(examples)
        assert len(answers) == len(texts) and set(answers) <= {0, 1, 2}


def test_padding_goes_where_the_model_needs_it(tiny_folder, place):
    needed = {"xlnet": "left", "gpt2": "right"}
    for kind, side in needed.items():
        for said in ("left", "right"):
            tokenizer = open_tokenizer(tiny_folder(kind))
            tokenizer.padding_side = said
            model = open_model(AutoModelForSequenceClassification, tiny_folder(kind), num_labels=3)
            assert Classifier.from_parts(model, tokenizer, TASK, place).encodings.side == side


def test_long_texts_are_cut_to_what_the_model_holds(learner):
    long = Example(("lovely music " * 200,), 1)
    limits = {kind: learner(kind).encodings.limit for kind in KINDS}
    assert limits == {"bert": 40, "roberta": 39, "xlnet": 128, "gpt2": 40, "distilbert": 40}
    assert all(len(learner(kind).predict([long, *rows()])) == len(SENTENCES) + 1 for kind in KINDS)


def test_features_keep_the_mode_and_loss_obeys_it(learner):
    one = learner("bert")
    one.train()
    one.gradients(rows())
    assert one.model.training
    assert not torch.equal(one.loss(rows()), one.loss(rows()))  # dropout
    one.eval()
    assert torch.equal(one.loss(rows()), one.loss(rows()))


def test_a_pair_is_read_as_a_pair(learner):
    for kind in ("bert", "gpt2"):
        encodings = learner(kind, PAIRS).encodings
        apart, swapped, joined = encodings.rows(
            [Example(pair, 0) for pair in (("a b", "c"), ("c", "a b"), ("a", "b c"))]
        )
        assert len({str(row) for row in (apart, swapped, joined)}) == 3
    assert set(learner("bert", PAIRS).encodings.rows([Example(("a", "b"), 0)])[0]["token_type_ids"]) == {0, 1}


def test_fine_tuning_learns_the_rows(learner):
    one, few = learner("gpt2"), rows()[:3]
    adam = torch.optim.Adam(one.parameters(), lr=0.01)
    torch.manual_seed(0)
    one.train()
    for _ in range(40):
        adam.zero_grad()
        one.loss(few).mean().backward()
        adam.step()
    assert one.predict(few) == [row.label for row in few]


def test_from_parts_draws_only_the_last_layer(tiny_folder, place):
    name = tiny_folder("roberta")
    model = open_model(AutoModelForSequenceClassification, name, num_labels=3)
    one = Classifier.from_parts(model, open_tokenizer(name), TASK, place)
    one.reset(1)
    first = one.snapshot()
    one.reset(2)
    changed = [name for name, tensor in one.snapshot().items() if not torch.equal(tensor, first[name])]
    assert changed == ["classifier.out_proj.weight"]
    assert one.name == "RobertaForSequenceClassification"


def test_bf16_gives_float32_and_nearly_the_same(learner, tiny_folder):
    from dilm.runtime.device import Place

    half = Classifier.open(tiny_folder("gpt2"), TASK, Place(torch.device("cpu"), bf16=True))
    half.reset(0)
    features, logits = half.features(rows())
    assert features.dtype == logits.dtype == half.loss(rows()).dtype == torch.float32
    torch.testing.assert_close(logits, learner("gpt2").features(rows())[1], atol=0.05, rtol=0.1)


def test_the_memory_of_texts_is_bounded(learner, monkeypatch):
    from dilm.models import encodings

    monkeypatch.setattr(encodings, "REMEMBERED", 4)
    one = learner("bert")
    fresh = Encodings(one.encodings.tokenizer, one.model, 32)
    assert fresh.rows(rows()) == [fresh.rows([row])[0] for row in rows()]
    assert len(fresh._known) == 4


def test_too_little_memory_is_said_plainly():
    with (
        pytest.raises(ResourceError, match=r"Not enough memory for 64 rows. Take fewer"),
        memory.guard("64 rows", "Take fewer."),
    ):
        raise RuntimeError(FULL)
    with pytest.raises(RuntimeError, match="shapes"), memory.guard("64 rows", "Take fewer."):
        raise RuntimeError("shapes do not match")
    assert memory.peak_mb() > 10


def test_reading_goes_on_in_smaller_batches_where_memory_runs_out(learner, monkeypatch):
    one, many = learner("bert"), rows() * 30
    one.read_at_once = 512
    answers, batch, sizes = one.features(many)[1], one.encodings.batch, []

    def scarce(rows, device):
        sizes.append(len(rows) * max(len(row["input_ids"]) for row in rows))
        if sizes[-1] > 150:
            raise RuntimeError("CUDA out of memory.")
        return batch(rows, device)

    monkeypatch.setattr(one.encodings, "batch", scarce)
    monkeypatch.setattr(one, "appetite", memory.Appetite("tokens"))
    torch.testing.assert_close(one.features(many)[1], answers, atol=1e-5, rtol=0)
    assert 512 >= sizes[0] > 256 >= sizes[1] > 150 and one.appetite.amount == 128 >= max(sizes[2:])
    monkeypatch.setattr(one.encodings, "batch", lambda rows, device: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(ResourceError, match="one example of up to"):
        one.features(many)


@pytest.mark.parametrize("kind", [*KINDS, "modernbert"])
def test_the_first_layers_are_those_of_the_whole_model(tiny_folder, place, kind):
    whole = Classifier.open(tiny_folder(kind), TASK, place)
    short = Classifier.open(tiny_folder(kind), TASK, place, layers=1)
    kept, all_ = dict(tensors(short.model)), dict(tensors(whole.model))
    assert len(kept) < len(all_) and kept.keys() <= all_.keys()
    random = short.pristine.fresh | whole.pristine.fresh
    assert all(torch.equal(value, all_[name]) for name, value in kept.items() if name not in random)


def test_no_more_layers_than_there_are(tiny_folder, place):
    with pytest.raises(ModelError, match="has 2 layers, but its first 3"):
        Classifier.open(tiny_folder("bert"), TASK, place, layers=3)


def test_every_token_that_is_read_is_counted_and_no_padding(learner):
    one = learner("bert")
    lengths = [len(row["input_ids"]) for row in one.encodings.rows(rows())]
    begin = meter.spent()
    one.loss(rows())
    one.predict(rows())
    assert (meter.spent() - begin).tokens == 2 * sum(lengths)
