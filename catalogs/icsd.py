"""CIFs exported from the Inorganic Crystal Structure Database, under their collection codes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from catalogs.config import IcsdCatalog
from catalogs.containers import records_in, renamed
from catalogs.names import stem
from catalogs.record import Record

_TAG = re.compile(r"^[ \t]*_database_code_ICSD[ \t]+['\"]?(\d+)", re.IGNORECASE | re.MULTILINE)
_BLOCK = re.compile(r"data_(\d+)-ICSD\b", re.IGNORECASE)
_FILE = re.compile(r"(?:.*coll(?:ection)?_?code_?|icsd[_-]?(?:coll(?:ection)?_?code_?)?)?(\d+)", re.IGNORECASE)


def records(config: IcsdCatalog) -> Iterator[Record]:
    """Yield a record per data block with its collection code as id; source metadata mark what must be withheld."""
    for record in records_in(config):
        named = renamed(record, collection_code, "collection_code")
        yield (
            replace(named, source_metadata={**named.source_metadata, "restricted": "yes"})
            if config.licence == "ICSD"
            else named
        )


def collection_code(record: Record) -> str | None:
    """Return the code from `_database_code_ICSD`, the block's name (`data_12345-ICSD`) or the file's name."""
    if found := _TAG.search(record.text) or _BLOCK.match(record.text):
        return found[1]
    path, _, block = record.source_id.partition("#")
    found = None if block else _FILE.fullmatch(stem(path))
    return found[1] if found else None
