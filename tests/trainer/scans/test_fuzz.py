"""Damaged files of every format end in a scan or in a reason, never in anything else."""

from __future__ import annotations

import io
import zipfile

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.trainer.scans import files
from trainer.scans.read import SUFFIXES, read_bytes
from trainer.scans.scan import Scan, ScanError

CONTENT = {name: make() for name, make in files.EVERY_FORMAT.items()}
NAMES = st.sampled_from(sorted(CONTENT))
FUZZ = settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def ends_well(name: str, data: bytes) -> None:
    try:
        scan = read_bytes(name, data)
    except ScanError:
        return
    assert isinstance(scan, Scan)
    assert (np.diff(scan.two_theta_deg) > 0).all()
    assert np.isfinite(scan.intensity).all()
    assert np.isfinite(scan.uncertainty).all()


@FUZZ
@given(NAMES, st.floats(0, 1))
def test_truncated_files(name: str, part: float) -> None:
    ends_well(name, CONTENT[name][: int(part * len(CONTENT[name]))])


@FUZZ
@given(NAMES, st.data())
def test_files_with_changed_bytes(name: str, data: st.DataObject) -> None:
    content = bytearray(CONTENT[name])
    reach = data.draw(st.sampled_from([80, 1000, len(content)]))
    for _ in range(data.draw(st.integers(1, 12))):
        content[data.draw(st.integers(0, min(reach, len(content)) - 1))] = data.draw(st.integers(0, 255))
    ends_well(name, bytes(content))


@FUZZ
@given(NAMES, st.data())
def test_files_with_parts_moved_repeated_or_lost(name: str, data: st.DataObject) -> None:
    content = CONTENT[name]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), min_size=1, max_size=6)))
    parts = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    chosen = data.draw(st.lists(st.integers(0, len(parts) - 1), min_size=1, max_size=8))
    ends_well(name, b"".join(parts[i] for i in chosen))


@FUZZ
@given(st.sampled_from(["a.brml", "a.rasx"]), st.data())
def test_archives_with_changed_members(name: str, data: st.DataObject) -> None:
    members = {}
    with zipfile.ZipFile(io.BytesIO(CONTENT[name])) as archive:
        for member in archive.namelist():
            content = bytearray(archive.read(member))
            for _ in range(data.draw(st.integers(0, 4))):
                content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
            members[member] = bytes(content[: data.draw(st.sampled_from([len(content), len(content) // 2]))])
    ends_well(name, files.zipped(members))


@FUZZ
@given(st.sampled_from([f"a{suffix}" for suffix in SUFFIXES] + ["a"]), st.binary(max_size=400))
def test_anything_under_any_name(name: str, content: bytes) -> None:
    ends_well(name, content)


@FUZZ
@given(st.sampled_from(["RAW ", "RAW2", "RAW1.01", "RAW4.00", "RAW_1.06", "V3RD", "V5RD"]), st.binary(max_size=1500))
def test_anything_behind_a_magic_number(magic: str, content: bytes) -> None:
    ends_well("a.raw", magic.encode() + content)


NUMBER = st.floats(allow_nan=True, allow_infinity=True).map(str) | st.integers(-9, 99).map(str)
FIELD = NUMBER | st.text("0123456789.,;eE+-# \tabc'\"", max_size=8)


@FUZZ
@given(st.sampled_from(["a.xy", "a.csv", "a.dat", "a.chi", "a.cif", "a.gsa", "a.ras", "a.uxd"]), st.data())
def test_lines_of_text(name: str, data: st.DataObject) -> None:
    separator = data.draw(st.sampled_from([" ", ",", ";", "\t", ", "]))
    rows = data.draw(st.lists(st.lists(FIELD, min_size=1, max_size=4).map(separator.join), max_size=70))
    ends_well(name, "\n".join(rows).encode())
