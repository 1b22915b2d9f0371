"""Location of a dataset (folder, zip or URL) and access to its files."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, TypeVar

import pyarrow as pa

from catalogs.atomic_write import sha256_of
from datagen.store.confined import path_inside

if TYPE_CHECKING:
    from zarr.abc.store import Store

T = TypeVar("T")
R = TypeVar("R")
ZIP = ".zip"
_BLOCK = 1 << 20


class Location(ABC):
    """A dataset's files by their names below it; nothing is ever written through this."""

    @property
    def name(self) -> str:
        """Last part of the path or URL."""
        return PurePosixPath(str(self).rstrip("/")).name

    @abstractmethod
    def __str__(self) -> str: ...

    @abstractmethod
    def read(self, name: str) -> bytes:
        """All bytes of a file; `FileNotFoundError` where there is none."""

    @abstractmethod
    def size(self, name: str) -> int | None:
        """Return the bytes of a file; None if it does not exist."""

    @abstractmethod
    def checksum(self, name: str) -> str:
        """Return the SHA-256 of a file without reading it into memory."""

    @abstractmethod
    def view(self, name: str) -> memoryview:
        """Return the bytes of a file, mapped; a file at a URL is copied to this disk first."""

    @abstractmethod
    def arrow_file(self, name: str) -> pa.NativeFile:
        """Return a file for Arrow in memory that Arrow owns.

        Never hand Arrow a Python file object: its I/O threads may release the last buffer after the interpreter has
        begun to exit, which aborts the process.
        """

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """Open a file for random access."""

    def copy(self, name: str, to: IO[bytes], folder: str) -> None:
        """Copy a file to an open one in a folder of this disk."""
        with self.open(name) as file:
            shutil.copyfileobj(file, to, _BLOCK)

    @abstractmethod
    def names(self, folder: str) -> list[str] | None:
        """Return the files directly in a folder, sorted; None where listing is not supported."""

    @abstractmethod
    def below(self, folder: str) -> list[str] | None:
        """Return the names of all files in a folder and its folders, as of the dataset; None as for `names`."""

    @abstractmethod
    def zarr_store(self) -> Store | Path:
        """Return what zarr and xarray open."""

    def each(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield `work` of each item in their order; several run at a time if the files are at a URL."""
        return map(work, items)


Where = Path | Location


def location_of(where: Where) -> Location:
    """Return the location of a dataset; a path is a folder."""
    return where if isinstance(where, Location) else Folder(where)


def locate(text: str) -> Where:
    """Return the location that a text names: a URL (s3://, https://), a zip, or else the path of a folder."""
    if is_url(text):
        from datagen.store.remote import Address

        return Address(text)
    path = Path(text)
    if path.name.endswith(ZIP) and not path.is_dir():
        from datagen.store.zipped import Zipped

        return Zipped(path)
    return path


def is_url(text: str) -> bool:
    """Return whether a text is a URL and not a path."""
    return "://" in text


class Folder(Location):
    """A dataset in a folder, also an incomplete one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        """Name of the folder; a path such as `.` is resolved."""
        return self.path.absolute().name

    def read(self, name: str) -> bytes:
        """Return all bytes of a file."""
        return self._file(name).read_bytes()

    def size(self, name: str) -> int | None:
        """Return the bytes of a file; None if it does not exist."""
        path = path_inside(self.path, name)
        return path.stat().st_size if path.is_file() else None

    def checksum(self, name: str) -> str:
        """Return the SHA-256 of a file."""
        return sha256_of(self._file(name))

    def view(self, name: str) -> memoryview:
        """Return the mapped bytes of a file."""
        with self.open(name) as file:
            return mapped(file)

    def arrow_file(self, name: str) -> pa.NativeFile:
        """Return the mapped file."""
        return pa.memory_map(str(self._file(name)))

    def open(self, name: str) -> IO[bytes]:
        """Open a file for random access."""
        return self._file(name).open("rb")

    def names(self, folder: str) -> list[str]:
        """Return the files directly in a folder, sorted."""
        return sorted(path.name for path in path_inside(self.path, folder).glob("*") if path.is_file())

    def below(self, folder: str) -> list[str]:
        """Return the names of all files in a folder and its folders."""
        found = path_inside(self.path, folder).rglob("*")
        return sorted(path.relative_to(self.path).as_posix() for path in found if path.is_file())

    def zarr_store(self) -> Path:
        """Return the folder itself."""
        return self.path

    def _file(self, name: str) -> Path:
        """Return the path of a file; anything else of that name, such as a folder or a pipe, is none."""
        path = path_inside(self.path, name)
        if not path.is_file():
            raise FileNotFoundError(errno.ENOENT, "no file", str(path))
        return path


def mapped(file: IO[bytes]) -> memoryview:
    """Return the mapped bytes of an open file; they stay valid when it is closed."""
    if os.fstat(file.fileno()).st_size == 0:
        return memoryview(b"")
    return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
