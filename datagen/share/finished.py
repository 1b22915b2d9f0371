"""Complete datasets, checked on opening."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from datagen.errors import StoreError
from datagen.share.foreign_chunk import decode
from datagen.share.foreign_metadata import checked_layout, checked_receipts
from datagen.store import ledger, reading, schema
from datagen.store.bounded_table import CURATION_TABLE
from datagen.store.location import Location, Where, location_of
from datagen.store.schema import Layout


@dataclass(frozen=True, eq=False)
class FinishedDataset:
    """A complete dataset with its receipts; `open_finished` makes one."""

    path: Location
    """Folder, zip or URL."""
    attributes: dict[str, Any]
    layout: Layout
    frame: dict[str, dict[str, Any]]
    receipts: dict[int, ledger.Receipt]
    _columns: dict[str, NDArray[Any]] = field(default_factory=dict, repr=False)

    @cached_property
    def files(self) -> dict[str, dict[str, Any]]:
        """Files of the ledger, with size and sha256."""
        found = dict(self.frame)
        for receipt in self.receipts.values():
            found |= receipt.files
        return dict(sorted(found.items()))

    @cached_property
    def content(self) -> str:
        """Hash of all files' checksums: equal if and only if every byte of data is equal."""
        listed = json.dumps({name: entry["sha256"] for name, entry in self.files.items()}, sort_keys=True)
        return hashlib.sha256(listed.encode()).hexdigest()

    @property
    def configuration(self) -> dict[str, Any]:
        """Configuration of the run."""
        if "configuration" not in self.attributes:
            raise StoreError(f"{self.path}: expected the configuration of its run among its attributes, found none")
        found: dict[str, Any] = self.attributes["configuration"]
        return found

    def column(self, name: str) -> NDArray[Any]:
        """Return a variable with one value per structure, or a coordinate; text as `str`. Cached."""
        if name not in self._columns:
            variable = next((v for v in schema.variables(self.layout) if v.name == name and v.chunk is None), None)
            if variable is None:
                raise StoreError(f"{self.path}: the dataset has no column {name}")
            values = self._read(variable)
            if schema.is_text(variable):
                values = self._texts(name, values)
            self._check_values(name, values)
            values.flags.writeable = False
            self._columns[name] = values
        return self._columns[name]

    def _read(self, variable: schema.Variable) -> NDArray[Any]:
        """Return the array from files whose checksums match the ledger."""
        whole, per_file = schema.shape(variable, self.layout), schema.file_shape(variable, self.layout)
        keys = [schema.chunk_key(variable, i) for i in range(-(-whole[0] // per_file[0]))]
        listed = self.files
        stored = self.bytes_of({key: listed[key] for key in keys if key in listed})
        dtype = np.dtype(variable.dtype)
        parts = [decode(f"{self.path}/{key}", stored.get(key), per_file, dtype, variable.fill_value) for key in keys]
        return np.concatenate(parts)[: whole[0]].copy()

    def _texts(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        try:
            return np.array(reading.decode_text(values), dtype=object)
        except UnicodeDecodeError as error:
            raise StoreError(f"{self.path}: {name}: expected text in UTF-8; fetch the dataset again") from error

    def _check_values(self, name: str, values: NDArray[Any]) -> None:
        """Refuse values outside of the range of the label."""
        low, high = _RANGES.get(name, (None, None))
        if self.layout.measured and low is not None:
            low, values = min(low, schema.UNKNOWN), values[np.isfinite(values)]
        if low is not None and not bool(np.all((values >= low) & (values <= high))):
            wrong = values[~((values >= low) & (values <= high))][0]
            raise StoreError(
                f"{self.path}: {name}: expected values of {low} to {high}, found {wrong}; fetch the dataset again"
            )

    def verdicts(self) -> pa.NativeFile:
        """Open the table with the verdict on every input, for Arrow."""
        return self.path.arrow_file(CURATION_TABLE)

    def check_files(self, names: dict[str, dict[str, Any]]) -> None:
        """Raise if one of these files differs from the ledger."""
        self._refuse(ledger.damages(self.path, names))

    def bytes_of(self, names: dict[str, dict[str, Any]]) -> dict[str, memoryview]:
        """Return the bytes of these files, each read once; raise if one differs from the ledger."""
        found = dict(zip(names, self.path.each(self._view, names), strict=True))
        self._refuse([damage for name, entry in names.items() if (damage := _damage(name, found[name], entry))])
        return {name: data for name, data in found.items() if data is not None}

    def _view(self, name: str) -> memoryview | None:
        try:
            return self.path.view(name)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def _refuse(self, damaged: list[ledger.Damage]) -> None:
        if damaged:
            raise StoreError(
                f"{self.path}: {len(damaged)} files are damaged, the first {damaged[0]}; re-run "
                "the command of its run to repair it, or fetch it again"
            )


def open_finished(where: Where) -> FinishedDataset:
    """Open a dataset; raise if it is incomplete, malformed, or if a file of its frame is damaged."""
    path = location_of(where)
    try:
        attributes = reading.read_attributes(path)
    except (AttributeError, RecursionError) as error:
        raise StoreError(f"{path}: zarr.json is not that of a dataset; fetch it again") from error
    layout = checked_layout(path, attributes)
    receipts = checked_receipts(path, layout)
    if attributes.get("complete") is not True:
        raise StoreError(
            f"{path}: expected a complete dataset, found {len(receipts)} of {layout.n_shards} shards committed; "
            "let its run finish first (datagen status shows its progress)"
        )
    frame = ledger.read_frame(path)
    if frame is None or CURATION_TABLE not in frame or len(receipts) != layout.n_shards:
        raise StoreError(
            f"{path}: its ledger is incomplete: expected {ledger.FRAME} and {layout.n_shards} receipts; "
            "datagen verify lists what is missing"
        )
    found = FinishedDataset(path, attributes, layout, frame, receipts)
    found.check_files(frame)
    return found


def _damage(name: str, data: memoryview | None, entry: dict[str, Any]) -> ledger.Damage | None:
    if data is None:
        return ledger.damage_of(name, entry, None, None)
    return ledger.damage_of(name, entry, len(data), lambda: hashlib.sha256(data).hexdigest())


_RANGES = {
    "split": (0, len(schema.SPLITS) - 1),
    "crystal_system": (1, 7),
    "space_group": (1, 230),
    "n_atoms": (1, 1_000_000),
    "volume": (1e-3, 1e12),
}
"""Labels that are used as indices and divisors."""
