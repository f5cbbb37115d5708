"""Likelihoods of candidates after prompts: those of a plain loop, whatever stands beside them and whatever is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from shortages import FULL
from tiny_models import SENTENCES
from transformers import MambaConfig, MambaForCausalLM

from dilm.errors import ModelError
from dilm.models.decoders import open_causal_model
from dilm.models.hub import open_tokenizer
from dilm.models.scorer import CausalScorer
from dilm.runtime.device import Place

KINDS = ("gpt2", "bert", "roberta", "llama")
PROMPTS = [SENTENCES[0] + end for end in ("", " and", " no", " but why", ": a")]
"""Their common beginning is long enough to be read once for all."""
UNALIKE = ["no", "dull", "why, i would", "an honest film"]
CANDIDATES = [" no", " a", " a warm", " a warm heart", " lovely"]

Opener = Callable[..., CausalScorer]


@pytest.fixture
def opened(tiny_folder: Callable[[str], str], place: Place) -> Opener:
    def opener(kind: str, context: int = 0, batch: int = 4) -> CausalScorer:
        torch.manual_seed(1)
        model = open_causal_model(tiny_folder(kind))
        with torch.no_grad():  # fresh weights are so small that a wrong neighbour would hardly be felt
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape))
        return CausalScorer(model, open_tokenizer(tiny_folder(kind)), kind, place, context, batch)

    return opener


def pieces(scorer: CausalScorer, text: str) -> list[int]:
    return scorer.tokenizer(text, add_special_tokens=False)["input_ids"]


@torch.no_grad()
def log_likelihood(scorer: CausalScorer, context: list[int], answer: list[int]) -> float:
    """One answer after one context, token by token."""
    logs = scorer.model(input_ids=torch.tensor([[*context, *answer]])).logits[0].double().log_softmax(-1)
    return sum(logs[len(context) - 1 + at, token].item() for at, token in enumerate(answer))


def plain(scorer: CausalScorer, prompts: list[str], candidates: list[str]) -> list[list[float]]:
    """Each candidate on its own; the candidates begin with a space, so tokens of prompts stay as they are."""
    return [
        [
            log_likelihood(
                scorer,
                [*scorer.front, *pieces(scorer, prompt)],
                pieces(scorer, prompt + candidate)[len(pieces(scorer, prompt)) :],
            )
            for candidate in candidates
        ]
        for prompt in prompts
    ]


def same(one: object, other: object) -> None:
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("prompts", [PROMPTS, UNALIKE, PROMPTS[:1]], ids=["alike", "unalike", "one"])
@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_a_plain_loop(opened: Opener, kind: str, prompts: list[str]):
    scorer = opened(kind)
    assert any(len(pieces(scorer, candidate)) > 1 for candidate in CANDIDATES)
    assert scorer.front == ([scorer.tokenizer.cls_token_id] if kind in ("bert", "roberta") else [])
    same(scorer.score(prompts, CANDIDATES), plain(scorer, prompts, CANDIDATES))


@pytest.mark.parametrize("kind", KINDS)
def test_a_kept_beginning_changes_nothing(opened: Opener, kind: str):
    scorer = opened(kind)
    contexts = [[*scorer.front, *pieces(scorer, prompt)] for prompt in PROMPTS]
    assert scorer.keeps and scorer._beginning(contexts).length >= 16
    kept = scorer.score(PROMPTS, CANDIDATES)
    scorer.keeps = False
    same(kept, scorer.score(PROMPTS, CANDIDATES))


@pytest.mark.parametrize("kind", ["gpt2", "roberta"])
def test_neither_batch_nor_order_nor_neighbours_matter(opened: Opener, kind: str):
    prompts = [*PROMPTS, *UNALIKE]
    together = opened(kind, batch=64).score(prompts, CANDIDATES)
    same(opened(kind, batch=1).score(prompts, CANDIDATES), together)
    same(opened(kind, batch=3).score(prompts[::-1], CANDIDATES)[::-1], together)
    scorer = opened(kind)
    for column, candidate in enumerate(CANDIDATES):
        same(scorer.score(prompts, [candidate])[:, 0], together[:, column])


def test_fewer_prompts_run_together_where_memory_does_not_suffice(opened: Opener, monkeypatch: pytest.MonkeyPatch):
    prompts, scorer = [*PROMPTS, *PROMPTS], opened("gpt2", batch=16)
    wanted, read, together = scorer.score(prompts, CANDIDATES), CausalScorer._read, []

    def scarce(self, inputs, beginning):
        together.append(len(inputs))
        if len(inputs) > 3:
            raise RuntimeError(FULL)
        return read(self, inputs, beginning)

    monkeypatch.setattr(CausalScorer, "_read", scarce)
    same(scorer.score(prompts, CANDIDATES), wanted)
    assert max(together) > 3 and together[-1] <= 3
    together.clear()
    scorer.score(prompts, CANDIDATES)
    assert max(together) <= 3  # what was learnt is kept


def test_candidates_of_one_token_share_a_reading_and_no_reading_begins_another(opened: Opener):
    scorer = opened("gpt2")
    assert scorer._asked("no", [" a", " f"]).tails == [()]
    several = scorer._asked("no", CANDIDATES)
    assert len(several.tails) < len(CANDIDATES)
    for answer in several.answers:
        assert sum(tail[: len(answer) - 1] == tuple(answer[:-1]) for tail in several.tails) >= 1


def test_where_tokens_join_candidates_differ_as_the_whole_texts_do(opened: Opener):
    """The tokens are those of real text, also where a prompt ends within a token of it."""
    scorer = opened("gpt2")
    prompt, rest = _joined(scorer, [(text[:cut], text[cut:]) for text in SENTENCES[:4] for cut in range(2, 12)])
    candidates = [rest, "!", " no"]
    scores = scorer.score([prompt], candidates)[0]
    first = pieces(scorer, prompt)[:1]
    wholes = [log_likelihood(scorer, first, pieces(scorer, prompt + candidate)[1:]) for candidate in candidates]
    same(scores - scores[0], np.array(wholes) - wholes[0])


def _joined(scorer: CausalScorer, pairs: list[tuple[str, str]]) -> tuple[str, str]:
    """A prompt of several tokens, the last of which is another one once the rest follows."""
    for prompt, rest in pairs:
        alone, whole = pieces(scorer, prompt), pieces(scorer, prompt + rest)
        if len(alone) > 2 and whole[: len(alone)] != alone and whole[:1] == alone[:1]:
            return prompt, rest
    raise AssertionError("no tokens join")


def test_a_prompt_that_is_too_long_loses_its_beginning_and_says_so(opened: Opener, caplog):
    scorer = opened("bert", context=24)
    answer = pieces(scorer, " no")
    long = " ".join(SENTENCES)
    rest = pieces(scorer, long)[-(24 - 1 - len(answer)) :]
    same(scorer.score(["no", long], [" no"])[1, 0], log_likelihood(scorer, [*scorer.front, *rest], answer))
    assert "1 of 2 prompts" in caplog.text and "24 tokens of bert" in caplog.text


def test_the_context_is_what_the_model_holds_or_less(opened: Opener):
    assert (opened("gpt2").context, opened("gpt2", context=30).context, opened("gpt2", context=99).context) == (
        40,
        30,
        40,
    )
    assert np.isfinite(opened("gpt2").score([" ".join(SENTENCES)] * 2, CANDIDATES)).all()


def test_a_candidate_must_leave_room_and_say_something(opened: Opener):
    scorer = opened("gpt2", context=8)
    with pytest.raises(ModelError, match="8 tokens"):
        scorer.score(["no"], [" " + SENTENCES[2]])
    with pytest.raises(ModelError, match="adds no token"):
        scorer.score(["no"], [" a", ""])


def test_an_empty_prompt_is_read_after_the_start_token(opened: Opener):
    gpt2, bert = opened("gpt2"), opened("bert")
    for scorer, start in ((gpt2, gpt2.tokenizer.bos_token_id), (bert, bert.tokenizer.cls_token_id)):
        expected = log_likelihood(scorer, [start], pieces(scorer, "no heart"))
        same(scorer.score(["", "dull"], ["no heart"])[0, 0], expected)


def test_nothing_asked_is_nothing_scored(opened: Opener):
    assert opened("gpt2").score([], CANDIDATES).shape == (0, 5)
    assert opened("gpt2").score(["no"], []).shape == (1, 0)


def test_tokens_are_counted_as_the_model_does(opened: Opener):
    scorer = opened("bert")
    assert scorer.tokens("") == 0
    assert scorer.tokens("no") + 2 == len(scorer.tokenizer("no")["input_ids"])


def test_a_scorer_opens_by_name(tiny_folder: Callable[[str], str], place: Place, capfd):
    folder = tiny_folder("llama")
    scorer = CausalScorer.open(folder, place, context=33)
    assert (scorer.name, scorer.context) == (Path(folder).name, 33)
    assert capfd.readouterr() == ("", "")


def test_a_model_that_keeps_other_states_is_read_from_the_start(opened: Opener, place: Place):
    """Mamba goes left to right without keys and values."""
    tokenizer = opened("gpt2").tokenizer
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "state_size": 4, "vocab_size": len(tokenizer)}
    torch.manual_seed(0)
    scorer = CausalScorer(MambaForCausalLM(MambaConfig(**shape)), tokenizer, "mamba", place)
    assert not scorer.keeps
    same(scorer.score(PROMPTS, CANDIDATES), plain(scorer, PROMPTS, CANDIDATES))
