"""The OPTIMADE catalog against a server that pages, limits its rate, breaks off, and changes."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from catalogs.config import OptimadeCatalog
from catalogs.errors import CatalogError
from catalogs.open import open_catalog
from catalogs.optimade import records
from catalogs.record import Record
from curation.curate import curate_record
from curation.settings import CurationSettings

SALT = {
    "lattice_vectors": [[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]],
    "cartesian_site_positions": [[0, 0, 0], [2.82, 2.82, 2.82]],
    "species_at_sites": ["Na", "Cl"],
    "species": [{"name": n, "chemical_symbols": [n], "concentration": [1.0]} for n in ("Na", "Cl")],
    "dimension_types": [1, 1, 1],
    "structure_features": [],
    "chemical_formula_reduced": "ClNa",
    "_test_gap": 8.5,
}


@dataclass
class Server:
    """A database of salts; `fault` may answer a request otherwise: status, headers, body, or None."""

    n: int = 5
    total: int | None = None
    fault: Callable[[str, int], tuple[int, dict[str, str], bytes] | None] = lambda path, number: None
    info: dict[str, Any] = field(default_factory=lambda: {"available_licenses": ["CC-BY-4.0"], "api_version": "1.2.0"})
    asked: list[str] = field(default_factory=list)
    address: str = ""

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Return the answer to a request."""
        self.asked.append(path)
        if (found := self.fault(path, len(self.asked))) is not None:
            return found
        url = urlsplit(path)
        asked = {key: values[0] for key, values in parse_qs(url.query).items()}
        if url.path == "/v1/info":
            meta = {"provider": {"name": "Salts", "prefix": "salts", "homepage": {"href": "https://salts.example"}}}
            return 200, {}, json.dumps({"data": {"attributes": self.info}, "meta": meta}).encode()
        if asked.get("filter") == "nonsense":
            return 400, {}, json.dumps({"errors": [{"detail": "cannot parse the filter"}]}).encode()
        size, at = int(asked["page_limit"]), int(asked.get("page_offset", "0"))
        rows = [
            {"id": f"salts/{i}", "type": "structures", "attributes": SALT} for i in range(at, min(at + size, self.n))
        ]
        following = f"/v1/structures?page_limit={size}&page_offset={at + size}" if at + size < self.n else None
        meta = {"data_returned": self.n if self.total is None else self.total}
        return 200, {}, json.dumps({"data": rows, "links": {"next": following}, "meta": meta}).encode()


@contextmanager
def served(server: Server) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = server.answer(self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    server.address = f"http://127.0.0.1:{http.server_port}"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with served(Server()) as found:
        yield found


def catalog(server: Server, folder: Path, **options: Any) -> OptimadeCatalog:
    given = {"path": folder, "url": server.address, "page_size": 2, "pause_s": 0, **options}
    return OptimadeCatalog.model_validate(given)


def read(config: OptimadeCatalog, waits: list[float] | None = None) -> list[Record]:
    return list(records(config, sleep=(waits if waits is not None else []).append))


def test_every_page_is_read_once_and_kept(server: Server, tmp_path: Path) -> None:
    config = catalog(server, tmp_path, response_fields=("_test_gap",))
    found = read(config)
    assert [record.source_id for record in found] == [f"salts/{i}" for i in range(5)]
    assert {record.licence for record in found} == {"CC-BY-4.0"}
    assert found[0].source_metadata == {
        "provider": "salts",
        "homepage": "https://salts.example",
        "chemical_formula_reduced": "ClNa",
        "_test_gap": "8.5",
    }
    verdict = curate_record(found[4], CurationSettings())
    assert (verdict.formula, verdict.space_group) == ("NaCl", 225)
    assert len(server.asked) == 4
    assert read(config) == found, "without a request"
    assert len(server.asked) == 4


def test_a_part_downloads_a_part(server: Server, tmp_path: Path) -> None:
    config = catalog(server, tmp_path, limit=2, licence="CC0-1.0")
    assert [record.licence for record in open_catalog(config)] == ["CC0-1.0"] * 2
    assert len(server.asked) == 2


def test_an_interrupted_download_is_resumed(server: Server, tmp_path: Path) -> None:
    server.fault = lambda path, number: (500, {}, b"") if "page_offset=4" in path else None
    config = catalog(server, tmp_path, retries=1)
    with pytest.raises(CatalogError, match=r"no usable answer after 2 attempts.*500"):
        read(config)
    server.fault, server.asked = (lambda path, number: None), []
    assert len(read(config)) == 5
    assert [path for path in server.asked if "page_offset=4" not in path] == []
    journal = next(tmp_path.glob("query-*/pages.jsonl"))
    journal.write_text(journal.read_text()[:-30])  # a crash while the last line was written
    server.asked = []
    assert len(read(config)) == 5
    assert len(server.asked) == 1


def test_a_server_that_asks_for_patience_is_given_it(server: Server, tmp_path: Path) -> None:
    faults: dict[int, tuple[int, dict[str, str], bytes]] = {
        2: (429, {"Retry-After": "17"}, b""),
        3: (503, {}, b""),
        4: (200, {}, b'{"data": [{"id"'),
        5: (200, {"Content-Length": "1000000"}, b"{}"),
    }
    server.fault = lambda path, number: faults.get(number)
    waits: list[float] = []
    assert len(read(catalog(server, tmp_path), waits)) == 5
    assert waits[:5] == [0, 17, 2, 4, 8]
    server.fault = lambda path, number: (429, {"Retry-After": "99999"}, b"")
    with pytest.raises(CatalogError, match=r"asks to wait too long.*99999"):
        read(catalog(server, tmp_path / "other"))


def test_what_the_server_says_of_a_mistake_is_shown(server: Server, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"refuses the request.*400 Bad Request: cannot parse the filter"):
        read(catalog(server, tmp_path, filter="nonsense"))
    assert len(server.asked) == 2, "a mistake is not repeated"


def test_a_database_that_changes_meanwhile_is_refused(server: Server, tmp_path: Path) -> None:
    def grow(path: str, number: int) -> None:
        server.total = 6 if number > 2 else 5

    server.fault = grow
    with pytest.raises(CatalogError, match=r"changed while its pages were downloaded.*5 structures.*6"):
        read(catalog(server, tmp_path))


def test_pages_that_end_too_early_or_turn_in_a_circle_are_refused(server: Server, tmp_path: Path) -> None:
    server.total = 9
    with pytest.raises(CatalogError, match="end too early: expected 9 structures, found 5"):
        read(catalog(server, tmp_path / "early"))
    first = json.dumps({"data": [], "links": {"next": {"href": "/v1/structures?page_offset=0"}}, "meta": {}}).encode()
    server.fault = lambda path, number: (200, {}, first) if "structures" in path else None
    with pytest.raises(CatalogError, match="lead in a circle"):
        read(catalog(server, tmp_path / "circle"))
    server.fault = lambda path, number: (200, {}, b'{"data": {}}') if "structures" in path else None
    with pytest.raises(CatalogError, match="no page of structures"):
        read(catalog(server, tmp_path / "other"))


def test_a_damaged_page_on_disk_is_a_sentence(server: Server, tmp_path: Path) -> None:
    config = catalog(server, tmp_path)
    read(config)
    page = next(tmp_path.glob("query-*/page-00001.json.gz"))
    for damage in (b"x", gzip.compress(b"{}")):
        page.write_bytes(damage)
        with pytest.raises(CatalogError, match=r"a kept download is damaged.*remove"):
            read(config)
    page.unlink()
    assert len(read(config)) == 5


def test_entries_without_a_structure_are_rows_with_a_reason(server: Server, tmp_path: Path) -> None:
    entries = [
        {"id": "a", "attributes": SALT},
        {"id": "b", "attributes": {**SALT, "cartesian_site_positions": None}},
        {"id": "c", "attributes": {**SALT, "structure_features": ["implicit_atoms"]}},
        7,
    ]
    page = json.dumps({"data": entries, "links": {"next": None}, "meta": {"data_returned": 4}}).encode()
    server.fault = lambda path, number: (200, {}, page) if "structures" in path else None
    found = read(catalog(server, tmp_path))
    reasons = [curate_record(record, CurationSettings()).reason for record in found]
    assert [(r.source_id, reason) for r, reason in zip(found, reasons, strict=True)] == [
        *(("a", ""), ("b", "no_structure"), ("c", "incomplete"), ("entry without id", "no_structure"))
    ]


def page(data: list[Any], following: str | None, **meta: Any) -> tuple[int, dict[str, str], bytes]:
    return 200, {}, json.dumps({"data": data, "links": {"next": following}, "meta": meta}).encode()


def test_what_the_server_says_of_more_data_is_heeded(server: Server, tmp_path: Path) -> None:
    entry = {"id": "a", "attributes": SALT}
    beyond = page([entry], "/v1/structures?page_offset=2", more_data_available=False)
    server.fault = lambda path, number: beyond if "structures" in path else None
    assert [record.source_id for record in read(catalog(server, tmp_path / "last"))] == ["a"]
    lost = page([entry], None, more_data_available=True)
    server.fault = lambda path, number: lost if "structures" in path else None
    with pytest.raises(CatalogError, match="has more data but names no next page"):
        read(catalog(server, tmp_path / "lost"))
    two = page([entry, entry], None, data_returned=1)
    server.fault = lambda path, number: two if "structures" in path else None
    with pytest.raises(CatalogError, match="hold more than it announces: expected 1 structures, found 2"):
        read(catalog(server, tmp_path / "two"))


def test_a_server_without_end_is_left(server: Server, tmp_path: Path) -> None:
    server.fault = lambda path, number: (
        page([], f"/v1/structures?page_offset={number}") if "structures" in path else None
    )
    with pytest.raises(CatalogError, match="11 pages in succession are empty"):
        read(catalog(server, tmp_path))
    assert len(server.asked) == 12


def test_what_is_kept_of_the_provider_may_be_damaged(server: Server, tmp_path: Path) -> None:
    config = catalog(server, tmp_path)
    read(config)
    about = next(tmp_path.glob("query-*/about.json"))
    for damage in ("{}", "[]", "{"):
        about.write_text(damage)
        with pytest.raises(CatalogError, match=r"a kept download is damaged.*remove"):
            read(config)
    about.unlink()
    assert len(read(config)) == 5


def test_a_condition_on_fields_that_are_not_asked_for_is_refused_before_a_request(
    server: Server, tmp_path: Path
) -> None:
    with pytest.raises(CatalogError, match=r"no record has the field '_test_gap'.*in response_fields"):
        read(catalog(server, tmp_path, where="_test_gap > 8"))
    assert server.asked == []
    config = catalog(server, tmp_path, where="_test_gap > 8", response_fields=("_test_gap",))
    assert len(list(open_catalog(config))) == 5


@pytest.mark.parametrize("url", ["http://example.org", "ftp://example.org", "https://example.org?x=1", "example.org"])
def test_an_address_that_is_not_read_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValueError, match="expected an https:// URL"):
        OptimadeCatalog.model_validate({"path": tmp_path, "url": url})


def test_the_version_is_part_of_the_address(tmp_path: Path) -> None:
    for url, base in (("https://a.example/optimade/", "/optimade/v1"), ("https://a.example/v1", "/v1")):
        assert OptimadeCatalog.model_validate({"path": tmp_path, "url": url}).base() == f"https://a.example{base}"
