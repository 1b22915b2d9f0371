"""Columns of text (.xy, .xye, .csv, .txt, .dat, .asc), Fit2D .chi, and the .dat of DBWS and FullProf."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.scans.formats.content import Array, decoded, evenly
from trainer.scans.join import join
from trainer.scans.scan import Radiation, Scan, ScanError, ScanRange, Unit, unit_of
from trainer.scans.wavelength import wavelength_A

COMMENTS = "#;!'\"%/*"
FEWEST_ROWS = 3
CHI_HEADING = 4
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?"
_VALUE = re.compile(rf"(?:{_NUMBER}|[-+]?nan|[-+]?inf)", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+(?:[eE][-+]?\d+)?")
_STATED = re.compile(
    r"(?:wave\s*-?\s*length|lambda|λ|k-?alpha-?\s*1)[^\d\n]{0,20}?(\d+[.,]\d+(?:e[-+]?\d+)?)\s*(nm\b|m\b|pm\b)?",
    re.IGNORECASE,
)
_ANGLE = re.compile(r"2\s*-?_?\s*th|two\s*_?-?\s*th|2\s*θ|tth|angle|^x$|°|(?<![a-z])pos", re.IGNORECASE)
_OTHER_AXIS = re.compile(
    r"^\W*(?:q|s|d|d[-_ ]?spacing|energy|tof)\b|\bq\s*[\[(]|1/\s*(?:a|å|nm)|(?:a|å|nm)\^?-1", re.IGNORECASE
)
_INTENSITY = re.compile(r"(?<![a-z])int|count|cps|obs|^y$|^i$", re.IGNORECASE)
_SIGMA = re.compile(r"sigma|esd|err|uncert|std|^e$|^dy$", re.IGNORECASE)
_RATE = re.compile(r"cps|counts?\s*(?:/|per)\s*s|rate", re.IGNORECASE)


@dataclass(frozen=True)
class Table:
    """Rows of numbers of a text, and the lines around them."""

    rows: Array
    heading: tuple[str, ...]
    """Lines before the numbers, comments included."""
    names: tuple[str, ...]
    """Fields of the last line before the numbers."""


def read(data: bytes) -> Scan:
    """Read columns of 2theta, intensity, and perhaps its uncertainty."""
    text = decoded(data)
    lines = text.split("\n")
    stepped = _start_step_stop(lines)
    if stepped is not None:
        return stepped
    table = table_of(lines)
    return scan_of(table, "columns", Radiation(stated_wavelengths(table.heading)), None, ())


def read_chi(data: bytes) -> Scan:
    """Read Fit2D .chi: four lines of heading (title, axis, ordinate, number of points), then pairs."""
    lines = decoded(data).split("\n")
    axis = lines[1].strip() if len(lines) > 1 else ""
    if "theta" not in axis.lower():
        raise ScanError(f"expected a .chi file over 2theta, found the axis {axis[:40]!r} in its second line")
    table = table_of(lines[CHI_HEADING:])
    heading = tuple(lines[:CHI_HEADING])
    return scan_of(Table(table.rows, heading, ()), "chi", Radiation(stated_wavelengths(heading)), lines[0], ())


def scan_of(table: Table, kind: str, radiation: Radiation, sample: str | None, remarks: Sequence[str]) -> Scan:
    """Return the scan in a table, by the names of its columns where it has them."""
    said = list(remarks)
    angle, intensity, third = _columns(table, said)
    x, y = table.rows[:, angle], table.rows[:, intensity]
    sigma = None if third is None else table.rows[:, third]
    if sigma is not None and np.nanmax(sigma, initial=0.0) == np.nanmin(sigma, initial=np.inf):
        said.append(f"the third column is {sigma[0]:g} throughout and was not taken for uncertainties")
        sigma = None
    unit: Unit = "arbitrary" if sigma is not None else unit_of(y)
    if any(_RATE.search(name) for name in table.names):
        unit = "counts/s"
    return join(kind, [ScanRange(x, y, sigma)], unit, radiation, sample, said)


def table_of(lines: Sequence[str]) -> Table:
    """Return the numbers of a text; comments and headings may come before, and comments anywhere."""
    rows: list[list[float]] = []
    heading: list[str] = []
    names: tuple[str, ...] = ()
    separator = None
    stray: tuple[int, str] | None = None
    for number, line in enumerate(lines, start=1):
        plain = line.strip()
        if not plain:
            continue
        if separator is None and plain[0] not in COMMENTS[:-1]:
            separator = _separator(lines[number - 1 : number + 50])
        values = None if plain[0] in COMMENTS else _values(plain, separator or " ")
        if values is not None and len(values) >= 2:
            if stray is not None:
                raise ScanError(f"line {stray[0]}: expected numbers, found {stray[1][:40]!r}")
            rows.append(values)
        elif not rows:
            heading.append(plain)
            names = tuple(f.strip(" \"'#*") for f in re.split(r"[;,\t]|\s{2,}", plain.lstrip(COMMENTS)) if f.strip())
            separator = None
        elif plain[0] not in COMMENTS:
            stray = stray or (number, plain)
    widths = sorted({len(row) for row in rows})
    # A line of a few numbers above the table (a number of points, a range) is part of the heading.
    while len(widths) > 1 and len(rows) > FEWEST_ROWS and len(rows[0]) != len(rows[1]):
        heading.append(" ".join(f"{v:g}" for v in rows.pop(0)))
        widths = sorted({len(row) for row in rows})
    if len(widths) != 1:
        raise ScanError(
            f"expected two or three columns (2theta, intensity, uncertainty), found "
            f"{' and '.join(map(str, widths)) or 'no numbers'}"
        )
    if stray is not None and any(c.isdigit() for c in stray[1]):
        raise ScanError(f"line {stray[0]}: expected numbers, found {stray[1][:40]!r}")
    return Table(np.array(rows), tuple(heading), names)


def _separator(lines: Sequence[str]) -> str:
    """Return what separates the numbers: ";" or blanks, with decimal commas "; ,", or commas."""
    plain = [line.strip() for line in lines if line.strip() and line.strip()[0] not in COMMENTS]
    for separator in (";", "\t", " "):
        fields = [[f for f in re.split(rf"[{separator}\s]+", line) if f] for line in plain]
        wide = [f for f in fields if len(f) >= 2]
        if len(wide) >= max(1, len(fields) // 2):
            decimal = sum(bool(_DECIMAL_COMMA.fullmatch(x)) for f in wide for x in f)
            pointed = sum("." in x for f in wide for x in f)
            return separator + "," if decimal and not pointed else separator
    return ","


def _values(line: str, separator: str) -> list[float] | None:
    """Return the numbers of a line, None if it holds anything else."""
    if separator.endswith(",") and separator != ",":
        fields = [f.replace(",", ".") for f in re.split(rf"[{separator[0]}\s]+", line)]
    else:
        fields = re.split(r"[,;\s]+", line)
    found = []
    for field in fields:
        if not field:
            continue
        if _VALUE.fullmatch(field) is None:
            return None
        found.append(_float(field))
    return found


def _columns(table: Table, said: list[str]) -> tuple[int, int, int | None]:
    """Return the columns of angle, intensity and uncertainty."""
    width, names = table.rows.shape[1], table.names
    if names and _OTHER_AXIS.search(names[0]) and not _ANGLE.search(names[0]):
        raise ScanError(f"expected a scan over 2theta, found the axis {names[0][:40]!r}")
    if len(names) == width and _named(names, _ANGLE) is not None:
        angle, intensity = _named(names, _ANGLE), _named(names, _INTENSITY)
        if angle is not None and intensity is not None and angle != intensity:
            sigma = next((i for i, n in enumerate(names) if _SIGMA.search(n) and i not in (angle, intensity)), None)
            if width > 3:
                said.append(f"columns {names[angle]!r} and {names[intensity]!r} of {width} were read")
            return angle, intensity, sigma
    if width > 3:
        raise ScanError(
            f"expected two or three columns (2theta, intensity, uncertainty) or named ones, found {width} columns"
        )
    if width == 3 and np.nanmin(table.rows[:, 2], initial=0.0) < 0:
        said.append("the third column is negative in places and was not taken for uncertainties")
        return 0, 1, None
    return 0, 1, 2 if width == 3 else None


def _named(names: Sequence[str], pattern: re.Pattern[str]) -> int | None:
    return next((i for i, name in enumerate(names) if pattern.search(name)), None)


def stated_wavelengths(heading: Sequence[str]) -> tuple[float, ...]:
    """Return the wavelength that a heading states, as a tuple of one or none."""
    for line in heading[:200]:
        found = _STATED.search(line)
        value = None if found is None else wavelength_A(f"{found[1]} {found[2] or ''}".strip())
        if value is not None:
            return (value,)
    return ()


def _start_step_stop(lines: Sequence[str]) -> Scan | None:
    """Return the scan of a file that gives start, step and stop in its heading and then intensities alone."""
    for number, line in enumerate(lines[:6]):
        values = _leading(line)
        if len(values) < 3:
            continue
        start, step, stop = values[:3]
        if not (0 < step <= 1 and -30 <= start < stop <= 180):
            continue
        expected = round((stop - start) / step) + 1
        body = " ".join(lines[number + 1 :]).replace(",", " ").split()
        found = [f for f in body[: expected + 1] if _VALUE.fullmatch(f)]
        first = _leading(lines[number + 1]) if number + 1 < len(lines) else []
        pairs = len(first) in (2, 3) and abs(first[0] - start) < 1e-6
        if pairs or len(found) < expected:
            continue
        y = np.array([_float(f) for f in found[:expected]])
        radiation = Radiation(stated_wavelengths(lines[: number + 1]))
        part = ScanRange(evenly(start, step, expected), y)
        return join("start-step-stop", [part], unit_of(y), radiation, lines[0] if number else None)
    return None


def _float(field: str) -> float:
    """Return a number, perhaps with the exponent of Fortran."""
    return float(field if "n" in field.lower() else field.lower().replace("d", "e"))


def _leading(line: str) -> list[float]:
    """Return the numbers that a line begins with."""
    found = []
    for field in line.replace(",", " ").split():
        if _VALUE.fullmatch(field) is None:
            break
        found.append(_float(field))
    return found
