"""From a recipe to live objects: each is opened when it is first needed, and none knows the recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dilm import cleaning, journal
from dilm.coresets.cynical import Cynical
from dilm.coresets.distribution_matching import DistributionMatching
from dilm.coresets.el2n import EL2N
from dilm.coresets.facility_location import FacilityLocation
from dilm.coresets.farthest_first import FarthestFirst
from dilm.coresets.filters import Teacher
from dilm.coresets.gradient_matching import GradientMatching
from dilm.coresets.herding import Herding
from dilm.coresets.kmeans_nearest import KMeansNearest
from dilm.coresets.last import Last
from dilm.coresets.likeliest import Likeliest
from dilm.coresets.moderate import Moderate
from dilm.coresets.random import Random
from dilm.coresets.ranked import Ranked, hardest, middling
from dilm.coresets.typical import Typical
from dilm.coresets.validated import Validated
from dilm.data.conditions import Clusters
from dilm.data.jsonl import read_dataset
from dilm.distillation.ages import AtAge, SideBySide, at_ages
from dilm.distillation.trajectory import Ageing, Cached
from dilm.errors import RunError
from dilm.generators import Maker, is_scratch
from dilm.models.classifier import Classifier
from dilm.models.encoder import CachedEncoder
from dilm.models.hub import identity
from dilm.models.language import LanguageLearner
from dilm.models.latent_words import LatentWords
from dilm.models.learners import AnyLearner, open_learner
from dilm.models.mixture import AnyGenerator
from dilm.models.snapshots import Snapshots
from dilm.numerics.probe import Probe, fit_probe
from dilm.privacy.gate import Gate, Guarded, Purpose
from dilm.privacy.pii import Panel
from dilm.privacy.survey import Survey
from dilm.protocols import Selector
from dilm.reading import Found, fingerprints, open_encoder, read_splits
from dilm.runs import Run, cache_folder
from dilm.runtime import memory, processes
from dilm.runtime.device import Place, choose, one_each
from dilm.runtime.hashing import key
from dilm.runtime.optimize import Schedule
from dilm.runtime.progress import bar
from dilm.runtime.seeding import derive
from dilm.schedules import full_schedule
from dilm.types import Dataset, Task
from dilm.version import VERSION

BY_POINTS = {
    "kmeans_nearest": KMeansNearest,
    "farthest_first": FarthestFirst,
    "herding": Herding,
    "moderate": Moderate,
    "facility_location": FacilityLocation,
}
"""Coresets that need the encoder's points and nothing else."""

LEAST = 1e-12
"""Probability that stands for less, so that its logarithm is a number."""

FEW_AT_ONCE = 4
"""Rows whose graph is kept at a time while a learner grows, where memory matters more than time."""
JUDGES = 3
"""Learners that EL2N asks. The paper averages ten; each costs a short training and a reading of all rows."""


class Bench:
    """The workbench of one run: its data and models, made once and shared by the stages.

    Rows are read for a purpose: that of the stage at work, or `purpose` where the bench stands outside of any. `watch`
    is told of dev scores on the way, with the percent of `match` that is done; it may end the work by an exception.
    """

    def __init__(self, run: Run, purpose: Purpose | None = None) -> None:
        self.run = run
        self.recipe = run.recipe
        self.crew = processes.crew()
        self.watch: Callable[[int, float], None] = lambda percent, dev_score: None
        self._selectors: dict[str, Selector] = {}
        self.holders: Any = None  # who else has rows, where they are at work (`federated.Federation`)
        self.gate = Gate(lambda of, split: journal.note_read(run, of, split, self._rows.splits), purpose)

    @cached_property
    def place(self) -> Place:
        runtime = self.recipe.runtime
        device = one_each(runtime.device, self.crew)
        return choose(device, runtime.precision, runtime.threads, runtime.recompute)

    @property
    def splits(self) -> Guarded:
        """The data, read again from its source, and anonymized where that is asked for. Raises AccessError for a split
        that the purpose at hand does not cover."""
        return Guarded(self.gate, lambda: self._rows.splits)

    @property
    def survey(self) -> Survey | None:
        """What personal data was found in the rows; None where nobody looked."""
        return self._rows.survey

    @property
    def clusters(self) -> Clusters | None:
        """Of train rows, where they are the conditions, else None; raises AccessError as these rows do."""
        if self._rows.clusters:
            self.gate.let("train")
        return self._rows.clusters

    @cached_property
    def panel(self) -> Panel | None:
        """What looks for personal data in what is written here; None where nobody asked for it."""
        return cleaning.panel(self.recipe) if cleaning.wanted(self.recipe) else None

    @cached_property
    def _rows(self) -> Found:
        """What was read must still be what the run was begun with."""
        purpose = self.gate.purpose()
        manifest = self.run.stage("load").manifest
        mark = ((manifest or {}).get("anonymized") or {}).get("salt")
        if mark and mark != cleaning.salt_mark(cleaning.salt(self.recipe)):
            raise RunError(
                "The secret behind this run's stand-ins is not in this cache.",
                "Set DILM_CACHE to the folder that the run was begun with, or begin a new run with another `--out`.",
            )
        found = read_splits(self.recipe)
        if manifest and manifest["fingerprints"] != fingerprints(found.splits):
            raise RunError(
                f"The rows of {self.recipe.data.source} are not those that this run was begun with.",
                "Restore the source, and the settings that decide rows; or begin a new run with another `--out`.",
            )
        journal.note_opened(self.run, purpose, found.splits)
        return found

    @property
    def task(self) -> Task:
        return self.splits.task

    def folder(self, stage: str) -> Path:
        return self.run.stage(stage).path

    def model_folder(self, name: str, role: str) -> str:
        """Where transformers finds a model: a hub id or folder as it is, a scratch model in the run folder."""
        return str(self.folder("pretrain") / role) if is_scratch(name) else name

    def generator(self, stage: str) -> AnyGenerator:
        """The generator as a stage left it: `pretrain` (untrained or pretrained), `fit` or `match`."""
        maker = Maker(self.recipe, self.task, self.place, self.model_folder, lambda: self.splits.train)
        return maker.opened(None if stage == "pretrain" else self.folder(stage) / "model")

    def learner(self, name: str = "same") -> AnyLearner:
        """A learner in its initial state, which reads one text at a time; `same` is that of distillation."""
        return open_learner(self.learner_folder(name), replace(self.task, packed=1), self.place)

    def classifier(self) -> Classifier:
        """The learner of distillation where there are classes; `stages.fitting` lets no other task ask for it."""
        learner = self.learner()
        assert isinstance(learner, Classifier)
        return learner

    def learner_folder(self, name: str) -> str:
        """Where a learner's initial weights are, `same` being the learner of distillation."""
        return self.model_folder(self.recipe.models.learner if name == "same" else name, "learner")

    @cached_property
    def encoder(self) -> CachedEncoder:
        """What measures distances between texts."""
        folder = self.model_folder(self.recipe.models.encoder or self.recipe.models.learner, "learner")
        return open_encoder(folder, self.task, self.place, fingerprints(self._rows.splits).values())

    def selector(self, method: str, generator: AnyGenerator | None = None) -> Selector:
        """A coreset method by name, made once, for some count all rows; `likeliest` needs the generator that ranks."""
        if method == "likeliest":
            return Likeliest(generator or self.generator("fit"))
        if method not in self._selectors:
            self._selectors[method] = self._selector(method)
        return self._selectors[method]

    def _selector(self, method: str) -> Selector:
        if method == "random":
            return Random()
        if method == "typical":
            return Typical(self.encoder, self.chooser, self.recipe.select.long, self.recipe.select.sure)
        if method == "validated":
            return Validated(self.encoder, self.selector("typical"), self.splits.dev)
        if method == "el2n":
            return Ranked(Last(self._hardness), hardest) if self.task.writes else EL2N(self._young_learners)
        if method == "perplexity":
            return Ranked(Last(self._surprise), middling)
        if method == "cynical":
            return Cynical(self.splits.train)
        if method == "gradient_matching":
            return GradientMatching(SideBySide(self._learners_of_all_ages), self.splits.train)
        if method == "distribution_matching":
            return DistributionMatching((self.encoder, LatentWords(self.splits.train)), self.splits.train)
        return BY_POINTS[method](self.encoder)

    def ageing(self, seed: int) -> Ageing:
        """How the learner grows up on the train rows, as `match` meets it."""
        wanted, trial = self.recipe.match, self.recipe.evaluate
        schedule = Schedule(max((wanted.ages - 1) * wanted.age_steps, 1), trial.lr, trial.warmup)
        at_once = FEW_AT_ONCE if self.place.recompute else 0  # 0 is its own choice
        return Ageing(self.splits.train, wanted.ages, wanted.age_steps, schedule, trial.batch, seed, at_once)

    def aged(self, learner: AnyLearner, ageing: Ageing, lives: int) -> Cached:
        """A bank of a learner's lives: from the user's cache, or trained now and kept there."""
        bank = Cached(ageing, lives, bank=Snapshots(self.lives_folder(learner, ageing), learner.pristine))
        with bar("age the learner", lives * ageing.ages) as advance:
            self.crew.told(lambda: bank.fill(learner, advance))
        memory.give_back()
        return bank

    def lives_folder(self, learner: AnyLearner, ageing: Ageing) -> Path:
        """Where what depends on this way of growing up, and on nothing else, may be found again."""
        grown = {name: value for name, value in vars(ageing).items() if name not in ("train", "at_once")}
        content = [learner.identity, identity(learner.name), self.task.max_tokens, self.place.bf16]
        content += [ageing.train.fingerprint, grown]
        content += [ageing.at_once] if ageing.at_once else []  # dropout is drawn for what runs together
        return cache_folder() / "lives" / VERSION / key(content)

    @cached_property
    def _young_learners(self) -> list[AtAge]:
        """Several learners, each trained as long as the oldest that `match` meets."""
        learner, grown = self.learner(), self.ageing(derive(self.recipe.seed, "judges"))
        ageing = replace(grown, ages=2, age_steps=(grown.ages - 1) * grown.age_steps)  # the ages between are not asked
        return at_ages(learner, self.aged(learner, ageing, JUDGES), (f"{life}.1" for life in range(JUDGES)))

    def _hardness(self, rows: Dataset) -> np.ndarray:
        """Mean length of the error of a target's tokens over young learners: [n]."""
        return np.mean([young.restored().errors(rows).numpy() for young in self._young_learners], axis=0)

    def _surprise(self, rows: Dataset) -> np.ndarray:
        """Mean nll of a target's token over young learners: [n]."""
        told = [[float(each.mean()) for each in young.restored().token_losses(rows)] for young in self._young_learners]
        return np.mean(told, axis=0)

    @cached_property
    def _learners_of_all_ages(self) -> list[AtAge]:
        learner, ageing = self.learner(), self.ageing(derive(self.recipe.seed, "ages"))
        return at_ages(learner, self.aged(learner, ageing, 1), (f"0.{age}" for age in range(ageing.ages)))

    def teacher(self, name: str) -> Teacher:
        """Who knows the classes from all train rows: the `probe`, or the `learner`."""
        if name == "probe":
            # As a plain list: the array of a pool that is asked about once need not be kept.
            return lambda rows: self.chooser.log_probabilities(self.encoder.encode(rows.examples))
        return lambda rows: self._taught_learner.probabilities(rows).double().clamp_min(LEAST).log().cpu().numpy()

    def tokens(self, rows: Dataset) -> list[int]:
        """Tokens of each example as the learner of distillation reads it: [n]."""
        return self._counter.lengths(rows.examples)

    @cached_property
    def _counter(self) -> AnyLearner:
        return open_learner(self.learner_folder("same"), self.task, self.place)

    @cached_property
    def judge(self) -> LanguageLearner:
        """The language model that had no part in writing: the one that the recipe names, as it is, or the learner,
        trained on all train rows. For what is asked of it between its own trainings."""
        name = self.recipe.generation.judge
        judge = self.learner(name) if name else self._taught_learner.restored()
        assert isinstance(judge, LanguageLearner)
        return judge

    @cached_property
    def _taught_learner(self) -> AtAge:
        """The learner, fine-tuned on all train rows; its weights are kept in the user's cache."""
        schedule, seed = full_schedule(self.recipe), derive(0, "teacher")
        ageing = Ageing(self.splits.train, 2, schedule.steps, schedule, self.recipe.evaluate.batch, seed)
        learner = self.learner()
        return at_ages(learner, self.aged(learner, ageing, 1), ["0.1"])[0]

    @cached_property
    def chooser(self) -> Probe:
        """Who tells `typical` and filters how sure a text's class is: under differential privacy one that knows the
        classes from our own texts, of the pool that the product is chosen from."""
        if not self.recipe.closed:
            return self.probe
        texts = read_dataset(self.folder("generate") / "dilm-0.jsonl", self.task)
        return fit_probe(self.encoder.encode(texts), np.array(texts.labels))

    @cached_property
    def probe(self) -> Probe:
        """What the encoder's points of all train rows say of the classes."""
        return fit_probe(self.encoder.encode(self.splits.train), np.array(self.splits.train.labels))
