"""Names tell what a file is, and in which order files come."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogs.names import archive_kind, escapes, format_of, is_hidden, natural_key, stem


@pytest.mark.parametrize("name", ["a.cif", "A.CIF", "b.mcif", "c.cif.gz", "d e.Cif", "é.cif"])
def test_cif_files_are_recognised(name: str) -> None:
    assert format_of(name) == "cif"


@pytest.mark.parametrize("name", ["README", "a.txt", "acif", "a.cif.bak", "CHGCAR", "a.csv", "disposcar", "poscars.md"])
def test_other_files_are_not(name: str) -> None:
    assert format_of(name) is None


def test_numbers_in_names_count_as_numbers() -> None:
    names = ["10.cif", "2.cif", "1.cif", "a10b2.cif", "a2b10.cif", "B.cif", "a/2.cif", "a/10.cif", "2/a.cif"]
    expected = ["1.cif", "2.cif", "2/a.cif", "10.cif", "a/2.cif", "a/10.cif", "a2b10.cif", "a10b2.cif", "B.cif"]
    assert sorted(names, key=natural_key) == sorted(expected, key=natural_key)
    assert sorted(["10.cif", "9.cif", "1.cif"], key=natural_key) == ["1.cif", "9.cif", "10.cif"]


@given(st.lists(st.text(max_size=12), max_size=12, unique=True), st.randoms())
def test_the_order_does_not_depend_on_the_order_found(names: list[str], chance: random.Random) -> None:
    expected = sorted(names, key=natural_key)
    chance.shuffle(names)
    assert sorted(names, key=natural_key) == expected


@pytest.mark.parametrize(
    "name", ["../x.cif", "a/../../x.cif", "/etc/x.cif", "\\x.cif", "..\\x.cif", "C:\\x.cif", "c:/x.cif", ".."]
)
def test_names_that_lead_out_are_seen(name: str) -> None:
    assert escapes(name)


@pytest.mark.parametrize("name", ["a/b.cif", "a..b.cif", "...cif", "./a.cif", "a/.b.cif"])
def test_harmless_names_are_not(name: str) -> None:
    assert not escapes(name)


@pytest.mark.parametrize(
    ("path", "hidden"),
    [("__MACOSX/a.cif", True), (".git/a.cif", True), ("a/._b.cif", True), ("./a.cif", False), ("a.b/c.cif", False)],
)
def test_dot_files_and_shadow_folders_are_hidden(path: str, hidden: bool) -> None:
    assert is_hidden(path) == hidden


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/b.cif", "b"),
        ("b.cif.gz", "b"),
        ("x.tar.gz", "x"),
        ("mp_20.csv", "mp_20"),
        ("c.CIF", "c"),
        ("v1.2.cif", "v1.2"),
        (".cif", ".cif"),
        ("folder", "folder"),
    ],
)
def test_stem_drops_folder_and_endings(name: str, expected: str) -> None:
    assert stem(name) == expected


@pytest.mark.parametrize(
    ("name", "kind"),
    [("x.TXZ", "tar"), ("x.tbz2", "tar"), ("x.tar.gz", "tar"), ("x.zip", "zip"), ("x.rar", "other"), ("x.cif", None)],
)
def test_archives_are_told_by_their_names(name: str, kind: str | None) -> None:
    assert archive_kind(name) == kind
