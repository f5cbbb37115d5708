"""The library's own choice of settings beside published sets and choices of real rows, on test rows.

    .venv/bin/python experiments/013-test-rows/run.py --out runs/test --tasks sst2 --sizes 5 10
    .venv/bin/python experiments/013-test-rows/run.py --out runs/test --tasks sst2 --sizes 5 10 --packed 4

Needs `make experiments` and DILM_DATA. One generator is fitted for a task, and writes for every size. Test rows are
only ever scored: what is no default here was chosen on dev rows (001, 004). Runs continue where they were
stopped. `--quick` walks the same way in minutes and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, stdev, variance
from typing import Any

from dilm import api, runs
from dilm.evaluation.statistics import paired
from dilm.recipe.baselines import PACKED
from dilm.reports.table import NOTHING, markdown_table
from dilm.runs import Run
from dilm.runtime.seeding import numpy_stream
from dilm.stages.records import score_of
from dilm.types import Score

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from encoder import GLOVE, READER, VECTORS, by_minilm, glove, reader, wordllama  # noqa: E402
from neighbours import take_from_neighbours  # noqa: E402
from record import record  # noqa: E402
from tables import PERCENT, ahead  # noqa: E402

TASKS = ("sst2", "trec6", "ag_news", "qqp", "mnli", "imdb")
SIZES = (5, 10, 20)
TEXTS = (1, 2, 4, 8, 16)
"""In an example of ours."""
PUBLISHED = ("sst2", "qqp", "mnli")
"""Tasks for which the authors published sets; as many are measured as there are of ours."""
OURS = "dilm"
LEARNERS = {
    "first-3:MiniLM-L6": "first three layers",
    "frozen:MiniLM-L6": "frozen",
    f"frozen:{VECTORS}": "word vectors",
    f"frozen:{GLOVE}": "GloVe",
    "tfidf": "word counts",
    f"frozen:{READER}": "reader of these rows",
}
STRANGERS = (f"frozen:{VECTORS}", f"frozen:{GLOVE}", "tfidf", f"frozen:{READER}")
"""Learners that have nothing of MiniLM, which writes and chooses."""
SETTINGS: dict[str, Any] = {
    "fit.steps": 300,  # the default of the time; longer fits say so in their names
    "fit.lr": 1e-3,  # an encoder has to learn to write (001)
    "match.steps": 0,  # nothing has spoken for matching at this length yet (002, 003)
    "select.sets": 8,
    "data.dev_rows": 700,
    "evaluate.lr": 1e-4,
    "evaluate.steps": 60,
}
ROWS = 2000
AT_MOST = {"evaluate.rows": ROWS}
"""Of the tasks that have several thousand test rows."""
COOL: dict[str, Any] = {"generate.temperature": 0.7}
CHOSEN: dict[str, dict[str, Any]] = {"sst2": COOL} | dict.fromkeys(TASKS[2:-1], AT_MOST)
CHOSEN |= {"imdb": AT_MOST | COOL | {"models.max_tokens": 64}}
"""What dev rows of a task spoke for (004), at 5 per class, and how many of its test rows are scored. Film reviews get
what those of SST-2 got, and everybody reads the first 64 tokens of them."""
NAME = re.compile(
    rf"(?P<task>{'|'.join(TASKS)})-(?P<size>\d+)"
    r"(-packed-(?P<packed>\d+))?(-at-(?P<temperature>[\d.]+))?(-fit-(?P<fit>\d+))?(-of-(?P<pool>\d+))?"
    r"(?P<both>-both)?(?P<following>-following)?(-sure-(?P<sure>[\d.]+))?(-taught-(?P<taught>\d+))?"
    r"(-rows-(?P<rows>\d+))?(-seeds-(?P<seeds>\d+))?"
)
PLAINER = re.compile(
    r"(-at-[\d.]+)?(-fit-\d+)?(-of-\d+)?(-both)?(-following)?(-sure-[\d.]+)?(-taught-\d+)?(-rows-\d+)?"
    r"(-seeds-\d+)?$"
)
APART = re.compile(r"-rows-|-seeds-")
"""What the name of a record has whose trials are unlike others': it has its rivals with it."""
OWN = re.compile(r"-of-\d+|-both")
"""What a name has beyond that of the run whose rivals are taken: packed alike, or all of them."""
FOLLOWING: dict[str, Any] = {"select.method": "distribution_matching"}
SURE: dict[str, dict[str, Any]] = {task: {"select.filters": ["sure:0.2"]} for task in ("trec6", "mnli")}
"""Where dev rows spoke for sure texts, too (004)."""
PUBLISHED_SETS = "published"
CHOICES = ("random", "kmeans_nearest", "herding", "typical")
ONE_ROW = (*CHOICES, "full")
AS_MUCH = ("typical@packed", "typical@tokens")
"""Real rows that are given as much as ours with `--packed`; all other scores are those of the run without it."""
RIVALS = {
    "none": (),
    "choices": (CHOICES,),
    "one-row": (ONE_ROW,),
    "as-much": (AS_MUCH,),
    "all": (ONE_ROW, AS_MUCH),
}
"""Who is trained beside ours; the scores of who is not are taken from the record of one text an example."""
QUICK: dict[str, Any] = {
    "models.generator": "scratch:tiny",
    "fit.steps": 20,
    "fit.batch": 16,
    "generate.oversample": 4,
    "generate.attempts": 50,
    "data.train_rows": 300,
    "data.dev_rows": 60,
    "data.test_rows": 60,
    "select.sets": 2,
    "evaluate.steps": 4,
    "evaluate.full_steps": 4,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path, help="a folder for all runs")
    parser.add_argument("--tasks", nargs="+", default=TASKS[:3], choices=TASKS)
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--packed", type=int, default=1, choices=TEXTS, help="texts in each of our examples")
    parser.add_argument(
        "--rivals", choices=RIVALS, help="who is trained beside ours; with --packed as-much, else one-row"
    )
    parser.add_argument("--rows", type=int, default=0, help="test rows that are scored, where they are more")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each set")
    parser.add_argument("--temperature", type=float, help="of our texts, where dev rows spoke for another at this size")
    parser.add_argument("--fit", type=int, help="steps of our generator on its own; else 300")
    parser.add_argument(
        "--pool", type=int, help="texts of a class that each set is chosen from; else 100 for each example"
    )
    parser.add_argument(
        "--both", action="store_true", help="real rows beside ours in the pools, where they may be shared"
    )
    parser.add_argument("--following", action="store_true", help="ours by distribution matching instead of `typical`")
    parser.add_argument("--sure", type=float, help="ours from this share of each class, where dev rows spoke for it")
    parser.add_argument("--taught", type=int, help="who says how sure is the learner, fine-tuned for so many steps")
    parser.add_argument("--vectors", action="store_true", help="a fourth learner: frozen word vectors (WordLlama)")
    parser.add_argument("--glove", action="store_true", help="one more: frozen word vectors of GloVe (DILM_GLOVE)")
    parser.add_argument("--reader", action="store_true", help="one more: frozen, has read the task's train rows alone")
    parser.add_argument(
        "--heads", action="store_true", help="no learner is tuned, where all rows teach such a one nothing"
    )
    parser.add_argument("--records", type=Path, default=HERE, help="where tables and records are written")
    parser.add_argument("--quick", action="store_true", help="tiny settings, to see that the script runs")
    given = parser.parse_args()
    asked = SETTINGS | by_minilm(given.out)
    if given.vectors:
        asked["evaluate.learners"] += [f"frozen:{wordllama(given.out)}"]
    if given.glove:
        asked["evaluate.learners"] += [f"frozen:{glove(given.out)}"]
    if given.heads:
        asked["evaluate.learners"] = [name for name in asked["evaluate.learners"] if not name.startswith("first-")]
    for task in given.tasks:
        rivals = given.rivals or ("as-much" if given.packed > 1 else "one-row")
        settings = asked | CHOSEN.get(task, {}) | (QUICK if given.quick else {}) | amount(given.packed, rivals)
        settings |= {"evaluate.rows": given.rows} if given.rows else {}
        settings |= {"evaluate.seeds": given.seeds} if given.seeds > 1 else {}
        settings |= {"generate.temperature": given.temperature} if given.temperature else {}
        settings |= {"fit.steps": given.fit} if given.fit else {}
        settings |= {"select.pool": "both"} if given.both else {}
        settings |= following(task, settings["evaluate.baselines"]) if given.following else {}
        settings |= {"select.filters": [f"sure:{given.sure:g}"]} if given.sure else {}
        settings |= {"select.teacher": "learner", "evaluate.full_steps": given.taught} if given.taught else {}
        if given.reader:
            known = settings["evaluate.learners"]
            settings |= {"evaluate.learners": [*known, f"frozen:{reader(given.out, task)}"]}
        for size in given.sizes:
            name = name_of(task, size, given)
            settings |= {"generate.oversample": given.pool // size} if given.pool else {}
            published = PUBLISHED if "random" in settings["evaluate.baselines"] else ()
            run = measured(given.out / name, task, size, settings, task in published)
            record(run.folder, given.records / name)
            write_table(given.records)


def amount(packed: int, rivals: str) -> dict[str, Any]:
    """How many texts an example of ours holds, and who is trained beside it."""
    return {"select.packed": packed, "evaluate.baselines": [name for kind in RIVALS[rivals] for name in kind]}


def following(task: str, rivals: list[str]) -> dict[str, Any]:
    """Ours by distribution matching; so, too, the real rows that are given as much."""
    alike = [name.replace("typical@", "distribution_matching@") for name in rivals]
    return FOLLOWING | SURE.get(task, {}) | {"evaluate.baselines": alike}


def name_of(task: str, size: int, given: argparse.Namespace) -> str:
    """Of a run and its record, as `NAME` reads it."""
    packed = f"-packed-{given.packed}" if given.packed > 1 else ""
    warm = f"-at-{given.temperature:g}" if given.temperature else ""
    fit = f"-fit-{given.fit}" if given.fit else ""
    pool = f"-of-{given.pool}" if given.pool else ""
    sure = f"-sure-{given.sure:g}" if given.sure else ""
    taught = f"-taught-{given.taught}" if given.taught else ""
    rows = f"-rows-{given.rows}" if given.rows > ROWS else ""
    seeds = f"-seeds-{given.seeds}" if given.seeds > 1 else ""
    ways = f"{'-both' * given.both}{'-following' * given.following}{sure}{taught}"
    return f"{task}-{size}{packed}{warm}{fit}{pool}{ways}{rows}{seeds}"


def measured(folder: Path, task: str, size: int, settings: dict[str, Any], beside_published: bool) -> Run:
    """A finished run; what earlier runs beside it made of the same settings is taken from them."""
    run = runs.create(folder, api.recipe_for(task, per_class=size, settings=settings), resume=True)
    take_from_neighbours(run)
    api.distill_run(run)
    if beside_published:
        published = Path(os.environ["DILM_DATA"]) / "published_dilm" / f"{task}.parquet"
        api.evaluate(run.folder, also={PUBLISHED_SETS: str(published)})
        api.report(run.folder)
    return run


def write_table(records: Path) -> None:
    """Of every recorded run: the mean of all learners for each method, how far ours is ahead, and each learner's."""
    found = {about_of(file.parent.name): scores_in(file) for file in records.glob("*/scores.jsonl")}
    found = {about: found[about] for about in sorted(filter(None, found), key=lambda about: in_order(*about))}
    asked = {score.learner for scores in found.values() for score in scores}
    learners = [name for name in LEARNERS if name in asked]
    strangers = [STRANGERS] if len(asked.intersection(STRANGERS)) > 1 else []
    lines = [
        ("", (*about, *cells)) for about, scores in found.items() for cells in of_one_run(scores, strangers, learners)
    ]
    each = ("ours ahead by", "spread over sets", "best set")
    names = ["task", "per class", "texts in ours", "method", "all learners", *each]
    names += ["without MiniLM", *each] * len(strangers)
    caption = (
        "Accuracy on test rows in percent. The best set is the one that whoever sees the test rows would take. "
        f"The {LEARNERS[f'frozen:{READER}']} counts among those without MiniLM, not among all: it stays near chance."
    )
    table = markdown_table(caption, (*names, *map(LEARNERS.get, learners), "tuned, between trainings"), lines)
    (records / "means.md").write_text(table + "\n", encoding="utf-8")


def about_of(folder: str) -> tuple[str, str, str] | None:
    """Task, examples of a class, and texts in each, with what else was asked for; None: another's."""
    if not (read := NAME.fullmatch(folder)):
        return None
    warm, pool, fit = read["temperature"], read["pool"], read["fit"]
    extras = (warm and f"at {warm}", fit and f"{fit} steps", pool and f"of {pool}", read["both"] and "and real rows")
    seeds = read["seeds"] and f"{read['seeds']} trainings"
    taught = read["taught"] and f"taught {read['taught']} steps"
    chosen = read["following"] and "following", read["sure"] and f"the surest {read['sure']}", taught
    rows = read["rows"] and f"{read['rows']} rows"
    told = [text for text in (read["packed"] or "1", *extras, *chosen, rows, seeds) if text]
    return read["task"], read["size"], ", ".join(told)


def in_order(task: str, size: str, texts: str) -> tuple[int, int, int, str]:
    return TASKS.index(task), int(size), int(texts.partition(",")[0]), texts


def scores_in(file: Path) -> list[Score]:
    """Of a record, and of methods that it leaves out those of records beside it: of texts alone, of rows packed alike,
    of one row each. Learners that ours was not shown to are left out."""
    name, found = file.parent.name, read_scores(file)
    ours = {score.learner for score in found if score.method == OURS}
    base = "-".join(name.split("-")[:2])
    beside = [(OWN.sub("", name), ""), (PLAINER.sub("", name), PACKED), (base, "")]
    beside += [
        (each.name, (*ONE_ROW, PUBLISHED_SETS)) for each in sorted(file.parents[1].glob(f"{base}-packed-*-following"))
    ]
    for other, kind in beside if not APART.search(name) else ():
        known = {score.method for score in found}
        theirs = read_scores(file.parents[1] / other / file.name) if other != name else []
        found += [score for score in theirs if score.method.endswith(kind) and score.method not in known]
    return [score for score in found if score.learner in ours]


def read_scores(file: Path) -> list[Score]:
    """None where there is no such record."""
    return [score_of(json.loads(line)) for line in file.read_text("utf-8").splitlines()] if file.exists() else []


def of_one_run(
    found: list[Score], groups: Sequence[Sequence[str]], learners: Sequence[str]
) -> Iterator[tuple[str, ...]]:
    """A line for each method: of all its learners but the reader, then of each group, what `together` says; then each
    learner's mean, and what `between_trainings` says. Of a learner that was not asked, or a group of one, nothing."""
    for method in dict.fromkeys(score.method for score in found):
        each = {learner: values_of(found, method, learner) for learner in learners}
        asked = [learner for learner, values in each.items() if values]
        cells = list(together(found, method, [learner for learner in asked if learner != f"frozen:{READER}"]))
        for group in groups:
            known = [learner for learner in group if learner in asked]
            cells += together(found, method, known) if len(known) > 1 else (NOTHING,) * 4
        means = (PERCENT.number(fmean(values)) if values else NOTHING for values in each.values())
        yield method, *cells, *means, between_trainings(found, method)


def together(found: list[Score], method: str, group: Sequence[str]) -> tuple[str, ...]:
    """Mean of the learners' means, how far ours is ahead, their mean spread over sets, and the best set's mean."""
    scores = [score for score in found if score.learner in group]
    each = [values_of(scores, method, learner) for learner in group]
    gap = paired(scores, OURS, method, numpy_stream(0, method)) if method != OURS else None
    spread = PERCENT.number(fmean(map(stdev, each))) if min(map(len, each)) > 1 else NOTHING
    return PERCENT.number(fmean(map(fmean, each))), ahead(gap), spread, best_set(found, method, group)


def best_set(found: list[Score], method: str, group: Sequence[str]) -> str:
    """The highest mean of the learners' means that one of several sets has: chosen by test rows, a ceiling."""
    sets = {score.set for score in found if score.method == method}
    each = [
        fmean(fmean(values_of([score for score in found if score.set == k], method, learner)) for learner in group)
        for k in sets
    ]
    return PERCENT.number(max(each)) if len(each) > 1 else NOTHING


def between_trainings(found: list[Score], method: str) -> str:
    """Standard deviation between trainings of one set, root mean square over sets: of the learner that is tuned."""
    tuned = [score for score in found if score.method == method and score.learner.startswith("first-")]
    sets = [[score.value for score in tuned if score.set == number] for number in {score.set for score in tuned}]
    apart = [variance(values) for values in sets if len(values) > 1]
    return PERCENT.number(fmean(apart) ** 0.5) if apart else NOTHING


def values_of(found: list[Score], method: str, learner: str) -> list[float]:
    return [score.value for score in found if (score.method, score.learner) == (method, learner)]


if __name__ == "__main__":
    main()
