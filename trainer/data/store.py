"""Labels, patterns, reflections and densities of a dataset, read with numpy and zarr alone.

The format is specified in docs/store-format.md. A dataset may still be growing: only shards with a receipt in its
ledger can be read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import LocalStore

from trainer.data.limits import MOST_CHUNK_BYTES, BoundedStore
from trainer.data.location import Location, locate
from trainer.data.metadata import (
    LEDGER,
    VERIFY,
    check_variable,
    read_attributes,
    read_instrument,
    read_layout,
    read_range,
    read_receipt,
)
from trainer.data.reflections import Reflections, Sticks, on_instrument
from trainer.errors import TrainerError

SLOTS_AT_ONCE = 1024
"""Slots of a variable that are read of every structure of a block; the length of a chunk that datagen writes."""
FEWEST_SCAN_POINTS = 50
LARGEST_STRAIN = 0.1
"""Of an isotropic strain and of the components of another."""
MALFORMED = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError),
    *(OSError, RuntimeError, SystemError, TypeError, ValueError),
)
"""What zarr and its codecs raise on content that datagen does not write."""


@dataclass(frozen=True, eq=False)
class StoredScan:
    """A measured scan."""

    two_theta_deg: NDArray[np.float64]
    intensity: NDArray[np.float64]
    sigma: NDArray[np.float32]
    wavelength_A: float


def open_dataset(where: str | Path) -> Dataset:
    """Open a dataset: a folder, `.zarr.zip`, URL or registered name."""
    return Dataset(where)


class Dataset:
    """A dataset, finished or growing. Rows are structures; reading is safe from threads and spawned processes.

    A forked process must open it again: zarr's event loop does not survive a fork.
    """

    def __init__(self, where: str | Path) -> None:
        self.path = locate(where)
        self._where = where
        self.attributes = read_attributes(self.path)
        """Metadata: configuration, instrument, software, licences."""
        self._layout = read_layout(self.path, self.attributes)
        store = self.path.zarr_store()
        if isinstance(store, Path):
            store = LocalStore(store, read_only=True)
        with self._reading("zarr.json"):
            self._group = zarr.open_group(BoundedStore(store), mode="r", zarr_format=3)
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._columns: dict[str, NDArray[Any]] = {}
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
        """Number of structures of the finished dataset."""
        return self._layout.n_structures

    @property
    def n_augmentations(self) -> int:
        """Number of patterns per structure."""
        return self._layout.n_augmentations

    @property
    def n_shards(self) -> int:
        """Number of shards of the finished dataset."""
        return -(-self.n_structures // self._structures_per_shard)

    @property
    def complete(self) -> bool:
        """Whether every shard was committed at the last `refresh`."""
        return len(self._committed) == self.n_shards

    @property
    def two_theta_deg(self) -> NDArray[np.float64]:
        """Angles of the patterns."""
        return self.column("two_theta")

    @property
    def pattern_step(self) -> float:
        """Relative intensity of one unit of `stored_pattern`."""
        with self._reading("the scale_factor of pattern"):
            return float(self._array("pattern").attrs["scale_factor"])  # type: ignore[arg-type]

    @property
    def instrument(self) -> dict[str, Any]:
        """The diffractometer: lines, polarisation, axial divergence, range of angles."""
        return read_instrument(self.path, self.attributes, self._layout)

    def has(self, variable: str) -> bool:
        """Return whether the dataset has this variable."""
        with self._reading(variable):
            return variable in self._group

    def vocabulary(self, variable: str) -> dict[int, str]:
        """Return the meaning of each value of a label, such as crystal_system or split."""
        attributes = self._array(variable).attrs
        values, meanings = attributes.get("flag_values"), attributes.get("flag_meanings")
        if not isinstance(values, list | tuple) or not isinstance(meanings, str):
            raise TrainerError(f"{self.path}: {variable} has no vocabulary; expected flag_values and flag_meanings")
        with self._reading(f"the vocabulary of {variable}"):
            return {int(str(v)): m for v, m in zip(values, meanings.split(), strict=True)}

    @property
    def measured(self) -> bool:
        """Whether the patterns were measured."""
        return self.has("scan_intensity")

    def scan(self, row: int) -> StoredScan:
        """Read a measured scan as it was measured."""
        n = int(self.values("n_scan_points", row))
        found = StoredScan(
            self._first("scan_two_theta", row, n),
            self._first("scan_intensity", row, n),
            self._first("scan_sigma", row, n),
            float(self.values("scan_wavelength", row)),
        )
        angles, numbers = found.two_theta_deg, (found.two_theta_deg, found.intensity, found.sigma)
        sound = n >= FEWEST_SCAN_POINTS and all(np.isfinite(values).all() for values in numbers)
        rising = bool((np.diff(angles) > 0).all())
        if not (sound and rising and 0.05 < found.wavelength_A < 10):
            raise TrainerError(
                f"{self.path}: structure {row}: expected a scan of {FEWEST_SCAN_POINTS} finite points or more "
                f"at rising angles and a wavelength of 0.05 to 10 A, found {n} at {found.wavelength_A:g} A; {VERIFY}"
            )
        return found

    def refresh(self) -> tuple[int, ...]:
        """Look for newly committed shards; return the numbers of all."""
        listed = self.path.names(LEDGER)
        names = [_receipt_name(shard) for shard in range(self.n_shards)] if listed is None else listed
        new = [name for name in names if name.startswith("shard-") and name.endswith(".json")]
        for found in self.path.each(self._receipt, new):
            if found is not None:
                self._committed[found[0]] = found[1]
        return self.committed_shards

    @property
    def committed_shards(self) -> tuple[int, ...]:
        """Numbers of the shards that can be read, ascending."""
        return tuple(sorted(self._committed))

    def rows(self, split: str | None = None, *, with_density: bool = False) -> NDArray[np.int64]:
        """Return the rows of committed shards, optionally of one split or only those with a density."""
        parts = [np.arange(*self._range(shard)) for shard in self.committed_shards]
        found = np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, dtype=np.int64)
        if split is not None:
            number = {name: value for value, name in self.vocabulary("split").items()}
            if split not in number:
                raise TrainerError(f"{self.path}: expected a split out of {', '.join(number)}, found {split!r}")
            found = found[self.column("split")[found] == number[split]]
        return found[self._flag("has_density")[found]] if with_density else found

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Whether each structure has cell and space group: measured scans may lack either, others have both."""
        if not self.measured:
            return np.ones(self.n_structures, dtype=np.bool_)
        cells = np.isfinite(self.column("niggli")).all(axis=1)
        return np.asarray(cells & (self.column("space_group") > 0), dtype=np.bool_)

    def training_structures(self) -> NDArray[np.int64]:
        """Return the labelled structures of the split 'train', those of shards not yet committed included."""
        (train,) = (value for value, name in self.vocabulary("split").items() if name == "train")
        found = np.flatnonzero((self.column("split") == train) & self.labelled)
        if not len(found):
            raise TrainerError(f"{self.path}: no structure with cell and space group in the split 'train'")
        return found

    def column(self, name: str) -> NDArray[Any]:
        """Read a label or coordinate of all structures; these are complete from the start."""
        array = self._array(name)
        if self._is_by_shard(array):
            raise TrainerError(f"{self.path}: {name} is stored by shard; read it by row")
        with self._reading(name):
            return np.asarray(array[...])

    def text(self, name: str) -> list[str]:
        """Read a text label: formula, source, source_id, licence, structure_hash or group."""
        column = self.column(name)
        with self._reading(name):
            return [row.tobytes().rstrip(b"\0").decode() for row in column]

    def stored_pattern(self, row: int) -> NDArray[np.uint16]:
        """Read patterns (augmentation, two_theta) as integers, in units of `pattern_step`."""
        return self.values("pattern", row)

    def pattern(self, row: int) -> NDArray[np.float32]:
        """Read patterns (augmentation, two_theta), each relative to its maximum."""
        return self.stored_pattern(row).astype(np.float32) * np.float32(self.pattern_step)

    @property
    def with_patterns(self) -> bool:
        """Whether the dataset has patterns, not only reflections."""
        return self.n_augmentations > 0

    @property
    def of_crystals(self) -> bool:
        """Whether reflections are stored without an instrument: format 2."""
        return self.has("reflection_d")

    @property
    def textured(self) -> bool:
        """Whether texture is drawn, so that sticks have members."""
        if not self.of_crystals:
            return self.has("member_hkl")
        ranges = [self._range_of(name) or (1.0, 1.0, 1.0) for name in ("march_r", "size_ratio")]
        return any((low, high) != (1.0, 1.0) for low, high, _ in ranges)

    @property
    def largest_strain(self) -> float:
        """Bound of the relative change of d spacings, from the ranges that strain is drawn from."""

        def most(name: str) -> float:
            low, high, share = self._range_of(name) or (0.0, 0.0, 0.0)
            if max(-low, high) > LARGEST_STRAIN:
                raise TrainerError(
                    f"{self.path}: {name}: expected at most {LARGEST_STRAIN}, found {low:g} to {high:g}; {VERIFY}"
                )
            return max(abs(low), abs(high)) if share else 0.0

        return most("strain_isotropic") + 3 * most("strain_anisotropic")

    def _range_of(self, name: str) -> tuple[float, float, float] | None:
        return read_range(self.path, self.attributes, name)

    @property
    def d_min_A(self) -> float:
        """Spacing of lattice planes down to which reflections are stored."""
        if not self.of_crystals:
            wavelength = min(float(line["wavelength_A"]) for line in self.instrument["lines"])
            return wavelength / (2 * math.sin(math.radians(float(self.instrument["two_theta_max_deg"]) / 2)))
        stated = self.attributes.get("reflections")
        found = stated.get("d_min_A") if isinstance(stated, Mapping) else None
        if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found < math.inf:
            raise TrainerError(
                f"{self.path}: expected the smallest d of its reflections, reflections.d_min_A, in its attributes, "
                f"found {found!r:.80}; {VERIFY}"
            )
        return float(found)

    def reflections(self, rows: Sequence[int]) -> list[Reflections]:
        """Read what is stored of the crystals of some rows of one shard, ascending."""
        shard = rows[0] // self._structures_per_shard
        first, last = self._range(shard)
        if not all(first <= row < last for row in rows):
            raise ValueError("expected rows of one shard")
        for name in ("n_reflections", "reflection_d", "reflection_f2", "reflection_hkl", "rotations"):
            self.require(rows[:1], name)
        counts = self.block("n_reflections", first, last).astype(np.int64)
        start = np.concatenate([[0], np.cumsum(counts)])
        begin, end = int(start[rows[0] - first]), int(start[rows[-1] - first + 1])
        slots = self._array("reflection_d").shape[1]
        if (counts < 0).any() or start[-1] > slots or (end - begin) * 6 > MOST_CHUNK_BYTES:
            raise TrainerError(
                f"{self.path}: shard {shard}: expected up to {slots} reflections, found {counts.tolist()!s:.80}; "
                f"{VERIFY}"
            )
        d, f2, hkl = (self._run(f"reflection_{name}", shard, begin, end) for name in ("d", "f2", "hkl"))
        lines = np.zeros((end - begin, 0), dtype=np.float32)
        if self.has("reflection_f2_lines"):
            self.require(rows[:1], "reflection_f2_lines")
            lines = self._run("reflection_f2_lines", shard, begin, end)
        rotations = self.block("rotations", rows[0], rows[-1] + 1)
        n_rotations = rotations.any(axis=(2, 3)).sum(axis=1)
        cells, volumes = self._kept_column("niggli"), self._kept_column("volume")
        found = []
        for row in rows:
            part = slice(int(start[row - first]) - begin, int(start[row - first + 1]) - begin)
            own = rotations[row - rows[0], : max(1, n_rotations[row - rows[0]])]
            found.append(
                Reflections(
                    *(d[part], f2[part], lines[part], hkl[part], own),
                    *(cells[row].astype(np.float64), float(volumes[row])),
                )
            )
        return found

    def by_shard(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Group rows by shard, ascending, each row once."""
        ordered = np.unique(rows)
        cuts = np.flatnonzero(np.diff(ordered // self._structures_per_shard)) + 1
        return [block for block in np.split(ordered, cuts) if len(block)]

    def sticks(self, row: int) -> Sticks:
        """Read the reflections of a structure on the dataset's instrument."""
        if self.of_crystals:
            (found,) = self.reflections([int(row)])
            return on_instrument(found, self.instrument, members=self.textured, strain=self.largest_strain)
        n = int(self.values("n_reflections", row))
        line = self._first("reflection_line", row, n) if self.has("reflection_line") else np.zeros(n)
        bare = Sticks(
            self._first("reflection_two_theta", row, n),
            self._first("reflection_intensity", row, n),
            np.asarray(line, dtype=np.uint8),
        )
        if not self.has("member_hkl"):
            return bare
        m = int(self.values("n_members", row))
        return Sticks(
            bare.two_theta_deg,
            bare.intensity,
            bare.line,
            self._first("reflection_members", row, n),
            self._first("member_hkl", row, m),
            self._first("member_intensity", row, m),
            self.values("reciprocal_metric", row),
        )

    def density(self, row: int) -> NDArray[np.float32]:
        """Read the electron density (x, y, z) in e/A^3; refuse a structure without one."""
        return self._optional("density", row)

    def xrd_peaks(self, row: int) -> NDArray[np.float32]:
        """Read CrystalNet's stick vector; refuse a structure without one."""
        return self._optional("xrd_peaks", row)

    def values(self, name: str, row: int) -> NDArray[Any]:
        """Read a variable of one structure; refuse it if its shard is not committed."""
        array = self._array(name)
        if self._is_by_shard(array):
            self.require([row], name)
        with self._reading(name):
            return np.asarray(array[int(row)])

    def block(self, name: str, first: int, last: int, width: int | None = None) -> NDArray[Any]:
        """Return a variable of consecutive structures, the first `width` entries of each; call `require` before."""
        array = self._array(name)
        with self._reading(name):
            return np.asarray(array[first:last] if width is None else array[first:last, :width])

    def ragged(self, name: str, first: int, counts: NDArray[np.int64]) -> list[NDArray[Any]]:
        """Return the first `counts[i]` entries of structure `first + i`; call `require` before.

        A few long structures are read by themselves: their slots are empty in the others, but every empty chunk of a
        block takes time.
        """
        usual = min(int(counts.max(initial=0)), max(SLOTS_AT_ONCE, int(np.median(counts)) if len(counts) else 0))
        block = self.block(name, first, first + len(counts), usual)
        return [
            block[i, :count] if count <= usual else self.block(name, first + i, first + i + 1, count)[0]
            for i, count in enumerate(counts.tolist())
        ]

    def require(self, rows: Iterable[int], variable: str | None = None) -> None:
        """Refuse rows whose shard is not committed or lacks files that its receipt names, of one variable or of all."""
        for shard in sorted({int(row) // self._structures_per_shard for row in rows}):
            if shard not in self._committed:
                raise TrainerError(
                    f"{self.path}: shard {shard} is not committed; expected one of {len(self._committed)} that are. "
                    "Wait for the run or resume it"
                )
            if (shard, variable) not in self._checked:
                _check_files(self.path, self._committed[shard], variable)
                self._checked.add((shard, variable))

    @property
    def _structures_per_shard(self) -> int:
        return self._layout.structures_per_shard

    def _range(self, shard: int) -> tuple[int, int]:
        first = shard * self._structures_per_shard
        return first, min(first + self._structures_per_shard, self.n_structures)

    def _array(self, name: str) -> zarr.Array[Any]:
        if name not in self._arrays:
            if not self.has(name):
                made = "; it has reflections only: datagen render makes patterns of them" if name == "pattern" else ""
                raise TrainerError(f"{self.path}: this dataset has no {name}{made}")
            with self._reading(name):
                found = self._group[name]
                if not isinstance(found, zarr.Array):
                    raise TypeError("expected an array, found a group")
                check_variable(self.path, name, found, self._layout)
            self._arrays[name] = found
        return self._arrays[name]

    def _run(self, name: str, shard: int, begin: int, end: int) -> NDArray[Any]:
        """Return a part of an array along the reflections of a shard."""
        array = self._array(name)
        with self._reading(name):
            return np.asarray(array[shard, begin:end])

    def _kept_column(self, name: str) -> NDArray[Any]:
        if name not in self._columns:
            self._columns[name] = self.column(name)
        return self._columns[name]

    def _first(self, name: str, row: int, n: int) -> NDArray[Any]:
        """Return the first n entries of one structure."""
        array = self._array(name)
        if not 0 <= n <= array.shape[1]:
            raise TrainerError(
                f"{self.path}: structure {row}: expected 0 to {array.shape[1]} entries of {name}, found {n}; {VERIFY}"
            )
        with self._reading(name):
            return np.asarray(array[int(row), :n])

    def _is_by_shard(self, array: zarr.Array[Any]) -> bool:
        return array.name.removeprefix("/") in self.attributes["shard_variables"]

    def _flag(self, name: str) -> NDArray[np.bool_]:
        if not self.has(name):
            return np.zeros(self.n_structures, dtype=np.bool_)
        self.require((first for first, _ in map(self._range, self.committed_shards)), name)
        with self._reading(name):
            return np.asarray(self._array(name)[...], dtype=np.bool_)

    def _receipt(self, name: str) -> tuple[int, dict[str, Any]] | None:
        return read_receipt(self.path, name, self.n_shards)

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        """Name the variable in errors of zarr and its codecs about damaged content."""
        try:
            yield
        except MALFORMED as error:
            first_line = (str(error).splitlines() or [""])[0]
            raise TrainerError(
                f"{self.path}: {name} cannot be read ({type(error).__name__}: {first_line:.200}); {VERIFY}"
            ) from error

    def _optional(self, name: str, row: int) -> NDArray[np.float32]:
        if not bool(self.values(f"has_{name}", row)):
            raise TrainerError(f"{self.path}: structure {row} has no {name}")
        return self.values(name, row)


def _check_files(path: Location, receipt: dict[str, Any], variable: str | None) -> None:
    """Refuse missing or truncated files: zarr reads a missing chunk as fill values."""
    files = {n: e for n, e in receipt["files"].items() if variable is None or n.startswith(f"{variable}/")}
    for (name, entry), size in zip(files.items(), path.each(path.size, files), strict=True):
        if size != entry["size"]:
            found = "no file" if size is None else f"{size} bytes"
            raise TrainerError(
                f"{path}/{name}: expected {entry['size']} bytes, found {found}; run datagen verify on {path}"
            )


def _receipt_name(shard: int) -> str:
    return f"shard-{shard:05d}.json"
