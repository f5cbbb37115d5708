"""Where less is better: orders, verdicts and tables turn round, and nothing is written in percent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dilm.reports import answers, card, comparison, figures, page, table
from dilm.reports.findings import Findings, beside, blocks
from dilm.reports.verdict import compare, verdict
from dilm.stages.report import bars
from dilm.types import Dataset, Example, Provenance, Score, Task

TASK = Task("places", ("slots", "text"), ("1 pub", "2 cafe"), "perplexity", kind="generation", target="text")
VALUES = {"dilm": 8.0, "random": 12.0, "random@tokens": 9.0, "full": 4.0}


def score_of(method: str, seed: int, drawn: int) -> Score:
    measures = {"set_tokens": 1200.0, "bleu": 0.25, "slots": 0.5}
    value = VALUES[method] + 0.1 * seed + 0.05 * drawn
    size = 0 if method == "full" else 2
    return Score(method, "gpt", size, drawn, seed, value, 0.4, None, 4, 1.0, measures=measures)


@pytest.fixture(scope="module")
def found() -> Findings:
    trials = [score_of(name, seed, drawn) for name in VALUES for drawn in range(3) for seed in range(2)]
    rows = Dataset(TASK, [Example((f"s{at}", f"t{at}"), at % 2) for at in range(4)])
    provenance = Provenance("0" * 64, 0, "test")
    return Findings(TASK, rows, 2, provenance, tuple(trials), bars(trials, 0, "perplexity"), splits={"train": 100})


def test_less_stands_first_and_is_ahead(found: Findings):
    block = blocks(found)[0]
    assert [bar.method for bar in block.bars] == ["dilm", "random@tokens", "random", "full"]
    ours, random, full = (block.find(name) for name in ("dilm", "random", "full"))
    assert random.gap.mean == pytest.approx(4) and random.gap.low > 0 and full.gap.high < 0
    assert [compare(ours, other) for other in (random, full)] == ["above", "below"]
    assert [compare(ours, replace(other, gap=None)) for other in (random, full)] == ["above", "below"]
    stands = beside(ours, block)
    assert stands.ahead_of_random == pytest.approx(4) and stands.recovery == pytest.approx(0.5)
    assert stands.of_full == pytest.approx(full.mean / ours.mean)


def test_it_is_told_as_a_perplexity(found: Findings):
    told = verdict(found)
    assert told.tone == "good" and "perplexity of 8.10, of which less is better" in told.headline
    for written in (table.markdown(found), table.plain(found)):
        line = next(line for line in written.splitlines() if "DiLM" in line)
        assert "8.10" in line and "810" not in line and "8.10 %" not in line
    assert "Random real rows, equal tokens" in table.plain(found)


def test_what_was_written_has_a_table(found: Findings):
    (title, names, rows), *others = answers.tables(found)
    assert not others and "gpt" in title and names[-2:] == ("BLEU", "slots said")
    assert {cells[0]: cells for _, cells in rows}["DiLM (this run)"][3:] == ("1,200", "25.0 %", "50.0 %")


def test_page_card_and_comparison_say_which_way_is_better(found: Findings):
    assert "less is better" in page.render(found) and "slots said" in page.render(found)
    written = card.render(found)
    assert "text-generation" in written and "language model the same gradients" in written
    assert "less is better" in figures.accuracy_bars(found)
    (field,) = comparison.fields([comparison.Entrant.of("run", found, "data")])
    assert field.methods[:3] == ("DiLM", "Random real rows, equal tokens", "Random real rows")
    assert field.scale.said == ", less is better"


def test_examples_are_counted_by_condition_wherever_they_are(found: Findings):
    """And by class where there are classes."""
    said = [
        page.render(found),
        card.render(found),
        table.markdown(found),
        table.plain(found),
        figures.accuracy_bars(found),
    ]
    for text in said:
        assert "per class" not in text and "of each class" not in text and "their class" not in text
    assert all("2 per condition" in text for text in said[1:4])
    assert "examples per condition" in said[1] and "examples, 2 per condition" in said[0]
    assert "the same number per condition" in said[0] and 'aria-label="Condition 1 pub"' in said[0]
    classes = replace(found, task=replace(TASK, metric="accuracy", kind="classification"))
    assert "2 per class" in table.plain(classes) and "one example of each class" in card.render(classes).lower()


def test_a_comparison_counts_by_condition_too(found: Findings):
    (field,) = comparison.fields([comparison.Entrant.of("run", found, "data")])
    assert comparison.header(field) == ("method", "2 per condition")
