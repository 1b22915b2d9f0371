"""Bruker .raw, version 4: a header, tagged segments, and ranges that carry segments of their own."""

from __future__ import annotations

from collections.abc import Iterator

from trainer.scans.formats.content import Fields, evenly
from trainer.scans.join import join
from trainer.scans.scan import Radiation, Scan, ScanError, ScanRange, tube

HEADER, RANGE_HEADER = 61, 160
TEXT, TUBE, AXIS = 10, 30, 50
RANGE_KINDS = (0, 160)
MOST_RANGES = 1000
NOT_OVER_TWO_THETA = ("rocking", "phi", "chi", "omega", "theta scan")


def read(data: bytes) -> Scan:
    """Read "RAW4.00"."""
    fields, at = Fields(data), HEADER
    texts: dict[str, str] = {}
    radiation = Radiation()
    while fields.u32(at) not in RANGE_KINDS:
        kind, size = _segment(fields, at)
        if kind == TEXT:
            value = data[at + 36 : at + size].decode("utf-8", "replace")
            texts.setdefault(fields.text(at + 12, 24), value.strip("\0 \n"))
        elif kind == TUBE and size >= 120:
            radiation = tube(fields.f64(at + 80), fields.f64(at + 88), fields.f64(at + 104), fields.text(at + 116, 4))
        at += size
    ranges = list(_ranges(fields, at))
    return join("Bruker raw 4", ranges, "counts", radiation, texts.get("SAMPLEID"))


def _segment(fields: Fields, at: int) -> tuple[int, int]:
    kind, size = fields.u32(at), fields.u32(at + 4)
    if size < 8:
        raise ScanError(f"states an impossible segment of {size} bytes at byte {at}")
    return kind, size


def _ranges(fields: Fields, at: int) -> Iterator[ScanRange]:
    for _ in range(MOST_RANGES):
        if at + RANGE_HEADER > len(fields) or fields.u32(at) not in RANGE_KINDS:
            break
        name = fields.text(at + 32, 24)
        start, step, count = fields.f64(at + 72), fields.f64(at + 80), fields.u32(at + 88)
        seconds, record, extra = fields.f32(at + 92), fields.u32(at + 136) or 4, fields.u32(at + 140)
        begin = at + RANGE_HEADER + extra
        if count:
            axis = _two_theta_axis(fields, at + RANGE_HEADER, min(begin, len(fields)))
            moves = axis is None or abs(axis - start) < 1e-3
            if not moves or any(word in name.lower() for word in NOT_OVER_TWO_THETA):
                raise ScanError(f"expected a scan over 2theta, found one of kind {name!r}")
            yield ScanRange(evenly(start, step, count), fields.array("<f4", begin, count, record), seconds=seconds)
        at = begin + record * count


def _two_theta_axis(fields: Fields, at: int, end: int) -> float | None:
    """Return the position of the axis 2Theta among the segments of a range, None if it is not listed."""
    while at + 8 <= end:
        kind, size = fields.u32(at), fields.u32(at + 4)
        if size < 8:
            return None
        if kind == AXIS and size >= 64 and fields.text(at + 12, 24) == "2Theta":
            return fields.f64(at + 56)
        at += size
    return None
