"""What `dilm plan` foretells: more work costs more, and memory is of the order that a step really takes."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from dilm import api, costs
from dilm.costs import LIBRARIES, Company, Shape

SMALL = {"data.dev_rows": 10, "data.test_rows": 10}

Planned = Callable[..., dict[str, dict]]


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planned:
    """The plan for a small file, on a machine whose speed is the same from plan to plan."""
    monkeypatch.setattr(costs, "_measured_rate", lambda bench: 1e10)
    file = tmp_path / "rows.csv"
    file.write_text("text,label\n" + "".join(f"row number {row} of many,{row % 2}\n" for row in range(90)), "utf-8")

    def plan(**settings: object) -> dict[str, dict]:
        said = {name.replace("__", "."): value for name, value in settings.items()}
        return {row["stage"]: row for row in api.plan(api.recipe_for(str(file), settings=SMALL | said))}

    return plan


def test_every_stage_is_foretold(planned: Planned):
    found = planned()
    assert tuple(found) == api.STAGES
    assert all(row["seconds"] >= 0 and row["megabytes"] > 50 and row["detail"] for row in found.values())
    assert found["fit"]["state"] == "to do"


def test_a_language_model_reads_each_set_in_orders_of_its_own(planned: Planned):
    asked = {"evaluate__learners": "same,served:http://localhost/v1#m", "evaluate__baselines": "random,untuned"}
    found = planned(**asked, select__sets=3, evaluate__seeds=2, prompt__orders=5)
    assert str(3 * 3 * (2 + 5)) in found["evaluate"]["detail"]


@pytest.mark.parametrize(
    ("stage", "more"),
    [
        ("fit", {"models__generator": "scratch:base"}),
        ("match", {"match__synthetic": 3200}),
        ("generate", {"generate__batch": 25600}),
        ("evaluate", {"pretrain__learner_size": "base"}),
        ("pretrain", {"pretrain__learner_size": "base"}),
        ("embed", {"evaluate__baselines": "tdd"}),
    ],
)
def test_more_at_once_needs_more_memory(planned: Planned, stage: str, more: dict):

    def beside_libraries(found: dict[str, dict]) -> float:
        return found[stage]["megabytes"] - found["load"]["megabytes"]

    assert beside_libraries(planned(**more)) > 1.5 * beside_libraries(planned())


def test_a_mixture_costs_what_all_its_members_do(planned: Planned):
    """Memory of all; a text is learnt and written by one of them, and read by all while they are matched."""

    alone, both = planned(), planned(models__mixture="scratch:small")
    for stage, least in (("fit", 1.2), ("match", 1.3), ("generate", 1.02)):
        held = [found[stage]["megabytes"] - found["load"]["megabytes"] - LIBRARIES for found in (alone, both)]
        assert held[1] > least * held[0], stage
    assert "scratch:small, scratch:small" in both["pretrain"]["detail"]


@pytest.mark.parametrize(("sizes", "stage"), [((4, 4), "shared"), ((4, 8, 2), "sum")])
def test_a_company_of_equals_shares_and_every_member_counts(sizes: tuple[int, ...], stage: str):
    members = tuple(Shape(layers, 64, 100, 100) for layers in sizes)
    company, one = Company(members), Company(members[:1])
    assert company.multiplied == sum(each.multiplied for each in members) > one.multiplied == members[0].multiplied
    if stage == "shared":
        assert company.shared == one.shared == members[0].multiplied
        assert company.training(50) == 2 * one.training(50)
    weights = sum(each.weights for each in members)
    assert 4 * weights < company.writing(3, 9) < sum(each.writing(3, 9) for each in members)
    assert one.writing(3, 9) == members[0].writing(3, 9)


def test_learners_in_turn_are_held_together_and_grow_up_one_by_one(planned: Planned, folders):
    """A step has one of them, so that only their lives take longer."""
    few = {"match__steps": 4, "match__ages": 40, "match__check_every": 0}
    alone, twice, both = (
        planned(**few, match__learners=named) for named in ((), ("same", "same"), ("same", str(folders["learner"])))
    )
    assert twice["match"]["megabytes"] == pytest.approx(alone["match"]["megabytes"], abs=5)
    assert both["match"]["megabytes"] > alone["match"]["megabytes"]
    assert "of 2 learners in turn" in both["match"]["detail"] and "turn" not in alone["match"]["detail"]


def test_rewards_are_foretold(planned: Planned):
    """Their number times their trainings, and a learner of their own."""
    said = {"match__steps": 40, "match__check_every": 0}
    none, some, often = (planned(**said, **more) for more in ({}, {"match__reward": 1.0}, _OFTEN))
    assert none["match"]["megabytes"] < some["match"]["megabytes"]
    assert often["match"]["seconds"] > 1.5 * none["match"]["seconds"]


def test_coverage_costs_a_reading_under_every_class(planned: Planned):
    said = {"match__steps": 4000, "match__check_every": 0}
    assert planned(**said, match__coverage=1.0)["match"]["seconds"] > 1.01 * planned(**said)["match"]["seconds"]


_OFTEN = {"match__reward": 1.0, "match__reward_every": 1, "match__reward_sets": 40, "match__reward_steps": 100}


def test_what_runs_piece_by_piece_needs_no_more_for_a_larger_batch(planned: Planned):
    """On a processor the graph of 64 rows is kept at a time; with `recompute` that of one piece."""
    few, many = (planned(fit__batch=batch, runtime__device="cpu") for batch in (64, 640))
    assert many["fit"]["megabytes"] == pytest.approx(few["fit"]["megabytes"], abs=5)
    kept, again = (planned(match__synthetic=3200, runtime__recompute=recompute) for recompute in (False, True))
    assert again["match"]["megabytes"] < kept["match"]["megabytes"] / 2


@pytest.mark.slow
def test_a_step_takes_the_memory_that_was_foretold(tmp_path):
    """Within a factor of two and a half, in a process of its own: a generator's training step on 64 texts."""
    words, texts, length = 4000, 64, 24
    child = textwrap.dedent(f"""
        from transformers import GPT2Config, GPT2LMHeadModel
        import torch
        from dilm.runtime.memory import peak_mb
        torch.set_num_threads(1)
        tokens = torch.randint({words}, ({texts}, {length}))
        model = GPT2LMHeadModel(GPT2Config(vocab_size=1000, n_layer=1, n_embd=64, n_head=2))
        model(input_ids=tokens[:1] % 1000, labels=tokens[:1] % 1000).loss.backward()  # libraries are loaded
        before = peak_mb()
        model = GPT2LMHeadModel(GPT2Config(vocab_size={words}, n_layer=4, n_embd=256, n_head=4))
        adam = torch.optim.AdamW(model.parameters())
        for _ in range(2):
            adam.zero_grad()
            model(input_ids=tokens, labels=tokens).loss.backward()
            adam.step()
        print(peak_mb() - before)
    """)
    told = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True, cwd=tmp_path)
    measured = float(told.stdout)
    foretold = Shape(layers=4, width=256, vocabulary=words, words=words).training(texts * length) / 2**20
    assert measured / 2.5 < foretold < 2.5 * measured
