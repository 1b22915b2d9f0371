"""Files with structures in a folder and its subfolders, read one at a time in natural order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from catalogs import defects, tar_archive, zip_archive
from catalogs.config import FolderCatalog, TarCatalog, ZipCatalog
from catalogs.densities import beside, by_block
from catalogs.errors import CatalogError
from catalogs.machine_errors import is_of_the_machine
from catalogs.names import archive_kind, compression_of, format_of, is_hidden, is_read, is_table, natural_key
from catalogs.nested import table_records, within
from catalogs.reading import MB, Place, read_bounded, too_large
from catalogs.record import Defect, Record

DATASET_SUFFIXES = (".zarr", ".zarr.zip")
"""Folders and archives with such names are datasets, which are no input."""


def records(config: FolderCatalog) -> Iterator[Record]:
    """Yield a record per structure of every file, table and archive; files of other names are skipped."""
    root = config.path
    single = root.is_file()
    for path, trouble in [(root, None)] if single else walk(root, config.name):
        file_id = path.name if single else path.relative_to(root).as_posix()
        kind = format_of(path.name)
        place = Place(
            config.name,
            file_id,
            str(path),
            config.licence,
            density_for=beside(root.parent if single else root, config.density, file_id),
            by_block=by_block(config.density),
            format=kind or "cif",
            skippable=kind == "json" and not single,
        )
        if trouble is not None:
            yield place.refused(trouble)
            continue
        if kind is None and not single:
            yield from _nested(config, path, place)
            continue
        raw = read_file(path, config.max_file_MB)
        if isinstance(raw, Defect):
            yield place.refused(raw)
        else:
            yield from place.records(raw)


def _nested(config: FolderCatalog, path: Path, place: Place) -> Iterator[Record]:
    """Yield the records of a table or archive among the files."""
    if not path.is_file():
        yield place.refused(Defect(defects.UNREADABLE_FILE, _what_it_is(path)))
        return
    if is_table(path.name):
        yield from table_records(place, path, config.max_file_MB)
        return
    common = {name: getattr(config, name) for name in ("name", "licence", "max_file_MB", "density")} | {"path": path}
    match archive_kind(path.name):
        case "zip":
            yield from within(place, "!", zip_archive.records(ZipCatalog.model_validate(common)), path.name)
        case "tar":
            yield from within(place, "!", tar_archive.records(TarCatalog.model_validate(common)), path.name)
        case _:
            yield place.refused(Defect(defects.NESTED_ARCHIVE, "an archive of a kind that is not read"))


def read_file(path: Path, limit_MB: float) -> bytes | Defect:
    """Return all bytes of a file, decompressed if its name says so, or the defect."""
    try:
        if not path.is_file():  # a pipe or device would block for ever
            return Defect(defects.UNREADABLE_FILE, _what_it_is(path))
        if not compression_of(path.name) and (size := path.stat().st_size) > limit_MB * MB:
            return too_large(f"{size / MB:.0f} MB")
        with path.open("rb") as stream:
            before = _version(stream)
            raw = read_bounded(stream, path.name, limit_MB)
            changed = _version(stream) != before  # half of a file may be a valid CIF with atoms missing
        return Defect(defects.UNREADABLE_FILE, "changed while it was read") if changed else raw
    except OSError as error:
        if is_of_the_machine(error):
            raise
        return Defect(defects.UNREADABLE_FILE, error.strerror or str(error))


def _version(stream: IO[bytes]) -> tuple[int, int]:
    found = os.fstat(stream.fileno())
    return found.st_size, found.st_mtime_ns


def _what_it_is(path: Path) -> str:
    if path.is_symlink():
        return "a link to nowhere"
    return "not a plain file" if path.exists() else "removed while the folder was read"


def walk(root: Path, name: str) -> Iterator[tuple[Path, Defect | None]]:
    """Yield files to read in natural order, and a defect for folders that cannot be listed.

    Links to folders are followed unless they lead to a folder that contains them. Only the names of the folders on
    the current path are in memory.
    """
    if not root.is_dir():
        raise CatalogError(
            "there is no such folder",
            where=f"catalog {name!r}",
            expected="a folder or a file with structures",
            found=str(root),
            do="correct its path, or mount its disk",
        )
    yield from _walk(root, (os.path.realpath(root),))


def _walk(folder: Path, above: tuple[str, ...]) -> Iterator[tuple[Path, Defect | None]]:
    try:
        with os.scandir(folder) as entries:
            listed = [(entry.name, entry.is_dir()) for entry in entries if not is_hidden(entry.name)]
    except OSError as error:
        if is_of_the_machine(error):
            raise
        if len(above) == 1:
            raise CatalogError(
                "the folder cannot be listed", where=str(folder), found=error.strerror or "", do="check its permissions"
            ) from error
        yield folder, Defect(defects.UNREADABLE_FILE, f"folder cannot be listed: {error.strerror}")
        return
    for name, is_folder in sorted(listed, key=lambda item: natural_key(item[0])):
        path = folder / name
        if not is_folder:
            if is_read(name) and not name.lower().endswith(DATASET_SUFFIXES):
                yield path, None
        elif name.lower().endswith(DATASET_SUFFIXES):
            continue
        elif (real := os.path.realpath(path)) not in above:
            yield from _walk(path, (*above, real))
