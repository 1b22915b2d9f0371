"""Bruker and Siemens .raw, versions 1 to 3 (DIFFRAC-AT and DIFFRAC plus)."""

from __future__ import annotations

from trainer.scans.formats.content import Fields, evenly
from trainer.scans.join import join
from trainer.scans.scan import Radiation, Scan, ScanError, ScanRange, tube

MOST_RANGES = 1000
OVER_TWO_THETA = {0: "locked coupled", 1: "unlocked coupled", 2: "detector"}
OTHER_SCANS = {3: "rocking curve", 4: "chi", 5: "phi", 6: "x", 7: "y", 8: "z"}


def read_version_1(data: bytes) -> Scan:
    """Read "RAW ": ranges of 156 bytes of header and 32-bit intensities, each naming whether another follows."""
    fields, at = Fields(data), 0
    ranges: list[ScanRange] = []
    radiation, sample = Radiation(), None
    while len(ranges) < MOST_RANGES:
        if data[at : at + 4] == b"RAW ":  # early programs did not repeat it
            at += 4
        count, seconds, step, start = fields.u32(at), fields.f32(at + 4), fields.f32(at + 8), fields.f32(at + 20)
        intensity = fields.array("<f4", at + 152, count)
        ranges.append(ScanRange(evenly(start, step, count), intensity, seconds=seconds))
        if len(ranges) == 1:
            sample = fields.text(at + 36, 32)
            radiation = tube(fields.f32(at + 68), fields.f32(at + 72), 0.5)
        following = fields.u32(at + 148)
        at += 152 + 4 * count
        if not following:
            break
    return join("Bruker raw 1", ranges, "counts", radiation, sample)


def read_version_2(data: bytes) -> Scan:
    """Read "RAW2": 256 bytes of header, then ranges of a header of stated length and 32-bit intensities."""
    fields, at = Fields(data), 256
    ranges = []
    for _ in range(min(max(fields.u16(4), 1), MOST_RANGES)):
        header, count = fields.u16(at), fields.u16(at + 2)
        if header < 48:
            raise ScanError(f"states an impossible range header of {header} bytes at byte {at}")
        seconds, step, start = fields.f32(at + 8), fields.f32(at + 12), fields.f32(at + 16)
        intensity = fields.array("<f4", at + header, count)
        ranges.append(ScanRange(evenly(start, step, count), intensity, seconds=seconds))
        at += header + 4 * count
    radiation = tube(fields.f32(190), fields.f32(194), fields.f32(198), fields.text(188, 2))
    return join("Bruker raw 2", ranges, "counts", radiation, fields.text(8, 32))


def read_version_3(data: bytes) -> Scan:
    """Read "RAW1.01": 712 bytes of header, then ranges of 304 bytes, further headers, and records of intensities."""
    fields, at = Fields(data), 712
    ranges, remarks = [], []
    for _ in range(min(max(fields.u32(12), 1), MOST_RANGES)):
        header, count, kind = fields.u32(at), fields.u32(at + 4), fields.u32(at + 196)
        if header < 260:
            raise ScanError(f"states an impossible range header of {header} bytes at byte {at}")
        if kind in OTHER_SCANS:
            raise ScanError(f"expected a scan over 2theta, found one of kind {OTHER_SCANS[kind]}")
        start, step, seconds = fields.f64(at + 16), fields.f64(at + 176), fields.f32(at + 192)
        varying, record = fields.u32(at + 248), fields.u32(at + 252) or 4
        begin = at + header + fields.u32(at + 256)
        intensity = fields.array("<f4", begin, count, record)
        x = evenly(start, step, count)
        if varying & 1 and record >= 12:  # the angle as measured follows the intensity
            x = fields.array("<f8", begin + 4, count, record)
            remarks.append("angles as measured for each point")
        ranges.append(ScanRange(x, intensity, seconds=seconds))
        at = begin + record * count
    anode, monochromator = fields.text(608, 4), fields.u32(580)
    radiation = tube(
        fields.f64(624), fields.f64(632), fields.f64(648), anode, f"primary, code {monochromator}" * bool(monochromator)
    )
    if fields.u32(8) > 1:
        remarks.append("the measurement was not finished")
    return join("Bruker raw 3", ranges, "counts", radiation, fields.text(326, 60), remarks)
