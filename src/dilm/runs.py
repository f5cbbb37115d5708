"""The run folder: one sub-folder per stage, its manifest written last. What a kill leaves is whole or redone."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dilm.errors import RunError
from dilm.recipe import Recipe, book

RECIPE, MANIFEST = "recipe.yaml", "manifest.json"
LOCK = ".lock"
LEDGER = "privacy.json"
"""What a run with differential privacy spent, beside the stages: making one of them again takes nothing back."""
FIRST = "load"
"""The stage without which a folder holds nothing that could be lost."""
DOORS = {"owner": 0o700, "group": 0o770}
"""Who may enter a run folder, by `runtime.readers`, to its mode."""


@dataclass(frozen=True)
class StageFolder:
    """Where one stage keeps its products and its unfinished work."""

    path: Path

    @property
    def manifest(self) -> dict[str, Any] | None:
        """What the finished stage says of itself; None while it is not complete."""
        file = self.path / MANIFEST
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None

    def is_done(self, key: str) -> bool:
        """Whether this stage is complete under these very settings and inputs."""
        manifest = self.manifest
        return manifest is not None and manifest["key"] == key

    def is_begun(self, key: str) -> bool:
        """Whether unfinished work under these settings is here to continue."""
        file = self.path / "key"
        return file.exists() and file.read_text(encoding="utf-8") == key and self.manifest is None

    def begin(self, key: str) -> bool:
        """Make ready for work under `key`; work of another key is removed. True when earlier work is continued."""
        if self.is_begun(key):
            return True
        self.clear()
        self.path.mkdir(parents=True)
        protect(self.path, private_mode(self.path.parent))
        (self.path / "key").write_text(key, encoding="utf-8")
        return False

    def clear(self) -> None:
        """Make the stage undone; the manifest goes first, so that half a folder never counts as complete."""
        (self.path / MANIFEST).unlink(missing_ok=True)
        if self.path.exists():
            shutil.rmtree(self.path)

    def finish(self, manifest: dict[str, Any]) -> None:
        """Declare the stage complete."""
        write_text(self.path / MANIFEST, manifest_text(manifest))


@dataclass(frozen=True)
class Run:
    """A run folder and the recipe that it follows."""

    folder: Path
    recipe: Recipe
    changed: bool = False
    """Whether somebody asked for other settings than those that stand in the folder."""

    def stage(self, name: str) -> StageFolder:
        return StageFolder(self.folder / name)

    def with_recipe(self, recipe: Recipe) -> Run:
        """The same folder under a changed recipe, which is written down; stages that it changes count as undone."""
        write_text(self.folder / RECIPE, book.to_yaml(recipe))
        protect(self.folder / RECIPE, private_mode(self.folder))
        return Run(self.folder, recipe)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second process out of the folder; the lock falls with the process that holds it."""
        from filelock import FileLock, Timeout

        try:
            with FileLock(self.folder / LOCK, timeout=0, mode=private_mode(self.folder)):
                yield
        except Timeout as fault:
            raise RunError(
                f"Another process works in {self.folder}.", "Wait for it, or choose another `--out`."
            ) from fault


def create(folder: Path, recipe: Recipe, resume: bool) -> Run:
    """A new run folder, or with `resume` the one that is there; one whose data could not be loaded begins anew.

    Raises RunError when the folder holds a run and `resume` is off, a run of another recipe, or something else.
    """
    require_folder(folder)
    if not folder.exists() or not any(folder.iterdir()):
        make_private(folder, DOORS[recipe.runtime.readers])
        return Run(folder, recipe).with_recipe(recipe)
    found = existing(folder).recipe
    if StageFolder(folder / FIRST).manifest is None:
        return Run(folder, recipe).with_recipe(recipe)
    differences = book.differences(found, recipe)
    if differences:
        shown = "; ".join(differences[:5]) + ("; ..." if len(differences) > 5 else "")
        raise RunError(
            f"{folder} holds a run of another recipe ({shown}).", "Choose another `--out`, or give the same settings."
        )
    if not resume:
        raise RunError(f"{folder} already holds this run.", "Continue it with `--resume`, or choose another `--out`.")
    return Run(folder, recipe)


def existing(folder: Path) -> Run:
    """The run in a folder. Raises RunError where there is none."""
    file = folder / RECIPE
    if not file.exists():
        raise RunError(
            f"{folder} is not a run folder: it has no {RECIPE}.", "Make one with `dilm load SOURCE --out FOLDER`."
        )
    return Run(folder, book.read(str(file)))


def open_to_others(run: Run) -> str:
    """The mode of a run folder that more may enter than its recipe says, as octal digits; empty where all is well."""
    mode = run.folder.stat().st_mode & 0o777
    return f"{mode:o}" if os.name == "posix" and mode & ~DOORS[run.recipe.runtime.readers] else ""


def private_mode(folder: Path) -> int:
    """Mode of files in a run folder: the owner's alone, or the group's too where it may write in the folder."""
    return 0o660 if folder.stat().st_mode & 0o020 else 0o600


def protect(path: Path, mode: int) -> None:
    """Give a file, or a folder and all in it, the mode of a file; folders may be entered by whom it lets read."""
    if os.name != "posix":
        return
    for inner in (path, *path.rglob("*")):
        wanted = mode | (mode & 0o440) >> 2 if inner.is_dir() else mode
        now = inner.lstat().st_mode & 0o7777
        if not inner.is_symlink() and now & 0o777 != wanted:
            with suppress(PermissionError):  # another member of the group owns it
                inner.chmod(now & 0o7000 | wanted)


def make_cache() -> None:
    """The cache, for its owner alone, where there is none yet: what is kept there is made from real rows."""
    make_private(cache_folder(), DOORS["owner"])


def require_folder(path: Path) -> None:
    """Raise RunError for a file where a folder is meant."""
    if path.exists() and not path.is_dir():
        raise RunError(f"{path} is a file, and a folder is meant.", "Name another (`--out`).")


def make_private(folder: Path, mode: int) -> None:
    """Make a folder with this mode; one that is there already keeps its own: who made it may have meant it.

    Raises RunError where none can be made.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            folder.chmod(mode)  # whatever the umask says
    except OSError as fault:
        problem = f"{folder} cannot be made ({fault.strerror or fault})."
        raise RunError(problem, "Choose a folder where you may write.") from fault


def manifest_text(manifest: dict[str, Any]) -> str:
    """What stands in manifest.json."""
    return json.dumps(manifest, indent=1, ensure_ascii=False, default=str)


def write_text(path: Path, text: str) -> None:
    """All of it or nothing: a reader never meets half a file."""
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(text, encoding="utf-8", newline="\n")
    os.replace(unfinished, path)


def cache_folder() -> Path:
    """Where results that any run may use again are kept: `DILM_CACHE`, or the user's cache folder."""
    if given := os.environ.get("DILM_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "dilm"
