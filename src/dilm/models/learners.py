"""Who learns: a classifier where the target is a class, a language model where it is text."""

from __future__ import annotations

from typing import TypeAlias

from dilm.errors import ModelError
from dilm.models.classifier import Classifier
from dilm.models.language import LanguageLearner
from dilm.runtime.device import Place
from dilm.types import Task

AnyLearner: TypeAlias = Classifier | LanguageLearner

FRAME = 32
"""Tokens that are left for the template around the fields."""


def open_learner(name: str, task: Task, place: Place, layers: int = 0) -> AnyLearner:
    """In its initial state, from a hub id or folder; its first `layers` layers, or all where that is 0."""
    if not task.writes:
        return Classifier.open(name, task, place, task.longest_example, layers)
    if layers:
        raise ModelError(
            f"Only whole language models learn to write, and the first {layers} layers of {name!r} were asked for.",
            "Name the model alone in evaluate.learners.",
        )
    # A template and an end token stand beside the fields that the task's length counts.
    return LanguageLearner.open(name, task, place, task.max_tokens + FRAME)
