"""Philips .udf (text) and .rd or .sd (binary) of PC-APD."""

from __future__ import annotations

import re

from trainer.scans.formats.content import Fields, decoded, evenly, number, numbers
from trainer.scans.join import join
from trainer.scans.scan import Scan, ScanError, ScanRange, tube
from trainer.scans.wavelength import ALPHA_A

ANODES = {0: "Cu", 1: "Mo", 2: "Fe", 3: "Cr"}
DATA_AT = {b"V3": 250, b"V5": 810}


def read_udf(data: bytes) -> Scan:
    """Read "key, value, ... ,/" lines, and counts after RawScan up to a slash."""
    head, found, body = decoded(data).partition("RawScan")
    if not found:
        raise ScanError("expected counts after a line RawScan, found none")
    values: dict[str, str] = {}
    for line in head.split("\n"):
        key, comma, value = line.rstrip().removesuffix("/").rstrip().removesuffix(",").partition(",")
        if comma:
            values.setdefault(key.strip(), value.strip())
    counts = numbers(body.partition("/")[0])
    limits = re.split(r"\s*,\s*", values.get("DataAngleRange", ""))
    start, stop, step = number(limits[0]), number(limits[-1]), number(values.get("ScanStepSize"))
    if start is None or stop is None or step is None or step <= 0:
        raise ScanError("expected DataAngleRange and ScanStepSize, found no such numbers")
    remarks = []
    expected = round((stop - start) / step) + 1
    if "/" not in body or len(counts) < expected:
        raise ScanError(f"is cut short: expected {expected} counts and a slash, found {len(counts)} counts")
    if len(counts) > expected:
        remarks.append(f"{len(counts) - expected} counts beyond the stated range")
    radiation = tube(
        number(values.get("LabdaAlpha1")),
        number(values.get("LabdaAlpha2")),
        number(values.get("RatioAlpha21")),
        values.get("Anode"),
        "used" if values.get("MonochromatorUsed", "").upper().startswith("Y") else None,
    )
    part = ScanRange(evenly(start, step, len(counts)), counts, seconds=number(values.get("ScanStepTime")))
    return join("Philips udf", [part], "counts", radiation, values.get("SampleIdent"), remarks)


def read_rd(data: bytes) -> Scan:
    """Read V3RD or V5RD: counts p^2 / 100 stored as 16-bit numbers p."""
    fields = Fields(data)
    step, start, stop = fields.f64(214), fields.f64(222), fields.f64(230)
    evenly(start, step, 0)
    if not (step > 0 and start < stop <= 360):
        raise ScanError(f"states an impossible range of angles: {start:g} to {stop:g} in steps of {step:g}")
    count = int((stop - start) / step + 1.5)
    packed = fields.array("<u2", DATA_AT[data[:2]], count)
    counts = (packed**2 * 0.01 + 1e-9) // 1.0
    anode = ANODES.get(data[85])
    remarks = ["counts are stored as their square roots in steps of 0.1"]
    if anode is not None:
        remarks.append(f"wavelength from the anode {anode}")
    alpha1, alpha2 = ALPHA_A.get(anode or "", (None, None))
    radiation = tube(alpha1, alpha2, 0.5, anode)
    part = ScanRange(evenly(start, step, count), counts)
    return join("Philips rd", [part], "counts", radiation, fields.text(146, 20), remarks)
