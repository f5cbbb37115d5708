"""An archive of plain files and nothing else: equal content, equal bytes, and whatever else is refused."""

from __future__ import annotations

import hashlib
import io
import tarfile
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilm.errors import AccessError
from dilm.privacy import parcel
from dilm.privacy.parcel import pack, unpack

FILES = st.dictionaries(st.from_regex(parcel.NAME, fullmatch=True), st.binary(max_size=600), max_size=5)


@given(FILES)
def test_what_is_packed_is_unpacked(files: dict[str, bytes]):
    assert unpack(pack(files)) == files
    assert pack(dict(reversed(files.items()))) == pack(files)


def test_the_format_stays_the_same():
    """Else what one version exported no other would open, and two exports of one set would differ."""
    packed = pack({"b.txt": b"two", "a.json": b"{}"})
    assert hashlib.sha256(packed).hexdigest() == "c79b8136c735f15ab3ba24a4c347f6541155cf22a70de670cd2ecd35b6601258"
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        about = archive.getmembers()
    assert [(each.name, each.mtime, each.uid, each.gid, each.uname, each.mode) for each in about] == [
        ("a.json", 0, 0, 0, "", 0o644),
        ("b.txt", 0, 0, 0, "", 0o644),
    ]


@given(FILES.filter(bool), st.data())
def test_a_changed_archive_is_refused_or_says_so_in_its_content(files: dict[str, bytes], data: st.DataObject):
    """Every byte counts: of names, of sizes, of what stands between the files and behind them."""
    content = bytearray(pack(files))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    with suppress(AccessError):
        assert unpack(bytes(content)) != files


@given(FILES.filter(bool), st.data())
def test_a_cut_or_longer_archive_is_refused(files: dict[str, bytes], data: st.DataObject):
    content = pack(files)
    with pytest.raises(AccessError):
        unpack(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(AccessError):
        unpack(content + data.draw(st.binary(min_size=1, max_size=20)))


@given(st.binary(max_size=2000))
def test_anything_else_is_refused(content: bytes):
    with pytest.raises(AccessError, match="no file that `dilm export` made"):
        unpack(content)


def crafted(change, form: int = tarfile.USTAR_FORMAT, count: int = 1) -> bytes:
    """An archive as an attacker would make it."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        for _ in range(count):
            about = tarfile.TarInfo("a.txt")
            about.size, about.mode = 3, 0o644
            change(about)
            archive.addfile(about, io.BytesIO(b"abc"))
    return made.getvalue()


def set_to(**values):
    return lambda about: [setattr(about, name, value) for name, value in values.items()]


@pytest.mark.parametrize(
    "change",
    [
        set_to(name="../a.txt"),
        set_to(name="/etc/passwd"),
        set_to(name="folder/a.txt"),
        set_to(name=".hidden"),
        set_to(name="a" * 90),
        set_to(name="a\\b"),
        set_to(name="ü.txt"),
        set_to(type=tarfile.SYMTYPE, linkname="/etc/passwd", size=0),
        set_to(type=tarfile.LNKTYPE, linkname="a.txt", size=0),
        set_to(type=tarfile.CHRTYPE, size=0),
        set_to(type=tarfile.BLKTYPE, size=0),
        set_to(type=tarfile.FIFOTYPE, size=0),
        set_to(type=tarfile.DIRTYPE, size=0),
        set_to(type=tarfile.CONTTYPE),
        set_to(mode=0o4755),
        set_to(uid=1000),
        set_to(uname="anna"),
        set_to(mtime=1),
    ],
)
def test_a_crafted_archive_is_refused(change):
    with pytest.raises(AccessError):
        unpack(crafted(change))
    with pytest.raises(AccessError):
        unpack(crafted(change, tarfile.GNU_FORMAT))


def test_two_files_of_one_name_extra_headers_and_too_many_files_are_refused():
    assert unpack(crafted(lambda about: None)) == {"a.txt": b"abc"}
    with pytest.raises(AccessError):
        unpack(crafted(lambda about: None, count=2))
    with pytest.raises(AccessError):
        unpack(crafted(set_to(pax_headers={"path": "../a.txt"}), tarfile.PAX_FORMAT))
    with pytest.raises(AccessError):
        unpack(pack({f"{number}.txt": b"" for number in range(parcel.MOST_FILES + 1)}))


def test_a_file_that_says_it_is_huge_takes_no_memory():
    """Sparse files are where an archive of a few bytes claims terabytes."""
    sparse = crafted(set_to(pax_headers={"GNU.sparse.size": str(1 << 50), "GNU.sparse.map": "0,3"}), tarfile.PAX_FORMAT)
    with pytest.raises(AccessError):
        unpack(sparse)
    said = bytearray(crafted(lambda about: None))
    said[124:136] = b"77777777777\0"  # eight gigabytes, in the header's own digits
    header = bytes(said[:148]) + b" " * 8 + bytes(said[156:512])
    said[148:156] = b"%06o\0 " % sum(header)
    with pytest.raises(AccessError):
        unpack(bytes(said))


def test_an_archive_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch):
    content = pack({"a.txt": b"abc"})
    monkeypatch.setattr(parcel, "MOST_BYTES", len(content) - 1)
    with pytest.raises(AccessError, match="larger than"):
        unpack(content)
