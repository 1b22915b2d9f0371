"""Rows of ASE's SQLite databases (`.db`), read without ASE: the table `systems` keeps arrays as binaries."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from catalogs import defects
from catalogs.ase_row import piece_of
from catalogs.record import Defect, Piece

MAGIC = b"SQLite format 3\0"
_REQUIRED = ("numbers", "positions", "cell", "pbc")
_ARRAYS = {
    "numbers": ("<i4", 1),
    "positions": ("<f8", 3),
    "cell": ("<f8", 3),
    "initial_magmoms": ("<f8", 1),
    "initial_charges": ("<f8", 1),
    "magmoms": ("<f8", 1),
    "charges": ("<f8", 1),
}
"""Type and width; moments of non-collinear magnets have three numbers an atom, and are only remarked on."""
_TEXTS = ("constraints", "key_value_pairs")
"""JSON."""
_PLAIN = ("pbc", "unique_id", "energy", "free_energy", "magmom", "calculator")
_DAMAGE = (sqlite3.Error, UnicodeDecodeError)
"""SQLite quotes a damaged schema in its messages, and Python cannot always decode them."""
_MOST_STEPS = 1000
"""Thousands of steps of SQLite's machine for a row; a real one takes less than one."""


class DamagedAseError(Exception):
    """The database cannot be read from its beginning."""


class NotAseError(Exception):
    """The database is of another program."""


def pieces(source: Path | bytes, largest_row: int) -> Iterator[Piece | Defect]:
    """Yield the structure of each row in the order of ids; a row that cannot be read is a defect."""
    with contextlib.closing(_opened(source)) as connection:
        connection.text_factory = bytes  # text in a damaged file need not be UTF-8
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max(largest_row, 1_000_000))
        steps = _Steps()
        connection.set_progress_handler(steps.count, 1000)
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
            columns = _columns(connection)
            rows = connection.execute("SELECT rowid FROM systems ORDER BY rowid")
        except _DAMAGE as error:
            raise DamagedAseError(_words(error)) from error
        query = f"SELECT {', '.join(columns)} FROM systems WHERE rowid = ?"  # noqa: S608 - names of ours
        n_read, last = 0, -(2**63) - 1
        while True:
            steps.left = _MOST_STEPS
            try:
                if (found := rows.fetchone()) is None:
                    return
            except _DAMAGE as error:
                yield Defect(defects.DAMAGED_SOURCE, f"after {n_read} rows: {_words(error)}")
                return
            # Pages of a damaged tree may lead in a circle, and a column of a hostile file may be named rowid.
            if not isinstance(found[0], int) or found[0] <= last:
                yield Defect(defects.DAMAGED_SOURCE, f"after {n_read} rows: row {found[0]!r} follows row {last}")
                return
            number, last = str(found[0]), found[0]
            n_read += 1
            try:
                cells = connection.execute(query, found).fetchone()
                yield _piece(dict(zip(columns, cells or (), strict=True)), number)
            except (*_DAMAGE, ValueError, TypeError, OverflowError) as error:
                yield Defect(defects.DAMAGED_ENTRY, f"row {number}: {_words(error)}")


class _Steps:
    """A limit on the work for one row: a hostile file may define a table that is computed without end."""

    left = _MOST_STEPS

    def count(self) -> int:
        """Return whether to stop."""
        self.left -= 1
        return self.left < 0


def _opened(source: Path | bytes) -> sqlite3.Connection:
    if isinstance(source, bytes):
        connection = sqlite3.connect(":memory:")
        try:
            connection.deserialize(source)
        except _DAMAGE as error:
            connection.close()
            raise DamagedAseError(_words(error)) from error
        return connection
    for ending in ("-wal", "-journal"):
        beside = source.with_name(source.name + ending)
        if beside.exists() and beside.stat().st_size:
            raise DamagedAseError(
                f"{beside.name} holds changes that are not yet in the database: it is in use, or a program crashed; "
                "open it once with the program that writes it"
            )
    try:
        return sqlite3.connect(f"file:{quote(str(source.absolute()))}?mode=ro&immutable=1", uri=True)
    except _DAMAGE as error:
        raise DamagedAseError(_words(error)) from error


def _columns(connection: sqlite3.Connection) -> list[str]:
    """Return the columns to read; refuse anything but a plain table of ASE's."""
    made = connection.execute("SELECT type, sql FROM sqlite_master WHERE name = 'systems'").fetchone()
    if made is None:
        raise NotAseError("it has no table `systems`")
    if made[0] != b"table" or bytes(made[1] or b"").split()[:2] != [b"CREATE", b"TABLE"]:
        raise NotAseError("`systems` is no plain table")
    found = {bytes(row[1]).decode("utf-8", "replace") for row in connection.execute("PRAGMA table_info(systems)")}
    if missing := [name for name in _REQUIRED if name not in found]:
        raise NotAseError(f"its table `systems` has no column {', '.join(missing)}")
    return [name for name in (*_ARRAYS, *_TEXTS, *_PLAIN) if name in found]


def _piece(cells: dict[str, Any], number: str) -> Piece | Defect:
    row: dict[str, Any] = {}
    for name, cell in cells.items():
        if cell is None:
            continue
        if name in _ARRAYS:
            row[name] = _array(cell, *_ARRAYS[name])
        elif name in _TEXTS:
            row[name] = _json(cell)
        elif name == "pbc":
            row[name] = [bool(int(cell) >> axis & 1) for axis in range(3)]
        else:
            row[name] = cell.decode("utf-8", "backslashreplace") if isinstance(cell, bytes) else cell
    return piece_of(row, number)


def _array(cell: Any, kind: str, width: int) -> list[Any]:
    flat = np.frombuffer(cell, dtype=kind)
    found: list[Any] = (flat.reshape(-1, width) if width > 1 else flat).tolist()
    return found


def _json(cell: Any) -> Any:
    try:
        return json.loads(cell)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
