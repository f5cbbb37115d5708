"""Language models as learners: what they read, what their gradients are, and that trials begin alike."""

from __future__ import annotations

import pytest
import torch
import transformers
from tiny_models import BERT, SENTENCES, T5, tiny_tokenizer
from torch import Tensor, nn

from dilm.errors import ModelError
from dilm.models.language import PROJECTED, LanguageLearner
from dilm.models.learners import open_learner
from dilm.models.parts import find_part
from dilm.models.scratch import save
from dilm.runtime.device import Place
from dilm.types import Example, Task

TASK = Task("answers", ("ask", "say"), ("one", "two"), kind="generation", target="say", max_tokens=40)
ROWS = [Example((SENTENCES[at], SENTENCES[-1 - at]), at % 2) for at in range(5)]
SHAPES = {"gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 128}, "t5": T5, "llama": BERT}


def learner_of(kind: str, place: Place) -> LanguageLearner:
    tokenizer = tiny_tokenizer(kind)
    marks = {role: getattr(tokenizer, role) for role in ("pad_token_id", "bos_token_id", "eos_token_id")}
    config = transformers.AutoConfig.for_model(kind, vocab_size=len(tokenizer), **marks, **SHAPES[kind])
    torch.manual_seed(0)
    auto = transformers.AutoModelForSeq2SeqLM if kind == "t5" else transformers.AutoModelForCausalLM
    model = auto.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))  # large enough that a mistake shows
    return LanguageLearner(model, tokenizer, TASK, place, 120)


@pytest.fixture(scope="module", params=sorted(SHAPES))
def learner(request: pytest.FixtureRequest, place: Place) -> LanguageLearner:
    return learner_of(request.param, place)


@torch.no_grad()
def alone(learner: LanguageLearner, row: Example) -> float:
    """The mean nll of a target, computed without any of the learner's batching."""
    question, answer = learner.answers.rows([row])[0]
    if learner.model.config.is_encoder_decoder:
        begun = torch.tensor([[learner.model.config.decoder_start_token_id, *answer[:-1]]])
        told = learner.model(input_ids=torch.tensor([[*question[1:], learner.answers.end]]), decoder_input_ids=begun)
        logits = told.logits[0]
    else:
        logits = learner.model(input_ids=torch.tensor([[*question, *answer]])).logits[0, len(question) - 1 : -1]
    return float(nn.functional.cross_entropy(logits, torch.tensor(answer)))


def test_a_loss_is_that_of_the_target_alone_whatever_stands_beside_it(learner: LanguageLearner):
    expected = torch.tensor([alone(learner, row) for row in ROWS])
    assert torch.allclose(learner.loss(ROWS).detach(), expected, atol=1e-4)
    each = torch.stack([told.mean() for told in learner.token_losses(ROWS)])
    assert torch.allclose(each, expected, atol=1e-4)


def test_a_target_alone_is_read_without_its_question(learner: LanguageLearner):
    told, other = ROWS[0], Example(("something else", ROWS[0].texts[1]), 0)
    same = [learner.unasked_losses([row])[0] for row in (told, other)]
    assert torch.equal(*same)
    assert not torch.allclose(*(learner.token_losses([row])[0] for row in (told, other)))


def test_the_heads_gradient_is_autograds_of_an_output_layer_of_its_own_under_the_projection(learner: LanguageLearner):
    layer = learner.output
    shared, apart = layer.weight, nn.Parameter(layer.weight.detach().clone())
    layer.weight = apart
    try:
        for at, row in enumerate(ROWS):
            (plain,) = torch.autograd.grad(learner.loss([row])[0], [apart])
            closed = learner.gradients(ROWS)[at].view(PROJECTED, -1)
            assert torch.allclose(closed, learner._projection @ plain, atol=1e-4)
    finally:
        layer.weight = shared


@pytest.mark.parametrize("wanted", ["last:1", "lora:2"])
def test_the_forward_road_is_the_plain_road(learner: LanguageLearner, wanted: str):
    part = find_part(learner, wanted)
    vocabulary = {id(layer.weight) for layer in (learner.model.get_input_embeddings(), learner.output)}
    assert vocabulary.isdisjoint(id(dict(learner.model.named_parameters())[name]) for name in part.names)

    def slopes(road: object) -> Tensor:
        weights = torch.linspace(0.1, 0.5, len(ROWS), requires_grad=True)
        gradient = road(learner, ROWS, weights)  # type: ignore[operator]
        direction = torch.linspace(-1, 1, len(gradient))
        (slope,) = torch.autograd.grad(gradient @ direction, weights)
        return torch.cat([gradient.detach(), slope])

    fast, plain = slopes(part.gradient), slopes(part.plainly)
    assert torch.allclose(fast, plain, atol=1e-3 * float(plain.abs().max()))


def test_training_is_undone_bit_for_bit(learner: LanguageLearner):
    before = learner.snapshot()
    learner.train()
    learner.loss(ROWS).mean().backward()
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.add_(torch.ones(()))
    learner.reset(seed=5)
    assert all(torch.equal(value, before[name]) for name, value in learner.snapshot().items())
    assert not learner.model.training


def test_what_is_written_does_not_depend_on_what_is_written_beside_it(learner: LanguageLearner):
    assert learner.write(ROWS) == [learner.write([row])[0] for row in ROWS]


def test_errors_are_those_of_the_probabilities(learner: LanguageLearner):
    errors, guessed = learner.errors(ROWS), learner.guessed(ROWS)
    assert ((errors > 0) & (errors < 2**0.5 + 1e-6)).all()
    assert [len(each) for each in guessed] == [len(each) for each in learner.token_losses(ROWS)]


def test_a_text_that_is_too_long_keeps_a_question_and_an_answer(place: Place):
    learner = learner_of("gpt2", place)
    learner.answers.limit = 20
    learner.answers._known.clear()
    question, answer = learner.answers.rows([Example(("a " * 60, "b " * 60), 0)])[0]
    assert len(question) + len(answer) == 20 and len(question) == 10 and question[0] == learner.answers.start


def test_a_learner_is_opened_by_the_kind_of_its_task(tmp_path, place: Place):
    made = learner_of("gpt2", place)
    save(made.model, made.answers.tokenizer, tmp_path)
    opened = open_learner(str(tmp_path), TASK, place)
    assert isinstance(opened, LanguageLearner) and opened.identity == made.identity
    with pytest.raises(ModelError, match="first 1 layers"):
        open_learner(str(tmp_path), TASK, place, layers=1)
