"""What does a file's name tell: is it a CIF, an archive, hidden, safe, and what comes before what?"""

from __future__ import annotations

import re

CIF_SUFFIXES = (".cif", ".mcif", ".cif.gz", ".mcif.gz")
"""Files that are records, in capitals too; anything else in a folder or archive is passed over."""
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".7z", ".rar")

_DIGITS = re.compile(r"(\d+)")
_DRIVE = re.compile(r"[A-Za-z]:")


def is_cif(name: str) -> bool:
    """Whether a file of this name is read."""
    return name.lower().endswith(CIF_SUFFIXES)


def is_archive(name: str) -> bool:
    """Whether a file of this name would hold others."""
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def is_hidden(path: str) -> bool:
    """Whether any part of the path is a dot file or the shadow folder that macOS puts into archives."""
    return any(part == "__MACOSX" or (part.startswith(".") and part not in (".", "..")) for part in path.split("/"))


def escapes(path: str) -> bool:
    """Whether an archive entry of this name would land outside the archive's own folder when extracted."""
    path = path.replace("\\", "/")
    return path.startswith("/") or bool(_DRIVE.match(path)) or ".." in path.split("/")


def natural_key(path: str) -> tuple[object, ...]:
    """Order in which 2.cif comes before 10.cif; folders are compared part by part, ties by the exact name."""
    parts = tuple(
        tuple(int(piece) if i % 2 else piece for i, piece in enumerate(_DIGITS.split(part.casefold())))
        for part in path.split("/")
    )
    return parts, path


def stem(name: str) -> str:
    """File name without folder and without the endings that are known here (`x.cif.gz` and `x.tar.gz` are `x`)."""
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    for suffix in (*CIF_SUFFIXES[::-1], *ARCHIVE_SUFFIXES, ".csv.gz", ".csv", ".parquet"):
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name
