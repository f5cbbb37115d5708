"""Every kind of generator on the road: fitted, matched, writing, chosen from; and stopped in the middle."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from kinds_of_generators import ASK, MADE, make
from tiny_runs import SETTINGS, START, products

from dilm import api
from dilm.build import Bench
from dilm.distilled import Distilled
from dilm.errors import PrivacyError, RecipeError
from dilm.journal import OWN_CODE
from dilm.models.hub import identity
from dilm.models.mixture import Mixture
from dilm.stages.training import Training

SHORT = SETTINGS | {
    "data.dev_rows": 20,
    "data.test_rows": 20,
    "models.max_tokens": 30,
    "pretrain.steps": 2,
    "fit.steps": 12,
    "fit.check_every": 6,
    "fit.batch": 8,
    "fit.lr": 3e-2,
    "fit.contrast": 0.0,
    "match.steps": 2,
    "match.synthetic": 4,
    "match.check_every": 0,
    "match.check_sets": 1,
    "match.check_steps": 4,
    "match.check_rows": 10,
    "generate.oversample": 2,
    "generate.attempts": 200,
    "select.sets": 1,
    "evaluate.baselines": "random",
    "evaluate.seeds": 1,
}
KINDS: dict[str, dict[str, Any]] = {
    "llama": {},
    "t5": {},
    "bart": {},
    "lora": {"adapters.rank": 4, "adapters.dropout": 0.1},
    "dora": {"adapters.rank": 4, "adapters.kind": "dora"},
    "8bit": {"adapters.rank": 4, "adapters.base": "8bit"},
    "4bit": {"adapters.rank": 4, "adapters.base": "4bit"},
    "mixture": {"models.mixture": "scratch:tiny"},
    "chat": ASK,
}
"""Settings of each kind beside its model."""


def rarely(kinds: Iterable[str], *slow: str) -> list[Any]:
    """All kinds, some of them among the slow tests alone: each has a faster test of its own, or a sibling here."""
    return [pytest.param(kind, marks=pytest.mark.slow) if kind in slow else kind for kind in kinds]


ADAPTED = [kind for kind, settings in KINDS.items() if "adapters.rank" in settings]


@pytest.fixture(scope="session")
def bases(finished: Distilled, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The model of each kind: random, or for kinds that change little the fitted GPT-2 of the finished run."""
    fitted, made = finished.run / "fit" / "model", tmp_path_factory.mktemp("bases")

    def base(kind: str) -> str:
        folder = made / kind
        if kind in (*MADE, "chat") and not folder.exists():
            make(kind, fitted, folder)
        return "scratch:tiny" if kind == "mixture" else str(fitted if kind in ADAPTED else folder)

    return base


def recipe_of(kind: str, source: Path, bases: Callable[[str], str], **changes: Any):
    if "bit" in kind:
        pytest.importorskip("bitsandbytes")
    settings = SHORT | KINDS[kind] | changes
    return api.recipe_for(source, **(START | {"generator": bases(kind)}), settings=settings)


def travel(recipe, out: Path, last: str = "select") -> Path:
    run = api.open_run(recipe, out, resume=out.exists())
    for stage in api.STAGES[: api.STAGES.index(last) + 1]:
        api.run_stage(run, stage)
    return out


def interrupted(after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop a stage behind its checkpoint, as a kill would."""
    write = Training.checkpoint

    def checkpoint(self: Training) -> None:
        write(self)
        if self.folder.name == after:
            raise KeyboardInterrupt

    monkeypatch.setattr(Training, "checkpoint", checkpoint)


@pytest.mark.parametrize("kind", rarely(KINDS, "dora", "8bit", "4bit"))
def test_the_road_of_every_kind(kind: str, source, bases, tmp_path: Path):
    run = travel(recipe_of(kind, source, bases), tmp_path / "run")
    pool = products(run)
    assert len(pool["generate/dilm-0.jsonl"].splitlines()) == 12 and "select/dilm-0.jsonl" in pool
    manifests = {stage: api.existing_run(run).stage(stage).manifest for stage in ("fit", "match")}
    assert all(manifest["curve"] and manifest["tokens"] for manifest in manifests.values())
    first, last = (manifests["fit"]["curve"][place]["dev_nll"] for place in (0, -1))
    assert 0 < last <= first * 1.05


READ = {"corpus.steps": 8, "corpus.check_every": 4, "corpus.batch": 8, "corpus.lr": 3e-2}


@pytest.mark.parametrize("kind", rarely(("llama", "t5", "bart", "lora"), "llama", "t5"))
def test_every_kind_that_can_reads_a_corpus_first(kind: str, source, bases, tmp_path: Path):
    """An encoder-decoder as any other; of adapters alone the weights change, and they alone are kept."""
    file = tmp_path / "reviews.txt"
    file.write_text("\n".join(f"the {thing} was warm {at}" for at in range(9) for thing in ("plot", "end", "cast")))
    run = travel(recipe_of(kind, source, bases, **READ, **{"corpus.source": str(file)}), tmp_path / "run", "fit")
    facts = api.existing_run(run).stage("fit").manifest
    told = facts["corpus"]
    assert (told["rows"] + told["held_out"], told["steps"]) == (27, 8) and facts["curve"]
    assert told["curve"][-1]["held_out_nll"] < told["curve"][0]["held_out_nll"]
    assert (run / "fit" / "model" / "adapter_model.safetensors").exists() == (kind == "lora")
    assert not (run / "fit" / "corpus").exists()


@pytest.mark.parametrize("kind", ["mixture", "chat"])
def test_the_others_refuse_a_corpus_at_the_door(kind: str, source, bases):
    with pytest.raises(RecipeError, match=r"corpus\.source is not read with (models\.mixture|instruct\.ask)"):
        recipe_of(kind, source, bases, **READ, **{"corpus.source": "reviews.txt"})


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_resumes(kind: str, source, bases, tmp_path: Path, monkeypatch):
    recipe = recipe_of(kind, source, bases, **{"match.steps": 4})
    whole = travel(recipe, tmp_path / "whole")
    pool = products(whole)
    for stage in ("fit", "match"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            interrupted(stage, patch)
            travel(recipe, tmp_path / "again")
        assert (tmp_path / "again" / stage / "checkpoint.pt").exists()
    again = travel(recipe, tmp_path / "again")
    assert products(again) == pool
    for stage in ("fit", "match"):
        curves = [api.existing_run(run).stage(stage).manifest["curve"] for run in (whole, again)]
        assert curves[0] == curves[1] and curves[0]
    assert api.verify(again)["faults"] == []


def test_adapters_are_small_in_the_run_folder(source, bases, tmp_path: Path, monkeypatch):
    """Also while the run is under way: no checkpoint holds the base."""
    base = sum(file.stat().st_size for file in Path(bases("lora")).glob("*.safetensors"))
    recipe = recipe_of("lora", source, bases)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupted("fit", patch)
        travel(recipe, tmp_path / "run")
    kept = torch.load(tmp_path / "run" / "fit" / "checkpoint.pt", weights_only=True)["model"]
    assert kept and all("lora_" in name or "marks" in name for name in kept)
    left = travel(recipe, tmp_path / "run", "match") / "match" / "model"
    assert not (left / "model.safetensors").exists()
    assert sum(file.stat().st_size for file in left.glob("*.safetensors")) < base / 2


@pytest.mark.slow
def test_a_mixture_has_members_of_several_architectures(source, bases, tmp_path: Path):
    recipe = recipe_of("mixture", source, bases, **{"models.mixture": bases("t5"), "match.steps": 0})
    run = api.existing_run(travel(recipe, tmp_path / "run"))
    generator = Bench(run, OWN_CODE).generator("match")
    assert isinstance(generator, Mixture) and len(generator.members) == 2
    told = run.stage("fit").manifest["weights"]
    assert generator.weights.tolist() == told and all(sum(row) == pytest.approx(1) for row in told)
    vocabularies = [len(member.tokenizer) for member in generator.members]
    assert vocabularies[0] != vocabularies[1] or identity(bases("t5")) != "scratch:tiny"


@pytest.mark.slow
def test_a_chat_model_may_stay_as_it_is(source, bases, tmp_path: Path):
    """The demonstrations are known by their positions, and no text of the pool repeats one."""
    untrained = {"fit.steps": 0, "match.steps": 0, "adapters.base": "bf16"}
    made = api.distill_run(api.open_run(recipe_of("chat", source, bases, **untrained), tmp_path / "run"))
    run = api.existing_run(tmp_path / "run")
    bench = Bench(run, OWN_CODE)
    shown = run.stage("fit").manifest["demonstrations"]
    assert made.provenance.prompted_by == tuple(row for rows in shown for row in rows)
    rows = {label: [bench.splits.train[row] for row in rows] for label, rows in enumerate(shown)}
    assert all(row.label == label for label, several in rows.items() for row in several)
    texts = {" ".join(row.texts[0].split()) for several in rows.values() for row in several}
    assert len(texts) == 2
    kept = json.loads((run.folder / "match" / "model" / "prompts.json").read_text("utf-8"))
    assert {" ".join(each[0].split()) for each in kept["shown"]} == texts
    assert not list(run.folder.glob("*/model/*.safetensors")) + list(run.folder.glob("*/model/config.json"))
    pool = [json.loads(line) for line in (run.folder / "generate" / "dilm-0.jsonl").read_text("utf-8").splitlines()]
    assert texts.isdisjoint(row["review"] for row in pool)
    assert "2 real train rows" in (run.folder / "report.html").read_text("utf-8")
    loaded = Distilled.load(run.folder / "distilled")
    assert loaded.provenance == made.provenance


PRIVATE = {"dp.epsilon": 8.0, "match.steps": 0, "pretrain.corpus": "toy"}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (ASK, "real rows are shown in the generator's prompt"),
        ({"models.mixture": "scratch:tiny"}, "weights of a mixture"),
        ({"adapters.rank": 4, "dp.trains": "all"}, "beside adapters"),
    ],
)
def test_privacy_refuses_what_touches_real_rows(source, settings: dict[str, Any], told: str):
    with pytest.raises(PrivacyError, match=told):
        api.recipe_for(source, **START, recipe="private", settings=PRIVATE | settings)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"fit.steps": 0}, "would not know what the tokens of its classes mean"),
        ({"adapters.base": "4bit"}, "cannot be trained"),
        ({"adapters.rank": 2, "adapters.base": "4bit", "generate.sampler": "vllm"}, "held in 4bit"),
        ({"generate.sampler": "vlm"}, "generate.sampler does not know"),
        ({"adapters.rank": 2, "adapters.targets": ""}, "adapters.targets is empty"),
        (ASK | {"adapters.rank": 2, "fit.steps": 0, "match.steps": 0}, "nothing is trained"),
        ({"models.mixture": "scratch:huge"}, "models.mixture does not know"),
        ({"adapters.kind": "prefix"}, "adapters.kind does not know"),
    ],
)
def test_settings_that_cannot_be_meant(source, settings: dict[str, Any], told: str):
    with pytest.raises(RecipeError, match=told):
        api.recipe_for(source, **START, settings=settings)


def test_keys_of_runs_without_them_stay(source):
    """A section at its defaults stands in no key; each of them, once used, in that of `fit`."""
    from dilm import pipeline

    plain = api.recipe_for(source, **START, settings=SHORT)
    assert pipeline.generators.content(plain) == []
    changed = [
        api.recipe_for(source, **START, settings=SHORT | more)
        for more in ({"adapters.rank": 2}, ASK, {"models.mixture": "scratch:tiny"})
    ]
    found = [pipeline.keys(each)["fit"] for each in (plain, *changed)]
    assert len(set(found)) == 4
