"""Configuration: what is right is understood, what is wrong is said all at once with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from datagen.config.config import DatagenConfig, config_for_path, load_config
from datagen.errors import ConfigError

KINDS = "folder, zip, tar, table, icsd, cod, materials_project, rruff, examples, generated, optimade"


def write(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(folder: Path, text: str) -> list[str]:
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    head, *lines = str(caught.value).splitlines()
    assert head.startswith(str(path))
    return [line.strip() for line in lines]


def test_a_configuration_is_read_and_relative_paths_start_at_its_folder(tmp_path: Path) -> None:
    config = load_config(
        write(
            tmp_path,
            """
            [[catalog]]
            kind = "zip"
            path = "data/some cifs.zip"
            [[catalog]]
            kind = "folder"
            path = "/abs"
            name = "ours"
            [curation]
            symprec_A = [0.1, 0.01]
            [limits]
            seconds = 5
            """,
        )
    )
    assert [c.name for c in config.catalog] == ["some cifs", "ours"]
    assert config.catalog[0].path == tmp_path / "data/some cifs.zip"  # type: ignore[union-attr]
    assert config.catalog[1].path == Path("/abs")  # type: ignore[union-attr]
    assert config.curation.symprec_A == (0.01, 0.1)
    assert (config.limits.seconds, config.limits.memory_GB) == (5, 4)


def test_every_mistake_is_listed_at_once_with_place_expectation_and_finding(tmp_path: Path) -> None:
    assert mistakes(
        tmp_path,
        """
        surprise = 1
        [[catalog]]
        kind = "zip"
        pth = "x.zip"
        [[catalog]]
        path = "y"
        [[catalog]]
        kind = "folderr"
        [[catalog]]
        kind = "cod"
        path = "z"
        ids = [1, 1000000]
        [curation]
        symprec = [0.1]
        lattice_tolerance = "small"
        max_atoms = 0
        implausible = "no"
        seed = 1.5
        split = { train = 0.5 }
        [limits]
        memory_GB = -1
        """,
    ) == [
        "catalog[0].path: missing, there is no default: The .zip file.",
        'catalog[0].pth: unknown key, found "x.zip"; did you mean path?',
        f"catalog[1].kind: expected one of {KINDS}; missing",
        f'catalog[2].kind: expected one of {KINDS}; found "folderr"; did you mean folder?',
        "catalog[3].ids: COD numbers have seven digits, found [1]",
        'curation.lattice_tolerance: expected a valid number, unable to parse string as a number, found "small"',
        "curation.max_atoms: expected greater than or equal to 1, found 0",
        "curation.implausible: expected 'warn' or 'refuse', found \"no\"",
        "curation.seed: expected a valid integer, got a number with a fractional part, found 1.5",
        'curation.split: train + validation + test must be 1, not 0.7, found {"train": 0.5}',
        "curation.symprec: unknown key, found [0.1]; did you mean symprec_A?",
        "limits.memory_GB: expected greater than 0, found -1",
        "surprise: unknown key, found 1; known keys: " + ", ".join(sorted(DatagenConfig.model_fields)),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "catalog: missing"),
        ("catalog = []", "catalog: expected at least one"),
        ("catalog = 3", "catalog: expected a valid tuple, found 3"),
        ("catalog = [3]", "catalog[0]: expected"),
        (
            '[[catalog]]\nkind = "zip"\npath = "a/x.zip"\n[[catalog]]\nkind = "zip"\npath = "b/x.zip"',
            "found 'x' more than once",
        ),
        ('[[catalog]]\nkind = "cod"\npath = "z"\ndownload = true', "catalog[0]: download = true needs ids"),
    ],
)
def test_a_mistake_is_said_in_one_line(tmp_path: Path, text: str, expected: str) -> None:
    (line,) = mistakes(tmp_path, text)
    assert expected in line


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[[catalog]\n", "expected TOML: .*line 1"),
        (b"a = 1\na = 2", "expected TOML"),
        (b"x = '\xff'", "UTF-8"),
        (b"x = " + b"9" * 5000, "expected TOML: .*digits"),
        (b"x = " + b"[" * 100_000, "expected TOML: "),
        (b"x = 2026-13-45", "expected TOML: "),
        (b"\xff\xfe[\x00", "UTF-8"),
    ],
    ids=["unclosed", "repeated", "bytes", "digits", "nesting", "date", "utf-16"],
)
def test_what_is_no_toml_is_refused_with_its_place(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=expected):
        load_config(path)


def test_a_missing_file_is_named_with_what_lies_near(tmp_path: Path) -> None:
    write(tmp_path, "")
    with pytest.raises(ConfigError, match=r"no such file; did you mean .*run\.toml\?"):
        load_config(tmp_path / "rum.toml")
    with pytest.raises(ConfigError, match="no folder"):
        load_config(tmp_path / "no" / "rum.toml")
    with pytest.raises(ConfigError, match="directory"):
        load_config(tmp_path)


def test_control_characters_of_a_file_never_reach_the_terminal(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, '"\\u001b[31mred" = "\\u001b[31m"\n[[catalog]]\nkind = "examples"\n')
    assert "\x1b" not in line
    assert r"\u001b[31mred" in line


def test_a_path_alone_is_a_catalog_with_all_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my cifs").mkdir()
    monkeypatch.chdir(tmp_path)
    config = config_for_path(Path("my cifs"), ["limits.seconds=1"])
    (catalog,) = config.catalog
    assert (catalog.kind, catalog.name) == ("folder", "my cifs")
    assert catalog.path == tmp_path / "my cifs"
    assert config.limits.seconds == 1
