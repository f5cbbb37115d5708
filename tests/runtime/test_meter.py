"""Costs are differences: what was spent between two readings."""

from __future__ import annotations

from dilm.runtime import meter


def test_only_what_comes_between_two_readings_counts():
    meter.count(5)
    begin = meter.spent()
    meter.count(7)
    meter.count(3)
    took = meter.spent() - begin
    assert took.tokens == 10 and 0 <= took.seconds < 60
    assert (meter.spent() - meter.spent()).tokens == 0
