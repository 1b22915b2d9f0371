"""The list of datasets a group shares."""

from __future__ import annotations

import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from datagen.errors import ConfigError, PlanError
from datagen.share.facts import Naming
from datagen.share.finished import open_finished
from datagen.share.licences import Terms
from datagen.share.publish import publish
from datagen.share.registry import ENVIRONMENT, add, find, read_registry, remove, resolve_dataset
from datagen.store.lock import locked
from tests.share.servers import hostile_server
from tests.share.test_cli_share import said
from trainer.data.store import open_dataset
from trainer.errors import TrainerError


def test_what_is_added_is_found_with_its_facts_and_what_is_removed_is_not(ours: Path, tmp_path: Path) -> None:
    where = str(tmp_path / "datasets.toml")
    publish(ours, tmp_path / "out.zarr", Naming("Ours", "2.0.1"), Terms())
    add(where, "ours-2", str(tmp_path / "out.zarr"))
    add(where, "ours", str(ours))
    assert list(read_registry(where)) == ["ours", "ours-2"]
    entry = find(where, "ours-2")
    assert (entry.version, entry.structures, entry.patterns, entry.licences) == ("2.0.1", 6, 18, ["CC-BY-4.0"])
    assert entry.location == str(tmp_path / "out.zarr")
    assert find(where, "ours").checksum == open_finished(ours).content != entry.checksum
    remove(where, "ours")
    assert list(read_registry(where)) == ["ours-2"]
    assert ours.exists()


def test_a_zip_is_entered_with_its_own_facts_and_found_by_name(
    ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(ours, tmp_path / "ours.zarr.zip", Naming("Ours", "1.2.0"), Terms())
    where = str(tmp_path / "datasets.toml")
    entry = add(where, "packed", str(tmp_path / "ours.zarr.zip"))
    assert (entry.version, entry.structures) == ("1.2.0", open_finished(ours).layout.n_structures)
    monkeypatch.setenv(ENVIRONMENT, where)
    assert str(resolve_dataset("packed")) == entry.location
    assert str(open_dataset("packed").path) == entry.location
    with pytest.raises(ConfigError, match="did you mean packed"):
        resolve_dataset("paked")
    with pytest.raises(TrainerError, match="did you mean packed"):
        open_dataset("paked")


def test_a_list_is_read_from_an_address_and_not_written_there(ours: Path, tmp_path: Path) -> None:
    add(str(tmp_path / "datasets.toml"), "ours", str(ours))
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        assert find(f"{url}/datasets.toml", "ours").structures == 6
        with pytest.raises(ConfigError, match="cannot be read"):
            read_registry(f"{url}/none.toml")
        with pytest.raises(ConfigError, match="not written"):
            remove(f"{url}/datasets.toml", "ours")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_slips_are_refused_in_words_and_change_nothing(ours: Path, tmp_path: Path) -> None:
    where = tmp_path / "datasets.toml"
    add(str(where), "oxides", str(ours))
    before = where.read_bytes()
    with pytest.raises(ConfigError, match="the name oxides is taken"):
        add(str(where), "oxides", str(ours))
    with pytest.raises(ConfigError, match="did you mean oxides"):
        find(str(where), "oxide")
    with pytest.raises(ConfigError, match="no dataset is registered as zzz"):
        remove(str(where), "zzz")
    with pytest.raises(ConfigError, match="a name of letters"):
        add(str(where), "my oxides", str(ours))
    with pytest.raises(ConfigError, match="folder does not exist"):
        add(str(tmp_path / "none" / "datasets.toml"), "oxides", str(ours))
    with locked(tmp_path / ".datasets.toml.lock"), pytest.raises(PlanError):
        add(str(where), "more", str(ours))
    assert where.read_bytes() == before
    where.write_text("[dataset.x]\nlocation = 3\n")
    with pytest.raises(ConfigError, match="as datagen datasets writes it"):
        read_registry(str(where))


def test_a_list_keeps_no_password(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds a name or password") as refused:
        add(str(tmp_path / "list.toml"), "x", "https://me:word@example.org/x.zarr")
    assert "word@" not in str(refused.value)
    assert not (tmp_path / "list.toml").exists()


def test_the_commands_do_what_they_say(ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PXRD_DATASETS", str(tmp_path / "group.toml"))
    assert "6 structures, 18 patterns" in said("datasets", "add", "ours", ours)
    assert "CC-BY-4.0" in said("datasets", "list")
    assert "version: unpublished" in said("datasets", "show", "ours")
    assert said("datasets", "show", "ours", "--location").strip() == str(ours.absolute())
    assert "no longer registered" in said("datasets", "remove", "ours")
    assert (tmp_path / "group.toml").exists()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("endless", "expected at most 10,000,000 bytes"),
        ("declared", "expected at most 10,000,000 bytes, found 10,000,000,000,000"),
        ("drip", "within 1 s"),
        ("headers", "within 1 s"),
        ("cut", "found 10 of 1,000 bytes"),
    ],
)
def test_a_registry_that_never_ends_is_refused(path: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datagen.share.download.TIME_LIMIT_s", 1.0 if "1 s" in words else 30.0)
    with hostile_server() as url:
        began = time.monotonic()
        with pytest.raises(ConfigError, match=words) as refused:
            read_registry(f"{url}/{path}/datasets.toml")
        assert time.monotonic() - began < 20
    assert "\n" not in str(refused.value)


ENTRY = """location = "x.zarr"
version = "1"
checksum = ""
bytes = 1
structures = 1
patterns = 1
densities = 0
licences = ["CC0-1.0"]
"""


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "dataset = 3",
        "dataset = [1]",
        "[dataset]\nx = 1",
        "[dataset.x]",
        f"[dataset.x]\n{ENTRY.replace('structures = 1', 'structures = -1')}",
        f"[dataset.x]\n{ENTRY.replace('bytes = 1', 'bytes = 1e400')}",
        f"[dataset.x]\n{ENTRY}more = 1",
        f'[dataset."../x"]\n{ENTRY}',
        f'[dataset."\\u001b[2J"]\n{ENTRY}',
        "x = " + "[" * 100_000,
        "\udcff",
    ],
    ids=lambda text: ascii(text[:24]),
)
def test_a_malformed_registry_is_refused_in_one_sentence(text: str, tmp_path: Path) -> None:
    where = tmp_path / "datasets.toml"
    where.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match=r"datasets\.toml: expected a registry") as refused:
        read_registry(str(where))
    assert "\x1b" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_registry_that_is_no_file_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="found something else"):
        read_registry("/dev/zero")
    (tmp_path / "large.toml").write_bytes(b"#" * 10_000_001)
    with pytest.raises(ConfigError, match="found more"):
        read_registry(str(tmp_path / "large.toml"))


def test_foreign_text_of_a_registry_acts_on_no_terminal(tmp_path: Path) -> None:
    where = tmp_path / "datasets.toml"
    quoted = ('"1"', '"CC0-1.0"')
    foreign = '"\\u001b[2J[/red]\\u202egnp\\nours: 6 structures"'
    entry = ENTRY
    for text in quoted:
        entry = entry.replace(text, foreign)
    where.write_text(f"[dataset.x]\n{entry}")
    for command in (("list",), ("show", "x")):
        shown = said("datasets", *command, "--registry", where)
        assert "[/red]" in shown
        assert "\\x1b[2J" in shown
        assert not {"\x1b", "\u202e"} & set(shown)
        assert not [line for line in shown.splitlines() if line.startswith("ours")]
