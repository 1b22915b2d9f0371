"""Structures and charge densities of the Materials Project, downloaded once.

Files under the catalog's path:

- `query-HASH/materials.json`: query, time, database version, and the ids found;
- `query-HASH/structures-00000.jsonl.gz`: the documents, a hundred materials per file;
- `densities/mp-149_mp-1234.json.gz`: a density as the Materials Project writes it, by material and task;
- `densities.jsonl`: one line per material with a requested density: task, SHA-256 and size, or that there is none.

Complete files are not downloaded again; with all of them, neither network nor key is needed.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from catalogs import defects
from catalogs.config import MaterialsProjectCatalog
from catalogs.download_files import append_line, save_download
from catalogs.errors import CatalogError
from catalogs.mp_client import Client, connect
from catalogs.names import natural_key
from catalogs.reading import Place
from catalogs.record import Defect, DensityRef, Record

CHUNK = 100
"""Materials per request and per file."""

Json = dict[str, Any]


def records(
    config: MaterialsProjectCatalog,
    connecting: Callable[[], Any] = connect,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Record]:
    """Yield a record per material in the order of the ids; download what is not on disk yet."""
    client = Client(f"catalog {config.name!r}", config.retries, connecting, sleep)
    folder = config.path / f"query-{_hash_of(config)}"
    listing = _listing(config, folder, client)
    densities = _Densities(config.path, client) if config.with_density else None
    for first in range(0, len(listing.ids), CHUNK):
        ids = listing.ids[first : first + CHUNK]
        documents = _chunk(folder / f"structures-{first // CHUNK:05d}.jsonl.gz", ids, listing, client)
        kept = densities.of([i for i in ids if i in documents], config.downloads_at_once) if densities else {}
        for material_id in ids:
            yield _record(config, material_id, documents.get(material_id), kept.get(material_id))


@dataclass(frozen=True)
class _Listing:
    ids: list[str]
    database_version: str


def _hash_of(config: MaterialsProjectCatalog) -> str:
    asked = {**config.query(), "with_density": config.with_density, "max_materials": config.max_materials}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]


def _listing(config: MaterialsProjectCatalog, folder: Path, client: Client) -> _Listing:
    """Return the materials of the query; it is sent once and stored, so that the catalog does not change."""
    path = folder / "materials.json"
    if path.is_file():
        kept = _read_json(path)
        return _Listing(kept["material_ids"], kept["database_version"])
    ids = sorted(client.material_ids(config), key=natural_key)[: config.max_materials]
    listing = _Listing(ids, client.database_version())
    about = {
        "query": config.query(),
        "with_density": config.with_density,
        "database_version": listing.database_version,
        "asked_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "material_ids": ids,
    }
    save_download(path, json.dumps(about, indent=1).encode())
    return listing


def _chunk(path: Path, ids: list[str], listing: _Listing, client: Client) -> dict[str, Json]:
    """Return documents of up to a hundred materials from disk; download them first if needed."""
    if not path.is_file():
        version = client.database_version()
        if version != listing.database_version:
            raise CatalogError(
                "the Materials Project's database changed since this download began",
                where=str(path.parent),
                expected=f"version {listing.database_version}",
                found=f"version {version}",
                do=f"remove {path.parent} to take the new version; downloaded densities stay valid",
            )
        documents = [document | {"database_version": version} for document in client.structures(ids)]
        lines = [json.dumps(document, sort_keys=True) for document in documents]
        save_download(path, gzip.compress("\n".join(lines).encode(), mtime=0))
    try:
        documents = [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
        return {str(document["material_id"]): document for document in documents}
    except (OSError, EOFError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error


class _Densities:
    """Densities on disk, and the journal of requests."""

    def __init__(self, path: Path, client: Client) -> None:
        self._client = client
        self._folder = path / "densities"
        self._journal = path / "densities.jsonl"
        self._known: dict[str, Json] = {}
        self._lock = Lock()
        if self._journal.is_file():
            for line in self._journal.read_text(encoding="utf-8").splitlines():
                try:
                    entry = json.loads(line)
                    self._known[entry["material_id"]] = entry
                except (ValueError, KeyError):  # a line cut off by a crash: requested again
                    continue

    def of(self, ids: list[str], at_once: int) -> dict[str, Json]:
        """Return the journal's entry of each material; download missing densities, `at_once` concurrently."""
        missing = [material_id for material_id in ids if not self._is_kept(material_id)]
        if missing:
            self._client.database_version()  # connects before the threads do, and fails in one place
            with ThreadPoolExecutor(at_once) as pool:
                # Only what is under way is given to the pool: a program that ends waits for all that its pools have.
                under_way: set[Future[None]] = set()
                for material_id in missing:
                    if len(under_way) >= at_once:
                        done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                        for one in done:
                            one.result()
                    under_way.add(pool.submit(self._fetch, material_id))
                for one in under_way:
                    one.result()
        return {material_id: self._known[material_id] | {"folder": self._folder} for material_id in ids}

    def _is_kept(self, material_id: str) -> bool:
        entry = self._known.get(material_id)
        if entry is None:
            return False
        if entry["file"] is None:
            return True
        path: Path = self._folder / entry["file"]
        return path.is_file() and path.stat().st_size == int(str(entry["bytes"]))

    def _fetch(self, material_id: str) -> None:
        entry = self._downloaded(material_id)
        with self._lock:
            append_line(self._journal, json.dumps(entry, sort_keys=True))
            self._known[material_id] = entry

    def _downloaded(self, material_id: str) -> Json:
        found = self._client.density(material_id)
        entry: Json = {
            "material_id": material_id,
            "database_version": self._client.database_version(),
            "downloaded_utc": datetime.now(UTC).isoformat(timespec="seconds"),
            "file": None,
        }
        if found is None:
            return entry
        name = f"{material_id}_{found.task_id}.json.gz"
        content = gzip.compress(found.json, mtime=0)
        save_download(self._folder / name, content)
        return entry | {
            "file": name,
            "task_id": found.task_id,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "cif": found.cif,
        }


def _record(config: MaterialsProjectCatalog, material_id: str, document: Json | None, density: Json | None) -> Record:
    place = Place(
        config.name,
        material_id,
        f"https://materialsproject.org/materials/{material_id}",
        config.licence,
        {"material_id": material_id},
    )
    if document is None:
        return place.refused(Defect(defects.NOT_FOUND, "the Materials Project has no such material"))
    source_metadata = {key: str(value) for key, value in document.items() if key != "cif" and value is not None}
    cif, reference = document["cif"], None
    if density is not None and density["file"] is None:
        source_metadata["density_note"] = "none found"
    elif density is not None:
        # The density's own atoms: pattern, labels and density of a row must be of one and the same structure.
        cif = density["cif"]
        reference = DensityRef(density["folder"] / density["file"], "mp_json")
        source_metadata |= {"density_task_id": density["task_id"], "density_sha256": density["sha256"]}
    return Record(config.name, material_id, cif, place.origin, config.licence, reference, source_metadata)


def _read_json(path: Path) -> Json:
    try:
        content: Json = json.loads(path.read_bytes())
        return {"material_ids": list(content["material_ids"]), "database_version": str(content["database_version"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> CatalogError:
    return CatalogError(
        "a kept download is damaged", where=str(path), found=str(error), do="remove this file; it is fetched again"
    )
