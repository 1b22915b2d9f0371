"""The index of a dataset for identification: a clean pattern, reflections and free strains of each structure.

It is kept as plain arrays and a table of names in a folder, all memory-mapped when used, so that an index larger than
the memory can be searched. It belongs to the bytes of the dataset's `curation.parquet`: after a change it is stale.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from datagen.errors import StoreError
from datagen.identification.axis import POWER
from datagen.store.location import Location, is_url, location_of
from trainer.simulate.axis import N_BINS, Q_MAX, Q_MIN

VERSION = 3
TABLE, FACTS, NAMES = "curation.parquet", "index.json", "names.arrow"
NAME_FIELDS = ("formula", "source", "source_id", "group")
HALF_WIDTH = 4.5
"""Of a line in a clean pattern, bins: wider than a laboratory's lines, so that nearly equal cells look alike."""
WEAKEST, MOST = 1e-3, 250
"""Reflections that are kept: of the strongest one, and how many."""
MARGIN = 1.1
"""Reflections this far beyond the axis are kept: another size of the crystal brings them onto it."""
ARRAYS = {
    "rough": np.uint8, "pattern": np.uint8, "first": np.int64, "hkl": np.int16, "intensity": np.float32,
    "reciprocal": np.float64, "strains": np.float32, "n_strains": np.uint8, "conventional": np.int8,
    "mass": np.float64, "space_group": np.uint8, "row": np.int64, "elements": np.bool_,
}  # fmt: skip


class Names:
    """Formula, source, source_id and group of each structure, read when asked for."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __getitem__(self, structure: int) -> dict[str, str]:
        return {name: str(self._table[name][structure].as_py()) for name in NAME_FIELDS}

    def __iter__(self) -> Iterator[dict[str, str]]:
        for batch in self._table.to_batches():
            yield from batch.to_pylist()

    def column(self, name: str) -> NDArray[np.str_]:
        """Return one field of all structures."""
        return np.array(self._table[name].to_pylist(), dtype=np.str_)


@dataclass(frozen=True, eq=False)
class Index:
    """Arrays of all structures, and their names."""

    library: str
    rough: NDArray[np.uint8]
    """(structure, four bins): mean of `pattern` over two places, for a first look at all structures."""
    pattern: NDArray[np.uint8]
    """(structure, bin pair): clean pattern to the power POWER, 255 at its maximum."""
    first: NDArray[np.int64]
    """Reflections of structure i are `first[i]:first[i + 1]`."""
    hkl: NDArray[np.int16]
    intensity: NDArray[np.float32]
    """Multiplicity times |F|^2, without Lorentz and polarisation factors."""
    reciprocal: NDArray[np.float64]
    """(structure, 3, 3): rows are a*, b*, c*, 1/A."""
    strains: NDArray[np.float32]
    """(structure, 5, 3, 3): free strains without change of volume, orthonormal; the first `n_strains` are used."""
    n_strains: NDArray[np.uint8]
    conventional: NDArray[np.int8]
    """(structure, 3, 3): rows of the conventional cell are this matrix times the own cell's; 0 where not known."""
    mass: NDArray[np.float64]
    """Weight of the phase in a mixture, relative, for each unit of scale of `intensity`: density over the strongest
    reflection's multiplicity |F|^2 / V^2, g/cm^3 A^6."""
    space_group: NDArray[np.uint8]
    row: NDArray[np.int64]
    elements: NDArray[np.bool_]
    """(structure, 118)."""
    names: Names
    """formula, source, source_id and group of each structure."""

    def __len__(self) -> int:
        return len(self.row)

    def release(self, *names: str) -> None:
        """Give mapped pages of these arrays back: they stay in the system's cache, but are none of this process's.

        A search passes all structures once; what it leaves mapped would count as memory where that is limited.
        """
        for name in names:
            mapped = getattr(self, name).base
            if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
                mapped.madvise(mmap.MADV_DONTNEED)


def load_index(dataset: Path | Location, folder: Path) -> Index | None:
    """Map an index; None where there is none, or it is one of other structures or of another version."""
    location = location_of(dataset)
    try:
        facts = json.loads((folder / FACTS).read_text())
        if facts["format_version"] != VERSION or facts["settings"] != settings():
            return None
        if facts["table_sha256"] != location.checksum(TABLE):
            return None
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS}
        with pa.memory_map(str(folder / NAMES)) as source, pa.ipc.open_file(source) as reader:
            names = Names(reader.read_all())
        index = Index(str(location), **arrays, names=names)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise StoreError(
            f"{folder}: expected an index for identification, found other data ({error}); delete the folder"
        ) from error
    lengths = {len(getattr(index, name)) for name in ARRAYS if name not in ("first", "hkl", "intensity")}
    ends = {int(index.first[-1]), len(index.hkl), len(index.intensity)} if len(index.first) else {-1}
    if lengths != {len(names)} or len(index.first) != len(names) + 1 or len(ends) != 1:
        raise StoreError(f"{folder}: the index is damaged (its arrays have different lengths); delete it")
    return index


def folder_of(dataset: Path | Location) -> Path:
    """Return the folder of a dataset's index: beside it, or in the user's cache if its folder is read-only."""
    location = location_of(dataset)
    path = Path(str(location)).absolute()
    beside = path.with_name(f"{path.name}.index")
    if not is_url(str(location)) and (beside.is_dir() or os.access(path.parent, os.W_OK)):
        return beside
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = str(location) if is_url(str(location)) else str(path)
    return cache / "pxrd-datagen" / "index" / hashlib.sha256(name.encode()).hexdigest()[:16]


def rough_of(pattern: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return patterns (..., bin pair) on half as many places."""
    return np.asarray((pattern[..., 0::2].astype(np.uint16) + pattern[..., 1::2] + 1) // 2, dtype=np.uint8)


def settings() -> dict[str, float]:
    """Return the numbers on which the arrays depend."""
    return {
        "q_min": Q_MIN, "q_max": Q_MAX, "bins": N_BINS, "power": POWER, "half_width": HALF_WIDTH, "weakest": WEAKEST,
        "most": MOST, "margin": MARGIN,
    }  # fmt: skip
