"""Fingerprints of datasets: salted hashes of structures that two groups can exchange and compare."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from catalogs.atomic_write import replacing
from datagen.errors import ConfigError, StoreError
from datagen.progress import one_line
from datagen.share.compose import refuse_taken
from datagen.share.finished import FinishedDataset, open_finished
from datagen.store.bounded_table import TableLimitError, read_batches
from datagen.store.files import from_json
from datagen.store.location import Where
from datagen.store.schema import SPLITS

SUFFIX = ".parquet"
SHORTEST_SALT = 16
VOLUME_TOLERANCE = 0.04
"""Relative width of a bin of volume per atom; of two grids shifted by half, one joins volumes closer than half."""
_KEY = b"pxrd_fingerprint"
_FORMAT = 1
_MIN_ROW_BYTES = 16
"""Of a row in the file; a hash of 256 bits does not compress below 32 bytes."""
_MAX_TEXT = 64
_COLUMNS = ("structure", "group", "near_0", "near_1", "split")


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """A dataset as hashes under one salt, by row."""

    name: str
    salt_check: str
    """Hash of the salt, to compare salts."""
    structure: NDArray[np.object_]
    group: NDArray[np.object_]
    near: tuple[NDArray[np.object_], NDArray[np.object_]]
    """Group and volume per atom, rounded on two grids: structures whose volumes differ by less than 2 % share one."""
    split: NDArray[np.object_]


def read_salt(path: Path) -> bytes:
    """Read the secret that both groups use; it is a file so that no shell history contains it."""
    try:
        salt = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(
            f"{path}: the salt cannot be read ({error.strerror}); expected a file with a secret"
        ) from error
    if len(salt) < SHORTEST_SALT:
        raise ConfigError(
            f"{path}: expected a salt of {SHORTEST_SALT} bytes or more, found {len(salt)}; "
            "make one with: openssl rand -hex 32"
        )
    return salt


def fingerprint_of(source: FinishedDataset, salt: bytes) -> Fingerprint:
    """Hash a dataset's structures, groups and near-duplicate classes."""
    groups = source.column("group").tolist()
    per_atom = source.column("volume") / source.column("n_atoms")
    steps = [math.log(v) / math.log1p(VOLUME_TOLERANCE) if v > 0 else math.nan for v in per_atom.tolist()]

    def hashed(kind: str, values: list[str]) -> NDArray[np.object_]:
        texts = [hmac.new(salt, f"{kind} {value}".encode(), hashlib.sha256).hexdigest() for value in values]
        return np.array(texts, dtype=object)

    def near(shift: float) -> list[str]:
        return [f"{group} {shift} {_bin(step + shift)}" for group, step in zip(groups, steps, strict=True)]

    return Fingerprint(
        name=source.path.name,
        salt_check=hmac.new(salt, b"salt", hashlib.sha256).hexdigest()[:16],
        structure=hashed("structure", source.column("structure_hash").tolist()),
        group=hashed("group", groups),
        near=(hashed("near", near(0.0)), hashed("near", near(0.5))),
        split=np.array([SPLITS[split] for split in source.column("split").tolist()], dtype=object),
    )


def write_fingerprint(dataset: Where, salt_file: Path, out: Path) -> int:
    """Write a dataset's fingerprint as a table sorted by hash; return the number of structures."""
    if out.suffix != SUFFIX:
        raise ConfigError(f"{out}: expected a name ending in {SUFFIX}")
    refuse_taken(out)
    found = fingerprint_of(open_finished(dataset), read_salt(salt_file))
    columns = {
        "structure": found.structure,
        "group": found.group,
        "near_0": found.near[0],
        "near_1": found.near[1],
        "split": found.split,
    }
    table = pa.table({name: pa.array(values.tolist(), type=pa.string()) for name, values in columns.items()})
    about = {"format": _FORMAT, "salt_check": found.salt_check}
    table = table.sort_by("structure").replace_schema_metadata({_KEY: json.dumps(about)})
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    return len(found.structure)


def read_fingerprint(path: Path) -> Fingerprint:
    """Read a fingerprint that `write_fingerprint` wrote."""
    try:
        found = pq.read_schema(path)
        about: dict[str, Any] = from_json((found.metadata or {})[_KEY])
        if any(found.field(name).type != pa.string() for name in _COLUMNS):
            raise StoreError(f"{path}: expected columns of text, as datagen fingerprint writes them; write it again")
        columns = _read_columns(path)
        if about["format"] != _FORMAT:
            raise StoreError(f"{path}: expected a fingerprint of format {_FORMAT}, found {about['format']}")
        return Fingerprint(
            path.name,
            str(about["salt_check"]),
            columns["structure"],
            columns["group"],
            (columns["near_0"], columns["near_1"]),
            columns["split"],
        )
    except (OSError, KeyError, TypeError, ValueError, RecursionError, pa.ArrowException) as error:
        reason = one_line(error, 200)
        raise StoreError(
            f"{path}: expected what datagen fingerprint writes, found something else ({reason})"
        ) from error


def _read_columns(path: Path) -> dict[str, NDArray[np.object_]]:
    n_rows, n_bytes = pq.read_metadata(path).num_rows, path.stat().st_size
    if n_rows * _MIN_ROW_BYTES > n_bytes:
        raise TableLimitError(f"{n_rows:,} rows of different hashes in {n_bytes:,} bytes")
    found: dict[str, list[str]] = {name: [] for name in _COLUMNS}
    for batch in read_batches(path, _COLUMNS):
        for name, values in batch.to_pydict().items():
            if any(len(value) > _MAX_TEXT for value in values):
                raise TableLimitError(f"a text of more than {_MAX_TEXT} characters in column {name}")
            found[name] += values
    return {name: np.array(values, dtype=object) for name, values in found.items()}


def _bin(step: float) -> int | None:
    return None if math.isnan(step) else math.floor(step)
