"""The scan files that paths lead to: files, folders and archives, each read when it is its turn."""

from __future__ import annotations

import re
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from trainer.scans.formats.content import MOST_BYTES
from trainer.scans.read import SUFFIXES, bare_suffix, read_bytes, read_scan
from trainer.scans.scan import Scan, ScanError

ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz")
MOST_FILES = 1_000_000
PERHAPS = {".cif": (b"_pd_meas_", b"_pd_proc_"), ".json": (b"two_theta_values",)}
"""Kinds that hold a scan only sometimes, and what tells one; in folders and archives others are passed over."""


@dataclass(frozen=True)
class ScanFile:
    """A file that should hold a scan."""

    name: str
    """Its path; in an archive the archive's, a colon, and its own."""
    read: Callable[[], Scan]


def scan_files(path: str | Path) -> Iterator[ScanFile]:
    """Yield the scan files at a path: the file itself, or those of a folder or an archive, in the order of names.

    A folder or an archive without any is an error. Hidden files and files of other kinds are passed over.
    """
    path = Path(path)
    if path.is_dir():
        found: Iterable[ScanFile] = _of_folder(path)
    elif is_archive(path.name) and path.is_file():
        found = _of_zip(path) if path.suffix.lower() == ".zip" else _of_tar(path)
    else:
        yield ScanFile(str(path), lambda: read_scan(path))
        return
    count = 0
    for count, one in enumerate(found, start=1):
        if count > MOST_FILES:
            raise ScanError(f"{path}: more than {MOST_FILES:,} files")
        yield one
    if count == 0:
        raise ScanError(f"{path}: no scan files here; they end in {', '.join(SUFFIXES)}")


def is_archive(name: str) -> bool:
    """Return whether a name is that of an archive of files."""
    return name.lower().endswith(ARCHIVES)


def distinct_names(names: Sequence[str]) -> list[str]:
    """Return a short file name for each of several paths, no two alike, also where case does not count.

    The stem where it is alone, else the whole name, else the whole path; a number where even paths are alike.
    """
    choices = [
        [_plain(PurePosixPath(name.replace(":", "/")).name.split(".")[0]) for name in names],
        [_plain(PurePosixPath(name.replace(":", "/")).name) for name in names],
        [_plain(name) for name in names],
    ]
    counts = [Counter(choice.lower() for choice in kind) for kind in choices]
    found: list[str] = []
    used: set[str] = set()
    for number in range(len(names)):
        kinds = (kind[number] for kind, count in zip(choices, counts, strict=True) if count[kind[number].lower()] == 1)
        name = next((n for n in kinds if n and n.lower() not in used), None) or f"{choices[2][number]}-{number + 1}"
        used.add(name.lower())
        found.append(name)
    return found


def _plain(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", name).strip("._")[-150:]


def _wanted(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bare_suffix(name) in SUFFIXES and not any(part.startswith((".", "__MACOSX")) for part in parts)


def _of_folder(folder: Path) -> Iterator[ScanFile]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not _wanted(name) or not path.is_file():
            continue
        if bare_suffix(name) in PERHAPS and not _holds(path, PERHAPS[bare_suffix(name)]):
            continue
        yield ScanFile(str(path), lambda path=path: read_scan(path))  # type: ignore[misc]


def _holds(path: Path, marks: tuple[bytes, ...]) -> bool:
    try:
        data = path.read_bytes() if path.stat().st_size <= MOST_BYTES else b""
    except OSError:
        return True  # reading it will say what is wrong
    return path.suffix.lower() not in PERHAPS or any(mark in data for mark in marks)


def _of_zip(path: Path) -> Iterator[ScanFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            for info in sorted(archive.infolist(), key=lambda info: info.filename):
                if not info.is_dir() and _wanted(info.filename):
                    yield from _member(path, info.filename, info.file_size, lambda info=info: archive.read(info))  # type: ignore[misc]
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise ScanError(f"{path}: is not a complete zip ({error})") from error


def _of_tar(path: Path) -> Iterator[ScanFile]:
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and _wanted(member.name):
                    opened = archive.extractfile(member)
                    assert opened is not None
                    yield from _member(path, member.name, member.size, opened.read)
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError) as error:
        raise ScanError(f"{path}: is not a complete tar ({error})") from error


def _member(path: Path, name: str, size: int, read: Callable[[], bytes]) -> Iterator[ScanFile]:
    """Yield a file of an archive, read at once: a later one could not go back in a compressed tar."""
    whole = f"{path}:{name}"
    if size > MOST_BYTES:
        yield ScanFile(whole, _failing(f"{whole}: expands to {size:,} bytes, more than {MOST_BYTES:,}"))
        return
    try:
        data = read()
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
        yield ScanFile(whole, _failing(f"{whole}: cannot be unpacked ({error})"))
        return
    marks = PERHAPS.get(Path(name).suffix.lower())
    if marks is None or any(mark in data for mark in marks):
        yield ScanFile(whole, lambda: read_bytes(whole, data))


def _failing(message: str) -> Callable[[], Scan]:
    def fail() -> Scan:
        raise ScanError(message)

    return fail
