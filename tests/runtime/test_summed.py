"""Tables whose gradients are added where they are summed: autograd's own, without a tensor as large for each use."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from dilm.runtime.optimize import AdamW, Schedule
from dilm.runtime.summed import into_sums, looked_up, product

ROWS, WIDTH = 7, 3


def tables(dtype: torch.dtype = torch.float64) -> tuple[nn.Parameter, nn.Parameter]:
    """A table and a bias for what it says."""
    rng = torch.Generator().manual_seed(1)
    return tuple(nn.Parameter(torch.randn(shape, generator=rng).to(dtype)) for shape in ((ROWS, WIDTH), (ROWS,)))  # type: ignore[return-value]


def said(read: Callable[..., Tensor], say: Callable[..., Tensor], tokens: Tensor, bias: bool, padding: int | None):
    """The gradients of table and bias, of a loss that looks tokens up and says them, from here on."""

    def walked(table: nn.Parameter, own: nn.Parameter) -> Tensor:
        states = read(tokens, table, padding).tanh()
        return say(states, table, own if bias else None).square().sum()

    return walked


def plain_read(tokens: Tensor, table: Tensor, padding: int | None) -> Tensor:
    return nn.functional.embedding(tokens, table, padding_idx=padding)


@settings(deadline=None)
@given(
    st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=9),
    st.booleans(),
    st.none() | st.integers(0, ROWS - 1),
    st.integers(1, 3),
)
def test_the_gradients_are_those_of_autograd(numbers: list[int], bias: bool, padding: int | None, times: int):
    """However often they are added up, and for whoever asks without a sum."""
    tokens = torch.tensor([numbers, numbers[::-1]])
    own = said(looked_up, product, tokens, bias, padding)
    theirs = said(plain_read, nn.functional.linear, tokens, bias, padding)
    wanted, summed = tables(), tables()
    for _ in range(times):
        theirs(*wanted).backward()
        with into_sums(summed):
            own(*summed).backward()
    assert (summed[1].grad is None) == (not bias)
    for one, other in zip(wanted, summed, strict=True):
        assert one.grad is other.grad is None or torch.allclose(one.grad, other.grad, rtol=1e-12, atol=1e-12)
    (asked,), (known,) = (torch.autograd.grad(loss(*summed), summed[:1]) for loss in (own, theirs))
    torch.testing.assert_close(asked, known, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_under_autocast_products_are_rounded_as_torch_rounds_them(dtype: torch.dtype):
    found = []
    for say in (nn.functional.linear, product):
        table, bias = tables(torch.float32)
        rows = torch.randn(4, 5, WIDTH, generator=torch.Generator().manual_seed(2), requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
            logits = say(rows, table, bias)
        assert logits.dtype == dtype
        for _ in range(2):
            with into_sums([table]):
                logits.float().sin().sum().backward(retain_graph=True)
        found.append((table.grad, bias.grad, rows.grad))
    for one, other in zip(*found, strict=True):
        assert one.dtype == other.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


class Sizes(TorchDispatchMode):
    """Takes down how many numbers every new tensor has."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        found = func(*args, **(kwargs or {}))
        given = {each.data_ptr() for each in args if isinstance(each, Tensor)}
        if isinstance(found, Tensor) and found.data_ptr() not in given:
            self.seen.add(found.numel())
        return found


def test_once_there_is_a_sum_nothing_as_large_as_the_table_is_made():
    """As there is without these: the instrument can see it."""
    seen = []
    for read, say in ((looked_up, product), (plain_read, nn.functional.linear)):
        table, _ = tables()
        walked = said(read, say, torch.tensor([[1, 5]]), False, None)
        for _ in range(2):
            loss, sizes = walked(table, None), Sizes()
            with into_sums([table]), sizes:
                loss.backward()
        seen.append(ROWS * WIDTH in sizes.seen)
    assert seen == [False, True]


def test_a_fault_on_the_way_back_ends_the_summing():
    table, _ = tables()
    with pytest.raises(ZeroDivisionError), into_sums([table]):
        raise ZeroDivisionError
    (slope,) = torch.autograd.grad(product(torch.ones(1, WIDTH).double(), table).sum(), table)
    assert table.grad is None and torch.equal(slope, torch.ones(ROWS, WIDTH).double())


def test_only_the_tables_that_are_named_are_summed():
    """So that a gradient nobody asked for does not grow from step to step."""
    (one, _), (other, _), states = tables(), tables(), torch.ones(1, WIDTH).double().requires_grad_()
    with into_sums([one]):
        (product(states, one).sum() + product(states, other).sum()).backward(inputs=[states, one])
    assert one.grad is not None and other.grad is None and states.grad is not None


def test_a_table_that_was_changed_on_the_way_is_not_taken_for_what_it_was():
    table, _ = tables()
    loss = product(torch.ones(1, WIDTH).double().requires_grad_(), table).sum()
    with torch.no_grad():
        table.add_(1)
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_an_optimiser_sums_what_it_moves_in_place():
    """Nothing as large as the table is made from the second loss of a step on."""
    table, _ = tables(torch.float32)
    update, sizes = AdamW([table], Schedule(1, 1e-3)), Sizes()

    def losses() -> Iterator[Tensor]:
        yield product(torch.ones(2, WIDTH), table).sum()
        with sizes:
            yield product(torch.ones(2, WIDTH), table).square().sum()

    update(losses(), 2)
    assert sizes.seen and ROWS * WIDTH not in sizes.seen
