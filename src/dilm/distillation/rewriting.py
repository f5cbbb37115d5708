"""Texts of a pool, rewritten or merged by an instruction-tuned language model: requests, and what is read in answers.

A field stands on a line of its own behind its name, in requests and in answers. An answer that does not give every
field once, that is cut off, or that is a text of the pool already, is dropped and counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dilm.distillation.generate import Flags, Pool
from dilm.protocols import Assistant
from dilm.types import Dataset, Draft, Example, Task

QUOTES = "\"'“”‘’«»`*"
"""What models put around an answer without meaning anything by it."""
FOR_A_NAME = 8
"""Tokens that an answer may take for the name of a field and what stands around it."""


@dataclass(frozen=True)
class Rewriting:
    """What a language model is asked for, and how."""

    rewriting: str
    """The request for one text; empty: none is rewritten."""
    merging: str
    """The request for two texts of a class; empty: none are merged."""
    texts: int
    """Of each class, for each of the two."""
    temperature: float
    seed: int

    @property
    def needed(self) -> int:
        """So many texts of each class are shown."""
        return self.texts * (2 if self.merging else 1)


def rewrite(
    assistant: Assistant, wanted: Rewriting, best: Dataset, pool: Dataset, flags: Flags | None = None
) -> tuple[Dataset, Counter[str]]:
    """New texts of every class, made from the `needed` ones of it in `best`, and the verdicts on all answers.

    None stands in `pool`, none of its kind twice, and none that `flags` is true of.
    """
    task, asked = pool.task, [requests(wanted, best, condition) for condition in pool.task.conditions]
    tokens = task.max_tokens + FOR_A_NAME * len(task.fields)
    told = iter(
        assistant.answer([each for several in asked for each in several], tokens, wanted.temperature, wanted.seed)
    )
    seen = {example.texts for example in pool}
    pools = [Pool(task, condition, seen=set(seen), flags=flags) for condition in task.conditions]
    for kept, several in zip(pools, asked, strict=True):
        for _ in several:
            kept.add(read(next(told), task))
    verdicts = sum((kept.verdicts for kept in pools), Counter[str]())
    return Dataset(task, [example for kept in pools for example in kept.examples]), verdicts


def requests(wanted: Rewriting, best: Dataset, condition: int) -> list[str]:
    """What is asked for a class: its first texts one by one, then all of them two by two."""
    shown, task = best.of(condition).examples, best.task
    alone = [_request(wanted.rewriting, task, [row]) for row in shown[: wanted.texts]] if wanted.rewriting else []
    pairs = zip(shown[::2], shown[1::2], strict=False) if wanted.merging else ()
    return [*alone, *(_request(wanted.merging, task, pair) for pair in pairs)]


def _request(said: str, task: Task, rows: Sequence[Example]) -> str:
    """The words of a template in the place of its names; what these stand for is not looked through again."""
    blocks = ["\n".join(map(_line, task.fields, row.texts)) for row in rows]
    values = {
        "label": task.labels[rows[0].label],
        "task": task.name,
        "fields": ", ".join(task.fields),
        "text": f"\n\n{blocks[0]}\n\n",
        "texts": "\n\n" + "\n\n".join(blocks) + "\n\n",
        "form": "\n\n" + "\n".join(f"{field}: ..." for field in task.fields),
    }
    return re.sub(r"\{(" + "|".join(values) + r")\}", lambda found: values[found[1]], said)


def _line(field: str, text: str) -> str:
    return f"{field}: {' '.join(text.split())}"


def read(answer: Draft, task: Task) -> Draft:
    """The fields of an answer, or too few or too many of them; words before and behind them are left out.

    >>> read(Draft(("Sure!\\n**Text:** 'a warm film'\\n\\nShall I go on?",), True), Task("films", ("text",), ("a",)))
    Draft(texts=('a warm film',), finished=True)
    """
    (said,) = answer.texts
    found = _fields(said, task)
    named = dict(found)
    whole = len(named) == len(found) == len(task.fields)
    texts = [named[field] for field in task.fields] if whole else []
    return Draft(tuple(_plain(text) for text in texts), answer.finished)


def _fields(said: str, task: Task) -> list[tuple[str, str]]:
    """Name and text of every field, in the order of the answer; an empty line ends one that says something."""
    names = {field.casefold(): field for field in task.fields}
    begins = re.compile(
        r"[\W\d_]*?(" + "|".join(map(re.escape, task.fields)) + r")[\s*_`\"]*:[*_`]*(.*)", re.IGNORECASE
    )
    found: list[tuple[str, str]] = []
    is_open = False
    for line in said.splitlines():
        if begun := begins.fullmatch(line):
            found.append((names[begun[1].casefold()], begun[2].strip()))
            is_open = True
        elif is_open and line.strip():
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}".strip())
        elif is_open and found[-1][1]:
            is_open = False
    return found


def _plain(text: str) -> str:
    """On one line, without quotes around it; "" where nothing is said. A server may send what is no Unicode."""
    plain = " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
    while len(plain) > 1 and plain[0] in QUOTES and plain[-1] in QUOTES:
        plain = plain[1:-1].strip()
    return plain if any(letter.isalnum() for letter in plain) else ""
