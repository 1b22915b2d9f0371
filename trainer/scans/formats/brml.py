"""Bruker .brml: a zip of XML; each RawData file holds a data route with one Datum for each point."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from trainer.scans.formats.content import Array, Members, evenly, number, parsed
from trainer.scans.join import join
from trainer.scans.scan import Radiation, Scan, ScanError, ScanRange, tube

RAW_DATA = re.compile(r"(^|/)RawData(\d+)\.xml$")
TWO_THETA = ("TwoTheta", "2Theta")
ROUNDING_DEG = 6e-4
"""Angles are printed with four decimals, or three."""


def is_brml(names: list[str]) -> bool:
    """Return whether the members of a zip are those of a .brml."""
    return any(RAW_DATA.search(name) for name in names)


def read(members: Members) -> Scan:
    """Read every range of a .brml."""
    names = sorted((n for n in members.names if RAW_DATA.search(n)), key=_number)
    ranges: list[ScanRange] = []
    remarks: list[str] = []
    others: list[str] = []
    radiation, sample = Radiation(), None
    for position, name in enumerate(names):
        root = parsed(members.read(name))
        if position == 0:
            radiation, sample = _radiation(root), _sample(root)
        for route in _routes(root):
            part = _range(route, remarks, others)
            if part is not None:
                ranges.append(part)
    if not ranges:
        raise ScanError(f"expected a scan over 2theta, found {', '.join(sorted(set(others))) or 'no data'}")
    if others:
        remarks.append(f"{len(others)} scans over other axes were left out")
    return join("brml", ranges, "counts", radiation, sample, dict.fromkeys(remarks))


def _number(name: str) -> tuple[str, int]:
    match = RAW_DATA.search(name)
    return name[: match.start()] if match else name, int(match[2]) if match else 0


def _routes(root: ET.Element) -> list[ET.Element]:
    """Return the routes of data as measured; the others are processed copies."""
    routes = list(root.iter("DataRoute"))
    return [r for r in routes if r.get("RouteFlag") == "Measured"] or routes[:1]


def _range(route: ET.Element, remarks: list[str], others: list[str]) -> ScanRange | None:
    axes = {axis.get("AxisId") or axis.get("AxisName") or "": axis for axis in route.iter("ScanAxisInfo")}
    rows = [datum.text for datum in route.iter("Datum") if datum.text]
    name = next((i.get("ScanName") or "" for i in route.iter("ScanInformation")), "")
    axis = next((axes[key] for key in TWO_THETA if key in axes), None)
    if axis is None or not rows:
        others.append(name or "unknown")
        return None
    try:
        table: NDArray[np.float64] = np.array([[float(x) for x in row.split(",")] for row in rows])
    except ValueError as error:
        raise ScanError(f"expected as many numbers in each Datum ({error})") from error
    columns = _columns(route, table.shape[1])
    if max(columns.values()) >= table.shape[1]:
        raise ScanError(f"expected {max(columns.values()) + 1} numbers in each Datum, found {table.shape[1]}")
    intensity = table[:, columns["intensity"]]
    factor = table[:, columns["absorber"]]
    if np.ptp(factor) > 0:
        raise ScanError("the absorber changed during the scan; export it as .xy with intensities corrected")
    if factor[0] != 1:
        remarks.append(f"measured with an absorber of factor {factor[0]:g}")
    seconds = table[:, columns["time"]]
    x = _angles(axis, table[:, columns["angle"]])
    return ScanRange(x, intensity, seconds=seconds if (seconds > 0).all() else None)


def _columns(route: ET.Element, width: int) -> dict[str, int]:
    """Return the columns of time, absorber, 2theta and intensity, as the views of the data state them."""
    found = {"time": 0, "absorber": 1, "angle": 2, "intensity": width - 1}
    recorded: list[int] = []
    for view in route.iter("RawDataView"):
        start = int(number(view.get("Start")) or 0)
        if view.get("LogicName") == "MeasuredTime":
            found["time"] = start
        elif view.get("LogicName") == "AbsorptionFactor":
            found["absorber"] = start
        elif view.find("Recording") is not None:
            size = view.find("Recording/Size/X")
            if size is not None and (number(size.text) or 1) > 1:
                raise ScanError("holds detector images, not a scan; integrate it to a pattern first")
            recorded.append(start)
        for offset, field in enumerate(view.iter("FieldDefinitions")):
            if (field.get("AxisId") or field.get("FieldName")) in TWO_THETA:
                found["angle"] = start + offset
    if recorded:
        found["intensity"] = recorded[0]
    return found


def _angles(axis: ET.Element, printed: Array) -> Array:
    """Return the angles by start and increment, where they are the printed ones but for rounding."""
    start, increment = number(axis.findtext("Start")), number(axis.findtext("Increment"))
    if start is None or increment is None or increment == 0:
        return printed
    even = evenly(start, increment, len(printed))
    return even if np.abs(even - printed).max() <= ROUNDING_DEG else printed


def _radiation(root: ET.Element) -> Radiation:
    def value(name: str) -> float | None:
        found = next(root.iter(name), None)
        return None if found is None else number(found.get("Value"))

    paths = [e.get("ObjectPath", "") + e.get("ClassPath", "") for e in root.iter("BeringInfo")]
    crystals = [p.rpartition("/")[2] for p in paths if "Monochromator" in p and "PrimaryTrack" in p]
    only = any("johansson" in crystal.lower() or "ge" in crystal.lower() for crystal in crystals)
    anode = next((e.text for e in root.iter("TubeMaterial")), None)
    return tube(
        value("WaveLengthAlpha1"),
        value("WaveLengthAlpha2"),
        value("WaveLengthRatio"),
        anode,
        "; ".join(dict.fromkeys(crystals)),
        only_alpha1=only,
    )


def _sample(root: ET.Element) -> str | None:
    return next((e.get("Value") for e in root.iter("InfoItem") if e.get("Name") == "SampleName"), None)
