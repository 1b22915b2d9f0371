"""A catalog's section is checked as a whole, and every mistake in it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from catalogs.config import CatalogConfig, FolderCatalog, MaterialsProjectCatalog

ADAPTER: TypeAdapter[Any] = TypeAdapter(CatalogConfig)
MODELS = list(CatalogConfig.__args__[0].__args__)  # type: ignore[attr-defined]


def mistakes(**section: Any) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        ADAPTER.validate_python(section)
    return [(".".join(str(part) for part in error["loc"]), error["type"]) for error in caught.value.errors()]


@pytest.mark.parametrize("model", MODELS)
def test_every_field_says_what_it_means_in_a_sentence(model: type[BaseModel]) -> None:
    assert (model.__doc__ or "").strip().endswith(".")
    for name, field in model.model_fields.items():
        if name != "kind":
            assert field.description, f"{model.__name__}.{name}"
            assert field.description[0].isupper() or not field.description[0].isalpha()


@pytest.mark.parametrize("model", MODELS)
def test_unknown_keys_are_refused_in_every_kind(model: type[BaseModel]) -> None:
    kind = model.model_fields["kind"].default
    found = mistakes(kind=kind, path="x", chemsys=["O"], licens="MIT")
    assert (f"{kind}.licens", "extra_forbidden") in found


def test_every_mistake_is_told_at_once() -> None:
    found = mistakes(kind="folder", max_file_MB=-1, density="{stam}.cube", licence="", extra=1)
    assert {place for place, _ in found} == {
        "folder.path", "folder.max_file_MB", "folder.density", "folder.licence", "folder.extra",
    }  # fmt: skip


def test_an_unknown_kind_is_told_with_the_known_ones() -> None:
    with pytest.raises(ValidationError, match=r"'folder', 'zip', 'tar'"):
        ADAPTER.validate_python({"kind": "floppy"})


@pytest.mark.parametrize(
    ("section", "name"),
    [
        ({"kind": "folder", "path": "data/my cifs"}, "my cifs"),
        ({"kind": "zip", "path": "a/materials.project.zip"}, "materials.project"),
        ({"kind": "tar", "path": "x.tar.gz"}, "x"),
        ({"kind": "table", "path": Path("mp_20.csv")}, "mp_20"),
        ({"kind": "icsd", "path": "icsd 2025", "name": "mine"}, "mine"),
        ({"kind": "examples"}, "examples"),
        ({"kind": "examples", "name": ""}, "examples"),
    ],
)
def test_the_name_comes_from_the_path_unless_given(section: dict[str, Any], name: str) -> None:
    assert ADAPTER.validate_python(section).name == name


def test_a_catalog_without_its_own_folder_name_still_has_a_name() -> None:
    assert FolderCatalog(path=Path("/")).name == "folder"
    assert FolderCatalog(path=Path()).name == Path.cwd().name


def test_relative_paths_are_taken_from_the_configuration_s_folder(tmp_path: Path) -> None:
    catalog = ADAPTER.validate_python({"kind": "cod", "path": "cod", "ids_file": "ids.txt"}).resolved(tmp_path)
    assert (catalog.path, catalog.ids_file) == (tmp_path / "cod", tmp_path / "ids.txt")
    assert ADAPTER.validate_python({"kind": "zip", "path": "/abs.zip"}).resolved(tmp_path).path == Path("/abs.zip")
    home = ADAPTER.validate_python({"kind": "zip", "path": "~/a.zip"}).resolved(tmp_path).path
    assert home == Path.home() / "a.zip"


def test_a_section_survives_writing_and_reading() -> None:
    section = {"kind": "materials_project", "path": "mp", "chemsys": ["Si-O"], "num_elements": [2, 3]}
    catalog = ADAPTER.validate_python(section)
    assert ADAPTER.validate_json(catalog.model_dump_json()) == catalog


@pytest.mark.parametrize("pattern", ["all.cube", "{0}.cube", "{stem", "{name}.cube"])
def test_a_density_pattern_must_tell_structures_apart(pattern: str) -> None:
    assert mistakes(kind="folder", path="x", density=pattern) == [("folder.density", "value_error")]


@pytest.mark.parametrize(
    ("section", "place"),
    [
        ({"kind": "cod", "path": "x", "ids": [12]}, "cod.ids"),
        ({"kind": "cod", "path": "x", "download": True}, "cod"),
        ({"kind": "cod", "path": "x", "url": "http://plain/{id}"}, "cod.url"),
        ({"kind": "cod", "path": "x", "url": "https://x/{id}/{no}"}, "cod.url"),
        ({"kind": "materials_project", "path": "x"}, "materials_project"),
        ({"kind": "materials_project", "path": "x", "material_ids": ["mp-1"], "elements": ["O"]}, "materials_project"),
        ({"kind": "materials_project", "path": "x", "space_group": [231]}, "materials_project.space_group.0"),
        ({"kind": "materials_project", "path": "x", "num_elements": [3, 2]}, "materials_project.num_elements"),
    ],
)
def test_what_cannot_be_meant_is_refused(section: dict[str, Any], place: str) -> None:
    assert [where for where, _ in mistakes(**section)] == [place]


def test_equal_queries_are_equal_however_they_are_written() -> None:
    one = MaterialsProjectCatalog.model_validate({"path": "a", "chemsys": ["Si-O"], "theoretical": False})
    two = MaterialsProjectCatalog.model_validate({"theoretical": False, "chemsys": ("Si-O",), "path": "b"})
    assert one.query() == two.query() == {"chemsys": ["Si-O"], "theoretical": False}
