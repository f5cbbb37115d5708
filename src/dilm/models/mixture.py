"""Several generators as one: a text is as likely as the members say together, and one of them writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from dilm.models.causal import CausalGenerator
from dilm.numerics.likelihood import mixture_nll, mixture_weights, text_nll
from dilm.protocols import Parts
from dilm.runtime.seeding import derive
from dilm.types import Draft, Example

WEIGHTS = "mixture.json"
AT_ONCE = 64
"""Texts whose likelihoods are taken together where nothing is learnt from them."""


class Mixture:
    """Members of any architecture and tokenizer, with a weight for each member and class.

    Behind the `Generator` socket: the likelihood of a text is the weighted sum of the members' likelihoods (the sum
    over its tokens under each member's own tokenizer), by log-sum-exp. So what is learnt from a text is shared among
    them by responsibility.
    """

    def __init__(self, members: Sequence[CausalGenerator]) -> None:
        self.members = tuple(members)
        self.task = members[0].task
        self.model = nn.ModuleList(member.model for member in members)
        self.likelihood = "token"
        self.weights = torch.full((len(self.task.labels), len(members)), 1 / len(members), dtype=torch.float64)
        self.shown = {texts for member in members for texts in member.shown}
        self._dealer: int | None = None
        for member in members:
            member.likelihood = "sum"

    def parameters(self) -> Iterator[nn.Parameter]:
        return self.model.parameters()

    def train(self) -> None:
        self.model.train()

    def eval(self) -> None:
        self.model.eval()

    def name_classes(self) -> None:
        """As each member does."""
        for member in self.members:
            member.name_classes()

    def save(self, folder: Path) -> None:
        """A folder for each member, and the weights beside them."""
        for place, member in enumerate(self.members):
            member.save(folder / str(place))
        (folder / WEIGHTS).write_text(json.dumps(self.weights.tolist()), encoding="utf-8")

    def read_weights(self, folder: Path) -> None:
        """Those that `save` wrote."""
        self.weights = torch.tensor(json.loads((folder / WEIGHTS).read_text("utf-8")), dtype=torch.float64)

    @torch.no_grad()
    def settle(self, rows: Sequence[Example]) -> None:
        """The weights under which these rows are likeliest, for each class; a member keeps the share of one row."""
        self.eval()
        pieces = (rows[first : first + AT_ONCE] for first in range(0, len(rows), AT_ONCE))
        nlls = torch.cat([torch.stack(self._nlls(piece), 1).double().cpu() for piece in pieces])
        labels = torch.tensor([row.label for row in rows])
        for condition in self.task.conditions:
            self.weights[condition] = mixture_weights(nlls[labels == condition])

    @contextmanager
    def dealt(self, seed: int) -> Iterator[None]:
        """Within, a text is learnt by one member alone, whom its words and the seed decide: each has its share of the
        rows, and a step costs what it costs a single generator."""
        self._dealer = seed
        try:
            yield
        finally:
            self._dealer = None

    def owner(self, example: Example, seed: int) -> int:
        """Whose share a text belongs to, whatever its class."""
        return derive(seed, "share", *example.texts) % len(self.members)

    def nll(self, examples: Sequence[Example]) -> Tensor:
        """Negative log-likelihood of each example given its class, differentiable: n examples -> [n]."""
        if self._dealer is not None:
            return text_nll(self._by_owner(examples), self.lengths(examples), self.likelihood)
        return self._mixed(self._nlls(examples), examples)

    def nll_in_parts(self, examples: Sequence[Example]) -> tuple[Tensor, Parts]:
        """As `nll`, [n], and what takes a loss of it apart: the parts of one member after the other."""
        told = [member.nll_in_parts(examples) for member in self.members]
        leaves = [nll.detach().requires_grad_() for nll, _ in told]

        def parts(loss: Tensor) -> Iterator[Tensor]:
            for (nll, apart), slope in zip(told, torch.autograd.grad(loss, leaves), strict=True):
                yield from apart((nll * slope).sum())

        return self._mixed(leaves, examples), parts

    def token_nlls(self, examples: Sequence[Example]) -> list[Tensor]:
        """What every token of each example costs: n examples -> n tensors on the CPU, [tokens of the example] each.

        Where all members see as many tokens that is what each adds to the mixture's nll. Where tokenizers differ, the
        tokens are those of the member that answers most for the text, and the mixture's gain is spread among them.
        """
        told = zip(*(member.token_nlls(examples) for member in self.members), strict=True)
        return [self._told(costs, self.weights[example.label]) for costs, example in zip(told, examples, strict=True)]

    def lengths(self, examples: Sequence[Example]) -> Tensor:
        """Tokens of each example, the end included, as a mean over members: n examples -> [n]."""
        counts = torch.stack([member.lengths(examples).to(self._device) for member in self.members], 1).float()
        if self._dealer is None:
            return counts.mean(1)
        owners = torch.tensor([self.owner(example, self._dealer) for example in examples], device=counts.device)
        return counts.gather(1, owners[:, None])[:, 0]

    def spare_memory(self) -> bool:
        """Every member takes less; False where none can."""
        spared = [member.spare_memory() for member in self.members]
        return any(spared)

    def sample(self, condition: int, n: int, rng: torch.Generator) -> list[Draft]:
        """`n` texts of one class, each by a member drawn by weight."""
        writers = torch.multinomial(self.weights[condition], n, replacement=True, generator=rng).tolist()
        seeds = torch.randint(2**31, (len(self.members),), generator=rng).tolist()
        written = []
        for place, (member, seed) in enumerate(zip(self.members, seeds, strict=True)):
            count = writers.count(place)
            drafts = member.sample(condition, count, torch.Generator().manual_seed(seed)) if count else []
            written.append(iter(drafts))
        self.eval()
        return [next(written[writer]) for writer in writers]

    @property
    def _device(self) -> torch.device:
        return self.members[0].model.device

    def _nlls(self, examples: Sequence[Example]) -> list[Tensor]:
        """Of each member: n examples -> [n] each."""
        return [member.nll(examples) for member in self.members]

    def _mixed(self, nlls: Sequence[Tensor], examples: Sequence[Example]) -> Tensor:
        """Sums of token nlls, [n] of each member -> [n]."""
        together = torch.stack([nll.to(self._device) for nll in nlls], 1)
        weights = self.weights[[example.label for example in examples]].to(together)
        return text_nll(mixture_nll(together, weights), self.lengths(examples), self.likelihood)

    def _by_owner(self, examples: Sequence[Example]) -> Tensor:
        """The sum of token nlls of each example, for the member whose share it is in: n examples -> [n]."""
        assert self._dealer is not None
        owners = [self.owner(example, self._dealer) for example in examples]
        order = sorted(range(len(examples)), key=owners.__getitem__)
        sums = [
            member.nll([examples[row] for row in order if owners[row] == place]).to(self._device)
            for place, member in enumerate(self.members)
            if place in owners
        ]
        return torch.cat(sums)[torch.tensor(order, device=self._device).argsort()]

    @staticmethod
    def _told(costs: Sequence[Tensor], weights: Tensor) -> Tensor:
        """One text's token nlls under each member -> those of the mixture."""
        if len({len(each) for each in costs}) == 1:
            so_far = torch.stack([each.double().cumsum(0) for each in costs], 1)  # [T, members]
            whole = mixture_nll(so_far, weights.expand(len(so_far), -1))
            return whole.diff(prepend=whole.new_zeros(1)).float()
        sums = torch.stack([each.double().sum() for each in costs])
        most = costs[int((sums - weights.log()).argmin())]
        return most + (mixture_nll(sums[None], weights[None])[0] - most.double().sum()).float() / len(most)


AnyGenerator = CausalGenerator | Mixture
"""What the wiring opens."""
