"""From the names in `evaluate.learners` to what learns and predicts, also in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

from dilm.build import Bench, open_encoder
from dilm.distillation.embedded import DistilledEmbeddings
from dilm.evaluation.finetune import Finetuned
from dilm.evaluation.text_generation import Taught
from dilm.generators import is_scratch
from dilm.models.classifier import Classifier
from dilm.models.connection import Manners
from dilm.models.endpoint import Endpoint, EndpointScorer
from dilm.models.hub import identity
from dilm.models.language import LanguageLearner
from dilm.models.learners import AnyLearner, open_learner
from dilm.models.linear import FrozenFeatures, WordCounts
from dilm.models.scorer import CausalScorer
from dilm.protocols import Scorer, Student
from dilm.recipe import Prompt, Runtime, Server
from dilm.recipe.learners import SAME, Learning, learning
from dilm.runs import cache_folder
from dilm.runtime.device import choose
from dilm.runtime.hashing import key
from dilm.runtime.optimize import Schedule
from dilm.types import Dataset, Example, Task


@dataclass(frozen=True)
class Enrolled:
    """A learner of this evaluation: its name in tables, its way to learn, and where its initial weights are."""

    name: str
    way: Learning
    folder: str
    identity: str
    """Content key of the initial weights; with the way it learns, where that is no fine-tuning of all of them."""
    endpoint: Endpoint | None = None
    """Where it is asked, if it is served."""

    @property
    def draws(self) -> bool:
        """Whether another seed gives another score: another training, or another order of demonstrations."""
        return not self.way.is_linear

    def is_own(self, bench: Bench) -> bool:
        """Whether it is the learner of distillation, fine-tuned as a whole."""
        own = identity(bench.learner_folder(SAME))
        return self.way.way == "finetune" and not self.way.layers and self.identity == own

    @property
    def reads(self) -> bool:
        """Whether it learns in context, from a prompt, and nothing is trained."""
        return self.way.reads


def enrolled(bench: Bench) -> list[Enrolled]:
    """Everyone whom `evaluate.learners` names, in its order; two names of the same learner count once."""
    found: dict[str, Enrolled] = {}
    for name in bench.recipe.evaluate.learners:
        who = enrol(bench, name)
        taken = who.name in {other.name for other in found.values()}
        # Two folders may end alike, and scores are told apart by name.
        found.setdefault(who.identity, replace(who, name=f"{who.name} {who.identity[:6]}") if taken else who)
    return list(found.values())


def enrol(bench: Bench, name: str) -> Enrolled:
    """Whom a name in `evaluate.learners` means."""
    way = learning(name)
    if not way.model:
        return Enrolled(name, way, "", name)
    if way.served:
        asked = _endpoint(way, bench.recipe.prompt)
        return Enrolled(f"{way.way}:{asked.model}", way, "", key(asdict(asked)), asked)
    folder = bench.learner_folder(way.model)
    content = identity(folder)
    shown = _known_as(bench, way.model)
    if way.way == "finetune" and not way.layers:
        return Enrolled(shown, way, folder, content)
    prefix = f"first-{way.layers}" if way.layers else way.way
    return Enrolled(f"{prefix}:{shown}", way, folder, key([way.way, way.layers, content]))


def _endpoint(way: Learning, prompt: Prompt) -> Endpoint:
    url, _, model = way.model.partition("#")
    route = "chat" if way.way == "served-chat" else "completions"
    return Endpoint(url, model, route, prompt.top_logprobs, prompt.context)


def _known_as(bench: Bench, model: str) -> str:
    """A model's name in tables: a hub id as it is, of a folder or a link to one its last part."""
    name = bench.recipe.models.learner if model == SAME else model
    return Path(os.path.abspath(name)).name if not is_scratch(name) and Path(name).is_dir() else name


def scorer(who: Enrolled, runtime: Runtime, server: Server) -> Scorer:
    """The language model that reads demonstrations; of a server, nothing is asked twice by one user."""
    if who.endpoint:
        return _served(who.endpoint, server, cache_folder() / "answers.sqlite")
    return _language_model(who.folder, who.identity, runtime)


@cache
def _served(endpoint: Endpoint, server: Server, answers: Path) -> EndpointScorer:
    """One for all trials of a process, so that its budget is one too."""
    return EndpointScorer(endpoint, answers, Manners(**asdict(server)))


def renew_budgets() -> None:
    """Every served model may be sent as many requests as at first."""
    _served.cache_clear()


@lru_cache(maxsize=1)
def _language_model(folder: str, identity: str, runtime: Runtime) -> CausalScorer:
    return CausalScorer.open(folder, choose(runtime.device, runtime.precision))


def student(who: Enrolled, task: Task, schedule: Schedule | None, batch: int, runtime: Runtime) -> Student:
    """Ready to learn. What it is made of is opened once for all trials of a process."""
    if who.way.way == "tfidf":
        return WordCounts()
    if who.way.way == "frozen":
        return _frozen(who.folder, who.identity, task, runtime)
    learner = _learner(who, task, runtime)
    assert schedule is not None and isinstance(learner, Classifier)
    return Finetuned(learner, schedule, batch)


def writing_student(who: Enrolled, task: Task, schedule: Schedule, batch: int, runtime: Runtime) -> Taught:
    """The same of a task whose target is text."""
    learner = _learner(who, task, runtime)
    assert isinstance(learner, LanguageLearner)
    return Taught(learner, schedule, batch)


@lru_cache(maxsize=1)
def _learner(who: Enrolled, task: Task, runtime: Runtime) -> AnyLearner:
    return open_learner(who.folder, task, choose(runtime.device, runtime.precision), who.way.layers)


@lru_cache(maxsize=1)
def _frozen(folder: str, identity: str, task: Task, runtime: Runtime) -> FrozenFeatures:
    """`identity` tells when the folder holds other weights than before."""
    whole = replace(task, max_tokens=task.longest_example)
    return FrozenFeatures(open_encoder(folder, whole, choose(runtime.device, runtime.precision)))


@dataclass(frozen=True)
class Embedded:
    """A learner that is taught by embeddings: whatever rows it is given, it trains on these."""

    learner: Classifier
    embeddings: DistilledEmbeddings

    def train_on(self, rows: Dataset, seed: int) -> None:
        """`rows` only show what the embeddings look like."""
        self.embeddings.train(self.learner, seed)

    def predict(self, examples: Sequence[Example]) -> list[int]:
        """Most likely class of each example."""
        return self.learner.predict(examples)


def embedded_student(who: Enrolled, task: Task, file: Path, runtime: Runtime) -> Embedded:
    """The learner of distillation with the embeddings that were learnt for it."""
    learner = _learner(who, task, runtime)
    assert isinstance(learner, Classifier)
    return Embedded(learner, DistilledEmbeddings.load(file))
