"""Connections on loopback: nobody waits for ever, who is gone is known, and no port or thread is left behind."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

import pytest

pytest.importorskip("grpc")

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dilm.errors import ResourceError, RunError
from dilm.runtime.link import BYE, FULL, READY, WELCOME, Frame, Hall, LostError, Secrets, again_where_lost, join


def echo(address: str, heard: queue.Queue, until: Callable[[bytes], bool] = lambda body: False) -> threading.Thread:
    """One who joins, says everything back, and leaves at a word."""

    def attend() -> None:
        try:
            with join(address, 5) as line:
                for frame in line.frames:
                    heard.put(frame.kind)
                    if frame.kind == WELCOME:
                        line.say(READY)
                    elif frame.kind in (BYE, FULL) or until(frame.body):
                        return
                    else:
                        line.say(frame.kind, frame.body * 2)
        except LostError:
            heard.put("lost")

    thread = threading.Thread(target=attend, daemon=True)
    thread.start()
    return thread


@pytest.fixture
def hall():
    with closing(Hall("127.0.0.1:0", 2, b"terms")) as made:
        yield made


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_everybody_is_asked_and_told_when_it_is_over(hall: Hall):
    heard: queue.Queue = queue.Queue()
    threads = [echo(hall.address, heard) for _ in range(2)]
    assert hall.wait_for(2, 5) == 2
    large = b"x" * 10_000_000  # more than gRPC's own limit
    answers = hall.ask({seat.number: Frame("say", large) for seat in hall.present()}, 5)
    assert [each.body for each in answers.values()] == [large * 2] * 2
    hall.close()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
    assert [heard.get_nowait() for _ in range(heard.qsize())].count(BYE) == 2
    assert is_free(hall.port)


def test_who_leaves_is_gone_at_once_and_another_may_come(hall: Hall):
    heard: queue.Queue = queue.Queue()
    stays, leaves = echo(hall.address, heard), echo(hall.address, heard, lambda body: body == b"now")
    assert hall.wait_for(2, 5) == 2
    begin = time.monotonic()
    answers = hall.ask({seat.number: Frame("say", b"now") for seat in hall.present()}, 60)
    assert time.monotonic() - begin < 10 and len(answers) == 1 and len(hall.present()) == 1
    leaves.join(5)
    echo(hall.address, heard)
    assert hall.wait_for(2, 5) == 2
    assert stays.is_alive()


def test_who_is_too_slow_is_sent_away(hall: Hall):
    heard: queue.Queue = queue.Queue()
    echo(hall.address, heard, lambda body: bool(time.sleep(1.5)))
    assert hall.wait_for(1, 5) == 1
    assert hall.ask({hall.present()[0].number: Frame("say")}, 0.2) == {}
    assert hall.present() == []


def test_who_comes_too_late_is_told_that_all_seats_are_taken(hall: Hall):
    heard: queue.Queue = queue.Queue()
    for _ in range(2):
        echo(hall.address, heard)
    assert hall.wait_for(2, 5) == 2
    late: queue.Queue = queue.Queue()
    echo(hall.address, late).join(5)
    assert late.get(timeout=5) == FULL


def test_waiting_ends_when_the_time_is_up(hall: Hall):
    begin = time.monotonic()
    assert hall.wait_for(1, 0.2) == 0
    assert time.monotonic() - begin < 5


def test_two_servers_do_not_share_an_address(hall: Hall):
    with pytest.raises(RunError, match="Nobody can listen"):
        Hall(hall.address, 2, b"")


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:http"])
def test_what_is_no_address_is_said_at_once(address: str):
    with pytest.raises(RunError, match="is no address"), join(address, 5):
        pass
    with pytest.raises(RunError, match="is no address"):
        Hall(address, 2, b"")


def test_where_no_server_answers_nobody_waits_for_ever(hall: Hall):
    hall.close()
    begin = time.monotonic()
    with pytest.raises(RunError, match="No server answered"), join(hall.address, 0.3):
        pass
    assert time.monotonic() - begin < 5


def test_a_server_that_went_away_without_a_word_is_looked_for_again():
    tries: list[float] = []

    def attempt(seconds: float) -> None:
        tries.append(seconds)
        if len(tries) < 3:
            raise LostError

    again_where_lost(attempt, 5)
    assert len(tries) == 3 and all(0 < each <= 5 for each in tries)
    with pytest.raises(RunError, match="hangs up again and again"):
        again_where_lost(lambda seconds: (_ for _ in ()).throw(LostError), 0.3)


def test_keys_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(ResourceError, match=r"server\.key cannot be read"):
        Hall("127.0.0.1:0", 2, b"", Secrets(tmp_path / "server.pem", tmp_path / "server.key"))


def test_over_tls_a_server_is_known_by_its_certificate(tmp_path):
    certificate, key = self_signed(tmp_path)
    with closing(Hall("127.0.0.1:0", 2, b"terms", Secrets(certificate, key))) as hall:
        with join(hall.address, 5, Secrets(trust=certificate)) as line:
            frame = next(line.frames)
            assert (frame.kind, frame.body) == (WELCOME, b"terms")
        with pytest.raises(RunError, match="both use TLS or neither"), join(hall.address, 0.5):
            pass
        (tmp_path / "other").mkdir()
        stranger, _ = self_signed(tmp_path / "other")
        with pytest.raises(RunError, match="No server answered"), join(hall.address, 0.5, Secrets(trust=stranger)):
            pass


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, and its key."""
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dilm")]), datetime.now(timezone.utc)
    key = ec.generate_private_key(ec.SECP256R1())
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    (folder / "server.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "server.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "server.pem", folder / "server.key"
