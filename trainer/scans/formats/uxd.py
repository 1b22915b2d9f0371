"""Bruker .uxd: text with keys, and blocks of counts or of pairs for each range."""

from __future__ import annotations

from trainer.scans.formats.content import decoded, evenly, number, numbers
from trainer.scans.join import join
from trainer.scans.scan import Scan, ScanError, ScanRange, Unit, tube

STEPPED: dict[str, Unit] = {"_COUNTS": "counts", "_CPS": "counts/s"}
PAIRED: dict[str, tuple[Unit, int]] = {
    "_2THETACOUNTS": ("counts", 2),
    "_2THETACPS": ("counts/s", 2),
    "_2THETACOUNTSTIME": ("counts", 3),
}
OVER_TWO_THETA = ("COUPLED", "2THETA", "DETECTOR", "PSDSCAN", "PSDFIXEDSCAN", "")


def read(data: bytes) -> Scan:
    """Read every range of a .uxd file; lists of peaks in it are left out."""
    head: dict[str, str] = {}
    block: list[str] | None = None
    blocks: list[tuple[str, dict[str, str], list[str]]] = []
    for raw in decoded(data).split("\n"):
        line = raw.partition(";")[0].strip()
        key, equals, value = line.partition("=")
        key = key.strip().upper()
        if line.startswith("_") and equals:  # a range keeps the keys of those before it unless it states its own
            head[key] = value.strip().strip("'\"")
        elif line.startswith("_"):
            block = []
            blocks.append((key, dict(head), block))
        elif line and block is not None:
            block.append(line)
    ranges, units = [], set()
    for kind, head, lines in blocks:
        if kind in STEPPED or kind in PAIRED:
            part, unit = _range(kind, head, lines)
            ranges.append(part)
            units.add(unit)
    if not ranges:
        raise ScanError("expected a block of counts (_COUNTS, _CPS or _2THETACOUNTS), found none")
    if len(units) > 1:
        raise ScanError(f"expected one unit of intensity, found {' and '.join(sorted(units))}")
    first = blocks[0][1]
    radiation = tube(
        number(first.get("_WL1")), number(first.get("_WL2")), number(first.get("_WLRATIO")), first.get("_ANODE")
    )
    return join("uxd", ranges, units.pop(), radiation, first.get("_SAMPLE"))


def _range(kind: str, head: dict[str, str], lines: list[str]) -> tuple[ScanRange, Unit]:
    drive = head.get("_DRIVE", "").upper()
    if drive not in OVER_TWO_THETA:
        raise ScanError(f"expected a scan over 2theta, found one of {drive}")
    values = numbers(" ".join(lines))
    seconds = number(head.get("_STEPTIME"))
    if kind in STEPPED:
        start, step = number(head.get("_START")), number(head.get("_STEPSIZE"))
        if start is None or step is None:
            raise ScanError("expected _START and _STEPSIZE before the counts, found no such numbers")
        promised = number(head.get("_STEPCOUNT"))
        if promised is not None and len(values) < promised:
            raise ScanError(f"is cut short: expected {promised:g} counts, found {len(values)}")
        return ScanRange(evenly(start, step, len(values)), values, seconds=seconds), STEPPED[kind]
    unit, width = PAIRED[kind]
    if len(values) % width:
        raise ScanError(f"expected {width} numbers for each point, found {len(values)} in all")
    table = values.reshape(-1, width)
    return ScanRange(table[:, 0], table[:, 1], seconds=table[:, 2] if width == 3 else seconds), unit
