"""CIFs of one path, whatever holds them: a folder, one file, a zip or a tar archive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from catalogs import folder, tar_archive, zip_archive
from catalogs.config import CodCatalog, FolderCatalog, IcsdCatalog, RruffCatalog, TarCatalog, ZipCatalog
from catalogs.record import Record


def records_in(config: CodCatalog | IcsdCatalog | RruffCatalog) -> Iterator[Record]:
    """The records of the catalog's path, as that kind of container gives them."""
    common = {"name": config.name, "path": config.path, "licence": config.licence, "max_file_MB": config.max_file_MB}
    common |= {"density": getattr(config, "density", None)}
    lower = config.path.name.lower()
    if lower.endswith(".zip") and config.path.is_file():
        return zip_archive.records(ZipCatalog.model_validate(common))
    if lower.endswith((".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")) and config.path.is_file():
        return tar_archive.records(TarCatalog.model_validate(common))
    return folder.records(FolderCatalog.model_validate(common))


def renamed(record: Record, number_of: Callable[[Record], str | None], claim: str) -> Record:
    """The record under the number that its database gives it, where it has one; its path stays in `origin`."""
    number = number_of(record)
    if number is None:
        return record
    return replace(record, source_id=number, claims={**record.claims, claim: number})
