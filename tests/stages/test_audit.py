"""The audit on whole runs: it flags a generator that was made to memorise, and passes it on rows that it never saw."""

from __future__ import annotations

import csv
import json
import random
import string
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_runs import SETTINGS, START
from typer.testing import CliRunner

from dilm import api
from dilm.build import Bench
from dilm.cli import app
from dilm.distilled import Distilled
from dilm.errors import AuditError, RecipeError
from dilm.journal import OWN_CODE
from dilm.planting import real_rows
from dilm.privacy.findings import NAMES, Audited
from dilm.reading import Found
from dilm.recipe import book
from dilm.runs import Run
from dilm.stages.attacks import Sides
from dilm.stages.audit import audited, look, sides
from dilm.types import Dataset, Splits

BY_HEART = {
    "fit.steps": 120,
    "fit.check_every": 120,
    "fit.batch": 32,
    "fit.contrast": 0,
    "match.steps": 0,
    "audit.canaries": 40,
    "audit.held_out": "both",
    "audit.span": 2,
    "select.method": "random",
    "evaluate.baselines": "random,full",
    "pretrain.vocabulary": 400,
}
"""Nothing stops it in time, the last weights are kept, and matching changes nothing."""


def letters(file: Path, seed: int, rows: int = 240) -> Path:
    """Short letters, of which each has words of its own, and some an address."""
    rng = random.Random(seed)

    def made_up() -> str:
        return "".join(rng.choices(string.ascii_lowercase, k=4))

    with file.open("w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle)
        table.writerow(["stars", "review"])
        for at in range(rows):
            opening = rng.choice(["the plot was", "a film so", "its music is"])
            address = f" ask {made_up()}@{made_up()}.org" if at % 4 == 0 else ""
            table.writerow([("down", "up")[at % 2], f"{opening} {made_up()} {made_up()} {made_up()}{address}"])
    return file


@pytest.fixture(scope="module")
def by_heart(tmp_path_factory: pytest.TempPathFactory) -> Distilled:
    """A generator that read its few rows far too often. Only to be read."""
    folder = tmp_path_factory.mktemp("by heart")
    settings = SETTINGS | BY_HEART
    return api.distill(letters(folder / "letters.csv", 0), out=folder / "run", settings=settings, **START)


@pytest.fixture
def bench(by_heart: Distilled) -> Bench:
    assert by_heart.run
    return Bench(api.existing_run(by_heart.run), OWN_CODE)


def figures(found: Audited) -> dict[str, object]:
    return {each.name: each for each in found.findings}


def test_a_generator_that_learnt_rows_by_heart_is_flagged(bench: Bench):
    told = audited(bench)
    assert told and told["verdict"]["tone"] in ("bad", "even")
    found = told["findings"]
    assert found["loss_auc"]["flagged"] and found["loss_auc"]["low"] > 0.6 and found["loss_tpr"]["low"] > 0.01
    assert found["min_k_auc"]["flagged"] and found["canaries_auc"]["flagged"]
    assert found["epsilon"]["flagged"] and found["epsilon"]["value"] > 0.1
    assert not told["verdict"]["headline"].startswith("None of")


def test_a_generator_that_knew_the_language_before_is_its_own_reference(bench: Bench):
    """Here what it was before it was trained, as a folder: a pretrained model."""
    before = str(bench.folder("pretrain") / "generator")
    recipe = book.override(bench.recipe, {"models.generator": before})
    pretrained = Bench(Run(bench.run.folder, recipe), OWN_CODE)
    found = look(pretrained, sides(pretrained, "quick"))
    assert figures(found)["reference_auc"].flagged  # type: ignore[attr-defined]
    assert figures(found)["epsilon"].value > 0.1  # type: ignore[attr-defined]
    assert not [line for line in found.untested if "reference" in line]


def test_on_rows_that_it_never_saw_it_passes(bench: Bench, tmp_path: Path):
    """The same texts and generator, asked about other letters, half of which are said to be trained on."""
    recipe = api.recipe_for(letters(tmp_path / "others.csv", 1), settings=SETTINGS, text="review", label="stars")
    others = Bench(Run(tmp_path / "run", recipe), OWN_CODE).splits.train
    rows, half = sides(bench, "quick"), len(others) // 2
    ours, theirs = others.take(range(half)), others.take(range(half, 2 * half))
    unseen = replace(rows, members=ours, others=theirs, train=ours, held_out=theirs)
    found = look(bench, unseen)
    flagged = [each.name for each in found.findings if each.flagged]
    assert set(flagged) <= {"canaries_auc", "epsilon"}, "only canaries are its own"
    loss = figures(found)["loss_auc"]
    assert loss.low < 0.5 < loss.high  # type: ignore[attr-defined]


def test_a_set_with_trained_rows_in_it_is_flagged_as_leaking(bench: Bench):
    """As where a generator repeats what it read; the verdict is on the released texts then."""
    rows = sides(bench, "quick")
    found = look(bench, replace(rows, released=rows.train.take(range(60))))
    names = {each.name for each in found.findings if each.flagged}
    assert {"copied", "disclosures", "near_copied", "bigram_auc"} <= names
    assert found.verdict.tone == "bad" and "word for word" in found.verdict.headline
    assert figures(found)["replay"].value > 5 and figures(found)["nearer"].low > 0  # type: ignore[attr-defined]


def test_held_out_rows_in_the_set_are_no_leak(bench: Bench):
    rows = sides(bench, "quick")
    found = look(bench, replace(rows, released=rows.held_out.take(range(40)), pool=rows.held_out.take(range(40))))
    assert {each.name for each in found.findings if each.flagged and each.about != "generator"} == set()


def test_sides_are_as_many_of_either_kind_and_never_meet(bench: Bench):
    rows: Sides = sides(bench, "quick")
    assert len(rows.members) == len(rows.others) == len(rows.held_out) <= len(rows.train)
    texts = [{row.texts for row in side} for side in (rows.members, rows.others, rows.train, rows.held_out)]
    assert texts[0] <= texts[2] and texts[1] <= texts[3] and not texts[2] & texts[3]
    canaries = {row.texts for row in bench.splits.train.examples[len(rows.train) :]}
    assert len(canaries) > 40 and not canaries & (texts[2] | texts[3])
    assert {*rows.train} == {*real_rows(bench.recipe, bench.splits.train)}, "no two letters are alike"
    assert len(bench.splits.dev) + len(bench.splits.test) + len(rows.train) == 240


def test_rows_that_were_not_as_likely_to_be_held_out_stand_on_no_side(bench: Bench):
    """Here each dev row stands in train, too, but for case and a sign: no row is left to tell anything by."""
    splits = bench.splits.all()
    shouted = Dataset(splits.task, [replace(row, texts=(row.texts[0].upper() + " !",)) for row in splits.dev])
    bench.recipe = book.override(bench.recipe, {"audit.canaries": 0, "audit.held_out": "dev"})
    doubled = Splits(Dataset(splits.task, (*splits.train, *splits.dev)), shouted, splits.test)
    bench.__dict__["_rows"] = Found(doubled, None, None)
    rows = sides(bench, "quick")
    assert len(rows.held_out) == 0 and {*rows.train} == {*splits.train}
    alone = look(bench, rows)
    assert alone.verdict.badge == "Nothing was tested" and len(alone.untested) > 4


def test_neither_rows_nor_secrets_nor_canaries_stand_in_its_files(bench: Bench):
    told = "".join(file.read_text("utf-8") for file in bench.folder("audit").iterdir())
    for row in (*bench.splits.train, *bench.splits.dev, *bench.splits.test):
        words = row.texts[0].split()
        assert " ".join(words[-3:]) not in told and not [word for word in words if "@" in word and word in told]


def test_the_page_the_card_and_the_results_say_what_was_found_and_what_was_not_tested(by_heart: Distilled):
    assert by_heart.run
    told = json.loads((by_heart.run / "audit" / "audit.json").read_text("utf-8"))
    page = (by_heart.run / "report.html").read_text("utf-8").replace("\u00a0", " ")
    for text in (page, by_heart.card):
        assert told["verdict"]["badge"] in text and "Not tested" in text
        assert "A reference model: the generator was made from scratch" in text and "only differential privacy" in text
    plain = api.findings_json(api.existing_run(by_heart.run))["audit"]
    assert plain["headline"] == told["verdict"]["headline"] and len(plain["lines"]) == len(told["findings"])
    assert set(told["findings"]) <= set(NAMES)


@pytest.fixture
def someone(monkeypatch: pytest.MonkeyPatch) -> Iterator[CliRunner]:
    monkeypatch.setenv("DILM_PROGRESS", "none")
    yield CliRunner()


def test_the_verb_tells_its_findings_and_then_ends_with_3(someone: CliRunner, copied: Path):
    run = str(copied)
    calm = someone.invoke(app, ["audit", run, "--fail-on", "loss_auc=1", "--fail-on", "copied=1e9"])
    assert calm.exit_code == 0 and "loss_auc" in calm.stdout and "Not tested:" in calm.stdout
    for more, problem in ((["loss_auc=0.001"], "loss_auc is"), (["copied=9", "epsilon=8"], "epsilon was not measured")):
        limits = [word for each in more for word in ("--fail-on", each)]
        answer = someone.invoke(app, ["audit", run, "--json", *limits])
        assert answer.exit_code == 3 and problem in answer.stderr
        assert answer.stdout.count("\n") == 1 and len(json.loads(answer.stdout)["exceeded"]) == 1
    with pytest.raises(AuditError, match="loss_auc is"):
        api.audit(copied, fail_on={"loss_auc": 0.001})


@pytest.mark.parametrize("limit", ["los_auc=1", "loss_auc=much", "loss_auc", "loss_auc=nan"])
def test_a_threshold_that_cannot_be_meant_ends_with_2(someone: CliRunner, finished: Distilled, limit: str):
    answer = someone.invoke(app, ["audit", str(finished.run), "--fail-on", limit])
    assert answer.exit_code == 2 and answer.stdout == "" and "Traceback" not in answer.stderr


def test_a_full_audit_is_kept_and_shown(copied: Path):
    before = (copied / "evaluate" / "manifest.json").read_bytes()
    full = api.audit(copied, "full")
    assert full["form"] == "full" and full["rows"]["held-out rows"] == full["rows"]["all held-out rows"]
    assert "Full audit." in (copied / "report.html").read_text("utf-8")
    assert (copied / "evaluate" / "manifest.json").read_bytes() == before, "no score depends on it"
    assert set(api.plan(api.existing_run(copied))[0]) and api.audit(copied)["form"] == "full"
    with pytest.raises(RecipeError, match="Did you mean `full`"):
        api.audit(copied, "ful")


def test_the_same_run_is_audited_alike_twice(copied: Path):
    """But for last digits of the encoder, whose points are read in other batches."""
    (copied / "audit" / "manifest.json").unlink()
    first = api.audit(copied)
    (copied / "audit" / "manifest.json").unlink()
    again = api.audit(copied)
    assert again == first
