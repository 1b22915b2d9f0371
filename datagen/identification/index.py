"""The index of a dataset for identification: a clean pattern, reflections and free strains of each structure.

It is made once from the structures that `curation.parquet` lists, whatever the instrument of the dataset, and kept as
plain arrays in a folder, memory-mapped when used. It belongs to the bytes of that table: after a change it is stale.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

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
from datagen.identification.strain import free_strains
from datagen.simulate.gsas2.cell import quiet_spglib
from datagen.simulate.instrument import Instrument, Line
from datagen.simulate.phase_library import density_g_cm3
from datagen.simulate.refusal import Unsimulable
from datagen.simulate.sticks import compute_sticks
from datagen.store.bounded_table import read_batches
from datagen.store.damaged import damage_explained
from datagen.store.location import Location, is_url, location_of

VERSION = 2
TABLE, FACTS = "curation.parquet", "index.json"
HALF_WIDTH = 4.5
"""Of a line in a clean pattern, bins: wider than a laboratory's lines, so that nearly equal cells look alike."""
WEAKEST, MOST = 1e-3, 250
"""Reflections that are kept: of the strongest one, and how many."""
MARGIN = 1.1
"""Reflections this far beyond the axis are kept: another size of the crystal brings them onto it."""
REPLACEMENTS = 5
_AT_ONCE = 64
_COLUMNS = (
    "structure", "row", "status", "space_group", "symprec_A", "angle_tolerance_deg", "space_group_at", "formula",
    "source", "source_id", "group",
)  # fmt: skip
_ARRAYS = {
    "pattern": np.uint8, "first": np.int64, "hkl": np.int16, "intensity": np.float32, "reciprocal": np.float64,
    "strains": np.float32, "n_strains": np.uint8, "conventional": np.int8, "mass": np.float64,
    "space_group": np.uint8, "row": np.int64, "elements": np.bool_,
}  # fmt: skip
INSTRUMENT = Instrument(
    lines=(Line(wavelength_A=CU_KALPHA1_A),),
    polarisation=0.5,
    two_theta_min_deg=math.degrees(2 * math.asin(Q_MIN / MARGIN * CU_KALPHA1_A / (4 * math.pi))),
    two_theta_max_deg=math.degrees(2 * math.asin(Q_MAX * MARGIN * CU_KALPHA1_A / (4 * math.pi))),
    n_points=64,
    geometry="reflection",
)


@dataclass(frozen=True, eq=False)
class Index:
    """Arrays of all structures, and their names."""

    library: str
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
    names: list[dict[str, str]]
    """formula, source, source_id and group of each structure."""

    def __len__(self) -> int:
        return len(self.row)


def build_index(
    dataset: Path | Location, out: Path, *, workers: int | None = None, report: Callable[[int], None] = lambda n: None
) -> Path:
    """Make the index of a dataset in folder `out`, whole or not at all."""
    out.parent.mkdir(parents=True, exist_ok=True)
    # Of its own name: two programs may make the index of one dataset at a time.
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
    try:
        return _build(dataset, out, partial, workers, report)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _build(
    dataset: Path | Location, out: Path, partial: Path, workers: int | None, report: Callable[[int], None]
) -> Path:
    location = location_of(dataset)
    parts: list[dict[str, Any]] = []
    lines = _structures(location)
    with ProcessPoolExecutor(workers or usable_cores()) as pool:
        ahead: deque[Future[list[dict[str, Any]]]] = deque()
        # Few batches ahead of the workers, so that the table is not read into memory as a whole.
        while (batch := list(islice(lines, _AT_ONCE))) or ahead:
            if batch:
                ahead.append(pool.submit(_entries, batch))
            if len(ahead) > 4 * (workers or usable_cores()) or not batch:
                with damage_explained(location, f"a structure of {TABLE}"):
                    parts.extend(ahead.popleft().result())
                report(len(parts))
    kept = [part for part in parts if "pattern" in part]
    if not kept:
        raise DatagenError(f"{location}: its table {TABLE} lists no structure that can be indexed")
    counts = [len(part["hkl"]) for part in kept]
    arrays = {
        name: np.concatenate([part[name] for part in kept])
        if name in ("hkl", "intensity")
        else np.stack([part[name] for part in kept])
        for name in _ARRAYS
        if name != "first"
    }
    arrays["first"] = np.concatenate([[0], np.cumsum(counts)])
    checksums = {}
    for name, values in arrays.items():
        np.save(partial / f"{name}.npy", values.astype(_ARRAYS[name]))
        checksums[name] = hashlib.sha256((partial / f"{name}.npy").read_bytes()).hexdigest()
    names = [part["name"] for part in kept]
    (partial / FACTS).write_text(
        json.dumps(
            {
                "format": "pxrd-identify-index",
                "format_version": VERSION,
                "settings": _settings(),
                "table_sha256": location.checksum(TABLE),
                "structures": len(kept),
                "left_out": len(parts) - len(kept),
                "arrays": checksums,
                "names": names,
            }
        )
    )
    partial.chmod(0o755)
    for _ in range(REPLACEMENTS):
        shutil.rmtree(out, ignore_errors=True)
        try:
            partial.rename(out)
        except OSError:  # another program put its index there in between
            continue
        return out
    raise StoreError(f"{out}: the new index could not be moved there; other programs make it at the same time")


def load_index(dataset: Path | Location, folder: Path) -> Index | None:
    """Map an index; None where there is none, or it is one of other structures or of another version."""
    location = location_of(dataset)
    try:
        facts = json.loads((folder / FACTS).read_text())
        if facts["format_version"] != VERSION or facts["settings"] != _settings():
            return None
        if facts["table_sha256"] != location.checksum(TABLE):
            return None
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in facts["arrays"]}
        index = Index(str(location), **arrays, names=facts["names"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise StoreError(
            f"{folder}: expected an index for identification, found other data ({error}); delete the folder"
        ) from error
    if len(index.names) != len(index) or int(index.first[-1]) != len(index.hkl):
        raise StoreError(f"{folder}: the index is damaged (its arrays have different lengths); delete it")
    return index


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


def _settings() -> dict[str, float]:
    return {
        "q_min": Q_MIN, "q_max": Q_MAX, "bins": N_BINS, "power": POWER, "half_width": HALF_WIDTH, "weakest": WEAKEST,
        "most": MOST, "margin": MARGIN,
    }  # fmt: skip


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
