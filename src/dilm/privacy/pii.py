"""Detectors of personal data: Presidio's recognisers of patterns, and the panel in which several detectors sit.

Presidio is given a blank spaCy model, so it needs no download: it knows what has a shape or a checksum (e-mail
addresses, cards, IBANs, telephone numbers, ...) and the words around it, and no names. Names take a model of the
user's, see `ner`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from dilm.errors import ModelError, RecipeError, first_line
from dilm.privacy.spans import ranges, settle
from dilm.protocols import Detector
from dilm.types import Span

INSTALL = "Install it with `pip install 'dilm[privacy]'`"
PATTERNS_FIRST = "en"
"""Presidio lists most recognisers under English, though a card's checksum knows no language: these always run."""


@dataclass(frozen=True)
class Panel:
    """Several detectors as one."""

    detectors: tuple[Detector, ...]
    stand_in: re.Pattern[str]
    """What stands for a secret already."""
    allowed: re.Pattern[str] | None = None
    """What is never personal data, whoever says so."""

    @property
    def titles(self) -> tuple[str, ...]:
        """Which detectors run, and what each can find."""
        return tuple(f"{detector.title}: {', '.join(sorted(detector.kinds))}" for detector in self.detectors)

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """Disjoint findings, in order; stand-ins and what is allowed are none: n texts -> n lists."""
        said = [detector.find(texts) for detector in self.detectors]
        return [self.settle(text, [span for one in said for span in one[at]]) for at, text in enumerate(texts)]

    def settle(self, text: str, spans: Sequence[Span]) -> list[Span]:
        """What of these spans is to be replaced."""
        return settle(text, spans, ranges(self.allowed, text), ranges(self.stand_in, text)) if spans else []

    def flags(self, texts: Sequence[str]) -> bool:
        """Whether any detector finds anything in any of the texts."""
        return any(self.find(texts))


@dataclass(frozen=True)
class Presidio:
    """Presidio's pattern recognisers for some languages."""

    engine: Any
    wanted: dict[str, tuple[str, ...]]
    """Language to the kinds that are asked for in it; no kind is asked for twice."""
    threshold: float
    spoken: tuple[str, ...]
    """The languages that have patterns of their own; the others are looked at with those of English alone."""

    @property
    def title(self) -> str:
        without = [language for language in self.wanted if language not in self.spoken]
        more = f"; no patterns of its own for {', '.join(without)}" if without else ""
        return f"Presidio {version('presidio-analyzer')} ({', '.join(self.spoken)}{more})"

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(kind for kinds in self.wanted.values() for kind in kinds)

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """What the recognisers are sure enough of: n texts -> n lists."""
        return [self._find(text) for text in texts]

    def _find(self, text: str) -> list[Span]:
        found = [
            self.engine.analyze(text, language, entities=list(kinds), score_threshold=self.threshold)
            for language, kinds in self.wanted.items()
            if kinds
        ]
        return [Span(one.start, one.end, one.entity_type, one.score) for language in found for one in language]


def open_presidio(languages: Sequence[str], kinds: Sequence[str], threshold: float) -> Presidio:
    """The recognisers of these languages, English ones included, that find one of `kinds`; all where none is named.

    Raises ModelError where Presidio is missing, RecipeError for a language that spaCy does not know.
    """
    spacy, analyzer, nlp = _libraries()
    spoken = list(dict.fromkeys((PATTERNS_FIRST, *languages)))
    engine = nlp.SpacyNlpEngine(models=[{"lang_code": name, "model_name": "blank"} for name in spoken])
    engine.nlp = {name: _blank(spacy, name) for name in spoken}
    registry = analyzer.RecognizerRegistry(supported_languages=spoken)
    registry.load_predefined_recognizers(languages=spoken)
    for name in ("SpacyRecognizer", "EmailRecognizer"):
        registry.remove_recognizer(name)
    for name in spoken:
        registry.add_recognizer(_email(analyzer, name))
    found = analyzer.AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=spoken)
    offered: dict[str, list[str]] = {}
    for name in spoken:
        taken = {kind for others in offered.values() for kind in others}
        offered[name] = sorted(set(found.get_supported_entities(name)) - taken)
    wanted = {name: tuple(kind for kind in those if not kinds or kind in kinds) for name, those in offered.items()}
    return Presidio(found, wanted, threshold, tuple(name for name, those in offered.items() if those))


def _libraries() -> tuple[Any, Any, Any]:
    try:
        import presidio_analyzer  # pyright: ignore[reportMissingImports] (an extra)
        import spacy  # pyright: ignore[reportMissingImports]
        from presidio_analyzer import nlp_engine  # pyright: ignore[reportMissingImports]
    except ImportError as fault:
        raise ModelError(
            "Presidio, which detects personal data, is not installed.",
            f"{INSTALL}; or set `anonymize.languages` to nothing, and only your own rules and model are asked.",
        ) from fault
    return spacy, presidio_analyzer, nlp_engine


def _blank(spacy: Any, language: str) -> Any:
    try:
        return spacy.blank(language)
    except (ImportError, ValueError) as fault:
        raise RecipeError(
            f"anonymize.languages: spaCy cannot read {language!r} ({first_line(fault)})",
            "Name languages by two letters, such as `en,de`.",
        ) from fault


def _email(analyzer: Any, language: str) -> Any:
    """Presidio's own, without its look at the list of public suffixes.

    That list is fetched from the network at the first address, and an address that ends in `.internal` fails it.
    """
    shape = analyzer.predefined_recognizers.EmailRecognizer.PATTERNS[0].regex
    return analyzer.PatternRecognizer(
        "EMAIL_ADDRESS", name="email", patterns=[analyzer.Pattern("e-mail", shape, 1.0)], supported_language=language
    )
