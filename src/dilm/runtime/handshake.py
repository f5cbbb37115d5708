"""TLS between processes: PEM files that fit together, and who is told apart from an absent server by a handshake.

gRPC says of all that goes wrong on the way that nobody answered, and tries again. One handshake beforehand tells why.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dilm.errors import ResourceError, RunError

SECONDS, TRIES, PAUSE = 5.0, 3, 0.3
"""To wait for a word, and how often a connection that ends at once is tried before it counts as refused."""


@dataclass(frozen=True)
class Secrets:
    """PEM files for TLS: one's own certificate and its key, and the authority that the other side's is signed by.

    All empty: plain text. A server with a `trust` lets in only clients that show a certificate of that authority.
    """

    certificate: Path | None = None
    key: Path | None = None
    trust: Path | None = None


def served(secrets: Secrets) -> None:
    """Raise ResourceError where a server's files are unreadable, or incomplete."""
    if secrets.trust and not secrets.certificate:
        raise ResourceError(
            "Over plain text nobody can show a certificate, and the server has none.", "Name --certificate and --key."
        )
    _context(secrets, ssl.PROTOCOL_TLS_SERVER)


def greet(address: str, seconds: float, secrets: Secrets) -> None:
    """Shake hands over TLS with whoever comes to listen at HOST:PORT in this time; nobody may.

    Raises RunError where the two will never agree, ResourceError for files of one's own that are unfit.
    """
    if (secrets.certificate or secrets.key) and not secrets.trust:
        raise ResourceError("A certificate is shown over TLS alone.", "Name the server's authority with --trust.")
    if not secrets.trust:
        return
    context, deadline, refused = _context(secrets, ssl.PROTOCOL_TLS_CLIENT), time.monotonic() + seconds, 0
    context.set_alpn_protocols(["h2"])
    while refused < TRIES:
        welcome = _welcome(address, context, secrets)
        refused += welcome is False
        if welcome or time.monotonic() > deadline:
            return
        time.sleep(PAUSE)
    raise _refused(address, secrets)


def _refused(address: str, secrets: Secrets) -> RunError:
    own = secrets.certificate
    shown = f"{own.name} is none of them, or its time is over" if own else "none is shown"
    return RunError(
        f"The server at {address} hangs up after the handshake: it lets in only holders with a certificate that its "
        f"authority signed, and {shown}.",
        "Ask who runs it to sign yours, and name it with --certificate and --key.",
    )


def _welcome(address: str, context: ssl.SSLContext, secrets: Secrets) -> bool | None:
    """Whether the server speaks on after the handshake; None where nobody is there to be asked."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        with (
            socket.create_connection((host, int(port)), timeout=SECONDS) as raw,
            context.wrap_socket(raw, server_hostname=host) as line,
        ):
            return _speaks(line)
    except ssl.SSLCertVerificationError as fault:
        raise RunError(
            f"The server at {address} is not one that {secrets.trust} vouches for: {fault.verify_message}.",
            "Ask who runs it for its authority's certificate, and use an address that the server's certificate names.",
        ) from fault
    except ssl.SSLEOFError:
        return None  # it is just going away
    except ssl.SSLError as fault:
        raise RunError(
            f"Whoever listens at {address} does not speak TLS as this does ({fault.reason}).",
            "Check the address, and whether both use TLS or neither.",
        ) from fault
    except OSError:
        return None


def _speaks(line: ssl.SSLSocket) -> bool:
    """Whether anything comes: gRPC's server begins with its settings. Who is refused is told so, or cut off."""
    try:
        return line.recv(1) != b""
    except (ssl.SSLError, ConnectionError):
        return False


def read(file: Path | None) -> bytes:
    """A PEM file. Raises ResourceError where it cannot be read."""
    try:
        return Path(file or "").read_bytes()
    except OSError as fault:
        raise ResourceError(f"{file or 'A key'} cannot be read ({type(fault).__name__}).", "Name PEM files.") from fault


def _context(secrets: Secrets, side: int) -> ssl.SSLContext:
    """With all files read. Raises ResourceError that names one that cannot be."""
    context, own, trust = ssl.SSLContext(side), secrets.certificate, secrets.trust
    if bool(own) != bool(secrets.key):
        raise ResourceError("A certificate and its key are of use together alone.", "Name --certificate and --key.")
    for file in (own, secrets.key, trust):
        _ = file and read(file)
    if trust:
        with _told(f"{trust} holds no certificate"):
            context.load_verify_locations(trust)
    if own:
        with _told(f"{own} and {secrets.key} are no certificate and its key, free of a password"):
            context.load_cert_chain(own, secrets.key, _no_password)
    return context


@contextmanager
def _told(problem: str) -> Iterator[None]:
    try:
        yield
    except (ssl.SSLError, ValueError) as fault:
        raise ResourceError(f"{problem}.", "Name PEM files.") from fault


def _no_password() -> str:
    """Nobody is asked on the terminal."""
    return ""
