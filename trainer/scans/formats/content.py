"""The bytes of a scan file: bounded reading of binary fields, text in its encoding, XML without entities, zips."""

from __future__ import annotations

import io
import struct
import xml.etree.ElementTree as ET
import zipfile
import zlib
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from trainer.scans.scan import MOST_POINTS, ScanError

Array = NDArray[np.float64]

MOST_BYTES = 512 * 1024**2
"""Of a file, and of what a compressed one holds."""
MOST_MEMBERS = 20_000


class Fields:
    """Little-endian fields of binary data; reading past the end is an error with its place."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def _number(self, code: str, at: int) -> float:
        size = struct.calcsize(code)
        if at < 0 or at + size > len(self._data):
            raise ScanError(f"is cut short: expected {size} bytes at byte {at}, the file has {len(self._data)}")
        return float(struct.unpack_from(code, self._data, at)[0])

    def u16(self, at: int) -> int:
        """Return an unsigned 16-bit integer."""
        return int(self._number("<H", at))

    def u32(self, at: int) -> int:
        """Return an unsigned 32-bit integer."""
        return int(self._number("<I", at))

    def f32(self, at: int) -> float:
        """Return a 32-bit number, without the digits that 64 bits would add."""
        return float(str(np.float32(self._number("<f", at))))

    def f64(self, at: int) -> float:
        """Return a 64-bit number."""
        return self._number("<d", at)

    def text(self, at: int, size: int) -> str:
        """Return text up to its first NUL."""
        return self._data[at : at + size].split(b"\0")[0].decode("latin-1").strip()

    def array(self, kind: str, at: int, count: int, stride: int | None = None) -> Array:
        """Return ``count`` numbers of a numpy type, each ``stride`` bytes after the one before."""
        item = np.dtype(kind).itemsize
        step = item if stride is None else stride
        if count < 0 or at < 0 or step < item:
            raise ScanError(f"states an impossible block of data ({count} points of {step} bytes at byte {at})")
        end = at + step * (count - 1) + item if count else at
        if end > len(self._data):
            raise ScanError(f"is cut short: {count} points need {end} bytes, the file has {len(self._data)}")
        rows = np.ndarray((count,), dtype=kind, buffer=self._data, offset=at, strides=(step,)) if count else np.empty(0)
        return rows.astype(np.float64)


def evenly(start: float, step: float, count: int) -> Array:
    """Return the angles of a range; refuse a step or start that cannot be."""
    if not (np.isfinite(start) and np.isfinite(step) and 0 < abs(step) <= 10 and abs(start) <= 360):
        raise ScanError(f"states an impossible range of angles: from {start:g} in steps of {step:g}")
    if count > MOST_POINTS:
        raise ScanError(f"states {count:,} points, more than {MOST_POINTS:,}")
    return np.asarray(start + step * np.arange(count), dtype=np.float64)


def decoded(data: bytes, *encodings: str) -> str:
    """Return text in the encoding of its byte order mark, UTF-8, or the given ones; lines end in newlines."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", errors="replace")
    else:
        for encoding in ("utf-8-sig", *encodings, "latin-1"):
            try:
                text = data.decode(encoding)
                break
            except UnicodeDecodeError:
                continue
        else:  # pragma: no cover - latin-1 decodes everything
            text = ""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parsed(data: bytes) -> ET.Element:
    """Return the root of an XML document, names without namespaces; documents that define entities are refused."""
    builder = ET.TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def refuse(*_: object) -> None:
        raise ScanError("defines a document type, which scan files have no use for")

    def start(name: str, attributes: dict[str, str]) -> None:
        builder.start(name.rpartition(":")[2], {k.rpartition(":")[2]: v for k, v in attributes.items()})

    def end(name: str) -> None:
        builder.end(name.rpartition(":")[2])

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(data.lstrip(b" \t\r\n"), True)
    except (expat.ExpatError, LookupError) as error:
        raise ScanError(f"is not complete XML ({error})") from error
    return builder.close()


def number(text: str | None) -> float | None:
    """Return a number as instruments write it, None if it is none."""
    try:
        found = float((text or "").strip().strip("'\"").replace(",", "."))
    except ValueError:
        return None
    return found if np.isfinite(found) else None


def numbers(text: str | None) -> Array:
    """Return the numbers of a text, separated by blanks or commas."""
    try:
        return np.array([float(x) for x in (text or "").replace(",", " ").split()], dtype=np.float64)
    except ValueError as error:
        raise ScanError(f"expected numbers ({error})") from error


class Members:
    """Files of a zip by name, none larger than a scan file may be."""

    def __init__(self, data: bytes) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
            self._infos = {info.filename: info for info in self._zip.infolist()[:MOST_MEMBERS]}
        except (zipfile.BadZipFile, ValueError, OverflowError, EOFError, NotImplementedError) as error:
            raise ScanError(f"is not a complete zip ({error})") from error

    @property
    def names(self) -> list[str]:
        """Names of the members."""
        return list(self._infos)

    def read(self, name: str) -> bytes:
        """Return the bytes of a member."""
        info = self._infos[name]
        if info.file_size > MOST_BYTES:
            raise ScanError(f"{name}: expands to {info.file_size:,} bytes, more than {MOST_BYTES:,}")
        try:
            with self._zip.open(info) as opened:
                return opened.read(MOST_BYTES)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError, struct.error) as error:
            raise ScanError(f"{name}: cannot be unpacked ({error})") from error
