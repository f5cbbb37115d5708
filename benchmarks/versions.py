r"""A whole run of an earlier version beside that of this one: seconds of every stage, and the scores.

    .venv/bin/python benchmarks/versions.py --before 8f402ec --record versions-toy
    .venv/bin/python benchmarks/versions.py --before 8f402ec --rounds 1 --precision auto --record versions-sst2 \
        --source $DILM_DATA/sst2 --set per_class=20 models.generator=MINILM models.learner=MINILM fit.steps=300 \
        fit.lr=1e-3 --now fit.mean_over=texts audit.rows=1

The second is the first run of experiments/001, 40 minutes; `versions-sst2-short` is it with `fit.steps=60
match.steps=8 data.train_rows=20000 select.sets=2 evaluate.steps=40 evaluate.full_steps=80 evaluate.baselines=random`,
in float32. `--now` undoes for this version what has changed since then in what is done, not in how: here that texts
are as long as real ones, and that they are audited. Both versions are checked out of this repository's history and run
by this interpreter, in turn, each with an empty cache; their order alternates between rounds. Measured are `dilm
distill` from start to end by the clock, libraries included, the processor seconds of all its processes, and each
stage's seconds as its manifest tells them. `times` is how many times as long the earlier version takes: the median
over rounds of ratios within a round, least and most. Scores are means over sets in the first round; both versions draw
their texts with the same seed, but not the same ones. Mind what a version did: where `dilm` and `untuned` have one
score, dev rows kept the generator from before matching, whose texts are written and trained on once.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gauges
import output

HERE = Path(__file__).parent
WHOLE, PROCESSOR = "whole run", "processor"
"""Beside the stages: from start to end by the clock, and of all processes by the processor."""


@dataclass(frozen=True)
class Walk:
    """One run of one version."""

    seconds: Mapping[str, float]
    """Of every stage, of the whole, and of the processor."""
    scores: Mapping[str, float]
    """Mean test score of every method with the first learner."""


def main() -> None:
    parser = gauges.placed(output.parser(__doc__))
    parser.add_argument("--before", required=True, help="a commit")
    parser.add_argument("--source", default="toy")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings for both")
    parser.add_argument("--now", nargs="*", default=[], metavar="NAME=VALUE", help="settings for this version alone")
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    commits = named(given.before)
    with tempfile.TemporaryDirectory() as folder:
        versions = {name: Path(folder) / name for name in ("before", "now")}
        try:
            for name, commit in commits.items():
                git("worktree", "add", "--detach", str(versions[name]), commit)
            rounds = [walked(versions, given, Path(folder), number) for number in range(given.rounds)]
        finally:
            for tree in filter(Path.exists, versions.values()):
                git("worktree", "remove", "--force", str(tree))
    found = commits | compared(rounds, given)
    output.tell(given, found, told(found))


def named(before: str) -> dict[str, str]:
    """Short names, as they are when it begins: it takes long."""
    return {"before": git("rev-parse", "--short", before), "now": git("rev-parse", "--short", "HEAD")}


def git(*words: str) -> str:
    return subprocess.run(["git", "-C", str(HERE), *words], check=True, capture_output=True, text=True).stdout.strip()


def walked(versions: Mapping[str, Path], given: argparse.Namespace, folder: Path, number: int) -> dict[str, Walk]:
    """A run of each version."""
    order = gauges.in_turn(list(versions), number)
    place = [f"runtime.device={given.device}", f"runtime.precision={given.precision}", *given.set]
    said = {"before": place, "now": [*place, *given.now]}
    about = folder / f"round-{number}"
    return {name: walk(versions[name], given.source, said[name], about / name) for name in order}


def walk(tree: Path, source: str, said: Sequence[str], folder: Path) -> Walk:
    """`dilm distill`, from nothing."""
    settings = [word for setting in said for word in ("--set", setting)]
    command = [sys.executable, "-m", "dilm", "distill", source, "--out", str(folder / "run"), *settings]
    about = {"PYTHONPATH": str(tree / "src"), "DILM_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
    folder.mkdir(parents=True)
    begin, busy = time.perf_counter(), processor()
    subprocess.run(command, check=True, env=os.environ | about, stdout=subprocess.DEVNULL)
    spent = {WHOLE: time.perf_counter() - begin, PROCESSOR: processor() - busy}
    return Walk({**stages(folder / "run"), **spent}, scores(folder / "run"))


def processor() -> float:
    """Seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def stages(run: Path) -> dict[str, float]:
    """Of stages alone: other folders have manifests without seconds."""
    manifests = sorted(run.glob("*/manifest.json"), key=lambda file: file.stat().st_mtime)
    told = {file.parent.name: json.loads(file.read_text("utf-8")) for file in manifests}
    return {name: manifest["seconds"] for name, manifest in told.items() if "seconds" in manifest}


def scores(run: Path) -> dict[str, float]:
    rows = [json.loads(line) for line in (run / "scores.jsonl").read_text("utf-8").splitlines()]
    rows = [row for row in rows if row["learner"] == rows[0]["learner"]]
    return {
        method: round(statistics.mean(row["value"] for row in rows if row["method"] == method), 4)
        for method in dict.fromkeys(row["method"] for row in rows)
    }


def compared(rounds: Sequence[Mapping[str, Walk]], given: argparse.Namespace) -> dict[str, Any]:
    """Medians over rounds."""
    parts = {}
    for name in rounds[0]["now"].seconds:
        pairs = [(each["before"].seconds.get(name, 0.0), each["now"].seconds[name]) for each in rounds]
        before, now = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratios = [one / other for one, other in pairs if other]
        parts[name] = {"before": round(before, 1), "now": round(now, 1), "times": output.spread(ratios)}
    return {
        "source": Path(given.source).name,
        "settings": [shown(setting) for setting in given.set],
        "settings_now": [shown(setting) for setting in given.now],
        "device": given.device,
        "precision": given.precision,
        "rounds": len(rounds),
        "seconds": parts,
        "scores": {version: walk.scores for version, walk in rounds[0].items()},
    }


def shown(setting: str) -> str:
    """Of a folder its own name: a record names no place on a machine.

    >>> shown("models.learner=models/MiniLM"), shown("fit.steps=60")
    ('models.learner=MiniLM', 'fit.steps=60')
    """
    name, _, value = setting.partition("=")
    return f"{name}={Path(value).name}" if "/" in value else setting


def told(found: dict[str, Any]) -> str:
    """The figures in Markdown."""
    about = f"{found['source']}, {found['before']} before, {found['now']} now, {found['rounds']} rounds"
    about += f": {', '.join(found['settings'])}." if found["settings"] else "."
    about += f" Now also {', '.join(found['settings_now'])}." if found["settings_now"] else ""
    seconds = [[name, *part.values()] for name, part in found["seconds"].items()]
    before, now = found["scores"]["before"], found["scores"]["now"]
    methods = [[name, before.get(name, "-"), score] for name, score in now.items()]
    return "\n\n".join(
        [
            about,
            output.table(["stage", "before, s", "now, s", "times: median, least, most"], seconds),
            output.table(["mean score of", "before", "now"], methods),
        ]
    )


if __name__ == "__main__":
    main()
