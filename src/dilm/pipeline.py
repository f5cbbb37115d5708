"""Stage order, stage keys and resume: from a run folder and a recipe to finished stages.

A stage's key is a hash of its part of the recipe, the keys of the stages that it builds on and the code's version. A
finished stage with the right key is never run again; any other is, and what it left unfinished is continued if its key
is right. Settings that change no result (`runtime`, `server`) are in no key.

Of several processes the first decides, and keeps the books; a stage is its work alone unless it is `SHARED`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from dilm import cleaning, federated, generators, journal, planting, private, quotas, reading, sealed
from dilm.build import Bench
from dilm.data.corpus import corpus_key
from dilm.errors import RunError
from dilm.models.hub import identity
from dilm.recipe import Recipe
from dilm.recipe.fields import counted
from dilm.recipe.filters import asks_judge
from dilm.recipe.learners import learning
from dilm.recipe.matched import matched
from dilm.runs import Run, make_cache, open_to_others
from dilm.runtime.hashing import key
from dilm.runtime.memory import begin_peak, give_back, peak_mb
from dilm.runtime.meter import spent
from dilm.stages import (
    audit,
    choosing,
    domain,
    embed,
    evaluate,
    fit,
    generate,
    load,
    match,
    pretrain,
    report,
    rewriting,
    select,
)
from dilm.stages.fitting import require_before
from dilm.version import VERSION


@dataclass(frozen=True)
class Stage:
    """One stage: what it does, which part of the recipe it reads, and which stages it builds on."""

    name: str
    run: Callable[..., dict[str, Any]]
    reads: Callable[[Recipe], Any]
    after: tuple[str, ...]
    unasked: Callable[[Recipe], bool] = lambda recipe: False
    """Whether a stage after it runs it where it is missing: there is nothing to do, or it must not be forgotten."""


STAGES = (
    Stage("load", load.run, lambda r: _rows(r), ()),
    Stage("pretrain", pretrain.run, lambda r: [_made_from(r), _models(r), pretrain.learns(r)], ("load",)),
    Stage("embed", embed.run, lambda r: _embedding(r), ("pretrain",), lambda r: not embed.wanted(r)),
    Stage("fit", fit.run, lambda r: _fitting(r), ("pretrain",)),
    Stage("match", match.run, lambda r: _matching(r), ("fit",)),
    Stage("generate", generate.run, generate.content, ("match",)),
    Stage("select", select.run, lambda r: _choosing(r), ("generate",)),
    Stage("audit", audit.run, lambda r: _attacks(r), ("select",), lambda r: True),
    Stage("evaluate", evaluate.run, lambda r: _measuring(r), ("select", "embed")),
    Stage("report", report.run, lambda r: [_reader(r)], ("evaluate", "audit")),
)
NAMES = tuple(stage.name for stage in STAGES)
SHARED = ("fit", "match", "generate")
"""Stages in which all processes take part."""


def keys(recipe: Recipe) -> dict[str, str]:
    """The key of every stage under a recipe."""
    found: dict[str, str] = {}
    for stage in STAGES:
        parents = {name: found[name] for name in stage.after}
        found[stage.name] = key([stage.name, _plain(stage.reads(recipe)), parents, VERSION])
    return found


def needed(name: str) -> list[str]:
    """Stages that must be complete before this one, in order."""
    stage = STAGES[NAMES.index(name)]
    found = {before for parent in stage.after for before in (*needed(parent), parent)}
    return [before for before in NAMES if before in found]


def run_stage(bench: Bench, name: str, **options: Any) -> dict[str, Any]:
    """Run one stage, or return the facts of its finished run. Raises RunError when an earlier stage is missing.

    With `options` (evaluate's `also`, audit's `form`) the stage is run even where it is complete, and those that build
    on it count as undone: what it measured before it knows.
    """
    wanted = keys(bench.recipe)
    for before in bench.crew.told(lambda: _unasked_before(bench.run, name, wanted)):
        run_stage(bench, before)
    folder, again = bench.run.stage(name), bool(options)
    done = bench.crew.told(lambda: folder.manifest if folder.is_done(wanted[name]) else None)
    if done and not again:
        bench.crew.told(lambda: sealed.settle_recipe(bench.run))
        return done
    private.require_room(bench, name, wanted[name])
    bench.crew.told(lambda: _require(bench.run, name, wanted[name]))
    continued = bench.crew.told(lambda: _begin(bench.run, name, wanted[name], again))
    begin_peak()
    begin = spent()
    with bench.gate.opened(journal.purpose_of(name)):
        facts = _work(bench, STAGES[NAMES.index(name)], options)
    took = spent() - begin
    give_back()  # to the next stage
    tokens = sum(bench.crew.gathered(took.tokens))
    measured = done or {}  # what this run adds to
    cost = {
        "seconds": measured.get("seconds", 0.0) + took.seconds,
        "tokens": measured.get("tokens", 0) + facts.pop("tokens", tokens),
        "peak_mb": peak_mb(),
        "resumed": continued,
        "processes": bench.crew.size,
    }
    manifest = {"stage": name, "key": wanted[name], "code": VERSION, **cost, **facts}
    return bench.crew.told(lambda: sealed.finish(bench.run, name, manifest))


def _require(run: Run, name: str, key: str) -> None:
    """Refuse what can be refused before anything is undone, and write down what was changed."""
    require_before(run, name)
    if name == "generate":
        classes = len((run.stage("load").manifest or {})["labels"])
        quotas.charge(run, key, classes * generate.texts_of_each_class(run.recipe))
    sealed.settle_recipe(run)


def _begin(run: Run, name: str, key: str, again: bool) -> bool:
    """Make a stage's folder ready, and those that build on it undone where it is done again; whether work goes on."""
    for later in [other for other in NAMES if name in needed(other)] if again else ():
        sealed.undo(run, later)
    return sealed.begin(run, name, key)


def _work(bench: Bench, stage: Stage, options: dict[str, Any]) -> dict[str, Any]:
    """The stage's facts."""
    if stage.name in SHARED:
        return stage.run(bench, **options)
    return bench.crew.told(lambda: stage.run(bench, **options))


def run_all(bench: Bench) -> None:
    """Every stage in order; what is complete is only named."""
    wanted = keys(bench.recipe)
    for stage in STAGES:
        bench.crew.told(lambda stage=stage: _name(bench.run, stage.name, wanted[stage.name]))
        run_stage(bench, stage.name)


def _name(run: Run, name: str, key: str) -> None:
    done = run.stage(name).is_done(key)
    print(f"{name}: {'done already' if done else '...'}", file=sys.stderr, flush=True)


@contextmanager
def at_work(run: Run) -> Iterator[Bench]:
    """The bench of a run in whose folder no one else works; of several processes the first holds the lock for all."""
    with ExitStack() as held:
        bench = Bench(run)
        bench.crew.told(lambda: held.enter_context(run.locked()))
        bench.crew.told(lambda: _look_at(run))
        yield bench


def _look_at(run: Run) -> None:
    """Take note of the recipe, and say where more people may enter the folder than it allows."""
    sealed.note_recipe(run)
    make_cache()
    if mode := open_to_others(run):
        told = f"Others than its {run.recipe.runtime.readers} may enter {run.folder}: its mode is {mode}."
        print(told, "Close it with `chmod -R go-rwx`, or say who may with runtime.readers.", file=sys.stderr)


def _unasked_before(run: Run, name: str, wanted: Mapping[str, str]) -> list[str]:
    """What this stage needs, is not complete, and runs unasked. Raises RunError where something does not."""
    missing = [before for before in needed(name) if not run.stage(before).is_done(wanted[before])]
    for before in missing:
        if not STAGES[NAMES.index(before)].unasked(run.recipe):
            problem = f"Stage {name!r} needs {before!r}, which is not complete in {run.folder}."
            raise RunError(problem, f"Run `dilm {before} {run.folder}` first.")
    return missing


def states(run: Run) -> dict[str, str]:
    """`done`, `partly done` or `to do` for every stage."""
    return {name: _state(run, name, wanted) for name, wanted in keys(run.recipe).items()}


def _state(run: Run, name: str, wanted: str) -> str:
    folder = run.stage(name)
    return "done" if folder.is_done(wanted) else "partly done" if folder.is_begun(wanted) else "to do"


def _fitting(recipe: Recipe) -> list[Any]:
    """How the generator learns, what it is, and what it read before."""
    models = [*(private.content(recipe) or _clips(recipe)), *generators.content(recipe)]
    return [counted(recipe)["fit"], *models, *domain.content(recipe)]


def _rows(recipe: Recipe) -> list[Any]:
    """What decides the rows of all splits."""
    asked = [counted(recipe)["data"], recipe.seed, recipe.models.max_tokens]
    told = [*cleaning.content(recipe), *planting.content(recipe), *federated.content(recipe)]
    return [*asked, *told, *reading.clusters(recipe)]


def _attacks(recipe: Recipe) -> list[Any]:
    """What the audit asks, and how it trains a learner."""
    wanted, trial = recipe.audit, recipe.evaluate
    asked = [wanted.rows, wanted.held_out, wanted.min_k, wanted.span, wanted.delta]
    return [asked, trial.steps, trial.lr, trial.warmup, trial.weight_decay, trial.clip, trial.batch]


def _models(recipe: Recipe) -> Mapping[str, str]:
    models = recipe.models
    told = {role: identity(getattr(models, role)) for role in ("generator", "learner", "encoder")}
    return told | ({"mixture": str([identity(name) for name in models.mixture])} if models.mixture else {})


def _made_from(recipe: Recipe) -> dict[str, Any]:
    """How models from scratch are made; a file of public text counts by its content."""
    made, corpus = counted(recipe)["pretrain"], recipe.pretrain.corpus
    return made | ({"corpus": corpus_key(corpus)} if corpus else {})


def _embedding(recipe: Recipe) -> list[Any]:
    return [recipe.embed, recipe.per_class] if embed.wanted(recipe) else []


def _choosing(recipe: Recipe) -> list[Any]:
    """What decides the sets, and where learners are trained for that, how."""
    wanted, trial = recipe.select, recipe.evaluate
    parts: list[Any] = [counted(recipe)["select"], trial.baselines]
    if choosing.races(recipe):
        parts += [recipe.race, trial.lr, trial.warmup, trial.weight_decay, trial.clip, trial.batch]
    parts += rewriting.content(recipe)
    if asks_judge(wanted.filters):
        parts += reading.judged(recipe)
    if choosing.asks_learner(wanted):
        parts += [trial.full_steps, trial.full_lr, trial.full_warmup, trial.weight_decay, trial.clip, trial.batch]
    return parts


def _measuring(recipe: Recipe) -> list[Any]:
    return [counted(recipe)["evaluate"], _asked(recipe), *reading.answers(recipe)]


def _asked(recipe: Recipe) -> list[str]:
    """What the models behind `evaluate.learners` are: a local folder may hold other weights than before."""
    models = (learning(name).model for name in recipe.evaluate.learners)
    return [identity(model) if model and "#" not in model else model for model in models] + _prompted(recipe)


def _prompted(recipe: Recipe) -> list[str]:
    """What `prompt` changes: its orders where a learner reads, the rest where that one is served."""
    ways, wanted = [learning(name) for name in recipe.evaluate.learners], recipe.prompt
    orders = [f"orders {wanted.orders}"] if any(way.reads for way in ways) else []
    served = [f"context {wanted.context}, top {wanted.top_logprobs}"] if any(way.served for way in ways) else []
    return orders + served


def _reader(recipe: Recipe) -> str:
    """Who tells the texts' perplexity."""
    return recipe.report.language_model and identity(recipe.report.language_model)


def _clips(recipe: Recipe) -> list[Any]:
    """What of the section on differential privacy counts where data holders only add up."""
    asked = recipe.dp
    return [asked.clip, asked.target_clip, asked.trajectory, asked.trains] if federated.wanted(recipe) else []


def _matching(recipe: Recipe) -> list[Any]:
    """What is matched with what, by the content of learners beside the recipe's own."""
    others = [identity(name) for name in matched(recipe)] if recipe.match.learners else []
    return [counted(recipe)["match"], *_trials(recipe), *reading.terms(recipe), *others]


def _trials(recipe: Recipe) -> list[Any]:
    """How learners are trained, as far as matching meets it."""
    wanted = recipe.evaluate
    return [wanted.lr, wanted.warmup, wanted.batch]


def _plain(parts: Any) -> Any:
    return [asdict(part) if hasattr(part, "__dataclass_fields__") else part for part in parts]
