"""Making of an index from the structures that `curation.parquet` lists, whatever the instrument of the dataset.

Entries are written as they come, so that a million structures take no more memory than a thousand.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import spglib
from numpy.typing import NDArray

from curation.cores import usable_cores
from curation.crystal import Crystal
from curation.table import VERDICT_SCHEMA
from datagen.errors import DatagenError, StoreError
from datagen.identification.axis import CU_KALPHA1_A, N_BINS, POWER, Q_MAX, Q_MIN, bin_of
from datagen.identification.index import (
    ARRAYS,
    FACTS,
    HALF_WIDTH,
    MARGIN,
    MOST,
    NAME_FIELDS,
    NAMES,
    TABLE,
    VERSION,
    WEAKEST,
    Index,
    folder_of,
    load_index,
    rough_of,
    settings,
)
from datagen.identification.strain import free_strains
from datagen.simulate.gsas2.cell import quiet_spglib
from datagen.simulate.instrument import Instrument, Line
from datagen.simulate.phase_library import density_g_cm3
from datagen.simulate.refusal import Unsimulable
from datagen.simulate.sticks import compute_sticks
from datagen.store.bounded_table import read_batches
from datagen.store.damaged import damage_explained
from datagen.store.location import Location, location_of

REPLACEMENTS = 5
_AT_ONCE = 64
_NAMES_AT_ONCE = 4096
_COLUMNS = (
    "structure", "row", "status", "space_group", "symprec_A", "angle_tolerance_deg", "space_group_at", "formula",
    "source", "source_id", "group",
)  # fmt: skip
_NAME_SCHEMA = pa.schema([(name, pa.string()) for name in NAME_FIELDS])
INSTRUMENT = Instrument(
    lines=(Line(wavelength_A=CU_KALPHA1_A),),
    polarisation=0.5,
    two_theta_min_deg=math.degrees(2 * math.asin(Q_MIN / MARGIN * CU_KALPHA1_A / (4 * math.pi))),
    two_theta_max_deg=math.degrees(2 * math.asin(Q_MAX * MARGIN * CU_KALPHA1_A / (4 * math.pi))),
    n_points=64,
    geometry="reflection",
)


def open_index(
    dataset: Path | Location, *, workers: int | None = None, report: Callable[[int], None] = lambda n: None
) -> Index:
    """Return the index of a dataset, made first where there is none or it is stale."""
    folder = folder_of(dataset)
    found = load_index(dataset, folder)
    if found is None:
        found = load_index(dataset, build_index(dataset, folder, workers=workers, report=report))
    if found is None:
        raise StoreError(f"{location_of(dataset)}: its table changed while its index was made; re-run the same command")
    return found


def build_index(
    dataset: Path | Location, out: Path, *, workers: int | None = None, report: Callable[[int], None] = lambda n: None
) -> Path:
    """Make the index of a dataset in folder `out`, whole or not at all."""
    out.parent.mkdir(parents=True, exist_ok=True)
    # Of its own name: two programs may make the index of one dataset at a time.
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
    try:
        location = location_of(dataset)
        with damage_explained(location, TABLE):
            table_sha256 = location.checksum(TABLE)
        write_index(_entries_of(location, workers or usable_cores(), report), partial, table_sha256, str(location))
        return _replaced(out, partial)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_index(entries: Iterator[dict[str, Any]], folder: Path, table_sha256: str, name: str) -> None:
    """Write entries, of which empty ones are left out, to an empty folder as they come."""
    counts: Counter[str] = Counter()
    with _Writer(folder) as writer:
        for found in entries:
            counts["structures" if found else "left_out"] += 1
            if found:
                writer.add(found)
    if not counts["structures"]:
        raise DatagenError(f"{name}: its table {TABLE} lists no structure that can be indexed")
    files = [*(f"{array}.npy" for array in ARRAYS), NAMES]
    (folder / FACTS).write_text(
        json.dumps(
            {
                "format": "pxrd-identify-index",
                "format_version": VERSION,
                "settings": settings(),
                "table_sha256": table_sha256,
                "structures": counts["structures"],
                "left_out": counts["left_out"],
                "files": {file: _checksum(folder / file) for file in files},
            }
        )
    )


def _entries_of(location: Location, workers: int, report: Callable[[int], None]) -> Iterator[dict[str, Any]]:
    """Yield the entries of all structures, in their order; few batches ahead of the one that is yielded."""
    lines = _structures(location)
    done = 0
    with ProcessPoolExecutor(workers) as pool:
        ahead: deque[Future[list[dict[str, Any]]]] = deque()
        while (batch := list(islice(lines, _AT_ONCE))) or ahead:
            if batch:
                ahead.append(pool.submit(_entries, batch))
            if len(ahead) > 4 * workers or not batch:
                with damage_explained(location, f"a structure of {TABLE}"):
                    entries = ahead.popleft().result()
                yield from entries
                done += len(entries)
                report(done)


def _replaced(out: Path, partial: Path) -> Path:
    partial.chmod(0o755)
    for _ in range(REPLACEMENTS):
        shutil.rmtree(out, ignore_errors=True)
        try:
            partial.rename(out)
        except OSError:  # another program put its index there in between
            continue
        return out
    raise StoreError(f"{out}: the new index could not be moved there; other programs make it at the same time")


class _Writer:
    """Arrays that grow on disk, with the names of the structures."""

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, IO[bytes]] = {name: (folder / f"{name}.npy").open("wb") for name in ARRAYS}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._names: list[dict[str, str]] = []
        self._sink = pa.OSFile(str(folder / NAMES), "wb")
        self._table = pa.ipc.new_file(self._sink, _NAME_SCHEMA)
        self._append("first", np.zeros(1))

    def add(self, entry: dict[str, Any]) -> None:
        """Append a structure."""
        for name in ("hkl", "intensity"):
            self._append(name, entry[name])
        self._append("first", np.array([self._shapes["hkl"][0]]))
        self._append("rough", rough_of(entry["pattern"])[None])
        for name in ARRAYS:
            if name not in ("hkl", "intensity", "first", "rough"):
                self._append(name, np.asarray(entry[name])[None])
        self._names.append(entry["name"])
        if len(self._names) == _NAMES_AT_ONCE:
            self._write_names()

    def _append(self, name: str, values: NDArray[Any]) -> None:
        file = self._files[name]
        if name not in self._shapes:
            self._shapes[name] = (0, *values.shape[1:])
            self._write_header(name)
        file.write(np.ascontiguousarray(values, dtype=ARRAYS[name]).tobytes())
        self._shapes[name] = (self._shapes[name][0] + len(values), *values.shape[1:])

    def _write_header(self, name: str) -> None:
        # A header has room for any number of rows, so that it can be written again when their number is known.
        np.lib.format.write_array_header_1_0(
            self._files[name],
            {"descr": np.dtype(ARRAYS[name]).str, "fortran_order": False, "shape": self._shapes[name]},
        )

    def _write_names(self) -> None:
        self._table.write_batch(pa.RecordBatch.from_pylist(self._names, schema=_NAME_SCHEMA))
        self._names.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if error is None and self._names:
            self._write_names()
        self._table.close()
        self._sink.close()
        for name, file in self._files.items():
            if error is None and name in self._shapes:
                file.seek(0)
                self._write_header(name)
            file.close()


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _structures(location: Location) -> Iterator[dict[str, Any]]:
    with damage_explained(location, TABLE):
        opened = location.arrow_file(TABLE)
    with opened as source:
        with damage_explained(location, TABLE):
            columns = pq.read_schema(source)
            missing = [name for name in _COLUMNS if name not in columns.names]
            if not missing:
                _refuse_other_types(columns)
            batches = read_batches(source, _COLUMNS)
        if missing:
            raise DatagenError(f"{location}: its table {TABLE} has no column {missing[0]!r}, which an index needs")
        while True:
            with damage_explained(location, TABLE):
                batch = next(batches, None)
            if batch is None:
                return
            for line in batch.to_pylist():
                if line["row"] is not None and line["structure"]:
                    yield line


def _refuse_other_types(columns: pa.Schema) -> None:
    for name in _COLUMNS:
        wanted = VERDICT_SCHEMA.field(name).type if name in VERDICT_SCHEMA.names else pa.int64()
        found = columns.field(name).type
        checks = (pa.types.is_integer, pa.types.is_floating, pa.types.is_list)
        if [check(found) for check in checks] != [check(wanted) for check in checks]:
            raise ValueError(f"column {name}: expected {wanted}, found {found}")


def _entries(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [entry(line) for line in lines]


def entry(line: dict[str, Any]) -> dict[str, Any]:
    """Return the arrays of one structure; empty where it has no reflection on the axis."""
    crystal = Crystal.from_json(line["structure"])
    try:
        sticks = compute_sticks(crystal, INSTRUMENT)
    except Unsimulable:
        return {}
    angle = np.radians(sticks.two_theta_deg)
    factor = (1 + np.cos(angle) ** 2) / (4 * np.sin(angle / 2) ** 2 * np.cos(angle / 2))
    ln_q = np.log(4 * np.pi * np.sin(angle / 2) / CU_KALPHA1_A)
    pattern = clean_pattern(bin_of(ln_q), sticks.intensity)
    if not pattern.any():
        return {}
    strong = np.argsort(-sticks.intensity)[:MOST]
    strong = np.sort(strong[sticks.intensity[strong] > WEAKEST * sticks.intensity.max()])
    f_squared = sticks.intensity[strong] / factor[strong]
    strains, conventional = _symmetry(crystal, line)
    padded = np.zeros((5, 3, 3))
    padded[: len(strains)] = strains
    elements = np.zeros(118, dtype=bool)
    elements[[_atomic_number(name) - 1 for name in set(crystal.species)]] = True
    return {
        "pattern": pattern,
        "hkl": sticks.member_hkl[sticks.member_start[strong]],
        "intensity": f_squared / f_squared.max(),
        "reciprocal": np.linalg.inv(crystal.lattice_A).T,
        "strains": padded,
        "n_strains": len(strains),
        "conventional": conventional,
        "mass": density_g_cm3(crystal) / f_squared.max(),
        "space_group": line["space_group"],
        "row": line["row"],
        "elements": elements,
        "name": {name: str(line[name]) for name in ("formula", "source", "source_id", "group")},
    }


def clean_pattern(positions: NDArray[np.float64], intensity: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return a pattern of triangular lines in pairs of bins, to the power POWER; 255 at its maximum."""
    lines = np.zeros(N_BINS)
    reach = math.ceil(HALF_WIDTH)
    nearest = np.rint(positions).astype(np.int64)
    for offset in range(-reach, reach + 1):
        at = nearest + offset
        height = intensity * (1 - np.abs(at - positions) / HALF_WIDTH).clip(min=0)
        inside = (at >= 0) & (at < N_BINS)
        np.add.at(lines, at[inside], height[inside])
    paired = ((lines / max(float(lines.max()), 1e-300)) ** POWER).reshape(-1, 2).mean(axis=1)
    return np.asarray(np.rint(255 * paired / max(float(paired.max()), 1e-300)), dtype=np.uint8)


def _symmetry(crystal: Crystal, line: dict[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the free strains and the conventional cell (rows, in terms of the own cell).

    They follow from the operations that spglib finds at a tolerance that gives the labelled group; none, and zeros,
    where no tolerance does.
    """
    sites: dict[tuple[float, ...], list[tuple[str, float, float]]] = {}
    for name, occupancy, xyz, u in zip(
        crystal.species, crystal.occupancy.tolist(), crystal.fractional.tolist(), crystal.u_iso_A2.tolist(), strict=True
    ):
        sites.setdefault(tuple(xyz), []).append((name, occupancy, u))
    occupants = [tuple(here) for here in sites.values()]
    kinds = {here: number for number, here in enumerate(dict.fromkeys(occupants))}
    cell = (crystal.lattice_A.tolist(), [list(xyz) for xyz in sites], [kinds[here] for here in occupants])
    pairs = zip(line["symprec_A"], line["angle_tolerance_deg"], line["space_group_at"], strict=True)
    for symprec_A, angle_deg, group in pairs:
        if group == line["space_group"]:
            with quiet_spglib():
                found = spglib.get_symmetry_dataset(cell, symprec=symprec_A, angle_tolerance=angle_deg)
            if found is not None and found.number == line["space_group"]:
                conventional = np.rint(np.linalg.inv(found.transformation_matrix).T).astype(np.int64)
                return free_strains(crystal.lattice_A, np.asarray(found.rotations, dtype=np.int64)), conventional
    return np.zeros((0, 3, 3)), np.zeros((3, 3), dtype=np.int64)


def _atomic_number(species: str) -> int:
    import gemmi

    return int(gemmi.Element("".join(c for c in species if c.isalpha())).atomic_number)
