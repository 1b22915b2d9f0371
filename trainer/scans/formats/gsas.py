"""GSAS raw data of constant wavelength: STD, ESD, FXY and FXYE records (LAUR 86-748, "Histogram data files")."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from trainer.scans.formats.columns import stated_wavelengths
from trainer.scans.formats.content import Array, decoded
from trainer.scans.join import join
from trainer.scans.scan import Radiation, Scan, ScanError, ScanRange, Unit

BANK = re.compile(
    r"^BANK\s+(\d{1,9})\s+(\d{1,9})\s+(\d{1,9})\s+(\w+)((?:\s+[-+]?[.\d][-+.\dEe]*)*)\s*([A-Z]*)\s*$", re.MULTILINE
)


def read(data: bytes) -> Scan:
    """Read the first bank: angles in centidegrees, records as its line says."""
    text = decoded(data)
    bank = BANK.search(text)
    if bank is None:
        raise ScanError("expected GSAS data with a BANK line of constant wavelength, found none")
    try:
        numbers = [float(x) for x in bank[5].split()]
    except ValueError as error:
        raise ScanError(f"expected numbers in its BANK line ({error})") from error
    count, binning, kind = int(bank[2]), bank[4], bank[6] or "STD"
    if not binning.startswith("CONS") or (len(numbers) < 2 and kind not in ("FXY", "FXYE")):
        raise ScanError(
            f"expected a bank of constant wavelength (CONST), found {binning}; time-of-flight data have no single "
            "wavelength"
        )
    further = BANK.search(text, bank.end())
    body = text[bank.end() : further.start() if further else None]
    if count > len(text):
        raise ScanError(f"its BANK line promises {count} points, more than the file can hold; it is cut short")
    even = np.asarray(np.arange(count), dtype=np.float64)  # positions of points that the file does not list
    if len(numbers) >= 2:
        even = numbers[0] + numbers[1] * even
    readers: dict[str, Callable[[], tuple[Array, Array, Array | None, Unit]]] = {
        "STD": lambda: (even, *_fixed_std(body)),
        "ESD": lambda: (even, *_fixed_esd(body), "arbitrary"),
        "FXY": lambda: _free(body, 2),
        "FXYE": lambda: _free(body, 3),
    }
    if kind not in readers:
        raise ScanError(f"expected records of {', '.join(readers)}, found {kind}")
    x, y, sigma, unit = readers[kind]()
    if len(y) < count:
        raise ScanError(f"its BANK line promises {count} points, found {len(y)}; the file is cut short")
    part = ScanRange(x[:count] / 100, y[:count], None if sigma is None else sigma[:count])
    heading = text[: bank.start()].split("\n")
    remarks = ["further banks were left out"] if further else []
    return join("gsas", [part], unit, Radiation(stated_wavelengths(heading)), heading[0] if heading else None, remarks)


def _fixed_std(body: str) -> tuple[Array, Array | None, Unit]:
    """Ten points a line, each a number of detectors (2 characters, blank for one) and their mean counts (6)."""
    cells = [line[i : i + 8] for line in body.split("\n") for i in range(0, len(line.rstrip()), 8)]
    try:
        detectors = np.array([float(cell[:2].strip() or 1) for cell in cells])
        counts = np.array([float(cell[2:]) for cell in cells])
    except ValueError as error:
        raise ScanError(f"expected counts in fields of 8 characters ({error})") from error
    if np.all(detectors <= 1):
        return counts, None, "counts"
    return counts, np.sqrt(np.maximum(counts, 1.0) / np.maximum(detectors, 1.0)), "arbitrary"


def _fixed_esd(body: str) -> tuple[Array, Array]:
    """Five pairs a line, intensity and uncertainty, 8 characters each."""
    try:
        cells = [float(line[i : i + 8]) for line in body.split("\n") for i in range(0, len(line.rstrip()), 8)]
    except ValueError as error:
        raise ScanError(f"expected pairs in fields of 8 characters ({error})") from error
    pairs = np.array(cells[: len(cells) // 2 * 2]).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _free(body: str, columns: int) -> tuple[Array, Array, Array | None, Unit]:
    """Angle in centidegrees, intensity and perhaps uncertainty, free format."""
    try:
        rows = [[float(x) for x in line.split()[:columns]] for line in body.split("\n") if line.strip()]
        table = np.array(rows).reshape(len(rows), columns)
    except ValueError as error:
        raise ScanError(f"expected {columns} numbers a line ({error})") from error
    return table[:, 0], table[:, 1], table[:, 2] if columns == 3 else None, "arbitrary"
