"""Which numbers the settings of a recipe may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """Settings, named in one text, whose numbers must satisfy `holds`."""

    settings: str
    wanted: str
    holds: Callable[[float], bool]


RANGES = (
    Range(
        """per_class data.dev_rows data.test_rows pretrain.batch fit.batch fit.check_every fit.patience
        match.synthetic match.real match.refresh_every match.clusters match.ages match.age_steps match.trajectories
        match.reward_every match.reward_steps match.reward_rows
        match.check_sets match.check_per_class match.check_oversample match.check_steps match.check_rows
        generate.oversample generate.batch generate.attempts select.sets
        corpus.steps corpus.batch corpus.check_every
        embed.steps embed.batch embed.unroll embed.per_step embed.check_every
        evaluate.seeds evaluate.steps evaluate.batch evaluate.full_steps prompt.orders race.steps race.rows
        audit.rows audit.span server.budget server.parallel server.tries
        rewrite.texts""",
        "at least 1",
        lambda value: value >= 1,
    ),
    Range(
        """seed dp.epsilon federation.clients federation.least federation.spare data.train_rows models.max_tokens
        pretrain.steps fit.lr fit.weight_decay match.steps match.lr match.weight_decay match.lm_lambda
        match.kl match.entropy match.coverage match.reward
        match.patience match.teacher_sets match.renew_every match.check_every generate.top_k
        evaluate.weight_decay prompt.top_logprobs audit.canaries adapters.rank adapters.alpha instruct.demonstrations
        corpus.rows corpus.lr corpus.weight_decay generation.coherence generation.diversity generation.coverage
        generation.answers evaluate.rows select.packed rewrite.temperature runtime.threads runtime.workers""",
        "0 or more",
        lambda value: value >= 0,
    ),
    Range("fit.steps", "0 or more, or -1 for as many as suit the rows", lambda steps: steps >= -1),
    Range("fit.dropout match.dropout", "0 or more and below 1, or -1 for the model's", lambda p: p == -1 or 0 <= p < 1),
    Range(
        "dp.delta dp.target adapters.dropout fit.label_smoothing",
        "0 or more and below 1",
        lambda value: 0 <= value < 1,
    ),
    Range(
        """dp.clip dp.target_clip
        pretrain.lr corpus.clip fit.clip match.clip match.temperature generate.temperature evaluate.lr evaluate.clip
        evaluate.full_lr embed.lr embed.rate embed.attention_weight server.timeout""",
        "above 0",
        lambda value: value > 0,
    ),
    Range(
        """anonymize.threshold fit.contrast fit.warmup match.warmup embed.warmup evaluate.warmup evaluate.full_warmup
        audit.delta corpus.warmup""",
        "from 0 to 1",
        lambda value: 0 <= value <= 1,
    ),
    Range(
        "generate.top_p select.long select.sure select.duplicates audit.min_k",
        "above 0 and at most 1",
        lambda value: 0 < value <= 1,
    ),
    Range("data.seed", "0 or more, or -1 for the run's", lambda value: value >= -1),
    Range("race.candidates race.seeds match.reward_sets generation.conditions", "at least 2", lambda value: value >= 2),
    # Every byte is a token of its own, so that no text is unknown.
    Range("pretrain.vocabulary", "at least 300", lambda value: value >= 300),
    # Less would not hold one query beside what is left to a chat template.
    Range("prompt.context", "at least 256", lambda value: value >= 256),
)
