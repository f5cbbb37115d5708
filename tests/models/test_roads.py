"""The ring gives every row the odds that its own text has, whoever wrote there before; what it cannot do it knows."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import torch
from tiny_models import rough
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from dilm.models.decoders import open_causal_model
from dilm.models.form import Form
from dilm.models.roads import Growing, Ring, positions_begin
from dilm.models.sampling import Sampling, sample_tokens

WIDTH = 12
SHAPE = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def made(kind: str, **changed: object) -> PreTrainedModel:
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SHAPE | changed))
    return rough(model)


class Texts:
    """Random texts of random lengths, one in each row, and a new one where one ends."""

    def __init__(self, rows: int, seed: int) -> None:
        self.rng = torch.Generator().manual_seed(seed)
        self.texts = [self.text() for _ in range(rows)]
        self.read = [0] * rows

    def text(self) -> Tensor:
        length = int(torch.randint(1, WIDTH + 1, (1,), generator=self.rng))
        return torch.randint(3, 50, (length,), generator=self.rng)

    def next_tokens(self) -> Tensor:
        tokens = torch.stack([text[read] for text, read in zip(self.texts, self.read, strict=True)])
        self.read = [read + 1 for read in self.read]
        return tokens

    def ended(self) -> list[int]:
        return [row for row, text in enumerate(self.texts) if self.read[row] == len(text)]

    def begin(self, rows: list[int]) -> None:
        for row in rows:
            self.texts[row], self.read[row] = self.text(), 0

    def keep(self, rows: list[int]) -> None:
        self.texts, self.read = [self.texts[row] for row in rows], [self.read[row] for row in rows]


@torch.no_grad()
def alone(model: PreTrainedModel, texts: Texts) -> Tensor:
    """Logits after what each row has read, each read from its beginning, on its own."""
    pairs = zip(texts.texts, texts.read, strict=True)
    return torch.stack([model(input_ids=text[None, :read]).logits[0, -1] for text, read in pairs])


@torch.no_grad()
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("kind", ["gpt2", "bert", "roberta", "llama"])
def test_every_row_of_the_ring_reads_its_own_text(tiny_folder: Callable[[str], str], kind: str, seed: int):
    model = rough(open_causal_model(tiny_folder(kind)))
    first = positions_begin(model, WIDTH)
    assert first is not None
    ring, texts = Ring(model, 5, WIDTH, first), Texts(5, seed)
    for step in range(4 * WIDTH):
        torch.testing.assert_close(ring.read(texts.next_tokens()), alone(model, texts), rtol=1e-4, atol=1e-4)
        ended = texts.ended()
        texts.begin(ended)
        ring.renew(torch.tensor(ended, dtype=torch.long))
        if step in (15, 20, 31):  # the rows leave one by one: at once, later together with the next, and so on
            staying = [row for row in range(len(texts.texts)) if row != 1]
            texts.keep(staying)
            ring.keep(torch.tensor(staying))
    assert len(texts.texts) == 2


@torch.no_grad()
def test_both_roads_agree_in_bfloat16():
    model = made("llama")
    ring, growing, texts = Ring(model, 3, WIDTH), Growing(model), torch.randint(3, 50, (3, WIDTH))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for tokens in texts.T:
            one, other = ring.read(tokens), growing.read(tokens)
            torch.testing.assert_close(one, other, rtol=0.05, atol=0.05 * float(other.std()))


@pytest.mark.parametrize("kind", ["gpt_neox", "mistral", "qwen2", "opt", "phi"])
def test_the_ring_suits_models_that_read_positions_and_masks(kind: str):
    assert positions_begin(made(kind), WIDTH) == 0


def test_positions_begin_behind_the_padding_token_where_the_model_counts_so(tiny_folder: Callable[[str], str]):
    model = rough(open_causal_model(tiny_folder("roberta")))
    assert positions_begin(model, WIDTH) == model.config.pad_token_id + 1


def test_windows_at_least_as_wide_as_the_ring_are_never_felt():
    assert positions_begin(made("mistral", sliding_window=WIDTH), WIDTH) == 0


@pytest.mark.parametrize(
    ("kind", "changed"),
    [("bloom", {}), ("mistral", {"sliding_window": WIDTH - 1}), ("mamba", {})],
)
def test_the_ring_knows_models_that_it_does_not_suit(kind: str, changed: dict[str, object]):
    assert positions_begin(made(kind, **changed), WIDTH) is None


def test_a_model_that_does_not_feel_positions_yet_is_not_trusted():
    model = made("llama")
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.q_proj.weight.zero_()
    assert positions_begin(model, WIDTH) is None


def test_what_the_ring_does_not_suit_takes_the_growing_road_and_the_log_says_so(caplog: pytest.LogCaptureFixture):
    model, none = made("bloom"), torch.tensor([], dtype=torch.long)
    caplog.set_level(logging.INFO)
    written = {
        road: sample_tokens(
            model, Form(1, 2), 9, Sampling(max_tokens=8, batch=4, road=road), torch.Generator().manual_seed(0), none
        )
        for road in ("growing", "ring")
    }
    assert written["growing"] == written["ring"]
    assert "The ring does not suit BloomForCausalLM" in caplog.text and "by the growing road" in caplog.messages[-1]
