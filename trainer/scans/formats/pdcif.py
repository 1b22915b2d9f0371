"""Patterns in pdCIF: loops of the powder dictionary (_pd_meas_*, _pd_proc_*)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from trainer.scans.formats.content import Array, decoded, evenly, number
from trainer.scans.join import join
from trainer.scans.scan import LONGEST_A, SHORTEST_A, Radiation, Scan, ScanError, ScanRange, Unit

ANGLES = ("_pd_meas_2theta_scan", "_pd_proc_2theta_corrected", "_pd_meas_angle_2theta", "_pd_meas_2theta_corrected")
INTENSITIES: tuple[tuple[str, Unit], ...] = (
    ("_pd_meas_counts_total", "counts"),
    ("_pd_meas_intensity_total", "arbitrary"),
    ("_pd_proc_intensity_total", "arbitrary"),
    ("_pd_meas_counts_net", "arbitrary"),
    ("_pd_meas_intensity_net", "arbitrary"),
    ("_pd_proc_intensity_net", "arbitrary"),
)
SAMPLES = ("_pd_spec_description", "_chemical_name_common", "_pd_block_id")
TIME_OF_FLIGHT = ("_pd_meas_time_of_flight", "_pd_proc_d_spacing_tof")
_TOKEN = re.compile(
    r"""\s*(?:\#[^\n]*|'((?:[^'\n]|'(?=\S))*)'(?=\s|$)|"((?:[^"\n]|"(?=\S))*)"(?=\s|$)|(\S+))""",
)
_TEXT_FIELD = re.compile(r"^;(.*?)^;", re.MULTILINE | re.DOTALL)
_WITH_UNCERTAINTY = re.compile(r"([-+]?[\d.]+(?:[eE][-+]?\d+)?)(?:\((\d+)\))?")


@dataclass
class Block:
    """A data block: single items and columns of loops, under lower-case names."""

    name: str
    items: dict[str, str] = field(default_factory=dict)
    loops: dict[str, list[str]] = field(default_factory=dict)


def read(data: bytes) -> Scan:
    """Read the first block of a CIF that holds a measured pattern."""
    blocks = list(blocks_of(decoded(data)))
    for block in blocks:
        if any(name in block.loops for name, _ in INTENSITIES):
            return _scan(block, blocks)
    if any(name in block.loops for block in blocks for name in TIME_OF_FLIGHT):
        raise ScanError("holds a time-of-flight pattern, which has no single wavelength")
    raise ScanError("expected a measured pattern (_pd_meas_ or _pd_proc_intensity in a loop), found none")


def blocks_of(text: str) -> Iterator[Block]:
    """Yield the data blocks of a CIF."""
    block: Block | None = None
    key: str | None = None
    names: list[str] = []
    looping = False
    columns: list[list[str]] = []
    count = 0
    for value, quoted in _tokens(text):
        lower = value.lower()
        if not quoted and lower.startswith("data_"):
            if block is not None:
                yield block
            block, key, looping = Block(value[5:]), None, False
        elif block is None:
            continue
        elif not quoted and lower == "loop_":
            names, columns, looping, key, count = [], [], True, None, 0
        elif not quoted and value.startswith("_"):
            if looping and count == 0:
                names.append(lower)
                columns.append(block.loops.setdefault(lower, []))
            else:
                looping, key = False, lower
        elif looping and columns:
            columns[count % len(columns)].append(value)
            count += 1
        elif key is not None:
            block.items.setdefault(key, value)
            key = None
    if block is not None:
        yield block


def _tokens(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the words of a CIF and whether they were quoted."""
    at = 0
    for field_ in _TEXT_FIELD.finditer(text):
        yield from _words(text[at : field_.start()])
        yield field_[1].strip(), True
        at = field_.end()
    yield from _words(text[at:])


def _words(text: str) -> Iterator[tuple[str, bool]]:
    for match in _TOKEN.finditer(text):
        single, double, plain = match.groups()
        if plain is not None:
            yield plain, False
        elif single is not None or double is not None:
            yield single if single is not None else double, True


def _scan(block: Block, blocks: list[Block]) -> Scan:
    everywhere = {key: value for other in reversed(blocks) for key, value in other.items.items()} | block.items
    probe = " ".join(everywhere.get(f"_diffrn_radiation_{key}", "") for key in ("probe", "type")).lower()
    if "neutron" in probe:
        raise ScanError("holds a neutron pattern, expected an X-ray pattern")
    name, unit = next((n, u) for n, u in INTENSITIES if n in block.loops)
    intensity, sigma = _values(block.loops[name])
    if any(key in block.loops for key in TIME_OF_FLIGHT):
        raise ScanError("holds a time-of-flight pattern, which has no single wavelength")
    x = _angles(block, everywhere, len(intensity))
    remarks = [f"intensities are {name}"]
    if name.endswith("_net"):
        remarks.append("background was removed")
    radiation = _radiation(block, blocks, everywhere)
    seconds = number(everywhere.get("_pd_meas_step_count_time"))
    sample = next((everywhere[key] for key in SAMPLES if key in everywhere), block.name)
    return join("pdcif", [ScanRange(x, intensity, sigma, seconds)], unit, radiation, sample, remarks)


def _values(texts: list[str]) -> tuple[Array, Array | None]:
    """Return numbers and their uncertainties, written "1234(35)"; "." and "?" are missing."""
    values, errors = np.full(len(texts), np.nan), np.zeros(len(texts))
    for i, text in enumerate(texts):
        match = _WITH_UNCERTAINTY.fullmatch(text)
        value = None if match is None else number(match[1])
        if match is None or value is None:
            continue
        values[i] = value
        if match[2]:
            decimals = len(match[1].partition(".")[2]) if "e" not in match[1].lower() else 0
            errors[i] = int(match[2][:9]) * 10.0 ** -min(decimals, 300)
    return values, errors if errors.any() else None


def _angles(block: Block, everywhere: dict[str, str], count: int) -> Array:
    for name in ANGLES:
        if name in block.loops:
            x, _ = _values(block.loops[name])
            if len(x) != count:
                raise ScanError(f"lists {len(x)} angles ({name}) for {count} intensities")
            return x
    for prefix in ("_pd_meas_2theta_range_", "_pd_proc_2theta_range_"):
        limits = [number(everywhere.get(prefix + end)) for end in ("min", "max", "inc")]
        start, stop, step = limits
        if start is not None and step is not None and step > 0:
            if stop is not None and abs(start + step * (count - 1) - stop) > 1.5 * step:
                raise ScanError(f"states {start:g} to {stop:g} degrees in steps of {step:g} for {count} intensities")
            return evenly(start, step, count)
    raise ScanError("expected 2theta (a loop of _pd_meas_2theta_scan, or its range and increment), found none")


def _radiation(block: Block, blocks: list[Block], everywhere: dict[str, str]) -> Radiation:
    name = "_diffrn_radiation_wavelength"
    for other in (block, *blocks):
        for key in (name, f"{name}.value"):
            if key in other.loops:
                lines = _values(other.loops[key])[0]
                weights = _values(other.loops.get(f"{name}_wt", []))[0]
                ratio = float(weights[1] / weights[0]) if len(weights) == len(lines) > 1 and weights[0] > 0 else None
                return Radiation(tuple(float(w) for w in lines if SHORTEST_A < w < LONGEST_A), ratio)
    stated = _values([everywhere.get(name, "?")])[0]
    return Radiation(tuple(float(w) for w in stated if SHORTEST_A < w < LONGEST_A))
