"""Texts written by vLLM come as often as those written here: the real vLLM, where it is installed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from odds import assert_as_often, same_odds, sentences
from test_form import END, FORM, START, may_follow
from test_merged import stirred
from tiny_models import PAIRS, TASK, tiny_tokenizer
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from dilm.errors import ModelError
from dilm.models import vllm_engine
from dilm.models.adapters import Adapters
from dilm.models.causal import CausalGenerator
from dilm.models.form import Form
from dilm.models.sampling import Sampling, sample_tokens
from dilm.models.vllm_engine import Engine, written_by_vllm
from dilm.runtime.device import Place

HERE = Place(torch.device("cpu"))
NONE = torch.tensor([], dtype=torch.long)


def test_a_missing_vllm_is_told(tiny_folder: Callable[[str], str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vllm_engine.importlib.util, "find_spec", lambda name: None)
    generator = CausalGenerator.open(tiny_folder("gpt2"), TASK, HERE)
    with pytest.raises(ModelError, match=r"dilm\[vllm\]"):
        vllm_engine.require(generator.model, HERE)


@pytest.mark.parametrize(
    ("kind", "device", "told"), [("t5", "cpu", "encoder-decoders"), ("gpt2", "cuda:1", "first GPU")]
)
def test_what_vllm_cannot_do_is_refused_before_anything_is_trained(
    tiny_folder: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, kind: str, device: str, told: str
):
    monkeypatch.setattr(vllm_engine.importlib.util, "find_spec", lambda name: name)
    generator = CausalGenerator.open(tiny_folder(kind), TASK, HERE)
    with pytest.raises(ModelError, match=told):
        vllm_engine.require(generator.model, Place(torch.device(device)))


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


def opened(model: PreTrainedModel, folder: Path, place: Place = HERE) -> Engine:
    return Engine.opened(model, [[START]], Sampling(max_tokens=9, batch=64), place, folder)


@pytest.fixture(scope="module")
def wordy(tmp_path_factory: pytest.TempPathFactory) -> tuple[PreTrainedModel, Engine]:
    """A model with an opinion, and vLLM that writes with it."""
    pytest.importorskip("vllm")
    model = speaker(0)
    return model, opened(model, tmp_path_factory.mktemp("vllm"))


def test_texts_of_two_fields_come_as_often_as_the_model_says(wordy: tuple[PreTrainedModel, Engine]):
    model, engine = wordy
    texts = engine(model, FORM, 4000, Sampling(top_p=1.0, max_tokens=4), stream(), NONE)
    assert_as_often(texts, sentences(model, FORM, 5, may_follow))


def test_the_same_stream_writes_the_same_texts(wordy: tuple[PreTrainedModel, Engine]):
    model, engine = wordy
    first, again, other = (engine(model, FORM, 30, Sampling(max_tokens=9), stream(seed), NONE) for seed in (0, 0, 1))
    assert first == again != other


def test_two_forms_are_not_confused(wordy: tuple[PreTrainedModel, Engine]):
    model, engine = wordy
    for form, banned in ((FORM, NONE), (Form(START, END), torch.tensor([3])), (FORM, NONE)):
        texts = engine(model, form, 50, Sampling(max_tokens=9), stream(), banned)
        assert any(3 in text for text in texts) == (form is FORM)


@pytest.mark.parametrize(("bf16", "nuclei"), [(False, [(0.8, 0), (0.8, 3)]), (True, [(1.0, 0)])])
def test_nucleus_temperature_and_bans_are_those_of_our_own_sampler(
    tmp_path: Path, bf16: bool, nuclei: list[tuple[float, int]]
):
    """In bfloat16 many odds are equal, and who of equals is in a nucleus is each sampler's own choice."""
    pytest.importorskip("vllm")
    model, form, place = speaker(1, 0.08, 7), Form(START, END), Place(torch.device("cpu"), bf16)
    banned = torch.tensor([START])
    engine = opened(model, tmp_path, place)
    with place.autocast():
        for top_p, top_k in nuclei:
            wanted = Sampling(top_p=top_p, top_k=top_k, temperature=0.7, max_tokens=4)
            texts = engine(model, form, 3000, wanted, stream(), banned)
            assert all(START not in text for text in texts)
            assert same_odds(texts, sample_tokens(model, form, 3000, wanted, stream(), banned)) > 1e-3


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_adapters_are_read_too(tmp_path: Path, kind: str):
    """Their own rows for tokens of classes and between fields included."""
    pytest.importorskip("vllm")
    generator = CausalGenerator(wider(kind), tiny_tokenizer(kind), PAIRS, HERE)
    generator.adapt(Adapters(rank=2), 0)
    stirred(generator.model)
    generator.sampling = Sampling(top_k=1, max_tokens=12, batch=4)
    ours, others = generator.sample(1, 2, stream()), writers()
    with written_by_vllm(generator, tmp_path / "weights"):
        assert generator.sample(1, 2, stream()) == ours
        writing = writers() - others
    assert generator.text_writer is sample_tokens and not (tmp_path / "weights").exists()
    assert writing and not psutil.wait_procs(writing, timeout=60)[1]


def writers() -> set[psutil.Process]:
    """Of vLLM's, beneath this process."""
    return {each for each in psutil.Process().children(recursive=True) if "VLLM" in each.name()}


def wider(kind: str) -> PreTrainedModel:
    torch.manual_seed(0)
    words = len(tiny_tokenizer(kind))
    if kind == "gpt2":
        return GPT2LMHeadModel(GPT2Config(vocab_size=words, n_positions=64, n_embd=64, n_layer=2, n_head=2))
    shape: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    heads: dict[str, Any] = {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64}
    return LlamaForCausalLM(LlamaConfig(vocab_size=words, **shape, **heads))


def test_a_model_that_vllm_reads_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("vllm")
    monkeypatch.setattr(vllm_engine, "whole", lambda model: speaker(99))
    others = writers()
    with pytest.raises(ModelError, match="nats off"):
        opened(speaker(4), tmp_path)
    assert not psutil.wait_procs(writers() - others, timeout=60)[1]


def test_an_encoder_that_writes_is_refused_in_plain_words(tiny_folder: Callable[[str], str], tmp_path: Path):
    pytest.importorskip("vllm")
    generator = CausalGenerator.open(tiny_folder("bert"), TASK, HERE)
    with pytest.raises(ModelError, match=r"generate\.sampler=torch"), written_by_vllm(generator, tmp_path / "weights"):
        pass


KILLED = """
import sys, time
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_vllm_engine import opened, speaker
engine = opened(speaker(0), Path(sys.argv[1]))
print("open", flush=True)
time.sleep(600)
"""


def test_vllm_ends_with_a_process_that_is_killed(tmp_path: Path):
    """The script has no `__main__` guard: vLLM's processes must not run it again."""
    pytest.importorskip("vllm")
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    script = tmp_path / "script.py"
    script.write_text(KILLED, encoding="utf-8")
    with subprocess.Popen([sys.executable, script, tmp_path, *folders], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout and run.stdout.readline() == "open\n"
        writing = psutil.Process(run.pid).children(recursive=True)
        run.send_signal(signal.SIGKILL)
    assert len(writing) > 0
    deadline = time.monotonic() + 60
    while any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in writing):
        assert time.monotonic() < deadline
        time.sleep(0.5)
