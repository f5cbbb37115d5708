"""Certificates for 127.0.0.1, made where a test needs them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from dilm.runtime.handshake import Secrets


@dataclass(frozen=True)
class Authority:
    """Signs certificates."""

    folder: Path
    name: str

    @property
    def pem(self) -> Path:
        return self.folder / f"{self.name}.pem"

    def signed(self, name: str, days: float = 1) -> Secrets:
        return pair(self.folder, name, self, days)


def authority(folder: Path, name: str) -> Authority:
    pair(folder, name)
    return Authority(folder, name)


def pair(folder: Path, name: str, by: Authority | None = None, days: float = 1) -> Secrets:
    """A certificate and its key, signed by an authority or by itself."""
    now, key = datetime.now(timezone.utc), ec.generate_private_key(ec.SECP256R1())
    subject, signer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]), key
    issuer = subject
    if by:
        issuer = x509.load_pem_x509_certificate(by.pem.read_bytes()).subject
        signer = load_pem_private_key(by.pem.with_suffix(".key").read_bytes(), None)
    dates = now - timedelta(days=2), now + timedelta(days=days)
    made = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number(), *dates)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(by is None, None), True)
        .sign(signer, hashes.SHA256())
    )
    found = Secrets(folder / f"{name}.pem", folder / f"{name}.key")
    found.certificate.write_bytes(made.public_bytes(Encoding.PEM))
    found.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return found
