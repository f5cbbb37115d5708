"""One thread for scikit-learn and NumPy: several add their sums in the order in which they finish."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from threadpoolctl import ThreadpoolController


def one_thread() -> AbstractContextManager[Any]:
    """While it lasts, the same digits every time; and small work, for which several threads are slower, is faster."""
    return _pools().limit(limits=1)


@cache
def _pools() -> ThreadpoolController:
    """The pools of threads that they use. Looking for them takes as long as fitting a small probe: it is done once."""
    import sklearn.cluster
    import sklearn.linear_model  # noqa: F401, both before the search: what they load later would not be found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
