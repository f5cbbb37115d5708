"""Federated runs on loopback: real processes, one that is lost, the same result as on one machine, and clear ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

pytest.importorskip("flwr")

from certificates import authority, pair
from federated_runs import (
    HOLDERS,
    ROWS,
    an_address,
    an_intruder,
    done_in_one_room,
    dying,
    joined,
    rows_of,
    served,
    shows,
    to_serve,
    two_holders,
    write_all,
)
from launching import end
from typer.testing import CliRunner

from dilm import api, federated, private
from dilm.api.federating import pem_files, protection
from dilm.build import Bench
from dilm.cli import app
from dilm.data.jsonl import read_dataset
from dilm.distillation.fit import Lessons, held_out_nll
from dilm.distillation.private_fit import fit_privately
from dilm.distilled import Distilled
from dilm.errors import DataError, ModelError, PrivacyError, RunError
from dilm.holding import Answers, Own, hold, own_rows, unpack
from dilm.journal import OWN_CODE
from dilm.models.snapshots import Vectors
from dilm.privacy.dpsgd import Bounds, DPAdamW, row_by_row
from dilm.privacy.federation import Terms
from dilm.privacy.noise import Keyed, Secure
from dilm.privacy.released import clipped_gradients
from dilm.runtime.link import PLAIN, Frame, Hall
from dilm.runtime.optimize import AdamW, Schedule
from dilm.stages.private_fit import prepared, trained
from dilm.types import Dataset

EPSILON = 200.0


@pytest.fixture(scope="module")
def folder(own_cache: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("federated")


@pytest.fixture(scope="module")
def said(folder: Path) -> dict[str, Any]:
    return write_all(folder)


@pytest.fixture(scope="module")
def processes(said: dict[str, Any], folder: Path) -> tuple[Path, list[Any]]:
    """Three holders, each a process of its own, with noise of their own; one is killed in a round of fit.

    The server lets in only those whom an authority signed for, which a fourth holder is not.
    """
    address, out, before = an_address(), folder / "run", psutil.Process().children(recursive=True)
    words = ["--epsilon", str(EPSILON), "--noise", "distributed", "--wait", "100", "--timeout", "60"]
    known, own = authority(folder, "holders"), pair(folder, "server")
    words += ["--certificate", str(own.certificate), "--key", str(own.key), "--holders-ca", str(known.pem)]
    lost = known.signed("lost")
    holders = [
        joined(folder, 0, address, "--json", *shows(folder, known, "first")),
        joined(folder, 1, address, *shows(folder, known, "second")),
        dying(folder, 2, address, 2, own.certificate, lost.certificate, lost.key),
    ]
    with an_intruder(folder, address) as refused:
        server = CliRunner().invoke(app, [*to_serve(said, address), "--out", str(out), *words], catch_exceptions=False)
    ended = end(holders)
    with socket.socket() as probe:
        assert probe.connect_ex(tuple_of(address)) != 0  # no port is left open
    assert psutil.Process().children(recursive=True) == before  # and no daemon
    return out, [server, *ended, *refused]


def tuple_of(address: str) -> tuple[str, int]:
    host, _, port = address.partition(":")
    return host, int(port)


def test_three_processes_distil_together_though_one_is_lost_in_the_middle_of_a_round(processes):
    out, (server, first, second, lost, _) = processes
    assert server.exit_code == 0, server.stderr
    assert (first.code, second.code, lost.code) == (0, 0, -signal.SIGKILL), first.stderr + second.stderr
    manifest = api.existing_run(out).stage("fit").manifest or {}
    assert manifest["fewest_holders"] == 2 and manifest["steps"] == 4
    assert "was lost" in server.stderr
    assert json.loads(first.stdout) == {"rows": ROWS, "answered": 1 + 4 + 1}
    product = Distilled.load(out / "distilled")
    assert len(product.data) == 4


def test_a_holder_whom_nobody_signed_for_is_refused_and_told_why(processes):
    _, (server, *_, refused) = processes
    assert isinstance(refused, RunError)
    assert "lets in only holders with a certificate" in refused.problem and "stranger.pem is none of" in refused.problem
    assert "Only holders with a certificate that holders.pem signed are let in." in server.stderr


def test_both_sides_are_told_the_threat_model_when_they_begin(processes):
    _, (server, first, *_) = processes
    for told in (server.stderr, first.stderr):
        assert "curious but follow the protocol" in told and "adds its share of the noise before masking" in told


def test_the_ledger_counts_a_federated_run_and_all_papers_say_so(processes):
    out, _ = processes
    product = Distilled.load(out / "distilled").provenance
    spend = product.spend
    assert 0 < spend["epsilon"] <= EPSILON and spend["unit"] == private.UNITS[False]
    assert spend["delta"] == pytest.approx((HOLDERS * ROWS) ** -1.2)
    assert {each["what"].split(" ")[0]: each["steps"] for each in spend["mechanisms"]} == {"fit": 4, "match": 1}
    for said_there in (product.privacy, (out / "report.html").read_text("utf-8")):
        assert "rows stayed with 3 data holders" in said_there and "distributed noise" in said_there
    audit = json.loads((out / "audit" / "audit.json").read_text("utf-8"))
    assert audit["verdict"]["badge"] == "Nothing was tested" and "data holders" in audit["untested"][0]
    assert api.verify(out)["faults"] == []
    assert "public rows of the server" in (out / "report.html").read_text("utf-8")


def test_a_federated_run_that_its_budget_does_not_hold_is_not_begun(processes, tmp_path: Path):
    out = Path(shutil.copytree(processes[0], tmp_path / "copy"))
    before = (out / "privacy.json").read_bytes()
    answer = CliRunner().invoke(app, ["fit", str(out), "--set", "fit.lr=0.02"], catch_exceptions=False)
    assert answer.exit_code == 2 and "beyond its budget" in answer.stderr
    assert (out / "privacy.json").read_bytes() == before and (out / "fit" / "manifest.json").exists()


def test_no_row_of_a_holder_is_in_what_the_server_wrote(processes, folder: Path):
    """Nor in its memory of the run: files, models, journal. The words are few, so whole rows are looked for."""
    out, _ = processes
    public = (folder / "server.csv").read_text("utf-8") + (out / "generate" / "dilm-0.jsonl").read_text("utf-8")
    rows = {line.rpartition(",")[0] for at in range(HOLDERS) for line in lines_of(folder / f"holder-{at}.csv")}
    secret = [row.encode() for row in rows if row not in public]
    assert secret
    for file in (each for each in out.rglob("*") if each.is_file()):
        data = file.read_bytes()
        assert not [row for row in secret if row in data], file.name


def lines_of(file: Path) -> list[str]:
    return file.read_text("utf-8").splitlines()[1:]


@pytest.fixture(scope="module")
def plain(said: dict[str, Any], folder: Path) -> Path:
    """A run without noise, everybody in this process."""
    out = folder / "plain"
    settings = said["settings"] | {"federation.clients": HOLDERS}
    run = api.open_run(api.recipe_for(**(said | {"settings": settings})), out)
    done_in_one_room(run, folder)
    return out


@pytest.fixture
def pooled(plain: Path, folder: Path) -> tuple[Bench, Dataset]:
    """What one machine with everybody's rows would begin with."""
    bench = Bench(api.existing_run(plain), OWN_CODE)
    terms = federated.terms(bench.recipe, bench.task)
    return bench, Dataset(bench.task, [row for part in rows_of(folder, terms) for row in part])


def test_fit_with_holders_is_fit_on_one_machine(pooled: tuple[Bench, Dataset]):
    bench, rows = pooled
    wanted = bench.recipe.fit
    generator = prepared(bench.generator("pretrain"), wanted.name_classes, bench.recipe.dp.trains)
    before = [each.detach().clone() for each in trained(generator)]
    schedule = Schedule(wanted.steps, wanted.lr, wanted.warmup, wanted.weight_decay, wanted.clip)
    adam = AdamW(trained(generator), schedule)
    update = DPAdamW(adam, Bounds(bench.recipe.dp.clip, 0.0, len(rows)), Keyed(b""), row_by_row)
    lessons = Lessons(rows, wanted.batch, wanted.contrast, bench.recipe.seed)
    for _ in fit_privately(generator, lessons, update, lambda step: range(len(rows)), range(wanted.steps)):
        pass
    theirs = trained(prepared(bench.generator("fit"), False, bench.recipe.dp.trains))
    apart, moved = distance(trained(generator), theirs), distance(trained(generator), before)
    assert moved > 1 and apart < 1e-2 * moved  # AdamW divides by gradients, however small, and so by their rounding
    mine, other = (held_out_nll(each, rows) for each in (generator, bench.generator("fit")))
    assert mine == pytest.approx(other, abs=1e-4)


def distance(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> float:
    return sum(float((mine - other).detach().square().sum()) for mine, other in zip(ours, theirs, strict=True)) ** 0.5


def test_the_target_of_holders_is_that_of_one_machine(pooled: tuple[Bench, Dataset], plain: Path):
    bench, rows = pooled
    (kept,) = (plain / "match" / "released").iterdir()
    sums, learner = Vectors(kept), bench.learner()
    bank = bench.aged(learner, federated_ageing(bench), 1)
    learner.restore(bank.bank["0.0"])
    for condition in rows.task.conditions:
        mine = clipped_gradients(learner, rows.of(condition).examples, bench.recipe.dp.target_clip)
        assert mine.norm() > 1
        torch.testing.assert_close(sums[f"0.{0}.{condition}"], mine, atol=1e-4, rtol=0)


def federated_ageing(bench: Bench):
    from dilm.runtime.seeding import derive
    from dilm.stages.private_match import grown_without_real_rows

    with bench.gate.opened(OWN_CODE):
        return grown_without_real_rows(bench, bench.ageing(derive(0, "lives")))


def test_without_noise_it_says_that_nothing_is_promised(plain: Path):
    said_there = api.existing_run(plain).stage("fit").manifest or {}
    assert said_there["privacy"] == {} and not (plain / "privacy.json").exists()
    recipe = api.existing_run(plain).recipe
    assert federated.statement(recipe, {}).startswith("no differential privacy")


def test_the_numbers_of_rows_are_known_in_sum_alone(plain: Path):
    manifest = api.existing_run(plain).stage("load").manifest or {}
    assert manifest["federation"] == {"clients": HOLDERS, "noise": "central", "rows": HOLDERS * ROWS}


def test_a_finished_federation_needs_no_holder_any_more(plain: Path):
    run = api.existing_run(plain)
    api.serve(run, an_address(), (0.1, 1), PLAIN, lambda line: None)  # returns at once
    api.run_stage(run, "generate")


def test_a_server_says_at_the_start_what_it_does_not_check(tmp_path: Path):
    checks = pem_files("server.pem", "server.key", tmp_path / "holders.pem")
    for address, secured, said_then in (
        ("127.0.0.1:1", PLAIN, ["Nobody checks who joins"]),
        ("[::1]:1", PLAIN, ["Nobody checks who joins"]),
        ("10.1.2.3:1", PLAIN, ["use TLS", "Nobody checks who joins"]),
        ("10.1.2.3:1", replace(checks, trust=None), ["Nobody checks who joins"]),
        ("10.1.2.3:1", checks, ["Only holders with a certificate that holders.pem signed"]),
    ):
        told = list(protection(address, secured))
        assert len(told) == len(said_then) and all(part in line for part, line in zip(said_then, told, strict=True))


def test_a_stage_without_holders_says_who_could_bring_them(said: dict[str, Any], tmp_path: Path):
    settings = said["settings"] | {"federation.clients": HOLDERS}
    with pytest.raises(RunError, match=r"dilm federate serve"):
        api.distill(**(said | {"settings": settings}), out=tmp_path / "run")


def test_too_few_holders_end_the_run_after_the_wait(said: dict[str, Any], folder: Path, tmp_path: Path):
    address = an_address()
    begin = time.monotonic()
    expected = pytest.raises(RunError, match="2 of 3 holders are here, and 3 are needed")
    with expected, two_holders(folder, address):
        api.federate(address=address, clients=3, out=tmp_path / "run", wait=4, **said)
    assert time.monotonic() - begin < 60


@pytest.fixture
def terms(plain: Path) -> Terms:
    bench = Bench(api.existing_run(plain), OWN_CODE)
    return federated.terms(bench.recipe, bench.task)


MISFITS = {
    "text,label\nfine,maybe\ndull,no\n": "does not announce: 'maybe'. It announces 'no', 'yes'",
    "body,label\nfine,yes\n": "has no column 'text'",
    "text,label\n": "has no rows",
}


@pytest.mark.parametrize("rows", MISFITS)
def test_rows_that_do_not_fit_are_refused_before_anything_is_answered(rows: str, terms: Terms, tmp_path: Path):
    file = tmp_path / "rows.csv"
    file.write_text(rows, encoding="utf-8")
    hall = Hall("127.0.0.1:0", HOLDERS, terms.text().encode())
    try:
        with pytest.raises(DataError, match=MISFITS[rows].replace(".", r"\.")):
            hold(Own(str(file)), hall.address, 5, lambda line: None, PLAIN)
        assert hall.present() == []
    finally:
        hall.close()


def test_columns_are_taken_in_the_order_that_was_announced(terms: Terms, tmp_path: Path):
    file = tmp_path / "rows.csv"
    file.write_text("verdict,body\nyes,fine\nyes,warm\n", encoding="utf-8")  # a holder may lack a class
    rows = own_rows(Own(str(file), ("body",), "verdict"), terms)
    assert [(row.texts, row.label) for row in rows] == [(("fine",), 1), (("warm",), 1)]
    with pytest.raises(DataError, match="announces 1 text columns"):
        own_rows(Own(str(file), ("body", "verdict"), "verdict"), terms)


def test_a_holder_is_told_of_another_version_and_of_a_server_that_stops(terms: Terms, folder: Path):
    mine = Own(str(folder / "holder-0.csv"))
    hall = Hall("127.0.0.1:0", HOLDERS, replace(terms, version="0.0").text().encode())
    with pytest.raises(RunError, match="Install the same version"):
        hold(mine, hall.address, 5, lambda line: None, PLAIN)
    hall.close()
    hall = Hall("127.0.0.1:0", HOLDERS, terms.text().encode())
    told: list[str] = []
    with pytest.raises(RunError, match="The server stopped: RunError"):
        hold(mine, hall.address, 5, lambda line: told.append(line) or (len(told) == 1 and stop(hall)), PLAIN)


def test_a_holder_may_ask_for_a_budget_and_for_the_noise_that_was_announced(terms: Terms, folder: Path):
    mine = Own(str(folder / "holder-0.csv"), epsilon=3.0)
    for announced, said_then in ((0.0, "no differential privacy"), (8.0, "epsilon 8")):
        hall = Hall("127.0.0.1:0", HOLDERS, replace(terms, epsilon=announced).text().encode())
        with pytest.raises(PrivacyError, match=f"announces {said_then}, and you allow epsilon 3 at most"):
            hold(mine, hall.address, 5, lambda line: None, PLAIN)
        hall.close()
    noisy = replace(terms, epsilon=3.0, noise="distributed")
    answers = Answers(own_rows(mine, noisy), noisy, "cpu")
    asked = {"what": "fit", "signal": 1.0, "reach": 1.0, "levels": 1024, "noise": 0.0}
    with pytest.raises(PrivacyError, match="without the noise that it announced"):
        answers(asked, [])


def test_holders_draw_by_the_cipher_where_that_is_asked_for(said: dict[str, Any], terms: Terms, folder: Path):
    """Coins and noise; whichever it is, what is asked again is answered with another number."""
    recipe = api.recipe_for(**(said | {"settings": said["settings"] | {"dp.noise": "secure"}}))
    assert federated.terms(recipe, terms.about).drawn == "secure" and terms.drawn == "keyed"
    mine = own_rows(Own(str(folder / "holder-0.csv")), terms)
    for drawn, source in (("keyed", Keyed), ("secure", Secure)):
        answers = Answers(mine, replace(terms, drawn=drawn), "cpu")
        assert isinstance(answers.noise, source)
        asked = {"what": "count", "signal": 64.0, "reach": 128.0, "levels": 2**22, "noise": 5.0}
        told = {float(answers(asked, [])[0]) for _ in range(5)}
        assert len(told) == 5


def stop(hall: Hall) -> None:
    import threading

    threading.Timer(0.5, lambda: (hall.wait_for(1, 5), hall.close(Frame("bye", b"RunError")))).start()


@pytest.mark.parametrize("words", [["127.0.0.1:1"], ["nowhere"]])
def test_a_wrong_address_is_one_paragraph_and_exit_2(words: list[str], folder: Path):
    asked = ["federate", "join", str(folder / "holder-0.csv"), "--address", *words, "--wait", "0.3"]
    answer = CliRunner().invoke(app, asked, catch_exceptions=False)
    assert answer.exit_code == 2 and answer.stderr.startswith("Error: ") and answer.stdout == ""


@pytest.mark.parametrize(
    ("settings", "said_then"),
    [
        ({"federation.clients": 2}, "should be 3 to 64"),
        ({"federation.clients": 3, "federation.least": 4}, "should be 2 to 3"),
        ({"federation.clients": 3, "match.teacher_sets": 2}, r"With federation\.clients every touch"),
        ({"federation.clients": 3, "federation.noise": "none"}, "does not know 'none'"),
        ({"federation.clients": 3, "audit.canaries": 4}, "not here"),
        ({"federation.clients": 3, "adapters.rank": 4}, "trained as a whole"),
        (
            {"federation.clients": 3, "instruct.ask": "A {label}", "instruct.demonstrations": 0},
            "trained as a whole",
        ),
        ({"federation.clients": 3, "data.user": "who"}, "is not known here"),
    ],
)
def test_recipes_that_cannot_be_meant_are_refused(said: dict[str, Any], settings: dict[str, Any], said_then: str):
    from dilm.errors import RecipeError

    with pytest.raises((RecipeError, PrivacyError), match=said_then):
        api.recipe_for(**(said | {"settings": said["settings"] | settings}))


def test_a_server_sends_model_files_and_nothing_that_is_run(tmp_path: Path):
    import io
    import zipfile

    for name in ("../model.json", "model.py", "pytorch_model.bin"):
        whole = io.BytesIO()
        with zipfile.ZipFile(whole, "w") as parcel:
            parcel.writestr(name, "x")
        with pytest.raises(ModelError, match="Do not trust it"):
            unpack(whole.getvalue(), tmp_path)
    with pytest.raises(ModelError, match="cannot be read"):
        unpack(b"no parcel", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_killed_server_continues_with_the_holders_that_wait_for_it(said: dict[str, Any], folder: Path):
    """In the middle of fit: what was finished is kept, the steps after the checkpoint count twice, and are paid for."""
    address, out = an_address(), folder / "killed"
    longer = said | {"settings": said["settings"] | {"fit.steps": 12, "federation.spare": 0.5}}
    words = ["--epsilon", str(EPSILON), "--wait", "100", "--timeout", "60"]
    holders = [joined(folder, at, address, "--wait", "100") for at in range(HOLDERS)]
    server = served(longer, out, *words, address=address)
    while not (out / "fit" / "checkpoint.pt").exists():
        assert server.poll() is None, server.communicate()
        time.sleep(0.02)
    server.kill()
    server.communicate()
    loaded = (out / "load" / "manifest.json").read_bytes()
    again = served(longer, out, *words, "--resume", address=address)
    ended = end([again, *holders])
    assert [each.code for each in ended] == [0, 0, 0, 0], [each.stderr for each in ended]
    assert (out / "load" / "manifest.json").read_bytes() == loaded
    spend = Distilled.load(out / "distilled").provenance.spend
    steps = {each["what"].split(" ")[0]: each["steps"] for each in spend["mechanisms"]}
    assert 12 <= steps["fit"] <= 18 and spend["epsilon"] <= EPSILON
    assert len(read_dataset(out / "distilled" / "distilled.jsonl", Distilled.load(out / "distilled").data.task)) == 4
