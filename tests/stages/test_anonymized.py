"""A run with --anonymize: what was planted in the rows occurs nowhere, and runs without it are what they were."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from tiny_runs import SETTINGS, START

from dilm import api, pipeline, reading
from dilm.build import Bench
from dilm.distilled import Distilled
from dilm.errors import RunError
from dilm.journal import OWN_CODE
from dilm.recipe import Recipe, book
from dilm.runs import Run
from dilm.runtime.hashing import key
from dilm.version import VERSION

KINDS = ("EMAIL_ADDRESS", "CREDIT_CARD", "IBAN_CODE", "PHONE_NUMBER", "CRITIC")
RULES = {
    "patterns": {
        "EMAIL_ADDRESS": r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
        "CREDIT_CARD": r"(?<!\d)\d{4}(?:[ -]?\d{4}){3}(?!\d)",
        "IBAN_CODE": r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){4,6}(?: ?[A-Z0-9]{1,2})?\b",
        "PHONE_NUMBER": r"\+\d{2}(?: \d{2,4}){3}",
    },
    "deny": {"CRITIC": ["Zebedee"]},
}
PLANTED = (
    ("anna.b{at}@example.org", "EMAIL_ADDRESS"),
    ("4111 1111 1111 1111", "CREDIT_CARD"),
    ("DE89 3704 0044 0532 0130 00", "IBAN_CODE"),
    ("+44 20 7946 0958", "PHONE_NUMBER"),
    ("Zebedee", "CRITIC"),
)
PRESIDIO = {"anonymize.languages": "en", "anonymize.kinds": ",".join(KINDS)}
LIGHT = {"evaluate.baselines": "random,tdd_text,untuned", "embed.steps": 2, "embed.unroll": 2, "embed.per_step": 2}


def planted(at: int) -> str:
    return PLANTED[at % len(PLANTED)][0].format(at=at)


@pytest.fixture(scope="module")
def letters(reviews: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reviews, two in three with a secret: before, after or between the lines of the text."""
    folder = tmp_path_factory.mktemp("letters")
    (folder / "rules.yaml").write_text(yaml.safe_dump(RULES), encoding="utf-8")
    with (folder / "letters.csv").open("w", newline="", encoding="utf-8") as handle:
        table = csv.DictWriter(handle, ["stars", "review"])
        table.writeheader()
        for at, row in enumerate(reviews):
            text = (row["review"], f"{row['review']},\n{planted(at)}.", f"({planted(at)}) {row['review']}")[at % 3]
            table.writerow(row | {"review": text})
    return folder


def distil(letters: Path, out: Path, **settings: object) -> Distilled:
    rules = {"anonymize.patterns": str(letters / "rules.yaml"), "anonymize.languages": ()}
    said = SETTINGS | LIGHT | {"models.max_tokens": 40} | rules | settings
    return api.distill(letters / "letters.csv", out=out, anonymize=True, settings=said, **START)


@pytest.fixture(scope="module", params=[pytest.param(name, marks=pytest.mark.slow) for name in ("rules", "presidio")])
def clean(request, letters: Path, tmp_path_factory: pytest.TempPathFactory) -> Distilled:
    """A whole run; only to be read."""
    if request.param == "presidio":
        pytest.importorskip("presidio_analyzer")
    more = PRESIDIO if request.param == "presidio" else {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DILM_CACHE", str(tmp_path_factory.mktemp("own cache")))
        yield distil(letters, tmp_path_factory.mktemp("runs") / "clean", **more)


def test_what_was_planted_occurs_nowhere_in_the_run_or_the_cache(clean: Distilled):
    import os

    secrets = {planted(at) for at in range(240) if at % 3}
    secrets |= {secret.replace(" ", "") for secret in secrets}
    files = [file for root in (clean.run, Path(os.environ["DILM_CACHE"])) for file in root.rglob("*") if file.is_file()]
    assert len(files) > 20
    for file in files:
        content = file.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in content], file.name
        assert not [secret for secret in secrets if secret.lower().encode() in content.lower()], file.name


def test_labels_and_counts_are_those_of_the_source(clean: Distilled, letters: Path):
    facts = api.existing_run(clean.run).stage("load").manifest
    assert sum(facts["rows"].values()) == 240 and facts["labels"] == ["thumbs down", "thumbs up"]
    found = facts["anonymized"]
    assert found["rows"] == {"train": 240} and found["touched"] == {"train": 160}
    assert set(found["kinds"]) == set(KINDS) and sum(found["kinds"].values()) == 160
    places = json.loads((clean.run / "load" / "findings.json").read_text("utf-8"))["places"]
    assert len(places) == 160
    assert {place["row"] for place in places} == {at + 1 for at in range(240) if at % 3}
    assert {place["field"] for place in places} == {"review"}


def test_nothing_that_is_written_is_flagged(clean: Distilled):
    bench = Bench(api.existing_run(clean.run), OWN_CODE)
    lines = [json.loads(line) for file in clean.run.glob("*/*.jsonl") for line in file.read_text("utf-8").splitlines()]
    assert len(lines) > 50 and not bench.panel.flags([line["review"] for line in lines])
    manifests = {name: bench.run.stage(name).manifest for name in ("load", "generate", "embed")}
    assert manifests["generate"]["detectors"] == manifests["load"]["anonymized"]["detectors"]
    assert manifests["embed"]["flagged"] >= 0


def test_the_page_and_the_card_say_what_was_done_and_what_it_is_not(clean: Distilled):
    page = (clean.run / "report.html").read_text("utf-8")
    for text in (page, clean.card):
        assert "160 findings in 160 of 240 rows gave way to their kinds" in text
        assert "Anonymization is not differential privacy" in text
        assert "IBAN" in text and "your own rules" in text
    assert "not differential privacy" in clean.provenance.privacy
    assert str(Path(clean.run).parent) not in page


def test_the_same_cache_gives_the_same_rows_and_another_is_told(letters: Path, tmp_path: Path, monkeypatch):
    settings = {"anonymize.patterns": str(letters / "rules.yaml"), "anonymize.languages": ()}
    api.load(letters / "letters.csv", out=tmp_path / "run", anonymize="hash", settings=settings)
    run = api.existing_run(tmp_path / "run")
    assert Bench(run, OWN_CODE).splits.train.fingerprint == run.stage("load").manifest["fingerprints"]["train"]
    assert run.stage("load").manifest["anonymized"]["operator"] == "hash"
    monkeypatch.setenv("DILM_CACHE", str(tmp_path / "elsewhere"))
    with pytest.raises(RunError, match="secret behind this run's stand-ins") as told:
        _ = Bench(run, OWN_CODE).splits.train
    assert "DILM_CACHE" in told.value.remedy


def test_rows_that_differed_in_a_secret_alone_are_carved_to_one_side(letters: Path, tmp_path: Path):
    rows = "".join(f'"ask anna.b{at}@example.org",a\n"it was {at}",b\n' for at in range(40))
    (tmp_path / "a.csv").write_text("text,label\n" + rows, encoding="utf-8")
    settings = {"anonymize.patterns": str(letters / "rules.yaml"), "anonymize.languages": ()}
    recipe = api.recipe_for(tmp_path / "a.csv", anonymize="replace", settings=settings)
    splits = Bench(Run(tmp_path / "run", recipe), OWN_CODE).splits
    sides = [part for part in (splits.train, splits.dev, splits.test) if part.where(0)]
    assert len(sides) == 1 and len(sides[0].where(0)) == 40
    assert {example.texts for example in sides[0].of(0)} == {("ask <EMAIL_ADDRESS>",)}


def test_sizes_share_stand_ins_and_seeds_do_not(letters: Path, tmp_path: Path):
    settings = {"anonymize.patterns": str(letters / "rules.yaml"), "anonymize.languages": ()}

    def fingerprint(**more: object) -> str:
        recipe = api.recipe_for(letters / "letters.csv", anonymize="pseudonym", settings=settings, **more)
        first = next(
            text
            for row in Bench(Run(tmp_path, recipe), OWN_CODE).splits.train
            for text in row.texts
            if "<CRITIC" in text
        )
        return first[first.index("<") : first.index(">")]

    assert fingerprint(per_class=2) == fingerprint(per_class=3) != fingerprint(per_class=2, seed=1)


@pytest.mark.parametrize("name", book.names())
def test_without_anonymization_every_key_is_what_it_was(name: str):
    recipe = book.read(name)
    assert recipe.anonymize.operator == "none"
    said = asdict(recipe.data)
    later = {"seed": -1, "user": "", "target": ""}  # which stand in keys where they are set
    assert {name: said.pop(name) for name in later} == later
    load = ["load", [said, recipe.seed, recipe.models.max_tokens, *reading.clusters(recipe)], {}, VERSION]
    assert pipeline.keys(recipe)["load"] == key(load)
    changed = book.override(recipe, {"anonymize.threshold": 0.9, "anonymize.kinds": "URL"})
    assert pipeline.keys(changed) == pipeline.keys(recipe)


def test_with_it_every_key_depends_on_operator_rules_and_kinds(tmp_path: Path):
    file = tmp_path / "rules.yaml"
    seen: list[dict[str, str]] = [pipeline.keys(Recipe())]
    for operator, rules, kinds in (
        ("hash", "", ""),
        ("hash", "deny: [a]", ""),
        ("hash", "deny: [b]", ""),
        ("hash", "", "URL"),
        ("mask", "", ""),
    ):
        file.write_text(rules, encoding="utf-8")
        settings = {"anonymize.operator": operator, "anonymize.kinds": kinds, "anonymize.patterns": str(file)}
        seen.append(pipeline.keys(book.override(Recipe(), settings)))
    for name in pipeline.NAMES:
        assert len({keys[name] for keys in seen}) == len(seen), name


def test_rules_of_equal_content_are_the_same_rules(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("deny: [a]", encoding="utf-8")
    shutil.copy(tmp_path / "a.yaml", tmp_path / "b.yaml")
    said = {"anonymize.operator": "mask"}
    recipes = [
        book.override(Recipe(), said | {"anonymize.patterns": str(tmp_path / name)}) for name in ("a.yaml", "b.yaml")
    ]
    assert pipeline.keys(recipes[0]) == pipeline.keys(recipes[1])


def test_the_flag_keeps_the_operator_of_a_recipe(tmp_path: Path):
    (tmp_path / "own.yaml").write_text("anonymize: {operator: mask}", encoding="utf-8")
    own = str(tmp_path / "own.yaml")
    said = [
        api.recipe_for("toy", recipe=recipe, anonymize=asked).anonymize.operator
        for recipe, asked in ((own, True), (own, None), (None, True), (None, None), (own, "hash"))
    ]
    assert said == ["mask", "mask", "replace", "none", "hash"]
