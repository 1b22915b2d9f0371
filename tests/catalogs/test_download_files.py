"""A kept file is there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from catalogs.download_files import append_line, save_download
from catalogs.errors import CatalogError


def test_a_file_appears_whole_with_the_rights_of_any_new_file(tmp_path: Path) -> None:
    save_download(tmp_path / "a/b/c.bin", b"123")
    (tmp_path / "plain").touch()
    assert (tmp_path / "a/b/c.bin").read_bytes() == b"123"
    assert (tmp_path / "a/b/c.bin").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert len(list((tmp_path / "a/b").iterdir())) == 1


def test_a_failure_leaves_the_old_state_and_no_rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_download(tmp_path / "a", b"old")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CatalogError, match="No space left on device; free disk space"):
        save_download(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(CatalogError, match="free disk space"):
        append_line(tmp_path / "journal", "x")


def test_a_line_after_half_a_line_stands_on_its_own(tmp_path: Path) -> None:
    append_line(tmp_path / "j", "one")
    with (tmp_path / "j").open("a") as stream:
        stream.write("tw")
    append_line(tmp_path / "j", "three")
    assert (tmp_path / "j").read_text() == "one\ntw\nthree\n"
