"""What keeps a generator a language model while it is matched: the likelihood of real text (`lm_lambda` of the paper's
code, where it is 0), and nearness to the language model that it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dilm.errors import RecipeError
from dilm.numerics.likelihood import shares, token_divergence
from dilm.protocols import Generator, Proposals
from dilm.runtime.seeding import python_stream
from dilm.types import Dataset, Example

Predictions = Callable[[Sequence[Example]], "Iterator[tuple[Tensor, Tensor, Tensor]]"]
"""n examples -> piece by piece: logits [tokens, V], the tokens that stand there, whose they are."""


@dataclass(frozen=True)
class RealText:
    """So many real rows of the condition, drawn anew at each step, whose nll counts `weight` times the mismatch."""

    train: Dataset
    rows: int
    weight: float
    seed: int

    def __call__(self, generator: Generator, condition: int, step: int) -> Iterator[Tensor]:
        """The weighted mean nll of a token: a scalar with a graph."""
        rng = python_stream(self.seed, "real text", condition, step)
        rows = self.train.of(condition).sample(self.rows, rng).examples
        yield self.weight * (shares(generator.lengths(rows), "tokens") * generator.nll(rows)).mean()


@dataclass(frozen=True)
class Anchored:
    """KL(generator || reference) per token of the step's proposals, `weight` times: all of the vocabulary counts, not
    only the token that stands there.

    On proposals, because these are what the generator writes: where it would leave the language, it pays. So no real
    row is read, and the direction is that of samples from the generator. Both models are asked without dropout, so that
    the divergence of equal weights is 0, and so is its gradient.
    """

    reference: Generator
    proposals: Proposals
    weight: float

    def __call__(self, generator: Generator, condition: int, step: int) -> Iterator[Tensor]:
        """The weighted mean over tokens, a scalar with a graph for each piece of texts that run together."""
        examples = self.proposals(condition, step)
        total = generator.lengths(examples).sum()
        generator.eval()
        self.reference.eval()
        for logits, _, owner in predicting(generator, "match.kl")(examples):
            rows = [examples[row] for row in owner.unique_consecutive().tolist()]
            yield self.weight * token_divergence(logits, self._expected(rows)).sum() / total
        generator.train()

    @torch.no_grad()
    def _expected(self, examples: Sequence[Example]) -> Tensor:
        """Of the reference, row after row, in however many pieces it reads them: -> [tokens, V]."""
        told = list(predicting(self.reference, "match.kl")(examples))
        order = torch.cat([owner for _, _, owner in told]).argsort(stable=True)
        return torch.cat([logits for logits, _, _ in told])[order]


@dataclass(frozen=True)
class Together:
    """Several of these at once."""

    parts: Sequence[Callable[[Generator, int, int], Iterator[Tensor]]]

    def __call__(self, generator: Generator, condition: int, step: int) -> Iterator[Tensor]:
        """The losses of one after those of another."""
        for part in self.parts:
            yield from part(generator, condition, step)


def predicting(generator: Generator, setting: str) -> Predictions:
    """How to ask what the generator expects at every token. Raises RecipeError where it does not tell."""
    told = getattr(generator, "predictions", None)
    if told is None:
        raise RecipeError(
            f"{setting} needs a generator that tells its probabilities of every token, and this kind does not.",
            f"Set {setting} to 0, or use a single causal language model.",
        )
    return told
