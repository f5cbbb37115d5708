"""A few processes that answer one: `Hall` is where they come, `join` how. Frames of bytes, both ways, over gRPC.

A frame is a kind, which is one word, and a body. Whoever leaves, is lost or is too slow is known as gone at once, or
when its time is up; nobody waits for ever.
"""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from dilm.errors import ResourceError, RunError
from dilm.runtime.handshake import Secrets, greet, read, served

METHOD = ("dilm.Federation", "Join")
OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.so_reuseport", 0),  # else a second server takes half of the first one's clients
    ("grpc.keepalive_time_ms", 20_000),  # a cable that was pulled is noticed
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
]
EXTRA = 4
"""Connections beside the seats, to be told that all are taken."""
GRACE, PAUSE, A_WHILE, LEAST = 2.0, 0.2, 1.0, 0.1
"""Seconds: for a last word, before another try, after which a connection was one, and that a try has."""
HELLO, WELCOME, READY, FULL, BYE = "hello", "welcome", "ready", "full", "bye"
"""Kinds of frames that are about coming and going; all others are the caller's."""


@dataclass(frozen=True)
class Frame:
    """One message."""

    kind: str
    body: bytes = b""

    def packed(self) -> bytes:
        return self.kind.encode() + b"\n" + self.body

    @classmethod
    def of(cls, data: bytes) -> Frame:
        kind, _, body = data.partition(b"\n")
        return cls(kind.decode("ascii", "replace"), body)


@dataclass
class Seat:
    """One who joined, as the server sees them."""

    number: int
    out: queue.Queue[Frame | None] = field(default_factory=queue.Queue)
    back: queue.Queue[Frame | None] = field(default_factory=queue.Queue)
    """None: gone."""
    ready: bool = False
    gone: bool = False


PLAIN, LAST_WORD = Secrets(), Frame(BYE)


class Hall:
    """A server with so many seats. `welcome` is the body of what everybody is told first."""

    def __init__(self, address: str, seats: int, welcome: bytes, secrets: Secrets = PLAIN) -> None:
        """Listen. Raises RunError for an address that cannot be listened at, ResourceError for unfit PEM files."""
        grpc = _grpc()
        served(secrets)
        self.seats, self.welcome = seats, welcome
        self.taken: dict[int, Seat] = {}
        self.change = threading.Condition()
        self._count = 0
        self.server = grpc.server(ThreadPoolExecutor(seats + EXTRA), options=OPTIONS)
        handler = grpc.stream_stream_rpc_method_handler(self._attend)
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(METHOD[0], {METHOD[1]: handler}),))
        self.port = self._bind(grpc, checked(address), secrets)
        self.address = f"{address.rpartition(':')[0]}:{self.port}"
        self.server.start()

    def _bind(self, grpc: Any, address: str, secrets: Secrets) -> int:
        try:
            if not secrets.certificate:
                port = self.server.add_insecure_port(address)
            else:
                port = self.server.add_secure_port(address, _own(grpc, secrets))
        except RuntimeError:
            port = 0
        if not port:
            raise RunError(f"Nobody can listen at {address}.", "Is another server there? Choose another --address.")
        return port

    def close(self, word: Frame = LAST_WORD) -> None:
        """Tell everybody, and leave no port open and no thread behind."""
        with self.change:
            all_seats = list(self.taken.values())
        for seat in all_seats:
            seat.out.put(word)
            seat.out.put(None)
        self.server.stop(GRACE).wait()

    def present(self) -> list[Seat]:
        """Those who are ready and here, in the order in which they came."""
        with self.change:
            return [seat for seat in self.taken.values() if seat.ready and not seat.gone]

    def wait_for(self, count: int, seconds: float) -> int:
        """Until so many are here, or the time is up; returns how many there are."""
        deadline = time.monotonic() + seconds
        with self.change:
            while len(self.present()) < count and (left := deadline - time.monotonic()) > 0:
                self.change.wait(left)
            return len(self.present())

    def ask(self, frames: Mapping[int, Frame], seconds: float) -> dict[int, Frame]:
        """Send each its frame and wait for all answers. Who gives none in this time is sent away."""
        asked = {number: self.taken[number] for number in frames if number in self.taken}
        for number, seat in asked.items():
            seat.out.put(frames[number])
        deadline, found = time.monotonic() + seconds, {}
        for number, seat in asked.items():
            with suppress(queue.Empty):
                if answer := seat.back.get(timeout=max(deadline - time.monotonic(), 0.001)):
                    found[number] = answer
                    continue
            self._leave(seat)
        return found

    def _attend(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        """One connection, from hello to the end: what goes out is yielded, what comes in is put on the seat."""
        seat = self._sit()
        if seat is None:
            yield Frame(FULL).packed()
            return
        context.add_callback(lambda: self._leave(seat))
        threading.Thread(target=self._listen, args=(seat, requests), daemon=True).start()
        yield Frame(WELCOME, self.welcome).packed()
        while (frame := seat.out.get()) is not None:
            yield frame.packed()

    def _sit(self) -> Seat | None:
        with self.change:
            here = [seat for seat in self.taken.values() if not seat.gone]
            if len(here) >= self.seats:
                return None
            self._count += 1
            seat = self.taken[self._count] = Seat(self._count)
            return seat

    def _listen(self, seat: Seat, requests: Iterator[bytes]) -> None:
        with suppress(Exception):  # however the connection ended
            for data in requests:
                frame = Frame.of(data)
                if frame.kind == READY:
                    with self.change:
                        seat.ready = True
                        self.change.notify_all()
                elif frame.kind != HELLO:
                    seat.back.put(frame)
        self._leave(seat)

    def _leave(self, seat: Seat) -> None:
        with self.change:
            seat.gone = True
            self.taken.pop(seat.number, None)
            self.change.notify_all()
        seat.back.put(None)
        seat.out.put(None)


@dataclass
class Line:
    """One's own end of a connection."""

    frames: Iterator[Frame]
    out: queue.Queue[bytes | None]

    def say(self, kind: str, body: bytes = b"") -> None:
        self.out.put(Frame(kind, body).packed())


class LostError(Exception):
    """The server went away in the middle."""


@contextmanager
def join(address: str, seconds: float, secrets: Secrets = PLAIN) -> Iterator[Line]:
    """A connection to the hall there. Raises RunError where none can be had in this time, or will ever be.

    The frames end in LostError where the server goes away without a word.
    """
    grpc = _grpc()
    deadline = time.monotonic() + seconds
    greet(checked(address), seconds, secrets)
    with _channel(grpc, address, secrets) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=max(deadline - time.monotonic(), LEAST))
        except grpc.FutureTimeoutError as fault:
            raise RunError(
                f"No server answered at {address} for {seconds:g} seconds.",
                "Check the address, whether the server runs there, and whether both use TLS or neither.",
            ) from fault
        out: queue.Queue[bytes | None] = queue.Queue()
        out.put(Frame(HELLO).packed())
        call = channel.stream_stream(f"/{METHOD[0]}/{METHOD[1]}")(iter(out.get, None))
        try:
            yield Line(_frames(grpc, call), out)
        finally:
            out.put(None)
            call.cancel()


def _frames(grpc: Any, call: Any) -> Iterator[Frame]:
    try:
        for data in call:
            yield Frame.of(data)
    except grpc.RpcError as fault:
        raise LostError from fault
    raise LostError


def _channel(grpc: Any, address: str, secrets: Secrets) -> Any:
    if not secrets.trust:
        return grpc.insecure_channel(address, OPTIONS)
    own = (read(secrets.key), read(secrets.certificate)) if secrets.certificate else ()
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(read(secrets.trust), *own), OPTIONS)


def _own(grpc: Any, secrets: Secrets) -> Any:
    """A server's credentials; with a `trust`, clients must show a certificate that it signed."""
    pair = read(secrets.key), read(secrets.certificate)
    if not secrets.trust:
        return grpc.ssl_server_credentials([pair])
    return grpc.ssl_server_credentials([pair], read(secrets.trust), require_client_auth=True)


def checked(address: str) -> str:
    """HOST:PORT as it is. Raises RunError for anything else."""
    if not re.fullmatch(r"\S+:\d{1,5}", address) or int(address.rpartition(":")[2]) > 65535:
        raise RunError(f"{address!r} is no address.", "Write HOST:PORT, such as 127.0.0.1:8440.")
    return address


def again_where_lost(attempt: Callable[[float], None], seconds: float) -> None:
    """Call until it returns, with the seconds in which it may find the server; a LostError is another try.

    Raises RunError where the server does not come back for so long.
    """
    deadline = time.monotonic() + seconds
    while True:
        begun = time.monotonic()
        try:
            return attempt(max(deadline - begun, 0.1))
        except LostError as fault:
            now = time.monotonic()
            if now > deadline and now - begun < seconds:
                raise RunError("The server hangs up again and again.", "Ask who runs it; then join again.") from fault
            deadline = max(deadline, now + seconds) if now - begun > A_WHILE else deadline
            time.sleep(PAUSE)


def _grpc() -> Any:
    try:
        import grpc
    except ImportError as fault:
        raise ResourceError(
            "Federated runs need gRPC, which comes with Flower.", "Run `pip install 'dilm[federate]'`."
        ) from fault
    return grpc
