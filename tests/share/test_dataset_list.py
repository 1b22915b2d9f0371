"""The list of datasets a group shares."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from datagen.errors import ConfigError, PlanError
from datagen.share.dataset_list import ENVIRONMENT, add, dataset_called, find, read_list, remove
from datagen.share.facts import Naming
from datagen.share.finished import open_finished
from datagen.share.licences import Terms
from datagen.share.publish import publish
from datagen.store.lock import locked
from tests.share.test_cli_share import said
from trainer.data.store import open_dataset
from trainer.errors import TrainerError


def test_what_is_added_is_found_with_its_facts_and_what_is_removed_is_not(ours: Path, tmp_path: Path) -> None:
    where = str(tmp_path / "datasets.toml")
    publish(ours, tmp_path / "out.zarr", Naming("Ours", "2.0.1"), Terms())
    add(where, "ours-2", str(tmp_path / "out.zarr"))
    add(where, "ours", str(ours))
    assert list(read_list(where)) == ["ours", "ours-2"]
    entry = find(where, "ours-2")
    assert (entry.version, entry.structures, entry.patterns, entry.licences) == ("2.0.1", 6, 18, ["CC-BY-4.0"])
    assert entry.location == str(tmp_path / "out.zarr")
    assert find(where, "ours").checksum == open_finished(ours).content != entry.checksum
    remove(where, "ours")
    assert list(read_list(where)) == ["ours-2"]
    assert ours.exists()


def test_a_zip_is_entered_with_its_own_facts_and_found_by_name(
    ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(ours, tmp_path / "ours.zarr.zip", Naming("Ours", "1.2.0"), Terms())
    where = str(tmp_path / "datasets.toml")
    entry = add(where, "packed", str(tmp_path / "ours.zarr.zip"))
    assert (entry.version, entry.structures) == ("1.2.0", open_finished(ours).layout.n_structures)
    monkeypatch.setenv(ENVIRONMENT, where)
    assert str(dataset_called("packed")) == entry.location
    assert str(open_dataset("packed").path) == entry.location
    with pytest.raises(ConfigError, match="did you mean packed"):
        dataset_called("paked")
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
            read_list(f"{url}/none.toml")
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
    with pytest.raises(ConfigError, match="no dataset is called zzz"):
        remove(str(where), "zzz")
    with pytest.raises(ConfigError, match="a name of letters"):
        add(str(where), "my oxides", str(ours))
    with pytest.raises(ConfigError, match="folder does not exist"):
        add(str(tmp_path / "none" / "datasets.toml"), "oxides", str(ours))
    with locked(tmp_path / ".datasets.toml.lock"), pytest.raises(PlanError):
        add(str(where), "more", str(ours))
    assert where.read_bytes() == before
    where.write_text("[dataset.x]\nlocation = 3\n")
    with pytest.raises(ConfigError, match="as datagen catalog writes it"):
        read_list(str(where))


def test_a_list_keeps_no_password(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds a name or password") as refused:
        add(str(tmp_path / "list.toml"), "x", "https://me:word@example.org/x.zarr")
    assert "word@" not in str(refused.value)
    assert not (tmp_path / "list.toml").exists()


def test_the_commands_do_what_they_say(ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PXRD_DATASETS", str(tmp_path / "group.toml"))
    assert "6 structures, 18 patterns" in said("catalog", "add", "ours", ours)
    assert "CC-BY-4.0" in said("catalog", "list")
    assert "version: unpublished" in said("catalog", "show", "ours")
    assert said("catalog", "show", "ours", "--location").strip() == str(ours.absolute())
    assert "no longer listed" in said("catalog", "remove", "ours")
    assert (tmp_path / "group.toml").exists()
