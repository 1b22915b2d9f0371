"""Locations of datasets: a folder, a `.zarr.zip`, a URL or a registered name."""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from zarr.abc.store import Store

from trainer.data.dataset_names import location_of_name
from trainer.data.limits import MOST_FILE_BYTES
from trainer.errors import TrainerError

T = TypeVar("T")
R = TypeVar("R")


class Location(ABC):
    """Read access to the files of a dataset by their names relative to it."""

    @abstractmethod
    def __str__(self) -> str: ...

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Read a file; raise `FileNotFoundError` if it does not exist."""

    @abstractmethod
    def size(self, name: str) -> int | None:
        """Return the size of a file in bytes; None if it does not exist."""

    @abstractmethod
    def names(self, folder: str) -> list[str] | None:
        """List the files directly in a folder, sorted; None if the server offers no listing."""

    @abstractmethod
    def zarr_store(self) -> Store | Path:
        """Return what zarr opens."""

    def each(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Apply a function to each item, in order; concurrently where a network adds latency."""
        return map(work, items)


def locate(text: str | Path) -> Location:
    """Resolve a dataset: a folder, a `.zarr.zip`, a URL or a registered name."""
    if isinstance(text, str) and not Path(text).exists():
        text = location_of_name(text)
    if "://" in str(text):
        from trainer.data.remote import Address

        return Address(str(text))
    path = Path(text)
    if path.name.endswith(".zip") and not path.is_dir():
        from trainer.data.zipped import Zipped

        return Zipped(path)
    return Folder(path)


def refuse_large_file(where: str, size: int) -> None:
    """Raise TrainerError for a file of metadata beyond `MOST_FILE_BYTES`."""
    if size > MOST_FILE_BYTES:
        raise TrainerError(f"{where}: expected at most {MOST_FILE_BYTES:,} bytes, found {size:,}")


class Folder(Location):
    """A dataset on disk, which may still be growing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def read(self, name: str) -> bytes:
        """Read a file."""
        path = self.path / name
        if not path.is_file():  # reading a pipe would wait for ever
            raise FileNotFoundError(errno.ENOENT, "no file", str(path))
        refuse_large_file(str(path), path.stat().st_size)
        return path.read_bytes()

    def size(self, name: str) -> int | None:
        """Return the size of a file in bytes."""
        path = self.path / name
        return path.stat().st_size if path.is_file() else None

    def names(self, folder: str) -> list[str]:
        """List the files in a folder."""
        return sorted(path.name for path in (self.path / folder).glob("*") if path.is_file())

    def zarr_store(self) -> Path:
        """Return the folder."""
        return self.path
