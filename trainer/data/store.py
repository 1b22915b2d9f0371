"""What is in a dataset, read with numpy and zarr alone: labels, patterns, sticks and densities of committed shards.

The format is specified in docs/store-format.md. A dataset may still be in the making: only shards with a receipt in its
ledger can be read, whatever files lie there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from trainer.data.location import Location, locate
from trainer.errors import TrainerError

FORMAT = "pxrd-datagen"
KNOWN_VERSIONS = (1,)
LEDGER = "ledger"


@dataclass(frozen=True, eq=False)
class Sticks:
    """A structure's reflections before broadening, by line, then angle."""

    two_theta_deg: NDArray[np.float64]
    intensity: NDArray[np.float64]
    """Area under the peak."""
    line: NDArray[np.uint8]
    """Which of the instrument's lines."""
    members: NDArray[np.int32] | None = None
    """Friedel pairs that make up each reflection; they and what follows are there where texture was drawn."""
    member_hkl: NDArray[np.int16] | None = None
    member_intensity: NDArray[np.float64] | None = None
    reciprocal_metric: NDArray[np.float64] | None = None


def open_dataset(where: str | Path) -> Dataset:
    """The dataset in a folder, a .zarr.zip, at an address or of that name; refuses formats it does not know."""
    return Dataset(where)


class Dataset:
    """A dataset, finished or in the making. Rows are structures; reading is safe from threads and spawned processes.

    A process that was forked must open its own: zarr's event loop does not survive a fork.
    """

    def __init__(self, where: str | Path) -> None:
        self.path = locate(where)
        self._where = where
        self.attributes = _attributes(self.path)
        """Everything the dataset says of itself: configuration, instrument, software, licences."""
        self._layout: dict[str, Any] = self.attributes["layout"]
        self._group = zarr.open_group(self.path.zarr_store(), mode="r", zarr_format=3)
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._committed: dict[int, dict[str, Any]] = {}
        self._checked: set[tuple[int, str | None]] = set()
        self.refresh()

    def __reduce__(self) -> tuple[Any, ...]:
        return (open_dataset, (self._where,))

    def reopened(self) -> Dataset:
        """Open the dataset again, for a process that was forked."""
        return open_dataset(self._where)

    @property
    def n_structures(self) -> int:
        """Structures of the finished dataset."""
        return int(self._layout["n_structures"])

    @property
    def n_augmentations(self) -> int:
        """Patterns per structure."""
        return int(self._layout["n_augmentations"])

    @property
    def n_shards(self) -> int:
        """Shards of the finished dataset."""
        return -(-self.n_structures // self._structures_per_shard)

    @property
    def complete(self) -> bool:
        """Whether every shard was committed when this was last looked up."""
        return len(self._committed) == self.n_shards

    @property
    def two_theta_deg(self) -> NDArray[np.float64]:
        """The patterns' angles."""
        return self.column("two_theta")

    @property
    def pattern_step(self) -> float:
        """Relative intensity of one unit of `stored_pattern`."""
        return float(self._array("pattern").attrs["scale_factor"])  # type: ignore[arg-type]

    @property
    def instrument(self) -> dict[str, Any]:
        """The diffractometer: lines, polarisation, axial divergence, range of angles."""
        if "instrument" not in self.attributes:
            raise TrainerError(f"{self.path}: its attributes name no instrument; it cannot be broadened again")
        found: dict[str, Any] = self.attributes["instrument"]
        return found

    def has(self, variable: str) -> bool:
        """Whether the dataset was made with this variable."""
        return variable in self._group

    def vocabulary(self, variable: str) -> dict[int, str]:
        """What each value of a label means: crystal systems, sides of the split."""
        attributes = self._array(variable).attrs
        values, meanings = attributes.get("flag_values"), attributes.get("flag_meanings")
        if not isinstance(values, list | tuple) or not isinstance(meanings, str):
            raise TrainerError(f"{self.path}: {variable} has no vocabulary; expected flag_values and flag_meanings")
        return {int(str(v)): m for v, m in zip(values, meanings.split(), strict=True)}

    def refresh(self) -> tuple[int, ...]:
        """Look for shards committed since; numbers of all that are."""
        listed = self.path.names(LEDGER)
        names = [_receipt_name(shard) for shard in range(self.n_shards)] if listed is None else listed
        new = [name for name in names if name.startswith("shard-") and name.endswith(".json")]
        for receipt in self.path.each(self._receipt, new):
            shard = receipt.get("shard")
            if receipt.get("format_version") in KNOWN_VERSIONS and isinstance(shard, int) and shard < self.n_shards:
                self._committed[shard] = receipt
        return self.committed_shards

    @property
    def committed_shards(self) -> tuple[int, ...]:
        """Shards that can be read, in order."""
        return tuple(sorted(self._committed))

    def rows(self, split: str | None = None, *, with_density: bool = False) -> NDArray[np.int64]:
        """Rows of committed shards, of one side of the split, with a density where asked."""
        parts = [np.arange(*self._range(shard)) for shard in self.committed_shards]
        found = np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, dtype=np.int64)
        if split is not None:
            number = {name: value for value, name in self.vocabulary("split").items()}
            if split not in number:
                raise TrainerError(f"{self.path}: expected a split out of {', '.join(number)}, found {split!r}")
            found = found[self.column("split")[found] == number[split]]
        return found[self._flag("has_density")[found]] if with_density else found

    def column(self, name: str) -> NDArray[Any]:
        """A label or coordinate of every structure at once, shards or not: these are known from the start."""
        array = self._array(name)
        if self._is_by_shard(array):
            raise TrainerError(f"{self.path}: {name} is written shard by shard; read it by row")
        return np.asarray(array[...])

    def text(self, name: str) -> list[str]:
        """A text label as strings: formula, source, source_id, licence, structure_hash, group."""
        return [row.tobytes().rstrip(b"\0").decode() for row in self.column(name)]

    def stored_pattern(self, row: int) -> NDArray[np.uint16]:
        """Patterns (augmentation, two_theta) as stored; times `pattern_step` they are relative to their maxima."""
        return self.values("pattern", row)

    def pattern(self, row: int) -> NDArray[np.float32]:
        """Patterns (augmentation, two_theta), each relative to its own maximum."""
        return self.stored_pattern(row).astype(np.float32) * np.float32(self.pattern_step)

    def sticks(self, row: int) -> Sticks:
        """The reflections of a structure."""
        n = int(self.values("n_reflections", row))
        line = self._array("reflection_line")[row, :n] if self.has("reflection_line") else np.zeros(n)
        found = Sticks(
            np.asarray(self._array("reflection_two_theta")[row, :n]),
            np.asarray(self._array("reflection_intensity")[row, :n]),
            np.asarray(line, dtype=np.uint8),
        )
        if not self.has("member_hkl"):
            return found
        m = int(self.values("n_members", row))
        return Sticks(
            found.two_theta_deg,
            found.intensity,
            found.line,
            np.asarray(self._array("reflection_members")[row, :n]),
            np.asarray(self._array("member_hkl")[row, :m]),
            np.asarray(self._array("member_intensity")[row, :m]),
            self.values("reciprocal_metric", row),
        )

    def density(self, row: int) -> NDArray[np.float32]:
        """Electron density (x, y, z) in e/A^3; an error where the structure has none."""
        return self._optional("density", row)

    def xrd_peaks(self, row: int) -> NDArray[np.float32]:
        """CrystalNet's stick vector; an error where it was not computed."""
        return self._optional("xrd_peaks", row)

    def values(self, name: str, row: int) -> NDArray[Any]:
        """Any variable of one structure, shard-wise or label; an error where its shard is not committed."""
        array = self._array(name)
        if self._is_by_shard(array):
            self.require([row], name)
        return np.asarray(array[int(row)])

    def block(self, name: str, first: int, last: int, width: int | None = None) -> NDArray[Any]:
        """Return a variable of consecutive structures, the first `width` entries of each; call `require` before."""
        array = self._array(name)
        return np.asarray(array[first:last] if width is None else array[first:last, :width])

    def require(self, rows: Iterable[int], variable: str | None = None) -> None:
        """Refuse rows whose shard is not committed or lacks a file its receipt names, of one variable or of all."""
        for shard in sorted({int(row) // self._structures_per_shard for row in rows}):
            if shard not in self._committed:
                raise TrainerError(
                    f"{self.path}: shard {shard} is not committed; expected one of {len(self._committed)} that are. "
                    "Wait for the run, or give its command again"
                )
            if (shard, variable) not in self._checked:
                _check_files(self.path, self._committed[shard], variable)
                self._checked.add((shard, variable))

    @property
    def _structures_per_shard(self) -> int:
        return int(self._layout["structures_per_shard"])

    def _range(self, shard: int) -> tuple[int, int]:
        first = shard * self._structures_per_shard
        return first, min(first + self._structures_per_shard, self.n_structures)

    def _array(self, name: str) -> zarr.Array[Any]:
        if name not in self._arrays:
            try:
                found = self._group[name]
            except KeyError:
                raise TrainerError(f"{self.path}: this dataset has no {name}; it was not asked for") from None
            assert isinstance(found, zarr.Array)
            self._arrays[name] = found
        return self._arrays[name]

    def _is_by_shard(self, array: zarr.Array[Any]) -> bool:
        return array.name.removeprefix("/") in self.attributes["shard_variables"]

    def _flag(self, name: str) -> NDArray[np.bool_]:
        if not self.has(name):
            return np.zeros(self.n_structures, dtype=np.bool_)
        self.require((first for first, _ in map(self._range, self.committed_shards)), name)
        return np.asarray(self._array(name)[...], dtype=np.bool_)

    def _receipt(self, name: str) -> dict[str, Any]:
        """What the ledger says; nothing where a web server has no such file."""
        try:
            return _json(self.path, f"{LEDGER}/{name}")
        except FileNotFoundError:
            return {}

    def _optional(self, name: str, row: int) -> NDArray[np.float32]:
        if not bool(self.values(f"has_{name}", row)):
            raise TrainerError(f"{self.path}: structure {row} has no {name}")
        return self.values(name, row)


def _attributes(path: Location) -> dict[str, Any]:
    try:
        found: dict[str, Any] = _json(path, "zarr.json").get("attributes", {})
    except (FileNotFoundError, NotADirectoryError):
        raise TrainerError(f"{path}: no dataset here; expected {path}/zarr.json") from None
    if found.get("format") != FORMAT:
        raise TrainerError(f"{path}: expected a dataset of format {FORMAT}, found {found.get('format')!r}")
    if found.get("format_version") not in KNOWN_VERSIONS:
        raise TrainerError(
            f"{path}: expected a format version out of {KNOWN_VERSIONS}, found {found.get('format_version')}; "
            "use the trainer of the version that wrote it"
        )
    return found


def _check_files(path: Location, receipt: dict[str, Any], variable: str | None) -> None:
    """A missing chunk would read as fill values, so every file is asked for before it is read."""
    files = {n: e for n, e in receipt["files"].items() if variable is None or n.startswith(f"{variable}/")}
    for (name, entry), size in zip(files.items(), path.each(path.size, files), strict=True):
        if size != entry["size"]:
            found = "no file" if size is None else f"{size} bytes"
            raise TrainerError(
                f"{path}/{name}: expected {entry['size']} bytes, found {found}; run datagen verify on {path}"
            )


def _receipt_name(shard: int) -> str:
    return f"shard-{shard:05d}.json"


def _json(path: Location, name: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read(name))
    except ValueError as error:
        raise TrainerError(
            f"{path}/{name}: expected JSON, found something else ({error}); run datagen verify"
        ) from error
    if not isinstance(content, dict):
        raise TrainerError(f"{path}/{name}: expected an object, found {type(content).__name__}; run datagen verify")
    return content
