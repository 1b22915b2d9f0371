"""What did a diffractometer measure? Pattern files of several kinds as angles, intensities and standard uncertainties.

Readable: .xy, .xye, .csv, .txt, .dat (columns of 2theta, intensity, and perhaps its uncertainty), .chi (Fit2D), and
GSAS raw data (.fxye, .raw, .gsa, .gsas, .xra, .xye with a BANK line) of constant wavelength: STD, ESD, FXY and FXYE
records (GSAS manual, LAUR 86-748, "Histogram data files"). Any of them may be compressed (.gz).
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.errors import TrainerError

Array = NDArray[np.float64]

COLUMNS = (".xy", ".xye", ".csv", ".txt", ".dat", ".asc")
GSAS = (".fxye", ".fxy", ".raw", ".gsa", ".gsas", ".gda", ".gss", ".xra")
FEWEST_POINTS = 50
_BANK = re.compile(r"^BANK\s+(\d+)\s+(\d+)\s+(\d+)\s+(\w+)((?:\s+[-+]?[.\d][-+.\dEe]*)*)\s*([A-Z]*)\s*$", re.MULTILINE)
_WAVELENGTH = re.compile(r"wave\s*length[^\d\n]{0,20}(\d+\.\d+)", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Measured:
    """A scan: rising angles in degrees, intensities, their standard uncertainties, the wavelength if it is stated."""

    two_theta_deg: Array
    intensity: Array
    sigma: Array
    wavelength_A: float | None = None


def read_pattern(path: Path) -> Measured:
    """The scan in a file; refuses what is not one with what was expected."""
    text = _text(path)
    suffix = Path(path.stem).suffix.lower() if path.suffix.lower() == ".gz" else path.suffix.lower()
    if suffix == ".chi":
        found = _chi(path, text)
    elif _BANK.search(text):
        found = _gsas(path, text)
    elif suffix in GSAS:
        raise TrainerError(f"{path}: expected GSAS data with a BANK line of constant wavelength, found none")
    elif suffix in COLUMNS:
        found = _columns(path, text)
    else:
        raise TrainerError(
            f"{path}: expected one of {', '.join((*COLUMNS, '.chi', *GSAS))}, found {suffix or 'no suffix'}"
        )
    return _checked(path, found)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        if path.suffix.lower() == ".gz":
            data = gzip.decompress(data)
    except FileNotFoundError:
        raise TrainerError(f"{path}: no such file") from None
    except (OSError, EOFError) as error:
        raise TrainerError(f"{path}: cannot be read ({error})") from error
    if b"\0" in data[:4096]:
        raise TrainerError(f"{path}: expected text, found binary data; export it as .xy or .xye")
    return data.decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\r", "\n")


def _columns(path: Path, text: str) -> Measured:
    """Two or three numbers a line; comments and one headline may come before."""
    rows: list[list[float]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        fields = [f for f in re.split(r"[,;\s]+", line.strip()) if f]
        if not fields or line.lstrip()[0] in "#;!'\"%/":
            continue
        try:
            rows.append([float(f) for f in fields])
        except ValueError:
            if rows:
                raise TrainerError(f"{path}, line {number}: expected numbers, found {line.strip()[:40]!r}") from None
    widths = {len(row) for row in rows}
    if not widths or widths - {2, 3} or len(widths) > 1:
        raise TrainerError(
            f"{path}: expected two or three columns (2theta, intensity, uncertainty), found "
            f"{' and '.join(map(str, sorted(widths))) or 'no numbers'}"
        )
    table = np.array(rows)
    sigma = table[:, 2] if table.shape[1] == 3 else _counting(table[:, 1])
    return Measured(table[:, 0], table[:, 1], sigma, _wavelength(text))


def _chi(path: Path, text: str) -> Measured:
    """Fit2D: four lines of heading (title, axis, ordinate, number of points), then pairs."""
    lines = text.split("\n")
    axis = lines[1].lower() if len(lines) > 1 else ""
    if "theta" not in axis:
        raise TrainerError(
            f"{path}: expected a .chi file over 2theta, found the axis {axis.strip()!r} in its second line"
        )
    body = "\n".join(lines[4:])
    found = _columns(path, body)
    return Measured(found.two_theta_deg, found.intensity, found.sigma, _wavelength(text))


def _gsas(path: Path, text: str) -> Measured:
    """The first bank: angles in centidegrees, records as its line says."""
    bank = _BANK.search(text)
    assert bank is not None
    count, binning, numbers = int(bank[2]), bank[4], [float(x) for x in bank[5].split()]
    kind = bank[6] or "STD"
    if not binning.startswith("CONS") or (len(numbers) < 2 and kind not in ("FXY", "FXYE")):
        raise TrainerError(
            f"{path}: expected a bank of constant wavelength (CONST), found {binning}; time-of-flight data have no "
            "single wavelength"
        )
    end = _BANK.search(text, bank.end())
    body = text[bank.end() : end.start() if end else None]
    even = np.asarray(np.arange(count), dtype=np.float64)  # positions of points that the file does not list
    if len(numbers) >= 2:
        even = numbers[0] + numbers[1] * even
    readers: dict[str, Callable[[], tuple[Array, Array, Array | None]]] = {
        "STD": lambda: (even, *_fixed_std(path, body)),
        "ESD": lambda: (even, *_fixed_esd(path, body)),
        "FXY": lambda: _free(path, body, 2),
        "FXYE": lambda: _free(path, body, 3),
    }
    if kind not in readers:
        raise TrainerError(f"{path}: expected records of {', '.join(readers)}, found {kind}")
    x, y, sigma = readers[kind]()
    if len(y) < count:
        raise TrainerError(f"{path}: its BANK line promises {count} points, found {len(y)}; the file is cut short")
    x, y = x[:count] / 100, y[:count]
    return Measured(x, y, _counting(y) if sigma is None else sigma[:count], _wavelength(text))


def _fixed_std(path: Path, body: str) -> tuple[Array, Array]:
    """Ten points a line, each a number of detectors (2 characters, blank for one) and their mean counts (6)."""
    cells = [line[i : i + 8] for line in body.split("\n") for i in range(0, len(line.rstrip()), 8)]
    try:
        detectors = np.array([float(cell[:2].strip() or 1) for cell in cells])
        counts = np.array([float(cell[2:]) for cell in cells])
    except ValueError as error:
        raise TrainerError(f"{path}: expected counts in fields of 8 characters ({error})") from error
    return counts, np.sqrt(np.maximum(counts, 1.0) / np.maximum(detectors, 1.0))


def _fixed_esd(path: Path, body: str) -> tuple[Array, Array]:
    """Five pairs a line, intensity and uncertainty, 8 characters each."""
    try:
        cells = [float(line[i : i + 8]) for line in body.split("\n") for i in range(0, len(line.rstrip()), 8)]
    except ValueError as error:
        raise TrainerError(f"{path}: expected pairs in fields of 8 characters ({error})") from error
    pairs = np.array(cells[: len(cells) // 2 * 2]).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _free(path: Path, body: str, columns: int) -> tuple[Array, Array, Array | None]:
    """Angle in centidegrees, intensity and perhaps uncertainty, free format."""
    try:
        rows = [[float(x) for x in line.split()[:columns]] for line in body.split("\n") if line.strip()]
        table = np.array(rows).reshape(len(rows), columns)
    except ValueError as error:
        raise TrainerError(f"{path}: expected {columns} numbers a line ({error})") from error
    return table[:, 0], table[:, 1], table[:, 2] if columns == 3 else None


def _checked(path: Path, found: Measured) -> Measured:
    x, y = found.two_theta_deg, found.intensity
    if len(x) < FEWEST_POINTS:
        raise TrainerError(f"{path}: expected a scan of at least {FEWEST_POINTS} points, found {len(x)}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise TrainerError(f"{path}: {np.count_nonzero(~np.isfinite(y + x))} of its points are not finite numbers")
    if not (np.diff(x) > 0).all():
        at = int(np.flatnonzero(np.diff(x) <= 0)[0])
        raise TrainerError(f"{path}: expected angles that rise, found {x[at]:g} followed by {x[at + 1]:g}")
    if x[0] < -30 or x[-1] > 180:
        raise TrainerError(f"{path}: expected 2theta in degrees, found {x[0]:g} to {x[-1]:g}")
    if np.ptp(y) == 0:
        raise TrainerError(f"{path}: every intensity is {y[0]:g}; there is no pattern in it")
    sigma = np.where(np.isfinite(found.sigma) & (found.sigma > 0), found.sigma, 0.0)
    return Measured(x, y, sigma, found.wavelength_A)


def _counting(intensity: Array) -> Array:
    """Standard uncertainty of counts; of intensities on another scale it is a guess."""
    return np.asarray(np.sqrt(np.maximum(intensity, 1.0)), dtype=np.float64)


def _wavelength(text: str) -> float | None:
    found = _WAVELENGTH.search(text[:10_000])
    return float(found[1]) if found and 0.05 < float(found[1]) < 10 else None
