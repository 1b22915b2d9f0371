"""Speed of reading and of curation of the same crystals in every format, and agreement of their hashes.

Accepted crystals of a zip of CIFs are written as P1 CIF, POSCAR, extended XYZ, pymatgen's JSON, OPTIMADE's JSON and an
ASE database. Reading is the step from a text to all atoms of the cell (`curation.read.read_structure`), with its checks
of contacts; curation is all of it. One process, by the processor's clock, the fastest of five rounds that take turns.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._data import shared_data
from catalogs.config import TableCatalog
from catalogs.open import open_catalog
from catalogs.record import Format, Record
from curation.crystal import Crystal
from curation.curate import curate_record
from curation.read import read_structure
from curation.settings import CurationSettings
from tests.curation.cells import WRITERS, Cell, ase_database

ROUNDS = 5
_FORMATS = {"cif": "cif", "poscar": "poscar", "extxyz": "extxyz", "pymatgen": "pymatgen", "optimade": "optimade"}
"""Names in the output and in the writers."""


def cells(archive: Path, count: int) -> list[Cell]:
    """Return the primitive cells of accepted crystals without disorder."""
    found: list[Cell] = []
    with zipfile.ZipFile(archive) as opened:
        names = sorted(name for name in opened.namelist() if name.endswith(".cif"))
        for name in names[:: max(len(names) // (2 * count), 1)]:
            record = Record("b", name, opened.read(name).decode("utf-8", "replace"), name, "")
            verdict = curate_record(record, CurationSettings())
            if verdict.accepted and np.all(verdict.crystal.occupancy == 1.0):
                found.append(_cell(verdict.crystal))
            if len(found) == count:
                break
    return found


def _cell(crystal: Crystal) -> Cell:
    order = np.argsort([species.rstrip("0123456789+-") for species in crystal.species], kind="stable")
    symbols = [crystal.species[i].rstrip("0123456789+-") for i in order]
    return Cell(crystal.lattice_A, symbols, crystal.fractional[order])


def rates(work: Callable[[Record], Any], written: dict[str, list[Record]]) -> dict[str, float]:
    """Return the records per second of each format."""
    seconds: dict[str, list[float]] = {name: [] for name in written}
    for _ in range(ROUNDS):
        for name, records in written.items():
            began = time.process_time()
            for record in records:
                work(record)
            seconds[name].append(time.process_time() - began)
    return {name: len(written[name]) / min(found) for name, found in seconds.items()}


def main() -> int:
    """Print a table, and the same as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archive", type=Path, help="zip of CIFs; by default materials_project.zip of the test data")
    parser.add_argument("--count", type=int, default=100, help="number of crystals")
    options = parser.parse_args()
    archive = options.archive or shared_data() / "structures" / "materials_project.zip"
    chosen = cells(archive, options.count)
    written: dict[str, list[Record]] = {}
    for name, writer in _FORMATS.items():
        kind: Format
        kind, write = WRITERS[writer]
        written[name] = [Record("b", str(i), write(cell), "", "", format=kind) for i, cell in enumerate(chosen)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "b.db"
        path.write_bytes(ase_database(chosen))
        began = time.process_time()
        written["ase_db"] = list(open_catalog(TableCatalog(path=path)))
        database_seconds = (time.process_time() - began) / len(chosen)
    settings = CurationSettings()
    hashes = [curate_record(record, settings).structure_hash for record in written["cif"]]
    result: dict[str, Any] = {"crystals": len(chosen), "ase_db_rows_per_second": round(1 / database_seconds)}
    print(f"{len(chosen)} crystals\nformat      read/s  curate/s  equal hashes")
    read = rates(lambda record: read_structure(record.text, record.format, settings, {}), written)
    curate = rates(lambda record: curate_record(record, settings), written)
    for name, records in written.items():
        same = sum(
            curate_record(record, settings).structure_hash == expected
            for record, expected in zip(records, hashes, strict=True)
        )
        print(f"{name:10s} {read[name]:7.0f} {curate[name]:9.0f} {same:13d}")
        result[name] = {
            "read_per_second": round(read[name]),
            "curate_per_second": round(curate[name]),
            "equal_hashes": same,
        }
    result["poscar_over_cif"] = round(read["poscar"] / read["cif"], 2)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
