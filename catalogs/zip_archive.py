"""Files with structures in zip archives, read in place and never extracted to disk."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from lzma import LZMAError
from pathlib import Path

from catalogs import defects
from catalogs.config import ZipCatalog
from catalogs.densities import beside, by_block, density_format, density_path
from catalogs.errors import CatalogError
from catalogs.names import archive_kind, escapes, format_of, is_hidden, is_read, is_table, natural_key
from catalogs.nested import table_records
from catalogs.reading import MB, Place, read_bounded, too_large
from catalogs.record import Defect, DensityRef, Record

_ENCRYPTED = 0x1  # general purpose bit 0, APPNOTE.TXT 4.4.4


def records(config: ZipCatalog) -> Iterator[Record]:
    """Yield a record per structure of every entry, in natural order of the names."""
    with _open(config) as archive:
        entries = [entry for entry in archive.infolist() if _matters(entry)]
        names = {entry.filename for entry in archive.infolist()} if config.density else set()
        for entry in sorted(entries, key=lambda entry: natural_key(_id_of(entry))):
            file_id = _id_of(entry)
            place = Place(
                config.name,
                file_id,
                f"{config.path}!{file_id}",
                config.licence,
                density_for=_density_finder(config.path, names, config.density, file_id),
                by_block=by_block(config.density),
                format=format_of(file_id) or "cif",
                skippable=format_of(file_id) == "json",
            )
            raw = _refusal(entry, config.max_file_MB) or _read(archive, entry, config.max_file_MB)
            if isinstance(raw, Defect):
                yield place.refused(raw)
            elif is_table(file_id):
                yield from table_records(place, Path(file_id), config.max_file_MB, raw)
            else:
                yield from place.records(raw)


def _open(config: ZipCatalog) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(config.path)
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        found = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise CatalogError(
            f"{config.path} cannot be read as a zip archive",
            where=f"catalog {config.name!r}",
            found=found,
            do="correct the path, or copy the archive again if it is damaged",
        ) from error


def _id_of(entry: zipfile.ZipInfo) -> str:
    return entry.filename.replace("\\", "/")  # written by some Windows programs against the specification


def _matters(entry: zipfile.ZipInfo) -> bool:
    name = _id_of(entry)
    return not name.endswith("/") and (escapes(name) or (not is_hidden(name) and is_read(name)))


def _refusal(entry: zipfile.ZipInfo, limit_MB: float) -> Defect | None:
    """Return the defect of an entry that its header shows, if any."""
    name = _id_of(entry)
    if escapes(name):
        return Defect(defects.ESCAPING_ENTRY, f"the entry is named {name!r}")
    if archive_kind(name) is not None:
        return Defect(defects.NESTED_ARCHIVE, "an archive inside the archive")
    if stat.S_ISLNK(entry.external_attr >> 16):
        return Defect(defects.LINK_ENTRY, "a symbolic link")
    if entry.flag_bits & _ENCRYPTED:
        return Defect(defects.ENCRYPTED_ENTRY, "needs a password")
    if entry.file_size > limit_MB * MB:
        return too_large(f"{entry.file_size / MB:.0f} MB uncompressed, by the archive's own directory")
    return None


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit_MB: float) -> bytes | Defect:
    """Return the entry's bytes; the size in the directory is not trusted."""
    try:
        with archive.open(entry) as stream:
            return read_bounded(stream, entry.filename, limit_MB)
    except (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, OSError, ValueError, NotImplementedError) as error:
        return Defect(defects.DAMAGED_ENTRY, str(error) or type(error).__name__)


def _density_finder(
    path: Path, names: set[str], pattern: str | None, file_id: str
) -> Callable[[str], DensityRef | None] | None:
    outside = beside(path.parent, pattern, file_id)
    if pattern is None or outside is None:
        return None

    def find(block: str) -> DensityRef | None:
        filled = density_path(pattern, file_id, block)
        if filled is not None and (member := str(filled)) in names:
            return DensityRef(path, density_format(member), member)
        return outside(block)

    return find
