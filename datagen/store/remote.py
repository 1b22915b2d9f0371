"""Datasets on web servers and in object stores, read in place, and the errors of such reads."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Self, TypeVar, cast

import pyarrow as pa

from datagen.errors import ConfigError, StoreError
from datagen.store import hub_address
from datagen.store.confined import checked_name
from datagen.store.location import ZIP, Location, mapped

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import ObjectStore
    from zarr.abc.store import Store

T = TypeVar("T")
R = TypeVar("R")
CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
"""Without any of these the client would query the metadata address of a cloud machine."""
MAX_WHOLE_BYTES = 300_000_000
"""Largest file that is read into memory as a whole: metadata, receipts and manifests."""
REQUEST_LIMIT = timedelta(seconds=120)
"""Limit of one request including its answer; a server may send a byte a second without end."""
_GIVE_UP = timedelta(seconds=30)
_AT_A_TIME = 8
RETRIES = 3
_BUFFER = 1 << 20


class Address(Location):
    """A dataset at s3://, http(s)://, hf:// or another address that obstore knows.

    Credentials and endpoint are taken from the environment; without credentials, requests are unsigned.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        if self.url.endswith(ZIP):
            raise ConfigError(f"{url}: a zip cannot be read from a URL; download it first, or publish a folder there")
        with errors_explained(self.url):
            self._store = open_store(self.url, unsigned=True)

    def __reduce__(self) -> tuple[type[Address], tuple[str]]:
        return Address, (self.url,)

    def __str__(self) -> str:
        return without_password(self.url)

    def read(self, name: str) -> bytes:
        """All bytes of a file."""
        with errors_explained(self.url):
            found = self._get(name)
            # The client allocates what the server states; beyond the memory there is it aborts the process.
            if (n_bytes := found.meta["size"]) > MAX_WHOLE_BYTES:
                raise StoreError(
                    f"{self}/{name}: expected at most {MAX_WHOLE_BYTES:,} bytes, found {n_bytes:,}; check the address"
                )
            return bytes(found.bytes())

    def size(self, name: str) -> int | None:
        """Return the bytes of a file; None if it does not exist."""
        with errors_explained(self.url):
            try:
                return int(self._store.head(checked_name(name, self))["size"])
            except FileNotFoundError:
                return None

    def checksum(self, name: str) -> str:
        """Return the SHA-256 of a file."""
        digest = hashlib.sha256()
        with errors_explained(self.url):
            for part in self._get(name).stream():
                digest.update(part)
        return digest.hexdigest()

    def view(self, name: str) -> memoryview:
        """Return the mapped bytes of a temporary copy, which is deleted with them."""
        with tempfile.TemporaryFile() as copy:
            self.copy(name, copy, tempfile.gettempdir())
            return mapped(copy)

    def arrow_file(self, name: str) -> pa.NativeFile:
        """Return a mapped copy of the file; its name is removed at once, its disk space with the map."""
        with tempfile.NamedTemporaryFile() as copy:
            self.copy(name, copy, tempfile.gettempdir())
            return pa.memory_map(copy.name)

    def open(self, name: str) -> IO[bytes]:
        """Open a file for random access."""
        import obstore

        with errors_explained(self.url):
            file = obstore.open_reader(self._store, checked_name(name, self), buffer_size=_BUFFER)
            return cast(IO[bytes], _File(file, self.url))

    def names(self, folder: str) -> list[str] | None:
        """Return the files directly in a folder, sorted; None for a web server and the Hub."""
        found = self.below(folder)
        return (
            None if found is None else [PurePosixPath(p).name for p in found if str(PurePosixPath(p).parent) == folder]
        )

    def below(self, folder: str) -> list[str] | None:
        """Return the names of all files in a folder and its folders; None for a web server and the Hub."""
        if self.url.startswith(("http", hub_address.SCHEME)):
            return None
        with errors_explained(self.url):
            return sorted(entry["path"] for batch in self._store.list(f"{folder}/") for entry in batch)

    def zarr_store(self) -> Store:
        """Return Zarr's store of the address, whose errors are explained."""
        return explained_store(self._store, self.url)

    def _get(self, name: str) -> GetResult:
        return self._store.get(checked_name(name, self))

    def copy(self, name: str, to: IO[bytes], folder: str) -> None:
        """Copy a file to an open one in a folder of this disk, in one request."""
        with errors_explained(self.url):
            found = self._get(name)
            free = shutil.disk_usage(folder).free
            if (n_bytes := found.meta["size"]) > free:
                raise StoreError(
                    f"{self}/{name}: has {n_bytes:,} bytes, but {folder} has {free:,} free; free disk space, or name "
                    "another folder (for temporary files, in TMPDIR)"
                )
            for part in found.stream():
                to.write(part)
        to.flush()

    def each(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield `work` of each item in their order, with several requests at a time."""
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            yield from pool.map(work, items)


class _File:
    """A file at an address, whose errors are explained."""

    def __init__(self, file: Any, url: str) -> None:
        self._file, self._url = file, url
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        with errors_explained(self._url):
            try:
                return bytes(self._file.read(None if size < 0 else size))
            except OSError as error:  # what obstore's files raise, whatever happened
                raise (_no_parts(self._url) if "Range request" in str(error) else _failed(self._url, error)) from error

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        self.closed = True
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False


def explained_store(store: ObjectStore, url: str) -> Store:
    """Return a read-only store of zarr whose errors are explained."""
    from zarr.storage import ObjectStore as ZarrStore

    class Explained(ZarrStore[Any]):
        async def get(self, *given: Any, **named: Any) -> Any:
            with errors_explained(url):
                return await super().get(*given, **named)

    return Explained(store, read_only=True)


def open_store(url: str, *, unsigned: bool = False) -> ObjectStore:
    """Return the store of an address; raise without credentials, unless `unsigned` reads are allowed."""
    from obstore.store import from_url

    retry: Any = {"max_retries": RETRIES, "retry_timeout": _GIVE_UP}
    if hub_address.is_hub(url):
        return _open_hub(url, retry)
    plain = f"{url} {os.environ.get('AWS_ENDPOINT_URL', '')}"
    # http:// is allowed where the address says so.
    client: Any = {"timeout": REQUEST_LIMIT, "connect_timeout": "5s", "allow_http": "http://" in plain}
    if url.startswith("s3://") and not any(os.environ.get(name) for name in CREDENTIALS):
        if not unsigned:
            raise ConfigError(f"{url}: credentials are missing; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        return from_url(url, retry_config=retry, client_options=client, skip_signature=True)
    return from_url(url, retry_config=retry, client_options=client)


def _open_hub(url: str, retry: Any) -> ObjectStore:
    """Return the files of a repository; they redirect to other hosts, to which the token is not sent."""
    from obstore.store import HTTPStore

    files_url, token = hub_address.parse(url).files_url, hub_address.token()
    client: Any = {"timeout": REQUEST_LIMIT, "connect_timeout": "5s", "allow_http": files_url.startswith("http://")}
    if token is not None:
        client["default_headers"] = {"Authorization": f"Bearer {token}"}
    return HTTPStore.from_url(files_url, retry_config=retry, client_options=client)


@contextmanager
def errors_explained(url: str) -> Iterator[None]:
    """Turn errors of object stores into a StoreError with advice; a missing file stays FileNotFoundError."""
    try:
        from obstore.exceptions import BaseError, NotSupportedError
    except ImportError as missing:
        raise ConfigError(f"{url}: object stores need the package obstore: pip install obstore") from missing
    try:
        yield
    except FileNotFoundError:
        raise
    except NotSupportedError as error:
        raise _no_parts(url) from error
    except BaseError as error:
        raise _failed(url, error) from error


def without_password(text: str) -> str:
    """Return the text without user names and passwords in addresses."""
    return re.sub(r"(?<=://)[^/@\s]*@", "", text)


def _no_parts(url: str) -> StoreError:
    return StoreError(
        f"{without_password(url)}: this server does not support HTTP range requests; download the dataset or use "
        "another server"
    )


def _failed(url: str, error: Exception) -> StoreError:
    words = str(error).split("\n")[0]
    credentials = "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL"
    if hub_address.is_hub(url):
        credentials = "HF_TOKEN; a private dataset needs one"
    return StoreError(
        without_password(f"{url}: cannot be reached, read or written ({words})")
        + f"; check the address, the network and the credentials in the environment ({credentials}), then re-run "
        "the same command"
    )
