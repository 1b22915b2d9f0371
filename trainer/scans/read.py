"""Any scan file as a `Scan`: the format is recognised by the content first, then by the name."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import zlib
from collections.abc import Callable
from pathlib import Path

from trainer.scans.formats import (
    brml,
    bruker_raw,
    bruker_raw4,
    columns,
    gsas,
    opxrd,
    pdcif,
    philips,
    rigaku,
    rruff,
    stoe,
    uxd,
    xrdml,
)
from trainer.scans.formats.content import MOST_BYTES, Members, decoded
from trainer.scans.scan import Scan, ScanError

Reader = Callable[[bytes], Scan]

COLUMN_SUFFIXES = (".xy", ".xye", ".xys", ".csv", ".txt", ".dat", ".asc", ".tsv", ".chi")
GSAS_SUFFIXES = (".fxye", ".fxy", ".gsa", ".gsas", ".gda", ".gss", ".xra", ".raw")
INSTRUMENT_SUFFIXES = (".xrdml", ".brml", ".ras", ".rasx", ".uxd", ".udf", ".rd", ".sd")
SUFFIXES = (*COLUMN_SUFFIXES, *GSAS_SUFFIXES, *INSTRUMENT_SUFFIXES, ".cif", ".json")
"""Names under which scans are looked for in folders and archives."""
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
}
BINARY: tuple[tuple[bytes, Reader], ...] = (
    (b"RAW4.00", bruker_raw4.read),
    (b"RAW1.0", bruker_raw.read_version_3),
    (b"RAW2", bruker_raw.read_version_2),
    (b"RAW ", bruker_raw.read_version_1),
    (b"RAW_1.", stoe.read),
    (b"V3RD", philips.read_rd),
    (b"V5RD", philips.read_rd),
)
HEAD = 20_000
_PD_LOOP = re.compile(r"^\s*_pd_(meas|proc|calc)_", re.MULTILINE)


def read_scan(path: str | Path) -> Scan:
    """Read a scan file, compressed (.gz, .bz2, .xz) or not; `ScanError` says what is wrong with one that is none."""
    path = Path(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ScanError(f"{path}: larger than {MOST_BYTES:,} bytes, too large for a scan")
        data = path.read_bytes()
    except FileNotFoundError:
        raise ScanError(f"{path}: no such file") from None
    except OSError as error:
        raise ScanError(f"{path}: cannot be read ({error.strerror or error})") from error
    return read_bytes(str(path), data)


def read_bytes(name: str, data: bytes) -> Scan:
    """Read a scan from the bytes of a file of this name."""
    inner, data = _uncompressed(name, data)
    suffix = Path(inner).suffix.lower()
    try:
        return _read(suffix, data)
    except ScanError as error:
        raise ScanError(f"{name}: {error}") from error
    except (ValueError, IndexError, KeyError, OverflowError, ArithmeticError, MemoryError, RecursionError) as error:
        raise ScanError(f"{name}: is damaged or of an unknown kind ({type(error).__name__}: {error})") from error


def bare_suffix(name: str) -> str:
    """Return the suffix of a name below its compression, in lower case."""
    path = Path(name)
    return Path(path.stem).suffix.lower() if path.suffix.lower() in COMPRESSIONS else path.suffix.lower()


def _uncompressed(name: str, data: bytes) -> tuple[str, bytes]:
    suffix = Path(name).suffix.lower()
    if suffix not in COMPRESSIONS:
        return name, data
    try:
        found = COMPRESSIONS[suffix](data)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
        raise ScanError(f"{name}: cannot be unpacked ({error})") from error
    return name[: -len(suffix)], found


def _read(suffix: str, data: bytes) -> Scan:
    if not data.strip(b"\0 \t\r\n"):
        raise ScanError("is empty")
    if data.startswith(b"PK\x03\x04"):
        return _zipped(Members(data))
    for magic, reader in BINARY:
        if data.startswith(magic):
            return reader(data)
    if data.startswith(b"FI\0\0"):
        raise ScanError("is a Rigaku binary .raw, which is not read; export it as .ras or .xy")
    if b"\0" in data[:4096] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ScanError("holds binary data of an unknown kind; export it as .xy or .xye")
    return _text_reader(suffix, decoded(data[:HEAD]), data)(data)


def _zipped(members: Members) -> Scan:
    if brml.is_brml(members.names):
        return brml.read(members)
    if rigaku.is_rasx(members.names):
        return rigaku.read_rasx(members)
    raise ScanError("is a zip that is neither .brml nor .rasx")


def _text_reader(suffix: str, head: str, data: bytes) -> Reader:
    start = head.lstrip()
    by_content: tuple[tuple[bool, Reader], ...] = (
        ("<xrdMeasurements" in head, xrdml.read),
        (start.startswith("*RAS_"), rigaku.read_ras),
        (start.startswith(rruff.KEYS), rruff.read),
        (start.startswith("SampleIdent"), philips.read_udf),
        (bool(re.search(r"^_FILEVERSION\s*=", head, re.MULTILINE)), uxd.read),
        (start.startswith("{") and suffix != ".csv", opxrd.read),
        (suffix == ".chi", columns.read_chi),
        (bool(gsas.BANK.search(decoded(data))) if b"BANK" in data else False, gsas.read),
    )
    for found, reader in by_content:
        if found:
            return reader
    by_name: dict[str, Reader] = {
        ".xrdml": xrdml.read,
        ".ras": rigaku.read_ras,
        ".udf": philips.read_udf,
        ".uxd": uxd.read,
        ".cif": pdcif.read,
        ".json": opxrd.read,
        **dict.fromkeys(GSAS_SUFFIXES, gsas.read),
    }
    if suffix in by_name:
        return by_name[suffix]
    if re.search(r"^\s*data_", head, re.MULTILINE) and _PD_LOOP.search(decoded(data)):
        return pdcif.read
    if start.startswith("<"):
        raise ScanError("holds XML or HTML that is not .xrdml")
    return columns.read
