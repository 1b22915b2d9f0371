"""Which dataset is this, and is it whole? Finished datasets as everything here reads them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import zarr
from numpy.typing import NDArray

from datagen.errors import StoreError
from datagen.steps.structures_table import CURATION_TABLE
from datagen.store import ledger, schema, zarr_store
from datagen.store.location import Location, Where, location_of
from datagen.store.schema import Layout


@dataclass(frozen=True, eq=False)
class Finished:
    """A complete dataset with its receipts; `open_finished` makes one."""

    path: Location
    """Where it lies, on this machine or elsewhere."""
    attributes: dict[str, Any]
    layout: Layout
    frame: dict[str, dict[str, Any]]
    receipts: dict[int, ledger.Receipt]
    _columns: dict[str, NDArray[Any]] = field(default_factory=dict, repr=False)

    @property
    def files(self) -> dict[str, dict[str, Any]]:
        """Every file that the ledger knows, with size and sha256."""
        found = dict(self.frame)
        for receipt in self.receipts.values():
            found |= receipt.files
        return dict(sorted(found.items()))

    @cached_property
    def content(self) -> str:
        """Hash of all its files' checksums: equal exactly where every byte of data is equal, wherever it lies."""
        listed = json.dumps({name: entry["sha256"] for name, entry in self.files.items()}, sort_keys=True)
        return hashlib.sha256(listed.encode()).hexdigest()

    @property
    def configuration(self) -> dict[str, Any]:
        """What was asked for when it was made."""
        if "configuration" not in self.attributes:
            raise StoreError(f"{self.path}: its attributes hold no configuration; expected the one it was made by")
        found: dict[str, Any] = self.attributes["configuration"]
        return found

    def column(self, name: str) -> NDArray[Any]:
        """A label of every structure as stored; text as `str`. Read once."""
        if name not in self._columns:
            array = self._group[name]
            assert isinstance(array, zarr.Array)
            values = np.asarray(array[...])
            if values.ndim == 2 and name in _TEXTS:
                values = np.array(zarr_store.decode_text(values), dtype=object)
            values.flags.writeable = False
            self._columns[name] = values
        return self._columns[name]

    @cached_property
    def _group(self) -> zarr.Group:
        return zarr_store.open_group(self.path)

    def verdicts(self) -> pa.NativeFile:
        """Return the table with the verdict on every input, for Arrow."""
        return self.path.arrow_file(CURATION_TABLE)

    def check_files(self, names: dict[str, dict[str, Any]]) -> None:
        """Refuse to go on where one of these files is not what the ledger says, byte by byte."""
        self._refuse(ledger.damages(self.path, names))

    def bytes_of(self, names: dict[str, dict[str, Any]]) -> dict[str, memoryview]:
        """These files' bytes, each read once; refuses to go on where one is not what the ledger says."""
        found = dict(zip(names, self.path.each(self._view, names), strict=True))
        self._refuse([damage for name, entry in names.items() if (damage := _damage(name, found[name], entry))])
        return {name: data for name, data in found.items() if data is not None}

    def _view(self, name: str) -> memoryview | None:
        try:
            return self.path.view(name)
        except FileNotFoundError:
            return None

    def _refuse(self, damaged: list[ledger.Damage]) -> None:
        if damaged:
            raise StoreError(
                f"{self.path}: {len(damaged)} files are damaged, the first {damaged[0]}; repair it by the command of "
                "its run, or fetch it again"
            )


def open_finished(where: Where) -> Finished:
    """The dataset there; refuses one that is not finished, lacks receipts or whose frame is damaged."""
    path = location_of(where)
    attributes = zarr_store.read_attributes(path)
    layout = Layout.from_dict(attributes["layout"])
    receipts = ledger.committed(path)
    if not attributes.get("complete"):
        raise StoreError(
            f"{path}: expected a complete dataset, found {len(receipts)} of {layout.n_shards} shards committed; "
            "let its run finish first (datagen status tells how far it is)"
        )
    frame = ledger.read_frame(path)
    if frame is None or CURATION_TABLE not in frame or sorted(receipts) != list(range(layout.n_shards)):
        raise StoreError(
            f"{path}: its ledger is not whole: expected {ledger.FRAME} and {layout.n_shards} receipts; "
            "datagen verify tells what is missing"
        )
    found = Finished(path, attributes, layout, frame, receipts)
    found.check_files(frame)
    return found


def _damage(name: str, data: memoryview | None, entry: dict[str, Any]) -> ledger.Damage | None:
    if data is None:
        return ledger.damage_of(name, entry, None, None)
    return ledger.damage_of(name, entry, len(data), lambda: hashlib.sha256(data).hexdigest())


_TEXTS = {variable.name for variable in schema.LABELS if schema.is_text(variable)}
