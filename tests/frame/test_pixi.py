"""pixi.toml says the same as pyproject.toml and the Makefile, in pixi's own words."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema

from datagen import __version__

ROOT = Path(__file__).resolve().parents[2]
CONDA_NAMES = {"matplotlib": "matplotlib-base", "torch": "pytorch"}


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / name).read_text())


def _pixi_requirements(pixi: dict[str, Any]) -> dict[str, str]:
    tables = [pixi, *pixi["feature"].values()]
    found: dict[str, str] = {}
    for table in tables:
        for kind in ("dependencies", "pypi-dependencies"):
            for name, spec in table.get(kind, {}).items():
                found[name] = spec if isinstance(spec, str) else spec.get("version", "")
    return found


def _schema() -> dict[str, Any]:
    resource = files("validate_pyproject_schema_store").joinpath("resources", "pixi.schema.json")
    schema: dict[str, Any] = json.loads(resource.read_text())
    return schema


def test_pixi_toml_obeys_the_published_schema() -> None:
    pixi = _toml("pixi.toml")
    jsonschema.validate(pixi, _schema())
    # The schema leaves the top level open to unknown names, so a misspelled table is looked for here.
    assert set(pixi) <= set(_schema()["properties"]) | {"feature"}


def test_the_schema_notices_a_misspelled_key() -> None:
    broken = _toml("pixi.toml")
    broken["environments"]["gsas"] = {"faetures": ["gsas"]}
    assert not jsonschema.Draft7Validator(_schema()).is_valid(broken)


def test_every_python_requirement_has_the_same_bound_in_pixi() -> None:
    project = _toml("pyproject.toml")["project"]
    pixi = _pixi_requirements(_toml("pixi.toml"))
    requirements = project["dependencies"] + [
        r for extra in project["optional-dependencies"].values() for r in extra if not r.startswith("pxrd-datagen")
    ]
    for requirement in requirements:
        name, spec = re.match(r"([A-Za-z0-9_.-]+)(?:\[.*\])?(.*)", requirement).groups()  # type: ignore[union-attr]
        assert pixi.get(CONDA_NAMES.get(name, name)) == spec, requirement
    assert pixi["python"] == project["requires-python"]
    assert _toml("pixi.toml")["workspace"]["version"] == __version__
    assert f"version: {__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_make_and_pixi_offer_the_same_tasks() -> None:
    pixi = _toml("pixi.toml")
    tasks = set(pixi["tasks"]) | set(pixi["feature"]["test"]["tasks"])
    makefile = (ROOT / "Makefile").read_text()
    for task in ("demo", "test", "lint", "bench"):
        assert task in tasks
        assert re.search(rf"^{task}:", makefile, re.MULTILINE)
    assert set(pixi["environments"]) == {"default", "gpu", "hpc", "gsas", "dev"}


def test_every_requirement_is_pinned_in_the_constraints() -> None:
    project = _toml("pyproject.toml")["project"]
    pinned = {
        re.split(r"==", line)[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    extras = [r for extra in project["optional-dependencies"].values() for r in extra]
    for requirement in project["dependencies"] + extras:
        name = re.match(r"[A-Za-z0-9_.-]+", requirement).group().lower()  # type: ignore[union-attr]
        assert name in pinned | {"pxrd-datagen"}, requirement
