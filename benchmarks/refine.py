"""Cells that `datagen refine` finds in measured scans, against reference cells.

    python -m benchmarks.refine

Silicon SRM 640d against its certificate, fluorapatite and PbSO4 (exercises of GSAS-II) against refined cells: that in
the file of fluorapatite, and one of PbSO4 that GSAS-II refined with the same wavelengths, zero shift free (background
of 12 terms, U, V, W, X, Y, SH/L, coordinates and displacements; wR 9.85 %). GSAS-II itself is not run. The last line
is one JSON object: relative differences of the edges in units of 1e-5, and Rwp.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import datagen
from benchmarks._data import shared_data
from catalogs.example_set import FOLDER


@dataclass(frozen=True)
class Case:
    """A scan with its structure, and the edges of the reference cell in A."""

    name: str
    scan: str
    structure: str
    edges_A: tuple[float, float, float]
    wavelength: str | None
    reference: str


CASES = (
    Case("silicon", "Si_SRM640d.brml", str(FOLDER / "silicon.cif"), (5.43123,) * 3, None, "certificate, 22.5 C"),
    Case(
        "fluorapatite", "fluorapatite/FAP.XRA", "fluorapatite/FAP.cif", (9.371724, 9.371724, 6.885867), "CuKa",
        "refined cell in the exercise's file",
    ),
    Case(
        "pbso4", "pbso4/PBSO4.XRA", "pbso4/PbSO4-Wyckoff.cif", (8.481794, 5.399257, 6.961121), "CuKa",
        "cell refined by GSAS-II",
    ),
)  # fmt: skip


def main() -> None:
    """Refine all cases."""
    folder = shared_data() / "measured"
    results: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        with zipfile.ZipFile(folder / "lab_formats.zip") as archive:
            archive.extract(CASES[0].scan, scratch)
        for case in CASES:
            scan = Path(scratch) / case.scan if "/" not in case.scan else folder / case.scan
            structure = Path(case.structure) if case.structure.startswith("/") else folder / case.structure
            found = datagen.refine(scan, structure, wavelength=case.wavelength)
            print(f"{case.name}: Rwp {found.r_wp:.1%}, against the {case.reference}")
            for name, value, error, wanted in zip(
                "abc", found.cell[:3].tolist(), found.cell_uncertainty[:3].tolist(), case.edges_A, strict=True
            ):
                print(
                    f"  {name} {value:.5f}({round(error * 1e5)}) A, reference {wanted:.5f}, {value / wanted - 1:+.1e}"
                )
            results[f"{case.name}_edges_1e5"] = round(
                float(np.abs(found.cell[:3] / np.array(case.edges_A) - 1).max() * 1e5), 2
            )
            results[f"{case.name}_r_wp"] = round(found.r_wp, 4)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
