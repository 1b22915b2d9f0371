"""CIFs of one path: a folder, one file, a zip or a tar archive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from catalogs import folder, tar_archive, zip_archive
from catalogs.config import CodCatalog, FolderCatalog, IcsdCatalog, RruffCatalog, TarCatalog, ZipCatalog
from catalogs.names import archive_kind
from catalogs.record import Record


def records_in(config: CodCatalog | IcsdCatalog | RruffCatalog) -> Iterator[Record]:
    """Yield the records of the catalog's path, by the kind of container that it is."""
    common = {"name": config.name, "path": config.path, "licence": config.licence, "max_file_MB": config.max_file_MB}
    common |= {"density": getattr(config, "density", None)}
    kind = archive_kind(config.path.name) if config.path.is_file() else None
    if kind == "zip":
        return zip_archive.records(ZipCatalog.model_validate(common))
    if kind == "tar":
        return tar_archive.records(TarCatalog.model_validate(common))
    return folder.records(FolderCatalog.model_validate(common))


def renamed(record: Record, number_of: Callable[[Record], str | None], key: str) -> Record:
    """Return the record under the number that its database gives it, if it has one; `origin` keeps its path."""
    number = number_of(record)
    if number is None:
        return record
    return replace(record, source_id=number, source_metadata={**record.source_metadata, key: number})
