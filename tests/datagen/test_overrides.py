"""`--set`: single settings changed, with the mistakes of a file reported in the file's way."""

from __future__ import annotations

from pathlib import Path

import pytest

from datagen.config.config import DatagenConfig, load_config, parse_config
from datagen.errors import ConfigError
from datagen.simulate.instrument import Instrument

BARE = '[[catalog]]\nkind = "folder"\npath = "."\n'


def load(folder: Path, *overrides: str, text: str = BARE) -> DatagenConfig:
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, overrides)


def lines(folder: Path, *overrides: str, text: str = BARE) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(folder, *overrides, text=text)
    return [line.strip() for line in str(caught.value).splitlines()]


def test_values_of_every_type_are_set(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        "curation.max_atoms=20",
        "curation.split.train=0.5",
        "curation.split.test = 0.4",
        "curation.displacement=cif",
        "curation.symprec_A=[0.02, 0.2]",
        "catalog[0].licence=CC0-1.0",
        "catalog[0].name=a = b",
        "cluster.big.kind=slurm",
        "cluster.big.workers=64",
    )
    assert config.curation.max_atoms == 20
    assert (config.curation.split.train, config.curation.split.test) == (0.5, 0.4)
    assert config.curation.displacement == "cif"
    assert config.curation.symprec_A == (0.02, 0.2)
    assert (config.catalog[0].licence, config.catalog[0].name) == ("CC0-1.0", "a = b")
    assert config.cluster.choose("big").kind == "slurm"
    assert config.cluster.default.kind == "local"


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("", "alphadiffract"),
        ('[simulation]\ninstrument = "cu_kalpha"\n', "cu_kalpha"),
        ('[simulation]\ninstrument = { base = "cu_kalpha", two_theta_max_deg = 60 }\n', "cu_kalpha"),
        ('[simulation.instrument]\nbase = "mo_kalpha"\nn_points = 8192\n', "mo_kalpha"),
    ],
)
def test_one_key_of_a_preset_is_changed(tmp_path: Path, text: str, base: str) -> None:
    config = load(tmp_path, "simulation.instrument.two_theta_max_deg=120", text=BARE + text)
    expected = Instrument.preset(base).model_copy(update={"two_theta_max_deg": 120.0})
    assert config.simulation.instrument.model_dump() == expected.model_dump()


def test_a_preset_is_chosen_by_its_name(tmp_path: Path) -> None:
    assert load(tmp_path, "simulation.instrument=cu_kalpha").simulation.instrument == Instrument.preset("cu_kalpha")
    both = load(tmp_path, "simulation.instrument.n_points=100", "simulation.instrument.base=cu_kalpha")
    assert both.simulation.instrument.n_points == 100
    assert both.simulation.instrument.lines == Instrument.preset("cu_kalpha").lines


def test_mistakes_in_overrides_are_listed_with_those_of_the_file(tmp_path: Path) -> None:
    head, *found = lines(
        tmp_path,
        "curation.max_atom=3",
        "simulation.instrument.two_theta_max_deg=1",
        "simulation.engine=gsas",
        text=BARE + "[limits]\nseconds = -1\n",
    )
    assert head.endswith("run.toml: 4 mistakes")
    assert found == [
        "--set curation.max_atom: unknown key, found 3; did you mean max_atoms?",
        "limits.seconds: expected greater than 0, found -1",
        "--set simulation.engine: expected 'native' or 'gsas2', found \"gsas\"",
        "simulation.instrument: two_theta_max_deg: expected more than two_theta_min_deg = 5.0, found 1.0",
    ]


def test_a_misspelt_preset_is_named_with_those_there_are(tmp_path: Path) -> None:
    for override in ("simulation.instrument=cu_kalfa", "simulation.instrument.base=cu_kalfa"):
        (_, line) = lines(tmp_path, override)
        assert "expected one of alphadiffract, cu_kalpha1, cu_kalpha, mo_kalpha, found 'cu_kalfa'" in line


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("max_atoms", "--set max_atoms: expected SECTION.KEY=VALUE, such as simulation.instrument"),
        ("max_atoms=3", "expected SECTION.KEY=VALUE"),
        ("curation..max_atoms=3", "expected SECTION.KEY=VALUE"),
        ("=3", "expected SECTION.KEY=VALUE"),
        ("catalog.name=x", "catalog: expected the number of one of them, such as catalog[0].name"),
        ("catalog[3].name=x", "catalog[3]: there are 1, counted from 0"),
        ("curation[0].name=x", "curation: expected a list, found nothing"),
        ("catalog[0].kind.x=3", "catalog[0].kind: has no keys, found a text"),
    ],
)
def test_a_place_that_cannot_be_is_refused(tmp_path: Path, override: str, expected: str) -> None:
    (line,) = lines(tmp_path, override)
    assert expected in line


def test_all_malformed_overrides_are_listed(tmp_path: Path) -> None:
    assert len(lines(tmp_path, "a", "b=1", "catalog[0].name=fine")) == 2


def test_a_value_that_smuggles_in_a_second_key_is_text(tmp_path: Path) -> None:
    assert load(tmp_path, "catalog[0].licence=MIT\n").catalog[0].licence == "MIT"
    with pytest.raises(ConfigError, match="expected a valid integer"):
        load(tmp_path, "curation.max_atoms=1\nb=2")


def test_the_content_that_was_passed_is_left_as_it_was() -> None:
    content = {"catalog": [{"kind": "examples"}], "curation": {"max_atoms": 9}}
    parse_config(content, where="test", base=Path(), overrides=["curation.max_atoms=3", "catalog[0].name=x"])
    assert content == {"catalog": [{"kind": "examples"}], "curation": {"max_atoms": 9}}
