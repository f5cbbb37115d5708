"""pretrain: models from the data alone, for machines without a hub. Nothing to do where every model is pretrained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dilm.build import Bench, is_scratch
from dilm.models import scratch
from dilm.runtime.seeding import derive


def run(bench: Bench) -> dict[str, Any]:
    """Facts: what was made, and the learner's masked-language-modelling curve."""
    models = bench.recipe.models
    writes = is_scratch(models.generator)
    learns = any(is_scratch(name) for name in (models.learner, models.encoder, *bench.recipe.evaluate.learners))
    if not (writes or learns):
        return {"made": []}
    texts = [text for example in bench.splits.train for text in example.texts]
    tokenizer = scratch.train_tokenizer(texts, bench.recipe.pretrain.vocabulary)
    if writes:
        size = models.generator.partition(":")[2] or "small"
        model = scratch.small_gpt2(tokenizer, scratch.SIZES[size], derive(bench.recipe.seed, "generator"))
        scratch.save(model, tokenizer, bench.folder("pretrain") / "generator")
    curve = _learner(bench, tokenizer, texts, bench.folder("pretrain") / "learner") if learns else []
    return {"made": ["generator"] * writes + ["learner"] * learns, "curve": curve}


def _learner(bench: Bench, tokenizer: Any, texts: list[str], folder: Path) -> list[dict[str, float]]:
    wanted = bench.recipe.pretrain
    seed = derive(bench.recipe.seed, "learner")
    model = scratch.small_bert(tokenizer, scratch.SIZES[wanted.learner_size], seed)
    curve = scratch.warm_up(
        model, tokenizer, texts, steps=wanted.steps, batch=wanted.batch, lr=wanted.lr, seed=seed, place=bench.place
    )
    scratch.save(model, tokenizer, folder)
    return curve
