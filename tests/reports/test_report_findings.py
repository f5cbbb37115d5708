"""Blocks hold what may be compared, each bar in its place."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dilm.reports.findings import bar as bar_of
from dilm.reports.findings import blocks


def test_a_block_starts_with_ours_and_ends_with_full_data(findings):
    (block,) = blocks(findings())
    assert [found.method for found in block.bars] == ["dilm", "kmeans_nearest", "untuned", "random", "full"]
    assert [found.method for found in block.contenders] == ["kmeans_nearest", "random"]


def test_each_learner_and_each_size_has_a_block_and_full_data_is_in_all_of_its_learner(findings, bar):
    larger = replace(bar("dilm", 0.8), per_class=50)
    bars = (bar("dilm", 0.7), larger, bar("full", 0.9), bar("dilm", 0.6, learner="xlnet"))
    found = blocks(findings(bars=bars))
    assert [(block.learner, block.per_class, len(block.bars)) for block in found] == [
        ("bert", 2, 2),
        ("bert", 50, 2),
        ("xlnet", 2, 1),
    ]


def test_a_learner_that_saw_full_data_only_still_has_its_block(findings, bar):
    (block,) = blocks(findings(bars=(bar("full", 0.9),)))
    assert (block.per_class, len(block.bars)) == (2, 1)


def test_a_summary_becomes_a_bar_whose_kind_follows_from_its_name():
    @dataclass(frozen=True)
    class Summary:
        method: str
        learner: str = "bert"
        per_class: int = 5
        mean: float = 0.5
        low: float | None = 0.4
        high: float | None = 0.6
        sets: int = 3
        seeds: int = 2
        n: int = 6

    assert bar_of(Summary("herding")).kind == "baseline"
    assert bar_of(Summary("published")).kind == "rival"
    assert bar_of(Summary("full", low=None)).interval is None
