"""Sampling is exact: one stream, one text; at the greedy limit what transformers writes; else the odds of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from odds import assert_as_often, same_odds, sentences
from scipy.stats import chisquare
from tiny_models import PAIRS, rough
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from dilm.errors import ModelError
from dilm.models import causal, sampling
from dilm.models.causal import CausalGenerator
from dilm.models.decoders import open_causal_model
from dilm.models.form import Form
from dilm.models.roads import positions_begin
from dilm.models.sampling import Sampling, Writer, draw, draw_any, sample_tokens
from dilm.runtime.device import Place

START, END = 0, 1
ENDS = Form(START, END)
NONE = torch.tensor([], dtype=torch.long)


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def speaker(vocabulary: int, opinions: float) -> PreTrainedModel:
    """A GPT-2 that knows few tokens and has opinions on what follows what."""
    torch.manual_seed(0)
    marks = {"bos_token_id": START, "eos_token_id": END}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, n_positions=32, n_embd=16, n_layer=2, n_head=2, **marks))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(opinions * torch.randn(parameter.shape))
    return model.eval()


@pytest.fixture(scope="module")
def letters() -> PreTrainedModel:
    return speaker(5, 0.4)


def test_the_same_stream_writes_the_same_texts(letters: PreTrainedModel):
    first, again, other = (
        sample_tokens(letters, ENDS, 20, Sampling(max_tokens=8, batch=6), stream(seed), NONE) for seed in (0, 0, 1)
    )
    assert first == again != other


def test_the_global_generator_plays_no_part(letters: PreTrainedModel):
    torch.manual_seed(1)
    first = sample_tokens(letters, ENDS, 9, Sampling(max_tokens=8), stream(), NONE)
    torch.manual_seed(2)
    assert sample_tokens(letters, ENDS, 9, Sampling(max_tokens=8), stream(), NONE) == first


@torch.no_grad()
def likeliest(model: PreTrainedModel, start: int, end: int, longest: int) -> list[int]:
    """Greedy decoding that reads the whole text anew for each token."""
    text = [start]
    while len(text) <= longest and text[-1] != end:
        text.append(int(model(input_ids=torch.tensor([text])).logits[0, -1].argmax()))
    return text[1:]


@pytest.mark.parametrize("road", ["growing", "ring"])
@pytest.mark.parametrize("kind", ["gpt2", "bert", "roberta", "llama"])
def test_the_cache_changes_no_token_at_the_greedy_limit(tiny_folder: Callable[[str], str], kind: str, road: str):
    model = rough(open_causal_model(tiny_folder(kind)))
    greedy = sample_tokens(model, Form(5, 7), 5, Sampling(top_k=1, max_tokens=20, batch=2, road=road), stream(), NONE)
    assert road == "growing" or positions_begin(model, 21) is not None
    assert greedy == [likeliest(model, 5, 7, longest=21)] * 5
    assert len(greedy[0]) > 3


@pytest.mark.parametrize("kind", ["gpt2", "bert", "llama"])  # generate() gives RoBERTa positions without their offset
@pytest.mark.parametrize("road", ["growing", "ring"])
def test_the_greedy_limit_is_what_transformers_writes(tiny_folder: Callable[[str], str], kind: str, road: str):
    model = rough(open_causal_model(tiny_folder(kind)))
    greedy = sample_tokens(model, Form(5, 7), 3, Sampling(top_k=1, max_tokens=20, batch=2, road=road), stream(), NONE)
    settings = {"do_sample": False, "max_new_tokens": 21, "eos_token_id": 7, "pad_token_id": 0}
    theirs = model.generate(torch.tensor([[5]]), attention_mask=torch.ones(1, 1, dtype=torch.long), **settings)
    assert greedy == [theirs[0, 1:].tolist()] * 3


def test_texts_come_as_often_as_the_model_says(letters: PreTrainedModel):
    """Whole sequences against their exact probabilities, so a cache that loses its row would show."""
    sampling = Sampling(top_p=1.0, max_tokens=3, batch=4000)
    texts = sample_tokens(letters, ENDS, 8000, sampling, stream(), NONE)
    assert len(texts) == 8000
    assert_as_often(texts, sentences(letters, ENDS, 4))


def naive(logits: Tensor, wanted: Sampling) -> Tensor:
    """Temperature, top-k, then the fewest likeliest tokens that hold `top_p`, one by one."""
    odds = (logits.double() / wanted.temperature).softmax(-1)
    order = odds.argsort(descending=True).tolist()[: wanted.top_k or len(odds)]
    total, held, kept = sum(float(odds[token]) for token in order), 0.0, []
    for token in order:
        if held / total >= wanted.top_p:
            break
        kept.append(token)
        held += float(odds[token])
    mask = torch.zeros_like(odds)
    mask[kept] = 1
    return odds * mask / (odds * mask).sum()


@pytest.mark.parametrize("vocabulary", [3, 40, 1500])
@pytest.mark.parametrize(
    ("top_p", "top_k"), [(0.1, 0), (0.37, 0), (0.951, 0), (1.0, 0), (1.0, 5), (0.6, 5), (0.9, 100)]
)
@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_draws_follow_the_odds_that_the_definition_leaves(
    top_p: float, top_k: int, temperature: float, vocabulary: int
):
    count, wanted = 4000, Sampling(top_p, top_k, temperature)
    logits = 2 * torch.randn(vocabulary, generator=stream(vocabulary))
    drawn = torch.bincount(draw(logits.expand(count, -1), wanted, stream()), minlength=vocabulary).double()
    odds = naive(logits, wanted)
    assert drawn[odds == 0].sum() == 0
    common = odds * count >= 5
    seen = [*drawn[common].tolist(), float(drawn[~common].sum())]
    expected = [*(odds[common] * count).tolist(), float(odds[~common].sum()) * count]
    cells = len(seen) if expected[-1] >= 5 else len(seen) - 1
    scale = sum(seen[:cells]) / sum(expected[:cells])
    assert cells == 1 or chisquare(seen[:cells], [scale * cell for cell in expected[:cells]]).pvalue > 1e-4
    assert sum(seen[cells:]) <= 25


def test_every_row_is_drawn_from_its_own_odds():
    logits = torch.full((5, 5), -50.0).fill_diagonal_(50.0)
    assert draw(logits, Sampling(), stream()).tolist() == [0, 1, 2, 3, 4]


def test_the_likeliest_token_is_kept_however_small_the_nucleus():
    assert draw(torch.tensor([[0.0, 1.0, 0.5]]), Sampling(top_p=1e-6), stream()).tolist() == [1]


def test_banned_tokens_are_never_written(letters: PreTrainedModel):
    free = sample_tokens(letters, ENDS, 900, Sampling(top_p=1.0, max_tokens=6), stream(), NONE)
    bound = sample_tokens(letters, ENDS, 900, Sampling(top_p=1.0, max_tokens=6), stream(), torch.tensor([0, 3]))
    assert {0, 3} <= {token for text in free for token in text}
    assert {token for text in bound for token in text} == {1, 2, 4}


def test_a_generator_writes_no_condition_and_no_special_token(tiny_folder, place: Place, monkeypatch):
    seen: list[list[int]] = []
    real = causal.sample_tokens
    monkeypatch.setattr(causal, "sample_tokens", lambda *job: seen.extend(real(*job)) or seen)
    generator = CausalGenerator.open(tiny_folder("gpt2"), PAIRS, place)
    generator.sampling = Sampling(top_p=1.0, max_tokens=20)
    generator.sample(1, 200, stream())
    written = {token for text in seen for token in text}
    special = {*generator.tokenizer.all_special_ids, *generator.conditions, generator.start}
    assert written & special <= {generator.end, generator.separator}
    assert {generator.end, generator.separator} <= written and len(written) > 100


@contextmanager
def counted_rows(model: PreTrainedModel) -> Iterator[list[int]]:
    """Rows of each forward pass within."""
    sizes: list[int] = []
    hook = model.register_forward_pre_hook(
        lambda _, args, inputs: sizes.append(len(inputs["input_ids"])), with_kwargs=True
    )
    yield sizes
    hook.remove()


def test_finished_rows_leave_the_batch(letters: PreTrainedModel):
    with counted_rows(letters) as sizes:
        growing = Sampling(top_p=1.0, max_tokens=9, road="growing")
        texts = sample_tokens(letters, ENDS, 40, growing, stream(), NONE)
    assert sizes == [sum(len(text) > step for text in texts) for step in range(len(sizes))]
    assert len(set(sizes)) > 3
    for text in texts:
        assert END not in text[:-1]
        assert text[-1] == END or len(text) == 10


def test_finished_rows_of_the_ring_take_the_texts_that_wait(letters: PreTrainedModel):
    ring = Sampling(top_p=1.0, max_tokens=9, batch=8, road="ring")
    sample_tokens(letters, ENDS, 1, ring, stream(), NONE)  # the probe is run and remembered
    with counted_rows(letters) as sizes:
        texts = sample_tokens(letters, ENDS, 60, ring, stream(), NONE)
    full = sizes.count(8)
    assert sizes[:full] == [8] * full and len(sizes) - full <= 10  # one text at most after the last was begun
    assert sum(sizes) <= 1.2 * sum(map(len, texts))


@pytest.mark.parametrize("road", ["growing", "ring"])
@pytest.mark.parametrize(("n", "batch"), [(1, 8), (7, 7), (9, 7), (40, 3), (13, 1)])
def test_every_text_is_written_once_and_to_its_end(letters: PreTrainedModel, n: int, batch: int, road: str):
    sampling = Sampling(top_p=1.0, max_tokens=6, batch=batch, road=road)
    texts = sample_tokens(letters, ENDS, n, sampling, stream(), NONE)
    assert len(texts) == n
    assert texts == sample_tokens(letters, ENDS, n, sampling, stream(), NONE)
    for text in texts:
        assert END not in text[:-1]
        assert text[-1] == END or len(text) == 7


class Numbers:
    """A road without a model: the text in row r, begun at the k-th renewal, is k + 3, as often as its row says, and
    then the end."""

    def __init__(self, rows: int) -> None:
        self.begun = rows
        self.texts, self.left = torch.arange(rows) + 3, torch.arange(rows) % 4 + 1

    def read(self, tokens: Tensor) -> Tensor:
        self.left -= 1
        said = torch.where(self.left < 0, END, self.texts)
        return torch.full((len(said), 60), -100.0).scatter(1, said[:, None], 100.0)

    def renew(self, rows: Tensor) -> None:
        for row in rows.tolist():
            self.texts[row], self.left[row] = self.begun + 3, self.begun * 7 % 5 + 1
            self.begun += 1

    def keep(self, rows: Tensor) -> None:
        self.texts, self.left = self.texts[rows], self.left[rows]


def test_texts_stand_in_the_order_in_which_they_were_begun():
    writer = Writer(ENDS, Sampling(max_tokens=8), stream(), NONE)
    texts = writer.write(Numbers(6), 6, 50)
    assert [text[0] for text in texts] == list(range(3, 53))
    assert all(set(text[:-1]) == {text[0]} and text[-1] == END for text in texts)
    assert {len(text) for text in texts} == {2, 3, 4, 5, 6}


def test_texts_from_refilled_rows_come_as_often_as_the_model_says(letters: PreTrainedModel):
    ring = Sampling(top_p=1.0, max_tokens=3, batch=700, road="ring")
    texts = sample_tokens(letters, ENDS, 6000, ring, stream(), NONE)
    assert len(texts) == 6000
    assert_as_often(texts, sentences(letters, ENDS, 4))


def by_transformers(model: PreTrainedModel, n: int, wanted: Sampling) -> list[list[int]]:
    """What `generate` draws, cut behind the end as ours are."""
    asked = {"top_p": wanted.top_p, "top_k": wanted.top_k, "temperature": wanted.temperature}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        drawn = model.generate(
            torch.full((n, 1), START),
            attention_mask=torch.ones(n, 1, dtype=torch.long),
            do_sample=True,
            max_new_tokens=wanted.max_tokens + 1,
            eos_token_id=END,
            pad_token_id=END,
            **asked,
        )
    return [row[: row.index(END) + 1] if END in row else row for row in drawn[:, 1:].tolist()]


@pytest.mark.parametrize("top_k", [0, 3])
def test_texts_come_as_often_as_from_transformers(top_k: int):
    """Whole texts by both roads, where temperature, top-k and top-p all bear on them."""
    model, count = speaker(7, 0.15), 3000
    wanted = Sampling(top_p=0.8, top_k=top_k, temperature=0.7, max_tokens=4)
    theirs = by_transformers(model, count, wanted)

    def compared(**changed: Any) -> float:
        return same_odds(sample_tokens(model, ENDS, count, replace(wanted, **changed), stream(), NONE), theirs)

    assert positions_begin(model, 5) is not None
    assert compared(road="growing", batch=count) > 1e-3
    assert compared(road="ring", batch=500) > 1e-3
    assert compared(temperature=0.85, batch=count) < 1e-6  # what the comparison can tell
    assert compared(top_p=0.95, batch=count) < 1e-6


@pytest.mark.parametrize("top_k", [0, 2])
def test_odds_that_are_not_numbers_are_an_error(top_k: int):
    logits = torch.zeros(3, 300)
    logits[1, 7] = torch.nan
    with pytest.raises(ModelError, match="not finite") as told:
        draw(logits, Sampling(top_k=top_k), stream())
    assert "runtime.precision=fp32" in told.value.remedy
    for nothing in (torch.inf, -torch.inf):  # too large for a number; every token forbidden
        logits[1] = nothing
        with pytest.raises(ModelError, match="not finite"):
            draw(logits, Sampling(top_k=top_k), stream())


def test_a_generator_with_damaged_weights_writes_nothing(tiny_folder: Callable[[str], str], place: Place):
    generator = CausalGenerator.open(tiny_folder("gpt2"), PAIRS, place)
    with torch.no_grad():
        next(iter(generator.parameters())).fill_(torch.nan)
    with pytest.raises(ModelError, match="not finite"):
        generator.sample(0, 3, stream())


def test_a_device_without_double_precision_draws_by_the_same_odds(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sampling, "finest", lambda _: torch.float32)
    logits = 2 * torch.randn(1500, generator=stream(1))
    drawn = torch.bincount(draw_any(logits.softmax(-1).expand(20000, -1), stream()), minlength=1500)
    expected = logits.double().softmax(-1) * 20000
    common = expected >= 5
    seen = [*drawn[common].tolist(), int(drawn[~common].sum())]
    assert chisquare(seen, [*expected[common].tolist(), float(expected[~common].sum())]).pvalue > 1e-3
