"""Stoe WinXPOW .raw (RAW_1.0x): records of 512 bytes, a header for the file and one for each range."""

from __future__ import annotations

from trainer.scans.formats.content import Fields, evenly
from trainer.scans.join import join
from trainer.scans.scan import Scan, ScanError, ScanRange, tube

RECORD = 512
MOST_RANGES = 8
ANODES = {1: "Ag", 2: "Mo", 3: "Cu", 4: "Co", 5: "Fe", 6: "Cr"}
MONOCHROMATORS = {
    1: "secondary",
    2: "curved Ge(111)",
    3: "curved graphite(002)",
    4: "curved quartz(101)",
    6: "Ge(111)",
    7: "Ge(220)",
    8: "GaAs(400)",
}
ONLY_ALPHA1 = (2, 4, 6, 7, 8)
OMEGA_SCAN = 2
CALCULATED = 2
SMOOTHED, BACKGROUND_REMOVED, ALPHA2_REMOVED = 1 << 5, 1 << 6, 1 << 7


def read(data: bytes) -> Scan:
    """Read a Stoe raw file; its angles are 2theta of a scan 2theta:omega or 2theta."""
    fields = Fields(data)
    if fields.u16(0x168) == OMEGA_SCAN:
        raise ScanError("expected a scan over 2theta, found one over omega")
    if fields.u16(0x1D6) == CALCULATED:
        raise ScanError("holds a calculated pattern, not a measured one")
    monochromator = fields.u16(0x134) % 100  # 100 is added where it is motorised
    ranges, remarks, history = [], [], 0
    for number in range(min(fields.u16(0x17A), MOST_RANGES)):
        at = RECORD * (fields.u16(0x1E0 + 2 * number) - 1)
        count, factor = fields.u16(at + 0x22), fields.f32(at + 0x28)
        kind = "<i2" if fields.u16(at + 0x26) else "<i4"
        intensity = fields.array(kind, at + RECORD, count) / (factor if factor > 1 else 1.0)
        start, step = fields.f32(at + 0x2C), fields.f32(at + 0x3C)
        ranges.append(ScanRange(evenly(start, step, count), intensity, seconds=fields.f32(at + 0x44)))
        history |= fields.u16(at + 0x7A)
    for bit, remark in (
        (SMOOTHED, "was smoothed"),
        (BACKGROUND_REMOVED, "background was removed"),
        (ALPHA2_REMOVED, "K-alpha2 was removed"),
    ):
        if history & bit:
            remarks.append(remark)
    only = monochromator in ONLY_ALPHA1 or bool(history & ALPHA2_REMOVED)
    radiation = tube(
        fields.f32(0x142),
        fields.f32(0x146),
        0.5,
        ANODES.get(fields.u16(0x136)),
        MONOCHROMATORS.get(monochromator),
        only_alpha1=only,
    )
    return join("Stoe raw", ranges, "arbitrary" if history else "counts", radiation, fields.text(0x20, 80), remarks)
