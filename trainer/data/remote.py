"""Datasets on web servers and in object stores."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any, TypeVar

from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import ObjectStore

from trainer.data import hub_address
from trainer.data.limits import MOST_CHUNK_BYTES
from trainer.data.location import Location, refuse_large_file
from trainer.errors import TrainerError

T = TypeVar("T")
R = TypeVar("R")
CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
"""If none of these is set, a bucket is read anonymously."""
_AT_A_TIME = 8
RETRIES = 5


class Address(Location):
    """A dataset at a URL (s3://, http(s)://, hf://, ...) that obstore supports; credentials are in the environment."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        if self.url.endswith(".zip"):
            raise TrainerError(f"{url}: a zip cannot be read remotely; download it first")
        on_hub = url.startswith(hub_address.SCHEME)
        address = hub_address.files_url(self.url) if on_hub else self.url
        plain = "http://" in f"{address} {os.environ.get('AWS_ENDPOINT_URL', '')}"  # plain HTTP only if the URL says so
        retry: Any = {"max_retries": RETRIES, "retry_timeout": timedelta(seconds=60)}
        client: Any = {"timeout": "120s", "connect_timeout": "5s", "allow_http": plain}
        if on_hub and (token := hub_address.token()) is not None:
            client["default_headers"] = {"Authorization": f"Bearer {token}"}  # not sent on to other hosts
        keyless = url.startswith("s3://") and not any(os.environ.get(name) for name in CREDENTIALS)
        public: Any = {"skip_signature": True} if keyless else {}
        with _explained(self.url):
            from obstore.store import from_url

            self._store = from_url(address, retry_config=retry, client_options=client, **public)

    def __str__(self) -> str:
        return _without_password(self.url)

    def read(self, name: str) -> bytes:
        """Read a file."""
        with _explained(self.url):
            found = self._store.get(name)
            refuse_large_file(f"{self}/{name}", found.meta["size"])
            return bytes(found.bytes())

    def size(self, name: str) -> int | None:
        """Return the size of a file in bytes."""
        with _explained(self.url):
            try:
                return int(self._store.head(name)["size"])
            except FileNotFoundError:
                return None

    def names(self, folder: str) -> list[str] | None:
        """List the files in a folder; web servers offer no listing."""
        if self.url.startswith(("http", hub_address.SCHEME)):
            return None
        with _explained(self.url):
            paths = [entry["path"] for batch in self._store.list(f"{folder}/") for entry in batch]
        return sorted(PurePosixPath(p).name for p in paths if str(PurePosixPath(p).parent) == folder)

    def zarr_store(self) -> Store:
        """Return zarr's object store."""
        return _AddressStore(self._store, self.url)

    def each(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Apply a function concurrently, results in order."""
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            yield from pool.map(work, items)


class _AddressStore(ObjectStore[Any]):
    """Zarr's object store with errors in one sentence and bounded sizes."""

    def __init__(self, store: Any, url: str) -> None:
        super().__init__(store, read_only=True)
        self._url = url

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        with _explained(self._url):
            if byte_range is not None:
                return await super().get(key, prototype, byte_range)
            try:
                found = await self.store.get_async(key)
            except FileNotFoundError:
                return None
            # A server may state any size, and the client would allocate it.
            if found.meta["size"] > MOST_CHUNK_BYTES:
                raise TrainerError(
                    f"{_without_password(self._url)}/{key}: expected at most {MOST_CHUNK_BYTES:,} bytes, found "
                    f"{found.meta['size']:,}"
                )
            return prototype.buffer.from_bytes(await found.bytes_async())


@contextmanager
def _explained(url: str) -> Iterator[None]:
    try:
        from obstore.exceptions import BaseError, NotSupportedError
    except ImportError as missing:
        raise TrainerError(f"{url}: reading URLs needs the package obstore; pip install obstore") from missing
    try:
        yield
    except FileNotFoundError:
        raise
    except NotSupportedError as error:
        raise TrainerError(
            f"{_without_password(url)}: this server does not support HTTP range requests; download the dataset or use "
            "another server"
        ) from error
    except BaseError as error:
        words = str(error).split("\n")[0]
        credentials = "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL"
        if url.startswith(hub_address.SCHEME):
            credentials = "HF_TOKEN; a private dataset needs one"
        raise TrainerError(
            _without_password(f"{url}: cannot be reached or read ({words})")
            + f"; check the address, the network and the credentials in the environment ({credentials})"
        ) from error


def _without_password(text: str) -> str:
    return re.sub(r"(?<=://)[^/@\s]*@", "", text)
