"""Models that recognise names, as detectors: a spaCy pipeline, or a token classifier of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dilm.errors import ModelError, first_line
from dilm.privacy.pii import INSTALL
from dilm.types import Span

KINDS = {
    "PER": "PERSON",
    "LOC": "LOCATION",
    "GPE": "LOCATION",
    "FAC": "LOCATION",
    "ORG": "ORGANIZATION",
    "NORP": "NRP",
    "DATE": "DATE_TIME",
    "TIME": "DATE_TIME",
}
"""What models call a kind, in Presidio's words; any other label is a kind of its own."""
BATCH = 32


@dataclass(frozen=True)
class SpacyNames:
    """The entities of a spaCy pipeline."""

    pipeline: Any
    wanted: tuple[str, ...]
    """Kinds that are asked for; all where none is named."""

    @property
    def title(self) -> str:
        about = self.pipeline.meta
        return f"spaCy {about.get('lang', '')}_{about.get('name', '')} {about.get('version', '')}".strip()

    @property
    def kinds(self) -> tuple[str, ...]:
        named = {label for name in self.pipeline.pipe_names for label in self.pipeline.pipe_labels.get(name, ())}
        entities = set(self.pipeline.get_pipe("ner").labels) if "ner" in self.pipeline.pipe_names else named
        return _kept({kind_of(label) for label in entities}, self.wanted)

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """spaCy gives no probabilities, so every entity counts: n texts -> n lists."""
        found = self.pipeline.pipe(texts, batch_size=BATCH)
        return [
            [
                Span(entity.start_char, entity.end_char, kind)
                for entity in document.ents
                if (kind := kind_of(entity.label_)) in self.wanted or not self.wanted
            ]
            for document in found
        ]


@dataclass(frozen=True)
class TaggedNames:
    """The entities of a token classifier, behind a pipeline of transformers that joins tokens to words."""

    pipeline: Any
    name: str
    wanted: tuple[str, ...]
    threshold: float

    @property
    def title(self) -> str:
        return f"transformers {self.name}"

    @property
    def kinds(self) -> tuple[str, ...]:
        labels = self.pipeline.model.config.id2label.values()
        return _kept({kind_of(label) for label in labels if label != "O"}, self.wanted)

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """What it is sure enough of: n texts -> n lists."""
        full = [text for text in texts if text.strip()]
        found = iter(self.pipeline(full, batch_size=BATCH) if full else [])
        return [self._spans(next(found)) if text.strip() else [] for text in texts]

    def _spans(self, entities: Sequence[dict[str, Any]]) -> list[Span]:
        spans = [
            Span(one["start"], one["end"], kind_of(one["entity_group"]), float(one["score"]))
            for one in entities
            if one["entity_group"] != "O"
        ]
        return [
            span for span in spans if span.score >= self.threshold and (not self.wanted or span.kind in self.wanted)
        ]


def open_spacy(name: str, kinds: Sequence[str]) -> SpacyNames:
    """An installed spaCy package or a folder; nothing is downloaded. Raises ModelError."""
    try:
        import spacy  # pyright: ignore[reportMissingImports] (an extra)
    except ImportError as fault:
        raise ModelError("spaCy is not installed.", f"{INSTALL}.") from fault
    try:
        pipeline = spacy.load(name)
    except Exception as fault:  # a folder can be broken in many ways
        raise ModelError(
            f"spaCy cannot open {name!r}: {first_line(fault)}",
            f"Install it with `python -m spacy download {name}`, or name the folder of a pipeline.",
        ) from fault
    if not {"ner", "entity_ruler", "span_ruler"} & set(pipeline.pipe_names):
        raise ModelError(f"The spaCy pipeline {name!r} recognises no entities.", "Name one with the part `ner`.")
    return SpacyNames(pipeline, tuple(kinds))


def tagger(model: Any, tokenizer: Any, name: str, kinds: Sequence[str], threshold: float) -> TaggedNames:
    """A token classifier and its tokenizer as a detector. Raises ModelError where tokens do not know their place."""
    from transformers import pipeline

    if not tokenizer.is_fast:
        raise ModelError(f"The tokenizer of {name!r} does not say where its tokens stand.", "Name another model.")
    longest = min(tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", 512))
    tokenizer.model_max_length = longest
    options: dict[str, Any] = {"aggregation_strategy": "first", "stride": longest // 4}  # long texts in pieces
    made = pipeline("token-classification", model=model.eval(), tokenizer=tokenizer, device=model.device, **options)
    return TaggedNames(made, name, tuple(kinds), threshold)


def kind_of(label: str) -> str:
    """The kind that a model's label means.

    >>> kind_of("B-PER"), kind_of("gpe"), kind_of("Phone number")
    ('PERSON', 'LOCATION', 'PHONE_NUMBER')
    """
    plain = "_".join(label.upper().replace("-", " ").split())
    plain = plain[2:] if plain[:2] in ("B_", "I_", "E_", "S_", "L_", "U_") else plain
    return KINDS.get(plain, plain)


def _kept(kinds: set[str], wanted: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(kind for kind in kinds if not wanted or kind in wanted))
