"""Every pool that sums numbers is held to one thread, and given back as it was."""

from __future__ import annotations

from threadpoolctl import threadpool_info, threadpool_limits

from dilm.numerics.threads import one_thread


def threads() -> set[int]:
    """Of all pools but that of torch, which has no part in what is held."""
    return {pool["num_threads"] for pool in threadpool_info() if "torch" not in pool["filepath"]}


def test_one_thread_lasts_as_long_as_it_is_asked_for():
    with one_thread():
        assert threads() == {1}
    with threadpool_limits(2):
        before = threads()
        with one_thread():
            assert threads() == {1}
        assert threads() == before == {2}
