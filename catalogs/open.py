"""Open the catalogs of a configuration as one stream of records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from catalogs import cod, example_set, folder, icsd, materials_project, optimade, rruff, table, tar_archive, zip_archive
from catalogs.config import CatalogConfig, FolderCatalog, GeneratedCatalog, TableCatalog, TarCatalog, ZipCatalog
from catalogs.errors import CatalogError
from catalogs.names import archive_kind, format_of, is_table
from catalogs.reading import with_unique_ids
from catalogs.record import Record
from catalogs.selection import Excluded, first, listed, meeting, read_ids


def _generated(config: GeneratedCatalog) -> Iterator[Record]:
    # Imported on use: it loads numba.
    from catalogs.generated.records import records

    return records(config)


SOURCES: dict[str, Callable[[Any], Iterable[Record]]] = {
    "folder": folder.records,
    "zip": zip_archive.records,
    "tar": tar_archive.records,
    "table": table.records,
    "icsd": icsd.records,
    "cod": cod.records,
    "materials_project": materials_project.records,
    "rruff": rruff.records,
    "examples": example_set.records,
    "generated": _generated,
    "optimade": optimade.records,
}
"""The reader of each kind of section."""


def open_catalog(config: CatalogConfig, excluded: Excluded | None = None) -> Iterator[Record]:
    """Yield the catalog's records lazily, in an order that depends on the catalog alone, every id once.

    What cannot be read is a record with a defect. An unreachable catalog raises `CatalogError` at the first record.
    Records that the catalog's condition leaves out are counted in `excluded`.
    """
    records = with_unique_ids(SOURCES[config.kind](config))
    if config.from_list is not None:
        records = listed(records, config, read_ids(config))
    if config.where is not None:
        records = meeting(records, config, excluded if excluded is not None else Excluded())
    return records if config.limit is None else first(records, config.limit)


def open_catalogs(configs: Sequence[CatalogConfig], excluded: Excluded | None = None) -> Iterator[Record]:
    """Yield all catalogs' records, one catalog after the other; see `open_catalog`."""
    names = [config.name for config in configs]
    for name in names:
        if names.count(name) > 1:
            raise CatalogError(
                "two catalogs have the same name", where=f"catalog {name!r}", do="give each [[catalog]] its own name"
            )
    for config in configs:
        yield from open_catalog(config, excluded)


def guess_catalog(path: Path) -> CatalogConfig:
    """Return the catalog of a path on the command line: a folder, a file with structures, an archive or a table."""
    if path.is_dir() or (format_of(path.name) and path.is_file()):
        return FolderCatalog.model_validate({"path": path})
    if path.is_file():
        kind = archive_kind(path.name)
        if kind == "zip":
            return ZipCatalog.model_validate({"path": path})
        if kind == "tar":
            return TarCatalog.model_validate({"path": path})
        if is_table(path.name):
            return TableCatalog.model_validate({"path": path})
    raise CatalogError(
        "not a catalog" if path.exists() else "there is nothing here",
        where=str(path),
        expected="a folder, a file (.cif, POSCAR, .xyz, .json), an archive (.zip, .tar.gz), a table (.csv, .parquet) "
        "or a database (.db, .aselmdb)",
        do="correct the path, or unpack what it holds",
    )
