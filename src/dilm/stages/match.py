"""match: gradient matching with its teachers, proposals and learner ages; dev scores choose the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from dilm import federated, private
from dilm.build import Bench
from dilm.coresets.kmeans_nearest import KMeansNearest
from dilm.coresets.typical import Typical
from dilm.distillation.centring import Centred
from dilm.distillation.fluency import Anchored, RealText, Together
from dilm.distillation.generate import write_pool
from dilm.distillation.match import GradientRoad, Matching, Pupil, closed_form, match
from dilm.distillation.proposals import Refreshed, cluster_by
from dilm.distillation.targets import Age, Mean, RandomRows, Representatives, mean_gradient
from dilm.distillation.terms import Weighed, expected, pointwise_information, spread, telling
from dilm.distillation.trajectory import Ageing, Cached, Fresh
from dilm.errors import RecipeError
from dilm.evaluation.finetune import finetune
from dilm.generators import most_learned, peak_rate
from dilm.models.classifier import Classifier
from dilm.models.dropout import set_dropout
from dilm.models.learners import AnyLearner
from dilm.models.mixture import AnyGenerator
from dilm.models.parts import find_part
from dilm.models.snapshots import Vectors
from dilm.protocols import Proposals, Selector, Target
from dilm.recipe.generator_rules import learns
from dilm.recipe.matched import matched
from dilm.runtime.hashing import key
from dilm.runtime.optimize import AdamW, Schedule
from dilm.runtime.progress import bar
from dilm.runtime.seeding import derive, numpy_stream, python_stream, torch_stream
from dilm.stages import federated_match
from dilm.stages.grading import grade
from dilm.stages.private_match import grown_without_real_rows, released_target
from dilm.stages.rewarding import matched_rows, rewarded, without_kept
from dilm.stages.splitting import agreed, finished, training_crew, whole
from dilm.stages.training import Training
from dilm.types import Dataset, Selection

Teachers = Mapping[int, Sequence[Dataset]]
"""Representative sets of each condition; empty where there are none."""


def run(bench: Bench) -> dict[str, Any]:
    """Facts: the curve of gradient similarity and dev scores, and the step that was kept."""
    wanted = bench.recipe.match
    generator = bench.generator("fit")
    if not learns(bench.recipe):
        return bench.crew.told(lambda: _untrained(bench, generator))
    generator.likelihood = wanted.likelihood
    set_dropout(generator.model, wanted.dropout)
    rate = peak_rate(wanted.lr, most_learned(bench.recipe), scratch=1e-4, pretrained=3e-5)
    schedule = Schedule(wanted.steps, rate, wanted.warmup, wanted.weight_decay, wanted.clip)
    with training_crew(bench, generator) as crew:
        training = Training(bench.folder("match"), generator.model, AdamW(generator.parameters(), schedule, crew))
        training.resume()
        if training.step < wanted.steps:
            _train(bench, generator, training)
    return bench.crew.told(lambda: _finish(bench, generator, training))


def _finish(bench: Bench, generator: AnyGenerator, training: Training) -> dict[str, Any]:
    generator = finished(bench, generator, training, "fit")
    generator.save(bench.folder("match") / "model")
    training.clean()
    spent = {"privacy": private.spend(bench)} if private.wanted(bench.recipe) else {}
    return {"curve": training.rows, "steps": training.step, "dev_score": training.best} | spent


def _untrained(bench: Bench, generator: AnyGenerator) -> dict[str, Any]:
    """Facts of a generator that is taken as it is."""
    generator.save(bench.folder("match") / "model")
    return {"curve": [], "steps": 0, "dev_score": None}


@dataclass(frozen=True)
class Examiner:
    """Who is taught by what the generator would deliver, and how that is selected."""

    learner: AnyLearner
    select: Selector


def _train(bench: Bench, generator: AnyGenerator, training: Training) -> None:
    wanted, seed = bench.recipe.match, derive(bench.recipe.seed, "match")
    terms = _terms(bench, generator)
    matching = replace(_matching(bench, generator, seed), terms=terms)
    tellers = (*terms, *([matching.reward] if matching.reward else []))
    examiner = Examiner(bench.learner(), _check_selector(bench)) if wanted.check_every else None
    if examiner and training.best is None:
        _measure(bench, generator, examiner, training)
    with bar("match gradients", wanted.steps, training.step) as advance:
        while training.step < wanted.steps and not _is_stale(bench, training):
            chunk = range(training.step, min(training.step + wanted.refresh_every, wanted.steps))
            similarities = []
            for similarity in match(generator, matching, training.update, chunk, seed):
                similarities.append(similarity)
                advance(1, similarity=similarity)
            told = {each.name: training.update.mean(seen) for each in tellers if (seen := each.told())}
            training.rows.append({"step": training.step, "similarity": fmean(similarities), **told})
            if examiner and (training.step % wanted.check_every == 0 or training.step == wanted.steps):
                _measure(bench, generator, examiner, training)
            training.checkpoint()


def _is_stale(bench: Bench, training: Training) -> bool:
    """Whether dev scores stopped improving, where anybody asks."""
    return 0 < bench.recipe.match.patience <= training.stale


def _matching(bench: Bench, generator: AnyGenerator, seed: int) -> Matching:
    wanted, names, sets = bench.recipe.match, matched(bench.recipe), _teachers(bench)
    known = {name: _pupil(bench, name, sets, seed) for name in dict.fromkeys(names)}
    clustering = agreed(bench, cluster_by(bench.encoder, wanted.clusters))
    proposals = Refreshed(generator, clustering, wanted.synthetic, wanted.refresh_every, seed)
    first, *others = (known[name] for name in names)
    return Matching(
        first.learner,
        first.trajectory,
        first.target,
        proposals,
        first.road,
        wanted.temperature,
        _fluency(bench, proposals, seed),
        first.view,
        reward=rewarded(bench, proposals, seed),
        beside=tuple(others),
    )


def _pupil(bench: Bench, name: str, sets: Teachers, seed: int) -> Pupil:
    """A learner to be matched, with a life and a target of its own."""
    learner = bench.learner(name)
    trajectory, lives = _trajectory(bench, learner, seed)
    road, mean = _roads(bench, learner)
    if bench.recipe.closed:
        assert isinstance(trajectory, Cached) and isinstance(learner, Classifier)
        ask = federated_match.released_target if federated.wanted(bench.recipe) else released_target
        target: Target = ask(bench, learner, trajectory)
    else:
        target = _target(bench, trajectory.age, mean, lives, sets)
    view = _centred(learner, target) if bench.recipe.match.centred else None
    return Pupil(learner, trajectory, target, road, view)


def _fluency(bench: Bench, proposals: Proposals, seed: int) -> Together | None:
    """What keeps the generator a language model, where any of it is asked for."""
    wanted, parts = bench.recipe.match, []
    if wanted.lm_lambda:
        parts.append(RealText(matched_rows(bench, "fluency"), wanted.synthetic, wanted.lm_lambda, seed))
    if wanted.kl:
        parts.append(Anchored(bench.generator("fit"), proposals, wanted.kl))
    return Together(parts) if parts else None


def _terms(bench: Bench, generator: AnyGenerator) -> tuple[Weighed, ...]:
    """What proposals are asked for besides their gradient, under the names that its kind of task has for it."""
    found, writes = list[Weighed](), bench.task.writes
    wanted, match = bench.recipe.generation, bench.recipe.match
    if writes and wanted.coherence:
        judge = bench.judge
        found.append(Weighed("coherence", wanted.coherence, expected(lambda rows: pointwise_information(judge, rows))))
    name, weight = ("diversity", wanted.diversity) if writes else ("entropy", match.entropy)
    if weight:
        found.append(Weighed(name, weight, spread))
    if coverage := wanted.coverage if writes else match.coverage:
        found.append(Weighed("coverage", coverage, expected(lambda rows: telling(generator, rows))))
    return tuple(found)


def _centred(learner: AnyLearner, target: Target) -> Centred:
    assert isinstance(learner, Classifier)  # of others `stages.fitting` refuses it
    if learner.head.bias is None:
        raise RecipeError(
            f"match.centred needs a last layer with a bias, and that of {learner.name} has none.",
            "Leave it off, or use another learner.",
        )
    return Centred(target, learner.task.conditions, len(learner.task.labels))


def _trajectory(bench: Bench, learner: AnyLearner, seed: int) -> tuple[Cached | Fresh, Path | None]:
    """The learner's ages, and where what follows from them is kept: lives do not depend on the run's seed."""
    wanted = bench.recipe.match
    if wanted.trajectory == "fresh":
        return Fresh(_ageing(bench, seed)), None
    ageing = _ageing(bench, derive(0, "lives"))
    if bench.recipe.closed:
        ageing = grown_without_real_rows(bench, ageing)
    bank = bench.aged(learner, ageing, wanted.trajectories)
    return replace(bank, seed=seed, renew_every=wanted.renew_every), bench.lives_folder(learner, ageing)


def _ageing(bench: Bench, seed: int) -> Ageing:
    """On the train rows, but for those that rewards are scored on."""
    ageing = bench.ageing(seed)
    return replace(ageing, train=without_kept(bench, ageing.train)) if bench.recipe.match.reward else ageing


def _roads(bench: Bench, learner: AnyLearner) -> tuple[GradientRoad, Mean]:
    """How the gradients of synthetic and of real rows are had, in the weights that are matched."""
    wanted = bench.recipe.match
    part = find_part(learner, wanted.gradient)
    if wanted.road == "autograd":
        return part.plainly, part.mean
    return (closed_form, mean_gradient) if wanted.gradient == "head" else (part.gradient, part.mean)


def _target(bench: Bench, age: Age, mean: Mean, lives: Path | None, sets: Teachers) -> Target:
    """Representative sets, whose gradients are kept beside the lives, or random rows where none are wanted."""
    wanted, seed = bench.recipe.match, derive(bench.recipe.seed, "match")
    if not sets:
        return RandomRows(matched_rows(bench, "teachers"), wanted.real, seed, mean)
    if lives is None:
        return Representatives(sets, age, seed, mean)
    content = key([wanted.gradient, wanted.road, [each.fingerprint for several in sets.values() for each in several]])
    return Representatives(sets, age, seed, mean, Vectors(lives / "teachers" / content))


def _teachers(bench: Bench) -> Teachers:
    """The representative sets of each condition, by k-means with different seeds (paper 3.3); where none are wanted,
    nothing."""
    wanted = bench.recipe.match
    if not wanted.teacher_sets:
        return {}
    train, seed = matched_rows(bench, "teachers"), derive(bench.recipe.data_seed, "match")
    sets: dict[int, list[Dataset]] = {condition: [] for condition in train.task.conditions}
    with bar("choose the teachers", wanted.teacher_sets) as advance:
        for number in range(wanted.teacher_sets):
            rng = numpy_stream(seed, "teachers", number)
            chosen = bench.crew.told(partial(_choose, bench, train, rng)).apply(train)
            for condition, teachers in sets.items():
                teachers.append(chosen.of(condition))
            advance(1)
    return sets


def _choose(bench: Bench, train: Dataset, rng: np.random.Generator) -> Selection:
    return KMeansNearest(bench.encoder)(train, min(bench.recipe.match.real, *train.counts), rng)


def _measure(bench: Bench, generator: AnyGenerator, examiner: Examiner, training: Training) -> None:
    """Dev score of what the generator would deliver now: pools, selections, and a training on each.

    The sets are shared among processes: the draws for one do not depend on who takes it.
    """
    wanted, seed = bench.recipe.match, derive(bench.recipe.seed, "check")
    dev = bench.splits.dev.sample(wanted.check_rows, python_stream(seed, "dev"))
    schedule = Schedule(wanted.check_steps, bench.recipe.evaluate.lr, bench.recipe.evaluate.warmup)
    learner, scores = examiner.learner, []
    texts = wanted.check_per_class * wanted.check_oversample
    with whole(generator):
        for number in bench.crew.share(range(wanted.check_sets)):
            pool, _ = write_pool(generator, texts, 4, torch_stream(seed, "pool", number), lambda _: None)
            chosen = examiner.select(pool, wanted.check_per_class, numpy_stream(seed, "select", number)).apply(pool)
            finetune(learner, chosen, schedule, bench.recipe.evaluate.batch, derive(seed, number))
            scores.append(grade(learner, dev))
    dev_score = bench.crew.mean(scores)
    training.rows.append({"step": training.step, "dev_score": dev_score})
    training.measured(dev_score)
    bench.watch(round(100 * training.step / wanted.steps), dev_score)


def _check_selector(bench: Bench) -> Selector:
    """`typical` with its own shares, not those of the final selection: another of these needs no new matching."""
    method = bench.recipe.match.check_select
    return Typical(bench.encoder, bench.probe) if method == "typical" else bench.selector(method)
