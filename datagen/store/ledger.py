"""Ledger of a dataset: receipts of the frame and of every committed shard, with sizes and checksums of their files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from catalogs.atomic_write import sha256_of
from datagen.errors import StoreError
from datagen.progress import one_line
from datagen.store import files as disk
from datagen.store.confined import checked_name
from datagen.store.location import Location, Where, location_of
from datagen.store.schema import FORMAT_VERSION, LARGEST_SIZES

FOLDER = "ledger"
FRAME = "frame.json"


@dataclass(frozen=True)
class Receipt:
    """A committed shard. It is written only when every file it names is complete.

    Files of the shard that it does not name would hold only fill values and do not exist.
    """

    shard: int
    key: str
    """Content key of the shard's inputs; a receipt counts only for the same key."""
    first_row: int
    n_structures: int
    n_densities: int
    files: dict[str, dict[str, Any]]
    """Path below the dataset -> size in bytes, sha256."""
    notes: dict[str, Any] = field(default_factory=dict)
    """Remarks of the run on the shard; a function of the content, without clocks and host names."""

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(int(entry["size"]) for entry in self.files.values())


@dataclass(frozen=True)
class Damage:
    """A file that differs from its receipt."""

    path: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.path}: expected {self.expected}, found {self.found}"


def shard_path(dataset: Path, shard: int) -> Path:
    """Return the path of a shard's receipt."""
    return dataset / _shard_name(shard)


def commit(dataset: Path, receipt: Receipt) -> None:
    """Write the receipt, which makes the shard part of the dataset."""
    content = {"format_version": FORMAT_VERSION, **asdict(receipt)}
    disk.write_bytes(shard_path(dataset, receipt.shard), disk.to_json(content))


def revoke(dataset: Path, shard: int) -> None:
    """Remove a shard's receipt, so that the shard is regenerated."""
    path = shard_path(dataset, shard)
    if path.exists():
        path.unlink()
        disk.sync_folder(path.parent)


def read(dataset: Where, shard: int) -> Receipt | None:
    """Return the shard's receipt, None if it is not committed; raise StoreError for a malformed one."""
    at = location_of(dataset)
    name = _shard_name(shard)
    path = f"{at}/{name}"
    try:
        text = at.read(name)
    except FileNotFoundError:
        return None
    content = _parsed(path, text)
    _check_files(path, content.get("files"))
    try:
        receipt = Receipt(**content)
    except TypeError as error:
        raise StoreError(
            f"{path}: expected a shard's receipt, found other entries ({one_line(error, 100)}); {_REPAIR}"
        ) from error
    counts = (receipt.shard, receipt.first_row, receipt.n_structures, receipt.n_densities)
    if not all(type(n) is int and 0 <= n < LARGEST_SIZES["n_structures"] for n in counts) or not (
        isinstance(receipt.key, str) and isinstance(receipt.notes, dict)
    ):
        raise StoreError(f"{path}: expected counts, a key and notes, found {one_line(counts, 80)}; {_REPAIR}")
    if receipt.shard != shard:
        raise StoreError(f"{path}: expected the receipt of shard {shard}, found that of {receipt.shard}; {_REPAIR}")
    return receipt


def committed(dataset: Where) -> dict[int, Receipt]:
    """Return the receipts of all committed shards by their numbers, in order."""
    at = location_of(dataset)
    receipts = at.each(partial(read, at), _numbers(at))
    return {receipt.shard: receipt for receipt in receipts if receipt is not None}


def write_frame(dataset: Path, files: dict[str, dict[str, Any]]) -> None:
    """Write the receipt of everything that does not belong to a shard: metadata, coordinates, labels."""
    content = {"format_version": FORMAT_VERSION, "files": files}
    disk.write_bytes(dataset / FOLDER / FRAME, disk.to_json(content))


def read_frame(dataset: Where) -> dict[str, dict[str, Any]] | None:
    """Return the files of the frame with size and checksum; None if it is not complete."""
    at = location_of(dataset)
    path = f"{at}/{FOLDER}/{FRAME}"
    try:
        text = at.read(f"{FOLDER}/{FRAME}")
    except FileNotFoundError:
        return None
    files: dict[str, dict[str, Any]] = _parsed(path, text).get("files", {})
    _check_files(path, files)
    return files


def damages(dataset: Where, files: dict[str, dict[str, Any]], *, deep: bool = True) -> list[Damage]:
    """Return the files that are missing or differ from the ledger in size, or if `deep` in checksum."""
    at = location_of(dataset)
    return [damage for damage in at.each(partial(_damage, at, deep=deep), files.items()) if damage is not None]


def damage_of(name: str, entry: dict[str, Any], size: int | None, checksum: Callable[[], str] | None) -> Damage | None:
    """Return how a file of this size (None: no file) and checksum differs from its entry; None if it does not."""
    if size is None:
        return Damage(name, "no file", f"{entry['size']} bytes")
    if size != entry["size"]:
        return Damage(name, f"{size} bytes", f"{entry['size']} bytes")
    if checksum is not None and (found := checksum()) != entry["sha256"]:
        return Damage(name, f"sha256 {found}", f"sha256 {entry['sha256']}")
    return None


def entry_of(data: bytes) -> dict[str, Any]:
    """Return size and checksum as the ledger lists them."""
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def entry_of_file(path: Path) -> dict[str, Any]:
    """Return the same of a file, without reading it into memory."""
    return {"size": path.stat().st_size, "sha256": sha256_of(path)}


def named_files(receipts: Iterable[Receipt], frame: dict[str, dict[str, Any]] | None) -> set[str]:
    """Return the names of all files in the ledger."""
    names = set(frame or ())
    for receipt in receipts:
        names |= set(receipt.files)
    return names


_LARGEST_FILE = 1 << 50
_REPAIR = "remove that file and re-run the same command"


def _shard_name(shard: int) -> str:
    return f"{FOLDER}/shard-{shard:05d}.json"


def _numbers(at: Location) -> list[int]:
    """Return the shards that may have a receipt: those listed, or all where listing is not supported."""
    names = at.names(FOLDER)
    if names is None:
        from datagen.store.reading import read_layout

        return list(range(read_layout(at).n_shards))
    digits = [PurePath(name).stem.removeprefix("shard-") for name in names if name.startswith("shard-")]
    return [int(each) for each in digits if each.isdigit()]


def _damage(at: Location, listed: tuple[str, dict[str, Any]], *, deep: bool) -> Damage | None:
    name, entry = listed
    return damage_of(name, entry, at.size(name), partial(at.checksum, name) if deep else None)


def _check_files(path: str, files: object) -> None:
    """Refuse a list of files that is not one, or that names a file outside of the dataset."""
    if not isinstance(files, dict):
        raise StoreError(f"{path}: expected an entry 'files' with names of files; {_REPAIR}")
    for name, entry in files.items():
        checked_name(name, path)
        size = entry.get("size") if isinstance(entry, dict) else None
        if type(size) is not int or not 0 <= size < _LARGEST_FILE or not isinstance(entry.get("sha256"), str):
            raise StoreError(
                f"{path}: {one_line(name, 80)}: expected size and sha256, found {one_line(entry, 100)}; {_REPAIR}"
            )


def _parsed(path: str, text: bytes) -> dict[str, Any]:
    try:
        content = disk.from_json(text)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path}: expected JSON, found something else ({error}); {_REPAIR}") from error
    if not isinstance(content, dict) or content.get("format_version") != FORMAT_VERSION:
        found = content.get("format_version") if isinstance(content, dict) else type(content).__name__
        raise StoreError(
            f"{path}: expected format version {FORMAT_VERSION}, found {one_line(repr(found), 80)}; {_REPAIR}"
        )
    del content["format_version"]
    return content
