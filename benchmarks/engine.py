"""Difference between the native engine and GSAS-II, speed of both, and memory of the native engine.

`python -m benchmarks.engine` prints a table and, as its last line, JSON. Patterns and seconds of GSAS-II come from the
reference data (PXRD_SHARED_DATA, or ../shared/data beside the repository); where GSAS-II is installed it is also run.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks._data import data_folder
from curation.crystal import Crystal
from datagen.errors import DatagenError, EngineError
from datagen.simulate import native
from datagen.simulate.augmentation import Augmentations, AugmentationSettings, draw
from datagen.simulate.gsas2 import engine as gsas2
from datagen.simulate.instrument import Instrument

PATTERNS_PER_STRUCTURE = 100
LIVE_STRUCTURES = 5
LIVE_PATTERNS = 20
LARGE_CELL_ATOMS = 500


@dataclass(frozen=True, eq=False)
class Reference:
    """A reference crystal with its patterns by GSAS-II."""

    name: str
    crystal: Crystal
    instrument: Instrument
    augmentations: Augmentations
    pattern: NDArray[np.float64]
    seconds: float
    """GSAS-II's for one pattern, symmetric cell, one core."""


def find_reference() -> Path:
    """Return the folder of shared data, or exit with a message that says how to set it."""
    folder = data_folder()
    if not (folder / "gsas2_reference" / "reference.npz").is_file():
        raise DatagenError(
            f"no GSAS-II reference patterns at {folder / 'gsas2_reference' / 'reference.npz'}: "
            "set PXRD_SHARED_DATA to the folder that holds gsas2_reference"
        )
    return folder


def read_reference(shared_data: Path) -> list[Reference]:
    """Return the reference crystals with their patterns."""
    with np.load(shared_data / "gsas2_reference" / "reference.npz", allow_pickle=False) as file:
        columns = {name: file[name] for name in ("name", "cif", "augmentation", "pattern", "pattern_max")}
        seconds = file["seconds_symmetric"]
    instrument = Instrument.preset("alphadiffract")
    return [
        Reference(
            str(columns["name"][i]),
            _crystal(str(columns["cif"][i])),
            instrument,
            _augmentations(columns["augmentation"][i]),
            columns["pattern"][i] / 65535.0 * columns["pattern_max"][i][:, None],
            float(seconds[i]),
        )
        for i in range(len(seconds))
    ]


def error(ours: NDArray[np.float32], theirs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return max |native - GSAS-II| / max(GSAS-II) of each pattern, native scaled by least squares."""
    y = ours.astype(np.float64)
    scale = (theirs * y).sum(axis=1) / (y * y).sum(axis=1)
    difference = np.abs(scale[:, None] * y - theirs).max(axis=1)
    return np.asarray(difference / theirs.max(axis=1), dtype=np.float64)


def _crystal(cif: str) -> Crystal:
    """Return the crystal in P1 with every atom listed, as in the reference data."""
    small = gemmi.make_small_structure_from_block(gemmi.cif.read_string(cif).sole_block())
    return Crystal.canonical(
        np.array(small.cell.orth.mat.tolist()).T,
        [site.element.name for site in small.sites],
        np.array([site.occ for site in small.sites]),
        np.array([site.fract.tolist() for site in small.sites]),
    )


def _augmentations(columns: NDArray[np.float64]) -> Augmentations:
    U, V, W, microstrain, size = columns.T
    return Augmentations.of(U_cdeg2=U, V_cdeg2=V, W_cdeg2=W, microstrain=microstrain, crystallite_size_um=size)


def main() -> int:
    """Measure, print, end with JSON."""
    try:
        reference = read_reference(find_reference())
    except DatagenError as missing:
        sys.stderr.write(f"{missing}\n")
        return 2
    errors = np.concatenate(
        [error(native.simulate(r.crystal, r.instrument, r.augmentations).intensity, r.pattern) for r in reference]
    )
    seconds = np.array([_seconds(r) for r in reference])
    ratios = np.array([r.seconds for r in reference]) * PATTERNS_PER_STRUCTURE / seconds
    slowest = reference[int(ratios.argmin())].name
    memory, large_seconds, reflections = _large_cell()
    result: dict[str, float] = {
        "ratio_median": round(float(np.median(ratios)), 1),
        "ratio_min": round(float(ratios.min()), 1),
        "error_median": float(f"{np.median(errors):.3g}"),
        "error_p95": float(f"{np.percentile(errors, 95):.3g}"),
        "error_max": float(f"{errors.max():.3g}"),
        "seconds_median": float(f"{np.median(seconds):.3g}"),
        "memory_mib_large_cell": round(memory, 1),
    }
    table = Table("native engine against GSAS-II", "measured", "wanted")
    table.add_row("error, median", f"{np.median(errors):.1e}", "3e-4")
    table.add_row("error, 95 %", f"{np.percentile(errors, 95):.1e}", "1.5e-3")
    table.add_row("error, worst", f"{errors.max():.1e}", "1e-2, or explained in docs/engine.md")
    table.add_row("times faster, median", f"{np.median(ratios):.0f}", "1000")
    table.add_row(f"times faster, worst ({slowest})", f"{ratios.min():.0f}", "400")
    table.add_row("ms per structure, median", f"{np.median(seconds) * 1e3:.2f}", "")
    table.add_row(f"{reflections} reflections: s per structure", f"{large_seconds:.2f}", "")
    table.add_row(f"{reflections} reflections: MiB", f"{memory:.0f}", "300")
    try:
        live = _live(reference[:: len(reference) // LIVE_STRUCTURES])
        table.add_row("times faster than live GSAS-II, median", f"{live:.0f}", "1000")
        result["ratio_live_median"] = round(live, 1)
    except EngineError as missing:
        table.caption = f"no live comparison: {missing}"
    Console().print(table)
    print(json.dumps(result))
    return 0


def _seconds(r: Reference) -> float:
    """Return the CPU time in s of one structure from crystal to patterns, the best of three."""
    augmentations = draw(AugmentationSettings(), 0, r.crystal.structure_hash(), range(PATTERNS_PER_STRUCTURE))
    best = np.inf
    for _ in range(3):
        start = time.process_time()
        native.simulate(r.crystal, r.instrument, augmentations)
        best = min(best, time.process_time() - start)
    return best


def _live(reference: list[Reference]) -> float:
    """Return the median ratio of the time per pattern of GSAS-II to the native engine's, both timed in this call.

    GSAS-II runs as in common use: with the symmetric cell, without averaging Friedel mates.
    """
    gsas2.version()  # starts it
    ratios = []
    for r in reference:
        augmentations = draw(AugmentationSettings(), 0, r.crystal.structure_hash(), range(LIVE_PATTERNS))
        start = time.perf_counter()
        gsas2.simulate(r.crystal, r.instrument, augmentations, cell="symmetric", average_friedel=False)
        theirs = (time.perf_counter() - start) / LIVE_PATTERNS
        ratios.append(theirs * PATTERNS_PER_STRUCTURE / _seconds(r))
    return float(np.median(ratios))


def _large_cell() -> tuple[float, float, int]:
    """Return memory in MiB, time in s and reflections of a cell at the volume limit, from a separate process."""
    code = "from benchmarks.engine import _measure_large_cell; _measure_large_cell()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    memory, seconds, reflections = json.loads(done.stdout)
    return memory, seconds, reflections


def _measure_large_cell() -> None:
    rng = np.random.default_rng(0)
    instrument = Instrument.preset("alphadiffract")
    augmentations = draw(AugmentationSettings(), 0, "large", range(PATTERNS_PER_STRUCTURE))

    def crystal(edge_A: float, n_atoms: int) -> Crystal:
        lattice = edge_A * (np.eye(3) + rng.uniform(-0.05, 0.05, (3, 3)))
        species = list(rng.choice(["Si", "O", "C", "H", "Zn"], n_atoms))
        return Crystal.canonical(lattice, species, np.ones(n_atoms), rng.random((n_atoms, 3)))

    native.simulate(crystal(5.0, 5), instrument, augmentations)
    before = _peak_mib(reset=True)
    start = time.process_time()
    patterns = native.simulate(crystal(46.4, LARGE_CELL_ATOMS), instrument, augmentations)
    seconds = time.process_time() - start
    print(json.dumps([_peak_mib() - before, seconds, int(patterns.sticks.member_start[-1])]))


def _peak_mib(*, reset: bool = False) -> float:
    """Return the peak resident memory of this process in MiB, since the last reset on Linux."""
    if reset and sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


if __name__ == "__main__":
    sys.exit(main())
