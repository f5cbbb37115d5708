"""From the recipe's section `anonymize` to detectors, a secret salt and clean rows.

The salt never enters a run folder: who had it could try every telephone number until a hash fits. It follows from a
secret in the user's cache, from the source and from the section, so that a resumed run and a run of another size on the
same rows use the same stand-ins, and nobody else can make them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dilm.data.jsonl import read_dataset, write_dataset
from dilm.errors import RecipeError, did_you_mean
from dilm.models.hub import identity, open_model, open_tokenizer
from dilm.privacy.anonymize import anonymize_datasets
from dilm.privacy.ner import open_spacy, tagger
from dilm.privacy.pii import Panel, open_presidio
from dilm.privacy.rules import Rules, read_rules, written_rules
from dilm.privacy.stand_ins import SALT_BYTES, TELLING_APART, StandIns, form
from dilm.privacy.survey import Survey
from dilm.protocols import Detector
from dilm.recipe import Recipe
from dilm.recipe.privacy import OFF, Anonymize
from dilm.runs import cache_folder
from dilm.runtime.device import choose
from dilm.runtime.hashing import folder_key, key
from dilm.runtime.progress import bar
from dilm.types import Dataset
from dilm.version import VERSION

SPACY = "spacy:"
SURVEY = "survey.json"
SECRET = "secret"
"""In the user's cache: what every salt is made from."""
LIBRARIES = ("presidio-analyzer", "spacy", "phonenumbers", "transformers")
"""What a finding may depend on besides the recipe."""


def wanted(recipe: Recipe) -> bool:
    """Whether rows are anonymized."""
    return recipe.anonymize.operator != OFF


def content(recipe: Recipe) -> list[Any]:
    """What a stage key says of it: nothing where it is off, else the settings, the rules and the model themselves.

    Raises RecipeError for rules that are not there: without them is not what was asked for.
    """
    asked = recipe.anonymize
    if not wanted(recipe):
        return []
    rules = hashlib.sha256(written_rules(_rules_file(asked))).hexdigest() if asked.patterns else ""
    return [asdict(asked) | {"patterns": rules, "ner": _identity(asked.ner)}]


def panel(recipe: Recipe) -> Panel:
    """The detectors that a recipe asks for, opened. Raises RecipeError or ModelError where one cannot be had."""
    asked = recipe.anonymize
    rules = read_rules(_rules_file(asked)) if asked.patterns else Rules({})
    found: list[Detector] = [open_presidio(asked.languages, asked.kinds, asked.threshold)] if asked.languages else []
    found += [_names(recipe)] if asked.ner else []
    _check_kinds(asked, found, rules)
    found += [rules] if rules.kinds else []
    kinds = {kind for detector in found for kind in detector.kinds}
    return Panel(tuple(found), form(asked.operator, kinds), rules.allowed)


def salt(recipe: Recipe) -> bytes:
    """The secret salt of this source under these settings; none where all secrets of a kind look alike."""
    if recipe.anonymize.operator not in TELLING_APART:
        return b""
    about = key([asdict(recipe.data), content(recipe), recipe.seed])
    return hmac.digest(_secret(cache_folder() / SECRET), about.encode(), hashlib.sha256)


def salt_mark(made: bytes) -> str:
    """What tells two salts apart and gives none of them away."""
    return hmac.digest(made, b"mark", hashlib.sha256)[:8].hex() if made else ""


def clean(recipe: Recipe, parts: Mapping[str, Dataset]) -> tuple[dict[str, Dataset], Survey]:
    """The rows with stand-ins, and what was found: looked for once, then read from the user's cache."""
    made = salt(recipe)
    rows = {name: data.fingerprint for name, data in parts.items()}
    about = key([content(recipe), rows, salt_mark(made), {name: _version(name) for name in LIBRARIES}])
    kept = cache_folder() / "anonymized" / VERSION / about
    if not (kept / SURVEY).exists():
        with bar("look for personal data", sum(map(len, parts.values()))) as advance:
            found = anonymize_datasets(parts, panel(recipe), StandIns(recipe.anonymize.operator, made), advance)
        _keep(kept, *found)
    survey = Survey.from_plain(json.loads((kept / SURVEY).read_text("utf-8")))
    return {name: read_dataset(kept / f"{name}.jsonl", data.task) for name, data in parts.items()}, survey


def rewritten(data: Dataset, judges: Panel) -> tuple[Dataset, int]:
    """A dataset that nobody can write anew, with the kinds of what is found in it; how many findings there were."""
    new, survey = anonymize_datasets({"": data}, judges, StandIns("replace", b""), lambda steps: None)
    return new[""], sum(survey.kinds.values())


def secret() -> bytes:
    """What everything is made from that nobody else shall be able to make: of this user, in this cache."""
    return _secret(cache_folder() / SECRET)


def _names(recipe: Recipe) -> Detector:
    asked = recipe.anonymize
    if asked.ner.startswith(SPACY):
        return open_spacy(asked.ner.removeprefix(SPACY), asked.kinds)
    from transformers import AutoModelForTokenClassification

    model = open_model(AutoModelForTokenClassification, asked.ner).to(choose(recipe.runtime.device).device)
    return tagger(model, open_tokenizer(asked.ner), Path(asked.ner).name, asked.kinds, asked.threshold)


def _identity(name: str) -> str:
    """A folder by its content, and a spaCy pipeline apart from a token classifier of the same name."""
    folder = Path(name.removeprefix(SPACY)).expanduser()
    if name.startswith(SPACY):
        return SPACY + (folder_key(folder) if folder.is_dir() else str(folder))
    return identity(name)


def _check_kinds(asked: Anonymize, found: list[Detector], rules: Rules) -> None:
    known = {kind for detector in (*found, rules) for kind in detector.kinds}
    if missing := [kind for kind in asked.kinds if kind not in known]:
        offered = open_presidio(asked.languages, (), asked.threshold).kinds if asked.languages else ()
        raise RecipeError(
            f"anonymize.kinds names {missing[0]!r}, which no detector finds.",
            f"{did_you_mean(missing[0], sorted({*offered, *known}), 'Kinds')} Names take a model in anonymize.ner.",
        )


def _rules_file(asked: Anonymize) -> Path:
    return Path(asked.patterns).expanduser()


def _secret(file: Path) -> bytes:
    """The user's secret, made where there is none, for the user's eyes only."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, unfinished = tempfile.mkstemp(dir=file.parent)  # only its owner can read it
        with os.fdopen(handle, "wb") as writing:
            writing.write(secrets.token_bytes(SALT_BYTES))
        with suppress(FileExistsError):  # of two processes one comes first, and both read what that one wrote
            os.link(unfinished, file)
        os.unlink(unfinished)
    return file.read_bytes()


def _keep(folder: Path, parts: Mapping[str, Dataset], survey: Survey) -> None:
    """The folder appears whole or not at all, and only its owner can read it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent))
    for name, data in parts.items():
        write_dataset(unfinished / f"{name}.jsonl", data)
    (unfinished / SURVEY).write_text(json.dumps(survey.plain()), encoding="utf-8")
    try:
        unfinished.rename(folder)
    except OSError:  # another process was faster
        shutil.rmtree(unfinished)


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""
