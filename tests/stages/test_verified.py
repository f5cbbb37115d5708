"""What finished stages wrote is found to be so, and whatever somebody changed is named; quotas and exports of a run."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pyrage
import pytest
from tiny_runs import SETTINGS, rows_of

from dilm import api, journal, pipeline, sealed
from dilm.distilled import Distilled
from dilm.errors import AccessError, RunError
from dilm.privacy import chain
from dilm.privacy.sums import sums
from dilm.runs import RECIPE, StageFolder
from dilm.stages import records, report

SAMPLE = 12
"""Files of a run that are tampered with, one at a time."""


def faults(folder: Path, head: str = "") -> dict[str, str]:
    return {fault["path"]: fault["what"] for fault in api.verify(folder, head)["faults"]}


def products(run: Path) -> list[Path]:
    """Everything that a stage wrote and verify looks at."""
    ours = {journal.LOG, journal.LOCK, ".lock", "key"}
    return sorted(file for file in run.rglob("*") if file.is_file() and file.name not in ours)


def test_a_run_that_nobody_touched_is_whole(finished: Distilled):
    found = api.verify(finished.run)
    assert found["faults"] == [] and found["notes"] == []
    keys = len(pipeline.NAMES)  # which are noted as files too
    assert found["files"] == len(products(finished.run)) + keys
    assert found["head"] == chain.read(finished.run / journal.LOG).head


@pytest.mark.parametrize("harm", ["changed", "missing", "additional"])
def test_whatever_is_done_to_any_file_is_told_of_that_file(copied: Path, harm: str):
    whole, before = products(copied), faults(copied)
    assert before == {}
    for file in random.Random(harm).sample(whole, SAMPLE):
        name, content = file.relative_to(copied).as_posix(), file.read_bytes()
        if harm == "changed":
            file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
            assert faults(copied)[name] == "changed"
            file.write_bytes(content)
        elif harm == "missing":
            file.unlink()
            assert faults(copied)[name] == "missing"
            file.write_bytes(content)
        else:
            other = file.with_name("planted.json")
            other.write_text("{}", encoding="utf-8")
            assert faults(copied) == {other.relative_to(copied).as_posix(): "additional"}
            other.unlink()
    assert faults(copied) == {}


def test_what_stages_write_beside_their_folders_is_known():
    written = {"evaluate": (records.SCORES, records.EARLIER), "report": (report.PAGE, report.TABLE, report.PRODUCT)}
    assert written == sealed.OUTSIDE


def test_a_file_that_gave_way_to_a_link_is_told(copied: Path, tmp_path: Path):
    shutil.move(copied / "results.md", tmp_path / "results.md")
    (copied / "results.md").symlink_to(tmp_path / "results.md")
    assert faults(copied) == {"results.md": "changed"}


def rewrite(file: Path, change: Callable[[list[str]], list[str]]) -> None:
    lines = file.read_text("utf-8").splitlines(keepends=True)
    file.write_text("".join(change(lines)), encoding="utf-8")


def edited(lines: list[str]) -> list[str]:
    """A line that says something else, and has the hash of what it says."""
    row = json.loads(lines[4]) | {"user": "nobody"}
    return [*lines[:4], json.dumps(row | {"hash": chain.link(row)}) + "\n", *lines[5:]]


@pytest.mark.parametrize(
    "change",
    [
        edited,
        lambda lines: [lines[0].replace('"user"', '"User"'), *lines[1:]],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [*lines[:3], *lines[4:]],
        lambda lines: [*lines, "{}\n"],
        lambda lines: [*lines[:3], "\n", *lines[3:]],
    ],
    ids=["edited", "one letter", "moved", "removed", "added", "blank"],
)
def test_a_changed_journal_is_told(copied: Path, change):
    rewrite(copied / journal.LOG, change)
    assert "line " in faults(copied)[journal.LOG]


def test_a_manifest_that_fits_its_changed_files_does_not_fit_the_journal(copied: Path):
    """As by somebody who knows how it is done, up to the journal."""
    text = (copied / "select" / "dilm-0.jsonl").read_text("utf-8")
    (copied / "select" / "dilm-0.jsonl").write_text(text.upper(), encoding="utf-8")
    files = json.dumps(sums(copied, sealed.products(copied, "select")), indent=1)
    (copied / "select" / "files.json").write_text(files, encoding="utf-8")
    manifest = json.loads((copied / "select" / "manifest.json").read_text("utf-8")) | {"files": sealed.digest(files)}
    (copied / "select" / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    assert faults(copied) == {"select/manifest.json": "changed"}


def test_whoever_writes_all_of_it_anew_is_found_by_the_head_alone(copied: Path):
    """The journal is no secret: with it and the code, anybody can make another one that is whole."""
    head = api.verify(copied)["head"]
    rows = [
        {name: row[name] for name in row if name not in ("previous", "hash")} for row in rows_of(copied, "access.jsonl")
    ]
    (copied / journal.LOG).unlink()
    for row in rows:
        chain.append(copied / journal.LOG, row | {"user": "nobody"})
    assert faults(copied) == {}
    assert "never had the head" in faults(copied, head)[journal.LOG]


def test_a_head_that_was_noted_long_ago_still_holds(copied: Path):
    head = api.verify(copied)["head"]
    api.quota(copied, 500)
    found = api.verify(copied, head)
    assert found["faults"] == [] and found["head"] != head
    assert found["notes"] == [f"1 lines were added to {journal.LOG} since that head."]


def test_without_a_journal_nothing_holds(copied: Path):
    (copied / journal.LOG).unlink()
    found = faults(copied)
    assert {name for name in found if name.endswith("manifest.json")} == {
        f"{name}/manifest.json" for name in pipeline.NAMES
    }


def test_a_run_whose_recipe_was_changed_or_lost_is_told(copied: Path):
    content = (copied / RECIPE).read_bytes()
    (copied / RECIPE).write_bytes(content.replace(b"per_class: 3", b"per_class: 4"))
    assert faults(copied) == {RECIPE: "changed"}
    (copied / RECIPE).unlink()
    assert faults(copied) == {RECIPE: "missing"}


def test_stages_that_are_done_again_are_whole_again(copied: Path):
    """Another setting, an evaluation with a set of one's own: what is undone meanwhile is no fault."""
    run = api.change_settings(api.existing_run(copied), {"select.method": "random"})
    assert faults(copied) == {RECIPE: "changed"}  # until a stage takes note of it
    api.run_stage(run, "select")
    found = api.verify(copied)
    assert found["faults"] == [] and "evaluate" not in str(found["notes"])
    own = copied.parent / "own.jsonl"
    shutil.copy(copied / "select" / "dilm-1.jsonl", own)
    api.evaluate(copied, also={"mine": str(own)})
    assert faults(copied) == {}
    api.report(copied)
    assert faults(copied) == {} and api.verify(copied)["notes"] == []
    assert [row["stage"] for row in rows_of(copied, "access.jsonl") if row["act"] == "undone"]


def test_what_a_kill_left_is_no_tampering(copied: Path):
    """Half a line in the journal, a stage that was begun, a file under way."""
    (copied / "select" / "manifest.json").unlink()
    with (copied / journal.LOG).open("ab") as handle:
        handle.write(b'{"time": "2026-')
    (copied / "scores.jsonl.17.part").write_text("{", encoding="utf-8")
    found = api.verify(copied)
    assert [fault["path"] for fault in found["faults"]] == ["select/manifest.json"]  # this is missing, whoever took it
    assert len(found["notes"]) == 2
    api.run_stage(api.existing_run(copied), "select")
    after = api.verify(copied)
    assert after["faults"] == [] and len(after["notes"]) == 1
    assert [row["torn_before"] for row in rows_of(copied, "access.jsonl") if "torn_before" in row] == [15]


class Killed(BaseException):
    """As SIGKILL: nothing catches it, nothing is tidied up."""


@pytest.mark.parametrize(
    "at", ["files.json", "the journal's last line", "manifest.json", "the next beginning", "clearing"]
)
def test_a_kill_at_any_point_of_finishing_and_beginning_is_healed_by_going_on(
    copied: Path, at: str, monkeypatch: pytest.MonkeyPatch
):
    def killed(*_: object, **__: object) -> None:
        raise Killed

    run = api.change_settings(api.existing_run(copied), {"select.method": "random"})
    note = journal.note
    with monkeypatch.context() as patch:
        if at == "files.json":
            patch.setattr(sealed, "write_text", killed)
        elif at == "manifest.json":
            patch.setattr(StageFolder, "finish", killed)
        elif at == "clearing":
            patch.setattr(StageFolder, "begin", lambda folder, key: folder.clear() or killed())
        else:
            act = journal.FINISHED if at == "the journal's last line" else journal.BEGUN
            patch.setattr(journal, "note", lambda of, what, **said: killed() if what == act else note(of, what, **said))
        with pytest.raises(Killed):
            api.run_stage(run, "select")
    assert set(faults(copied)) <= {"select/manifest.json"}  # at most, it is missing
    api.distill_run(api.existing_run(copied))
    assert api.verify(copied)["faults"] == [] == api.verify(copied)["notes"]


def test_runs_from_before_hashes_say_so(copied: Path, tmp_path: Path):
    (copied / journal.LOG).unlink()
    for name in pipeline.NAMES:
        file = copied / name / "manifest.json"
        manifest = json.loads(file.read_text("utf-8"))
        del manifest["files"]
        file.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(RunError, match="before hashes were kept"):
        api.verify(copied)
    with pytest.raises(RunError, match="nothing to compare"):
        api.verify(tmp_path)


def test_a_distilled_folder_is_verified_by_itself(finished: Distilled, tmp_path: Path):
    folder = finished.save(tmp_path / "saved")
    assert api.verify(folder) == {"files": 3, "faults": [], "notes": [], "head": ""}
    rows = (folder / "distilled.jsonl").read_bytes()
    (folder / "distilled.jsonl").write_bytes(rows + rows)
    (folder / "notes.txt").write_text("hello", encoding="utf-8")
    (folder / "README.md").unlink()
    assert faults(folder) == {"distilled.jsonl": "changed", "notes.txt": "additional", "README.md": "missing"}


def texts(run: Path) -> int:
    """What the stage wrote under these settings, counted in its files."""
    return sum(len(file.read_text("utf-8").splitlines()) for file in (run / "generate").glob("*.jsonl"))


def test_what_is_written_is_counted_once_for_each_draw(copied: Path):
    first = api.quota(copied)
    assert first == {"limit": None, "written": texts(copied), "left": None}
    (copied / "generate" / "manifest.json").unlink()  # as after a kill
    api.generate(copied)
    assert api.quota(copied) == first
    api.run_stage(api.change_settings(api.existing_run(copied), {"generate.oversample": 4}), "generate")
    assert api.quota(copied)["written"] == first["written"] + texts(copied)


def test_more_texts_than_are_left_are_refused_before_any_work(copied: Path):
    before, written = (copied / "generate" / "dilm-0.jsonl").read_bytes(), api.quota(copied)["written"]
    assert api.quota(copied, written + 10) == {"limit": written + 10, "written": written, "left": 10}
    more = {"generate.oversample": 4}
    with pytest.raises(AccessError, match=rf"would write \d+ texts, and 10 are left of the quota of {written + 10}"):
        api.run_stage(api.change_settings(api.existing_run(copied), more), "generate")
    assert (copied / "generate" / "dilm-0.jsonl").read_bytes() == before
    api.change_settings(api.existing_run(copied), {"generate.oversample": SETTINGS["generate.oversample"]})
    api.generate(copied)  # what is written already costs nothing
    api.quota(copied, 10 * written)
    api.run_stage(api.change_settings(api.existing_run(copied), more), "generate")
    assert api.quota(copied)["written"] == written + texts(copied)
    limits = [row for row in rows_of(copied, "access.jsonl") if row["act"] == "quota"]
    assert [(row["texts"], row["user"]) for row in limits] == [
        (n, journal.user()) for n in (written + 10, 10 * written)
    ]
    assert faults(copied) == {}


def test_a_damaged_account_lets_nobody_write(copied: Path):
    rewrite(copied / journal.LOG, lambda lines: [*lines[:3], *lines[4:]])
    (copied / "generate" / "manifest.json").unlink()
    with pytest.raises(AccessError, match="nobody knows how much was written"):
        api.generate(copied)


ANNA, BEN = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "anna.txt"
    file.write_text(f"# {ANNA.to_public()}\n{ANNA}\n", encoding="utf-8")
    return file


def test_what_is_sent_sealed_arrives_whole(finished: Distilled, key: Path, tmp_path: Path):
    sent = api.export(finished.run, tmp_path / "set.age", [str(BEN.to_public()), str(ANNA.to_public())])
    assert sent["recipients"] == 2 and sent["real_rows"] == 0
    folder = api.open_export(tmp_path / "set.age", tmp_path / "new" / "set", key)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
        file.name: file.read_bytes() for file in (finished.run / "distilled").iterdir()
    }
    assert Distilled.load(folder).data.fingerprint == finished.data.fingerprint and faults(folder) == {}
    assert os.name != "posix" or (tmp_path / "set.age").stat().st_mode & 0o077 == folder.stat().st_mode & 0o077 == 0
    assert not [left for left in (*tmp_path.iterdir(), *folder.parent.iterdir()) if left.name.startswith(".")]


def test_an_export_without_recipients_is_the_same_file_each_time(finished: Distilled, copied: Path, tmp_path: Path):
    one, two = tmp_path / "one.tar", tmp_path / "two.tar"
    first, second = api.export(finished.run, one), api.export(copied / "distilled", two)
    assert one.read_bytes() == two.read_bytes() and first["content"] == second["content"]
    assert api.open_export(one, tmp_path / "opened").is_dir()


def test_only_the_product_is_sent(copied: Path, tmp_path: Path):
    (copied / "distilled" / "secrets.txt").write_text("not for others", encoding="utf-8")
    api.export(copied, tmp_path / "set.tar")
    folder = api.open_export(tmp_path / "set.tar", tmp_path / "set")
    names = {"distilled.jsonl", "provenance.json", "README.md", "manifest.json"}
    assert {file.name for file in folder.iterdir()} == names


def test_what_is_not_as_it_was_written_is_not_sent(copied: Path, tmp_path: Path):
    file = copied / "distilled" / "distilled.jsonl"
    file.write_bytes(file.read_bytes().upper())
    with pytest.raises(RunError, match=r"distilled\.jsonl is not as it was written"):
        api.export(copied, tmp_path / "set.tar")
    assert not (tmp_path / "set.tar").exists()


def test_a_run_that_is_not_finished_has_nothing_to_send(copied: Path, tmp_path: Path):
    """Also where an earlier product is still there."""
    api.run_stage(api.change_settings(api.existing_run(copied), {"select.method": "random"}), "select")
    assert (copied / "distilled").exists()
    with pytest.raises(RunError, match="no finished product"):
        api.export(copied, tmp_path / "set.tar")


def test_what_cannot_be_opened_says_why_and_leaves_nothing(finished: Distilled, key: Path, tmp_path: Path):
    bens, plain = tmp_path / "ben.age", tmp_path / "set.tar"
    api.export(finished.run, bens, str(BEN.to_public()))
    api.export(finished.run, plain)
    sealed = tmp_path / "anna.age"
    api.export(finished.run, sealed, str(ANNA.to_public()))
    content, changed = sealed.read_bytes(), bytearray(sealed.read_bytes())
    changed[-100] ^= 1
    files = {"cut.age": content[:-50], "changed.age": bytes(changed), "photo.jpg": b"\xff\xd8\xff", "empty": b""}
    files |= {"cut.tar": plain.read_bytes()[:-512], "odd.age": pyrage.encrypt(b"hello", [ANNA.to_public()])}
    for name, bytes_of in files.items():
        (tmp_path / name).write_bytes(bytes_of)
    said = {
        "ben.age": "for others",
        "cut.age": "cut or changed",
        "changed.age": "cut or changed",
        **dict.fromkeys(("photo.jpg", "empty", "cut.tar", "odd.age"), "no file that `dilm export` made"),
        "nowhere": "is no file",
    }
    before = set(tmp_path.iterdir())
    for name, why in said.items():
        with pytest.raises(AccessError, match=why):
            api.open_export(tmp_path / name, tmp_path / "opened", key)
    with pytest.raises(AccessError, match="is encrypted"):
        api.open_export(sealed, tmp_path / "opened")
    assert set(tmp_path.iterdir()) == before


def test_a_well_made_parcel_of_something_else_is_refused(finished: Distilled, tmp_path: Path):
    from dilm.privacy.parcel import pack

    files = {file.name: file.read_bytes() for file in (finished.run / "distilled").iterdir()}
    other = files | {"distilled.jsonl": files["distilled.jsonl"].upper()}
    for number, (content, why) in enumerate(
        (
            ({}, "no distilled set"),
            ({"a.txt": b""}, "no distilled set"),
            (files | {"extra.txt": b""}, "no distilled set"),
            (other, "not what its manifest says"),
        )
    ):
        (tmp_path / f"{number}.tar").write_bytes(pack(content))
        with pytest.raises(AccessError, match=why):
            api.open_export(tmp_path / f"{number}.tar", tmp_path / "opened")
    assert not (tmp_path / "opened").exists()


def test_nothing_is_overwritten(finished: Distilled, tmp_path: Path):
    (tmp_path / "set.tar").write_text("mine", encoding="utf-8")
    with pytest.raises(RunError, match="is there already"):
        api.export(finished.run, tmp_path / "set.tar")
    assert (tmp_path / "set.tar").read_text("utf-8") == "mine"
    api.export(finished.run, tmp_path / "other.tar")
    with pytest.raises(RunError, match="is there already"):
        api.open_export(tmp_path / "other.tar", finished.run)


def test_real_rows_in_a_product_are_counted_where_it_is_sent(copied: Path, tmp_path: Path):
    wanted = {"select.pool": "both", "evaluate.baselines": ["random"]}
    api.distill_run(api.change_settings(api.existing_run(copied), wanted))
    real = Distilled.load(copied / "distilled").provenance.real_rows
    assert api.export(copied, tmp_path / "set.tar")["real_rows"] == len(real) > 0
