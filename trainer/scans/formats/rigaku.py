"""Rigaku .ras (text) and .rasx (a zip of profiles and their conditions)."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from trainer.scans.formats.content import Members, decoded, number, numbers, parsed
from trainer.scans.join import join
from trainer.scans.scan import Radiation, Scan, ScanError, ScanRange, Unit, tube

PROFILE = re.compile(r"(^|/)Data(\d+)/Profile\d+\.txt$")
UNITS: dict[str, Unit] = {"counts": "counts", "count": "counts", "cps": "counts/s", "counts/s": "counts/s"}
_KEY = re.compile(r'^\*(\S+)\s+"(.*)"\s*$')


def is_rasx(names: list[str]) -> bool:
    """Return whether the members of a zip are those of a .rasx."""
    return any(PROFILE.search(name) for name in names)


def read_ras(data: bytes) -> Scan:
    """Read every range of a .ras file: a header of keys, then lines of angle, intensity and attenuation."""
    ranges: list[ScanRange] = []
    remarks: list[str] = []
    heads: list[dict[str, str]] = []
    head: dict[str, str] = {}
    rows: list[str] | None = None
    for line in decoded(data, "shift_jis").split("\n"):
        if line.startswith("*RAS_HEADER_START"):
            head = {}
        elif line.startswith("*RAS_INT_START"):
            rows = []
        elif line.startswith("*RAS_INT_END") and rows is not None:
            ranges.append(_range(rows, head, remarks))
            heads.append(head)
            rows = None
        elif rows is not None:
            rows.append(line)
        elif match := _KEY.match(line):
            head[match[1]] = match[2]
    if rows is not None:
        raise ScanError("is cut short: expected *RAS_INT_END after the last point")
    if not ranges:
        raise ScanError("expected points between *RAS_INT_START and *RAS_INT_END, found none")
    return join("ras", ranges, _unit(heads), _radiation(heads[0]), heads[0].get("FILE_SAMPLE"), dict.fromkeys(remarks))


def read_rasx(members: Members) -> Scan:
    """Read every profile of a .rasx file."""
    names = sorted((n for n in members.names if PROFILE.search(n)), key=lambda n: (len(n), n))
    ranges: list[ScanRange] = []
    remarks: list[str] = []
    heads: list[dict[str, str]] = []
    for name in names:
        folder = name.rpartition("/")[0]
        conditions = next((n for n in members.names if n.startswith(f"{folder}/Mes") and n.endswith(".xml")), None)
        head = {} if conditions is None else _conditions(members.read(conditions))
        heads.append(head)
        ranges.append(_range(decoded(members.read(name)).split("\n"), head, remarks))
    return join("rasx", ranges, _unit(heads), _radiation(heads[0]), heads[0].get("FILE_SAMPLE"), dict.fromkeys(remarks))


def _conditions(data: bytes) -> dict[str, str]:
    """Return the measuring conditions under the keys of a .ras file."""
    root = parsed(data)
    keys = {
        "SampleName": "FILE_SAMPLE",
        "TargetName": "HW_XG_TARGET_NAME",
        "WaveType": "MEAS_COND_XG_WAVE_TYPE",
        "WavelengthKalpha1": "HW_XG_WAVE_LENGTH_ALPHA1",
        "WavelengthKalpha2": "HW_XG_WAVE_LENGTH_ALPHA2",
        "AxisName": "MEAS_SCAN_AXIS_X_INTERNAL",
        "Mode": "MEAS_SCAN_MODE",
        "Step": "MEAS_SCAN_STEP",
        "Speed": "MEAS_SCAN_SPEED",
        "SpeedUnit": "MEAS_SCAN_SPEED_UNIT",
        "IntensityUnit": "MEAS_SCAN_UNIT_Y",
        "DataCount": "MEAS_DATA_COUNT",
    }
    found: dict[str, str] = {}
    for element in root.iter():
        if element.tag in keys and element.text:
            found.setdefault(keys[element.tag], element.text)
    for category in root.iter("Category"):
        if "Monochromator" in (category.get("Name") or ""):
            found.setdefault("MONOCHROMATOR", category.get("SelectedUnit") or "")
    return found


def _range(lines: list[str], head: Mapping[str, str], remarks: list[str]) -> ScanRange:
    axis = head.get("MEAS_SCAN_AXIS_X_INTERNAL", "TwoTheta")
    if "TwoTheta" not in axis:
        raise ScanError(f"expected a scan over 2theta, found one over {axis}")
    rows = [numbers(line) for line in lines if line.strip()]
    if not rows or any(len(row) not in (2, 3) or len(row) != len(rows[0]) for row in rows):
        raise ScanError("expected lines of angle, intensity and attenuation")
    table = np.array(rows)
    promised = number(head.get("MEAS_DATA_COUNT"))
    if promised is not None and len(table) < promised:
        raise ScanError(f"is cut short: expected {promised:g} points, found {len(table)}")
    intensity, sigma = table[:, 1], None
    if table.shape[1] == 3 and np.any(table[:, 2] != 1):
        sigma = np.sqrt(np.maximum(intensity, 1.0)) * table[:, 2]
        intensity = intensity * table[:, 2]
        remarks.append("counts were corrected for the attenuator")
    return ScanRange(table[:, 0], intensity, sigma, _seconds(head))


def _seconds(head: Mapping[str, str]) -> float | None:
    """Return the counting time of a point: step over speed, or the speed itself where it is a time."""
    step, speed = number(head.get("MEAS_SCAN_STEP")), number(head.get("MEAS_SCAN_SPEED"))
    unit = head.get("MEAS_SCAN_SPEED_UNIT", "").lower().replace(" ", "")
    if step is None or not speed:
        return None
    if unit == "deg/min":
        return 60 * step / speed
    if unit == "deg/s":
        return step / speed
    return speed if unit in ("sec", "s", "sec/step", "s/step") else None


def _unit(heads: list[dict[str, str]]) -> Unit:
    units = {UNITS.get(head.get("MEAS_SCAN_UNIT_Y", "counts").strip().lower(), "arbitrary") for head in heads}
    if len(units) > 1:
        raise ScanError(f"expected one unit of intensity, found {' and '.join(sorted(units))}")
    return units.pop()


def _radiation(head: Mapping[str, str]) -> Radiation:
    names = {head[k]: head.get(k.replace("NAME_INTERNAL", "POSITION"), "") for k in head if "AXIS_NAME_INTERNAL" in k}
    crystal = names.get("CounterMonochromator") or head.get("MONOCHROMATOR", "")
    return tube(
        number(head.get("HW_XG_WAVE_LENGTH_ALPHA1")),
        number(head.get("HW_XG_WAVE_LENGTH_ALPHA2")),
        0.5,
        head.get("HW_XG_TARGET_NAME"),
        crystal if crystal.lower() not in ("none", "no_unit") else None,
        only_alpha1=head.get("MEAS_COND_XG_WAVE_TYPE", "").strip().lower() == "ka1",
    )
