"""Crystals as lists of atoms, and writers of every format that the catalogs read."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs.record import Format


@dataclass(frozen=True)
class Cell:
    """A crystal to be written in every format."""

    lattice: NDArray[np.float64]
    symbols: Sequence[str]
    fractional: NDArray[np.float64]

    @property
    def cartesian(self) -> NDArray[np.float64]:
        """Positions of the atoms, A."""
        return np.asarray(self.fractional @ self.lattice)


HALITE = Cell(
    np.eye(3) * 5.64,
    ["Na"] * 4 + ["Cl"] * 4,
    np.array(
        [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0], [0.5, 0.5, 0.5], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]
    ),
)

_QUARTZ_A, _QUARTZ_C = 4.9137, 5.4047
_U, _X, _Y, _Z = 0.4697, 0.4135, 0.2669, 0.4524
QUARTZ = Cell(
    np.array([[_QUARTZ_A, 0, 0], [-_QUARTZ_A / 2, _QUARTZ_A * math.sqrt(3) / 2, 0], [0, 0, _QUARTZ_C]]),
    ["Si"] * 3 + ["O"] * 6,
    np.array(
        [
            [_U, 0, 1 / 3], [0, _U, 2 / 3], [-_U, -_U, 0],
            [_X, _Y, _Z], [-_Y, _X - _Y, _Z + 1 / 3], [-_X + _Y, -_X, _Z + 2 / 3],
            [_Y, _X, -_Z], [_X - _Y, -_Y, -_Z + 2 / 3], [-_X, -_X + _Y, -_Z + 1 / 3],
        ]
    ),
)  # fmt: skip
TRICLINIC = Cell(
    np.array([[4.1, 0.3, -0.2], [0.7, 5.2, 0.4], [-0.5, 0.9, 6.3]]),
    ["Fe", "S", "S", "O"],
    np.array([[0.11, 0.07, 0.02], [0.42, 0.55, 0.31], [0.83, 0.36, 0.74], [0.58, 0.91, 0.63]]),
)
PEROVSKITE = Cell(
    np.diag([3.905, 3.905, 3.96]),
    ["Sr", "Ti", "O", "O", "O"],
    np.array([[0, 0, 0], [0.5, 0.5, 0.52], [0.5, 0.5, 0.02], [0.5, 0, 0.51], [0, 0.5, 0.51]]),
)
SET = {"halite": HALITE, "quartz": QUARTZ, "triclinic": TRICLINIC, "perovskite": PEROVSKITE}
"""Crystals that are written in every format and read back."""


def numbers(row: Sequence[float] | NDArray[np.float64]) -> str:
    return " ".join(repr(float(x)) for x in row)


def poscar(cell: Cell, scale: float = 1.0, mode: str = "Direct") -> str:
    kinds = list(dict.fromkeys(cell.symbols))
    order = [i for kind in kinds for i, symbol in enumerate(cell.symbols) if symbol == kind]
    xyz = cell.fractional if mode == "Direct" else cell.cartesian / scale
    lines = ["made by a test", repr(scale), *(numbers(row / scale) for row in cell.lattice)]
    lines += [" ".join(kinds), " ".join(str(list(cell.symbols).count(kind)) for kind in kinds), mode]
    return "\n".join([*lines, *(numbers(xyz[i]) for i in order)]) + "\n"


def extxyz(cell: Cell) -> str:
    rows = [f"{symbol} {numbers(xyz)}" for symbol, xyz in zip(cell.symbols, cell.cartesian, strict=True)]
    header = f'Lattice="{numbers(cell.lattice.ravel())}" Properties=species:S:1:pos:R:3 pbc="T T T" energy=-1.5'
    return "\n".join([str(len(rows)), header, *rows]) + "\n"


def pymatgen(cell: Cell) -> str:
    sites = [
        {"species": [{"element": symbol, "occu": 1}], "abc": xyz.tolist(), "label": symbol, "properties": {}}
        for symbol, xyz in zip(cell.symbols, cell.fractional, strict=True)
    ]
    return json.dumps({"@class": "Structure", "lattice": {"matrix": cell.lattice.tolist()}, "sites": sites})


def optimade(cell: Cell, **more: Any) -> str:
    return json.dumps(
        {
            "lattice_vectors": cell.lattice.tolist(),
            "cartesian_site_positions": cell.cartesian.tolist(),
            "species_at_sites": list(cell.symbols),
            **more,
        }
    )


def ase(cell: Cell, **more: Any) -> str:
    from curation.composition import SYMBOLS

    found = [SYMBOLS.index(symbol) + 1 for symbol in cell.symbols]
    array = {"__ndarray__": [[len(found)], "int64", found]}
    return json.dumps({"cell": cell.lattice.tolist(), "numbers": array, "positions": cell.cartesian.tolist(), **more})


def cif(cell: Cell) -> str:
    from curation.atoms import cell_parameters

    tags = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = ["data_x", "_space_group_name_H-M_alt 'P 1'"]
    lines += [
        f"_cell_{tag} {value!r}" for tag, value in zip(tags, map(float, cell_parameters(cell.lattice)), strict=True)
    ]
    lines += ["loop_", "_atom_site_type_symbol", "_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z"]
    lines += [f"{symbol} {numbers(xyz)}" for symbol, xyz in zip(cell.symbols, cell.fractional, strict=True)]
    return "\n".join(lines) + "\n"


def mmcif(cell: Cell, *, cartesian: bool = False) -> str:
    """Names of the macromolecular dictionary; Cartesian coordinates in its standard orientation."""
    from curation.atoms import cell_matrix, cell_parameters

    parameters = [float(x) for x in cell_parameters(cell.lattice)]
    tags = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    rows = cell.fractional @ cell_matrix(*parameters) if cartesian else cell.fractional
    kind = "Cartn" if cartesian else "fract"
    lines = ["data_x", "_symmetry.entry_id x", "_symmetry.space_group_name_H-M 'P 1'", "_symmetry.Int_Tables_number 1"]
    lines += [f"_cell.{tag} {value!r}" for tag, value in zip(tags, parameters, strict=True)]
    lines += ["loop_", "_atom_site.id", "_atom_site.type_symbol", "_atom_site.label_atom_id"]
    lines += [f"_atom_site.{kind}_{axis}" for axis in "xyz"]
    lines += [f"{i} {e} {e}{i} {numbers(xyz)}" for i, (e, xyz) in enumerate(zip(cell.symbols, rows, strict=True), 1)]
    return "\n".join(lines) + "\n"


def ase_database(cells: Sequence[Cell], **columns: Any) -> bytes:
    """SQLite in ASE's layout, without the tables that only its queries need; `columns` are the same for every row."""
    from curation.composition import SYMBOLS

    made = ", ".join(
        ["id INTEGER PRIMARY KEY AUTOINCREMENT, numbers BLOB, positions BLOB, cell BLOB, pbc INTEGER", *columns]
    )
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"CREATE TABLE systems ({made})")
        for cell in cells:
            found = np.array([SYMBOLS.index(symbol) + 1 for symbol in cell.symbols], dtype="<i4").tobytes()
            row = [found, cell.cartesian.astype("<f8").tobytes(), cell.lattice.astype("<f8").tobytes(), 7]
            names = ", ".join(["numbers, positions, cell, pbc", *columns])
            places = ", ".join("?" * (4 + len(columns)))
            connection.execute(f"INSERT INTO systems ({names}) VALUES ({places})", [*row, *columns.values()])
        connection.commit()
        return bytes(connection.serialize())


def csv_table(rows: Sequence[dict[str, str]]) -> str:
    """A table with these cells."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


WRITERS: dict[str, tuple[Format, Callable[[Cell], str]]] = {
    "poscar": ("poscar", poscar),
    "scaled poscar": ("poscar", lambda cell: poscar(cell, 3.125)),
    "cartesian poscar": ("poscar", lambda cell: poscar(cell, 2.5, "Cartesian")),
    "extxyz": ("extxyz", extxyz),
    "pymatgen": ("json", pymatgen),
    "optimade": ("json", optimade),
    "ase": ("json", ase),
    "cif": ("cif", cif),
    "mmcif": ("cif", mmcif),
    "cartesian mmcif": ("cif", lambda cell: mmcif(cell, cartesian=True)),
}
