"""Selection of records: the first ones, or those of a list of ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from catalogs import defects
from catalogs.config import CatalogConfig
from catalogs.errors import CatalogError
from catalogs.record import Defect, Record


def read_ids(config: CatalogConfig) -> dict[str, None]:
    """Return the ids of the catalog's list in its order; empty lines and those that begin with # are skipped."""
    assert config.from_list is not None
    where = f"catalog {config.name!r}"
    try:
        lines = config.from_list.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(
            f"the list of ids {config.from_list} cannot be read",
            where=where,
            expected="a text file with one id a line",
            found=(error.strerror if isinstance(error, OSError) else None) or str(error),
            do="correct from_list",
        ) from error
    ids = dict.fromkeys(text for line in lines if (text := line.strip()) and not text.startswith("#"))
    if not ids:
        raise CatalogError(
            f"the list of ids {config.from_list} is empty",
            where=where,
            expected="one id a line",
            do="correct from_list",
        )
    return ids


def listed(records: Iterable[Record], config: CatalogConfig, ids: dict[str, None]) -> Iterator[Record]:
    """Yield the records with these ids in the catalog's order, then a defect for each id that was not found."""
    left = dict(ids)
    for record in records:
        if record.source_id in ids:
            left.pop(record.source_id, None)
            yield record
            if not left:
                return
    for name in left:
        detail = f"listed in {config.from_list}"
        yield Record(config.name, name, "", name, config.licence, defect=Defect(defects.NOT_FOUND, detail))


def first(records: Iterable[Record], limit: int) -> Iterator[Record]:
    """Yield at most `limit` records; the source is read no further."""
    for number, record in enumerate(records, start=1):
        yield record
        if number == limit:
            return
