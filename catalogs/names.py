"""Names of files: which hold structures, archives or tables, which are hidden or unsafe, and their natural order."""

from __future__ import annotations

import re
from typing import Literal

from catalogs.record import Format

_STRUCTURES: dict[str, Format] = {
    ".cif": "cif",
    ".mcif": "cif",
    ".vasp": "poscar",
    ".poscar": "poscar",
    ".contcar": "poscar",
    ".xyz": "extxyz",
    ".extxyz": "extxyz",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
}
"""Files that are read, in capitals too, also compressed; other files of a folder or archive are skipped."""
COMPRESSIONS = (".gz", ".bz2", ".xz")
_POSCAR = re.compile(r"(?:.*[._-])?(?:poscar|contcar)(?:[._-].*)?")
DATABASE_SUFFIXES = (".db", ".aselmdb", ".lmdb", "data.mdb")
TABLE_SUFFIXES = (".csv", ".csv.gz", ".parquet", ".pq", ".feather", ".arrow", *DATABASE_SUFFIXES)
_ARCHIVES: dict[str, Literal["zip", "tar", "other"]] = {
    ".zip": "zip",
    **dict.fromkeys((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz"), "tar"),
    **dict.fromkeys((".7z", ".rar"), "other"),
}

_DIGITS = re.compile(r"(\d+)")
_DRIVE = re.compile(r"[A-Za-z]:")


def format_of(name: str) -> Format | None:
    """Return the format of a file by its name, None if a file of this name is not read."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1].lower()
    base = base.removesuffix(compression_of(base))
    for suffix, found in _STRUCTURES.items():
        if base.endswith(suffix):
            return found
    is_other = is_table(name) or archive_kind(name) is not None
    return "poscar" if _POSCAR.fullmatch(base) and not is_other else None


def compression_of(name: str) -> str:
    """Return the suffix by which a single file is compressed, empty if it is not."""
    return next((suffix for suffix in COMPRESSIONS if name.lower().endswith(suffix)), "")


def is_table(name: str) -> bool:
    """Return whether a file of this name is a table or database of structures."""
    return name.lower().endswith(TABLE_SUFFIXES)


def is_database(name: str) -> bool:
    """Return whether a file of this name is a database of structures."""
    return name.lower().endswith(DATABASE_SUFFIXES)


def is_read(name: str) -> bool:
    """Return whether a file of this name among others is opened: structures, tables and archives."""
    return format_of(name) is not None or is_table(name) or archive_kind(name) is not None


def archive_kind(name: str) -> Literal["zip", "tar", "other"] | None:
    """Return the kind of archive by its name, `other` for one that is not read; None if it is no archive."""
    lower = name.lower()
    return next((kind for suffix, kind in _ARCHIVES.items() if lower.endswith(suffix)), None)


def is_hidden(path: str) -> bool:
    """Return whether any part of the path is a dot file or the extra folder that macOS puts into archives."""
    return any(part == "__MACOSX" or (part.startswith(".") and part not in (".", "..")) for part in path.split("/"))


def escapes(path: str) -> bool:
    """Return whether an archive entry of this name would be outside the archive's folder when extracted."""
    path = path.replace("\\", "/")
    return path.startswith("/") or bool(_DRIVE.match(path)) or ".." in path.split("/")


def natural_key(path: str) -> tuple[object, ...]:
    """Return a sorting key that puts 2.cif before 10.cif, folder by folder, ties by the exact name."""
    parts = tuple(
        tuple(int(piece) if i % 2 else piece for i, piece in enumerate(_DIGITS.split(part.casefold())))
        for part in path.split("/")
    )
    return parts, path


def stem(name: str) -> str:
    """Return the file name without folder and known suffixes (`x.cif.gz` and `x.tar.gz` are `x`)."""
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    structures = [suffix + gz for gz in (*COMPRESSIONS, "") for suffix in _STRUCTURES]
    for suffix in (*structures, *sorted(_ARCHIVES, key=len, reverse=True), *TABLE_SUFFIXES[::-1]):
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name
