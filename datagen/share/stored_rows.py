"""How is a stored row read back as the shard writer takes it, for another dataset's layout?"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from datagen import schema, store
from datagen.density_reasons import CODES as DENSITY_CODES
from datagen.schema import Layout, Variable
from datagen.share.finished import Finished

_DERIVED = ("has_density", "has_xrd_peaks", "n_reflections", "n_members")
"""What the writer counts itself."""


class StoredRows:
    """Rows of a finished dataset, read in any order and fastest in theirs; each shard's checksums are tested first.

    Memory holds one shard's small variables and one structure's large ones.
    """

    def __init__(self, dataset: Finished, target: Layout, only: Container[str] | None = None) -> None:
        self._dataset = dataset
        group = store.open_group(dataset.path)
        own = {v.name for v in schema.variables(dataset.layout)}
        self._wanted = [v for v in schema.variables(target) if v.home == "shard" and v.name in own]
        if only is not None:
            self._wanted = [v for v in self._wanted if v.name in only]
        self._arrays: dict[str, zarr.Array[Any]] = {}
        for name in sorted({v.name for v in self._wanted} | {n for n in _DERIVED if n in own}):
            array = group[name]
            assert isinstance(array, zarr.Array)
            self._arrays[name] = array
        self._n_augmentations = target.n_augmentations
        self._reason_for_none = (
            only is None and target.density_method is not None and dataset.layout.density_method is None
        )
        self._shard = -1
        self._small: dict[str, NDArray[Any]] = {}

    def values(self, row: int) -> dict[str, NDArray[Any]]:
        """Arrays by variable for `ShardWriter.add`, bit for bit as stored, of the first augmentations."""
        self._enter(row // self._dataset.layout.structures_per_shard)
        found = {}
        for variable in self._wanted:
            if variable.name not in _DERIVED:
                value = self._value(variable, row)
                if value is not None:
                    found[variable.name] = value
        if self._reason_for_none:
            found["density_reason"] = np.asarray(DENSITY_CODES["none_given"], dtype=np.uint8)
        return found

    def _value(self, variable: Variable, row: int) -> NDArray[Any] | None:
        name, dims = variable.name, variable.dims[1:]
        if dims and dims[0] in schema.RAGGED:
            length = int(self._read(f"n_{dims[0]}s", row))
            return np.asarray(self._arrays[name][row, :length])
        if variable.optional and not bool(self._read(_FLAG[name], row)):
            return None
        value = self._read(name, row)
        return value[: self._n_augmentations] if dims and dims[0] == "augmentation" else value

    def _read(self, name: str, row: int) -> NDArray[Any]:
        if name in self._small:
            return np.asarray(self._small[name][row % self._dataset.layout.structures_per_shard])
        return np.asarray(self._arrays[name][row])

    def _enter(self, shard: int) -> None:
        if shard == self._shard:
            return
        self._dataset.check_files(self._dataset.receipts[shard].files)
        rows = self._dataset.layout.rows(shard)
        small = [v.name for v in schema.variables(self._dataset.layout) if v.home == "shard" and v.chunk is None]
        self._small = {n: np.asarray(self._arrays[n][rows.start : rows.stop]) for n in small if n in self._arrays}
        self._shard = shard


_FLAG = {
    "density": "has_density",
    "density_electrons": "has_density",
    "density_lattice": "has_density",
    "xrd_peaks": "has_xrd_peaks",
}
