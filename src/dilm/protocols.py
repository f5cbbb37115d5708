"""The sockets: what each part must offer so that any other can use it. Nothing here runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from dilm.types import Dataset, Draft, Example, Selection, Span, Task

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn


Kept = TypeVar("Kept")

Parts = Callable[["Tensor"], "Iterator[Tensor]"]
"""A loss -> losses whose gradients add up to its own."""


class Assistant(Protocol):
    """A language model that does as it is told."""

    def answer(self, requests: Sequence[str], tokens: int, temperature: float, seed: int) -> list[Draft]:
        """One raw answer to each request, of one field, cut off after `tokens` tokens; temperature 0 is greedy."""
        ...


class Generator(Protocol):
    """A language model that writes texts of a condition and knows how likely any text is."""

    task: Task

    def parameters(self) -> Iterable[nn.Parameter]:
        """What an updater trains."""
        ...

    def train(self) -> None:
        """With dropout."""
        ...

    def eval(self) -> None:
        """Without dropout."""
        ...

    def sample(self, condition: int, n: int, rng: torch.Generator) -> list[Draft]:
        """`n` raw texts of one condition."""
        ...

    def nll(self, examples: Sequence[Example]) -> Tensor:
        """Negative log-likelihood of each example under its own label, differentiable: n examples -> [n]."""
        ...

    def token_nlls(self, examples: Sequence[Example]) -> list[Tensor]:
        """What every token of each example costs, in eval mode, without a graph: n examples -> n times [its tokens]."""
        ...

    def nll_in_parts(self, examples: Sequence[Example]) -> tuple[Tensor, Parts]:
        """As `nll`, [n], and what takes a loss of it apart, so that less is held while it is back-propagated."""
        ...

    def spare_memory(self) -> bool:
        """Take likelihoods with less memory from now on; False where that is impossible."""
        ...

    def lengths(self, examples: Sequence[Example]) -> Tensor:
        """Tokens that each example's likelihood is made of, the end included: n examples -> [n]."""
        ...


class Learner(Protocol):
    """What can be put back to its initial state and trained again."""

    def reset(self, seed: int) -> None:
        """Restore every weight; draw the head anew from `seed`."""
        ...

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of every weight."""
        ...

    def restore(self, snapshot: Mapping[str, Tensor]) -> None:
        """Back to a snapshot, bit for bit."""
        ...

    def parameters(self) -> Iterable[nn.Parameter]:
        """What an updater trains."""
        ...

    def head_parameters(self) -> list[nn.Parameter]:
        """The matched parameters, in the order of `gradients`."""
        ...

    def train(self) -> None:
        """With dropout."""
        ...

    def eval(self) -> None:
        """Without dropout."""
        ...

    def spare_memory(self) -> bool:
        """Read less at once from now on; False where that is impossible."""
        ...

    def reading_only(self, examples: Sequence[Example], kept: float) -> AbstractContextManager[None]:
        """Within, only these examples are read, and `parameters` may leave out what they do not touch, which
        afterwards is times `kept`: what weight decay leaves of a weight without gradient."""
        ...

    def loss(self, examples: Sequence[Example]) -> Tensor:
        """Cross-entropy of each example, differentiable: n examples -> [n]."""
        ...

    def gradients(self, examples: Sequence[Example]) -> Tensor:
        """Gradient of each example's loss in the matched parameters, in eval mode: n examples -> [n, P]."""
        ...


class Chooser(Learner, Protocol):
    """A learner of a task with classes."""

    def predict(self, examples: Sequence[Example]) -> list[int]:
        """Most likely class of each example."""
        ...


class Writer(Learner, Protocol):
    """A learner of a task whose target is text."""

    def token_losses(self, examples: Sequence[Example]) -> list[Tensor]:
        """The nll of every token of each target given its input: n examples -> n times [its tokens]."""
        ...

    def unasked_losses(self, examples: Sequence[Example]) -> list[Tensor]:
        """The same of the targets alone."""
        ...

    def guessed(self, examples: Sequence[Example]) -> list[Tensor]:
        """Whether each token is the likeliest, given the real ones before it: n times bool [its tokens]."""
        ...

    def write(self, examples: Sequence[Example]) -> list[str]:
        """An answer to each input."""
        ...

    def lengths(self, examples: Sequence[Example]) -> list[int]:
        """Tokens of each example, input and target together."""
        ...


class Student(Protocol):
    """Whatever can learn a task from a few rows: what a small set is measured with."""

    def train_on(self, rows: Dataset, seed: int) -> None:
        """Learn from the beginning; the same rows and seed give the same student."""
        ...

    def predict(self, examples: Sequence[Example]) -> list[int]:
        """Most likely class of each example."""
        ...


class Encoder(Protocol):
    """A map from examples to points whose distances mean something."""

    def encode(self, examples: Sequence[Example]) -> np.ndarray:
        """float32 [n, d]; the point of an example does not depend on its neighbours in the batch."""
        ...


class Scorer(Protocol):
    """A language model that says which of a few answers would follow a prompt: in-context learning."""

    name: str
    """As in tables."""
    context: int
    """Most tokens that a prompt and its answer may have together."""

    def tokens(self, text: str) -> int:
        """Tokens of a text: as the model counts them, or rather too many."""
        ...

    def score(self, prompts: Sequence[str], candidates: Sequence[str]) -> np.ndarray:
        """Log-likelihood of each candidate right after each prompt: n prompts, c candidates -> float64 [n, c].

        Only differences within a row mean something. A row of a model that answers in words is 0 for its answer and
        -inf for the others, and nan throughout where the answer could not be read.
        """
        ...


class Selector(Protocol):
    """A coreset method: which rows of each class of a pool to keep."""

    varies: ClassVar[bool]
    """Whether another `rng` gives another set."""

    def __call__(self, pool: Dataset, per_class: int, rng: np.random.Generator) -> Selection:
        """`per_class` distinct rows of every class, class by class."""
        ...


class Target(Protocol):
    """The gradient that synthetic text of a condition should give a learner."""

    def __call__(self, learner: Any, condition: int, step: int) -> Tensor:
        """[P], without a graph."""
        ...


class Proposals(Protocol):
    """What may be said: a mini-batch of synthetic examples of a condition."""

    def __call__(self, condition: int, step: int) -> Sequence[Example]: ...


class Trajectory(Protocol):
    """How old the learner is at a matching step."""

    def __call__(self, learner: Any, step: int) -> None:
        """Put `learner` into its state for this step, a function of the step alone: a run can resume anywhere."""
        ...


class Shelf(Protocol[Kept]):
    """Things under names, in memory (a dict) or on disk."""

    def __contains__(self, name: str, /) -> bool: ...

    def __getitem__(self, name: str, /) -> Kept: ...

    def __setitem__(self, name: str, thing: Kept, /) -> None: ...


class Bank(Shelf[Mapping[str, Any]], Protocol):
    """States of a learner, tensors by name."""

    def keep(self, state: str, learner: Any) -> None:
        """Take down what the learner is now; later training does not touch that."""
        ...


class Updater(Protocol):
    """One optimisation step from the losses of one batch, which several processes may share."""

    def __call__(self, losses: Iterable[Tensor], count: int) -> float:
        """Back-propagate the mean of `count` scalar losses, one graph at a time, step, and return that mean.

        `losses` are those of this process's share, `count` is how many all shares have."""
        ...

    def on(self, loss_of: Callable[[Sequence[Any]], Tensor], rows: Sequence[Any]) -> float:
        """One step on the mean loss of rows, in as many micro-batches as memory asks for; returns that mean.

        `loss_of` is asked for this process's share of the rows."""
        ...

    def share(self, items: Sequence[Any]) -> Sequence[Any]:
        """The part of the items that this process answers for."""
        ...

    def mean(self, values: Sequence[float]) -> float:
        """The mean of what all shares gave."""
        ...

    def forget(self) -> None:
        """Free the gradients of the last step."""
        ...


class Detector(Protocol):
    """Finds personal data in texts."""

    @property
    def title(self) -> str:
        """What it is, for readers: the library or model behind it."""
        ...

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every kind that it can find."""
        ...

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """What it takes for personal data in each text; spans may overlap: n texts -> n lists."""
        ...
