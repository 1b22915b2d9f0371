"""How does a publication come into an object store: file by file, resumed, and opened by nobody before it is whole?"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from datagen.errors import StoreError
from datagen.progress import Display, Silence, size
from datagen.share.manifest import MANIFEST
from datagen.store.remote import errors_explained, open_store

if TYPE_CHECKING:
    from obstore.store import ObjectStore

MARKER = ".uploading"
"""There while an upload is going on or was interrupted; it holds the checksum of the publication's manifest."""


def check_destination(url: str) -> None:
    """Refuse a place that cannot be reached or where something finished lies."""
    with errors_explained(url):
        store = open_store(url)
        if _exists(store, "zarr.json") or (_exists(store, MANIFEST) and not _exists(store, MARKER)):
            raise StoreError(f"{url}: something is there already; choose another place, or another version's name")


def upload(folder: Path, url: str, display: Display | None = None) -> None:
    """Put a publication's files under `url`; what readers look for first is written last.

    The same call goes on after an interruption. Credentials and endpoint come from the environment (AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL, ...).
    """
    display = display or Silence()
    check_destination(url)
    names = _in_order(folder)
    identity = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    with errors_explained(url):
        store = open_store(url)
        _claim(store, url, identity)
        there = {entry["path"]: entry["size"] for batch in store.list() for entry in batch}
        done = 0
        with display.phase("upload", len(names), "files"):
            for count, name in enumerate(names, start=1):
                path = folder / name
                if there.get(name) != path.stat().st_size:
                    store.put(name, path)
                    done += path.stat().st_size
                display.advance(count, size(done))
        store.delete(MARKER)


def _in_order(folder: Path) -> list[str]:
    """Data first, the manifest after it, and at the very end the file without which no reader opens anything."""
    last = {MANIFEST: 1, "zarr.json": 2}
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return sorted(names, key=lambda name: (last.get(name, 0), name))


def _claim(store: ObjectStore, url: str, identity: str) -> None:
    """Make the place ours, or find that it was by an earlier attempt; two uploads of different things never mix."""
    from obstore.exceptions import AlreadyExistsError

    if not _exists(store, MARKER) and next((e["path"] for batch in store.list() for e in batch), None) is not None:
        raise StoreError(f"{url}: other files are there; choose an empty place")
    try:
        store.put(MARKER, identity.encode(), mode="create")
    except AlreadyExistsError:
        before = bytes(store.get(MARKER).bytes()).decode()
        if before != identity:
            raise StoreError(
                f"{url}: another publication's upload was begun there; finish it by its own command, or remove what is "
                "there"
            ) from None


def _exists(store: ObjectStore, name: str) -> bool:
    try:
        store.head(name)
    except FileNotFoundError:
        return False
    return True
