"""Whether a run folder, or a folder with a distilled set, is still what was written: told file by file.

The run's journal must be one unbroken chain; what it says of each stage's manifest must fit, and what that says of the
stage's files. Whoever may write in the folder can write all of it anew, journal included: only the head of the journal,
noted elsewhere, tells that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dilm import journal, sealed
from dilm.distilled import SUMS, changes
from dilm.errors import RunError
from dilm.privacy.chain import Reading
from dilm.privacy.sums import Fault, compare
from dilm.runs import LEDGER, LOCK, MANIFEST, RECIPE

OWN = (RECIPE, journal.LOG, journal.LOCK, LOCK, LEDGER)
EXPECTED = {*OWN, *(place for name in journal.TOUCHES for place in sealed.places(name))}
"""What may stand in a run folder."""
LEFT_BY_A_KILL = ".part"
"""How the names of files end that were not finished."""
STATES = (journal.BEGUN, journal.FINISHED, journal.UNDONE)


@dataclass
class Verdict:
    """What was found: `faults` are tampering or damage, `notes` are neither."""

    files: int = 0
    """How many are as they were written."""
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    head: str = ""
    """Of the run's journal."""

    def compared(self, noted: Mapping[str, str], found: list[Fault]) -> None:
        """Count what was compared with its hash."""
        self.faults += found
        self.files += len(noted.keys() - {fault.path for fault in found})


def verify(folder: Path, head: str = "") -> Verdict:
    """Look at everything; `head` is the journal's head as somebody noted it elsewhere, now or long ago.

    Raises RunError where the folder is neither a run nor a distilled set, or of a dilm that kept no hashes.
    """
    if any((folder / name).exists() for name in (RECIPE, journal.LOG)):
        return _run(folder, head)
    if head or not (folder / SUMS).is_file():
        wanted = f"{RECIPE} (a run)" if head else f"{RECIPE} (a run) nor {SUMS} (a distilled set)"
        raise RunError(
            f"{folder} has no {wanted}: there is nothing to compare it with.",
            "Name a run folder, or a folder that `Distilled.save` of this version wrote.",
        )
    verdict = Verdict()
    verdict.compared(*changes(folder))
    return verdict


def _run(folder: Path, head: str) -> Verdict:
    log = journal.entries(folder)
    verdict = Verdict(head=log.head)
    verdict.faults += [Fault(journal.LOG, fault) for fault in log.faults]
    _compare_head(log, head, verdict)
    _compare_recipe(folder, log, verdict)
    _compare_ledger(folder, log, verdict)
    for name in journal.TOUCHES:
        told = [row for row in log.rows if row.get("stage") == name and row.get("act") in STATES]
        _stage(folder, name, told[-1] if told else {}, verdict)
    for path in sorted(folder.iterdir()):
        if path.name.endswith(LEFT_BY_A_KILL):
            verdict.notes.append(f"{path.name} was left by a process that was killed.")
        elif path.name not in EXPECTED:
            verdict.faults.append(Fault(path.name, "additional"))
    if not verdict.files and not verdict.faults and not log.rows:
        raise RunError(f"The run in {folder} was made before hashes were kept.", "There is nothing to compare it with.")
    return verdict


def _compare_head(log: Reading, head: str, verdict: Verdict) -> None:
    if log.torn:
        verdict.notes.append(f"{journal.LOG} ends in half a line: its writer was killed. The next one puts it aside.")
    since = log.since(head) if head else 0
    if since is None:
        verdict.faults.append(Fault(journal.LOG, f"never had the head {head}: lines are gone, or all are new"))
    elif since:
        verdict.notes.append(f"{since} lines were added to {journal.LOG} since that head.")


def _compare_recipe(folder: Path, log: Reading, verdict: Verdict) -> None:
    noted = sealed.noted_recipe(log)
    if noted is None:
        verdict.notes.append(f"{RECIPE} stands in no journal.")
    else:
        found = [RECIPE] if (folder / RECIPE).exists() else []
        verdict.compared({RECIPE: noted}, compare(folder, {RECIPE: noted}, found))


def _compare_ledger(folder: Path, log: Reading, verdict: Verdict) -> None:
    """What was spent, against its hash when a stage was last finished; a stage that has begun since may have spent."""
    finished = [place for place, row in enumerate(log.rows) if "ledger" in row]
    noted = {LEDGER: log.rows[finished[-1]]["ledger"]} if finished else {}
    found = compare(folder, noted, [LEDGER] if (folder / LEDGER).exists() else [])
    since = log.rows[finished[-1] + 1 if finished else 0 :]
    if found and (folder / LEDGER).exists() and any(row.get("act") == journal.BEGUN for row in since):
        verdict.notes.append(f"{LEDGER} was written to since a stage was last finished.")
    else:
        verdict.compared(noted, found)


def _stage(folder: Path, name: str, last: Mapping[str, Any], verdict: Verdict) -> None:
    """`last` is the journal's last word on this stage, empty where it has none."""
    manifest = f"{name}/{MANIFEST}"
    there = (folder / manifest).exists()
    if last.get("act") == journal.FINISHED:
        noted = {manifest: last.get("manifest", "")}
        found = compare(folder, noted, [manifest] if there else [])
        verdict.compared(noted, found)
        if not found:
            _files(folder, name, verdict)
    elif there and (last or "files" in _object(folder / manifest)):
        verdict.faults.append(Fault(manifest, f"stands in no line of {journal.LOG}"))
    elif there:
        verdict.notes.append(f"{name} was finished by an earlier dilm, which kept no hashes.")
    elif last.get("act") == journal.BEGUN:
        verdict.notes.append(f"{name} is not finished.")


def _files(folder: Path, name: str, verdict: Verdict) -> None:
    """What an untouched manifest says of the stage's files."""
    path, wanted = f"{name}/{sealed.FILES}", _object(folder / name / MANIFEST).get("files")
    if wanted is None:  # copied from a run that was made before hashes were kept
        verdict.notes.append(f"{name} was finished by an earlier dilm, which kept no hashes.")
        return
    found = compare(folder, {path: wanted}, [path] if (folder / path).exists() else [])
    verdict.compared({path: wanted}, found)
    if not found:
        noted = _object(folder / path)
        verdict.compared(noted, compare(folder, noted, sealed.products(folder, name)))


def _object(file: Path) -> dict[str, Any]:
    """What stands in a JSON file; nothing where it is none."""
    try:
        found = json.loads(file.read_text("utf-8"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
