"""A dataset in one `.zarr.zip`, read by byte ranges without unpacking it."""

from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path, PurePosixPath

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import ZipStore

from trainer.data.location import Location, refuse_large_file
from trainer.errors import TrainerError

_LOCAL_HEADER = struct.Struct("<26x2H")
"""Of an entry; the data begin behind its name and extra field, whose lengths are its last two numbers."""


class Zipped(Location):
    """A published dataset in one zip, its files uncompressed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                self._entries = {entry.filename: entry for entry in archive.infolist()}
            self._file = os.open(path, os.O_RDONLY)
        except (OSError, zipfile.BadZipFile) as error:
            raise TrainerError(
                f"{path}: expected a dataset in a zip written by datagen publish, found another file ({error})"
            ) from error
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in self._entries.values()):
            raise TrainerError(
                f"{path}: expected uncompressed entries, found compressed ones; unpack it and give the folder"
            )

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)

    def __str__(self) -> str:
        return str(self.path)

    def read(self, name: str) -> bytes:
        """Read a file."""
        if name not in self._entries:
            raise FileNotFoundError(f"{self.path}: {name}")
        refuse_large_file(f"{self.path}/{name}", self._entries[name].file_size)
        return self.read_part(name, 0, self._entries[name].file_size)

    def read_part(self, name: str, first: int, stop: int) -> bytes:
        """Read bytes `first` to `stop` of a file; safe from any thread."""
        entry = self._entries[name]
        header = os.pread(self._file, _LOCAL_HEADER.size, entry.header_offset)
        if len(header) < _LOCAL_HEADER.size:
            raise TrainerError(f"{self.path}: ends before {name}; download it again")
        begin = entry.header_offset + _LOCAL_HEADER.size + sum(_LOCAL_HEADER.unpack(header))
        return os.pread(self._file, max(min(stop, entry.file_size) - first, 0), begin + first)

    def size(self, name: str) -> int | None:
        """Return the size of a file in bytes."""
        entry = self._entries.get(name)
        return None if entry is None else entry.file_size

    def names(self, folder: str) -> list[str]:
        """List the files in a folder."""
        return sorted(PurePosixPath(n).name for n in self._entries if str(PurePosixPath(n).parent) == folder)

    def zarr_store(self) -> Store:
        """Return zarr's zip store with random access."""
        return _ZippedStore(self)


class _ZippedStore(ZipStore):
    """Zarr's zip store reads an entry from its beginning, a whole shard for one structure; this one seeks."""

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
