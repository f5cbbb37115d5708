"""Domain pre-training, a part of the recipe's page: unlabelled text that the generator reads before the classes."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from dilm.recipe.prompt import DOOR


@dataclass(frozen=True, config=DOOR)
class Corpus:
    """Language-model training of the generator on unlabelled text of the domain, before `fit` teaches the classes."""

    source: str = ""
    """A text file (one text a line), a table (CSV, TSV, JSONL, Parquet), or NAME/SPLIT below the folder of DILM_DATA,
    such as `imdb/unlabelled`. Empty: none is read. Rows that test scores are taken on have no business in it."""
    column: str = ""
    """Text column of a table; empty: `text`, or the only column."""
    unit: str = "text"
    """What is read as one: each `sentence`, or a whole `text`; of what does not fit in models.max_tokens, a passage."""
    rows: int = 0
    """At most this many of them, drawn at random; 0 is all."""
    steps: int = 500
    """Optimiser steps, beside fit.steps."""
    batch: int = 64
    lr: float = 0.0
    """Peak learning rate; 0: 1e-3 from scratch, 3e-4 pretrained."""
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0
    check_every: int = 100
    """Steps between measurements on texts held out of it, which are also the points a killed run resumes from."""
    public: bool = False
    """Whether anybody may know what stands in it: without that, no promise of privacy goes beside it."""
