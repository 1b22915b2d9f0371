"""Where does a dataset lie, and how are its files read there: in a folder, in one zip, at an address, under a name?"""

from __future__ import annotations

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
    """A dataset's files by their names below it; only read."""

    @abstractmethod
    def __str__(self) -> str: ...

    @abstractmethod
    def read(self, name: str) -> bytes:
        """All bytes of a file; `FileNotFoundError` where there is none."""

    @abstractmethod
    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none."""

    @abstractmethod
    def names(self, folder: str) -> list[str] | None:
        """Files directly in a folder, sorted; None where nobody can be asked for a list."""

    @abstractmethod
    def zarr_store(self) -> Store | Path:
        """What zarr opens."""

    def each(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Do something for each item, in their order; several at a time where that hides a network's delay."""
        return map(work, items)


def locate(text: str | Path) -> Location:
    """What a person means by a dataset: a folder, a .zarr.zip, an address, or a name of the group's list."""
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
    """A dataset on disk, also one in the making."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def read(self, name: str) -> bytes:
        """All bytes of a file."""
        path = self.path / name
        refuse_large_file(str(path), path.stat().st_size)
        return path.read_bytes()

    def size(self, name: str) -> int | None:
        """Bytes of a file."""
        path = self.path / name
        return path.stat().st_size if path.is_file() else None

    def names(self, folder: str) -> list[str]:
        """Files in a folder."""
        return sorted(path.name for path in (self.path / folder).glob("*") if path.is_file())

    def zarr_store(self) -> Path:
        """The folder itself."""
        return self.path
