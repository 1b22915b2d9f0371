"""PANalytical .xrdml, versions 1.0 to 2.x."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np

from trainer.scans.formats.content import Array, number, numbers, parsed
from trainer.scans.join import join
from trainer.scans.scan import Radiation, Scan, ScanError, ScanRange, Unit, tube

ONLY_ALPHA1 = ("johansson", "ge(111)", "ge (111)", "ge(220)", "ge (220)", "alpha1", "alpha-1", "hybrid")


def read(data: bytes) -> Scan:
    """Read every scan over 2theta of a file."""
    root = parsed(data)
    measurements = list(root.iter("xrdMeasurement"))
    if not measurements:
        raise ScanError("expected a measurement (xrdMeasurement), found none")
    remarks: list[str] = []
    ranges, others, units = [], [], set()
    for measurement in measurements:
        for scan in measurement.iter("scan"):
            axis = scan.get("scanAxis", "")
            points = scan.find("dataPoints")
            moving = None if points is None else _two_theta(points)
            if points is None or moving is None:
                others.append(axis or "unknown")
                continue
            part, unit = _range(points, moving, remarks)
            ranges.append(part)
            units.add(unit)
            if scan.get("status", "Completed") != "Completed":
                remarks.append(f"the measurement is marked {scan.get('status')}")
    if not ranges:
        raise ScanError(f"expected a scan over 2theta, found {', '.join(sorted(set(others))) or 'none'}")
    if others:
        remarks.append(f"{len(others)} scans over other axes were left out")
    if len(units) > 1:
        raise ScanError(f"expected one unit of intensity, found {' and '.join(sorted(units))}")
    sample = root.find("sample")
    name = None if sample is None else (sample.findtext("name") or sample.findtext("id"))
    return join("xrdml", ranges, units.pop(), _radiation(measurements[0]), name, dict.fromkeys(remarks))


def _two_theta(points: ET.Element) -> ET.Element | None:
    """Return the positions of 2theta, None where it stands still."""
    for positions in points.iter("positions"):
        if positions.get("axis") == "2Theta" and positions.find("commonPosition") is None:
            return positions
    return None


def _range(points: ET.Element, positions: ET.Element, remarks: list[str]) -> tuple[ScanRange, Unit]:
    raw = points.find("counts")
    listed = points.find("intensities") if raw is None else raw
    if listed is None:
        raise ScanError("expected intensities or counts, found neither")
    intensity = numbers(listed.text)
    stated = (listed.get("unit") or "counts").lower()
    unit: Unit = "counts/s" if stated in ("cps", "counts/s") else "counts" if stated == "counts" else "arbitrary"
    sigma = None
    factors = points.findtext("beamAttenuationFactors") or points.findtext("commonBeamAttenuationFactor")
    if factors:
        factor = numbers(factors)
        if len(factor) not in (1, len(intensity)):
            raise ScanError(f"expected an attenuation factor for each of {len(intensity)} points, found {len(factor)}")
        if (factor != 1).any():
            # Newer files list counts as the detector saw them, older ones intensities that are already corrected.
            counted = intensity if raw is not None else intensity / np.where(factor > 0, factor, 1.0)
            sigma = np.sqrt(np.maximum(counted, 1.0)) * factor
            intensity, unit = counted * factor, "arbitrary"
            remarks.append("counts were corrected for the beam attenuator")
    if points.find("divergenceCorrections") is not None or points.find("commonDivergenceCorrection") is not None:
        remarks.append("a programmable divergence slit was used; intensities are as measured")
    times = points.findtext("commonCountingTime") or points.findtext("countingTimes")
    seconds = numbers(times) if times else None
    if seconds is not None and len(seconds) not in (1, len(intensity)):
        raise ScanError(f"expected a counting time for each of {len(intensity)} points, found {len(seconds)}")
    if seconds is not None:
        seconds = np.broadcast_to(seconds, intensity.shape).copy()
    return ScanRange(_angles(positions, len(intensity)), intensity, sigma, seconds), unit


def _angles(positions: ET.Element, count: int) -> Array:
    if positions.get("unit", "deg") != "deg":
        raise ScanError(f"expected angles in degrees, found {positions.get('unit')}")
    listed = positions.findtext("listPositions")
    if listed:
        x = numbers(listed)
        if len(x) != count:
            raise ScanError(f"lists {len(x)} angles for {count} intensities")
        return x
    start, stop = number(positions.findtext("startPosition")), number(positions.findtext("endPosition"))
    if start is None or stop is None:
        raise ScanError("expected startPosition and endPosition of 2theta, found no such numbers")
    return np.linspace(start, stop, count)


def _radiation(measurement: ET.Element) -> Radiation:
    used = measurement.find("usedWavelength")
    anode = next((e.text for e in measurement.iter("anodeMaterial")), None)
    incident = measurement.find("incidentBeamPath")
    optics = [] if incident is None else [*incident.iter("monochromator"), *incident.iter("xRayMirror")]
    crystals = [
        " ".join(filter(None, (e.get("name"), e.findtext("crystal"), "hybrid" if e.get("hybrid") == "true" else "")))
        for e in optics
        if e.tag == "monochromator" or e.get("hybrid") == "true"
    ]
    behind = measurement.find("diffractedBeamPath")
    crystals += [] if behind is None else [e.get("name") or "diffracted beam" for e in behind.iter("monochromator")]
    if used is None:
        return tube(None, anode=anode, monochromator="; ".join(crystals))
    intended = (used.get("intended") or "").replace(" ", "").lower()
    names = [number(used.findtext(key)) for key in ("kAlpha1", "kAlpha2", "kBeta", "ratioKAlpha2KAlpha1")]
    if intended == "k-beta":
        return tube(names[2], anode=anode, monochromator="; ".join(crystals))
    only = any(word in crystal.lower() for crystal in crystals for word in ONLY_ALPHA1)
    return tube(names[0], names[1], names[3], anode, "; ".join(crystals), only_alpha1=only)
