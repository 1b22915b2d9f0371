"""Selection of records: the first ones, those of a list of ids, or those that meet a condition."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from catalogs import defects
from catalogs.config import CatalogConfig
from catalogs.errors import CatalogError
from catalogs.expression import Condition, Expression, ExpressionError, Stated
from catalogs.record import Defect, Record

OWN_FIELDS = ("source_id", "licence", "format")
"""Fields that every record has beside its source metadata."""
FIELDS_SHOWN = 40
_MOST_FIELDS = 1000
_WORD = re.compile(r"\w+")


@dataclass
class Excluded:
    """Number of records that `where` left out."""

    records: int = 0
    without_field: int = 0
    """Those of them that lack a field of the condition, or have another kind of value there."""

    def __str__(self) -> str:
        if not self.records:
            return "no record was left out"
        noun = "record was" if self.records == 1 else "records were"
        lacking = f", {self.without_field:,} of them for lack of a field" if self.without_field else ""
        return f"{self.records:,} {noun} left out{lacking}"


@dataclass(frozen=True)
class _Fields:
    """Values of one record's fields for an expression."""

    record: Record

    def value(self, name: str) -> Stated | None:
        """Return what the source states, None if it states nothing."""
        found = self.record.source_metadata.get(name)
        if found is None and name in OWN_FIELDS:
            found = getattr(self.record, name)
        return None if found is None else Stated(found)

    def number_of(self, name: str, word: str) -> str:
        """Return the word: values of source metadata have no other names."""
        del name
        return word

    def contains(self, name: str, word: str) -> Condition:
        """Return whether a text or list has the word: Fe in `Fe-O` and in `["Fe", "O"]`."""
        found = self.value(name)
        if found is None:
            return Condition(False, False)
        inside = word in _WORD.findall(found)
        return Condition(inside, not inside)


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


def meeting(records: Iterable[Record], config: CatalogConfig, excluded: Excluded) -> Iterator[Record]:
    """Yield the records that meet the catalog's condition, and every input that could not be read.

    Raises CatalogError at the end if no record at all has a field of the condition.
    """
    assert config.where is not None
    expression = Expression(config.where)
    fields: dict[str, None] = {}
    n_read = 0
    for record in records:
        try:
            found = expression.evaluate(_Fields(record))
        except ExpressionError as error:
            raise CatalogError(
                f"where = {config.where!r}: {error}", where=f"catalog {config.name!r}", do="correct the condition"
            ) from error
        if found.true or (record.defect is not None and not found.false):
            yield record
        else:
            excluded.records += 1
            excluded.without_field += not found.false
        if record.defect is None:
            n_read += 1
            if len(fields) < _MOST_FIELDS:
                fields.update(dict.fromkeys(record.source_metadata))
    if n_read:
        check_fields(config, fields)


def check_fields(config: CatalogConfig, fields: Collection[str], do: str = "correct the condition") -> None:
    """Raise CatalogError if the catalog's condition names a field that is not among these."""
    if config.where is None:
        return
    known = [*dict.fromkeys((*fields, *OWN_FIELDS))]
    if unknown := sorted(Expression(config.where).names - set(known)):
        more = f" and {len(known) - FIELDS_SHOWN} more" if len(known) > FIELDS_SHOWN else ""
        raise CatalogError(
            f"where = {config.where!r}: no record has the field {', '.join(map(repr, unknown))}",
            where=f"catalog {config.name!r}",
            expected="fields of the source metadata",
            found=", ".join(map(repr, known[:FIELDS_SHOWN])) + more,
            do=do,
        )
