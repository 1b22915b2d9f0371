"""The server of `datagen browse`, its command, and the built page as a file."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from datagen.commands.app import app
from datagen.errors import ConfigError, StoreError
from datagen.inspect.browse.page import page_bytes
from datagen.inspect.browse.serve import BrowseServer
from datagen.share.facts import Naming
from datagen.share.licences import Terms
from datagen.share.publish import publish
from datagen.store.location import Where, locate
from tests.datagen import datasets
from tests.datagen.small_runs import Made
from tests.share.chunks import files_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = page_bytes().decode()
Ask = Callable[..., tuple[int, bytes]]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browse")
    datasets.make(folder / "d.zarr", 6)
    (folder / "d.zarr" / ".run").mkdir()
    for name in (".run/secret", "curation.parquet", "report.html"):
        (folder / "d.zarr" / name).write_text("x")
    (folder / "outside").write_text("x")
    (folder / "d.zarr" / "formula" / "link").symlink_to(folder / "outside")
    return folder / "d.zarr"


@contextmanager
def served(dataset: Where, beside: Where | None = None) -> Iterator[tuple[BrowseServer, Ask]]:
    with BrowseServer(dataset, beside) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=5)
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            try:
                return answer.status, answer.read()
            finally:
                connection.close()

        try:
            yield server, ask
        finally:
            server.shutdown()
            thread.join()


def test_serves_the_page_and_ranges_of_the_dataset(dataset: Path) -> None:
    whole = (dataset / "zarr.json").read_bytes()
    with served(dataset) as (server, ask):
        at = f"/{server.secret}/0/d.zarr/"
        assert server.url.endswith(at)
        assert ask(at) == ask(f"{at}index.html") == (200, page_bytes())
        assert ask(f"{at}zarr.json") == (200, whole)
        assert ask(f"{at}zarr.json", "HEAD") == (200, b"")
        assert ask(f"{at}zarr.json", Range="bytes=2-4") == (206, whole[2:5])
        assert ask(f"{at}zarr.json", Range="bytes=-3") == (206, whole[-3:])
        assert ask(f"{at}zarr.json", Range=f"bytes=5-{10**12}") == (206, whole[5:])
        assert ask(f"{at}zarr.json", Range=f"bytes=-{10**12}") == (206, whole)
        assert ask(f"{at}zarr.json", Range="bytes=1-2,4-5") == (200, whole)
        for nothing in ("bytes=999999999-", "bytes=-0", "bytes=9-3"):
            assert ask(f"{at}zarr.json", Range=nothing) == (416, b"")


def test_serves_nothing_else_and_nothing_without_the_secret(dataset: Path) -> None:
    with served(dataset) as (server, ask):
        at = f"/{server.secret}/0/d.zarr/"
        for name in (
            ".run/secret", "curation.parquet", "report.html", "formula/link", "formula", "formula/../curation.parquet",
            "../outside", "%2e%2e/outside", "formula/../../outside", "formula%00/x", "ledger/../.run/secret",
        ):  # fmt: skip
            assert ask(at + name) == (404, b""), name
        for path in (
            "/",
            "/zarr.json",
            "/0/d.zarr/",
            "/x/0/d.zarr/zarr.json",
            f"/{server.secret}/",
            f"/{server.secret}/1/",
        ):
            assert ask(path) == (404, b""), path
        assert ask("/%C3%A9/0/d.zarr/") == (404, b"")


def test_serves_a_second_dataset_and_a_zip(dataset: Path, made: Made, tmp_path: Path) -> None:
    publish(made.dataset, tmp_path / "z.zarr.zip", Naming("Ours"), Terms())
    with served(locate(str(tmp_path / "z.zarr.zip")), dataset) as (server, ask):
        assert server.url.endswith("/0/z.zarr.zip/?beside=../../1/d.zarr/")
        assert ask(f"/{server.secret}/1/d.zarr/zarr.json")[1] == (dataset / "zarr.json").read_bytes()
        whole = ask(f"/{server.secret}/0/z.zarr.zip/ledger/frame.json")[1]
        assert json.loads(whole)["files"]
        assert ask(f"/{server.secret}/0/z.zarr.zip/ledger/frame.json", Range="bytes=7-9") == (206, whole[7:10])


def test_mistakes_are_one_sentence(tmp_path: Path, dataset: Path) -> None:
    with pytest.raises(StoreError, match=r"no dataset here; expected .*zarr\.json"):
        BrowseServer(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StoreError, match=rf"port {port} of 127\.0\.0\.1 cannot be used .*; choose another"):
            BrowseServer(dataset, port=port)


def test_the_command_says_where_until_it_is_interrupted(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def interrupted(_: BrowseServer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(BrowseServer, "serve_forever", interrupted)
    monkeypatch.setattr("webbrowser.open", opened.append)
    result = CliRunner().invoke(app, ["browse", str(dataset), "--beside", str(dataset), "--open"])
    assert result.exit_code == 0, result.output
    said, how, ended = result.output.splitlines()
    assert said.startswith(f"{dataset}: open http://127.0.0.1:")
    assert opened == [said.split(" open ")[1]]
    assert "Ctrl-C" in how
    assert ended == "ended"


def test_a_publication_has_the_page_if_wanted(made: Made, tmp_path: Path) -> None:
    publish(made.dataset, tmp_path / "with", Naming("Ours"), Terms(), page=True)
    publish(made.dataset, tmp_path / "without", Naming("Ours"), Terms())
    with_page, without = files_of(tmp_path / "with"), files_of(tmp_path / "without")
    assert set(with_page) - set(without) == {"index.html"}
    assert {name for name in without if with_page[name] != without[name]} == {"SHA256SUMS"}
    assert with_page["index.html"] == page_bytes()  # it holds no data
    assert hashlib.sha256(page_bytes()).hexdigest() + "  index.html\n" in with_page["SHA256SUMS"].decode()
    publish(made.dataset, tmp_path / "ours-1.0.0.zarr.zip", Naming("Ours"), Terms(), page=True)
    assert (tmp_path / "ours-1.0.0.html").read_bytes() == page_bytes()
    (tmp_path / "other.html").write_text("of the user")
    with pytest.raises(StoreError, match=r"other\.html: exists already"):
        publish(made.dataset, tmp_path / "other.zarr.zip", Naming("Ours"), Terms(), page=True)
    with pytest.raises(ConfigError, match="--page: expected a profile with arrays, found labels"):
        publish(made.dataset, tmp_path / "labels", Naming("Ours"), Terms("labels"), page=True)


def test_the_built_page_is_that_of_its_sources() -> None:
    """`make page` writes the hash of its sources into the page; the suite needs neither node nor npm."""
    folder = ROOT / "page"
    names = [path.name for path in folder.iterdir() if path.suffix in (".mjs", ".html", ".json", ".css")]
    digest = hashlib.sha256()
    for name in sorted([*names, *(f"src/{path.name}" for path in (folder / "src").iterdir())]):
        digest.update(f"{name}\0".encode() + (folder / name).read_bytes() + b"\0")
    (found,) = re.findall(r'<meta name="sources" content="sha256-([0-9a-f]{64})">', PAGE)
    assert found == digest.hexdigest(), "page/ was changed: run make page and commit datagen/inspect/browse/index.html"


def test_the_policy_of_the_page_admits_its_own_script_and_style_only() -> None:
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', PAGE)
    rules = {name: rest for name, _, rest in (rule.partition(" ") for rule in policy.split("; "))}
    (script,), (style,) = (
        re.findall(r"<script>(.*?)</script>", PAGE, re.DOTALL),
        re.findall(r"<style>(.*?)</style>", PAGE, re.DOTALL),
    )

    def admitted(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "'self'"
    assert (rules["script-src"], rules["style-src"]) == (admitted(script), admitted(style))
    assert rules["require-trusted-types-for"] == "'script'"
    assert not re.search(r"""\b(src|href)=["']?(https?:)?//""", PAGE)
    assert "Copyright" in PAGE  # the licences of its libraries


def test_packages_of_the_page_come_from_wherever_npm_is_configured_to_look() -> None:
    locked = json.loads((ROOT / "page" / "package-lock.json").read_text())
    assert all("resolved" not in package for package in locked["packages"].values())
    assert all("integrity" in package for name, package in locked["packages"].items() if name)
