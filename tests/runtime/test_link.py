"""Connections on loopback: nobody waits for ever, who is gone is known, and no port or thread is left behind."""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("grpc")


from certificates import authority, pair

from dilm.errors import ResourceError, RunError
from dilm.runtime.handshake import Secrets
from dilm.runtime.link import BYE, FULL, READY, WELCOME, Frame, Hall, LostError, again_where_lost, join


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
    (tmp_path / "server.pem").touch()
    with pytest.raises(ResourceError, match=r"server\.key cannot be read"):
        Hall("127.0.0.1:0", 2, b"", Secrets(tmp_path / "server.pem", tmp_path / "server.key"))


def test_over_tls_a_server_is_known_by_its_certificate(tmp_path):
    own = pair(tmp_path, "server")
    with closing(Hall("127.0.0.1:0", 2, b"terms", own)) as hall:
        with join(hall.address, 5, Secrets(trust=own.certificate)) as line:
            frame = next(line.frames)
            assert (frame.kind, frame.body) == (WELCOME, b"terms")
        with pytest.raises(RunError, match="both use TLS or neither"), join(hall.address, 0.5):
            pass
        (tmp_path / "other").mkdir()
        stranger = pair(tmp_path / "other", "server").certificate
        with pytest.raises(RunError, match="vouches for: self"), join(hall.address, 60, Secrets(trust=stranger)):
            pass


@pytest.fixture
def checking(tmp_path: Path):
    """A hall that lets in only those whom `holders` signed for; its own certificate is `server.pem`."""
    holders, own = authority(tmp_path, "holders"), pair(tmp_path, "server")
    with closing(Hall("127.0.0.1:0", 2, b"terms", replace(own, trust=holders.pem))) as hall:
        yield hall, holders, own.certificate


def test_who_shows_a_certificate_of_the_right_authority_is_let_in(checking):
    hall, holders, server = checking
    with join(hall.address, 5, replace(holders.signed("clinic"), trust=server)) as line:
        assert next(line.frames).kind == WELCOME
        line.say(READY)
        assert hall.wait_for(1, 5) == 1


def test_who_shows_none_or_anothers_or_an_old_one_is_refused_at_once_and_told_why(checking, tmp_path: Path):
    hall, holders, server = checking
    (tmp_path / "other").mkdir()
    other = authority(tmp_path / "other", "holders")  # of the same name, which proves nothing
    itself = pair(tmp_path, "itself")
    for shown, why in (
        (Secrets(), "none is shown"),
        (other.signed("clinic"), r"clinic\.pem is none of them"),
        (itself, r"itself\.pem is none of them"),
        (holders.signed("late", days=-1), "or its time is over"),
    ):
        begin = time.monotonic()
        refused = pytest.raises(RunError, match=f"only holders with a certificate.*{why}")
        with refused, join(hall.address, 60, replace(shown, trust=server)):
            pass
        assert time.monotonic() - begin < 20
    with pytest.raises(RunError, match="both use TLS or neither"), join(hall.address, 0.5):
        pass
    assert hall.present() == [] and hall.taken == {}


def test_who_was_there_before_the_server_is_told_as_soon_as_it_listens(tmp_path: Path):
    own, holders, told = pair(tmp_path, "server"), authority(tmp_path, "holders"), queue.Queue()
    with closing(Hall("127.0.0.1:0", 2, b"terms")) as hall:  # whose port is free again
        address = hall.address

    def come() -> None:
        try:
            with join(address, 60, Secrets(trust=own.certificate)):
                pass
        except RunError as fault:
            told.put(str(fault))

    threading.Thread(target=come, daemon=True).start()
    time.sleep(0.5)
    with closing(Hall(address, 2, b"terms", replace(own, trust=holders.pem))):
        assert "none is shown" in told.get(timeout=20)


def test_a_server_that_checks_nobody_lets_in_those_who_show_one(tmp_path: Path):
    own, clinic = pair(tmp_path, "server"), pair(tmp_path, "clinic")
    known = replace(clinic, trust=own.certificate)
    with closing(Hall("127.0.0.1:0", 2, b"terms", own)) as hall, join(hall.address, 5, known) as line:
        assert next(line.frames).kind == WELCOME


def test_files_that_do_not_fit_together_are_named(tmp_path: Path):
    one, other = pair(tmp_path, "one"), pair(tmp_path, "other")
    unfit = [
        (Secrets(one.certificate, other.key), "one.pem and .*other.key are no certificate and its key"),
        (Secrets(one.certificate), "of use together alone"),
        (Secrets(key=one.key), "of use together alone"),
        (replace(one, trust=tmp_path / "none.pem"), "none.pem cannot be read"),
        (replace(one, trust=one.key), "one.key holds no certificate"),
        (Secrets(trust=one.certificate), "the server has none"),
    ]
    for files, said in unfit:
        with pytest.raises(ResourceError, match=said):
            Hall("127.0.0.1:0", 2, b"", files)
    with pytest.raises(ResourceError, match="shown over TLS alone"), join("127.0.0.1:1", 0.1, one):
        pass


def test_a_server_without_tls_is_told_from_none(hall: Hall, tmp_path: Path):
    own = pair(tmp_path, "server")
    with pytest.raises(RunError, match="does not speak TLS"), join(hall.address, 60, Secrets(trust=own.certificate)):
        pass


def test_who_is_refused_by_an_alert_is_told_the_same_as_by_silence(tmp_path: Path):
    own = pair(tmp_path, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate, own.key)
    context.load_verify_locations(own.certificate)
    context.verify_mode = ssl.CERT_REQUIRED

    def refuse(server: socket.socket) -> None:
        with suppress(OSError):
            while line := server.accept()[0]:
                with suppress(ssl.SSLError), context.wrap_socket(line, server_side=True):
                    pass

    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        threading.Thread(target=refuse, args=(server,), daemon=True).start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(RunError, match="none is shown"), join(address, 60, Secrets(trust=own.certificate)):
            pass


def test_a_server_that_ends_in_the_middle_of_a_handshake_is_looked_for_again(tmp_path: Path):
    own = pair(tmp_path, "server")
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"

        def end() -> None:
            line, _ = server.accept()
            line.recv(65536)  # the greeting
            line.close()
            server.close()

        threading.Thread(target=end, daemon=True).start()
        with pytest.raises(RunError, match="No server answered"), join(address, 1, Secrets(trust=own.certificate)):
            pass
