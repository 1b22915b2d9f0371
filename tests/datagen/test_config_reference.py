"""The reference page, the JSON schema and resolved configurations say what the models say."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from datagen.config.config import DatagenConfig, parse_config
from datagen.config.reference import json_schema, page
from datagen.config.written import plain_values, to_json, to_toml

ROOT = Path(__file__).resolve().parents[2]
EVERYTHING = """
[[catalog]]
kind = "folder"
path = 'a "quoted" path\\'
[[catalog]]
kind = "cod"
path = "cod"
ids = [1000041]
[simulation]
instrument = { base = "cu_kalpha", two_theta_max_deg = 120 }
augmentation = { preset = "realistic", count = 5 }
[curation]
lattice_tolerance = 1e-5
[cluster]
workers = 8
[cluster.big]
kind = "slurm"
workers = 256
walltime = "04:00:00"
["cluster"."other one"]
kind = "local"
"""


def parse(content: dict[str, Any]) -> DatagenConfig:
    return parse_config(content, where="test", base=Path("/base"))


def blocks_of(document: Path) -> list[str]:
    return re.findall(r"```toml\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)


def test_the_page_is_current() -> None:
    written = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    assert written == page(), "run `python -m datagen.config.reference > docs/config.md`"


def test_every_key_of_the_models_is_on_the_page_with_its_meaning() -> None:
    rows = [line.split(" | ") for line in page().splitlines() if line.startswith("| `")]
    documented = {row[0].strip("| `") for row in rows}
    for definition in DatagenConfig.model_json_schema()["$defs"].values():
        assert set(definition.get("properties", ())) - {"kind", "default", "named"} <= documented
    without = [row[0] for row in rows if len(row) == 4 and not row[3].strip(" |")]
    assert without == []


@pytest.mark.parametrize("document", ["README.md", "docs/config.md"])
def test_configurations_in_the_documents_satisfy_models_and_schema(document: str) -> None:
    for block in blocks_of(ROOT / document):
        content = tomllib.loads(block)
        parse(content)
        jsonschema.validate(content, json_schema())


def test_a_resolved_configuration_is_read_back_as_the_same_one() -> None:
    config = parse(tomllib.loads(EVERYTHING))
    for again in (tomllib.loads(to_toml(config)), json.loads(to_json(config))):
        assert again == plain_values(config)
        assert parse(again) == config
        jsonschema.validate(again, json_schema())


@pytest.mark.parametrize(
    "wrong",
    [
        "[curation]\nmax_atom = 3",
        "[curation]\nmax_atoms = 0",
        '[simulation]\ninstrument = "cu"',
        '[simulation]\ninstrument = { base = "cu" }',
        "[simulation]\ninstrument = { two_theta_max_deg = 120 }",
        "[cluster]\nworkers = 0",
        '[cluster.big]\nkind = "slurmm"',
        '[cluster.big]\nkind = "slurm"\nworker = 3',
    ],
)
def test_the_schema_refuses_what_the_models_refuse(wrong: str) -> None:
    content = {"catalog": [{"kind": "examples"}], **tomllib.loads(wrong)}
    with pytest.raises(Exception, match="mistake"):
        parse(content)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, json_schema())
