"""Domain pre-training: unlabelled text is found, read before the classes, resumed, recorded, and declared public."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from federated_runs import HOLDERS, done_in_one_room, write_all
from private_runs import write_data
from safetensors.torch import load_file

from dilm import api, pipeline, runs
from dilm.data.unlabelled import read_unlabelled
from dilm.distillation import domain as reading
from dilm.distillation.domain import Reading, corpus_nll, read_on
from dilm.distillation.fit import held_out_nll
from dilm.errors import DataError, PrivacyError, RecipeError
from dilm.models.causal import CausalGenerator
from dilm.models.unlabelled import classes_as_start, unlabelled_lengths, unlabelled_nll
from dilm.recipe import Recipe, book
from dilm.runtime.optimize import AdamW, Schedule
from dilm.stages import domain

WORDS = ("plot", "music", "end", "cast", "film", "script")
TEXTS = [f"{thing} {word} {number}" for number in range(6) for thing in WORDS for word in ("dull", "warm", "slow")]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    file = tmp_path / "reviews.txt"
    file.write_text("\n".join([*TEXTS, "", "  ", TEXTS[0]]), encoding="utf-8")
    return file


def test_a_corpus_is_a_text_file_a_table_or_a_name_below_the_data_folder(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import pandas

    assert read_unlabelled(str(corpus)) == TEXTS
    table = pandas.DataFrame({"text": TEXTS, "stars": 1})
    (tmp_path / "imdb").mkdir()
    table.to_parquet(tmp_path / "imdb" / "unlabelled.parquet")
    table.to_csv(tmp_path / "reviews.csv", index=False)
    table.to_json(tmp_path / "reviews.jsonl", orient="records", lines=True)
    monkeypatch.setenv("DILM_DATA", str(tmp_path))
    for name in ("imdb/unlabelled", str(tmp_path / "reviews.csv"), str(tmp_path / "reviews.jsonl"), "reviews"):
        assert read_unlabelled(name) == TEXTS
    with pytest.raises(DataError, match="Did you mean `imdb/unlabelled`"):
        read_unlabelled("imdb/unlabeled")
    with pytest.raises(DataError, match="no column 'review'"):
        read_unlabelled("imdb/unlabelled", "review")
    with pytest.raises(DataError, match="holds no text"):
        read_unlabelled("imdb/unlabelled", "stars")


def test_long_texts_can_be_read_sentence_by_sentence(tmp_path: Path):
    file = tmp_path / "long.txt"
    file.write_text("It was slow. Was it worth it?<br />No!  But the music was lovely...\n", encoding="utf-8")
    wanted = ["It was slow.", "Was it worth it?", "But the music was lovely..."]
    assert read_unlabelled(str(file), unit="sentence") == wanted


def test_a_text_without_a_class_costs_what_a_class_like_the_start_would_say(new_generator: Any, train: Any):
    """And reading makes such texts likelier, of every class alike."""
    generator: CausalGenerator = new_generator()
    generator.eval()
    texts, cost = [example.texts[0] for example in train], partial(unlabelled_nll, generator)
    reading = Reading(texts, 12, cost, partial(unlabelled_lengths, generator), 0)
    classes_as_start(generator)
    torch.testing.assert_close(cost(texts), generator.nll(train.examples))
    update = AdamW(generator.parameters(), Schedule(40, 1e-2))
    before = corpus_nll(generator, reading, texts)
    list(read_on(generator, reading, update, range(40)))
    assert corpus_nll(generator, reading, texts) < before / 2
    classes_as_start(generator)
    assert held_out_nll(generator, train) == pytest.approx(corpus_nll(generator, reading, texts), rel=1e-4)


SHORT = {"corpus.steps": 8, "corpus.check_every": 4, "corpus.batch": 8, "fit.steps": 4, "fit.check_every": 2}


def test_what_was_read_stands_in_the_manifest_the_key_and_the_provenance(copied: Path, corpus: Path):
    before = pipeline.keys(api.existing_run(copied).recipe)
    run = api.change_settings(api.existing_run(copied), SHORT)
    facts = api.fit(run.folder, corpus=corpus)
    told = facts["corpus"]
    assert told["source"] == "reviews.txt" and told["sha256"] == hashlib.sha256(corpus.read_bytes()).hexdigest()
    assert (told["rows"] + told["held_out"], told["steps"]) == (len(TEXTS), 8)
    assert [row["step"] for row in told["curve"]] == [0, 4, 8]
    assert told["curve"][-1]["held_out_nll"] < told["curve"][0]["held_out_nll"]
    assert sorted(file.name for file in (copied / "fit").iterdir()) == ["files.json", "key", "manifest.json", "model"]
    recipe = api.existing_run(copied).recipe
    after = pipeline.keys(recipe)
    assert before["pretrain"] == after["pretrain"] and before["fit"] != after["fit"]
    corpus.write_text("another text\n" * 3 + "and one more", encoding="utf-8")
    assert pipeline.keys(recipe)["fit"] != after["fit"], "the content counts"


def test_the_provenance_says_which_file_was_read(copied: Path, corpus: Path):
    settings = SHORT | {"corpus.source": str(corpus), "match.steps": 0, "evaluate.baselines": ("random",)}
    run = api.change_settings(api.existing_run(copied), settings | {"generate.attempts": 500, "evaluate.steps": 2})
    product = api.distill_run(run)
    assert product.provenance.corpus["source"] == "reviews.txt" and product.provenance.corpus["steps"] == 8
    assert "curve" not in product.provenance.corpus
    assert str(corpus.parent) not in json.dumps(api.findings_json(run))


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "fit" / "model" / "model.safetensors")


@pytest.mark.parametrize("at", [2, 6])
def test_reading_that_is_killed_ends_as_reading_that_was_not(
    copied: Path, corpus: Path, at: int, monkeypatch: pytest.MonkeyPatch
):
    """Before and after the first checkpoint, bit for bit."""
    run = api.change_settings(api.existing_run(copied), SHORT | {"corpus.source": str(corpus)})
    api.run_stage(run, "fit")
    whole = weights(copied)
    runs.StageFolder(copied / "fit").clear()
    real = reading.seed_torch

    def killed(seed: int, *names: object) -> None:
        if names == ("corpus", at):
            raise KeyboardInterrupt
        real(seed, *names)

    monkeypatch.setattr(reading, "seed_torch", killed)
    with pytest.raises(KeyboardInterrupt):
        api.run_stage(run, "fit")
    monkeypatch.setattr(reading, "seed_torch", real)
    assert (copied / "fit" / domain.FOLDER / "checkpoint.pt").exists() is (at > 4)
    assert api.run_stage(run, "fit")["resumed"]
    assert all(torch.equal(whole[name], found) for name, found in weights(copied).items())


def test_a_run_without_a_corpus_keeps_its_keys_whatever_the_corpus_would_be():
    plain = pipeline.keys(Recipe())
    assert pipeline.keys(book.override(Recipe(), {"corpus.steps": 7, "corpus.unit": "sentence"})) == plain


def test_privacy_wants_the_corpus_declared_public(corpus: Path):
    settings = {"models.max_tokens": 16, "corpus.source": str(corpus)}
    with pytest.raises(PrivacyError, match=r"corpus\.public=true"):
        api.recipe_for("toy", epsilon=3, settings=settings)
    allowed = api.recipe_for("toy", epsilon=3, settings=settings | {"corpus.public": True})
    assert allowed.corpus.public
    with pytest.raises(RecipeError, match=r"nobody looked at corpus\.source"):
        api.recipe_for("toy", anonymize=True, settings=settings)


@pytest.mark.parametrize(
    "beside", [{"models.mixture": ("gpt2",)}, {"instruct.ask": "Write {label}."}], ids=["mixture", "instruct"]
)
def test_generators_that_read_no_corpus_are_told_at_the_door(beside: dict[str, Any]):
    with pytest.raises(RecipeError, match=r"corpus\.source is not read with"):
        book.check(book.override(Recipe(), beside | {"corpus.source": "reviews.txt"}))


def test_under_differential_privacy_a_public_corpus_is_read_first(tmp_path: Path):
    said = write_data(tmp_path / "data")
    settings = said.pop("settings") | SHORT | {"corpus.source": str(tmp_path / "data" / "public.txt")}
    run = api.open_run(api.recipe_for(**said, settings=settings | {"corpus.public": True}), tmp_path / "run")
    for name in ("load", "pretrain", "fit"):
        facts = api.run_stage(run, name)
    assert facts["corpus"]["public"] and facts["corpus"]["steps"] == 8 and facts["privacy"]["epsilon"] > 0
    assert not (tmp_path / "run" / "fit" / domain.FOLDER).exists()


def test_a_server_reads_a_public_corpus_before_its_holders_teach(tmp_path: Path):
    """Not declared public it is refused, and what holders begin with is the generator that has read."""
    said = write_all(tmp_path)
    asked = {"federation.clients": HOLDERS, "corpus.source": str(tmp_path / "public.txt"), "match.steps": 0}
    settings = said.pop("settings") | SHORT | {"fit.check_every": 4} | asked
    with pytest.raises(PrivacyError, match=r"corpus\.public=true"):
        api.recipe_for(**said, settings=settings)
    run = api.open_run(api.recipe_for(**said, settings=settings | {"corpus.public": True}), tmp_path / "run")
    done_in_one_room(run, tmp_path)
    told = run.stage("fit").manifest
    assert told["corpus"]["steps"] == 8 and told["corpus"]["public"] and told["fewest_holders"] == HOLDERS
    assert told["corpus"]["curve"][-1]["held_out_nll"] < told["corpus"]["curve"][0]["held_out_nll"]
