"""What each row of a comparison is: its name for readers, its part in the comparison, and one line that explains it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["ours", "ablation", "variant", "baseline", "rival", "ceiling"]
"""`ablation` is ours with a part removed, `variant` a method's sets trained on in another way, `rival` a set that a
user named, `ceiling` what all the data gives."""

AMOUNTS = {
    "tokens": ("equal tokens", "As many tokens as ours, instead of as many rows."),
    "packed": ("packed alike", "As many rows share an example as of ours do texts."),
}
"""Behind an `@` after a method's name: how much of it there is."""
OURS, CEILING, RANDOM, NEAREST = "dilm", "full", "random", "nearest"
THIS_RUN = " (this run)"
"""In the titles of a run's own sets, where one run is told of; left out where several stand side by side."""


@dataclass(frozen=True, slots=True)
class Method:
    """A row's name, part and explanation."""

    title: str
    kind: Kind
    meaning: str


KNOWN = {
    OURS: Method(f"DiLM{THIS_RUN}", "ours", "Synthetic examples from the generator after gradient matching."),
    "untuned": Method(
        "Before matching", "ablation", "The same generator and the same selection, without the matching stage."
    ),
    "untuned_random": Method(
        "Before matching, unselected", "ablation", "Random texts of the generator before the matching stage."
    ),
    NEAREST: Method("Nearest real rows", "baseline", "For each of our examples the real row that is most like it."),
    RANDOM: Method("Random real rows", "baseline", "Real training rows drawn at random, the same number per class."),
    "kmeans_nearest": Method(
        "K-centers", "baseline", "The real rows nearest to the K-means centres of their class (the paper's K-centers)."
    ),
    "herding": Method(
        "Herding", "baseline", "Real rows added one by one so that their mean stays close to the mean of their class."
    ),
    "farthest_first": Method(
        "Farthest first", "baseline", "Real rows, each as far as possible from those chosen before it."
    ),
    "typical": Method(
        "Typical rows",
        "baseline",
        "K-centers among the longer real rows whose class a linear probe is surest of.",
    ),
    "moderate": Method(
        "Moderate", "baseline", "Real rows whose distance to the centre of their class is nearest the median distance."
    ),
    "facility_location": Method(
        "Facility location", "baseline", "Real rows chosen one by one so that every row of the class has a similar one."
    ),
    "distribution_matching": Method(
        "Distribution matching on real rows",
        "baseline",
        "Real rows added one by one so that their mean stays close to that of their class, by features and by words.",
    ),
    "gradient_matching": Method(
        "Gradient matching on real rows",
        "baseline",
        "Real rows chosen one by one so that their gradients add up to the direction of their class's.",
    ),
    "validated": Method(
        "Validated sets", "baseline", "The set of real rows from which quick learners do best on dev rows."
    ),
    "raced": Method(
        "Raced sets",
        "baseline",
        "The set of real rows with which the learner does best on dev rows, in many trainings.",
    ),
    "cynical": Method(
        "Cynical selection",
        "baseline",
        "The real rows whose words and pairs of words are, as a set, most like those of all rows.",
    ),
    "el2n": Method("EL2N", "baseline", "The real rows that briefly trained models get most wrong."),
    "perplexity": Method(
        "Middling perplexity",
        "baseline",
        "The real rows whose targets briefly trained models find neither easy nor hard.",
    ),
    "likeliest": Method("Likeliest rows", "baseline", "The real rows that the generator finds most likely."),
    "tdd": Method(
        "Embeddings (TDD)",
        "baseline",
        "Learnt embeddings in place of texts, which nobody can read and no other model can use.",
    ),
    "tdd_text": Method(
        "Embeddings as text", "baseline", "The same embeddings, each replaced by the token that is nearest to it."
    ),
    CEILING: Method("All training rows", "ceiling", "The whole training split: what the examples are a summary of."),
}


VARIANTS = {
    "soft": ("soft labels", "the same sets with the class probabilities that a linear probe on all real rows gives."),
    "augmented": ("augmented", "the same sets and eight copies of each text with words swapped or left out."),
}


def describe(name: str) -> Method:
    """The method of this name; a name that is not known here is a set of the user's own.

    >>> describe("herding").kind, describe("my_set").title
    ('baseline', 'my_set')
    >>> describe("random+soft").title
    'Random real rows, soft labels'
    """
    base, _, amount = name.partition("@")
    if base in KNOWN and amount in AMOUNTS:
        words, meaning = AMOUNTS[amount]
        return Method(f"{KNOWN[base].title}, {words}", KNOWN[base].kind, f"{KNOWN[base].meaning} {meaning}")
    base, plus, variant = name.partition("+")
    if plus and base in KNOWN and variant in VARIANTS:
        words, meaning = VARIANTS[variant]
        return Method(f"{KNOWN[base].title}, {words}", "variant", f"{KNOWN[base].title}: {meaning}")
    return KNOWN.get(name) or Method(name, "rival", "A set named in the recipe, trained and scored in the same way.")


def explained(name: str, group: str) -> Method:
    """The same, in terms of what the task's examples are counted by.

    >>> explained("herding", "condition").meaning.rpartition(" ")[2]
    'condition.'
    """
    method = describe(name)
    return replace(method, meaning=re.sub(r"\bclass\b", group, method.meaning))


def among_runs(name: str) -> str:
    """A method's title where several runs stand side by side, and none of them is this one.

    >>> among_runs("dilm"), among_runs("dilm+augmented"), among_runs("my (this run)")
    ('DiLM', 'DiLM, augmented', 'my (this run)')
    """
    method = describe(name)
    return method.title if method.kind == "rival" else method.title.replace(THIS_RUN, "")


def phrase(name: str) -> str:
    """A method's title inside a sentence.

    >>> phrase("random"), phrase("kmeans_nearest"), phrase("My_Set")
    ('random real rows', 'K-centers', 'My_Set')
    """
    title = describe(name).title
    return title[0].lower() + title[1:] if name in KNOWN and title[1].islower() else title
