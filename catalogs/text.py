"""Detection of text and of its encoding."""

from __future__ import annotations

import codecs

from catalogs import defects
from catalogs.record import Defect


def decode(raw: bytes) -> tuple[str, str] | Defect:
    """Return text and encoding of a file's bytes, or a defect for bytes that are not text.

    The encoding is UTF-8, UTF-16 after its byte-order mark, else latin-1, which old CIFs use for names of authors.
    """
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            text, encoding = raw.decode("utf-16"), "utf-16"
        except UnicodeDecodeError:
            return Defect(defects.BINARY_FILE, "begins with UTF-16's mark but is not UTF-16")
    else:
        try:
            text, encoding = raw.decode("utf-8-sig"), "utf-8"
        except UnicodeDecodeError:
            text, encoding = raw.decode("latin-1"), "latin-1"
    if "\0" in text:
        return Defect(defects.BINARY_FILE, f"NUL character at position {text.index(chr(0))}")
    if not text.strip():
        return Defect(defects.EMPTY_FILE, f"{len(raw)} bytes, none of them text")
    return text, encoding


def printable(name: str) -> str:
    """Return a name or value as text that can be stored; bytes that are not UTF-8 become \\xNN.

    Halves of surrogate pairs, which JSON may state, are kept as such bytes.
    """
    try:
        raw = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raw = name.encode("utf-8", "surrogatepass")
    return raw.decode("utf-8", "backslashreplace")
