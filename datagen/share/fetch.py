"""Copy a publication from a URL, a zip or Zenodo into a folder: resumable, with every checksum checked."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.error import HTTPError

from catalogs.atomic_write import replacing, sha256_of
from datagen.errors import StoreError
from datagen.progress import Display, Silence, one_line, size
from datagen.share.compose import private_folder, refuse_taken, rename_into_place
from datagen.share.manifest import MANIFEST
from datagen.share.registry import resolve_dataset
from datagen.share.zenodo import SCHEME, md5_of, parse
from datagen.share.zenodo_client import Client
from datagen.store.confined import checked_name, path_inside
from datagen.store.location import Location, location_of
from datagen.store.remote import errors_explained

_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_BLOCK = 1 << 20


def fetch(location: str, out: Path, display: Display | None = None) -> tuple[int, int]:
    """Copy a publication to a new folder, and return its number of files and bytes. A re-run resumes."""
    refuse_taken(out)
    display = display or Silence()
    if location.startswith(SCHEME):
        return _fetch_record(location, out, display)
    source = location_of(resolve_dataset(location))
    with errors_explained(str(source)):
        try:
            listed = source.read(MANIFEST)
        except FileNotFoundError:
            raise StoreError(f"{source}: expected a publication with its {MANIFEST}, found none") from None
    sums = _parsed(source, listed)
    with private_folder(out, {"source": str(source), "manifest": listed.decode()}) as making:
        folder = making / "dataset"
        with display.phase("download", len(sums), "files"):
            missing = [(name, folder) for name, checksum in sums.items() if not _is_there(folder, name, checksum)]
            done, n_bytes = len(sums) - len(missing), 0
            display.advance(done)
            for copied in source.each(lambda item: _copy(source, item[0], item[1], sums[item[0]]), missing):
                done, n_bytes = done + 1, n_bytes + copied
                display.advance(done, size(n_bytes))
        _finish(folder, listed, out)
    return len(sums) + 1, _bytes_of(out)


def _parsed(where: object, listed: bytes) -> dict[str, str]:
    """Return the checksums of a manifest by name."""
    found = [_LINE.fullmatch(line) for line in listed.decode(errors="replace").splitlines()]
    if not found or None in found:
        raise StoreError(f"{where}: {MANIFEST} is not that of a publication; download it again")
    return {checked_name(line[2], where): line[1] for line in found if line is not None}


def _is_there(folder: Path, name: str, checksum: str) -> bool:
    path = path_inside(folder, name)
    return path.is_file() and sha256_of(path) == checksum


def _copy(source: Location, name: str, folder: Path, checksum: str) -> int:
    """Copy a file, and return its size."""
    path = path_inside(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(path) as temporary, temporary.open("wb") as copy:
            source.copy(name, copy, str(path.parent))
    except FileNotFoundError:
        raise StoreError(f"{source}: {name} is listed in {MANIFEST}, but missing; ask its publisher") from None
    _check(path, name, checksum, source)
    return path.stat().st_size


def _check(path: Path, name: str, checksum: str, source: object) -> None:
    if (found := sha256_of(path)) != checksum:
        path.unlink()
        raise StoreError(f"{source}: {name}: expected sha256 {checksum}, found {found}; re-run the same command")


def _finish(folder: Path, listed: bytes, out: Path) -> None:
    (folder / MANIFEST).write_bytes(listed)
    rename_into_place(folder, out)


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _fetch_record(location: str, out: Path, display: Display) -> tuple[int, int]:
    """Download the zips of a record and unpack them."""
    record = parse(location)
    if record is None:
        raise StoreError(f"{location}: expected the number of a record, such as zenodo:1234567")
    client = Client(needs_token=False)
    entries = {str(each["key"]): each for each in client.record_files(record) if str(each["key"]).endswith(".zarr.zip")}
    where = f"{client.server}/records/{record}"
    if not entries:
        raise StoreError(f"{where}: expected files ending in .zarr.zip, found none")
    checksums = {checked_name(name, where): str(entry.get("checksum")) for name, entry in entries.items()}
    with private_folder(out, {"source": where, "files": checksums}) as making:
        with display.phase("download", len(checksums), "files"):
            for count, (name, checksum) in enumerate(sorted(checksums.items()), start=1):
                _download(client, record, making / name, checksum)
                display.advance(count, size((making / name).stat().st_size))
        folder = making / "dataset"
        shutil.rmtree(folder, ignore_errors=True)
        for name in sorted(checksums):
            _unpack(making / name, folder)
        try:
            listed = (folder / MANIFEST).read_bytes()
        except FileNotFoundError:
            raise StoreError(f"{where}: expected a publication with its {MANIFEST}, found none") from None
        sums = _parsed(where, listed)
        for name, checksum in sums.items():
            if not path_inside(folder, name).is_file():
                raise StoreError(f"{where}: {name} is listed in {MANIFEST}, but missing; ask its publisher")
            _check(folder / name, name, checksum, where)
        _finish(folder, listed, out)
    return len(sums) + 1, _bytes_of(out)


def _download(client: Client, record: str, path: Path, checksum: str) -> None:
    """Download a file, from where an earlier attempt ended if the server sends parts of files."""
    if path.exists() and md5_of(path) == checksum:
        return
    for _ in range(2):  # a part of another file has another checksum: once more from its beginning
        try:
            first = path.stat().st_size if path.exists() else 0
            with client.open_content(record, path.name, first) as answer, path.open("ab") as file:
                if getattr(answer, "status", 200) != 206:
                    file.truncate(0)
                for block in _blocks(answer):
                    file.write(block)
        except HTTPError as error:
            error.close()
            if error.code != 416:
                raise _ended(client, path, f"{error.code} {error.reason}") from None
        except (OSError, HTTPException) as error:
            raise _ended(client, path, str(error)) from None
        if md5_of(path) == checksum:
            return
        path.unlink()
    raise StoreError(f"{client.server}: {path.name}: expected checksum {checksum}; re-run the same command")


def _blocks(answer: IO[bytes]) -> Iterator[bytes]:
    while block := answer.read(_BLOCK):
        yield block
    if missing := getattr(answer, "length", None):
        raise OSError(f"the answer ends early, {missing:,} bytes are missing")


def _ended(client: Client, path: Path, reason: str) -> StoreError:
    reason = one_line(reason, 200)
    return StoreError(f"{client.server}: {path.name}: the download ended ({reason}); re-run the same command to resume")


def _unpack(path: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > path.stat().st_size:
                    raise StoreError(
                        f"{path.name}: expected a zip as datagen publish writes it; do not use this record"
                    )
                target = path_inside(folder, entry.filename)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, target.open("xb") as file:
                    shutil.copyfileobj(source, file, _BLOCK)
    except (zipfile.BadZipFile, FileExistsError) as error:
        raise StoreError(f"{path.name}: expected a zip as datagen publish writes it ({error})") from error
