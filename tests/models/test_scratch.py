"""Models from the data alone: tokenizers that read anything, training by the seed alone, ordinary folders."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import SENTENCES, TASK, rows
from transformers import AutoModelForCausalLM

from dilm.errors import ModelError, RecipeError
from dilm.models import scratch
from dilm.models.classifier import Classifier
from dilm.models.encoder import FeatureEncoder
from dilm.models.hub import open_model, open_tokenizer
from dilm.models.scratch import (
    SPECIAL,
    Size,
    WarmUp,
    mask_tokens,
    named_size,
    save,
    small_bert,
    small_gpt2,
    train_tokenizer,
    warm_up,
)
from dilm.models.weights import tensors

SMALL = Size(2, 32, 2)
CAUSAL = train_tokenizer(SENTENCES, vocabulary=300)
MASKED = train_tokenizer(SENTENCES, vocabulary=300, kind="masked")

PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=80).filter(lambda text: "[" not in text)


@settings(max_examples=25, deadline=None)
@given(PLAIN)
def test_a_text_comes_back_as_it_was_written(text):
    assert CAUSAL.decode(CAUSAL(text)["input_ids"], clean_up_tokenization_spaces=False) == text


@settings(max_examples=25, deadline=None)
@given(PLAIN)
def test_a_masked_tokenizer_loses_only_case(text):
    decoded = MASKED.decode(MASKED(text)["input_ids"], skip_special_tokens=True)
    assert decoded.split() == text.lower().split()


@pytest.mark.parametrize("tokenizer", [CAUSAL, MASKED], ids=["causal", "masked"])
def test_a_tokenizer_survives_its_folder(tokenizer, tmp_path):
    save(small_gpt2(tokenizer, SMALL, 0), tokenizer, tmp_path)
    again = open_tokenizer(str(tmp_path))
    text = "Naïve ☃ [MASK] A lovely film"
    assert again(text, "so it is") == tokenizer(text, "so it is")
    assert {role: getattr(again, role) for role in SPECIAL} == SPECIAL
    assert len({getattr(again, f"{role}_id") for role in SPECIAL}) == len(SPECIAL)
    assert again.pad_token_id == tokenizer.pad_token_id and len(again) == len(tokenizer)
    assert again.padding_side == tokenizer.padding_side and again.model_max_length == scratch.POSITIONS


def test_only_the_masked_tokenizer_adds_tokens():
    assert CAUSAL("no")["input_ids"] == CAUSAL("no", add_special_tokens=False)["input_ids"]
    assert "token_type_ids" not in CAUSAL("no")
    assert MASKED.convert_ids_to_tokens(MASKED("no", "no")["input_ids"])[::2] == ["[CLS]", "[SEP]", "[SEP]"]


def test_weights_are_a_function_of_the_seed_and_of_nothing_else():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = tensors(small_gpt2(CAUSAL, SMALL, 4))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    again, other = tensors(small_gpt2(CAUSAL, SMALL, 4)), tensors(small_gpt2(CAUSAL, SMALL, 5))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["transformer.wte.weight"], other["transformer.wte.weight"])


def test_a_generator_from_scratch_opens_by_its_folder(tmp_path):
    model = small_gpt2(CAUSAL, SMALL, 0)
    save(model, CAUSAL, tmp_path)
    again = open_model(AutoModelForCausalLM, str(tmp_path))
    assert (again.config.pad_token_id, again.config.bos_token_id, again.config.eos_token_id) == (0, 2, 3)
    assert all(torch.equal(value, tensors(again)[name]) for name, value in tensors(model).items())


def test_masking_asks_for_some_ordinary_tokens_and_hides_most():
    tokens = torch.tensor([MASKED("the plot goes nowhere but the music is lovely")["input_ids"]] * 400)
    shown, asked = mask_tokens(tokens, MASKED, torch.Generator().manual_seed(0))
    wanted = asked >= 0
    assert torch.equal(shown[~wanted], tokens[~wanted]) and torch.equal(asked[wanted], tokens[wanted])
    assert not wanted[:, 0].any() and not wanted[:, -1].any()  # [CLS], [SEP]
    assert wanted[:, 1:-1].float().mean() == pytest.approx(0.15, abs=0.02)
    assert (shown[wanted] == MASKED.mask_token_id).float().mean() == pytest.approx(0.8, abs=0.04)
    assert (shown[wanted] == tokens[wanted]).float().mean() == pytest.approx(0.1, abs=0.04)


def warmed(place, steps: int = 15, seed: int = 0):
    model = small_bert(MASKED, SMALL, seed)
    return model, warm_up(model, MASKED, SENTENCES * 4, WarmUp(steps, batch=16), seed, place)


def test_warm_up_learns_and_is_a_function_of_its_seed(place):
    state = torch.get_rng_state()
    model, curve = warmed(place)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    again, same_curve = warmed(place)
    assert curve == same_curve
    assert all(torch.equal(value, tensors(again)[name]) for name, value in tensors(model).items())
    assert [row["step"] for row in curve] == list(range(15)) and not model.training
    assert curve[-1]["loss"] < curve[0]["loss"] - 0.2


def test_warm_up_bears_texts_without_tokens(place):
    model = small_bert(MASKED, SMALL, 0)
    curve = warm_up(model, MASKED, ["", ""], WarmUp(2), 0, place)
    assert [row["loss"] for row in curve] == [0.0, 0.0]


def test_a_warmed_up_body_opens_as_learner_and_as_encoder(place, tmp_path):
    model, _ = warmed(place, steps=2)
    save(model, MASKED, tmp_path)
    learner = Classifier.open(str(tmp_path), TASK, place)
    learner.reset(0)
    body = tensors(model)["bert.encoder.layer.0.attention.self.query.weight"]
    assert torch.equal(learner.snapshot()["bert.encoder.layer.0.attention.self.query.weight"], body)
    assert len(learner.predict(rows())) == len(SENTENCES)
    assert FeatureEncoder.open(str(tmp_path), place).encode(rows()).shape == (len(SENTENCES), 32)


def test_unknown_names_are_refused():
    with pytest.raises(RecipeError, match="tiny, mini, small, base"):
        named_size("huge")
    with pytest.raises(RecipeError, match="`masked`"):
        train_tokenizer(SENTENCES, kind="words")


def test_a_bert_wants_a_frame_around_its_text():
    with pytest.raises(ModelError, match='kind="masked"'):
        small_bert(CAUSAL, SMALL, 0)
