"""One tiny run from a CSV file, made once for all tests of this folder; those that change it work on a copy."""

from __future__ import annotations

import csv
import random
import shutil
import string
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_runs import SETTINGS, START

from dilm import api
from dilm.distilled import Distilled

THINGS = ("plot", "music", "end", "cast", "film", "script")
WORDS = {"thumbs down": ("dull", "slow", "bad"), "thumbs up": ("warm", "lovely", "fine")}


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Scores of full data are remembered per user; tests are users of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DILM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def reviews() -> list[dict[str, str]]:
    """240 reviews; each names a critic of its own, so that none can be written by chance."""
    rng, rows = random.Random(0), []
    for at in range(240):
        label = list(WORDS)[at % 2]
        critic = "".join(rng.choices(string.ascii_lowercase, k=6))
        rows.append({"stars": label, "review": f"{rng.choice(THINGS)} {rng.choice(WORDS[label])} {critic}"})
    return rows


@pytest.fixture(scope="session")
def source(reviews: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "reviews.csv"
    with file.open("w", newline="", encoding="utf-8") as handle:
        table = csv.DictWriter(handle, ["stars", "review"])
        table.writeheader()
        table.writerows(reviews)
    return file


@pytest.fixture(scope="session")
def finished(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Distilled:
    """The product of the whole road. Only to be read."""
    return api.distill(source, out=tmp_path_factory.mktemp("runs") / "first", settings=SETTINGS, **START)


@pytest.fixture
def copied(finished: Distilled, tmp_path: Path) -> Path:
    """A copy of the run folder, to be changed."""
    return Path(shutil.copytree(finished.run, tmp_path / "copy"))


@pytest.fixture
def again(source: Path) -> Callable[..., Distilled]:
    """`distill` with the same settings, but for what a test says."""

    def distill(out: Path, settings: dict | None = None, **changes: object) -> Distilled:
        return api.distill(source, out=out, settings=SETTINGS | (settings or {}), **(START | changes))

    return distill


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ninety questions with their answers, of two kinds."""
    rng, file = random.Random(0), tmp_path_factory.mktemp("answers") / "answers.csv"
    with file.open("w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle)
        table.writerow(["ask", "say", "kind"])
        for at in range(90):
            colour, thing = (
                rng.choice(("red", "blue", "pale")),
                rng.choice(("fox", "owl") if at % 2 else ("tea", "rice")),
            )
            said = f"a {colour} {thing}" if at % 2 else f"some {thing} , {colour}"
            table.writerow([f"{thing} {colour} {at}", said, "animal" if at % 2 else "food"])
    return file
