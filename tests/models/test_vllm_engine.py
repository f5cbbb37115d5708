"""Texts written by vLLM come as often as those written here: the real vLLM, where it is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from odds import assert_as_often, same_odds, sentences
from test_form import END, FORM, START, may_follow
from tiny_models import PAIRS, TASK, tiny_tokenizer
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from dilm.errors import ModelError
from dilm.models.adapters import Adapters
from dilm.models.causal import CausalGenerator
from dilm.models.form import Form
from dilm.models.sampling import Sampling, sample_tokens
from dilm.models.vllm_engine import Engine
from dilm.runtime.device import Place

HERE = Place(torch.device("cpu"))
NONE = torch.tensor([], dtype=torch.long)


def test_a_missing_vllm_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ModelError, match=r"dilm\[vllm\]"):
        Engine(HERE)(speaker(1), FORM, 1, Sampling(), stream(), NONE)


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def speaker(seed: int, opinions: float = 0.4, vocabulary: int = 5) -> PreTrainedModel:
    """A GPT-2 that knows few tokens; vLLM wants heads of 32 numbers at least."""
    torch.manual_seed(seed)
    marks: dict[str, Any] = {"bos_token_id": START, "eos_token_id": END}
    shape: dict[str, Any] = {"n_positions": 32, "n_embd": 64, "n_layer": 2, "n_head": 2}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, **shape, **marks))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(opinions * torch.randn(parameter.shape))
    return model.eval()


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """One for all tests: it takes long to open, and reads new weights quickly."""
    pytest.importorskip("vllm")
    made = Engine(HERE)
    made.room = (16, 64)
    yield made
    made.close()


def test_texts_of_two_fields_come_as_often_as_the_model_says(engine: Engine):
    model = speaker(0)
    texts = engine(model, FORM, 4000, Sampling(top_p=1.0, max_tokens=4), stream(), NONE)
    assert_as_often(texts, sentences(model, FORM, 5, may_follow))


@pytest.mark.parametrize("top_k", [0, 3])
def test_nucleus_temperature_and_bans_are_those_of_our_own_sampler(engine: Engine, top_k: int):
    model, form = speaker(1, 0.08, 7), Form(START, END)
    wanted = Sampling(top_p=0.8, top_k=top_k, temperature=0.7, max_tokens=4)
    banned = torch.tensor([START])
    texts = engine(model, form, 3000, wanted, stream(), banned)
    assert all(START not in text for text in texts)
    assert same_odds(texts, sample_tokens(model, form, 3000, wanted, stream(), banned)) > 1e-3


def test_the_same_stream_writes_the_same_texts(engine: Engine):
    first, again, other = (
        engine(speaker(2), FORM, 30, Sampling(max_tokens=9), stream(seed), NONE) for seed in (0, 0, 1)
    )
    assert first == again != other


def test_weights_that_were_trained_on_are_read_anew(engine: Engine):
    model, greedy = speaker(3), Sampling(top_k=1, max_tokens=12)
    for _ in range(3):
        ours, theirs = (write(model, FORM, 2, greedy, stream(), NONE) for write in (sample_tokens, engine))
        assert ours == theirs
        writings = engine.writings
        engine(model, FORM, 1, greedy, stream(), NONE)
        assert engine.writings == writings  # nothing had changed
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(torch.where(torch.rand_like(parameter) < 0.5, 1.0, -1.0))


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_adapters_are_read_too(kind: str):
    """Their own rows for tokens of classes and between fields included."""
    pytest.importorskip("vllm")
    generator = CausalGenerator(wider(kind), tiny_tokenizer(kind), PAIRS, HERE)
    generator.adapt(Adapters(rank=2), 0)
    with torch.no_grad():
        for parameter in filter(lambda each: each.requires_grad, generator.parameters()):
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=stream(5)))
    generator.sampling = Sampling(top_k=1, max_tokens=12, batch=4)
    ours = generator.sample(1, 2, stream())
    generator.text_writer = engine = Engine(HERE)
    assert generator.sample(1, 2, stream()) == ours
    engine.close()


def wider(kind: str) -> PreTrainedModel:
    torch.manual_seed(0)
    words = len(tiny_tokenizer(kind))
    if kind == "gpt2":
        return GPT2LMHeadModel(GPT2Config(vocab_size=words, n_positions=64, n_embd=64, n_layer=2, n_head=2))
    shape: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=words, max_position_embeddings=64, num_key_value_heads=1, **shape))


def test_what_vllm_would_read_otherwise_is_refused(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engine, "_saved", lambda model: other_weights(engine, model))
    with pytest.raises(ModelError, match="nats off"):
        engine(speaker(4), FORM, 1, Sampling(max_tokens=4), stream(), NONE)


def other_weights(engine: Engine, model: Any) -> Path:
    folder = Path(engine.folder.name) / "weights-other"
    speaker(99).save_pretrained(folder)
    return folder


def test_encoders_that_write_are_refused_or_read_as_they_are(tiny_folder: Callable[[str], str]):
    """Which of the two is vLLM's; texts of another model never come."""
    pytest.importorskip("vllm")
    generator = CausalGenerator.open(tiny_folder("bert"), TASK, HERE)
    generator.text_writer = engine = Engine(HERE)
    with pytest.raises(ModelError, match=r"generate\.sampler=torch"):
        generator.sample(0, 2, stream())
    assert engine.llm is None
