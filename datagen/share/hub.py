"""Upload a publication to the Hugging Face Hub: the files of the folder, in a dataset repository.

Commits replace the files of an earlier version, which stays readable under its tag. Data is uploaded before it is
committed, and a file that the Hub has is not sent again, so that a re-run resumes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from datagen.errors import ConfigError, StoreError
from datagen.progress import Display, Silence, one_line, size
from datagen.share.manifest import MANIFEST
from datagen.store import hub_address
from datagen.store.hub_address import HubAddress

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

MAX_FILES, MAX_FILES_OF_A_FOLDER, MAX_FILE_BYTES = 100_000, 10_000, 50 * 10**9
"""Limits of a repository, https://huggingface.co/docs/hub/repositories-recommendations."""
MARKER = ".uploading"
"""File of a repository between the commits of an upload, with the checksum of the publication's manifest."""
FILES_OF_A_COMMIT = 5_000
_BATCH = 200
_LAST = {MANIFEST: 1, "zarr.json": 2}
_OWN = (".gitattributes",)
"""Files that the Hub itself adds."""


@dataclass(frozen=True)
class HubFile:
    """A file of a repository."""

    size: int
    sha256: str | None
    """Of large files."""
    git_hash: str

    def is_equal(self, path: Path) -> bool:
        """Return whether it has the bytes of a local file."""
        if self.size != path.stat().st_size:
            return False
        with path.open("rb") as file:
            if self.sha256 is not None:
                return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
            content = file.read()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == self.git_hash  # noqa: S324 (git's)


def check_hub_destination(url: str, version: str) -> None:
    """Raise if the repository cannot be written to, has this version, or holds other files."""
    address = _destination(url)
    with _errors_explained(url):
        api = _api(url)
        api.whoami()
        _refuse_taken(url, version, _tags(api, address), _files_of(api, address))


def upload_to_hub(folder: Path, url: str, version: str, *, private: bool, display: Display | None = None) -> None:
    """Upload a publication's files, last those that readers open first, and tag the version. A re-run resumes."""
    display = display or Silence()
    address = _destination(url)
    names = sorted(
        (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()),
        key=lambda name: (_LAST.get(name, 0), name),
    )
    check_limits(url, {name: (folder / name).stat().st_size for name in names})
    identity = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    with _errors_explained(url):
        api = _api(url)
        api.create_repo(address.repository, repo_type="dataset", private=private, exist_ok=True)
        there = _files_of(api, address)
        _refuse_taken(url, version, _tags(api, address), there)
        if MARKER in there and _content(url, MARKER) != identity:
            raise StoreError(
                f"{url}: another publication is being uploaded here; re-run its command to finish it, or delete "
                f"the file {MARKER} from the repository"
            )
        with display.phase("upload", len(names), "files"):
            listed = _content(url, MANIFEST) if MANIFEST in there else ""
            gone = {line[66:] for line in listed.splitlines()} & there.keys() - set(names)
            _Upload(api, address, folder, identity, version, display).send(names, there, sorted(gone))
        api.create_tag(address.repository, tag=version, repo_type="dataset")


def check_limits(url: str, sizes: dict[str, int]) -> None:
    """Raise if the number or size of the files is above the limits of the Hub."""
    advice = "publish a zip or to an object store, or run with more structures in a shard (structures_per_shard)"
    if len(sizes) > MAX_FILES:
        raise StoreError(f"{url}: expected at most {MAX_FILES:,} files, found {len(sizes):,}; {advice}")
    entries = {entry for name in sizes for entry in (PurePosixPath(name), *PurePosixPath(name).parents[:-1])}
    folders = Counter(str(entry.parent) for entry in entries)
    if folders and (most := folders.most_common(1)[0])[1] > MAX_FILES_OF_A_FOLDER:
        raise StoreError(
            f"{url}: expected at most {MAX_FILES_OF_A_FOLDER:,} entries in a folder, found {most[1]:,} in {most[0]}; "
            f"{advice}"
        )
    if large := [name for name, n_bytes in sizes.items() if n_bytes > MAX_FILE_BYTES]:
        raise StoreError(
            f"{url}: expected files of at most {size(MAX_FILE_BYTES)}, found {large[0]} with {size(sizes[large[0]])}; "
            "run with fewer structures in a shard (structures_per_shard)"
        )


class _Upload:
    def __init__(
        self, api: HfApi, address: HubAddress, folder: Path, identity: str, version: str, display: Display
    ) -> None:
        self._api, self._address, self._folder, self._display = api, address, folder, display
        self._identity, self._version = identity, version
        self._done, self._sent = 0, 0

    def send(self, names: Sequence[str], there: dict[str, HubFile], gone: list[str]) -> None:
        """Send what differs and delete what is gone, in as few commits as the Hub accepts; the last completes it."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        changed = [name for name in names if name not in there or not there[name].is_equal(self._folder / name)]
        self._advance(len(names) - len(changed))
        if MARKER in there:
            gone = [*gone, MARKER]
        commits = list(_parts(changed, FILES_OF_A_COMMIT)) or [[]]
        if len(commits) > 1 and MARKER not in there:
            marker = CommitOperationAdd(MARKER, self._identity.encode())
            old = [CommitOperationDelete(name) for name in ("zarr.json",) if name in there]
            self._commit([marker, *old], f"Begin version {self._version}")
            gone = [name for name in gone if name != "zarr.json"] + [MARKER]
        for number, part in enumerate(commits, start=1):
            additions = [CommitOperationAdd(name, self._folder / name) for name in part]
            for batch in _parts(additions, _BATCH):
                self._preupload(batch)
            last = number == len(commits)
            deletions = [CommitOperationDelete(name) for name in gone] if last else []
            if additions or deletions:
                self._commit([*additions, *deletions], self._message(number, len(commits)))

    def _preupload(self, batch: Sequence[CommitOperationAdd]) -> None:
        self._api.preupload_lfs_files(
            self._address.repository, batch, repo_type="dataset", revision=self._address.revision, free_memory=False
        )
        self._sent += sum(addition.upload_info.size for addition in batch)
        self._advance(len(batch))

    def _advance(self, count: int) -> None:
        self._done += count
        self._display.advance(self._done, size(self._sent))

    def _commit(self, operations: Sequence[Any], message: str) -> None:
        self._api.create_commit(self._address.repository, operations, commit_message=message, repo_type="dataset")

    def _message(self, number: int, count: int) -> str:
        return f"Version {self._version}" + (f", part {number} of {count}" if count > 1 else "")


def _parts(items: Sequence[Any], length: int) -> Iterator[list[Any]]:
    remaining = iter(items)
    while part := list(islice(remaining, length)):
        yield part


def _destination(url: str) -> HubAddress:
    address = hub_address.parse(url)
    if address.revision != "main":
        raise ConfigError(f"{url}: expected hf://ORG/NAME; --version names the tag of a publication")
    return address


def _api(url: str) -> HfApi:
    from huggingface_hub import HfApi
    from huggingface_hub.utils.tqdm import disable_progress_bars

    token = hub_address.token()
    if token is None:
        raise ConfigError(f"{url}: a token is missing; set HF_TOKEN to one with write access, or run hf auth login")
    disable_progress_bars()  # the display shows files and bytes
    return HfApi(endpoint=hub_address.endpoint(), token=token)


def _tags(api: HfApi, address: HubAddress) -> set[str]:
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return {tag.name for tag in api.list_repo_refs(address.repository, repo_type="dataset").tags}
    except RepositoryNotFoundError:
        return set()


def _files_of(api: HfApi, address: HubAddress) -> dict[str, HubFile]:
    """Return the files of the main branch; {} if there is no such repository."""
    from huggingface_hub.errors import RepositoryNotFoundError
    from huggingface_hub.hf_api import RepoFile

    try:
        entries = list(api.list_repo_tree(address.repository, repo_type="dataset", recursive=True))
    except RepositoryNotFoundError:
        return {}
    return {
        entry.path: HubFile(entry.size, entry.lfs.sha256 if entry.lfs else None, entry.blob_id)
        for entry in entries
        if isinstance(entry, RepoFile)
    }


def _content(url: str, name: str) -> str:
    from datagen.store.remote import Address

    return Address(url).read(name).decode(errors="replace")


def _refuse_taken(url: str, version: str, tags: set[str], there: dict[str, HubFile]) -> None:
    if version in tags:
        raise StoreError(f"{url}: has version {version} already; choose another --version, such as {_next(version)}")
    ours = {MANIFEST, MARKER} & there.keys()
    if foreign := sorted(name for name in there if name not in _OWN) if not ours else []:
        raise StoreError(
            f"{url}: holds other files, such as {one_line(foreign[0], 100)}; choose a new repository or remove them"
        )


def _next(version: str) -> str:
    major, minor, _ = version.split(".")
    return f"{major}.{int(minor) + 1}.0"


@contextmanager
def _errors_explained(url: str) -> Iterator[None]:
    """Turn errors of the Hub and of the network into a StoreError with advice, without the token."""
    try:
        from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]
    except ImportError as missing:
        raise ConfigError(
            f"{url}: the Hugging Face Hub needs the package huggingface_hub: pip install huggingface_hub"
        ) from missing
    try:
        yield
    except (HTTPError, OSError, ValueError, RuntimeError) as error:
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ is not None else error
        reason = _without_token(_reason(cause))
        if isinstance(cause, HfHubHTTPError):
            status = cause.response.status_code
            raise StoreError(f"{url}: the Hub answered {status} ({reason}); {_ADVICE.get(status, _RESUME)}") from None
        raise StoreError(f"{url}: cannot be reached or written ({reason}); {_RESUME}") from None


_RESUME = "re-run the same command to resume"
_ADVICE = {
    401: "set HF_TOKEN to a valid token with write access",
    403: "set HF_TOKEN to a token with write access to this organisation, and check its storage limit",
    413: "a file or commit is larger than the Hub accepts; publish to an object store",
    429: "wait, then re-run the same command to resume",
}


def _reason(error: BaseException) -> str:
    said = getattr(error, "server_message", None) or str(error) or type(error).__name__
    return one_line(said.strip().split("\n")[0], 300)


def _without_token(text: str) -> str:
    token = hub_address.token()
    return text.replace(token, "***") if token else text
