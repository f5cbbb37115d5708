"""Words and word pairs of texts, counted: what models without any knowledge of language see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dilm.types import Dataset, Example


class FieldWords:
    """TF-IDF of words and word pairs, each field with a vocabulary of its own: that of given rows."""

    def __init__(self, rows: Dataset, most: int | None = None) -> None:
        """With `most`, the most frequent ones of each field."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        # One-letter words count too, so that no text is without words.
        options: dict[str, Any] = {"ngram_range": (1, 2), "sublinear_tf": True, "token_pattern": r"(?u)\w+|[^\w\s]"}
        fields = zip(*(row.texts for row in rows), strict=True)
        self._tables = [TfidfVectorizer(max_features=most, **options).fit(texts) for texts in fields]

    def count(self, examples: Sequence[Example]) -> Any:
        """Sparse [n, words of all fields]."""
        from scipy.sparse import hstack

        fields = zip(*(example.texts for example in examples), strict=True)
        return hstack([table.transform(texts) for table, texts in zip(self._tables, fields, strict=True)]).tocsr()
