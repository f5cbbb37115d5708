"""What is counted in texts: copies, disclosures, secrets, word pairs. Chance is told from a leak."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from panels import panel

from dilm.errors import DataError
from dilm.privacy.bigrams import Bigrams
from dilm.privacy.copying import copying, distance_ratio
from dilm.privacy.disclosures import Rows, copied_rows, disclosures
from dilm.privacy.membership import attack, by_loss, by_min_k, by_reference
from dilm.privacy.replay import SHAPES, looking, replay

WORDS = [f"w{at}" for at in range(30)]
TEXTS = st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6).map(" ".join), min_size=1, max_size=12)


def sentences(rng: random.Random, count: int) -> list[str]:
    return [" ".join(rng.choices(WORDS, k=7)) for _ in range(count)]


@given(released=TEXTS, trained=TEXTS, held_out=TEXTS, span=st.integers(1, 4))
def test_disclosures_are_rows_that_alone_have_a_run_of_a_text(
    released: list[str], trained: list[str], held_out: list[str], span: int
):
    both = {*trained} & {*held_out}
    ours, theirs = [{*side} - both for side in (trained, held_out)]
    if not ours or not theirs:
        with pytest.raises(DataError, match="no rows on one side"):
            Rows.of(trained, held_out)
        return
    rows = Rows.of(trained, held_out)
    found = disclosures(released, rows, span)

    def runs(text: str) -> set[tuple[str, ...]]:
        said = text.split()
        return {tuple(said[at : at + span]) for at in range(len(said) - span + 1)}

    said = set().union(*map(runs, released))

    def hit(row: str) -> bool:
        others = [runs(other) for other in (*ours, *theirs) if other != row]
        return any(all(run not in other for other in others) for run in runs(row) & said)

    assert (found.true, found.phantom) == (sum(map(hit, ours)), sum(map(hit, theirs)))
    exact = copied_rows(released, rows)
    assert (exact.true, exact.phantom) == (len({*released} & ours), len({*released} & theirs))


def test_texts_that_know_nothing_of_the_draw_are_called_leaking_at_most_as_often_as_allowed():
    """Twenty texts of other rows' words, rows and texts much alike; who was trained on is drawn anew each time."""
    rng, called = random.Random(5), 0
    rows = sentences(rng, 300)
    released = [f"{row} so" for row in rng.sample(rows, 40)] * 2
    for _ in range(400):
        rng.shuffle(rows)
        called += disclosures(released, Rows.of(rows[:150], rows[150:]), 4).p < 0.05
    assert called <= 0.05 * 400 + 3 * (0.05 * 0.95 * 400) ** 0.5


def test_common_texts_do_not_look_trained_on_for_being_common():
    """Each common text stands in three forms, one in ten rows is held out, and what is released are common texts."""
    rng, called, share = random.Random(8), 0, []
    common = sentences(rng, 60)
    rows = sentences(rng, 300) + [form for text in common for form in (text, text.upper(), f"{text} .", text)]
    rows += [f"{text} once" for text in common[:30]]
    for _ in range(300):
        texts = sorted(set(rows))
        held_out = set(rng.sample(texts, len(texts) // 10))
        sides = [row for row in rows if row not in held_out], [row for row in rows if row in held_out]
        known = Rows.of(*sides)
        called += copied_rows([*common, *rows[:10]], known).p < 0.05
        share.append(len(known.held_out) / (len(known.trained) + len(known.held_out)))
        assert not {text.casefold() for text in sides[0]} & {" ".join(row) for row in known.held_out}
    assert called <= 0.05 * 300 + 3 * (0.05 * 0.95 * 300) ** 0.5
    assert abs(sum(share) / 300 - 0.1) < 0.01


def test_texts_that_repeat_trained_rows_are_found_out():
    rng = random.Random(6)
    trained, held_out = sentences(rng, 200), sentences(rng, 100)
    found = disclosures([f"so {row} and" for row in trained[:20]], Rows.of(trained, held_out), 5)
    assert (found.true, found.phantom) == (20, 0) and found.p < 0.001 and found.low > found.expected
    exact = copied_rows([row.upper() + " ." for row in trained[:20]], Rows.of(trained, held_out))
    assert (exact.true, exact.phantom) == (20, 0) and exact.p < 0.001, "neither case nor a full stop hides a copy"


@dataclass
class Five:
    anywhere: float


@dataclass
class Text:
    copies: tuple[int, ...] = ()
    near: tuple[int, ...] = ()
    run: int = 0
    fives: Five | None = None


def test_many_texts_that_repeat_one_row_are_one_row():
    """By chance it is trained on in one case of two: no reason for alarm, however often it is repeated."""
    same = copying([Text(copies=(3,), run=5)] * 50, [Text(run=2)] * 50, rows=100)
    assert same.trained.alike == 50 and same.trained.hit == 1 and same.p == pytest.approx(0.5)
    each = copying([Text(near=(at,), run=5, fives=Five(0.5)) for at in range(50)], [Text()] * 50, rows=100)
    assert each.trained.hit == 50 and each.p < 1e-9 and each.difference == 1.0
    assert (each.trained.fives, each.held_out.fives) == (0.5, None)


@given(st.lists(st.floats(0.1, 2), min_size=2, max_size=20).map(np.array))
def test_equal_distances_are_no_finding(away: np.ndarray):
    ratio, low, high = distance_ratio(away, away)
    assert ratio == low == high == 1.0
    assert distance_ratio(away, 2 * away) == pytest.approx((0.5, 0.5, 0.5))


SECRETS = ("anna@example.org", "+44 20 7946 0958", "DE89 3704 0044 0532 0130 00", "192.168.20.14", "www.example.com/me")


def test_secrets_are_counted_by_where_they_stand_and_never_told():
    trained = [f"write to {secret} today" for secret in SECRETS[:3]]
    held_out = [f"write to {SECRETS[3]} today", *(["nothing here"] * 2)]
    released = [f"say {secret}" for secret in SECRETS] + [f"again {SECRETS[0].upper()}"]
    found = replay(released, trained, held_out, looking([SHAPES]))
    assert (found.found, found.trained, found.held_out, found.both) == (5, 3, 1, 0)
    told = json.dumps(asdict(found)).lower()
    assert not [secret for secret in SECRETS if secret.lower() in told or secret.split()[0].lower() in told]
    assert dict(found.kinds) == {"EMAIL_ADDRESS": 1, "IBAN_CODE": 1, "LONG_NUMBER": 1}


def test_a_stand_in_is_no_secret(tmp_path):
    """Of rows that were anonymized, what stands for a secret may stand in texts as often as it likes."""
    said = ["ask <MAIL> soon", "ask <NUMBER> soon", "or 4471100815"]
    assert replay(said, said, ["nothing"], panel(tmp_path)).found == 1


def test_plain_prose_has_no_secrets():
    prose = ["a 90 minute film from 1999 , 3 stars out of 5", "it is 1,000,000 times better", "so so ... @ best"]
    assert replay(prose, prose, ["other"], looking([SHAPES])).found == 0


@given(released=TEXTS, asked=TEXTS)
def test_word_pairs_give_every_text_a_likelihood(released: list[str], asked: list[str]):
    scores = Bigrams(released).scores([*asked, "", "unheard of"])
    assert np.isfinite(scores).all() and (scores < 0).all()


def test_a_row_that_was_released_is_told_from_one_that_was_not():
    rng = random.Random(2)
    released, others = sentences(rng, 40), sentences(rng, 40)
    bigrams = Bigrams(released)
    found = attack(bigrams.scores(released), bigrams.scores(others))
    assert found.auc_low > 0.9 and found.p < 1e-6 and found.tpr > 0.5


def test_scores_are_higher_for_what_is_foretold():
    known, new = [np.array([0.1, 0.2, 3.0])], [np.array([1.0, 2.0, 4.0])]
    for score in (by_loss, lambda nlls: by_min_k(nlls, 0.3)):
        assert score(known) > score(new)
    assert by_reference(known, new) == pytest.approx(by_loss(known) - by_loss(new))
    with pytest.raises(DataError, match="no rows on one side"):
        attack(np.array([]), np.array([1.0]))
    with pytest.raises(DataError, match="no number"):
        attack(np.array([np.nan]), np.array([1.0]))
