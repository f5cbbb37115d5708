"""Every text that a small model can write, with its exact probability, and whether drawn texts follow it, or others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import torch
from scipy.stats import chi2_contingency, chisquare
from transformers import PreTrainedModel

from dilm.models.form import Form

Text = tuple[int, ...]


def sentences(
    model: PreTrainedModel, form: Form, longest: int, may_follow: Callable[[Text, int], bool] = lambda *_: True
) -> dict[Text, float]:
    """Every sequence of at most `longest` tokens between the form's start and end, with its exact probability.

    Tokens that may not follow a beginning are left out, and the others share what these would have had.
    """

    def grow(prefix: Text, probability: float) -> Iterator[tuple[Text, float]]:
        if len(prefix) == longest or prefix[-1:] == (form.end,):
            yield prefix, probability
            return
        with torch.no_grad():
            odds = model(input_ids=torch.tensor([[form.start, *prefix]])).logits[0, -1].double().softmax(-1).tolist()
        allowed = {token: share for token, share in enumerate(odds) if may_follow(prefix, token)}
        for token, share in allowed.items():
            yield from grow((*prefix, token), probability * share / sum(allowed.values()))

    return dict(grow((), 1.0))


def assert_as_often(texts: list[list[int]], odds: Mapping[Text, float]) -> None:
    """By a chi-square test; texts that are too rare for it count together."""
    drawn, count = Counter(map(tuple, texts)), len(texts)
    assert set(drawn) <= set(odds)
    common = [text for text, share in odds.items() if share * count >= 5]
    seen = [drawn[text] for text in common] + [count - sum(drawn[text] for text in common)]
    wanted = [odds[text] * count for text in common] + [count * (1 - sum(odds[text] for text in common))]
    assert len(common) > 10 and min(wanted) >= 5
    assert chisquare(seen, wanted).pvalue > 1e-3


def same_odds(texts: list[list[int]], others: list[list[int]]) -> float:
    """The chance of texts and others so different where both follow the same odds (two-sample chi-square); texts that
    are too rare for it count together."""
    one, two = Counter(map(tuple, texts)), Counter(map(tuple, others))
    common = [text for text, count in (one + two).items() if count >= 20]
    seen = [[drawn[text] for text in common] for drawn in (one, two)]
    rare = [len(texts) - sum(seen[0]), len(others) - sum(seen[1])]
    if sum(rare) >= 20:
        seen = [[*row, count] for row, count in zip(seen, rare, strict=True)]
    assert len(common) > 10
    return float(chi2_contingency(seen).pvalue)
