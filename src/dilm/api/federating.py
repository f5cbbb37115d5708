"""Distilling together: `federate` on the server, which owns the run folder, and `join` with each data holder."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dilm.api.begun import distill_run, open_run, recipe_for
from dilm.errors import DilmError, RecipeError
from dilm.runs import Run

if TYPE_CHECKING:
    from dilm.build import Bench
    from dilm.distilled import Distilled
    from dilm.runtime.handshake import Secrets

WITH_HOLDERS = ("load", "pretrain", "embed", "fit", "match")
"""Stages that need the holders, and those between."""


def federate(
    source: str | Path,
    address: str,
    clients: int,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    noise: str = "central",
    wait: float = 600.0,
    timeout: float = 600.0,
    certificate: str | Path | None = None,
    key: str | Path | None = None,
    holders_ca: str | Path | None = None,
    **options: Any,
) -> Distilled:
    """Serve a run whose rows stay with `clients` data holders, which join at `address` (HOST:PORT).

    `source` is the server's own: public rows of the same task, to be scored on. `wait` are seconds for holders to come,
    `timeout` those for one answer; `options` are those of `recipe_for`. `certificate` and `key` are the server's, PEM
    files, for TLS; only who shows a certificate that `holders_ca` signed may join, where it is named.
    """
    settings = {**(options.pop("settings", None) or {}), "federation.clients": clients, "federation.noise": noise}
    run = open_run(recipe_for(source, settings=settings, **options), out, resume)
    serve(run, address, (wait, timeout), pem_files(certificate, key, holders_ca), _told)
    return distill_run(run)


def serve(
    run: Run,
    address: str,
    patience: tuple[float, float],
    secured: Secrets,
    tell: Callable[[str], None],
) -> None:
    """Do what takes holders, as far as it is not done; whatever happens, no port stays open and no holder waits on."""
    from dilm import pipeline

    if not run.recipe.federation.clients:
        raise RecipeError("No data holders are expected.", "Say how many with --clients, or use `dilm distill`.")
    if pipeline.states(run)["match"] == "done":
        return
    with pipeline.at_work(run) as bench, _hall(bench, address, patience, secured, tell):
        for name in WITH_HOLDERS:
            pipeline.run_stage(bench, name)


@contextmanager
def _hall(bench: Bench, address: str, patience: tuple, secured: Secrets, tell: Callable[[str], None]) -> Iterator[None]:
    """Within, holders can come, and stages can ask them."""
    from dilm import federated, journal
    from dilm.privacy.federation import threat_model
    from dilm.privacy.secagg import prepare
    from dilm.runtime.link import Frame, Hall

    prepare()
    with bench.gate.opened(journal.FINDINGS):
        terms = federated.terms(bench.recipe, bench.task)
    for line in threat_model(terms):
        tell(line)
    for line in protection(address, secured):
        tell(line)
    hall = Hall(address, terms.clients, terms.text().encode(), secured)
    tell(f"Waiting for {terms.clients} holders: dilm federate join FILE --address {hall.address}")
    word = "it was interrupted"
    try:
        bench.holders = federated.Federation(hall, terms, federated.Patience(*patience), tell)
        yield
        word = ""
    except DilmError as fault:
        word = type(fault).__name__
        raise
    finally:
        bench.holders = None
        hall.close(Frame("bye", word.encode()))


def join(
    data: str | Path,
    address: str,
    *,
    text: str | tuple[str, ...] = (),
    label: str | None = None,
    drop_empty: bool = False,
    wait: float = 600.0,
    trust: str | Path | None = None,
    certificate: str | Path | None = None,
    key: str | Path | None = None,
    device: str | None = None,
    epsilon: float = 0.0,
) -> dict[str, Any]:
    """Answer the server at `address` with sums over the rows of `data`, which stay here; returns how many were asked.

    `wait` are the seconds in which a server must be found, or come back. `trust` is the authority behind its
    certificate, `certificate` and `key` are your own, where it asks who you are: PEM files. With `epsilon`, a server
    that announces more, or no differential privacy, is refused.
    """
    from dilm.holding import Own, hold

    columns = (text,) if isinstance(text, str) else tuple(text)
    own = Own(str(data), columns, label or "", drop_empty, device or "auto", epsilon)
    return hold(own, address, wait, _told, pem_files(certificate, key, trust))


def pem_files(certificate: str | Path | None, key: str | Path | None, trust: str | Path | None) -> Secrets:
    """PEM files for TLS: one's own certificate and key, and the authority that the other side's is signed by."""
    from dilm.runtime.handshake import Secrets

    return Secrets(*(Path(file) if file else None for file in (certificate, key, trust)))


def protection(address: str, secured: Secrets) -> Iterator[str]:
    """What a server's connections hide, and who may join: what is not so is said."""
    if not secured.certificate and not _is_loopback(address):
        yield "Without --certificate whoever is on the way can read what is sent, and change it: use TLS."
    if secured.trust:
        yield f"Only holders with a certificate that {secured.trust.name} signed are let in."
    else:
        yield "Nobody checks who joins: whoever reaches the port can take a seat. Name who may with --holders-ca."


def _told(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
