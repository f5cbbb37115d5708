"""Trials of tasks whose target is text: a language model is trained on a small set, or reads it, and is measured by how
likely it finds real targets (perplexity, less is better) and by what it writes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dilm.evaluation.finetune import finetune
from dilm.evaluation.prompts import BETWEEN, demonstration
from dilm.evaluation.text_metrics import measured, questions
from dilm.evaluation.trials import Question
from dilm.protocols import Scorer, Writer
from dilm.runtime.hashing import key
from dilm.runtime.meter import Spent, spent
from dilm.runtime.optimize import Schedule
from dilm.runtime.seeding import python_stream
from dilm.types import Dataset, Example, Score, Task

SPARE = 8
"""Tokens left free for those that a tokenizer adds, and for those that joining texts makes."""
AT_LEAST = 20
"""Rows that a prompted model is asked about where no answers are written."""


@dataclass(frozen=True)
class Taught:
    """A writing learner with the way it is trained."""

    learner: Writer
    schedule: Schedule
    batch: int

    def train_on(self, rows: Dataset, seed: int) -> None:
        """From the initial weights."""
        finetune(self.learner, rows, self.schedule, self.batch, seed)


@dataclass(frozen=True)
class TextTrial(Question):
    """One training on `rows`; all of `test` is scored, and `answers` of its inputs are answered."""

    schedule: Schedule
    batch: int
    identity: str
    """Content key of the learner's initial weights."""
    answers: int

    @property
    def key(self) -> str:
        """Equal keys, equal scores: what was measured once need not be measured again."""
        task = self.test.task
        data = (self.rows.fingerprint, self.test.fingerprint, task.max_tokens, task.prompt, task.answer)
        return key(["text", self.identity, data, repr(self.schedule), self.batch, self.seed, self.answers])


@dataclass(frozen=True)
class TextPromptTrial(Question):
    """One prompting: `rows` are shown in the order of `seed`, as many as fit, before each of some inputs of `test`."""

    identity: str
    answers: int

    @property
    def key(self) -> str:
        """Equal keys, equal scores."""
        data = (self.rows.fingerprint, self.test.fingerprint, self.test.task.prompt)
        return key(["text in context", self.identity, data, self.seed, self.answers])


def run_text_trial(trial: TextTrial, student: Taught) -> Score:
    """Train, read all targets of the test rows, answer some of their inputs; the student is left trained."""
    begin = spent()
    student.train_on(trial.rows, trial.seed)
    losses, guessed = (read(trial.test.examples) for read in (student.learner.token_losses, student.learner.guessed))
    tokens = sum(map(len, losses))
    right = sum(int(each.sum()) for each in guessed) / tokens
    measures = {"set_tokens": float(sum(student.learner.lengths(trial.rows.examples)))}
    if trial.answers:
        measures |= _answered(trial, student.learner)
    return _scored(trial, perplexity(sum(float(each.sum()) for each in losses), tokens), right, measures, begin)


def run_text_prompt(trial: TextPromptTrial, scorer: Scorer) -> Score:
    """How likely some real targets are behind demonstrations."""
    begin, total, tokens = spent(), 0.0, 0
    order = list(trial.rows)
    python_stream(trial.seed, "demonstrations").shuffle(order)
    asked = _sampled(trial.test, max(trial.answers, AT_LEAST))
    for row in asked:
        answer = f" {row.texts[-1]}"
        total -= float(scorer.score([_prompt(trial.test.task, order, row, scorer)], [answer])[0, 0])
        tokens += scorer.tokens(answer)
    measures = {"asked": float(len(asked))}
    return _scored(trial, perplexity(total, tokens), None, measures, begin)


def perplexity(nll: float, tokens: int) -> float:
    """The exponential of the mean nll of a token: a sum in nats, and tokens.

    >>> perplexity(0.0, 7)
    1.0
    """
    return math.exp(min(nll / max(tokens, 1), 700.0))  # beyond, a float holds no exponential


def _prompt(task: Task, order: Sequence[Example], row: Example, scorer: Scorer) -> str:
    """As many demonstrations as fit before the question and its answer."""
    question = task.question(row.texts)
    space = scorer.context - SPARE - scorer.tokens(demonstration(task, row))
    shown: list[str] = []
    for example in order:
        text = demonstration(task, example)
        space -= scorer.tokens(text + BETWEEN)
        if space < 0:
            break
        shown.append(text)
    return BETWEEN.join([*shown, question])


def _answered(trial: TextTrial, learner: Writer) -> dict[str, float]:
    """Measures of answers to some different inputs, the same in every trial on these rows."""
    real = questions(trial.test)
    asked = python_stream(0, "answers").sample(list(real), min(trial.answers, len(real)))
    written = learner.write([Example((*texts, ""), 0) for texts in asked])
    return measured(trial.test.task, dict(zip(asked, written, strict=True)), real)


def _sampled(rows: Dataset, count: int) -> Dataset:
    return rows.sample(count, python_stream(0, "answers"))


def _scored(
    question: Question, value: float, accuracy: float | None, measures: dict[str, float], begin: Spent
) -> Score:
    cost = spent() - begin
    return Score(
        method=question.method,
        learner=question.learner,
        per_class=question.per_class,
        set=question.set,
        seed=question.seed,
        value=value,
        accuracy=accuracy,
        macro_f1=None,
        rows=len(question.rows),
        seconds=cost.seconds,
        tokens=cost.tokens,
        measures=measures,
    )
