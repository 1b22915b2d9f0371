"""Manifest of a publication in the format of `sha256sum`, and its zip archive."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from catalogs.atomic_write import replacing, sha256_of
from datagen.store import files

MANIFEST = "SHA256SUMS"
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""First date of the zip format; a clock would make equal datasets differ."""


def entries(folder: Path, known: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return size and sha256 of every file below the folder except the manifest, by path.

    Files in `known` were just verified and are not read again.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name: known.get(name) or file_entry(folder / name) for name in names if name != MANIFEST}


def write_manifest(folder: Path, known: dict[str, dict[str, Any]]) -> None:
    """Write the manifest and make all files read-only."""
    lines = [f"{entry['sha256']}  {name}\n" for name, entry in entries(folder, known).items()]
    files.write_bytes(folder / MANIFEST, "".join(lines).encode())
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o444)


def write_zip(folder: Path, out: Path) -> None:
    """Write a zip for Zarr's `ZipStore`: stored uncompressed, without dates, names sorted."""
    _write_zip(folder, sorted(path for path in folder.rglob("*") if path.is_file()), out)


def write_zips(folder: Path, out: Path, name: str, part_bytes: int) -> list[Path]:
    """Write `NAME.zarr.zip`, or several of about `part_bytes` that unpack into one folder; return their paths."""
    parts: list[list[Path]] = [[]]
    filled = 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        n_bytes = path.stat().st_size
        if parts[-1] and filled + n_bytes > part_bytes:
            parts.append([])
            filled = 0
        parts[-1].append(path)
        filled += n_bytes
    numbers = [f".part-{i:02}-of-{len(parts):02}" if len(parts) > 1 else "" for i in range(1, len(parts) + 1)]
    written = [out / f"{name}{number}.zarr.zip" for number in numbers]
    for paths, path in zip(parts, written, strict=True):
        _write_zip(folder, paths, path)
    return written


def _write_zip(folder: Path, paths: list[Path], out: Path) -> None:
    with replacing(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for path in paths:
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _EPOCH)
            entry.external_attr = 0o100444 << 16
            entry.file_size = path.stat().st_size
            with path.open("rb") as source, archive.open(entry, "w") as target:
                while data := source.read(1 << 20):
                    target.write(data)


def file_entry(path: Path) -> dict[str, Any]:
    """Return the size and checksum of a file as the ledger lists them."""
    return {"size": path.stat().st_size, "sha256": sha256_of(path)}
