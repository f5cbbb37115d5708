"""What guards personal data and what was made of it: stand-ins, the audit, seals, exports, quotas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dilm.api.begun import existing_run, recipe_for
from dilm.errors import AuditError, RecipeError, did_you_mean
from dilm.runs import Run
from dilm.runtime.processes import crew


def anonymize(
    source: str | Path,
    out: str | Path,
    *,
    text: str | Sequence[str] = (),
    label: str | None = None,
    operator: str = "replace",
    patterns: str | Path | None = None,
    ner: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a file or folder anew with stand-ins for personal data; returns what was found where, never what it was.

    `text` names the columns to look at, all but the label where it is left out.
    """
    from dilm.anonymized import Columns, anonymize_files

    said = {"anonymize.patterns": patterns and str(patterns), "anonymize.ner": ner}
    given = {name: value for name, value in said.items() if value} | dict(settings or {})
    recipe = recipe_for("", anonymize=operator, settings=given, recipe="default")
    columns = Columns((text,) if isinstance(text, str) else tuple(text), label or "")
    written, survey = crew().told(lambda: anonymize_files(source, Path(out), columns, recipe))
    return {"written": [str(path) for path in written], **survey.plain()}


def audit(run: str | Path, form: str = "quick", fail_on: Mapping[str, float] | None = None) -> dict[str, Any]:
    """Look for leaks in a run's product, its pool and its generator; returns the findings with their verdict.

    The `full` form asks about all held-out rows, and what it found is not replaced by a `quick` one. `fail_on` maps
    names of figures to the most that they may be: raises AuditError where one is above, or was not measured, after all
    is written.
    """
    opened = existing_run(run)
    found = audit_run(opened, form, fail_on or {})
    require_below(opened, found)
    return found


def audit_run(run: Run, form: str, fail_on: Mapping[str, float]) -> dict[str, Any]:
    """The same, but figures above their thresholds are only told, as `exceeded`. A report is written anew."""
    from dilm import pipeline
    from dilm.privacy.findings import exceeded, require_known
    from dilm.stages.audit import FORMS, QUICK, audited

    require_known(fail_on)
    if form not in FORMS:
        raise RecipeError(f"An audit has no form {form!r}.", did_you_mean(form, FORMS, "Forms"))
    with pipeline.at_work(run) as bench:
        known = form == QUICK or _is_done(run, form)
        pipeline.run_stage(bench, "audit", **({} if known else {"form": form}))
        if (run.folder / "report.html").exists() and pipeline.states(run)["evaluate"] == "done":
            pipeline.run_stage(bench, "report")
        found = audited(bench) or {}
    return found | {"exceeded": exceeded(found["findings"], fail_on)}


def require_below(run: Run, found: Mapping[str, Any]) -> None:
    """Raise AuditError where an audit's figures were above their thresholds."""
    if found["exceeded"]:
        raise AuditError(
            f"The audit of {run.folder} found more than is allowed: {'; '.join(found['exceeded'])}.",
            "Do not release what it was made from, or allow more.",
        )


def audit_text(found: Mapping[str, Any]) -> str:
    """An audit's findings for a terminal."""
    from dilm.reports.audit import Audit, text

    return text(Audit.of(found))


def audit_headline(run: Run) -> str:
    """The verdict of a run's finished audit, in one sentence or two."""
    manifest = run.stage("audit").manifest or {}
    return f"Audit ({manifest['form']}): {manifest['headline']}"


def _is_done(run: Run, form: str) -> bool:
    from dilm.pipeline import states

    return states(run)["audit"] == "done" and (run.stage("audit").manifest or {}).get("form") == form


def verify(folder: str | Path, head: str = "") -> dict[str, Any]:
    """Whether a run, or a folder with a distilled set, is as it was written: `faults` names every file that is not.

    `head` is the run's `head` as it was noted elsewhere: without it nobody sees where all was written anew.
    """
    from dilm import verified

    return asdict(verified.verify(Path(folder), head))


def export(folder: str | Path, to: str | Path, encrypt_to: str | Path | Sequence[str | Path] = ()) -> dict[str, Any]:
    """Write the product of a run into one file, encrypted to the recipients, where there are any: `age1...` keys,
    ssh-ed25519 public keys, or files of them.
    """
    from dilm import exported

    named = [encrypt_to] if isinstance(encrypt_to, str | Path) else encrypt_to
    return asdict(exported.export(Path(folder), Path(to), [str(name) for name in named]))


def open_export(file: str | Path, to: str | Path, identity: str | Path | None = None) -> Path:
    """Decrypt, check and unpack what `export` wrote into a new folder, for `Distilled.load`; returns the folder."""
    from dilm import exported

    return Path(exported.open_export(Path(file), Path(to), Path(identity) if identity else None)["folder"])


def quota(run: str | Path, texts: int | None = None) -> dict[str, int | None]:
    """How many texts may be written from a run whose generator is shared, how many were, how many are left.

    With `texts`, that many from now on, those of before included.
    """
    from dilm import quotas

    found = existing_run(run)
    now = quotas.read(found) if texts is None else quotas.limit(found, texts)
    return asdict(now) | {"left": now.left}
