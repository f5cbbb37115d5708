"""pretrain: models from the data alone, for machines without a hub. Nothing to do where every model is pretrained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dilm import private
from dilm.build import Bench
from dilm.data.corpus import read_corpus
from dilm.generators import is_scratch, named, role
from dilm.models import scratch
from dilm.models.warmed import warm_up_causal
from dilm.recipe import Recipe
from dilm.recipe.learners import learning
from dilm.recipe.matched import matched
from dilm.runtime.seeding import derive


def run(bench: Bench) -> dict[str, Any]:
    """Facts: what was made, and the learner's masked-language-modelling curve."""
    makers = {"generator": writes(bench.recipe), "learner": learns(bench.recipe)}
    made = [role for role, wanted in makers.items() if wanted]
    texts = _texts(bench) if made else []
    for place, name in enumerate(named(bench.recipe)):
        if is_scratch(name):
            _generator(bench, texts, name, role(place))
    curve = _learner(bench, texts, bench.folder("pretrain") / "learner") if "learner" in made else []
    return {"made": made, "curve": curve}


def _texts(bench: Bench) -> list[str]:
    """What models are made from: public text where it is named, else the data's own."""
    if corpus := bench.recipe.pretrain.corpus:
        return read_corpus(corpus)
    return [text for example in private.real_rows(bench, "pretrain") for text in example.texts]


def writes(recipe: Recipe) -> bool:
    """Whether a generator is to be made from scratch."""
    return any(map(is_scratch, named(recipe)))


def learns(recipe: Recipe) -> bool:
    """Whether a learner is to be made from scratch: to match with, to measure distances, or only to be evaluated."""
    models = recipe.models
    named = (learning(name).model for name in recipe.evaluate.learners)
    return any(is_scratch(name) for name in (models.learner, *matched(recipe), models.encoder, *named))


def _generator(bench: Bench, texts: list[str], name: str, role: str) -> None:
    """A tokenizer from the data and a GPT-2 with random weights, which `fit` will train."""
    size = scratch.named_size(name.partition(":")[2])
    tokenizer = scratch.train_tokenizer(texts, bench.recipe.pretrain.vocabulary, kind="causal")
    model = scratch.small_gpt2(tokenizer, size, derive(bench.recipe.seed, role))
    scratch.save(model, tokenizer, bench.folder("pretrain") / role)


def _learner(bench: Bench, texts: list[str], folder: Path) -> list[dict[str, float]]:
    """A small BERT that has read the unlabelled texts; where the target is text a small GPT-2 that has, one by one."""
    wanted, seed = bench.recipe.pretrain, derive(bench.recipe.seed, "learner")
    size, plan = scratch.named_size(wanted.learner_size), scratch.WarmUp(wanted.steps, wanted.batch, wanted.lr)
    kind, make, warm = (
        ("causal", scratch.small_gpt2, warm_up_causal)
        if bench.task.writes
        else ("masked", scratch.small_bert, scratch.warm_up)
    )
    tokenizer = scratch.train_tokenizer(texts, wanted.vocabulary, kind=kind)
    model: Any = make(tokenizer, size, seed)
    curve = warm(model, tokenizer, texts, plan, seed, bench.place) if plan.steps else []
    scratch.save(model, tokenizer, folder)
    return curve
