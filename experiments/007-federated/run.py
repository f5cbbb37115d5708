"""SST-2 split over data holders, one of whom is lost on the way, beside one machine with all rows.

    .venv/bin/python experiments/007-federated/run.py --out runs/federated

Needs `make experiments`, the extra `federate` and DILM_DATA. Every holder is a process of its own on loopback; the last
one is killed once `fit` has its first checkpoint. Runs continue where they were stopped. `--small` takes a quarter of
the rows in each step and half of the steps, and leaves two arms out; `--quick` walks the same way as that in minutes,
with models from scratch, and measures nothing.
"""

from __future__ import annotations

import argparse
import csv
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from encoder import minilm  # noqa: E402
from tables import interval, mean, write  # noqa: E402

from dilm import api, federated, pipeline  # noqa: E402
from dilm.api.federating import WITH_HOLDERS  # noqa: E402
from dilm.build import Bench  # noqa: E402
from dilm.distilled import Distilled  # noqa: E402
from dilm.evaluation.statistics import summarise  # noqa: E402
from dilm.holding import Answers, Own, own_rows  # noqa: E402
from dilm.journal import OWN_CODE  # noqa: E402
from dilm.privacy.federation import Scale, Terms  # noqa: E402
from dilm.runs import Run  # noqa: E402
from dilm.runtime.seeding import numpy_stream, python_stream  # noqa: E402
from dilm.types import Dataset, Score  # noqa: E402

HOLDERS, PER_CLASS = 4, 10


@dataclass(frozen=True)
class Arm:
    """Where the rows lie, and what is done with their gradients."""

    name: str
    road: str
    """`plain`: one machine, which without a budget neither clips nor adds noise; `clipped`: one machine that clips as
    holders do; `held`: several holders, one of whom is lost."""
    noise: str = "central"
    epsilon: float = 0.0


SMALL_ARMS = (
    Arm("one machine, no noise", "plain"),
    Arm("one machine that clips, no noise", "clipped"),
    Arm(f"{HOLDERS} holders, no noise", "held"),
    Arm(f"{HOLDERS} holders, distributed noise, epsilon 8", "held", "distributed", 8.0),
)
ARMS = (
    *SMALL_ARMS,
    Arm("one machine, epsilon 8", "plain", epsilon=8.0),
    Arm(f"{HOLDERS} holders, central noise, epsilon 8", "held", epsilon=8.0),
)
QUICK_BUDGETS = 40.0
"""How many times the budget is in a quick walk: so few rows and steps would drown in noise, and nothing be written."""
SETTINGS = {
    "models.max_tokens": 24,
    "fit.steps": 80,
    "fit.batch": 256,
    "fit.lr": 1e-3,
    "fit.contrast": 0.0,
    "fit.check_every": 10,
    "match.steps": 20,
    "match.lr": 3e-5,
    "generate.oversample": 20,
    "generate.attempts": 30,
    "select.sets": 3,
    "evaluate.steps": 100,
    "evaluate.baselines": "random",
}
QUICK = {
    "models.max_tokens": 160,
    "fit.steps": 24,
    "fit.batch": 64,
    "fit.lr": 1e-2,
    "fit.check_every": 4,
    "match.steps": 2,
    "match.synthetic": 4,
    "match.refresh_every": 2,
    "pretrain.corpus": "toy",
    "pretrain.vocabulary": 300,
    "pretrain.steps": 4,
    "pretrain.learner_size": "tiny",
    "generate.oversample": 2,
    "generate.attempts": 2000,
    "select.sets": 1,
    "evaluate.steps": 2,
}
SMALL = {"fit.steps": 40, "fit.batch": 64}
ROWS, QUICK_ROWS = 20_000, 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--small", action="store_true")
    given = parser.parse_args()
    model = "scratch" if given.quick else minilm(given.out)
    files = split_rows(given.out / "rows", QUICK_ROWS if given.quick else ROWS)
    settings = SETTINGS | (QUICK if given.quick else {"models.encoder": model}) | (SMALL if given.small else {})
    models = {
        "generator": "scratch:tiny" if given.quick else model,
        "learner": model,
        "text": "text",
        "label": "label",
        "recipe": "private",
    }
    said = models | {"per_class": 2 if given.quick else PER_CLASS, "settings": settings, "test": str(files["test"])}
    scores: list[Score] = []
    lines: list[Sequence[object]] = []
    for arm in SMALL_ARMS if given.quick or given.small else ARMS:
        folder = given.out / arm.name.replace(", ", "-").replace(" ", "-")
        begin = time.perf_counter()
        epsilon = arm.epsilon * (QUICK_BUDGETS if given.quick else 1.0)
        ROADS[arm.road](said | {"epsilon": epsilon}, arm.noise, folder, files)
        record(arm.name, folder, scores, lines)
        print(f"{arm.name}: {time.perf_counter() - begin:.0f} s", file=sys.stderr)
    about = (
        f"sst2, {PER_CLASS} per class, accuracy of MiniLM on test rows in percent, and the fewest holders in a step."
    )
    place = (given.out if given.quick else HERE) / ("sst2-small" if given.small else "sst2")
    write(place, about, ("arm", "set", "mean", "95 % interval", "epsilon spent", "holders"), lines, scores)


def split_rows(folder: Path, count: int) -> dict[str, Path]:
    """The task's train rows over the holders, its dev rows as the server's, its test rows for all."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = api.recipe_for("sst2", recipe="default", settings={"data.dev_rows": 500, "data.train_rows": count})
    splits = Bench(api.open_run(recipe, folder / "whole", resume=True), OWN_CODE).splits
    whole = splits.train.sample(count, python_stream(0, "holders"))
    parts = {f"holder-{at}": whole.take(range(at, len(whole), HOLDERS)) for at in range(HOLDERS)}
    test = splits.test if count > QUICK_ROWS else splits.test.sample(100, python_stream(0, "test"))
    parts |= {"all": whole, "server": splits.dev, "test": test}
    return {name: write_rows(folder / f"{name}.csv", rows) for name, rows in parts.items()}


def write_rows(file: Path, rows: Dataset) -> Path:
    with file.open("w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle)
        table.writerow(("text", "label"))
        table.writerows((row.texts[0], rows.task.labels[row.label]) for row in rows)
    return file


def alone(said: dict, noise: str, folder: Path, files: dict[str, Path]) -> None:
    """One machine with everybody's rows: no noise means the plain road, with random rows as target."""
    recipe = api.recipe_for(files["all"], **said)
    api.distill_run(api.open_run(recipe, folder, resume=folder.exists()))


def served(said: dict, noise: str, folder: Path, files: dict[str, Path]) -> Run:
    """A run whose own rows are the server's."""
    held = {"federation.clients": HOLDERS, "federation.noise": noise, "federation.spare": 0.25 * bool(said["epsilon"])}
    recipe = api.recipe_for(files["server"], **said | {"settings": said["settings"] | held})
    return api.open_run(recipe, folder, resume=folder.exists())


@dataclass
class Everybody:
    """In the place of a server's holders: one that has all rows, is asked without masks, and is never lost.

    Rows are drawn, clipped, added up and rounded by the code that holders run; what the run's papers say of several
    holders is not so here.
    """

    rows: Dataset
    terms: Terms
    key: bytes = b""
    """No noise is drawn."""

    def __post_init__(self) -> None:
        self.answers = Answers(self.rows, self.terms, "auto")

    def brief(self, role: str, save: Callable[[Path], object]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            save(Path(folder))
            self.answers.open(federated.packed(role, Path(folder)))

    def sum(self, asked: Mapping[str, Any], arrays: Sequence[np.ndarray], scale: Scale) -> tuple[np.ndarray, int]:
        return self.answers({**asked, **asdict(scale)}, list(arrays)), 1

    def count(self) -> int:
        return len(self.rows)


def clipped(said: dict, noise: str, folder: Path, files: dict[str, Path]) -> None:
    """One machine with everybody's rows that does to them what holders do, without noise."""
    run = served(said, noise, folder, files)
    with pipeline.at_work(run) as bench:
        with bench.gate.opened(OWN_CODE):
            terms = federated.terms(bench.recipe, bench.task)
        bench.holders = Everybody(own_rows(Own(str(files["all"])), terms), terms)
        for name in WITH_HOLDERS:
            pipeline.run_stage(bench, name)
    api.distill_run(run)


def together(said: dict, noise: str, folder: Path, files: dict[str, Path]) -> None:
    """A server in this process; of the holders' processes the last is killed in the middle."""
    run = served(said, noise, folder, files)
    address = f"127.0.0.1:{free_port()}"
    with holders(address, files, folder):
        api.serve(run, address, (300, 600), api.pem_files(None, None, None), lambda line: print(line, file=sys.stderr))
    api.distill_run(run)


@contextmanager
def holders(address: str, files: dict[str, Path], folder: Path) -> Iterator[None]:
    """Processes of their own; none is left when this is."""
    begun = [
        subprocess.Popen(
            [sys.executable, "-m", "dilm", "federate", "join", str(files[f"holder-{at}"]), "--address", address],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"DILM_CACHE": str(folder.parent / f"cache-{at}")},
        )
        for at in range(HOLDERS)
    ]
    threading.Thread(target=kill_later, args=(begun[-1], folder / "fit" / "checkpoint.pt"), daemon=True).start()
    try:
        yield
    finally:
        for each in begun:
            each.terminate()
            each.wait()


ROADS = {"plain": alone, "clipped": clipped, "held": together}


def kill_later(process: subprocess.Popen, sign: Path) -> None:
    """Once `fit` is under way."""
    while process.poll() is None:
        if sign.exists():
            return process.kill()
        time.sleep(0.05)


def record(arm: str, folder: Path, scores: list[Score], lines: list[Sequence[object]]) -> None:
    found = [Score(**{name: row[name] for name in Score.__dataclass_fields__}) for row in api.evaluate(folder)]
    spent = Distilled.load(folder / "distilled").provenance.spend.get("epsilon")
    fewest = (api.existing_run(folder).stage("fit").manifest or {}).get("fewest_holders", "-")
    for each in summarise(found, numpy_stream(0, "statistics")):
        cells = (mean(each), interval(each), f"{spent:.2f}" if spent else "-", fewest)
        lines.append((arm, each.method, *cells))
    scores += [Score(**{**vars_of(score), "method": f"{arm}: {score.method}"}) for score in found]


def vars_of(score: Score) -> dict:
    return {name: getattr(score, name) for name in Score.__dataclass_fields__}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    main()
