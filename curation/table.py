"""Records and verdicts in Parquet files: columns, types, units, and conversion both ways."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from catalogs.atomic_write import replacing
from catalogs.record import Defect, DensityRef, Record
from curation.labels import CRYSTAL_SYSTEMS
from curation.verdict import Verdict

COMPRESSION = {"compression": "zstd", "compression_level": 3}
GROUP_ROWS, GROUP_BYTES = 4096, 64_000_000
"""Approximate size of a row group of a joined table."""

_STRINGS = pa.string()
_COUNT = pa.int32()
_REAL = pa.float64()

VERDICT_COLUMNS: dict[str, tuple[pa.DataType, str, str]] = {
    "source": (_STRINGS, "", "catalog's name in the configuration"),
    "source_id": (_STRINGS, "", "what the record is called within its source"),
    "origin": (_STRINGS, "", "where a person would look for the input"),
    "licence": (_STRINGS, "", "terms of the input"),
    "source_metadata": (_STRINGS, "", "JSON object: what the source says of the record beside the CIF"),
    "text_hash": (_STRINGS, "", "first 16 digits of the SHA-256 of the record's text, hexadecimal"),
    "density_path": (_STRINGS, "", "file with the electron density, where there is one"),
    "density_format": (_STRINGS, "", "format of that file"),
    "density_member": (_STRINGS, "", "entry within that file, where it is an archive"),
    "status": (_STRINGS, "", "accepted or refused"),
    "reason": (_STRINGS, "", "code of the refusal, empty where accepted; `datagen reasons` explains each"),
    "detail": (_STRINGS, "", "the refusal's facts in words"),
    "warnings": (pa.list_(_STRINGS), "", "codes of remarks that refuse nothing"),
    "formula": (_STRINGS, "", "reduced formula"),
    "n_atoms": (_COUNT, "1", "atomic sites in the stored primitive cell"),
    "n_atoms_conventional": (_COUNT, "1", "atomic sites in the conventional cell"),
    "n_atoms_read": (_COUNT, "1", "atomic sites in the cell of the CIF"),
    "volume": (_REAL, "angstrom^3", "volume of the stored primitive cell"),
    "volume_conventional": (_REAL, "angstrom^3", "volume of the conventional cell"),
    "volume_read": (_REAL, "angstrom^3", "volume of the cell of the CIF"),
    "space_group": (pa.int16(), "1", "number 1..230, where every tolerance agrees"),
    "crystal_system": (pa.int8(), "1", ", ".join(f"{i} {name}" for i, name in enumerate(CRYSTAL_SYSTEMS, start=1))),
    "bravais_lattice": (_STRINGS, "", "Pearson symbol of the lattice"),
    "niggli_a": (_REAL, "angstrom", "edge a of the Niggli-reduced primitive cell"),
    "niggli_b": (_REAL, "angstrom", "edge b of the Niggli-reduced primitive cell"),
    "niggli_c": (_REAL, "angstrom", "edge c of the Niggli-reduced primitive cell"),
    "niggli_alpha": (_REAL, "degree", "angle alpha of the Niggli-reduced primitive cell"),
    "niggli_beta": (_REAL, "degree", "angle beta of the Niggli-reduced primitive cell"),
    "niggli_gamma": (_REAL, "degree", "angle gamma of the Niggli-reduced primitive cell"),
    "structure_hash": (_STRINGS, "", "content hash of the canonical structure"),
    "group": (_STRINGS, "", "reduced formula and space group, mirror images together; a group is in one split"),
    "split": (_STRINGS, "", "train, validation or test"),
    "symprec_A": (pa.list_(_REAL), "angstrom", "site tolerance of each symmetry search"),
    "angle_tolerance_deg": (pa.list_(_REAL), "degree", "angle tolerance of each symmetry search"),
    "space_group_at": (pa.list_(pa.int16()), "1", "space group found at each tolerance pair, null where none was"),
    "n_primitive_at": (pa.list_(_COUNT), "1", "sites in the primitive cell found at each tolerance pair"),
    "stated_space_group": (pa.int16(), "1", "space group that the CIF states; not used for the labels"),
    "stated_formula": (_STRINGS, "", "formula that the CIF states"),
    "min_distance_A": (_REAL, "angstrom", "shortest distance of two atoms that are not alternatives"),
    "max_occupancy": (_REAL, "1", "largest sum of occupancies on one site, before scaling"),
    "formula_difference": (_REAL, "1", "largest difference of an atomic fraction, atoms listed against stated formula"),
    "contact": (_STRINGS, "", "contact that is shortest for its elements"),
    "contact_ratio": (_REAL, "1", "distance of that contact over the sum of the covalent radii"),
    "volume_ratio": (_REAL, "1", "volume of the cell over the usual volume of its atoms"),
    "niggli_determinant": (_REAL, "1", "determinant of the transformation to the reduced cell"),
    "niggli_volume_ratio": (_REAL, "1", "volume of the reduced cell over that of the primitive cell"),
    "niggli_idempotence": (_REAL, "1", "largest relative change of a metric entry when reduced again"),
    "lattice_character": (pa.int8(), "1", "Niggli's reduced form (1..44) that fits best"),
    "lattice_deviation": (_REAL, "1", "largest relative deviation from that form's equalities"),
    "n_reflections": (_COUNT, "1", "distinct d-spacings with intensity in the range"),
    "structure": (_STRINGS, "", "canonical structure as JSON: lattice_A, species, occupancy, fractional, u_iso_A2"),
    "seconds": (_REAL, "s", "time that curation of this record took; not reproducible"),
}  # fmt: skip
"""Type, unit and meaning of every column of the curation table."""


def _schema(columns: dict[str, tuple[pa.DataType, str, str]]) -> pa.Schema:
    return pa.schema(
        pa.field(name, kind, metadata={"units": unit, "description": meaning} if unit else {"description": meaning})
        for name, (kind, unit, meaning) in columns.items()
    )


VERDICT_SCHEMA = _schema(VERDICT_COLUMNS)

RECORD_SCHEMA = _schema(
    {
        "source": (_STRINGS, "", "catalog's name in the configuration"),
        "source_id": (_STRINGS, "", "what the record is called within its source"),
        "text": (pa.large_string(), "", "one structure, as found"),
        "format": (_STRINGS, "", "format of that text"),
        "origin": (_STRINGS, "", "where a person would look for the input"),
        "licence": (_STRINGS, "", "terms of the input"),
        "density_path": (_STRINGS, "", "file with the electron density"),
        "density_format": (_STRINGS, "", "format of that file"),
        "density_member": (_STRINGS, "", "entry within that file"),
        "source_metadata": (_STRINGS, "", "JSON object: what the source says beside the CIF"),
        "defect_reason": (_STRINGS, "", "why no text could be had"),
        "defect_detail": (_STRINGS, "", "the facts of that"),
    }
)
"""A record as it is staged; text may exceed the 2 GB that a column of plain strings holds."""


def record_to_row(record: Record) -> dict[str, Any]:
    """Return values that JSON and Parquet store exactly, for any text."""
    density, defect = record.density, record.defect
    row = {
        "source": record.source,
        "source_id": record.source_id,
        "text": record.text,
        "format": record.format,
        "origin": record.origin,
        "licence": record.licence,
        "density_path": None if density is None else str(density.path),
        "density_format": None if density is None else density.format,
        "density_member": None if density is None else density.member,
        "source_metadata": json.dumps(record.source_metadata, sort_keys=True),
        "defect_reason": None if defect is None else defect.reason,
        "defect_detail": None if defect is None else defect.detail,
    }
    return {name: _storable(value) for name, value in row.items()}


def record_from_row(row: dict[str, Any]) -> Record:
    """Return the record of a row of `record_to_row`."""
    path, reason = row["density_path"], row["defect_reason"]
    return Record(
        source=row["source"],
        source_id=row["source_id"],
        text=row["text"],
        format=row["format"],
        origin=row["origin"],
        licence=row["licence"],
        density=None if path is None else DensityRef(Path(path), row["density_format"], row["density_member"]),
        source_metadata=json.loads(row["source_metadata"]),
        defect=None if reason is None else Defect(reason, row["defect_detail"]),
    )


def write_records(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write staged records atomically."""
    write_table(pa.Table.from_pylist(list(rows), schema=RECORD_SCHEMA), path)


def iterate_rows(path: Path, columns: list[str] | None = None, at_once: int = 64) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file as dictionaries, `at_once` in memory at a time."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=at_once, columns=columns):
            yield from batch.to_pylist()


def write_verdicts(rows: Iterable[dict[str, Any]], path: Path, metadata: dict[str, str]) -> None:
    """Write verdict rows atomically, with metadata."""
    write_table(pa.Table.from_pylist(list(rows), schema=VERDICT_SCHEMA.with_metadata(metadata)), path)


def read_verdicts(path: Path) -> Iterator[Verdict]:
    """Return an iterator over the verdicts of a table."""
    return (Verdict.from_row(row) for row in iterate_rows(path))


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a table."""
    raw: dict[bytes, bytes] = pq.read_schema(path).metadata or {}
    return {key.decode(): value.decode() for key, value in raw.items()}


def write_table(table: pa.Table, path: Path) -> None:
    """Write a Parquet file atomically."""
    with replacing(path) as temporary:
        pq.write_table(table, temporary, **COMPRESSION)


def concatenate(parts: Iterable[Path], path: Path, schema: pa.Schema) -> None:
    """Join tables in the given order and write the result atomically, a few thousand rows in memory at a time."""
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema, **COMPRESSION) as writer:
        waiting: list[pa.Table] = []
        rows = n_bytes = 0
        for part in parts:
            with pq.ParquetFile(part) as file:
                table = file.read().cast(schema)
            waiting.append(table)
            rows, n_bytes = rows + table.num_rows, n_bytes + table.nbytes
            if rows >= GROUP_ROWS or n_bytes >= GROUP_BYTES:
                writer.write_table(pa.concat_tables(waiting))
                waiting, rows, n_bytes = [], 0, 0
        if waiting:
            writer.write_table(pa.concat_tables(waiting))


def _storable(text: str | None) -> str | None:
    """Return text that UTF-8 can encode; lone surrogates, as in some file names, are escaped."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode("utf-8")
