"""What is known of a scan's sample: from a CIF, a DIF, the head of a RRUFF file, an opXRD label, or a table."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from curation.labels import CRYSTAL_SYSTEMS

Cell = tuple[float, float, float, float, float, float]

_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)(?:\(\d+\))?"
_RRUFF_CELL = re.compile(
    r"^##CELL PARAMETERS=.*?a:\s*" + r".*?".join([_NUMBER, rf"b:\s*{_NUMBER}", rf"c:\s*{_NUMBER}"])
    + rf".*?alpha:\s*{_NUMBER}.*?beta:\s*{_NUMBER}.*?gamma:\s*{_NUMBER}",
    re.MULTILINE,
)  # fmt: skip
_RRUFF_SYSTEM = re.compile(r"^##CELL PARAMETERS=.*crystal system:\s*(\w+)", re.MULTILINE)
_RRUFF_NAME = re.compile(r"^##NAMES=(.*)$", re.MULTILINE)
_DIF_CELL = re.compile(r"CELL PARAMETERS:\s+" + r"\s+".join([_NUMBER] * 6))
_DIF_GROUP = re.compile(r"SPACE GROUP:\s*(\S+)")
_DIF_WAVELENGTH = re.compile(rf"X-RAY WAVELENGTHS?:\s+{_NUMBER}")
_ICONS = re.compile(r"^INS\s+1 ICONS\s+(\d*\.\d+)", re.MULTILINE)
RRUFF_WAVELENGTH_A = 1.5405929
"""Powder patterns of the project are of Cu K-alpha; their files do not say so."""


@dataclass(frozen=True)
class Truth:
    """Statements about a sample; what is missing is None."""

    source: str
    """Where the statements come from."""
    cif: str | None = None
    cell: Cell | None = None
    """Conventional cell, A and degrees."""
    space_group: int | None = None
    formula: str | None = None
    wavelength_A: float | None = None
    """Of the measurement."""
    name: str | None = None
    crystal_system: int | None = None
    """1 triclinic to 7 cubic, where it is stated without a space group."""
    licence: str | None = None

    @property
    def volume_A3(self) -> float | None:
        """Volume of the stated cell."""
        if self.cell is None:
            return None
        import numpy as np

        a, b, c, *angles = self.cell
        x, y, z = np.cos(np.radians(angles))
        return float(a * b * c * np.sqrt(max(0.0, 1 - x * x - y * y - z * z + 2 * x * y * z)))


def merged(first: Truth, second: Truth) -> Truth:
    """Return the statements of both; the first's where both state something."""
    given = {name: value for name, value in vars(first).items() if value is not None}
    return replace(second, **(given | {"source": f"{first.source}, {second.source}"}))


def of_rruff_head(text: str) -> Truth | None:
    """Return what the ## lines of a RRUFF pattern state, None if it is no such file."""
    if not text.lstrip().startswith("##"):
        return None
    cell, name, system = (pattern.search(text) for pattern in (_RRUFF_CELL, _RRUFF_NAME, _RRUFF_SYSTEM))
    stated = system[1].lower() if system else ""
    return Truth(
        "RRUFF",
        cell=None if cell is None else _cell(cell.groups()),
        wavelength_A=RRUFF_WAVELENGTH_A,
        name=name[1].strip() if name else None,
        # RRUFF calls trigonal crystals hexagonal.
        crystal_system=CRYSTAL_SYSTEMS.index(stated) + 1
        if stated in CRYSTAL_SYSTEMS and stated != "hexagonal"
        else None,
    )


def of_dif(text: str) -> Truth | None:
    """Return what a DIF of the American Mineralogist database states, None if the text is none."""
    cell = _DIF_CELL.search(text)
    if cell is None:
        return None
    symbol, wavelength = _DIF_GROUP.search(text), _DIF_WAVELENGTH.search(text)
    return Truth(
        "DIF",
        cell=_cell(cell.groups()),
        space_group=None if symbol is None else number_of_symbol(symbol[1]),
        wavelength_A=None if wavelength is None else float(wavelength[1]),
        name=text.lstrip().split("\n", 1)[0].strip() or None,
    )


def of_opxrd(text: str) -> Truth | None:
    """Return the cell of the only phase of an opXRD entry, None if there is not one."""
    try:
        label = json.loads(json.loads(text)["label"])
        (phase,) = label["phases"]
        lattice = json.loads(phase)["lattice"]
        numbers = [float(x) for x in lattice.strip("() ").split(",")]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return Truth("opXRD", cell=_cell(numbers)) if len(numbers) == 6 else None


def of_row(row: Mapping[str, Any], cif: str | None) -> Truth:
    """Return the statements of a table's row: space_group, a to gamma, wavelength_A, formula."""
    numbers = [_number(row.get(name)) for name in ("a", "b", "c", "alpha", "beta", "gamma")]
    group = _number(row.get("space_group"))
    return Truth(
        "table",
        cif=cif,
        cell=_cell(numbers) if None not in numbers else None,
        space_group=int(group) if group is not None and 1 <= group <= 230 else None,
        formula=str(row["formula"]) if row.get("formula") else None,
        wavelength_A=_number(row.get("wavelength_A")),
        licence=str(row["licence"]) if row.get("licence") else None,
    )


def of_instrument_file(text: str) -> Truth | None:
    """Return the wavelength that a GSAS instrument file states, None if it states none."""
    found = _ICONS.search(text)
    return None if found is None else Truth("instrument file", wavelength_A=float(found[1]))


def number_of_symbol(symbol: str) -> int | None:
    """Return the number of a space group by its Hermann-Mauguin symbol; `*P...` of AMCSD means the second origin."""
    import gemmi

    found = gemmi.find_spacegroup_by_name(symbol.lstrip("*").split(":")[0])
    return None if found is None else int(found.number)


def _cell(values: Any) -> Cell | None:
    numbers = tuple(float(v) for v in values)
    lengths, angles = numbers[:3], numbers[3:]
    if not (all(0.5 < v < 500 for v in lengths) and all(10 < v < 170 for v in angles)):
        return None
    return numbers  # type: ignore[return-value]


def _number(value: Any) -> float | None:
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if found == found else None
