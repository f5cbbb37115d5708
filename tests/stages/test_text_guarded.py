"""Tasks whose target is text under privacy and audit: what works does so on the whole road, the rest is refused by name
before anything is learnt."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from text_runs import SAID, SHORT
from tiny_runs import SETTINGS, products

from dilm import api, planting, private
from dilm.build import Bench
from dilm.errors import PrivacyError
from dilm.journal import OWN_CODE
from dilm.runs import Run

QUICK: dict[str, Any] = SETTINGS | SHORT | {"generation.coherence": 0.0, "select.filters": (), "select.sets": 1}
PRIVATE: dict[str, Any] = {
    "dp.epsilon": 300.0,  # promises next to nothing: so few rows would drown in the noise of a real budget
    "dp.accountant": "rdp",
    "dp.trains": "all",
    "runtime.workers": 1,
    "runtime.threads": 1,
    "data.label": "kind",
    "data.dev_rows": 10,
    "data.test_rows": 10,
    "models.learner": "scratch",
    "models.max_tokens": 32,
    "pretrain.corpus": "toy",
    "pretrain.vocabulary": 300,
    "pretrain.steps": 2,
    "fit.steps": 20,
    "fit.lr": 1e-2,
    "fit.batch": 32,
    "fit.check_every": 10,
    "generate.oversample": 2,
    "generate.attempts": 100,
    "evaluate.baselines": "random",
    "evaluate.steps": 2,
    "generation.answers": 0,
}


def road(recipe: Any, out: Path, last: str) -> Run:
    run = api.open_run(recipe, out)
    for stage in api.STAGES[: api.STAGES.index(last) + 1]:
        api.run_stage(run, stage)
    return run


def test_conditions_of_a_column_are_learnt_under_differential_privacy(answers: Path, tmp_path: Path):
    """A budget that is kept, and a generator that no loss of real rows chose."""
    quick = PRIVATE | {"fit.steps": 4, "fit.check_every": 2}
    recipe = api.recipe_for(answers, **SAID, recipe="private-generation", settings=quick)
    run = road(recipe, tmp_path / "run", "fit")
    bench = Bench(run, OWN_CODE)
    spent = private.spend(bench)
    assert 0 < spent["epsilon"] <= spent["budget"] == 300
    assert [each["what"] for each in spent["mechanisms"]] == ["fit (DP-SGD)"]
    assert spent["mechanisms"][0]["steps"] == 4 and run.stage("fit").manifest["curve"] == []
    assert bench.task.writes and bench.task.labels == ("animal", "food")
    assert bench.clusters is None and private.states(run.recipe) == 0


@pytest.mark.slow
def test_conditions_of_a_column_are_written_under_differential_privacy(answers: Path, tmp_path: Path):
    """Whole road: a product of both conditions that says what was promised."""
    made = api.distill(answers, out=tmp_path / "run", recipe="private-generation", settings=PRIVATE, **SAID)
    assert made.task.labels == ("animal", "food") and made.data.counts == (2, 2)
    assert [each["what"] for each in made.provenance.spend["mechanisms"]] == ["fit (DP-SGD)"]
    assert "differentially private" in (made.run / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"data.label": ""}, "clusters of real rows"),
        ({"match.steps": 2, "match.teacher_sets": 0, "match.ages": 1, "match.check_every": 0}, "row by row"),
        ({"federation.clients": 3, "dp.epsilon": 0.0}, "data holders answer"),
    ],
)
def test_what_has_no_mechanism_is_refused_before_anything_is_learnt(
    answers: Path, tmp_path: Path, settings: dict[str, Any], problem: str
):
    said = {"recipe": "private-generation", "settings": PRIVATE | settings}
    recipe = api.recipe_for(answers, **SAID, **said)
    with pytest.raises(PrivacyError, match=problem):
        api.run_stage(api.open_run(recipe, tmp_path / "run"), "load")
    assert not (tmp_path / "run" / "pretrain").exists()


@pytest.mark.parametrize("last", ["load", pytest.param("select", marks=pytest.mark.slow)])
def test_personal_data_is_in_no_field_and_no_cluster_is_named_after_it(answers: Path, tmp_path: Path, last: str):
    """Rows are clustered once they are clean; what was found is in the target, too."""
    file, rules = tmp_path / "letters.csv", tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump({"deny": {"CRITIC": ["Zebedee", "Ottoline"]}}), encoding="utf-8")
    with answers.open(encoding="utf-8", newline="") as source, file.open("w", encoding="utf-8", newline="") as handle:
        table = csv.DictWriter(handle, ["ask", "say"])
        table.writeheader()
        for at, row in enumerate(csv.DictReader(source)):
            name = ("Zebedee", "Ottoline")[at % 2]
            table.writerow({"ask": f"{name} wants {row['ask']}", "say": f"{row['say']} for {name}"})
    asked = {"anonymize.patterns": str(rules), "anonymize.languages": ()}
    recipe = api.recipe_for(file, **SAID, anonymize=True, settings=QUICK | asked | {"models.max_tokens": 40})
    run = road(recipe, tmp_path / "run", last)
    found = run.stage("load").manifest
    assert found["anonymized"]["kinds"] == {"CRITIC": 180}
    bench = Bench(run, OWN_CODE)
    written = json.dumps(found["labels"]) + "".join(products(run.folder).values())
    for name in ("zebedee", "ottoline"):
        assert name not in written.lower()
        assert not any(name in text.lower() for row in bench.splits.train for text in row.texts)


@pytest.mark.slow
def test_the_audit_tries_every_attack_and_finds_canaries(answers: Path, tmp_path: Path):
    recipe = api.recipe_for(answers, **SAID, settings=QUICK | {"audit.canaries": 4, "match.steps": 0})
    run = road(recipe, tmp_path / "run", "audit")
    told = json.loads((run.folder / "audit" / "audit.json").read_text("utf-8"))
    tried = {name.removesuffix("_auc") for name in told["findings"]}
    assert {"aux", "bigram", "nearest", "loss", "min_k", "canaries", "copied", "epsilon"} <= tried
    assert told["verdict"]["badge"] == run.stage("audit").manifest["verdict"]
    bench = Bench(run, OWN_CODE)
    canaries = planting.canaries(recipe, bench.splits.train)
    assert canaries and len(canaries.rows) == 8
    assert set(canaries.inserted) == set(bench.splits.train.examples[-len(canaries.inserted) :])
    full = api.audit(run.folder, "full")
    assert full["form"] == "full"
