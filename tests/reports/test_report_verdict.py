"""The verdict claims what the intervals show, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilm.reports.findings import Gap
from dilm.reports.verdict import compare, verdict

SHARE = st.floats(0.2, 0.9)
HALF = st.one_of(st.none(), st.floats(0.001, 0.1))


def words(found) -> str:
    return " ".join([found.badge, found.headline, *found.details, *found.caveats])


def test_a_win_is_claimed_when_every_contender_is_below(findings, bar):
    found = verdict(findings(bars=(bar("dilm", 0.78), bar("random", 0.70), bar("herding", 0.72))))
    assert (found.tone, found.badge) == ("good", "Ahead of every baseline measured")
    assert (
        found.headline == "Models trained on 4 examples like these reach 78.0 % accuracy (95 % interval 77.0 to 79.0)."
    )
    assert "Random real rows: 70.0 %, 95 % interval 69.0 to 71.0. These examples do better" in words(found)


def test_overlap_with_one_contender_is_no_difference_even_when_others_are_below(findings):
    found = verdict(findings())
    assert (found.tone, found.badge) == ("even", "No difference shown from K-centers")


def test_a_loss_is_said_first(findings, bar):
    found = verdict(findings(bars=(bar("dilm", 0.70), bar("random", 0.60), bar("herding", 0.71), bar("my_set", 0.80))))
    assert (found.tone, found.badge) == ("bad", "Behind my_set")
    assert "These examples do worse" in words(found)


@pytest.mark.parametrize(
    ("gap", "tone", "said"),
    [
        (Gap(0.02, 0.01, 0.03), "good", "do better: +2.0 (+1.0 to +3.0) points"),
        (Gap(0.02, -0.01, 0.05), "even", "No difference shown: +2.0 (-1.0 to +5.0) points"),
        (Gap(-0.02, -0.03, -0.01), "bad", "do worse: -2.0 (-3.0 to -1.0) points"),
    ],
)
def test_where_trials_share_their_seeds_the_difference_decides_and_not_the_overlap(findings, bar, gap, tone, said):
    found = verdict(findings(bars=(bar("dilm", 0.78, 0.05), replace(bar("random", 0.76, 0.05), gap=gap))))
    assert found.tone == tone and said in words(found)


def test_single_trials_claim_nothing(findings, bar):
    found = verdict(findings(bars=(bar("dilm", 0.9, None, sets=1), bar("random", 0.5, None, sets=1))))
    assert (found.tone, found.badge) == ("open", "Too few trials to compare with random real rows")
    assert found.headline == "One model trained on these 4 examples reached 90.0 % accuracy."
    assert "no difference can be claimed" in words(found)


def test_without_baselines_nothing_is_compared(findings, bar):
    found = verdict(findings(bars=(bar("dilm", 0.78),)))
    assert (found.tone, found.badge, found.details) == ("open", "No baseline measured", ())


def test_without_trials_it_says_so(findings):
    found = verdict(findings(bars=(), scores=()))
    assert (found.tone, found.badge) == ("open", "Not measured")
    assert "%" not in words(found)


def test_full_data_tells_how_much_is_kept_and_its_absence_is_silent(findings, bar):
    assert (
        "All 1,000 training rows: 92.0 %, one trial. These examples keep 84.8 % of that, with 0.4 % of the rows."
        in (verdict(findings()).details)
    )
    assert "training rows" not in words(verdict(findings(bars=(bar("dilm", 0.7), bar("random", 0.6)))))


def test_each_other_learner_has_its_own_judgement(findings, bar):
    other = {"learner": "xlnet"}
    bars = (bar("dilm", 0.78), bar("random", 0.70), bar("dilm", 0.6, **other), bar("random", 0.7, **other))
    found = verdict(findings(bars=bars))
    assert found.tone == "good"
    assert found.details[-1] == ("Another learner, xlnet: 60.0 %, 95 % interval 59.0 to 61.0. Behind random real rows.")


@pytest.mark.parametrize(("sets", "caveat"), [(1, "One set was drawn for DiLM (this run)"), (5, "")])
def test_one_set_is_a_caveat(findings, bar, sets, caveat):
    found = verdict(findings(bars=(bar("dilm", 0.78, sets=sets), bar("random", 0.70))))
    assert (caveat in " ".join(found.caveats)) if caveat else not found.caveats


@settings(max_examples=25, deadline=None)
@given(SHARE, HALF, SHARE, HALF)
def test_standing_is_fair_to_both_sides(bar, one, one_half, two, two_half):
    opposite = {"above": "below", "below": "above", "level": "level", "unclear": "unclear"}
    ours, other = bar("dilm", one, one_half), bar("random", two, two_half)
    assert compare(other, ours) == opposite[compare(ours, other)]


@settings(max_examples=25, deadline=None)
@given(SHARE, HALF, st.lists(st.tuples(SHARE, HALF), min_size=1, max_size=4))
def test_a_win_needs_every_interval_below_ours(findings, bar, mean, half, others):
    ours = bar("dilm", mean, half)
    rivals = tuple(bar(f"set {number}", *other) for number, other in enumerate(others))
    found = verdict(findings(bars=(ours, *rivals)))
    clear = ours.interval and all(rival.interval and rival.interval[1] < ours.interval[0] for rival in rivals)
    assert (found.tone == "good") == bool(clear)
