"""Numbers as people read them, said the same way in the table, the figures, the page and the card."""

from __future__ import annotations

METRICS = {"accuracy": "accuracy", "macro_f1": "macro F1", "accuracy_f1": "mean of accuracy and F1"}


def metric(name: str) -> str:
    """A task's metric in words; a name that is not known here speaks for itself."""
    return METRICS.get(name, name)


def group(metric: str) -> str:
    """What a task's examples are counted by: where its target is text there are no classes, but conditions.

    >>> group("accuracy"), group("perplexity")
    ('class', 'condition')
    """
    return "condition" if metric == "perplexity" else "class"


def percent(share: float) -> str:
    """A share of 1 as a percentage with one decimal.

    >>> percent(0.7812)
    '78.1 %'
    """
    return f"{100 * share:.1f} %"


def points(difference: float) -> str:
    """A signed difference of two shares in percentage points; a difference that rounds to nothing has no sign.

    >>> points(0.0789), points(-0.0123), points(-0.0001)
    ('+7.9', '-1.2', '0.0')
    """
    rounded = f"{100 * difference:+.1f}"
    return "0.0" if rounded in ("+0.0", "-0.0") else rounded


def gap(mean: float, low: float, high: float) -> str:
    """A difference with its interval, all in percentage points.

    >>> gap(0.08, 0.071, 0.089)
    '+8.0 (+7.1 to +8.9)'
    """
    return f"{points(mean)} ({points(low)} to {points(high)})"


def chance(p: float) -> str:
    """A p value with as many digits as it is worth; resamples cannot tell a thousandth from less.

    >>> chance(0.2149), chance(0.0412), chance(0.0005)
    ('0.21', '0.041', 'under 0.001')
    """
    if p < 0.001:
        return "under 0.001"
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def ratio(part: int, whole: int) -> str:
    """`part` of `whole` as a percentage with two significant digits, for shares that may be tiny.

    >>> ratio(40, 67349), ratio(1, 2), ratio(3, 3)
    ('0.059 %', '50 %', '100 %')
    """
    share = 100 * part / whole
    return f"{share:.0f} %" if share >= 10 else f"{share:.2g} %"


def count(number: int, noun: str = "") -> str:
    """A whole number with thousands separators, and its noun in the plural where it needs one.

    >>> count(67349), count(1, "set"), count(5, "set")
    ('67,349', '1 set', '5 sets')
    """
    if not noun:
        return f"{number:,}"
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration(seconds: float) -> str:
    """Wall-clock time in the two units that matter.

    >>> duration(0.42), duration(75), duration(4321)
    ('0.4 s', '1 min 15 s', '1 h 12 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_rest = divmod(minutes, 60)
    if not minutes:
        return f"{rest} s"
    return f"{hours} h {minutes_rest} min" if hours else f"{minutes} min {rest} s"


def tokens(number: int | None) -> str:
    """Tokens that models read and wrote, in the unit that matters; None is something that was not counted.

    >>> tokens(812), tokens(31_740), tokens(4_210_000), tokens(None)
    ('812', '31.7 thousand', '4.2 million', 'not counted')
    """
    if number is None:
        return "not counted"
    if number < 1000:
        return str(number)
    return f"{number / 1e3:.1f} thousand" if number < 1e6 else f"{number / 1e6:.1f} million"


def memory(megabytes: float | None) -> str:
    """Peak memory; None is something that was not measured.

    >>> memory(812.3), memory(3174), memory(None)
    ('812 MB', '3.1 GB', 'not measured')
    """
    if megabytes is None:
        return "not measured"
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1024:.1f} GB"
