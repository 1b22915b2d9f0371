"""Structures of a database with an OPTIMADE interface, downloaded once.

Files under the catalog's path:

- `query-HASH/about.json`: base URL, filter, time, provider, licence and the number of structures;
- `query-HASH/page-00000.json.gz`: the answers of the server, as they came;
- `query-HASH/pages.jsonl`: one line per complete page: its address, SHA-256, number of entries and the next address.

Complete pages are not downloaded again; with all of them, no network is needed. OPTIMADE: https://specs.optimade.org,
version 1.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin

from catalogs import defects
from catalogs.config import OptimadeCatalog
from catalogs.download_files import append_line, save_download
from catalogs.errors import CatalogError
from catalogs.formats import is_structure
from catalogs.optimade_client import Client, Opener, open_address
from catalogs.reading import Place
from catalogs.record import Defect, Record
from catalogs.selection import check_fields

STRUCTURE_FIELDS = (
    *("lattice_vectors", "cartesian_site_positions", "species_at_sites", "species"),
    *("dimension_types", "structure_features"),
)
_ABOUT_FIELDS = ("provider", "homepage", "licence_page")
MOST_EMPTY_PAGES = 10
"""In succession; a server that gives more of them has no end."""
METADATA_FIELDS = ("chemical_formula_reduced", "last_modified", "immutable_id")

Json = dict[str, Any]


@dataclass(frozen=True)
class _Page:
    """A line of the journal."""

    address: str
    sha256: str
    n_entries: int
    total: int | None
    """Structures that the query finds, as this page says."""
    following: str | None
    """Address of the next page."""


def records(
    config: OptimadeCatalog, opener: Opener = open_address, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Record]:
    """Yield a record per entry in the server's order; download pages that are not on disk yet."""
    known = (*_ABOUT_FIELDS, *METADATA_FIELDS, *config.response_fields)
    check_fields(config, known, "correct the condition, or name the server's field in response_fields")
    client = Client(config, opener, sleep)
    folder = config.path / f"query-{_hash_of(config)}"
    about = _about(config, folder, client)
    journal = _read_journal(folder / "pages.jsonl")
    address: str | None = _first_address(config)
    number = n_entries = n_empty = 0
    seen: set[str] = set()
    while address is not None:
        if address in seen:
            raise _error(config, "the server's pages lead in a circle", address, "report it to the provider")
        seen.add(address)
        page, content = _page(config, folder, number, address, journal, client)
        if journal and page.total != journal[0].total:
            raise CatalogError(
                "the database changed while its pages were downloaded",
                where=address,
                expected=f"{journal[0].total} structures, as the first page says",
                found=f"{page.total}",
                do=f"remove {folder} to download the present version",
            )
        n_empty = 0 if page.n_entries else n_empty + 1
        if n_empty > MOST_EMPTY_PAGES:
            raise _error(config, f"{n_empty} pages in succession are empty", address, "report it to the provider")
        for entry in content["data"]:
            yield _record(config, entry, about)
        number, n_entries, address = number + 1, n_entries + page.n_entries, page.following
    total = journal[0].total if journal else None
    if total is not None and n_entries != total:
        raise CatalogError(
            "the server's pages end too early"
            if n_entries < total
            else "the server's pages hold more than it announces",
            where=f"catalog {config.name!r}",
            expected=f"{total} structures",
            found=f"{n_entries}",
            do=f"remove {folder} and run again, or report it to the provider",
        )


def _hash_of(config: OptimadeCatalog) -> str:
    asked = {"url": config.url, "filter": config.filter, "fields": sorted(_fields(config)), "page": config.page_size}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]


def _fields(config: OptimadeCatalog) -> tuple[str, ...]:
    return (*STRUCTURE_FIELDS, *METADATA_FIELDS, *config.response_fields)


def _first_address(config: OptimadeCatalog) -> str:
    asked = {"response_fields": ",".join(_fields(config)), "page_limit": str(config.page_size)}
    if config.filter:
        asked["filter"] = config.filter
    return f"{config.base()}/structures?{urlencode(asked)}"


def _about(config: OptimadeCatalog, folder: Path, client: Client) -> dict[str, str]:
    """Return provider and licence as the server states them; asked once and kept."""
    path = folder / "about.json"
    if not path.is_file():
        info = client.read(f"{config.base()}/info")
        meta, attributes = _object(info.get("meta")), _object(_object(info.get("data")).get("attributes"))
        provider = _object(meta.get("provider"))
        found = {
            "url": config.url,
            "filter": config.filter,
            "asked_utc": datetime.now(UTC).isoformat(timespec="seconds"),
            "api_version": str(attributes.get("api_version") or meta.get("api_version") or ""),
            "provider": str(provider.get("prefix") or provider.get("name") or ""),
            "provider_name": str(provider.get("name") or ""),
            "homepage": _link(provider.get("homepage")),
            "licence": _licence(attributes),
            "licence_page": _link(attributes.get("license")),
        }
        save_download(path, json.dumps(found, indent=1).encode())
    try:
        kept = {str(key): str(value) for key, value in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, AttributeError) as error:
        raise _damaged(path, str(error)) from error
    if missing := sorted({*_ABOUT_FIELDS, "licence"} - kept.keys()):
        raise _damaged(path, f"no {', '.join(missing)}")
    return kept


def _licence(attributes: Json) -> str:
    """Return the SPDX identifier that the server states for its entries; empty if it states none or several."""
    for name in ("available_licenses_for_entries", "available_licenses"):
        stated = attributes.get(name)
        if isinstance(stated, list) and len(stated) == 1 and isinstance(stated[0], str):
            return stated[0]
    return ""


def _page(
    config: OptimadeCatalog, folder: Path, number: int, address: str, journal: list[_Page], client: Client
) -> tuple[_Page, Json]:
    """Return a page from disk; download it first if needed."""
    path = folder / f"page-{number:05d}.json.gz"
    if number < len(journal) and path.is_file():
        page = journal[number]
        try:
            raw = gzip.decompress(path.read_bytes())
        except (OSError, EOFError) as error:
            raise _damaged(path, str(error)) from error
        if hashlib.sha256(raw).hexdigest() != page.sha256 or page.address != address:
            raise _damaged(path, "another content than was downloaded")
        return page, json.loads(raw)
    content, raw = client.read_page(address)
    data, links, meta = content["data"], _object(content.get("links")), _object(content.get("meta"))
    following, more = _link(links.get("next")), meta.get("more_data_available")
    if more is True and not following:
        raise _error(config, "the server has more data but names no next page", address, "report it to the provider")
    if more is False:  # some servers name a next page after the last one
        following = ""
    total = meta.get("data_returned")
    page = _Page(
        address,
        hashlib.sha256(raw).hexdigest(),
        len(data),
        total if isinstance(total, int) else None,
        urljoin(address, following) if following else None,
    )
    save_download(path, gzip.compress(raw, mtime=0))
    append_line(folder / "pages.jsonl", json.dumps({"page": number, **vars(page)}))
    del journal[number:]
    journal.append(page)
    return page, content


def _read_journal(path: Path) -> list[_Page]:
    """Return the complete pages; a line cut off by a crash ends the list, and its page is fetched again."""
    found: list[_Page] = []
    if not path.is_file():
        return found
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
            number = entry.pop("page")
            page = _Page(**entry)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        del found[number:]
        if number == len(found):
            found.append(page)
    return found


def _record(config: OptimadeCatalog, entry: Any, about: dict[str, str]) -> Record:
    content = _object(entry)
    attributes = _object(content.get("attributes"))
    name = str(content.get("id") or "")
    beside = {name: about[name] for name in _ABOUT_FIELDS}
    for key in (*METADATA_FIELDS, *config.response_fields):
        if (value := attributes.get(key)) is not None:
            beside[key] = value if isinstance(value, str) else json.dumps(value)
    place = Place(
        config.name,
        name or "entry without id",
        f"{config.base()}/structures/{name}",
        config.licence if config.licence != "unknown" else about["licence"] or "unknown",
        {key: value for key, value in beside.items() if value},
        format="json",
    )
    structure = {key: attributes[key] for key in STRUCTURE_FIELDS if attributes.get(key) is not None}
    if not name or not is_structure(structure):
        return place.refused(Defect(defects.NO_STRUCTURE, "the entry has no id, cell vectors, positions or species"))
    return next(place.records_of_text(json.dumps(structure)))


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _link(value: Any) -> str:
    """Return the address of a JSON:API link, which is text or an object with `href`."""
    found = value.get("href") if isinstance(value, dict) else value
    return found if isinstance(found, str) else ""


def _error(config: OptimadeCatalog, what: str, found: str, do: str) -> CatalogError:
    return CatalogError(what, where=f"catalog {config.name!r}", found=found, do=do)


def _damaged(path: Path, found: str) -> CatalogError:
    return CatalogError(
        "a kept download is damaged",
        where=str(path),
        found=found,
        do=f"remove {path}; it is fetched again",
    )
