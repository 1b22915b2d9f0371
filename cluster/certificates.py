"""How do scheduler, workers and driver prove to each other that they belong to one run?

One self-signed certificate per run, on an elliptic curve (made in a millisecond, where RSA takes a tenth of a second).
Whoever holds its key may take part; nobody else can even open a connection. It lives in memory, or, for workers that
are started by a queueing system, in files that only their owner can read: never on a command line, where every user of
the machine sees it.
"""

# mypy: allow-untyped-calls
# (distributed is only partly annotated)
from __future__ import annotations

import datetime as dt
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from distributed import Security

from cluster.errors import ClusterError

CERTIFICATE = "certificate.pem"
KEY = "key.pem"
VALID_DAYS = 365
#: Clocks of compute nodes disagree: a certificate that begins now is refused by a node that lags behind.
CLOCK_SKEW = dt.timedelta(days=1)
_FOLDER_PREFIX = "tls-"


def make_certificate() -> tuple[str, str]:
    """A new certificate and its private key, both PEM text."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dask-internal")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("dask-internal")]), critical=False)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + dt.timedelta(days=VALID_DAYS))
        .sign(key, hashes.SHA256())
    )
    key_text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), key_text.decode()


def security_in_memory(certificate: str, key: str) -> Security:
    """A `distributed.Security` that holds the PEM texts themselves; children get them through a pipe."""
    return _security(certificate, key)


def security_from_files(certificate: Path, key: Path, authority: Path | None = None) -> Security:
    """A `distributed.Security` that reads its certificate when a process starts."""
    files = [str(path.expanduser()) for path in (certificate, key, authority or certificate)]
    return _security(*files)


@contextmanager
def certificate_folder(parent: Path) -> Iterator[Path]:
    """A new folder under `parent` with a certificate that workers on other machines can read, removed at the end."""
    folder = write_certificate(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_certificate(parent: Path) -> Path:
    """Make a folder of mode 0700 under `parent` with a new `CERTIFICATE` and `KEY`, both of mode 0600."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX, dir=parent))
    except OSError as error:
        raise ClusterError(
            f"certificates for the workers cannot be written under {parent}: {error.strerror}; "
            "set cluster.shared_directory to a folder of yours that compute nodes can read"
        ) from error
    certificate, key = make_certificate()
    for name, text in ((CERTIFICATE, certificate), (KEY, key)):
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
    return folder


def _security(certificate: str, key: str, authority: str | None = None) -> Security:
    fields: dict[str, Any] = {"tls_ca_file": authority or certificate}
    for role in ("client", "scheduler", "worker"):
        fields[f"tls_{role}_cert"] = certificate
        fields[f"tls_{role}_key"] = key
    return Security(require_encryption=True, **fields)
