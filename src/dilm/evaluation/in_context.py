"""In-context learning: a language model reads a small set as demonstrations, and its answers to queries are scored.

Nothing is trained. What varies is the order of the demonstrations, which matters much (Lu et al. 2022), so a set is
scored in several orders. Contextual calibration (Zhao et al. 2021) divides each class's probability by the one that the
same demonstrations give it for a query without content.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np

from dilm.errors import DataError, ModelError
from dilm.evaluation.prompts import BETWEEN, answers, demonstration, few_shot, query, rounds
from dilm.evaluation.trials import Question
from dilm.protocols import Scorer
from dilm.runtime.hashing import key
from dilm.runtime.meter import spent
from dilm.types import Dataset, Example, Score, Task

log = logging.getLogger(__name__)

CONTENT_FREE = ("N/A", "", "[MASK]")
"""Texts that say nothing of any class (Zhao et al. 2021, section 5)."""
SPARE = 8
"""Tokens left free for those that a tokenizer adds, and for those that joining texts makes."""
UNREADABLE = -1
"""The class of an answer that could not be read: always wrong."""


@dataclass(frozen=True)
class PromptTrial(Question):
    """One prompting: `rows` are shown in the order of `seed`, `test` is asked for. The learner is a language model."""

    identity: str
    """Content key of the language model, with whatever else decides its answers."""
    content_free: tuple[str, ...] = ()
    """What calibrates, for example CONTENT_FREE; nothing for none."""

    @property
    def key(self) -> str:
        """Equal keys, equal scores: what was measured once need not be measured again."""
        task = self.test.task  # the template and the metric stand in no fingerprint
        data = (self.rows.fingerprint, self.test.fingerprint, task.prompt, task.metric)
        return key(["in-context", self.identity, data, self.content_free, self.seed])


def in_context(first: PromptTrial, scorer: Scorer, orders: int) -> list[Score]:
    """One score for each of so many orders of the demonstrations, the first trial's and those of the seeds after it."""
    return [run_prompt_trial(replace(first, seed=first.seed + order), scorer) for order in range(orders)]


def run_prompt_trial(trial: PromptTrial, scorer: Scorer) -> Score:
    """Ask for every row of `test` and score the answers; one that cannot be read counts as wrong."""
    begin = spent()
    _check_same_task(trial.rows.task, trial.test.task)
    predicted = predict(scorer, trial.rows, trial.test, trial.seed, trial.content_free)
    return trial.scored(predicted, begin)


def predict(
    scorer: Scorer, rows: Dataset, examples: Dataset, seed: int, content_free: tuple[str, ...] = ()
) -> list[int]:
    """The class of each example after the demonstrations `rows`; UNREADABLE where the model gave no answer.

    Each example is shown as many rounds of demonstrations as fit beside it. Those with equally many are asked together:
    they share the beginning of their prompts, and what calibrates them.
    """
    task, turns = examples.task, rounds(rows, seed)
    kept = _rounds_that_fit(scorer, task, turns, [example.texts for example in examples], content_free)
    _tell_dropped(scorer, turns, kept)
    predicted = np.full(len(examples), UNREADABLE)
    for count in sorted(set(kept)):
        places = [place for place, fitting in enumerate(kept) if fitting == count]
        shown = [example for turn in turns[:count] for example in turn]
        logs = _logs(scorer, task, shown, [examples[place].texts for place in places], content_free)
        readable = ~np.isnan(logs).any(1)
        predicted[np.array(places)[readable]] = logs[readable].argmax(1)
    _tell_unreadable(scorer, predicted)
    return predicted.tolist()


def calibrated(logs: np.ndarray, content_free: np.ndarray) -> np.ndarray:
    """Log of each class's probability over its mean probability without content: [n, c], [m, c] -> [n, c].

    Both are first normalised over the classes (Zhao et al. 2021, section 5: W = diag(p_cf)^-1, b = 0).
    """
    prior = np.logaddexp.reduce(_normalised(content_free), axis=0) - np.log(len(content_free))
    return _normalised(logs) - prior


def _normalised(logs: np.ndarray) -> np.ndarray:
    return logs - np.logaddexp.reduce(logs, axis=1, keepdims=True)


def _logs(
    scorer: Scorer, task: Task, shown: list[Example], texts: list[tuple[str, ...]], content_free: tuple[str, ...]
) -> np.ndarray:
    """The scorer's log-likelihoods for queries that share their demonstrations, calibrated if asked for: -> [n, c]."""
    free = _content_free(task, content_free)
    logs = scorer.score([few_shot(task, shown, several) for several in [*texts, *free]], answers(task))
    if not free:
        return logs
    logs, prior = logs[: len(texts)], logs[len(texts) :]
    if not np.isfinite(prior).all():
        raise ModelError(
            f"{scorer.name} answers in words, without a likelihood for each class, so it cannot be calibrated.",
            "Score it without calibration, or use a server that returns the likelihoods of all class names.",
        )
    return calibrated(logs, prior)


def _content_free(task: Task, words: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [(word,) * len(task.fields) for word in words]


def _rounds_that_fit(
    scorer: Scorer,
    task: Task,
    turns: list[list[Example]],
    texts: list[tuple[str, ...]],
    content_free: tuple[str, ...],
) -> list[int]:
    """How many whole rounds of demonstrations fit before each query: dropping whole ones keeps classes balanced."""
    costs = [sum(scorer.tokens(demonstration(task, example) + BETWEEN) for example in turn) for turn in turns]
    ends = list(accumulate(costs))
    space = scorer.context - SPARE - max(scorer.tokens(answer) for answer in answers(task))
    least = max((scorer.tokens(query(task, free)) for free in _content_free(task, content_free)), default=0)
    return [bisect_right(ends, space - max(least, scorer.tokens(query(task, several)))) for several in texts]


def _check_same_task(shown: Task, asked: Task) -> None:
    if (shown.fields, shown.labels) != (asked.fields, asked.labels):
        raise DataError(
            f"The demonstrations have fields {shown.fields} and classes {shown.labels}, "
            f"the queries {asked.fields} and {asked.labels}.",
            "Show examples of the task that is asked for.",
        )


def _tell_dropped(scorer: Scorer, turns: list[list[Example]], kept: Sequence[int]) -> None:
    rows = [0, *accumulate(map(len, turns))]
    dropped = [rows[-1] - rows[count] for count in kept if count < len(turns)]
    if dropped:
        log.warning(
            "%s: %d to %d of %d demonstrations were dropped for %d of %d queries, whole rounds of classes, "
            "to fit into %d tokens.",
            *(scorer.name, min(dropped), max(dropped), rows[-1], len(dropped), len(kept), scorer.context),
        )


def _tell_unreadable(scorer: Scorer, predicted: np.ndarray) -> None:
    missing = int((predicted == UNREADABLE).sum())
    if missing:
        log.warning("%s: %d of %d answers name no class; they count as wrong.", scorer.name, missing, len(predicted))
