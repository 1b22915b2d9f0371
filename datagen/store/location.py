"""Location of a dataset (folder, zip or URL) and access to its files."""

from __future__ import annotations

import mmap
import os
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


class Location(ABC):
    """A dataset's files by their names below it; nothing is ever written through this."""

    @property
    def name(self) -> str:
        """The last part of where it is."""
        return PurePosixPath(str(self).rstrip("/")).name

    @abstractmethod
    def __str__(self) -> str: ...

    @abstractmethod
    def read(self, name: str) -> bytes:
        """All bytes of a file; `FileNotFoundError` where there is none."""

    @abstractmethod
    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none."""

    @abstractmethod
    def checksum(self, name: str) -> str:
        """SHA-256 of a file, which is not held in memory."""

    @abstractmethod
    def view(self, name: str) -> memoryview:
        """All bytes of a file, mapped and not held in memory; from elsewhere brought to this disk first."""

    @abstractmethod
    def arrow_file(self, name: str) -> pa.NativeFile:
        """Return a file for Arrow in memory that Arrow owns.

        Never hand Arrow a Python file object: its I/O threads may release the last buffer after the interpreter has
        begun to exit, which aborts the process.
        """

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """Open a file for random access."""

    @abstractmethod
    def names(self, folder: str) -> list[str] | None:
        """Return the files directly in a folder, sorted; None where listing is not supported."""

    @abstractmethod
    def zarr_store(self) -> Store | Path:
        """What zarr and xarray open."""

    def each(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Do something for each item, in their order; several at a time where that hides a network's delay."""
        return map(work, items)


Where = Path | Location


def location_of(where: Where) -> Location:
    """A path is a folder."""
    return where if isinstance(where, Location) else Folder(where)


def locate(text: str) -> Where:
    """What a person means by a dataset: an address (s3://, https://), a zip, else a folder's path."""
    if is_url(text):
        from datagen.store.remote import Address

        return Address(text)
    path = Path(text)
    if path.name.endswith(ZIP) and not path.is_dir():
        from datagen.store.zipped import Zipped

        return Zipped(path)
    return path


def is_url(text: str) -> bool:
    """Whether it is an address and no path."""
    return "://" in text


class Folder(Location):
    """A dataset on disk, also one in the making."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        """The folder's name, however its path is written."""
        return self.path.absolute().name

    def read(self, name: str) -> bytes:
        """All bytes of a file."""
        return path_inside(self.path, name).read_bytes()

    def size(self, name: str) -> int | None:
        """Bytes of a file."""
        path = path_inside(self.path, name)
        return path.stat().st_size if path.is_file() else None

    def checksum(self, name: str) -> str:
        """SHA-256 of a file."""
        return sha256_of(path_inside(self.path, name))

    def view(self, name: str) -> memoryview:
        """A file's bytes, mapped."""
        with self.open(name) as file:
            return mapped(file)

    def arrow_file(self, name: str) -> pa.NativeFile:
        """Return the mapped file."""
        return pa.memory_map(str(path_inside(self.path, name)))

    def open(self, name: str) -> IO[bytes]:
        """A file to read in."""
        return path_inside(self.path, name).open("rb")

    def names(self, folder: str) -> list[str]:
        """Files in a folder."""
        return sorted(path.name for path in path_inside(self.path, folder).glob("*") if path.is_file())

    def zarr_store(self) -> Path:
        """The folder itself."""
        return self.path


def mapped(file: IO[bytes]) -> memoryview:
    """The bytes of an open file; they stay when it is closed."""
    if os.fstat(file.fileno()).st_size == 0:
        return memoryview(b"")
    return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
