"""Each bar is drawn once, nothing is drawn twice differently, and no name becomes markup."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from dilm.reports import figures

DRAWINGS = [figures.accuracy_bars, figures.fit_curve, figures.match_curve]


def test_every_bar_but_full_data_has_one_dot(findings, bar):
    bars = (*findings().bars, bar("dilm", 0.6, learner="xlnet"), bar("my_set", 0.5, learner="xlnet"))
    drawing = figures.accuracy_bars(findings(bars=bars))
    assert len(re.findall(r'id="accuracy-bar-\d+"', drawing)) == len(bars) - 1
    assert "full data 92.0" in drawing


@pytest.mark.parametrize("draw", DRAWINGS)
def test_the_same_findings_give_the_same_bytes(findings, draw):
    assert draw(findings()) == draw(findings())


@pytest.mark.parametrize("draw", DRAWINGS)
def test_a_drawing_is_a_labelled_svg_without_fixed_neutral_colours(findings, draw):
    drawing = draw(findings())
    root = ElementTree.fromstring(drawing)
    assert root.tag.endswith("svg") and root.get("aria-label")
    assert "currentColor" in drawing and "var(--ours" in drawing
    assert "#0102" not in drawing and "font-family:" not in drawing


def test_identifiers_differ_between_drawings(findings):
    names = [set(re.findall(r'\bid="([^"]+)"', draw(findings()))) for draw in DRAWINGS]
    assert not names[0] & names[1] and not names[1] & names[2] and not names[0] & names[2]


def test_nothing_to_draw_gives_an_empty_text(findings):
    empty = findings(bars=(), scores=(), curves={"fit": (), "match": ({"step": 1},)})
    assert [draw(empty) for draw in DRAWINGS] == ["", "", ""]
    assert figures.fit_curve(findings(curves=None)) == ""


def test_rows_that_lack_a_value_are_left_out(findings):
    fit = ({"step": 0, "dev_nll": 2.0}, {"step": 9})
    match = ({"step": 0, "similarity": 0.1},)
    partial = findings(curves={"fit": fit, "match": match})
    assert ">dev<" in figures.fit_curve(partial) and ">train<" not in figures.fit_curve(partial)
    assert ">dev score (%)<" not in figures.match_curve(partial)


@pytest.mark.parametrize("name", ["<script>x</script>", "$\\frac$", "_hidden", "a\nb\x00", "電影 🎬 \ud800", "x" * 500])
def test_any_name_can_be_drawn_as_text(findings, bar, name):
    drawing = figures.accuracy_bars(findings(bars=(bar("dilm", 0.7), bar(name, 0.6, learner="bert"))))
    assert "<script" not in drawing and drawing.count("accuracy-bar-") == 2
    drawing.encode("utf-8")


def test_a_long_curve_is_averaged_to_a_bounded_size(findings):
    rows = tuple({"step": step, "similarity": 0.5} for step in range(20_000))
    assert len(figures.match_curve(findings(curves={"match": rows}))) < 40_000


def test_matplotlib_is_left_as_it_was(findings):
    import matplotlib

    before = dict(matplotlib.rcParams)
    figures.accuracy_bars(findings())
    assert dict(matplotlib.rcParams) == before
