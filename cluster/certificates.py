"""TLS certificate of a run, which scheduler, workers and driver present to each other.

It is self-signed, new for each run, and on an elliptic curve. Only processes with its key can open a connection. The
key is kept in memory or, for workers started by a queueing system, in files that only their owner can read; never on a
command line, which every user of the machine can see. `distributed.Security.temporary` differs in two points: RSA
takes a tenth of a second, and its certificate begins now, which nodes with a slow clock refuse.
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
#: Clocks of compute nodes differ: a node with a slow clock refuses a certificate that begins now.
CLOCK_SKEW = dt.timedelta(days=1)
_FOLDER_PREFIX = "tls-"


def make_certificate() -> tuple[str, str]:
    """Return a new certificate and its private key, both as PEM text."""
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
    """Return a `distributed.Security` that holds the PEM texts; child processes get them through a pipe."""
    return _security(certificate, key)


def security_from_files(certificate: Path, key: Path, authority: Path | None = None) -> Security:
    """Return a `distributed.Security` that reads its certificate from files when a process starts."""
    files = [str(path.expanduser()) for path in (certificate, key, authority or certificate)]
    return _security(*files)


@contextmanager
def certificate_folder(parent: Path) -> Iterator[Path]:
    """Make a folder under `parent` with a certificate for workers on other machines; remove it at the end."""
    folder = write_certificate(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_certificate(parent: Path) -> Path:
    """Make a folder of mode 0700 under `parent` with a new `CERTIFICATE` and `KEY` of mode 0600; return it."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX, dir=parent))
    except OSError as error:
        raise ClusterError(
            f"certificates for the workers cannot be written under {parent}: {error.strerror}; "
            "set cluster.shared_directory to your folder that compute nodes can read"
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
