"""A causal language model as scorer: how likely each candidate follows a prompt, token by token, nothing sampled."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import DynamicCache

from dilm.errors import ModelError
from dilm.models.decoders import only_positions, open_causal_model
from dilm.models.encodings import longest_input
from dilm.models.hub import open_tokenizer
from dilm.runtime import memory, meter
from dilm.runtime.device import Place

log = logging.getLogger(__name__)

BATCH = 16
"""Prompts that run together."""
WORTH_KEEPING = 16
"""Tokens that all prompts must begin with before that beginning is read once for all of them."""
SHORTER = "Shorten the prompts (`prompt.context`), or use a smaller language model."
PROBE = tuple(range(5, 13))
"""Tokens on which a model shows whether it can read on from a kept beginning."""

Tail = tuple[int, ...]


@dataclass(frozen=True)
class Asked:
    """One prompt in tokens, and each candidate as the tokens that follow it."""

    context: list[int]
    answers: list[list[int]]
    dropped: int
    """Tokens that were cut from the beginning, because the model cannot hold more."""

    @property
    def tails(self) -> list[Tail]:
        """What must be read after the context to know all answers; no tail is the beginning of another.

        The last token of an answer is never read, so answers of one token share the empty tail.
        """
        tails = sorted({tuple(answer[:-1]) for answer in self.answers})
        last = len(tails) - 1
        return [tail for at, tail in enumerate(tails) if at == last or tails[at + 1][: len(tail)] != tail]


@dataclass(frozen=True)
class Beginning:
    """The first `length` tokens of all prompts as the model keeps them; nothing for `length` 0."""

    cache: DynamicCache | None = None
    length: int = 0


class CausalScorer:
    """Any Hugging Face causal LM behind the `Scorer` socket."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        name: str,
        place: Place,
        context: int = 0,
        batch: int = BATCH,
    ) -> None:
        self.model = model.to(place.device).eval()  # type: ignore[arg-type]
        self.tokenizer = tokenizer
        self.name = name
        self.place = place
        self.batch = batch
        self.appetite = memory.Appetite("prompts")
        holds = min(tokenizer.model_max_length, longest_input(model))
        self.context = min(context or holds, holds)
        self.front = _front(tokenizer)
        self.keeps = self._keeps()

    @classmethod
    def open(cls, name: str, place: Place, context: int = 0, batch: int = BATCH) -> CausalScorer:
        """From a hub id or a local folder; `context` 0 is as long as the model allows. Raises ModelError."""
        folder = Path(name).expanduser()
        known_as = folder.resolve().name if folder.is_dir() else name
        return cls(open_causal_model(name), open_tokenizer(name), known_as, place, context, batch)

    def tokens(self, text: str) -> int:
        """Tokens of a text, without those that the tokenizer puts around it."""
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])  # type: ignore[arg-type]

    @torch.no_grad()
    def score(self, prompts: Sequence[str], candidates: Sequence[str]) -> np.ndarray:
        """Sum of the log-probabilities of each candidate's tokens after each prompt: -> float64 [n, c].

        Neither the batch nor padding changes it, beyond rounding. A prompt that is too long loses its beginning.
        """
        scores = np.zeros((len(prompts), len(candidates)))
        if not scores.size:
            return scores
        asked = [self._asked(prompt, candidates) for prompt in prompts]
        _tell_dropped(self, asked)
        with self.place.autocast(), memory.guard("one prompt", SHORTER):
            self.appetite.feed(self.batch, partial(self._fill, scores, asked))
        return scores

    def _fill(self, scores: np.ndarray, asked: list[Asked], batch: int) -> None:
        """Write every score, the longest inputs first: too little memory shows at once."""
        runs = [(number, tail) for number, one in enumerate(asked) for tail in one.tails]
        runs.sort(key=lambda run: -len(asked[run[0]].context) - len(run[1]))
        beginning = self._beginning([one.context for one in asked])
        for first in range(0, len(runs), batch):
            chunk = runs[first : first + batch]
            inputs = [(asked[number].context, tail) for number, tail in chunk]
            for (number, tail), logs in zip(chunk, self._read(inputs, beginning), strict=True):
                for column, answer in enumerate(asked[number].answers):
                    if tuple(answer[:-1]) == tail[: len(answer) - 1]:
                        scores[number, column] = logs[list(range(len(answer))), answer].double().sum().item()

    def _read(self, inputs: Sequence[tuple[list[int], Tail]], beginning: Beginning) -> list[Tensor]:
        """Log-probabilities of what follows a context and each token of its tail: n inputs -> n of [1 + tail, V]."""
        rows = [[*context[beginning.length :], *tail] for context, tail in inputs]
        meter.count(sum(map(len, rows)))
        counts = [1 + len(tail) for _, tail in inputs]
        tokens, mask = self._pad(rows)
        places = torch.arange(mask.shape[1], device=mask.device)
        ends, wanted = mask.sum(1, keepdim=True), torch.tensor(counts, device=mask.device)[:, None]
        read = mask & (places >= ends - wanted)
        mask = nn.functional.pad(mask, (beginning.length, 0), value=True)
        cache = deepcopy(beginning.cache)  # reading on writes into it
        if cache is not None:
            cache.batch_repeat_interleave(len(rows))
        kept = {} if cache is None else {"past_key_values": cache}
        with only_positions(self.model, read):
            logits = self.model(
                input_ids=tokens, attention_mask=mask.long(), use_cache=bool(kept), **kept
            ).logits  # [sum of counts, V]
        return list(logits.float().log_softmax(-1).split(counts))

    def _pad(self, rows: list[list[int]]) -> tuple[Tensor, Tensor]:
        """Padding stands on the right, where no real token of a causal model sees it: -> [n, T], bool [n, T]."""
        width = max(map(len, rows))
        tokens = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=self.model.device)
        lengths = torch.tensor([len(row) for row in rows], device=self.model.device)
        return tokens, torch.arange(width, device=self.model.device) < lengths[:, None]

    def _beginning(self, contexts: list[list[int]]) -> Beginning:
        """What all contexts begin with, read once: few-shot prompts share their demonstrations.

        The last token of a context is left out, since what follows it is asked for.
        """
        length = min(_shared(min(contexts), max(contexts)), min(map(len, contexts)) - 1)
        if not self.keeps or len(contexts) == 1 or length < WORTH_KEEPING:
            return Beginning()
        return self._keep(contexts[0][:length])

    def _keep(self, tokens: list[int]) -> Beginning:
        row = torch.tensor([tokens], device=self.model.device)
        cache = DynamicCache(config=self.model.config)
        with only_positions(self.model, torch.zeros_like(row, dtype=torch.bool)):
            self.model(input_ids=row, attention_mask=torch.ones_like(row), past_key_values=cache, use_cache=True)
        return Beginning(cache, len(tokens))

    @torch.no_grad()
    def _keeps(self) -> bool:
        """Whether the model reads on from a kept beginning as if it read all; recurrent ones keep other states."""
        tokens = [token % self.model.config.get_text_config().vocab_size for token in PROBE]
        inputs: list[tuple[list[int], Tail]] = [(tokens, ()), (tokens[:-2], (tokens[-2],))]
        plain = torch.cat(self._read(inputs, Beginning()))
        try:
            kept = torch.cat(self._read(inputs, self._keep(tokens[:4])))
        except Exception:  # every architecture without such a cache says so in its own way
            return False
        return bool(torch.allclose(plain, kept, atol=1e-3))

    def _asked(self, prompt: str, candidates: Sequence[str]) -> Asked:
        """Prompt and candidate are read as one text, so that the tokens are those of real text.

        Where a tokenizer joins the end of the prompt with a candidate, that end is scored with every candidate.
        """
        texts = [prompt, *(prompt + candidate for candidate in candidates)]
        alone, *wholes = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
        first = min(_shared(alone, whole) for whole in wholes)
        answers = [whole[first:] for whole in wholes]
        for candidate, answer in zip(candidates, answers, strict=True):
            if not answer:
                problem = f"The candidate {candidate!r} adds no token to a prompt."
                raise ModelError(problem, f"Give each class a name that {self.name} can write.")
        context = [*self.front, *alone[:first]] or [self._start()]
        short = self._shortened(context, self.context - max(map(len, answers)))
        return Asked(short, answers, len(context) - len(short))

    def _shortened(self, context: list[int], room: int) -> list[int]:
        """The end of a context, behind the tokens that every text begins with."""
        if len(context) <= room:
            return context
        if room <= len(self.front):
            problem = f"A candidate fills all {self.context} tokens that {self.name} can hold."
            raise ModelError(problem, "Use shorter class names or a model with a longer context.")
        return [*self.front, *context[len(context) - room + len(self.front) :]]

    def _start(self) -> int:
        """What stands before the first token of an empty prompt, for models that put nothing there by themselves."""
        roles = (getattr(self.tokenizer, f"{role}_token_id") for role in ("bos", "cls", "eos"))
        start = next((token for token in roles if token is not None), None)
        if start is None:
            raise ModelError(f"{self.name} has no start token to follow.", "Give prompts that are not empty.")
        return start


def _front(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """What a tokenizer puts before every text, for example `<s>`; what it puts behind does not concern a prompt."""
    framed: list[int] = tokenizer("a")["input_ids"]  # type: ignore[assignment]
    plain: list[int] = tokenizer("a", add_special_tokens=False)["input_ids"]  # type: ignore[assignment]
    places = (at for at in range(len(framed)) if framed[at : at + len(plain)] == plain)
    return framed[: next(places, 0)]


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two sequences have in common before they differ."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (left, right) in pairs if left != right), min(len(one), len(other)))


def _tell_dropped(scorer: CausalScorer, asked: list[Asked]) -> None:
    cut = [one.dropped for one in asked if one.dropped]
    if cut:
        log.warning(
            "%d of %d prompts are longer than the %d tokens of %s: they lost up to %d tokens of their beginning.",
            *(len(cut), len(asked), scorer.context, scorer.name, max(cut)),
        )
