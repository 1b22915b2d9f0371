"""RRUFF text: lines "##KEY=value", then angle and intensity."""

from __future__ import annotations

import re

from trainer.scans.formats.columns import scan_of, table_of
from trainer.scans.formats.content import decoded
from trainer.scans.scan import Radiation, Scan, ScanError
from trainer.scans.wavelength import wavelength_A

KEYS = ("##NAMES=", "##RRUFFID=", "##IDEAL CHEMISTRY=")


def read(data: bytes) -> Scan:
    """Read a pattern of the RRUFF project."""
    lines = decoded(data).split("\n")
    values: dict[str, str] = {}
    for line in lines:
        if line.startswith("##") and "=" in line:
            key, _, value = line[2:].partition("=")
            values.setdefault(key.strip().upper(), value.strip())
    sample = " ".join(filter(None, (values.get("NAMES"), values.get("RRUFFID"))))
    numbers = [line for line in lines if not line.startswith("##")]
    if not any(line.strip() for line in numbers):
        raise ScanError("expected lines of angle and intensity after the ## lines, found none")
    remarks = []
    if "PROCESSED" in values.get("FILETYPE", "").upper():
        remarks.append("background was removed")
    stated = next((v for k, v in values.items() if "WAVELENGTH" in k), "")
    match = re.search(r"\d+\.\d+(?:\s*(?:nm|m|a|å)\b)?", stated, re.IGNORECASE)
    wavelength = None if match is None else wavelength_A(match[0])
    radiation = Radiation(() if wavelength is None else (wavelength,))
    return scan_of(table_of(numbers), "rruff", radiation, sample, remarks)
