"""CIFs of the RRUFF project's American Mineralogist Crystal Structure Database, under their database codes.

DIF files are not read: their space-group symbol leaves origin and setting open, and they list no operators. Every DIF
has a CIF of the same code, which lists them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from catalogs.config import RruffCatalog
from catalogs.containers import records_in, renamed
from catalogs.record import Record

_CODE = re.compile(r"^[ \t]*_database_code_amcsd[ \t]+['\"]?(\d+)", re.IGNORECASE | re.MULTILINE)
_MINERAL = re.compile(
    r"^[ \t]*_chemical_name_mineral[ \t]+(?:'([^'\n]*)'|\"([^\"\n]*)\"|(\S+))", re.IGNORECASE | re.MULTILINE
)


def records(config: RruffCatalog) -> Iterator[Record]:
    """Yield a record per data block with its AMCSD code, if stated, as id and the mineral as source metadata."""
    for record in records_in(config):
        named = renamed(record, amcsd_code, "amcsd_code")
        mineral = _MINERAL.search(record.text)
        if mineral:
            name = next(found for found in mineral.groups() if found is not None)
            named = replace(named, source_metadata={**named.source_metadata, "mineral": name})
        yield named


def amcsd_code(record: Record) -> str | None:
    """Return the value of `_database_code_amcsd`, or None."""
    found = _CODE.search(record.text)
    return found[1] if found else None
