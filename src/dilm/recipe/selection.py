"""How the small set is chosen from what there is: a part of the recipe's page."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from dilm.recipe.prompt import DOOR


@dataclass(frozen=True, config=DOOR)
class Select:
    """Choosing the best few of the pool."""

    method: str = "typical"
    """random, kmeans_nearest (the paper's k-centers), farthest_first, herding, moderate, facility_location,
    distribution_matching (herding towards the mean of each class's real rows, by points and by words),
    gradient_matching (towards their mean gradient), el2n, likeliest, validated (the set that quick learners make most
    of, on dev rows), raced (the set that the learner itself makes most of there, see `race`), perplexity (where the
    target is text: rows at the median of a young learner's loss), cynical (the set whose words and pairs of words are
    nearest to those of the real rows, as a whole: made for targets that are text), or typical: k-means nearest among
    the long texts of whose class a linear probe, trained on real rows' features, is surest."""
    long: float = 0.5
    """typical: share of the longest texts of a class that stay in the choice."""
    sure: float = 0.1
    """typical: share of a class that stays in the choice after that, the surest."""
    duplicates: float = 1.0
    """Cosine of the encoder's points from which on a text is a near-duplicate of an earlier one of its class, and left
    out before the choice; so is a real row where the same method is a baseline. 1: only the very same text is."""
    sets: int = 3
    """Independent pools and selections; the first is the one delivered. Paper: 20."""
    packed: int = 1
    """Texts of a class that share one example, one after the other: as many examples then say more, in more tokens
    (several images in one: Kim et al. 2022). Learners read that many times models.max_tokens. 0: up to four, so long
    as they have about a hundred words together and of every class there are as many rows. Beside it belong the
    baselines NAME`@packed` (real rows, packed alike) and NAME`@tokens` (as many tokens, one row an example)."""
    filters: tuple[str, ...] = ()
    """What a text must pass before the choice, one filter after the other: `agree` (the teacher finds its label
    likeliest), `margin:0.5` (by that much of the probability), `sure:0.3` (that share of each class, the surest),
    `words:10` (at least), `repetition:0.2` (at most that share of its pairs of words repeats), `pairs` (two fields
    that are not equal and share a word of content); where the target is text, `fluency:0.8` (that share of each
    condition whose targets the independent model finds likeliest), `answer` (its number parses and its calculations
    hold, or it says every slot) and `covered` (it lies in the cluster of its own condition). Real rows too, where the
    same method is a baseline."""
    teacher: str = "probe"
    """Who is asked by agree, margin and sure: a linear `probe` on the encoder's features of all train rows, or the
    `learner`, fine-tuned on them for evaluate.full_steps."""
    pool: str = "synthetic"
    """What the set is chosen from: `synthetic` texts, or `both`: as many real train rows beside them, which then stand
    in the product word for word."""


@dataclass(frozen=True, config=DOOR)
class Race:
    """Sets raced against each other, where a method is `raced`: short fine-tunings, scored on dev rows."""

    candidates: int = 16
    """Sets that start; half of them go on to the next round, with twice the trainings each."""
    drawn_by: tuple[str, ...] = ("typical",)
    """How these are drawn, in turn: names of select.method that ask no generator."""
    seeds: int = 3
    """Trainings of each set in the first round, with the same seeds for all: of one training most is luck."""
    steps: int = 60
    """Steps of each training."""
    rows: int = 300
    """Dev rows that it is scored on."""
