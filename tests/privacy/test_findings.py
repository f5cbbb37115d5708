"""The verdict is never kinder than the figures, and a threshold on what was not measured is exceeded."""

from __future__ import annotations

import json

import pytest

from dilm.errors import RecipeError
from dilm.privacy.findings import NAMES, Audited, Finding, exceeded, require_known


def finding(name: str, about: str, p: float | None, value: float = 0.5) -> Finding:
    return Finding(name, f"title of {name}", about, "auc", value, p=p)  # type: ignore[arg-type]


def audited(*found: Finding) -> Audited:
    return Audited.of("quick", found, {"trained rows": 3}, ["not this"], ["read this"])


@pytest.mark.parametrize(
    ("released", "generator", "tone"),
    [(0.5, 0.5, "open"), (0.5, 1e-4, "even"), (1e-4, 0.5, "bad"), (1e-4, 1e-4, "bad"), (0.03, 0.5, "open")],
)
def test_what_is_released_weighs_most(released: float, generator: float, tone: str):
    found = audited(finding("aux_auc", "released", released), finding("loss_auc", "generator", generator))
    assert found.verdict.tone == tone
    assert ("title of aux_auc" in found.verdict.headline) == (tone == "bad")
    assert ("title of loss_auc" in found.verdict.headline) == (tone == "even")


def test_figures_without_a_test_are_never_called_a_leak():
    found = audited(finding("longest_run", "released", None, value=99.0))
    assert (
        found.verdict.badge == "Nothing was tested"
        and not found.findings[0].flagged
        and found.findings[0].corrected is None
    )


def test_one_surprise_among_many_tests_is_none():
    names = [name for name in NAMES if name.endswith("_auc")]
    alone = audited(finding(names[0], "released", 0.02))
    among = audited(*(finding(name, "released", 0.02 if name == names[0] else 0.6) for name in names))
    assert alone.verdict.tone == "bad" and among.verdict.tone == "open"


def test_it_says_what_was_not_tested_and_that_it_is_no_proof():
    told = json.loads(json.dumps(audited(finding("aux_auc", "released", 0.5)).plain()))
    assert (
        told["untested"] == ["not this"]
        and told["notes"][0] == "read this"
        and "differential privacy" in told["notes"][-1]
    )
    assert told["findings"]["aux_auc"]["value"] == 0.5 and told["findings"]["aux_auc"]["flagged"] is False


def test_thresholds():
    told = audited(finding("loss_auc", "generator", 0.5, value=0.62)).plain()["findings"]
    assert exceeded(told, {"loss_auc": 0.62}) == []
    assert exceeded(told, {"loss_auc": 0.6}) == ["loss_auc is 0.62, above 0.6"]
    assert "not measured" in exceeded(told, {"epsilon": 8.0})[0]
    require_known(dict.fromkeys(NAMES, 0.0))
    with pytest.raises(RecipeError, match="Did you mean `loss_auc`"):
        require_known({"los_auc": 0.5})
