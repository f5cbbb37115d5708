"""A table such as people have: made of our own grammar's reviews, then spoilt in every way that still has a meaning.

Semicolons, a byte order mark, quoted line breaks and quotes, upper case, pictures, leftovers of HTML, other alphabets,
repeated rows, empty cells, columns of no use, class names with spaces, one class more than twice as frequent.
"""

from __future__ import annotations

import csv
import random
from pathlib import Path

from dilm.data import toy

TEXT, LABEL = "Review text", "Stars (1-5)"
STARS = ("1 star", "5 stars")
ROWS = 4000
SPOILT = (
    lambda text, rng: text.upper(),
    lambda text, rng: text.capitalize() + rng.choice(["!!!", " :-)", " 👍", "…"]),
    lambda text, rng: f'"{text}", she said',
    lambda text, rng: text.replace(",", ",\n", 1) + "\n",
    lambda text, rng: f"<p>{text}</p>&nbsp;",
    lambda text, rng: f"  {text}\t ",
    lambda text, rng: f"{text}; {rng.choice(['très bien', 'ganz schön', 'очень', '真的'])}",
)


def write(path: Path) -> None:
    """The same table at every call: as UTF-8 with a byte order mark, separated by semicolons."""
    rng = random.Random(7)
    rows = [_row(number, example, rng) for number, example in enumerate(toy.sentences(ROWS, seed=77))]
    kept = [row for row in rows if row[LABEL] == STARS[1] or rng.random() < 0.45]
    kept += rng.sample(kept, 40)
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        table = csv.DictWriter(file, ["id", "date", TEXT, "helpful", LABEL], delimiter=";")
        table.writeheader()
        table.writerows(kept)


def _row(number: int, example: toy.Example, rng: random.Random) -> dict[str, object]:
    text = example.texts[0]
    if rng.random() < 0.3:
        text = rng.choice(SPOILT)(text, rng)
    if rng.random() < 0.01:
        text = ""
    day = f"2025-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
    return {"id": number, "date": day, TEXT: text, "helpful": rng.choice(["", 0, 3]), LABEL: STARS[example.label]}
