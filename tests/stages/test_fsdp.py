"""A generator whose weights are split while it learns: what one process makes, by processes that hold a part each."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from kinds_of_generators import ASK, make
from launching import begin, end, launch, wait_for
from road_to_match import travel
from tiny_runs import SETTINGS, START, curve_of, weights_of

from dilm import api
from dilm.distilled import Distilled
from dilm.errors import RecipeError

ROAD = Path(__file__).with_name("road_to_match.py")
SAID = ("fit.batch=100", "match.synthetic=40", "match.refresh_every=4", "fit.dropout=0", "match.dropout=0")
"""Batches of several pieces, and nothing that each process would draw for itself. Texts are written once: later ones
rounding may tip, and then all that follows is another."""
SPLIT = "runtime.fsdp=true"
KINDS: dict[str, tuple[str, ...]] = {
    "gpt2": (),
    "t5": ("fit.lr=5e-3",),
    "chat": tuple(f"{name}={value}" for name, value in ASK.items()),
}
"""Settings of each kind beside its model."""
WAYS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "recompute": ("runtime.recompute=true",),
    "terms": ("fit.label_smoothing=0.1", "match.kl=0.1", "match.lm_lambda=0.1", "match.coverage=0.1"),
    "rewarded": ("match.reward=0.5", "match.reward_every=2"),
    "unmatched": ("match.steps=0",),
    "measured": ("match.check_every=4", "match.check_sets=2"),
}
"""What else is asked for; `measured` lets each process write for itself on the way."""


@pytest.fixture(scope="module")
def bases(folders: Mapping[str, Path], finished: Distilled, tmp_path_factory: pytest.TempPathFactory):
    """The model of each kind."""
    made = tmp_path_factory.mktemp("kinds")
    for kind in KINDS:
        if kind != "gpt2":
            make(kind, finished.run / "fit" / "model", made / kind)
    return lambda kind: str(folders["generator"] if kind == "gpt2" else made / kind)


@pytest.fixture
def road(source: Path, folders: Mapping[str, Path]) -> Callable[..., list[str]]:
    """The words after `python` that begin or continue a run as far as match."""
    return lambda out, base, *said: [str(ROAD), str(source), str(out), base, str(folders["learner"]), *SAID, *said]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "way"), [("gpt2", way) for way in WAYS] + [(kind, "plain") for kind in KINDS if kind != "gpt2"]
)
def test_processes_that_hold_a_part_each_train_the_generator_that_one_trains(
    kind: str, way: str, bases: Callable[[str], str], road: Callable[..., list[str]], tmp_path: Path
):
    """But for rounding. Three processes, so that parts are unequal, and some read nothing of a piece."""
    said = KINDS[kind] + WAYS[way]
    runs = alone, split = tmp_path / "alone", tmp_path / "split"
    travel(*road(alone, bases(kind), *said)[1:])
    ended = launch(road(split, bases(kind), SPLIT, *said), 3, DILM_CACHE=str(tmp_path / "cache"))
    assert [process.code for process in ended] == [0, 0, 0], ended
    for stage in ("fit", "match"):
        assert_alike(stage, *runs)


@pytest.mark.slow
@pytest.mark.parametrize("then", [(SPLIT, 3), ("runtime.fsdp=false", 1)])
def test_a_killed_run_is_continued_by_any_number_of_processes(
    then: tuple[str, int], bases: Callable[[str], str], road: Callable[..., list[str]], tmp_path: Path
):
    """Checkpoints are those of one process that holds all weights. Asked of `fit`, where no rounding tips a word."""
    long = "fit.steps=160"
    travel(*road(tmp_path / "alone", bases("gpt2"), long)[1:])
    split, words = tmp_path / "split", road(tmp_path / "split", bases("gpt2"), long)
    first = begin([*words, SPLIT], 2, DILM_CACHE=str(tmp_path / "cache"))
    wait_for(split / "fit" / "checkpoint.pt", first)
    for process in first:
        process.kill()
    end(first)
    assert not (split / "fit" / "manifest.json").exists(), "killed too late to tell anything"
    said, size = then
    if size == 1:
        travel(*words[1:], said)
    else:
        ended = launch([*words, said], size, DILM_CACHE=str(tmp_path / "cache"))
        assert [process.code for process in ended] == [0] * size, ended
    assert (api.existing_run(split).stage("fit").manifest or {})["resumed"] is True
    assert_alike("fit", tmp_path / "alone", split)


@pytest.mark.slow
def test_who_is_left_by_another_says_so_and_ends(
    bases: Callable[[str], str], road: Callable[..., list[str]], tmp_path: Path
):
    """Also in the middle of a layer, where torch sends of itself."""
    words = road(
        tmp_path / "run", bases("gpt2"), SPLIT, "fit.steps=100000", "fit.check_every=10", "fit.patience=100000"
    )
    processes = begin(words, 2, DILM_CACHE=str(tmp_path / "cache"))
    wait_for(tmp_path / "run" / "fit" / "checkpoint.pt", processes)
    processes[1].send_signal(signal.SIGKILL)
    left, _ = end(processes)
    assert left.code == 1 and "Another process of this run has ended" in left.stderr, left


@pytest.mark.slow
def test_each_process_holds_its_part_alone():
    """Of weights, gradients and moments; and all of them while it writes."""
    script = Path(__file__).with_name("parts_of_a_model.py")
    ended = launch([str(script)], 3)
    assert [process.code for process in ended] == [0, 0, 0], ended


def test_one_process_may_plan_what_several_will_do(source: Path):
    assert api.plan(api.recipe_for(source, **START, settings=SETTINGS | {"runtime.fsdp": True}))


def test_one_process_is_told_that_it_has_nobody_to_split_with(source: Path, tmp_path: Path):
    recipe = api.recipe_for(source, **START, settings=SETTINGS | {"runtime.fsdp": True})
    with pytest.raises(RecipeError, match=r"this run has one.*torchrun"):
        api.run_stage(api.open_run(recipe, tmp_path / "run"), "load")


@pytest.mark.parametrize("other", ["models.mixture=scratch:tiny", "adapters.rank=4", "corpus.source=texts.txt"])
def test_what_is_not_split_is_refused(other: str, source: Path):
    with pytest.raises(RecipeError, match=f"runtime.fsdp.*{other.partition('=')[0]}"):
        api.recipe_for(source, **START, settings=dict([SPLIT.split("="), other.split("=")]))


def assert_alike(stage: str, run: Path, other: Path) -> None:
    """Generators and curves. Adam may carry the rounding of a gradient that is hardly there into a single weight."""
    one, its = weights_of(run, stage), weights_of(other, stage)
    assert one.keys() == its.keys()
    apart = {name: (one[name] - its[name]).abs() for name in one}
    assert {name for name, each in apart.items() if each.mean() > 2e-6 or each.max() > 5e-5} == set()
    for row, also in zip(*(curve_of(each, stage) for each in (run, other)), strict=True):
        assert row == pytest.approx(also, abs=2e-5)
