"""Reader of the density that a record refers to: a file or archive entry, packed or not, in one of three formats."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from catalogs.machine_errors import is_of_the_machine
from catalogs.record import DensityRef
from datagen.simulate.density.chgcar import parse_chgcar
from datagen.simulate.density.cube import parse_cube
from datagen.simulate.density.grid import DensityGrid, checked_grid
from datagen.store.density_codes import DensityRefused

_PARSERS = {"chgcar": parse_chgcar, "cube": parse_cube}


def read_density(ref: DensityRef, *, max_bytes: int = 2**31) -> DensityGrid:
    """Return the density a record refers to, or refuse it if it cannot be read completely."""
    text = _content(ref, max_bytes)
    if ref.format == "mp_json":
        return parse_mp_json(text)
    if ref.format not in _PARSERS:
        raise DensityRefused("bad_format", f"expected chgcar, cube or mp_json, found {ref.format!r}")
    return _PARSERS[ref.format](text)


def parse_mp_json(text: bytes) -> DensityGrid:
    """Return the density of a pymatgen Chgcar in JSON, as from Materials Project; no class it names is imported."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DensityRefused("truncated", f"not complete JSON: {error}") from None
    chgcar = _find(content)
    try:
        structure = chgcar["poscar"].get("structure", chgcar["poscar"])
        lattice = np.array(structure["lattice"]["matrix"], dtype=np.float64).reshape(3, 3)
        amounts: dict[str, int] = {}
        for site in structure["sites"]:
            for specie in site["species"]:
                amounts[specie["element"]] = amounts.get(specie["element"], 0) + 1
        total = chgcar["data"]["total"]
        values = np.array(total["data"] if isinstance(total, dict) else total, dtype=np.float64)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DensityRefused("bad_format", f"not a pymatgen Chgcar: {type(error).__name__} {error}") from None
    if values.ndim != 3 or values.size == 0:
        raise DensityRefused("bad_format", f"expected a grid of three dimensions, found shape {values.shape}")
    grid = checked_grid(values, lattice, list(amounts.items()))
    return DensityGrid(grid.values / grid.volume_A3, grid.lattice_A, grid.amounts)


def _find(content: Any) -> dict[str, Any]:
    """Return the Chgcar itself; documents of Materials Project have it under `data`."""
    for _ in range(3):
        if isinstance(content, dict) and "poscar" in content and isinstance(content.get("data"), dict):
            return content
        content = content.get("data") if isinstance(content, dict) else None
    raise DensityRefused("bad_format", "not a pymatgen Chgcar: expected entries 'poscar' and 'data'")


def _content(ref: DensityRef, max_bytes: int) -> bytes:
    try:
        if ref.member is None:
            with ref.path.open("rb") as file:
                return _unpacked(file, max_bytes)
        return _from_archive(ref.path, ref.member, max_bytes)
    except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise DensityRefused("truncated", f"{ref.path.name}: cannot be unpacked: {error}") from None
    except (OSError, KeyError) as error:
        if isinstance(error, OSError) and is_of_the_machine(error):
            raise
        raise DensityRefused("unreadable", f"{ref.path.name}: {type(error).__name__}: {error}") from None


def _from_archive(path: Path, member: str, max_bytes: int) -> bytes:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as entries, entries.open(member) as file:
            return _unpacked(file, max_bytes)
    with tarfile.open(path) as archive:
        found = archive.extractfile(member)
        if found is None:
            raise KeyError(member)
        with found:
            return _unpacked(found, max_bytes)


def _unpacked(file: Any, max_bytes: int) -> bytes:
    """Return at most `max_bytes` of content, unpacked by its first bytes rather than by its name."""
    start = file.peek(6)[:6]
    unpack = next((unpack for magic, unpack in _PACKED.items() if start.startswith(magic)), None)
    opened: IO[bytes] = file if unpack is None else unpack(file)
    content = opened.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise DensityRefused("too_large", f"more than {max_bytes >> 20} MB when unpacked")
    return content


_PACKED: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
"""First bytes of packed files, and their readers."""
