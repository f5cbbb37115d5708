"""How good a trained learner is on rows, in one number of which more is better: what dev rows choose by."""

from __future__ import annotations

import math

import numpy as np

from dilm.models.language import LanguageLearner
from dilm.models.learners import AnyLearner
from dilm.numerics.metrics import score
from dilm.types import Dataset

LEAST = 1e-300
"""Grade that stands for less, so that its perplexity is a number."""


def grade(learner: AnyLearner, rows: Dataset) -> float:
    """The task's metric, 0 to 1; where the target is text the probability of a token of it (geometric mean), which is
    one over the perplexity."""
    if isinstance(learner, LanguageLearner):
        told = learner.token_losses(rows.examples)
        return math.exp(-sum(float(each.sum()) for each in told) / sum(map(len, told)))
    return score(rows.task.metric, learner.predict(rows), rows.labels, len(rows.task.labels))


def in_metric(grade: float, metric: str) -> float:
    """A grade in the metric that trials are scored in: a perplexity, of which less is better, or the same number."""
    return 1 / max(grade, LEAST) if metric == "perplexity" else grade


def nll_of(judge: LanguageLearner, rows: Dataset) -> np.ndarray:
    """Of a token of each target, given its input: [n]."""
    return np.array([float(each.mean()) for each in judge.token_losses(rows.examples)])
