"""Weights really learn under differential privacy: LoRA beside a frozen GPT-2, and all of its Conv1D layers.

Opacus issue 820: the loss falls, epsilon grows, and a layer was never trained.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from opacus.accountants import RDPAccountant
from private_runs import PRIVATE, WORDS
from torch import Tensor

from dilm import api, private
from dilm.build import Bench
from dilm.distillation.fit import told_apart
from dilm.errors import PrivacyError
from dilm.journal import OWN_CODE
from dilm.models.causal import CausalGenerator
from dilm.models.scratch import Size, WarmUp, save, small_gpt2, train_tokenizer
from dilm.models.warmed import warm_up_causal
from dilm.runs import Run
from dilm.runtime.device import choose

LAYERS = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
"""GPT-2's Conv1D layers, in each of two blocks."""
KINDS: dict[str, dict[str, Any]] = {"lora": {"adapters.rank": 8}, "whole": {}}
EPSILON = 2000.0
"""Promises nothing: rows so few would drown in the noise of a real budget."""
STEPS = 30
THINGS = ("plot", "music", "end", "cast", "film", "script", "song", "scene", "actor", "sound")
FITTED = {"fit.steps": STEPS, "fit.lr": 2e-2, "fit.batch": 64}
KNOWN = (*THINGS, *WORDS, *(word for words in WORDS.values() for word in words))
"""All words of the public text, names of the classes among them."""


@dataclass(frozen=True)
class Fitted:
    """A run up to `fit`, and the generator that was trained there, as it lay in memory."""

    run: Run
    trained: CausalGenerator


@pytest.fixture(scope="module", autouse=True)
def same_noise(own_cache: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Noise follows from the user's secret and from what identifies a release, paths of its files included: with the
    same secret and relative paths it is the same at every run on a machine."""
    folder = tmp_path_factory.mktemp("private")
    (folder / "cache").mkdir()
    (folder / "cache" / "secret").write_bytes(b"x" * 32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DILM_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        yield


@pytest.fixture(scope="module")
def said(same_noise: None) -> dict[str, Any]:
    """600 private rows, and a GPT-2 that read public text of the same words: it can write, and knows no class."""
    rng = random.Random(5)
    with Path("reviews.csv").open("w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle)
        table.writerow(("text", "label"))
        for at in range(600):
            label = list(WORDS)[at % 2]
            table.writerow((f"{rng.choice(THINGS)} {rng.choice(WORDS[label])} {rng.choice(THINGS)}", label))
    texts = [" ".join(rng.choices(KNOWN, k=rng.randint(2, 4))) for _ in range(300)]
    Path("public.txt").write_text("\n".join(texts), encoding="utf-8")
    tokenizer = train_tokenizer(texts, 600)
    model = small_gpt2(tokenizer, Size(2, 32, 2), 0)
    warm_up_causal(model, tokenizer, texts, WarmUp(80, 32, 1e-2), 0, choose("cpu", "fp32"))
    save(model, tokenizer, Path("base"))
    return {
        "source": "reviews.csv",
        "generator": "base",
        "per_class": 3,
        "recipe": "private-toy",
        "epsilon": EPSILON,
        "settings": PRIVATE | FITTED | {"pretrain.corpus": "public.txt"},
    }


@pytest.fixture(scope="module")
def fitted(said: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Fitted]:
    made: dict[str, Fitted] = {}

    def run(kind: str) -> Fitted:
        if kind not in made:
            recipe = api.recipe_for(**(said | {"settings": said["settings"] | KINDS[kind]}))
            opened = api.open_run(recipe, tmp_path_factory.mktemp("runs") / kind)
            with pytest.MonkeyPatch.context() as patch:
                trained = watched(patch)
                for stage in ("load", "pretrain", "embed", "fit"):
                    api.run_stage(opened, stage)
            made[kind] = Fitted(opened, *trained)
        return made[kind]

    return run


def watched(patch: pytest.MonkeyPatch) -> list[CausalGenerator]:
    """Generators as they are when they are saved, with the weights that no file keeps."""
    saved, save = [], CausalGenerator.save

    def keep(self: CausalGenerator, folder: Path) -> None:
        saved.append(self)
        save(self, folder)

    patch.setattr(CausalGenerator, "save", keep)
    return saved


def before_and_after(run: Run) -> tuple[Bench, CausalGenerator, CausalGenerator]:
    """The generator as `fit` found it and as its folder brings it back."""
    bench = Bench(run, OWN_CODE)
    found = [bench.generator(stage) for stage in ("pretrain", "fit")]
    for generator in found:
        generator.eval()
    return bench, *found  # type: ignore[return-value]


def weights(generator: CausalGenerator) -> dict[str, Tensor]:
    return {name: each.detach() for name, each in generator.model.named_parameters()}


def moved(one: CausalGenerator, other: CausalGenerator) -> dict[str, float]:
    theirs = weights(other)
    return {name: float((each - theirs[name]).norm()) for name, each in weights(one).items()}


def test_adapters_move_and_the_weights_beside_them_stay_bit_for_bit(fitted: Callable[[str], Fitted]):
    made = fitted("lora")
    _, before, after = before_and_after(made.run)
    by = moved(before, made.trained)  # not what was opened again: there the base comes from its own files
    assert set(moved(made.trained, after).values()) == {0.0}
    adapters = {name: far for name, far in by.items() if ".lora_" in name}
    wanted = {f"{block}.{layer}.lora_{half}" for block in (0, 1) for layer in LAYERS for half in ("A", "B")}
    assert {name.partition(".h.")[2].removesuffix(".default.weight") for name in adapters} == wanted
    assert min(adapters.values()) > 0.1, adapters  # A began at a length of about 1, B at none
    base = [name for name in by if ".lora_" not in name and not name.startswith("marks.")]
    assert len(base) == 28 and [name for name in base if by[name]] == []
    assert by["marks.added"] == 0  # tokens of the classes are named by `fit`, and then stay


def test_every_layer_of_a_whole_gpt2_moves_but_the_vocabularys(fitted: Callable[[str], Fitted]):
    _, before, after = before_and_after(fitted("whole").run)
    was, by = weights(before), moved(before, after)
    trained = {name: far / float(was[name].norm()) for name, far in by.items() if ".wte." not in name}
    assert {name.partition(".h.0.")[2] for name in trained} >= {f"{layer}.weight" for layer in LAYERS}
    assert min(trained.values()) > 0.01, trained
    new = [
        token
        for token, row in enumerate(weights(after)["transformer.wte.weight"] - was["transformer.wte.weight"])
        if float(row.abs().max())
    ]
    assert new == after.conditions  # which `fit` named; nothing else of the vocabulary


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_learnt_is_the_rows_and_not_noise(kind: str, fitted: Callable[[str], Fitted]):
    """Held-out rows of either class became likelier, and what is written is still made of words."""
    bench, before, after = before_and_after(fitted(kind).run)
    with torch.no_grad():
        for label in bench.task.conditions:
            rows = bench.splits.dev.of(label).examples
            old, new = (float(each.nll(rows).mean()) for each in (before, after))
            assert 0 < new < 0.95 * old, (label, old, new)
    texts = [draft for draft in after.sample(1, 12, torch.Generator().manual_seed(0)) if draft.finished]
    words = [word for text in texts for word in text.texts[0].split()]
    assert len(texts) > 6 and sum(word in KNOWN for word in words) > 0.75 * len(words), texts
    untuned = [draft.texts for draft in before.sample(1, 12, torch.Generator().manual_seed(0))]
    assert [draft.texts for draft in texts] != untuned


@pytest.mark.parametrize("kind", KINDS)
def test_the_ledger_says_what_opacus_says_of_these_steps(kind: str, fitted: Callable[[str], Fitted]):
    bench = Bench(fitted(kind).run, OWN_CODE)
    spend, mechanism = private.spend(bench), private.mechanisms(bench)["fit"]
    (used,) = spend["mechanisms"]
    assert (used["steps"], used["rate"], used["noise"]) == (STEPS, mechanism.rate, mechanism.noise)
    accountant = RDPAccountant()
    for _ in range(STEPS):
        accountant.step(noise_multiplier=mechanism.noise, sample_rate=mechanism.rate)
    assert spend["epsilon"] == pytest.approx(accountant.get_epsilon(spend["delta"]), rel=1e-6)
    assert 0 < spend["epsilon"] < EPSILON


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"adapters.kind": "dora"}, "adapters.kind=lora"), ({"adapters.dropout": 0.1}, "adapters.dropout=0")],
)
def test_adapters_whose_rows_cannot_be_told_apart_are_refused(
    said: dict[str, Any], settings: dict[str, Any], named: str
):
    with pytest.raises(PrivacyError, match=named):
        api.recipe_for(**(said | {"settings": said["settings"] | KINDS["lora"] | settings}))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_road_by_weights_that_learn_privately(kind: str, said: dict[str, Any], tmp_path: Path):
    """Longer, to the report: matching moves the adapters on, the set is well-formed, the budget holds."""
    longer = said["settings"] | KINDS[kind] | {"fit.steps": 240, "fit.batch": 96}
    made = api.distill(**(said | {"settings": longer}), out=tmp_path / "run")
    bench, _, after = before_and_after(api.existing_run(made.run))
    if kind == "lora":  # as a whole it takes longer to know the classes, with some draws of the noise
        assert told_apart(after, bench.splits.dev) > 0.8
    matched = bench.generator("match")
    further = {name: far for name, far in moved(after, matched).items() if far}
    assert further and (kind == "whole" or all(".lora_" in name or "marks" in name for name in further))
    words = [word for row in made.data for word in row.texts[0].split()]
    assert len(made.data) == 6 and sum(word in KNOWN for word in words) > 0.75 * len(words), list(made.data)
    assert 0.95 * EPSILON < made.provenance.spend["epsilon"] <= EPSILON
    assert (made.run / "fit/model/adapter_model.safetensors").exists() == (kind == "lora")
