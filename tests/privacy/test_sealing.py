"""Sealed for its recipients and nobody else, in the age format that other tools read."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilm.errors import AccessError
from dilm.privacy.sealing import is_sealed, recipients, seal, unseal

ANNA, BEN = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()


def key_file(identity: pyrage.x25519.Identity) -> bytes:
    """As `age-keygen` writes it."""
    return f"# created: today\n# public key: {identity.to_public()}\n{identity}\n".encode()


@given(st.binary(max_size=3000))
def test_each_recipient_can_open_it_and_a_stranger_cannot(content: bytes):
    sealed = seal(content, [str(ANNA.to_public()), str(BEN.to_public())])
    body = sealed.partition(b"\n--- ")[2]
    assert is_sealed(sealed) and (len(content) < 16 or content not in body)
    assert unseal(sealed, key_file(ANNA)) == unseal(sealed, key_file(BEN)) == content
    with pytest.raises(AccessError, match="for others"):
        unseal(seal(content, [str(ANNA.to_public())]), key_file(BEN))


def test_any_age_tool_can_open_it_and_what_any_age_tool_sealed_is_opened():
    assert pyrage.decrypt(seal(b"rows", [str(ANNA.to_public())]), [ANNA]) == b"rows"
    for armored in (False, True):
        sealed = pyrage.encrypt(b"rows", [ANNA.to_public()], armored=armored)
        assert is_sealed(sealed) and unseal(sealed, key_file(ANNA)) == b"rows"


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_what_was_cut_or_changed_is_refused(place: float, change: int):
    sealed = bytearray(seal(b"rows" * 50, [str(ANNA.to_public())]))  # never twice of one length: age sees to that
    at = int(place * len(sealed))
    with pytest.raises(AccessError):
        unseal(bytes(sealed[:at]), key_file(ANNA))
    sealed[at] ^= change
    with pytest.raises(AccessError):
        unseal(bytes(sealed), key_file(ANNA))


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")
@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_ssh_keys_that_people_have_already_will_do(kind: str, tmp_path: Path):
    file = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "anna@host", "-f", str(file)], check=True)
    public = recipients([str(file) + ".pub"])
    assert len(public) == 1 and public[0].startswith(f"ssh-{kind}")
    assert unseal(seal(b"rows", public), file.read_bytes()) == b"rows"


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")
def test_a_key_with_a_passphrase_is_told(tmp_path: Path):
    file = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(file)], check=True)
    sealed = seal(b"rows", recipients([str(file) + ".pub"]))
    with pytest.raises(AccessError, match="without a passphrase"):
        unseal(sealed, file.read_bytes())


def test_recipients_are_keys_or_files_of_keys(tmp_path: Path):
    file, anna, ben = tmp_path / "team.txt", str(ANNA.to_public()), str(BEN.to_public())
    file.write_text(f"# the team\n{anna}\n\n  {ben}  \n", encoding="utf-8")
    assert recipients([str(file)]) == [anna, ben]
    assert recipients([ben, str(file)]) == [ben, anna, ben]


def test_what_is_no_recipient_is_told(tmp_path: Path):
    for text, said in (("age1nonsense", "no public key"), ("ssh-dss AAAA", "no public key")):
        with pytest.raises(AccessError, match=said):
            seal(b"", recipients([text]))
    with pytest.raises(AccessError, match="no recipient, nor a file"):
        recipients([str(tmp_path / "nowhere")])
    empty = tmp_path / "empty"
    empty.write_text("# nobody\n", encoding="utf-8")
    with pytest.raises(AccessError, match="No recipient is named"):
        recipients([str(empty)])


def test_a_secret_key_is_neither_taken_for_a_recipient_nor_repeated(tmp_path: Path):
    file = tmp_path / "key.txt"
    file.write_bytes(key_file(ANNA))
    for named in (str(file), str(ANNA)):
        with pytest.raises(AccessError, match="secret key") as told:
            recipients([named])
        assert str(ANNA) not in str(told.value)
    broken = str(ANNA)[:-3] + "xyz"
    for content in (broken.encode(), b"", b"\xff\xfe", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA"):
        with pytest.raises(AccessError, match="no key that can be used") as told:
            unseal(seal(b"", [str(ANNA.to_public())]), content)
        assert broken not in str(told.value)
