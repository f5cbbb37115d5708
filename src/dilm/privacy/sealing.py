"""Encryption to recipients with age (age-encryption.org/v1), by pyrage: what is sealed here, any age tool opens.

It keeps a file from whom it is not meant for, and finds changes. It does not say who sealed it: a recipient's key is
public, so anybody can seal a file for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dilm.errors import AccessError, ResourceError, first_line

MAGIC = (b"age-encryption.org/v1\n", b"-----BEGIN AGE ENCRYPTED FILE-----")
"""How sealed files begin, the second where they were made printable."""
SECRET = "AGE-SECRET-KEY-"
SSH_SECRET = b"-----BEGIN "


def is_sealed(content: bytes) -> bool:
    """Whether a file was sealed by any age tool."""
    return content.startswith(MAGIC)


def seal(content: bytes, recipients: Sequence[str]) -> bytes:
    """Encrypt to `age1...` keys and `ssh-ed25519` or `ssh-rsa` public keys; each of them alone can open it."""
    pyrage = _pyrage()
    return pyrage.encrypt(content, [_recipient(pyrage, text) for text in recipients])


def unseal(content: bytes, identities: bytes) -> bytes:
    """Decrypt with a key file: lines of age secret keys, or an unencrypted OpenSSH private key.

    Raises AccessError where none of the keys fits, and where the file was cut or changed.
    """
    pyrage = _pyrage()
    keys = _identities(pyrage, identities)
    try:
        return pyrage.decrypt(content, keys)
    except pyrage.DecryptError as fault:
        if "No matching keys" in str(fault):
            raise AccessError(
                "The file was encrypted for others: no key in the key file fits.",
                "Name another key with --identity, or ask the sender to add yours with --encrypt-to.",
            ) from fault
        raise AccessError(
            f"The file cannot be decrypted ({first_line(fault)}): it was cut or changed.", "Ask to be sent it again."
        ) from fault


def recipients(named: Iterable[str]) -> list[str]:
    """Public keys as they are, and those of a file, one on a line; what begins with # is a comment.

    Raises AccessError for what is neither, and where a secret key was given: it need not leave its owner's machine.
    """
    found = [key for name in named for key in _keys(name)]
    if not found:
        raise AccessError("No recipient is named.", "Give `age1...`, an ssh-ed25519 public key, or a file of them.")
    return found


def _keys(name: str) -> list[str]:
    if name.startswith(("age1", "ssh-")):
        return [name]
    if name.startswith(SECRET):
        raise _no_secrets()
    path = Path(name).expanduser()
    if not path.is_file():
        raise AccessError(
            f"{name!r} is no recipient, nor a file with recipients.",
            "Recipients begin with age1, ssh-ed25519 or ssh-rsa.",
        )
    text = path.read_text("utf-8", errors="replace")
    if SECRET in text or text.startswith(SSH_SECRET.decode()):
        raise _no_secrets()
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _no_secrets() -> AccessError:
    return AccessError("A secret key was given as a recipient.", "Give its public key: `age-keygen -y KEYFILE`.")


def _recipient(pyrage: Any, text: str) -> Any:
    kind = pyrage.ssh if text.startswith("ssh-") else pyrage.x25519
    try:
        return kind.Recipient.from_str(text)
    except pyrage.RecipientError as fault:
        raise AccessError(
            f"{text[:40]!r} is no public key that can be encrypted to ({first_line(fault)}).",
            "Recipients are age1... (X25519), ssh-ed25519 and ssh-rsa keys.",
        ) from fault


def _identities(pyrage: Any, content: bytes) -> list[Any]:
    try:
        if content.lstrip().startswith(SSH_SECRET):
            return [pyrage.ssh.Identity.from_buffer(content)]
        lines = content.decode("utf-8", "replace").splitlines()
        found = [pyrage.x25519.Identity.from_str(line.strip()) for line in lines if line.strip().startswith(SECRET)]
    except pyrage.IdentityError as fault:
        raise _no_key() from fault
    if not found:
        raise _no_key()
    return found


def _no_key() -> AccessError:
    """What stands in the file is told nowhere: it may be a secret key with a slip of the pen."""
    return AccessError(
        "The key file holds no key that can be used.",
        f"It needs a line {SECRET}..., as `age-keygen` writes, or an OpenSSH private key without a passphrase.",
    )


def _pyrage() -> Any:
    try:
        import pyrage
    except ImportError as fault:
        raise ResourceError("Encryption needs pyrage.", "Install it: pip install 'dilm[privacy]'.") from fault
    return pyrage
