"""Which way of choosing the set teaches most? Arms compared on dev rows, then the best and the default on test rows.

    .venv/bin/python experiments/004-selection/run.py --out runs/selection

Needs `make experiments` and DILM_DATA. For each task one generator is fitted; every arm chooses its sets from the same
pools. All arms are scored on dev rows that no race has seen; only the arm that is best there, for the mean of all
learners, and the default one are scored on test rows, beside real rows. Runs continue where they were stopped, and
trainings that were made are not made again. `--quick` walks the same way in minutes and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dilm import api, pipeline, runs
from dilm.build import Bench
from dilm.evaluation.statistics import paired, summarise
from dilm.journal import OWN_CODE
from dilm.reports.table import NOTHING
from dilm.runs import Run
from dilm.runtime.seeding import numpy_stream
from dilm.stages.dev_scores import dev_jobs, dev_scores, unraced
from dilm.stages.generate import pool
from dilm.stages.select import real_sets, synthetic_sets
from dilm.types import Dataset, Score

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from encoder import by_minilm  # noqa: E402
from neighbours import take_from_neighbours  # noqa: E402
from record import record  # noqa: E402
from small_models import SMALL_MODELS  # noqa: E402
from tables import PERCENT, ahead, compared, interval, mean, write  # noqa: E402

PER_CLASS = 5
"""Unless --per-class asks for another size."""
WORDS = {"sst2": 10, "trec6": 6, "ag_news": 15, "qqp": 20, "mnli": 28}
"""Words of a text, or of both of a pair, that says enough: about the median of each task's train rows."""
PAIRS = ("qqp", "mnli")
WIDE = 200
"""Texts written for each that is chosen, where more than usual are."""
HUNDRED: dict[str, Any] = {"generate.oversample": 100}
COOL = HUNDRED | {"generate.temperature": 0.7}
COLD = HUNDRED | {"generate.temperature": 0.4}
SURE: dict[str, Any] = {"select.sure": 0.04}
TOKENS: dict[str, Any] = {"fit.mean_over": "tokens"}
HERDING: dict[str, Any] = {"select.method": "herding"}
FOLLOWING: dict[str, Any] = {"select.method": "distribution_matching"}
SURE_FOLLOWING = FOLLOWING | {"select.filters": ["sure:0.2"]}
SURE_HERDING = HERDING | {"select.filters": ["sure:0.3"]}
BOTH: dict[str, Any] = {"select.pool": "both"}
DEFAULT = "typical"
PUBLISHED = ("sst2",)
"""Tasks for which the authors published sets; as many are measured as there are of ours."""
SETTINGS = SMALL_MODELS | {
    "fit.steps": 300,
    "fit.lr": 1e-3,  # an encoder has to learn to write (001)
    "fit.check_every": 100,
    "fit.mean_over": "texts",  # as it was when the first arms were made
    "match.steps": 0,  # nothing has spoken for matching yet (002), and the pools are then the same for all
    "generate.oversample": 40,
    "select.sets": 8,
    "race.candidates": 8,
    "race.seeds": 2,
    "race.steps": 40,
    "race.rows": 200,
    "data.dev_rows": 700,
    "evaluate.lr": 1e-4,
    "evaluate.steps": 60,
}
QUICK = {
    "models.generator": "scratch:tiny",
    "fit.steps": 20,
    "fit.check_every": 20,
    "fit.batch": 16,
    "generate.oversample": 4,
    "generate.attempts": 50,
    "data.train_rows": 300,
    "data.dev_rows": 60,
    "data.test_rows": 60,
    "select.sets": 2,
    "race.candidates": 3,
    "race.steps": 2,
    "race.rows": 20,
    "evaluate.steps": 4,
    "evaluate.full_steps": 4,
}
BASELINES = ["random", "kmeans_nearest", "typical", "full"]


def ways(task: str) -> dict[str, dict[str, Any]]:
    """The arms: name to settings. A run's own method is also tried on real rows, with the same filters."""
    words = f"words:{WORDS[task]}"
    said = {"select.filters": [words, "repetition:0.2"]}
    longer = HUNDRED | {"fit.steps": 900}
    good = ["agree", words, "repetition:0.2", "sure:0.3"]
    taught = {
        "select.method": "kmeans_nearest",
        "select.filters": ["pairs" if task in PAIRS else words, "sure:0.1"],
        "select.teacher": "learner",
    }
    return {
        DEFAULT: {},
        "kmeans": {"select.method": "kmeans_nearest"},
        "filtered": {"select.method": "kmeans_nearest", "select.filters": good},
        "surest": {"select.method": "kmeans_nearest", "select.filters": [words, "sure:0.1"]},
        "raced": {"select.method": "raced", "select.filters": good, "race.drawn_by": ["kmeans_nearest"]},
        "both": {"select.method": "kmeans_nearest", "select.filters": good, "select.pool": "both"},
        "surest_both": {
            "select.method": "kmeans_nearest",
            "select.filters": [words, "sure:0.1"],
            "select.pool": "both",
        },
        "hundred": HUNDRED,
        "hundred_sure": HUNDRED | SURE,
        "longer_fit": longer,
        "cool": COOL,
        "cold": COLD,
        "cool_sure": COOL | SURE,
        "longer_cool": longer | COOL,
        "longer_cold": longer | COLD,
        "longer_cold_words": longer | COLD | said,
        "longer_cold_words_sure": longer | COLD | said | SURE,
        "longer_cool_words": longer | COOL | said,
        "longer_cool_words_sure": longer | COOL | said | SURE,
        "tokens_forty": TOKENS,
        "tokens": HUNDRED | TOKENS,
        "tokens_cool": COOL | TOKENS,
        "tokens_cold": COLD | TOKENS,
        "tokens_cool_sure": COOL | SURE | TOKENS,
        "tokens_herding": HUNDRED | TOKENS | HERDING,
        "tokens_following": HUNDRED | TOKENS | FOLLOWING,
        "tokens_following_packed_4": HUNDRED | TOKENS | FOLLOWING | {"select.packed": 4},
        "tokens_sure_following": HUNDRED | TOKENS | SURE_FOLLOWING,
        **{
            f"tokens_sure_following_packed_{texts}": HUNDRED | TOKENS | SURE_FOLLOWING | {"select.packed": texts}
            for texts in (2, 4)
        },
        "tokens_cool_sure_following_packed_8": COOL | TOKENS | SURE_FOLLOWING | {"select.packed": 8},
        "tokens_both_sure_following_packed_4": HUNDRED | TOKENS | SURE_FOLLOWING | BOTH | {"select.packed": 4},
        "tokens_sure_herding": HUNDRED | TOKENS | SURE_HERDING,
        "tokens_sure_herding_packed_4": HUNDRED | TOKENS | SURE_HERDING | {"select.packed": 4},
        **{f"tokens_packed_{texts}": HUNDRED | TOKENS | {"select.packed": texts} for texts in (2, 4, 8, 16)},
        **{f"tokens_cool_packed_{texts}": COOL | TOKENS | {"select.packed": texts} for texts in (2, 4, 8, 16)},
        **{f"tokens_both_packed_{texts}": HUNDRED | TOKENS | BOTH | {"select.packed": texts} for texts in (2, 4)},
        **{f"tokens_cool_both_packed_{texts}": COOL | TOKENS | BOTH | {"select.packed": texts} for texts in (4, 8)},
        "tokens_taught": HUNDRED | TOKENS | taught,
        **{
            f"tokens_taught_packed_{texts}": HUNDRED | TOKENS | taught | {"select.packed": texts} for texts in (2, 4, 8)
        },
        "tokens_cool_taught": COOL | TOKENS | taught,
        **{f"tokens_cool_taught_packed_{texts}": COOL | TOKENS | taught | {"select.packed": texts} for texts in (4, 8)},
        "tokens_longer": longer | TOKENS,
        "tokens_longer_cool": longer | COOL | TOKENS,
        "tokens_longer_cold": longer | COLD | TOKENS,
        "tokens_longer_cool_sure": longer | COOL | SURE | TOKENS,
        "tokens_longer_cold_sure": longer | COLD | SURE | TOKENS,
        "wide": {"generate.oversample": WIDE},
        "wide_sure": {"generate.oversample": WIDE, "select.sure": 0.02},
        "wide_both": {"generate.oversample": WIDE, "select.pool": "both"},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path, help="a folder for all runs")
    parser.add_argument("--tasks", nargs="+", default=list(WORDS)[:3], choices=WORDS)
    parser.add_argument("--arms", nargs="+", help="some of the arms; all when left out")
    parser.add_argument("--against", default=DEFAULT, help="the arm that the others are compared with")
    parser.add_argument("--dev", action="store_true", help="only the comparison on dev rows")
    parser.add_argument(
        "--per-class", type=int, default=PER_CLASS, help="examples of a class; another size: --dev only"
    )
    parser.add_argument("--ours", action="store_true", help="without the same choices of real rows")
    parser.add_argument("--records", type=Path, default=HERE, help="where tables and records are written")
    parser.add_argument("--quick", action="store_true", help="tiny settings, to see that the script runs")
    given = parser.parse_args()
    if given.per_class != PER_CLASS and not given.dev:
        parser.error("test rows are scored at the usual size: add --dev")
    common = SETTINGS | by_minilm(given.out) | {"per_class": given.per_class}
    for task in given.tasks:
        arms = {name: ways(task)[name] for name in dict.fromkeys([given.against, *(given.arms or ways(task))])}
        settings = common | (QUICK if given.quick else {})
        best, chosen = compare(task, arms, given.out, given.records, settings, not given.ours)
        if not given.dev:
            measure(task, {name: arms[name] for name in (given.against, best)}, chosen, given.records, settings)


def compare(
    task: str, arms: dict[str, dict[str, Any]], out: Path, records: Path, common: dict[str, Any], beside: bool
) -> tuple[str, dict[str, Run]]:
    """All arms on dev rows, with the first, and `beside` them real rows: -> the best, and the run of each."""
    found: list[Score] = []
    chosen: dict[str, Run] = {}
    seen: set[tuple[str, ...]] = set()
    size = common["per_class"]
    called = name_of(task, size)
    for name, settings in arms.items():
        chosen[name] = begun(out / f"{called}-{name}", task, common | settings | rivals(settings))
        found += scores_of(chosen[name], name, seen if beside else None)
    best = max(chosen, key=lambda name: over_learners(found, name))
    write_table(found, best, next(iter(arms)), f"{task}, {size} per class", records / f"{called}-dev")
    write_fits(chosen, records / f"{called}-fits.json")
    return best, chosen


def name_of(task: str, size: int) -> str:
    """Of runs and records."""
    return task if size == PER_CLASS else f"{task}-{size}"


def rivals(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The same choice of real rows; packed alike, where several texts share an example."""
    method = settings.get("select.method", DEFAULT)
    if "select.packed" in settings:
        return {"evaluate.baselines": [f"{method}@packed"]}
    return {"evaluate.baselines": [method if method != "raced" else "random"]}


def measure(
    task: str, arms: dict[str, dict[str, Any]], chosen: dict[str, Run], records: Path, common: dict[str, Any]
) -> None:
    """These arms on test rows, once."""
    learners = ["same", *common["evaluate.learners"]]
    for name, own in arms.items():
        settings = common | own | {"evaluate.baselines": BASELINES, "evaluate.learners": learners}
        run = begun(chosen[name].folder.with_name(f"{task}-{name}-test"), task, settings)
        api.distill_run(run)
        if task in PUBLISHED:
            published = Path(os.environ["DILM_DATA"]) / "published_dilm" / f"{task}.parquet"
            api.evaluate(run.folder, also={"published": str(published)})
        record(run.folder, records / f"{task}-{name}")


def write_fits(chosen: Mapping[str, Run], file: Path) -> None:
    """How well the generator of each arm writes and tells classes apart, and how long its texts are."""
    told = ("steps", "dev_nll", "told_apart")
    benches = {name: Bench(run, OWN_CODE) for name, run in chosen.items()}
    facts = {name: run.stage("fit").manifest or {} for name, run in chosen.items()}
    words = {"words": words_of(next(iter(benches.values())).splits.train)}
    rows = {"train rows": words} | {
        name: {each: found[each] for each in told} | {"words": words_of(pool(benches[name], "dilm", 0))}
        for name, found in facts.items()
    }
    file.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def words_of(rows: Dataset) -> list[float]:
    """Quartiles of their words."""
    return np.quantile([sum(len(text.split()) for text in row.texts) for row in rows], [0.25, 0.5, 0.75]).tolist()


def begun(folder: Path, task: str, settings: dict[str, Any]) -> Run:
    """The run of one arm up to its sets; what does not depend on the arm is taken from the earlier runs beside it."""
    run = runs.create(folder, api.recipe_for(task, settings=settings), resume=True)
    with pipeline.at_work(run) as bench:
        take_from_neighbours(run)
        for name in pipeline.needed("evaluate"):
            pipeline.run_stage(bench, name)
    return run


def scores_of(run: Run, name: str, seen: set[tuple[str, ...]] | None) -> list[Score]:
    """Its sets, ours and the same choice of real rows unless `seen` has it or is None, with every learner; dev rows
    without those that races look at."""
    bench = Bench(run, OWN_CODE)
    sets = {name: synthetic_sets(bench)["dilm"]}
    (method,) = run.recipe.evaluate.baselines
    real = real_sets(bench)[method]
    mark = tuple(rows.fingerprint for rows in real)
    if seen is not None and run.recipe.select.method != "raced" and mark not in seen:
        sets[f"{name}, real rows"] = real
        seen.add(mark)
    return list(dev_scores(bench, dev_jobs(bench, sets, unraced(bench))))


def over_learners(found: Sequence[Score], name: str) -> float:
    """All learners count alike."""
    each = [summary.mean for summary in summarise([s for s in found if s.method == name], numpy_stream(0, name))]
    return sum(each) / len(each)


def write_table(found: list[Score], best: str, base: str, about: str, file: Path) -> None:
    """Dev scores of every arm, and how far it is ahead of the one compared with; first of all learners together."""
    lines = []
    for name in dict.fromkeys(score.method for score in found):
        gap = paired(found, name, base, numpy_stream(0, name)) if name != base else None
        lines.append((name, "all", PERCENT.number(over_learners(found, name)), NOTHING, ahead(gap)))
    for each, gap in compared(found, base):
        lines.append((each.method, each.learner, mean(each), interval(each), ahead(gap)))
    title = f"{about}, accuracy on dev rows in percent; best for the mean of all learners: {best}."
    names = ("arm", "learner", "mean", "95 % interval", f"ahead of {base} by")
    write(file, title, names, lines, found)


if __name__ == "__main__":
    main()
