"""DP-SGD behind the `Updater` socket: every row's gradient clipped, noise on their sum (Abadi et al. 2016).

Gradients of single rows come from Opacus's hooks, one forward and one backward pass for several rows. What hooks cannot
do they do silently (a layer that is left out, a batch dimension that is none), so at first their sum is compared with
the gradient that autograd gives anyway. `row_by_row` is the plain road beside them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dilm.errors import ModelError, PrivacyError
from dilm.privacy.noise import Noise
from dilm.runtime.memory import Appetite
from dilm.runtime.optimize import AdamW

LossOf = Callable[[Sequence[Any]], Tensor]
"""n rows -> the loss of each [n], which depends on that row alone."""
Road = Callable[[LossOf, Sequence[Any], Sequence[nn.Parameter]], list[Tensor]]
"""The gradient of each row's loss: n rows, parameters -> for each parameter [n, ...]."""

HELD = 2**27
"""Numbers in the rows' gradients that are held at once: half a gigabyte."""
TOLERANCE, NOTHING = 5e-2, 1e-4
"""Of the sum over rows beside autograd's, relative to that, and to the whole gradient's length for weights that get
next to none: hooks that fail are wrong by far more, and bf16 by less."""


@dataclass(frozen=True)
class Bounds:
    """What makes a step private."""

    clip: float
    """Longest gradient of a row."""
    noise: float
    """Standard deviation of the noise on the sum, in multiples of `clip`."""
    batch: float
    """Rows that a step has on average: what the sum is divided by, whoever was drawn."""


class DPAdamW:
    """AdamW on private gradients. Given the rows of a Poisson sample, its steps are what `Bounds` promises.

    What it returns in place of the mean loss is nan: that one would be a release of its own.
    """

    def __init__(self, adam: AdamW, bounds: Bounds, noise: Noise, road: Road) -> None:
        if adam.crew.size > 1:
            raise PrivacyError(
                "Private training runs in one process, and several were started.", "Start `dilm` without a launcher."
            )
        self.adam = adam
        self.bounds = bounds
        self.noise = noise
        self.road = road
        weights = sum(parameter.numel() for parameter in adam.parameters)
        self.appetite = Appetite(amount=max(HELD // weights, 1))

    def on(self, loss_of: LossOf, rows: Sequence[Any]) -> float:
        """One step on rows drawn by coins; none is a step on noise alone."""
        self.along(self.sums(loss_of, rows))
        return float("nan")

    def along(self, sums: Sequence[Tensor]) -> None:
        """One step along sums of clipped gradients, to which noise is added here: one tensor for each parameter."""
        for place, (parameter, total) in enumerate(zip(self.adam.parameters, sums, strict=True)):
            if self.bounds.noise:
                drawn = self.noise.normal(total, self.adam.step, place)
                total = total.to(drawn).add(drawn, alpha=self.bounds.noise * self.bounds.clip).to(parameter)
            parameter.grad = total / self.bounds.batch
        self.adam.advance()

    def sums(self, loss_of: LossOf, rows: Sequence[Any]) -> list[Tensor]:
        """The rows' clipped gradients added up, without noise: for each parameter [...]."""
        return self.appetite.feed(max(len(rows), 1), lambda size: self._summed(loss_of, rows, size))

    def _summed(self, loss_of: LossOf, rows: Sequence[Any], size: int) -> list[Tensor]:
        sums = [torch.zeros_like(parameter) for parameter in self.adam.parameters]
        for first in range(0, len(rows), size):
            found = self.road(loss_of, rows[first : first + size], self.adam.parameters)
            for total, clipped in zip(sums, clipped_sums(found, self.bounds.clip), strict=True):
                total.add_(clipped)
        return sums

    def __call__(self, losses: Iterable[Tensor], count: int) -> float:
        """Raises PrivacyError: of losses that are added up already no row's gradient can be clipped."""
        raise PrivacyError("A private step needs the loss of every row.", "Call `on` with the rows.")

    @property
    def step(self) -> int:
        return self.adam.step

    @property
    def crew(self):
        return self.adam.crew

    def share(self, items: Sequence[Any]) -> Sequence[Any]:
        """All of them: there is one process."""
        return items

    def mean(self, values: Sequence[float]) -> float:
        """nan, as after a step."""
        return float("nan")

    def forget(self) -> None:
        """Free the gradients of the last step."""
        self.adam.forget()

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs; noise follows from the step."""
        return self.adam.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        self.adam.restore(state)


def clipped_sums(gradients: Sequence[Tensor], clip: float) -> list[Tensor]:
    """Each row's gradient shortened to `clip` at most, then summed: for each parameter [n, ...] -> [...].

    The length is that over all parameters. A gradient that is not finite counts as none: its row must not tell itself
    by spoiling the sum.
    """
    squares = torch.stack([each.flatten(1).float().square().sum(1) for each in gradients])  # [parameters, n]
    lengths = squares.sum(0).sqrt()
    finite = lengths.isfinite()
    shares = torch.where(finite, (clip / lengths.clamp_min(1e-30)).clamp_max(1.0), 0.0)
    if not bool(finite.all()):
        gradients = [torch.where(_wide(finite, each), each, 0.0) for each in gradients]
    return [torch.einsum("n,n...->...", shares.to(each.dtype), each) for each in gradients]


def row_by_row(loss_of: LossOf, rows: Sequence[Any], parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """The plain road: a backward pass for every row."""
    found: list[list[Tensor]] = []
    for row in rows:
        pieces = torch.autograd.grad(loss_of([row]).sum(), parameters, allow_unused=True)
        found.append(
            [torch.zeros_like(p) if g is None else g.detach() for p, g in zip(parameters, pieces, strict=True)]
        )
    return [torch.stack(several) for several in zip(*found, strict=True)]


class Hooked:
    """The fast road: one backward pass for several rows, their gradients caught by Opacus's hooks.

    Losses may read each row several times, if they stack their inputs as [all rows, all rows again, ...] and run them
    at once. While rows are read the model is in eval mode: a dropout mask that depends on a row's place in the batch
    would tie rows together.
    """

    def __init__(self, model: nn.Module) -> None:
        from opacus.grad_sample.grad_sample_module import GradSampleHooks

        self.model = model
        with _without_doubles(model):
            self.hooks = GradSampleHooks(model, loss_reduction="sum", strict=False)
            self.hooked = list(self.hooks.iterate_submodules(model))
        self.hooks.disable_hooks()
        self.checked = False

    def __call__(self, loss_of: LossOf, rows: Sequence[Any], parameters: Sequence[nn.Parameter]) -> list[Tensor]:
        """The gradient of each row's loss: for each parameter [n, ...]."""
        _forget(parameters)
        with self._listening(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Full backward hook is firing")  # at embeddings, as it should
            loss_of(rows).sum().backward(inputs=list(parameters))
        found = [self._folded(parameter, len(rows)) for parameter in parameters]
        if not self.checked:
            self._check(found, parameters)
        _forget(parameters)
        return found

    @contextmanager
    def _listening(self) -> Iterator[None]:
        self.model.eval()
        for module in self.hooked:  # Opacus looks away from a module in eval mode; these have no dropout of their own
            module.training = True
        self.hooks.enable_hooks()
        try:
            yield
        finally:
            self.hooks.disable_hooks()
            self.model.eval()

    @staticmethod
    def _folded(parameter: nn.Parameter, rows: int) -> Tensor:
        """The gradients of a row's several readings added up: [times x n, ...] -> [n, ...]."""
        caught: Any = getattr(parameter, "grad_sample", None)
        if caught is None and parameter.grad is None:
            return torch.zeros(rows, *parameter.shape, device=parameter.device)
        if not isinstance(caught, Tensor) or len(caught) % rows:
            raise ModelError(UNFIT, INSTEAD)
        return caught.view(-1, rows, *parameter.shape).sum(0) if len(caught) > rows else caught

    def _check(self, found: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> None:
        """Raise ModelError where the rows' gradients do not add up to that of the batch."""
        wholes = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]
        nothing = NOTHING * torch.stack([whole.norm() for whole in wholes]).norm()
        for gradient, whole in zip(found, wholes, strict=True):
            if (gradient.sum(0) - whole).norm() > TOLERANCE * whole.norm() + nothing:
                raise ModelError(UNFIT, INSTEAD)
        self.checked = True


UNFIT = "Opacus cannot tell the gradients of single rows apart in this generator."
INSTEAD = "Use GPT-2, a BERT-like encoder or another model of linear, embedding and normalising layers."


def _wide(finite: Tensor, gradient: Tensor) -> Tensor:
    return finite.view(-1, *[1] * (gradient.ndim - 1))


def _forget(parameters: Sequence[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.grad = None
        parameter.grad_sample = None  # type: ignore[attr-defined]


@contextmanager
def _without_doubles(model: nn.Module) -> Iterator[None]:
    """Within, a module does not hold parameters that a module inside it holds too.

    BERT's vocabulary head has the bias of its last layer under a second name. Opacus would take the head for one layer
    of a kind that it does not know, and leave what is inside to it.
    """
    taken: list[tuple[nn.Module, str, nn.Parameter]] = []
    for module in model.modules():
        inside = {id(each) for child in module.children() for each in child.parameters()}
        for name, parameter in list(module.named_parameters(recurse=False)):
            if id(parameter) in inside:
                taken.append((module, name, parameter))
    try:
        for module, name, _ in taken:
            del module._parameters[name]
        yield
    finally:
        for module, name, parameter in taken:
            module._parameters[name] = parameter
