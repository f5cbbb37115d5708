"""Gradient matching: a part of the recipe's page."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from dilm.recipe.prompt import DOOR


@dataclass(frozen=True, config=DOOR)
class Match:
    """Gradient matching: the generator learns to write text that teaches what real text teaches (paper 3.2)."""

    steps: int = 40
    """Matching steps; 0 leaves the generator as the language model it is. Paper: 20,000."""
    lr: float = 0.0
    """Peak learning rate; 0: 1e-4 from scratch, 3e-5 pretrained. Paper: 3e-7."""
    warmup: float = 0.05
    weight_decay: float = 0.01
    clip: float = 1.0
    synthetic: int = 32
    """Synthetic texts per class and step. Paper: 64."""
    real: int = 200
    """Real texts per class in one teacher set. Paper: 200."""
    teacher_sets: int = 3
    """Representative teacher sets, by k-means with different seeds; 0: random real rows at each step. Paper: 10."""
    temperature: float = 1.0
    """Weights are softmax(-nll / temperature)."""
    lm_lambda: float = 0.0
    """Weight of the nll of as many real texts beside the mismatch, which keeps a generator fluent. Paper: 0."""
    kl: float = 0.0
    """Weight of the KL divergence from the fitted generator, per token of the proposals, beside the mismatch: texts
    stay fluent where the generator writes, and no real row is read. Takes a second generator's memory. Paper: 0."""
    dropout: float = -1.0
    """Dropout of the generator while it is matched; -1: the model's own."""
    patience: int = 0
    """Stop after this many dev scores without improvement; 0: never."""
    likelihood: str = "token"
    """`token` mean (does not depend on padding), `sum`, or `padded` as in the published code."""
    gradient: str = "head"
    """Whose gradient is matched: the learner's `head` (its last linear layer; paper), `last:N` (the last N blocks and
    what follows; `last:0`: heads of two layers), `lora:R` (adapters of rank R in every block, and what follows) or
    `all`. More of the learner says more of a text, and costs a backward pass for each step."""
    learners: tuple[str, ...] = ()
    """Learners whose gradients are matched in turn, a step each, named as models.learner, which is `same`; empty: that
    alone. Each has ages and teacher gradients of its own, memory holds all. Dev scores stay with models.learner."""
    entropy: float = 0.0
    """Weight of the writer's entropy over a step's texts, as a share of the largest: against collapse to a few."""
    coverage: float = 0.0
    """Weight of how surely a text tells its class, as generation.coverage, which is for a target that is text."""
    centred: bool = False
    """Whether head gradients are compared as if features were taken relative to the mean of the classes' real ones, as
    what all texts share says nothing of any. Only with `gradient: head`; not in the paper."""
    road: str = "fast"
    """`fast` (closed form, or forward mode) or `autograd`, which keeps the learner's graph: equal, only slower."""
    refresh_every: int = 20
    """Steps between refreshments of the proposals; also the points a killed run resumes from. Paper: 200."""
    clusters: int = 32
    """Clusters that a synthetic mini-batch draws evenly from; 1: no balancing. Paper: 64."""
    trajectory: str = "cached"
    """`cached`: the learner's ages are trained once and drawn from; `fresh`: trained anew as in the paper."""
    ages: int = 5
    """Learner ages along a trajectory, the first untrained. Paper: 10."""
    age_steps: int = 20
    """Training steps between two ages. Paper: 20."""
    trajectories: int = 1
    """Independent trajectories in the bank (cached only)."""
    renew_every: int = 0
    """cached: steps after which other trajectories take their place; 0: never. At 1 every step has its own."""
    reward: float = 0.0
    """Weight, beside the mismatch, of a reward: texts in sets that taught a learner better become likelier. 0: none."""
    reward_every: int = 5
    """Steps between rewards."""
    reward_sets: int = 4
    """Sets drawn from a step's texts, of match.check_per_class in each class or half of them; each trains a learner."""
    reward_steps: int = 30
    """Training steps on each."""
    reward_rows: int = 200
    """Train rows that learners are scored on, at most a quarter. Matching sees them nowhere else; `fit` has."""
    check_every: int = 20
    """Steps between dev scores; the best checkpoint is kept. A multiple of refresh_every; 0: keep the last."""
    check_sets: int = 2
    """Synthetic sets, each with a training of its own, behind one dev score. Paper: 10."""
    check_per_class: int = 10
    """Size of those sets. Not the recipe's per_class, so that another size needs no new matching."""
    check_select: str = "typical"
    """How those sets are selected, a name of select.method that trains no learner. Paper: kmeans_nearest."""
    check_oversample: int = 20
    """Texts written per text selected for a dev score."""
    check_steps: int = 60
    """Training steps behind a dev score."""
    check_rows: int = 300
    """Dev rows that a dev score is measured on."""
