"""Tables, databases and archives among the files of a folder, and tables and databases in archives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from catalogs import defects, table
from catalogs.config import TableCatalog
from catalogs.errors import CatalogError, NoStructuresError, UnsafeFileError
from catalogs.names import compression_of
from catalogs.reading import Place
from catalogs.record import Defect, Record


def table_records(place: Place, path: Path, max_file_MB: float, raw: bytes | None = None) -> Iterator[Record]:
    """Yield the records of a table or database as parts of its file; nothing for one that has no structures.

    `raw` is its content if it is in memory, which is then decompressed.
    """
    if raw is not None:
        path = path.with_name(path.name.removesuffix(compression_of(path.name)))
    config = TableCatalog(name=place.source, path=path, licence=place.licence, max_file_MB=max_file_MB)
    yield from within(place, "#", table.records(config, raw), path.name)


def within(place: Place, mark: str, records: Iterable[Record], own_name: str = "") -> Iterator[Record]:
    """Yield the records of a file under ids that begin with the file's; an error of the whole file is one record.

    A record under the file's own name is about the whole file.
    """
    try:
        for record in records:
            tag = "" if record.source_id == own_name else f"{mark}{record.source_id}"
            origin = place.origin + (f"!{record.source_id}" if tag else "")
            yield replace(record, source_id=place.file_id + tag, origin=origin)
    except NoStructuresError:
        return
    except CatalogError as error:
        found = f": {error.found}" if error.found else ""
        reason = defects.UNSAFE_FILE if isinstance(error, UnsafeFileError) else defects.DAMAGED_SOURCE
        what = error.what.replace(place.origin, place.file_id.rsplit("/", 1)[-1])
        yield place.refused(Defect(reason, f"{what}{found}"))
