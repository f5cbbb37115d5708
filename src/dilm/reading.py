"""From a recipe to the rows that it names: read, anonymized, carved, clustered where their target is text.

And what stage keys say of tasks whose target is text.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cached_property
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from dilm import cleaning, planting
from dilm.data.conditions import Clusters, by_clusters, word_points
from dilm.data.load import Limits, divide, read
from dilm.data.targets import EVERYTHING
from dilm.data.tasks import read_task, task_names
from dilm.generators import is_scratch
from dilm.models.encoder import CachedEncoder, FeatureEncoder
from dilm.models.hub import identity
from dilm.models.pairs import PairEncoder
from dilm.privacy.survey import Survey
from dilm.recipe import Recipe
from dilm.recipe.generation import Generation
from dilm.runs import cache_folder, make_cache
from dilm.runtime.device import Place, choose
from dilm.runtime.hashing import key
from dilm.runtime.seeding import derive
from dilm.types import GENERATION, Dataset, Example, Splits, Task
from dilm.version import VERSION

MOST_TEXTS, MOST_WORDS = 4, 100
"""Of one example, where nobody said how many texts share it."""


class Found(NamedTuple):
    """What a source holds."""

    splits: Splits
    survey: Survey | None
    """Where somebody looked for personal data."""
    clusters: Clusters | None
    """Where conditions are clusters of the rows."""


def read_splits(recipe: Recipe) -> Found:
    """Load, anonymize, carve, plant canaries; the recipe's data_seed decides the carving, its max_tokens overrides the
    task's, and how many texts share an example is up to it alone.

    Stand-ins make equal what differed only in a secret, so they come first: equal texts are carved to one side.
    """
    data, survey = recipe.data, None
    limits = Limits(data.dev_rows, data.test_rows, data.train_rows, drop_empty=data.drop_empty, user=data.user)
    said = {"text": data.text, "label": data.label or None, "target": data.target, "test": data.test or None}
    train, scored = read(data.source, **said, limits=limits)
    if cleaning.wanted(recipe):
        parts = {"train": train} | ({} if scored is None else {"test": scored})
        cleaned, survey = cleaning.clean(recipe, parts)
        train, scored = cleaned["train"], cleaned.get("test")
    divided = divide(train, scored, limits, recipe.data_seed)
    clusters = clustered(recipe, divided)
    found = clusters.under(divided) if clusters else divided
    longest = recipe.models.max_tokens or found.task.max_tokens
    task = replace(found.task, max_tokens=longest, packed=recipe.select.packed or sharing(recipe, found.train))
    found = Splits(*(Dataset(task, part.examples) for part in (found.train, found.dev, found.test)))
    return Found(planting.plant(recipe, found), survey, clusters)


def sharing(recipe: Recipe, train: Dataset) -> int:
    """How many texts may share an example where that is left to the rows: to their length, and of every class there
    must be as many to compare with."""
    if train.task.writes:
        return 1
    words = fmean(sum(len(text.split()) for text in row.texts) for row in train)
    rows = min(train.counts) // recipe.per_class
    return max(1, min(MOST_TEXTS, recipe.generate.oversample, rows, int(MOST_WORDS / max(words, 1))))


def clustered(recipe: Recipe, splits: Splits) -> Clusters | None:
    """The clusters of a generation task's rows where no column names conditions, else None: found once, then read from
    the user's cache."""
    if splits.task.labels != (EVERYTHING,) or not splits.task.writes:
        return None
    seed, count, marks = derive(recipe.data_seed, "conditions"), recipe.generation.conditions, fingerprints(splits)
    name = clusters_by(recipe)
    features = _Features(recipe, name, splits.task, tuple(marks.values())) if name else None
    about = key([marks, count, seed, features.about if features else "words"])
    file = cache_folder() / "conditions" / VERSION / f"{about}.npz"
    if file.exists():
        return Clusters.read(file, features)
    found = by_clusters(splits, features or word_points(splits.train, seed), count, seed)
    make_cache()
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".{os.getpid()}")  # two runs may cluster the same at once
    found.write(part)
    part.replace(file)
    return found


class _Features:
    """Points of a pretrained model, which is opened when it is first asked."""

    def __init__(self, recipe: Recipe, name: str, task: Task, lasting: Collection[str]) -> None:
        self.name, self.task, self.lasting = name, task, lasting
        self.place = choose(recipe.runtime.device, recipe.runtime.precision)

    @property
    def about(self) -> list[Any]:
        """What its digits depend on."""
        return [identity(self.name), self.task.max_tokens, self.place.bf16]

    @cached_property
    def encoder(self) -> CachedEncoder:
        return open_encoder(self.name, self.task, self.place, self.lasting)

    def __call__(self, rows: Sequence[Example]) -> np.ndarray:
        """n examples -> [n, d]."""
        return self.encoder.encode(rows)


def clusters_by(recipe: Recipe) -> str:
    """The pretrained model whose features rows are clustered by; empty: they are clustered by their words."""
    return "" if is_scratch(recipe.models.encoder) or not is_generation(recipe) else recipe.models.encoder


def is_generation(recipe: Recipe) -> bool:
    """Whether the target is text, as far as it can be known before the rows are read."""
    known = recipe.data.source in task_names() and not recipe.data.label
    return bool(recipe.data.target) or (known and read_task(recipe.data.source).kind == GENERATION)


def fingerprints(splits: Splits) -> dict[str, str]:
    """What identifies the data of a run."""
    return {name: getattr(splits, name).fingerprint for name in ("train", "dev", "test")}


def open_encoder(folder: str, task: Task, place: Place, lasting: Collection[str] = ()) -> CachedEncoder:
    """Its points of large `lasting` datasets are kept in the user's cache, apart for all that changes their digits."""
    content = key([identity(folder), task.max_tokens, place.bf16, *(["pairs"] if task.is_pair else [])])
    kept = cache_folder() / "points" / VERSION / content
    reader = FeatureEncoder.open(folder, place, task.max_tokens)
    return CachedEncoder(PairEncoder(reader) if task.is_pair else reader, kept, lasting)


def clusters(recipe: Recipe) -> list[Any]:
    """How the rows of a generation task are clustered, where that is not as by default, on words."""
    wanted, model = recipe.generation.conditions, clusters_by(recipe)
    asked = {"conditions": wanted} if wanted != Generation().conditions else {}
    return [asked | ({"by": identity(model)} if model else {})] if asked or model else []


def terms(recipe: Recipe) -> list[Any]:
    """The objective's terms of a generation task, and who judges; nothing where none is asked for."""
    wanted = recipe.generation
    told = [wanted.coherence, wanted.diversity, *judged(recipe)] if wanted.coherence or wanted.diversity else []
    return [*told, {"coverage": wanted.coverage}] if wanted.coverage else told


def answers(recipe: Recipe) -> list[Any]:
    """How many answers are written, where that is not as by default."""
    wanted = recipe.generation.answers
    return [{"answers": wanted}] if wanted != Generation().answers else []


def judged(recipe: Recipe) -> list[Any]:
    """Who the independent language model is: by its content, or how the learner is taught for that."""
    judge, trial = recipe.generation.judge, recipe.evaluate
    if judge:
        return [identity(judge)]
    return [trial.full_steps, trial.full_lr, trial.full_warmup, trial.weight_decay, trial.clip, trial.batch]
