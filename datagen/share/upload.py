"""Upload a publication to an object store: resumable, readable only when complete."""

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
"""File that exists during an upload, with the checksum of the publication's manifest."""


def check_destination(url: str) -> None:
    """Raise if the destination cannot be reached or holds a complete dataset."""
    with errors_explained(url):
        store = open_store(url)
        if _exists(store, "zarr.json") or (_exists(store, MANIFEST) and not _exists(store, MARKER)):
            raise StoreError(f"{url}: exists already; choose another URL or version")


def upload(folder: Path, url: str, display: Display | None = None) -> None:
    """Upload a publication's files, last those that readers open first.

    A repeated call resumes. Credentials and endpoint come from the environment (AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL, ...).
    """
    display = display or Silence()
    check_destination(url)
    names = _in_order(folder)
    identity = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    with errors_explained(url):
        store = open_store(url)
        _mark(store, url, identity)
        uploaded = {entry["path"]: entry["size"] for batch in store.list() for entry in batch}
        done = 0
        with display.phase("upload", len(names), "files"):
            for count, name in enumerate(names, start=1):
                path = folder / name
                if uploaded.get(name) != path.stat().st_size:
                    store.put(name, path, attributes=_shown(name))
                    done += path.stat().st_size
                display.advance(count, size(done))
        store.delete(MARKER)


def _shown(name: str) -> dict[str, str] | None:
    """Return what makes browsers show a page instead of saving it."""
    return {"Content-Type": "text/html; charset=utf-8"} if name.endswith(".html") else None


def _in_order(folder: Path) -> list[str]:
    """Return the files in order of upload: data, manifest, `zarr.json`."""
    last = {MANIFEST: 1, "zarr.json": 2}
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return sorted(names, key=lambda name: (last.get(name, 0), name))


def _mark(store: ObjectStore, url: str, identity: str) -> None:
    """Mark the destination as used by this upload; raise if it holds another one."""
    from obstore.exceptions import AlreadyExistsError

    if not _exists(store, MARKER) and next((e["path"] for batch in store.list() for e in batch), None) is not None:
        raise StoreError(f"{url}: holds other files; choose an empty destination")
    try:
        store.put(MARKER, identity.encode(), mode="create")
    except AlreadyExistsError:
        before = bytes(store.get(MARKER).bytes()).decode()
        if before != identity:
            raise StoreError(
                f"{url}: another publication is being uploaded here; re-run its command to finish it, or "
                "remove its files"
            ) from None


def _exists(store: ObjectStore, name: str) -> bool:
    try:
        store.head(name)
    except FileNotFoundError:
        return False
    return True
