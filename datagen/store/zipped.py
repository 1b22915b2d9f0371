"""Random access to a publication in one `.zarr.zip`, without unpacking it."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

import pyarrow as pa
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.storage import ZipStore

from datagen.errors import StoreError
from datagen.store.location import Location, mapped

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

_LOCAL_HEADER = struct.Struct("<26x2H")
"""Header of an entry; the last two numbers are the lengths of name and extra field, followed by the data."""


class Zipped(Location):
    """A zip as `datagen publish` writes it.

    The checksums of the zip format are not used; `datagen verify` compares those of the ledger.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
            self._file = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            raise StoreError(f"{path}: no dataset here; expected a file") from None
        except (OSError, zipfile.BadZipFile) as error:
            raise StoreError(
                f"{path}: expected a zip as datagen publish writes it, found something else ({error}); fetch it again"
            ) from error
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise StoreError(
                f"{path}: its entries are compressed; expected a zip as datagen publish writes it: unpack it "
                "and name the folder"
            )
        size = os.fstat(self._file).st_size
        if any(entry.header_offset < 0 or entry.header_offset + entry.file_size > size for entry in entries):
            raise StoreError(f"{path}: its directory names bytes outside of the file; fetch it again")
        self._entries = {entry.filename: entry for entry in entries}

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)

    def __reduce__(self) -> tuple[type[Zipped], tuple[Path]]:
        return Zipped, (self.path,)

    def __str__(self) -> str:
        return str(self.path)

    def read(self, name: str) -> bytes:
        """All bytes of a file."""
        return self.read_part(name, 0, self._entry(name).file_size)

    def read_part(self, name: str, first: int, stop: int) -> bytes:
        """Return bytes `first` to `stop` of a file; safe from any thread."""
        size = self._entry(name).file_size
        return os.pread(self._file, max(min(stop, size) - first, 0), self._begin(name) + first)

    def size(self, name: str) -> int | None:
        """Return the bytes of a file; None if it does not exist."""
        entry = self._entries.get(name)
        return None if entry is None else entry.file_size

    def checksum(self, name: str) -> str:
        """Return the SHA-256 of a file."""
        with self.open(name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]

    def view(self, name: str) -> memoryview:
        """Return the mapped bytes of a file."""
        begin = self._begin(name)
        with self.path.open("rb") as whole:
            return mapped(whole)[begin : begin + self._entry(name).file_size]

    def arrow_file(self, name: str) -> pa.NativeFile:
        """Return a slice of the mapped zip."""
        begin, size = self._begin(name), self._entry(name).file_size
        with pa.memory_map(str(self.path)) as whole:
            whole.seek(begin)
            return pa.BufferReader(whole.read_buffer(size))

    def open(self, name: str) -> IO[bytes]:
        """Open a file for random access."""
        return io.BufferedReader(_Part(self, name))

    def names(self, folder: str) -> list[str]:
        """Return the files directly in a folder, sorted."""
        return sorted(PurePosixPath(n).name for n in self._entries if str(PurePosixPath(n).parent) == folder)

    def below(self, folder: str) -> list[str]:
        """Return the names of all files in a folder and its folders."""
        return sorted(name for name in self._entries if name.startswith(f"{folder}/"))

    def zarr_store(self) -> ZipStore:
        """Return a store of zarr with random access to entries."""
        return _Store(self)

    def _begin(self, name: str) -> int:
        entry = self._entry(name)
        header = os.pread(self._file, _LOCAL_HEADER.size, entry.header_offset)
        if len(header) < _LOCAL_HEADER.size:
            raise StoreError(f"{self.path}: ends before {name}; fetch it again")
        return int(entry.header_offset + _LOCAL_HEADER.size + sum(_LOCAL_HEADER.unpack(header)))

    def _entry(self, name: str) -> zipfile.ZipInfo:
        if name not in self._entries:
            raise FileNotFoundError(f"{self.path}: {name}")
        return self._entries[name]


class _Part(io.RawIOBase):
    """One entry as a file."""

    def __init__(self, zipped: Zipped, name: str) -> None:
        self._zipped, self._name, self._at = zipped, name, 0
        self._size = zipped.size(name) or 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        part = self._zipped.read_part(self._name, self._at, self._at + len(buffer))
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)


class _Store(ZipStore):
    """A store with random access; Zarr's own reads a whole shard to return one structure."""

    def __init__(self, zipped: Zipped) -> None:
        super().__init__(zipped.path, mode="r")
        self._zipped = zipped

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        size = self._zipped.size(key)
        if size is None:
            return None
        first, stop = 0, size
        if isinstance(byte_range, RangeByteRequest):
            first, stop = byte_range.start, byte_range.end
        elif isinstance(byte_range, OffsetByteRequest):
            first = byte_range.offset
        elif isinstance(byte_range, SuffixByteRequest):
            first = max(size - byte_range.suffix, 0)
        return prototype.buffer.from_bytes(self._zipped.read_part(key, first, stop))
