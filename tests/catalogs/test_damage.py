"""Whatever happens to a file's bytes, its catalog ends in records or in one sentence."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from catalogs.defects import DEFECTS
from catalogs.errors import CatalogError
from catalogs.open import guess_catalog, open_catalog
from tests.catalogs.cifs import cif

CIFS = {f"{name}.cif": cif(name) for name in ("a", "b", "c")}


def zipped() -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in CIFS.items():
            archive.writestr(name, text)
    return raw.getvalue()


def tarred(mode: str) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode=mode) as archive:  # type: ignore[call-overload]
        for name, text in CIFS.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return raw.getvalue()


def parquet() -> bytes:
    raw = io.BytesIO()
    pq.write_table(pa.table({"material_id": list(CIFS), "cif": list(CIFS.values())}), raw)
    return raw.getvalue()


def csv() -> bytes:
    return b"material_id,cif\n" + b"".join(f'{name},"{text}"\n'.encode() for name, text in CIFS.items())


MAKERS: dict[str, Callable[[], bytes]] = {
    "x.zip": zipped,
    "x.tar": lambda: tarred("w"),
    "x.tar.gz": lambda: tarred("w:gz"),
    "x.tar.bz2": lambda: tarred("w:bz2"),
    "x.tar.xz": lambda: tarred("w:xz"),
    "x.parquet": parquet,
    "x.csv": csv,
    "x.cif": lambda: "".join(CIFS.values()).encode(),
}

changes = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=6)), max_size=4)


@pytest.mark.parametrize("name", MAKERS)
@given(changes=changes, kept=st.floats(0, 1) | st.just(1.0))
@example(changes=[], kept=0.0)
@example(changes=[], kept=0.5)
@example(changes=[(0.0, b'\x00"')], kept=1.0)
@example(changes=[(0.0, b'"')], kept=1.0)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_bytes_end_in_records_or_one_sentence(
    tmp_path: Path, name: str, changes: list[tuple[float, bytes]], kept: float
) -> None:
    raw = bytearray(MAKERS[name]())
    for where, new in changes:
        at = int(where * len(raw))
        raw[at : at + len(new)] = new
    (tmp_path / name).write_bytes(raw[: round(kept * len(raw))])
    try:
        found = list(open_catalog(guess_catalog(tmp_path / name)))
    except CatalogError:
        return
    assert len({record.source_id for record in found}) == len(found)
    for record in found:
        assert record.defect is None or record.defect.reason in DEFECTS
        assert (record.text == "") == (record.defect is not None)
        for text in (
            record.source_id,
            record.text,
            record.origin,
            *record.source_metadata,
            *record.source_metadata.values(),
        ):
            text.encode("utf-8")
