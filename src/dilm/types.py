"""The nouns: immutable values that every floor above passes around. Standard library only."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, overload

from dilm.errors import DataError

GENERATION = "generation"
"""The kind of tasks whose target is text; their classes are conditions: clusters of the rows, or a column."""


@dataclass(frozen=True)
class Task:
    """What a dataset asks: its text fields in reading order, its class names and how answers are scored."""

    name: str
    fields: tuple[str, ...]
    labels: tuple[str, ...]
    metric: str = "accuracy"
    """`accuracy`, `macro_f1` or `accuracy_f1` (mean of accuracy and F1 of class 1: QQP in the paper); `perplexity` of a
    token of the target, where that is text."""
    kind: str = "classification"
    """`classification` or `generation`."""
    prompt: str = ""
    """Few-shot template with `{field}` for each field and `{label}`; empty means one line per field."""
    max_tokens: int = 64
    """Longest text, in generator tokens over all fields, that the generator may write."""
    target: str = ""
    """Of a task whose `kind` is `generation`: the field, always the last, that learners write given the others."""
    answer: str = ""
    """How a written target is checked besides: `number` (it ends in one), `slots` (`name[value]` of the input); empty:
    not at all."""
    packed: int = 1
    """Texts of a class that share one example of a small set."""

    @property
    def writes(self) -> bool:
        """Whether learners write a text instead of choosing a class."""
        return self.kind == GENERATION

    @property
    def is_pair(self) -> bool:
        """Whether an example is two texts and a class: then their relation may be what is asked."""
        return len(self.fields) == 2 and not self.writes

    @property
    def longest_example(self) -> int:
        """Tokens that learners read of one."""
        return self.max_tokens * self.packed

    def question(self, texts: Sequence[str]) -> str:
        """What a learner of a generation task reads before it writes: the template up to its target, filled.

        >>> Task("t", ("ask", "say"), ("all",), kind="generation", target="say").question(("Who?", "I."))
        'ask: Who?\\nsay:'
        """
        template = self.prompt or "\n".join(f"{name}: {{{name}}}" for name in self.fields)
        before = template.partition(f"{{{self.target}}}")[0].rstrip()
        return before.format_map(dict(zip(self.fields[:-1], texts, strict=False)))

    @property
    def conditions(self) -> range:
        """What the generator is conditioned on: one condition per class."""
        return range(len(self.labels))


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled row: a text per field, and the class as a position in `Task.labels`."""

    texts: tuple[str, ...]
    label: int
    soft: tuple[float, ...] = ()
    """Probability of every class, where a teacher gave them: what is trained on then instead of `label`."""

    @property
    def characters(self) -> int:
        """Of all fields together: rows of like length are read with little padding."""
        return sum(map(len, self.texts))


@dataclass(frozen=True, slots=True)
class Draft:
    """One raw sample of a generator, not yet judged: the fields it wrote, and whether it wrote its end token."""

    texts: tuple[str, ...]
    finished: bool


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a text that a detector took for personal data: `text[start:end]`."""

    start: int
    end: int
    kind: str
    """What it was taken for, in capitals: `EMAIL_ADDRESS`, `PERSON`, ..."""
    score: float = 1.0
    """How sure the detector is, 0 to 1."""


class Dataset(Sequence[Example]):
    """An immutable sequence of examples of one task, known by a fingerprint of its content."""

    def __init__(self, task: Task, examples: Iterable[Example]) -> None:
        self.task = task
        self.examples = tuple(examples)

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Dataset: ...
    def __getitem__(self, index: int | slice) -> Example | Dataset:
        """One example for a position, a `Dataset` for a slice."""
        if isinstance(index, slice):
            return Dataset(self.task, self.examples[index])
        return self.examples[index]

    def __repr__(self) -> str:
        return f"Dataset({self.task.name}, {len(self)} rows, {self.fingerprint[:8]})"

    @property
    def labels(self) -> list[int]:
        return [example.label for example in self.examples]

    @property
    def counts(self) -> tuple[int, ...]:
        """Rows of each class, in the order of `Task.labels`."""
        return tuple(len(self._positions.get(label, ())) for label in self.task.conditions)

    @cached_property
    def _positions(self) -> dict[int, tuple[int, ...]]:
        found: dict[int, list[int]] = {}
        for position, example in enumerate(self.examples):
            found.setdefault(example.label, []).append(position)
        return {label: tuple(positions) for label, positions in found.items()}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of fields, class names and rows in order: equal content, equal fingerprint."""
        digest = hashlib.sha256(json.dumps([self.task.fields, self.task.labels]).encode())
        for example in self.examples:
            content = [example.texts, example.label, *([example.soft] if example.soft else [])]
            digest.update(json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def where(self, label: int) -> tuple[int, ...]:
        """Positions of one class, ascending."""
        return self._positions.get(label, ())

    def of(self, label: int) -> Dataset:
        """The rows of one class."""
        return self.take(self.where(label))

    def take(self, positions: Iterable[int]) -> Dataset:
        """The rows at these positions, in the order given."""
        return Dataset(self.task, [self.examples[position] for position in positions])

    def sample(self, count: int, rng: random.Random) -> Dataset:
        """`count` distinct rows, or all of them in random order when there are fewer."""
        return self.take(rng.sample(range(len(self)), min(count, len(self))))


@dataclass(frozen=True)
class Splits:
    """`train` teaches, `dev` (carved from train) decides, `test` is only ever scored."""

    train: Dataset
    dev: Dataset
    test: Dataset

    @property
    def task(self) -> Task:
        return self.train.task


@dataclass(frozen=True)
class Selection:
    """Distinct positions in one particular pool; the wrong pool raises."""

    positions: tuple[int, ...]
    pool: str
    """Fingerprint of the pool that the positions belong to."""

    def __post_init__(self) -> None:
        if len(set(self.positions)) != len(self.positions):
            raise DataError("A selection names a row twice.", "Select distinct rows.")

    def apply(self, pool: Dataset) -> Dataset:
        """The selected rows of `pool`, which must be the pool that was selected from."""
        if pool.fingerprint != self.pool:
            raise DataError(
                f"This selection belongs to pool {self.pool[:8]}, not to {pool.fingerprint[:8]}.",
                "Apply it to the pool that it was made from.",
            )
        return pool.take(self.positions)


@dataclass(frozen=True)
class Provenance:
    """Where a distilled set comes from: enough to make it again and to know what touched real data."""

    recipe_key: str
    seed: int
    code: str
    """Version of dilm that wrote it."""
    parents: Mapping[str, str] = field(default_factory=dict)
    """Stage name to stage key."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """Library versions, device, precision, threads: what may change speed or the last digits."""
    privacy: str = "none: real rows were used without a privacy mechanism"
    spend: Mapping[str, Any] = field(default_factory=dict)
    """Under differential privacy: epsilon, delta, the unit, and the mechanisms that spent it."""
    real_rows: tuple[int, ...] = ()
    """Which of the examples, counted from 0, are rows of the training data, or hold one, word for word."""
    rewritten: tuple[int, ...] = ()
    """Which of the examples, counted from 0, an instruction-tuned model wrote from texts of the pool, or in part."""
    prompted_by: tuple[int, ...] = ()
    """Positions in the train split of real rows that stood in the generator's prompt."""
    corpus: Mapping[str, Any] = field(default_factory=dict)
    """Unlabelled text that the generator read before the classes: its file's name and SHA-256, rows and steps."""


@dataclass(frozen=True, slots=True)
class Score:
    """One measurement: one learner, trained once on one set, scored on one split. One row of `scores.jsonl`."""

    method: str
    """`dilm`, `random`, `kmeans_nearest`, `herding`, `untuned`, `full`, or a user's own name."""
    learner: str
    per_class: int
    """0 for full data."""
    set: int
    """Which draw of the method."""
    seed: int
    """Which training of the learner."""
    value: float
    """In the task's metric: 0 to 1, or a perplexity, of which less is better."""
    accuracy: float | None
    """Of tokens, where the target is text; None where nobody guessed."""
    macro_f1: float | None
    """None where there are no classes."""
    rows: int
    """Training rows."""
    seconds: float
    """Wall clock of training and scoring."""
    tokens: int = 0
    """Tokens that the learner read in both; 0 where nobody counted, as behind a server."""
    split: str = "test"
    measures: Mapping[str, float] = field(default_factory=dict, hash=False)
    """What else was measured on what a learner wrote, by name; nothing where it chose a class."""
