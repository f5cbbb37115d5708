"""A few small files as one: a tar whose bytes follow from names and contents alone, and its careful opening.

An archive is opened only if packing its files again gives the very same bytes. So there are no links, devices, folders,
odd names, hidden extras or bytes between the files, whatever a crafted archive tries.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Mapping

from dilm.errors import AccessError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}")
"""What a file may be called: no folder, no hidden file, nothing that a file system takes for something else."""
MOST_FILES, MOST_BYTES = 32, 1 << 30
"""More is no distilled set. Nothing is compressed, so an archive is as large as what is in it."""


def pack(files: Mapping[str, bytes]) -> bytes:
    """Name to content -> tar, in name order, of no time, no user and no machine."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            about = tarfile.TarInfo(_checked(name))
            about.size, about.mode = len(files[name]), 0o644
            archive.addfile(about, io.BytesIO(files[name]))
    return packed.getvalue()


def unpack(content: bytes) -> dict[str, bytes]:
    """Tar -> name to content. Raises AccessError for anything that `pack` did not make."""
    if len(content) > MOST_BYTES:
        raise AccessError(f"The file is larger than {MOST_BYTES >> 20} MB.", "No distilled set is; ask who sent it.")
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            files = {about.name: _read(archive, about, len(content)) for about in _members(archive)}
        same = pack(files) == content
    except (tarfile.TarError, ValueError, OSError, EOFError) as fault:
        raise _refused() from fault
    if not same:
        raise _refused()
    return files


def _members(archive: tarfile.TarFile) -> list[tarfile.TarInfo]:
    """All members, where there are not too many of them."""
    found: list[tarfile.TarInfo] = []
    while (about := archive.next()) is not None:
        found.append(about)
        if len(found) > MOST_FILES:
            raise _refused()
    return found


def _read(archive: tarfile.TarFile, about: tarfile.TarInfo, most: int) -> bytes:
    """A sparse file may say that it is far larger than the archive: nothing of it is read."""
    plain = about.isreg() and not about.issparse() and about.size <= most
    content = archive.extractfile(about) if plain else None
    if content is None:
        raise _refused()
    return content.read()


def _checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no plain file name")
    return name


def _refused() -> AccessError:
    return AccessError(
        "This is no file that `dilm export` made, or it was cut or changed since.", "Ask who sent it to send it again."
    )
