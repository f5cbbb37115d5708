"""Laws of a learner that reads embeddings: those of a text are read as the text, in any architecture."""

from __future__ import annotations

import pytest
import torch
from tiny_models import KINDS, PAIRS, TASK, rows

from dilm.errors import ModelError
from dilm.models.classifier import Classifier


@pytest.mark.parametrize("task", [TASK, PAIRS], ids=lambda task: task.name)
@pytest.mark.parametrize("kind", [*KINDS, "electra", "deberta-v2", "modernbert", "llama"])
def test_embeddings_of_a_text_are_read_as_the_text(tiny_folder, place, kind, task):
    learner = Classifier.open(tiny_folder(kind), task, place)
    learner.reset(0)
    for row in rows(task)[:3]:  # one by one: with padding, decoders and RoBERTa place and pool embeddings elsewhere
        inputs = learner.embed([row])
        assert inputs["inputs_embeds"].shape[:2] == inputs["attention_mask"].shape
        torch.testing.assert_close(learner.logits(inputs, {}), learner.features([row])[1], atol=1e-5, rtol=1e-4)


def test_weights_of_the_caller_are_read_in_place_of_its_own(tiny_folder, place):
    learner = Classifier.open(tiny_folder("bert"), TASK, place)
    learner.reset(1)
    inputs, head = learner.inputs(rows()), learner.head.weight.detach().clone()
    first = learner.logits(inputs, {})
    learner.reset(2)
    second = learner.logits(inputs, {})
    assert not torch.equal(first, second)
    assert torch.equal(learner.logits(inputs, {"classifier.weight": head}), first)
    assert torch.equal(learner.logits(inputs, {}), second)


@pytest.mark.parametrize("kind", [*KINDS, "electra", "deberta-v2", "modernbert", "llama"])
def test_a_model_tells_where_it_looks_and_says_the_same(tiny_folder, place, kind):
    learner = Classifier.open(tiny_folder(kind), TASK, place)
    learner.reset(0)
    inputs = learner.embed(rows()[:1])
    logits, attention = learner.attend(inputs, {}, "all")
    torch.testing.assert_close(logits, learner.logits(inputs, {}), atol=1e-5, rtol=1e-4)
    width = inputs["inputs_embeds"].shape[1]
    assert attention.shape[0] == 1 and attention.shape[-2:] == (width, width)
    torch.testing.assert_close(attention.sum(-1), torch.ones(attention.shape[:-1]))


@pytest.mark.parametrize(
    ("kind", "position"), [("bert", 0), ("roberta", 0), ("electra", 0), ("gpt2", -1), ("llama", -1)]
)
def test_the_position_that_the_head_reads_is_found(tiny_folder, place, kind, position):
    learner = Classifier.open(tiny_folder(kind), TASK, place)
    learner.reset(0)
    inputs = learner.embed(rows()[:1])
    every, one = (learner.attend(inputs, {}, whose)[1] for whose in ("all", "cls"))
    assert torch.equal(one, every[..., [position], :])


def test_a_head_that_is_not_seen_to_read_one_position_is_refused(tiny_folder, place):
    learner = Classifier.open(tiny_folder("xlnet"), TASK, place)
    with pytest.raises(ModelError, match=r"embed\.attention=all"):
        learner.attend(learner.embed(rows()[:1]), {}, "cls")


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_a_model_that_reads_no_embeddings_is_refused(tiny_folder, place, kind):
    learner = Classifier.open(tiny_folder(kind), TASK, place)
    with pytest.raises(ModelError, match="does not take embeddings"):
        learner.logits(learner.embed(rows()[:1]), {})


def test_the_identity_is_that_of_what_a_reset_brings_back(tiny_folder, place):
    one, again = (Classifier.open(tiny_folder("bert"), TASK, place) for _ in range(2))
    one.reset(3)
    with torch.no_grad():
        one.head.weight.add_(1)
    assert one.identity == again.identity
    others = [Classifier.open(tiny_folder("bert"), PAIRS, place), Classifier.open(tiny_folder("roberta"), TASK, place)]
    model = Classifier.open(tiny_folder("bert"), TASK, place).model
    with torch.no_grad():
        model.get_input_embeddings().weight[5, 5] += 1e-3
    others.append(Classifier.from_parts(model, one.encodings.tokenizer, TASK, place))
    assert len({one.identity, *(other.identity for other in others)}) == 4
