"""What the page and the card say of personal data: counts, who looked, and what anonymization is not."""

from __future__ import annotations

from dilm.reports import card, page
from dilm.reports.findings import Personal

FOUND = Personal(
    operator="replace",
    detectors=["Presidio 2 (en): EMAIL_ADDRESS", "<script>alert(1)</script>: CRITIC"],
    rows={"train": 1000, "test": 200},
    touched={"train": 3, "test": 1},
    kinds={"EMAIL_ADDRESS": 4, "CRITIC": 1},
    by_kind=[
        {"kind": "EMAIL_ADDRESS", "train": 3, "test": 1, "all": 4},
        {"kind": "CRITIC", "train": 1, "test": 0, "all": 1},
    ],
    note="Anonymization is not differential privacy.",
)


def test_counts_detectors_and_the_plain_sentence_are_told(findings):
    found = findings(
        personal=FOUND, rejected={"dilm": {"kept": 90, "flagged": 7}, "untuned": {"kept": 3, "flagged": 1}}
    )
    for text in (page.render(found), card.render(found)):
        assert "5 findings in 4 of 1,200 rows gave way to their kinds" in text
        assert "8 texts that one of them flagged did not enter a pool" in text
        assert "Anonymization is not differential privacy." in text
        assert "2 detectors ran" in text and "<script>alert" not in text
    assert "| CRITIC | 1 | 0 | 1 |" in card.render(found)
    assert "a detector took something in it for personal data" in page.render(found)


def test_a_run_without_it_says_nothing_of_it(findings):
    for text in (page.render(findings()), card.render(findings())):
        assert "Anonymization" not in text and "detector" not in text


def test_a_table_needs_findings(findings):
    none = Personal("hash", ["rules: CODE"], {"train": 9}, {"train": 0}, {}, [], "Not private.")
    text = card.render(findings(personal=none))
    assert "0 findings in 0 of 9 rows" in text and "| found |" not in text
