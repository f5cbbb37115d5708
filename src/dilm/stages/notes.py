"""What a reader of the results must know and no number says, in whole sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dilm.distillation.generate import KEPT
from dilm.recipe import Recipe
from dilm.recipe.baselines import PACKED, TOKENS
from dilm.reports.methods import OURS
from dilm.schedules import PASSES


def notes(recipe: Recipe, manifests: Mapping[str, dict[str, Any]]) -> tuple[str, ...]:
    """In the order of the stages that they are about, but for the selection, which comes first."""
    chosen = manifests.get("select", {})
    told = [*_of_the_race(chosen), *_of_rewriting(chosen), *_of_filters(chosen), *_of_packing(chosen, recipe)]
    told += _of_holders(manifests)
    told += _of_long_rows(manifests["load"])
    if "full" in recipe.evaluate.baselines:
        told.append("Full data was trained on once for each learner.")
    resumed = [name for name, manifest in manifests.items() if manifest.get("resumed")]
    if resumed:
        told.append(
            f"Resumed after an interruption, so their time is only that of the last part: {', '.join(resumed)}."
        )
    told += _of_the_fit(manifests.get("fit", {}), manifests["load"], recipe)
    if "told_apart" in manifests.get("fit", {}):
        known, guessing = manifests["fit"]["told_apart"], 1 / len(manifests["load"]["labels"])
        told.append(
            f"{known:.0%} of dev texts are likeliest under their own class before matching; guessing: {guessing:.0%}."
        )
    if shown := manifests.get("fit", {}).get("demonstrations"):
        told.append(
            f"The generator's prompt shows {sum(map(len, shown))} real train rows; texts that repeat one are left out."
        )
    match = manifests.get("match", {})
    best = [row["step"] for row in match.get("curve", ()) if row.get("dev_score") == match.get("dev_score")]
    if best and match.get("dev_score") is not None:
        kept = "the untuned generator" if best[0] == 0 else f"step {best[0]:.0f}"
        told.append(f"Dev scores chose {kept} of {match['steps']} matching steps.")
    return tuple(told)


def _of_holders(manifests: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Whose rows are meant where rows are named here."""
    if held := manifests.get("load", {}).get("federation"):
        yield (
            f"Generator and target learnt from {held['rows']:,} rows of {held['clients']} data holders, by sums. "
            "What is called train, dev and test here are public rows of the server, and baselines are made of those."
        )


def _of_the_fit(fit: Mapping[str, Any], load: Mapping[str, Any], recipe: Recipe) -> Iterator[str]:
    """That a generator could still have learnt: rows it saw less than twice, and the last measurement is the best."""
    curve = [row["dev_nll"] for row in fit.get("curve", ())]
    read, rows = fit.get("steps", 0) * recipe.fit.batch, load["rows"]["train"]
    if read < PASSES * rows and len(curve) > 1 and curve[-1] == min(curve):
        yield (
            f"The generator had read {read:,} of {rows:,} train rows, and dev rows were still becoming likelier to it "
            f"({curve[-2]:.2f} nats a token, then {curve[-1]:.2f}), when its {fit['steps']} steps were over: more of "
            "them (`fit.steps`) may write better texts."
        )


def _of_long_rows(load: Mapping[str, Any]) -> Iterator[str]:
    """That what was learnt, and what learners read, are parts of rows."""
    if (longer := load.get("longer", 0)) >= 0.005:
        yield (
            f"At least {longer:.0%} of train rows are longer than the {load['max_tokens']} tokens of a text: the "
            "generator learnt a passage of each, and learners read only as much of a row as of an example of ours."
        )


def _of_rewriting(chosen: Mapping[str, Any]) -> Iterator[str]:
    """Who was asked to rewrite texts, what became of the answers, and how many were chosen for our first set."""
    if not (told := chosen.get("rewritten")):
        return
    verdicts, delivered = told["verdicts"][OURS][0], len(told["chosen"][OURS][0])
    dropped = ", ".join(f"{count} {name}" for name, count in verdicts.items() if name != KEPT)
    yield (
        f"{told['model']} was asked to rewrite or merge texts of the first pool {sum(verdicts.values())} times; "
        f"{verdicts.get(KEPT, 0)} of its answers joined the pool ({dropped or 'none'} dropped), and {delivered} were "
        "chosen for the first set."
    )


def _of_packing(chosen: Mapping[str, Any], recipe: Recipe) -> Iterator[str]:
    """That an example of ours is longer than a row, and who is as long."""
    if not (texts := chosen.get("packed")):
        return
    amounts = [name for name in recipe.evaluate.baselines if name.endswith((PACKED, TOKENS))]
    names = ", ".join(f"`{name}`" for name in amounts)
    rivals = f"Baselines that are given as much, as far as classes have rows: {names}"
    yield (
        f"Each of our examples holds {texts} texts of its class, so a learner reads about {texts} times as much of it "
        f"as of a row. {rivals if amounts else 'No baseline here is given as much (NAME`@packed`, NAME`@tokens`)'}."
    )


def _of_filters(chosen: Mapping[str, Any]) -> Iterator[str]:
    """What the filters did before our first set was chosen."""
    tallies = next(iter(chosen.get("filters", {}).get(OURS, ())), {})
    if not tallies:
        return
    removed = ", ".join(f"`{name}` {sum(tally['removed'].values())}" for name, tally in tallies.items())
    yield f"Texts that filters removed before the first set was chosen: {removed}."
    yielded = [
        f"`{name}` let {count} pass in class {label!r}"
        for name, tally in tallies.items()
        for label, count in tally["yielded"].items()
        if count
    ]
    if yielded:
        yield f"Too few texts passed, so that {', '.join(yielded)}."


def _of_the_race(chosen: Mapping[str, Any]) -> Iterator[str]:
    """How our first set won; its own mean is too good, for luck helped it win."""
    race = next(iter(chosen.get("races", {}).get(OURS, ())), {})
    if "worth" in race:
        sets, seeds = race["rounds"][0]
        spread = ", ".join(f"{100 * value:.1f} of {name}" for name, value in race["sd"].items() if value is not None)
        yield (
            f"The first set won a race of {sets} in {race['trainings']} trainings, {seeds} of each set in the first "
            f"round. Dev score {race['mean']:.3f}, worth {race['worth']:.3f} ± {race['error']:.3f} without luck; "
            f"standard deviations in points: {spread}."
        )
