"""report: the page, the table, the card and the product itself, from what the other stages left."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dilm import federated, private
from dilm.build import Bench
from dilm.distilled import Distilled
from dilm.evaluation.statistics import Difference, Summary, paired, summarise
from dilm.recipe import UNCHANGING
from dilm.recipe.fields import counted
from dilm.reports import card, page, table
from dilm.reports.audit import Audit
from dilm.reports.findings import Bar, Block, Cost, Findings, Measure, Personal, bar, beside, blocks
from dilm.reports.methods import OURS
from dilm.reports.robustness import robustness
from dilm.reports.scales import scale
from dilm.runs import write_text
from dilm.runtime.hashing import key
from dilm.runtime.seeding import numpy_stream
from dilm.stages.audit import audited
from dilm.stages.notes import notes
from dilm.stages.records import scores
from dilm.stages.select import released_texts, synthetic_sets
from dilm.stages.text import measures
from dilm.types import Provenance, Score
from dilm.version import VERSION

TEXT = "text.json"
"""In the stage's folder: what the texts are like."""

FOLDERS = {
    "data": ("source", "test"),
    "models": ("generator", "learner", "encoder"),
    "anonymize": ("ner", "patterns"),
    "pretrain": ("corpus",),
    "corpus": ("source",),
    "report": ("language_model",),
    "generation": ("judge",),
    "rewrite": ("model",),
}
"""Settings that may be folders of this machine."""
LISTS = (("evaluate", "learners"), ("models", "mixture"))
"""Those that may name several."""

ANONYMIZED = "none: rows were anonymized, which is not differential privacy, and used without a privacy mechanism"

PAGE, TABLE, PRODUCT = "report.html", "results.md", "distilled"
"""In the run folder."""

BEFORE = ("load", "pretrain", "embed", "fit", "match", "generate", "select", "audit", "evaluate")


def run(bench: Bench) -> dict[str, Any]:
    """Write report.html, results.md and the folder `distilled`; facts: where they are, and what the texts are like."""
    told = [asdict(measure) for measure in measures(bench, released_texts(bench))]
    write_text(bench.folder("report") / TEXT, json.dumps(told))
    found, folder = findings(bench), bench.run.folder
    write_text(folder / PAGE, page.render(found))
    write_text(folder / TABLE, table.markdown(found))
    _product(bench, found).save(folder / PRODUCT)
    return {
        "page": PAGE,
        "table": TABLE,
        "distilled": PRODUCT,
        "text": {line["name"]: [line["value"], line["beside"]] for line in told},
    }


def distilled(bench: Bench) -> Distilled:
    """The run's product: its first synthetic set, with the card as far as it was measured."""
    return _product(bench, findings(bench))


def _product(bench: Bench, found: Findings) -> Distilled:
    return Distilled(found.distilled, found.per_class, found.provenance, card.render(found), bench.run.folder)


def findings(bench: Bench) -> Findings:
    """Everything that the finished stages found."""
    recipe, manifests = bench.recipe, _manifests(bench)
    scored = scores(bench, manifests.get("evaluate", {}).get("trials", []))
    return Findings(
        task=bench.task,
        distilled=synthetic_sets(bench)["dilm"][0],
        per_class=recipe.per_class,
        provenance=_provenance(bench, manifests),
        scores=tuple(scored),
        bars=bars(scored, recipe.seed, bench.task.metric),
        curves={name: tuple(manifests[name].get("curve", ())) for name in ("fit", "match") if name in manifests},
        rejected=manifests.get("generate", {}).get("verdicts"),
        recipe=_without_folders(asdict(recipe)),
        costs=tuple(
            Cost(name, manifest["seconds"], manifest["peak_mb"], manifest.get("tokens"), manifest.get("own_seconds"))
            for name, manifest in manifests.items()
        ),
        text=_text(bench),
        splits=manifests["load"]["rows"],
        scored=manifests.get("evaluate", {}).get("rows", 0),
        notes=notes(recipe, manifests),
        personal=_personal(manifests),
        audit=Audit.of(told) if (told := audited(bench)) else None,
    )


def bars(scored: Sequence[Score], seed: int, metric: str = "accuracy") -> tuple[Bar, ...]:
    """A bar for each method, learner and size, with its difference to ours where both were measured.

    Learners stand in the order of the recipe: the verdict is on its first, not on the one that flatters most.
    """
    order = list(dict.fromkeys(score.learner for score in scored))
    less = scale(metric).sign < 0
    summaries = summarise(scored, numpy_stream(seed, "statistics"), math.inf if less else 1.0)
    summaries.sort(key=lambda each: order.index(each.learner))
    ours = {(each.learner, each.per_class) for each in summaries if each.method == OURS}
    learners = {learner for learner, _ in ours}

    def ahead(each: Summary) -> Difference | None:
        met = each.learner in learners if each.per_class == 0 else (each.learner, each.per_class) in ours
        if each.method == OURS or not met:
            return None
        same = [score for score in scored if score.learner == each.learner]
        found = paired(same, OURS, each.method, numpy_stream(seed, "differences", each.learner, each.method))
        return _turned(found) if less else found

    return tuple(bar(each, ahead(each), metric) for each in summaries)


def _turned(found: Difference) -> Difference:
    """A difference of which less is better, as one of which more is."""
    low, high = (None if end is None else -end for end in (found.high, found.low))
    return replace(found, mean=-found.mean, low=low, high=high)


def plain(found: Findings) -> dict[str, Any]:
    """Findings as JSON values: results, examples, costs, provenance."""
    rows = Distilled(found.distilled, found.per_class, found.provenance).rows()
    facts = {
        "task": asdict(found.task),
        "per_class": found.per_class,
        "results": [asdict(bar) | asdict(beside(bar, block)) for bar, block in _placed(found)],
        "robustness": [asdict(each) for each in robustness(found)],
        "examples": rows,
        "rejected": found.rejected,
        "anonymized": asdict(found.personal) if found.personal else None,
        "audit": asdict(found.audit) if found.audit else None,
        "text": [asdict(each) for each in found.text],
        "costs": [asdict(each) for each in found.costs],
        "provenance": asdict(found.provenance),
    }
    return json.loads(json.dumps(facts, default=str))


def _placed(found: Findings) -> Iterator[tuple[Bar, Block]]:
    """Every bar once, in its own order, with a block that it stands in."""
    homes = {bar: block for block in reversed(blocks(found)) for bar in block.bars}
    return ((bar, homes[bar]) for bar in found.bars)


def _text(bench: Bench) -> tuple[Measure, ...]:
    """What the report stage measured on the texts, as far as it did."""
    file = bench.folder("report") / TEXT
    return tuple(Measure(**line) for line in json.loads(file.read_text("utf-8"))) if file.exists() else ()


def _manifests(bench: Bench) -> dict[str, dict[str, Any]]:
    found = {name: bench.run.stage(name).manifest for name in BEFORE}
    return {name: manifest for name, manifest in found.items() if manifest}


def _provenance(bench: Bench, manifests: Mapping[str, dict[str, Any]]) -> Provenance:
    libraries = {name: version(name) for name in ("torch", "transformers", "tokenizers", "scikit-learn", "numpy")}
    libraries |= {name: told for name, told in manifests.get("generate", {}).items() if name == "vllm"}
    place = bench.place
    machine = {
        "python": platform.python_version(),
        "device": str(place.device),
        "precision": "bf16" if place.bf16 else "fp32",
    }
    told = _without_folders(counted(bench.recipe))
    return Provenance(
        recipe_key=key({name: value for name, value in told.items() if name not in UNCHANGING}),
        seed=bench.recipe.seed,
        code=VERSION,
        parents={name: manifest["key"] for name, manifest in manifests.items()},
        environment=libraries | machine,
        real_rows=tuple(manifests.get("select", {}).get("real", {}).get(OURS, [()])[0]),
        rewritten=tuple(manifests.get("select", {}).get("rewritten", {}).get("chosen", {}).get(OURS, [()])[0]),
        prompted_by=tuple(row for rows in manifests.get("fit", {}).get("demonstrations", ()) for row in rows),
        corpus={name: value for name, value in manifests.get("fit", {}).get("corpus", {}).items() if name != "curve"},
        **_privacy(bench, manifests),
    )


def _privacy(bench: Bench, manifests: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """What the provenance says of it, where it is not that nothing was done."""
    if federated.wanted(bench.recipe):
        told = private.spend(bench)
        return {"privacy": federated.statement(bench.recipe, told), **({"spend": told} if told else {})}
    if told := private.spend(bench):
        return {"privacy": private.statement(told), "spend": told}
    return {"privacy": ANONYMIZED} if "anonymized" in manifests.get("load", {}) else {}


def _personal(manifests: Mapping[str, dict[str, Any]]) -> Personal | None:
    """What the load stage found; how its salt is known again is nobody else's business."""
    told = manifests["load"].get("anonymized")
    if not told:
        return None
    return Personal(**{field.name: told[field.name] for field in fields(Personal)})


def _without_folders(tree: dict[str, Any]) -> dict[str, Any]:
    """A recipe's values without folders of this machine: of a local path only the last part is shared."""
    for section, names in FOLDERS.items():
        told = tree.get(section, {})
        told.update({name: _last_part(told[name]) for name in names if name in told})
    for section, name in LISTS:
        if name in tree[section]:
            tree[section][name] = [_last_part(each) for each in tree[section][name]]
    return tree


def _last_part(name: str) -> str:
    """A name without folders of this machine and addresses of servers, whatever stands before them.

    >>> _last_part("frozen:bert-base-uncased"), _last_part("served:http://localhost:8000/v1#llama")
    ('frozen:bert-base-uncased', 'served:llama')
    """
    way, divided, model = name.partition(":")
    if "#" in model and "://" in model:
        return f"{way}:{model.partition('#')[2]}"
    if divided and Path(model).exists():
        return f"{way}:{Path(model).name}"
    return Path(name).name if name and Path(name).exists() else name
