"""What the page, the card and the terminal say of an audit: all figures, what was not tested, and nothing unescaped."""

from __future__ import annotations

from dilm.privacy.findings import Audited, Finding
from dilm.reports import card, page
from dilm.reports.audit import Audit, text

HOSTILE = "<script>alert(1)</script>|**bold**"


def told(p: float = 1e-5) -> Audit:
    found = (
        Finding("aux_auc", f"told apart by {HOSTILE}", "released", "auc", 0.61, 0.55, 0.67, 0.5, p=p, rows="9 rows"),
        Finding("loss_tpr", "found by likelihood", "generator", "share", 0.123, 0.1, 0.15, 0.01),
        Finding("epsilon", "at least", "generator", "epsilon", 1.234, guess=0.0),
        Finding("copied", "rows repeated", "released", "rows", 3, guess=0.0, beside=0.0),
    )
    return Audit.of(Audited.of("quick", found, {}, (f"Not {HOSTILE}.",), ("A note.",)).plain())


def test_figures_are_told_with_their_intervals_and_a_leak_by_its_name(findings):
    for shown in (page.render(findings(audit=told())), card.render(findings(audit=told()))):
        plain = shown.replace("\u00a0", " ")
        assert "A leak was shown" in plain and "Not tested" in plain and "A note." in plain
        assert "0.55 to 0.67" in plain and "12.3 %" in plain and "1.23" in plain and "under 0.001" in plain
        assert "<script>alert" not in plain
    assert "Leak shown." in page.render(findings(audit=told()))
    assert "**bold**" not in card.render(findings(audit=told()))


def test_without_a_leak_it_is_said_that_none_was_shown_and_never_that_there_is_none(findings):
    for shown in (page.render(findings(audit=told(0.4))), card.render(findings(audit=told(0.4)))):
        assert "No leak was shown" in shown and "only differential privacy" in shown and "Leak shown." not in shown


def test_a_run_that_nobody_looked_at_says_so(findings):
    for shown in (page.render(findings()), card.render(findings())):
        assert "Nobody has looked for leaks" in shown


def test_the_terminal_has_a_line_for_each_name():
    lines = text(told()).splitlines()
    assert lines[0].startswith("A leak was shown (quick audit).")
    rows = {line.split()[0]: line for line in lines if line.startswith("  ") and line.strip()}
    assert {"aux_auc", "loss_tpr", "epsilon", "copied"} <= set(rows) and "0.61" in rows["aux_auc"]
    assert lines.index("The released texts:") < lines.index("The generator that wrote them, which is not released:")
