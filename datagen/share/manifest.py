"""Every file of a publication with its checksum, in the words of `sha256sum`; and all of them in one zip."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from catalogs.atomic_write import replacing, sha256_of
from datagen.store import files

MANIFEST = "SHA256SUMS"
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Zip's first date: a clock would make equal datasets differ."""


def entries(folder: Path, known: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Path below the folder -> size and sha256, for every file in it but the manifest, sorted.

    `known` are those of files that were just verified: they are not read once more.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name: known.get(name) or _entry(folder / name) for name in names if name != MANIFEST}


def write_manifest(folder: Path, known: dict[str, dict[str, Any]]) -> None:
    """Write it, last of all; files are from here on read-only."""
    lines = [f"{entry['sha256']}  {name}\n" for name, entry in entries(folder, known).items()]
    files.write_bytes(folder / MANIFEST, "".join(lines).encode())
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o444)


def write_zip(folder: Path, out: Path) -> None:
    """One file that Zarr's `ZipStore` opens: nothing compressed twice, no dates, names in order."""
    with replacing(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _EPOCH)
                entry.external_attr = 0o100444 << 16
                entry.file_size = path.stat().st_size
                with path.open("rb") as source, archive.open(entry, "w") as target:
                    while data := source.read(1 << 20):
                        target.write(data)


def _entry(path: Path) -> dict[str, Any]:
    return {"size": path.stat().st_size, "sha256": sha256_of(path)}
