"""A publication holds no local path, no user name and no source metadata that was not named."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel

from catalogs import config as catalog_config
from datagen.config.config import config_for_path
from datagen.errors import ConfigError, StoreError
from datagen.run import run
from datagen.share.deposit import publish_to_zenodo
from datagen.share.facts import Naming
from datagen.share.licences import PROFILES, Profile, Terms
from datagen.share.merge import merge
from datagen.share.publish import publish, publish_to_url, source_metadata_names
from datagen.share.published_settings import _CATALOG, _CATALOG_FILES, published_attributes
from datagen.share.redact import (
    KEPT_COLUMNS,
    OPEN_COLUMNS,
    SOURCE_METADATA,
    TABLE_COLUMNS,
    open_line,
    redacted_line,
)
from datagen.share.subset import Selection, subset
from datagen.store import reading
from tests.faults.runs import EXAMPLES
from tests.share.chunks import decoded
from tests.share.conftest import CONFIG
from tests.share.hostile import reseal
from tests.share.hub_server import hub_server
from tests.share.zenodo_server import zenodo_server

USER = "jdoe_4711"
SECRET = "unpublished_synthesis_of_jane"
NAMING = Naming("Three oxides", "1.0.0")
TABLE = """
[[catalog]]
kind = "table"
name = "screened"
path = "{table}"
licence = "CC-BY-4.0"
id_column = "code"
density_column = "charge"
"""


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of a folder with densities at an absolute pattern and of a table with a secret column."""
    home = tmp_path_factory.mktemp("home") / USER / "secret project"
    for name in ("silicon", "halite", "broken"):
        (home / "cifs").mkdir(parents=True, exist_ok=True)
        text = "data_broken\n_cell_length_a 3\n" if name == "broken" else (EXAMPLES / f"{name}.cif").read_text()
        (home / "cifs" / f"{name}.cif").write_text(text)
    shutil.copytree(EXAMPLES / "densities", home / "densities")
    shutil.copy(home / "densities" / "silicon.CHGCAR.gz", home / "densities" / "halite.CHGCAR.gz")  # refused
    with (home / "table.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["code", "cif", "charge", "note", "citation", "year"])
        for name in ("rutile", "diamond"):
            text = (EXAMPLES / f"{name}.cif").read_text()
            rows.writerow([name, text, f"{home}/densities/none.CHGCAR", SECRET, f"by {USER}", "1999"])
    density = f'density = "{home}/densities/{{stem}}.CHGCAR.gz"'
    text = CONFIG.format(name="oxides", licence="CC-BY-4.0", density=density)
    (home / "config.toml").write_text(text + TABLE.format(table=home / "table.csv"))
    settings = config_for_path(home / "config.toml", ())
    run(settings, home / "mine.zarr", profile=settings.cluster.choose("inline"))
    return home / "mine.zarr"


def found(publication: Path, words: list[str]) -> Iterator[str]:
    """Yield where a word is in any byte of a publication, decompressed."""
    for name, data in decoded(publication):
        yield from (f"{word} in {name}" for word in words if word.encode() in data)


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("profile", PROFILES)
def test_no_byte_contains_a_path_a_user_name_or_a_secret_column(
    private: Path, tmp_path: Path, profile: Profile, zipped: bool
) -> None:
    words = [USER, "secret project", str(private.parent), SECRET]
    assert {each.partition(" in ")[0] for each in found(private, words)} == set(words), "the words are in the source"
    if profile == "labels" and zipped:
        pytest.skip("labels are a table")
    out = tmp_path / ("out.zarr.zip" if zipped else "out.zarr")
    publish(private, out, NAMING, Terms(profile))
    assert list(found(out, words)) == []


@pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning")  # of huggingface_hub, uploading
@pytest.mark.parametrize("profile", ["full", "labels"])
def test_no_byte_that_reaches_the_hub_or_zenodo_contains_a_path_a_user_name_or_a_secret_column(
    private: Path, tmp_path: Path, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    words = [USER, "secret project", str(private.parent), SECRET]
    with hub_server() as hub, zenodo_server() as zenodo:
        publish_to_url(private, "hf://group/mine", NAMING, Terms(profile))
        naming = Naming("Three oxides", "1.0.0", ("A Group",), date="2026-11-20")
        publish_to_zenodo(private, "zenodo:", naming, Terms(profile), lambda _: True)
        received = {f"hub/{n}": stored.content for n, stored in hub.repositories["group/mine"].files.items()}
        received |= {f"zenodo/{n}": content or b"" for n, content in zenodo.records["1000"].files.items()}
    for name, content in received.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert [word for body in [*hub.bodies, *zenodo.bodies] for word in words if word.encode() in body] == []
    assert list(found(tmp_path / "hub", words)) == []
    assert list(found(tmp_path / "zenodo", words)) == []
    (packed,) = (tmp_path / "zenodo").glob("*.zip")
    assert list(found(packed, words)) == []


def test_datasets_derived_from_private_ones_are_published_without_paths(
    private: Path, ours: Path, tmp_path: Path
) -> None:
    merge([private, ours], tmp_path / "both.zarr")
    subset(tmp_path / "both.zarr", tmp_path / "part.zarr", Selection(where=f"source_id != '/home/{USER}/x.cif'"))
    publish(tmp_path / "part.zarr", tmp_path / "out.zarr", NAMING, Terms())
    words = [USER, "secret project", SECRET, str(tmp_path), str(ours.parent)]
    assert list(found(tmp_path / "out.zarr", words)) == []
    older = reading.read_attributes(tmp_path / "out.zarr")["derived_from"]["sources"][0]
    assert older["derived_from"]["given"]["where"] == "source_id != 'x.cif'"
    assert older["configuration"]["catalog"][0]["density"] == "{stem}.CHGCAR.gz"


def test_open_rows_keep_file_names_and_default_source_metadata(private: Path, tmp_path: Path) -> None:
    publish(private, tmp_path / "out.zarr", NAMING, Terms())
    lines = {line["source_id"]: line for line in table(tmp_path / "out.zarr").to_pylist()}
    assert lines["silicon.cif"]["origin"] == "silicon.cif"
    assert lines["silicon.cif"]["density_path"] == "silicon.CHGCAR.gz"
    assert lines["silicon.cif"]["structure"]
    assert lines["halite.cif"]["density_reason"]
    assert lines["halite.cif"]["density_detail"] is None
    assert lines["rutile"]["origin"] == "table.csv!row 1"
    assert json.loads(lines["rutile"]["source_metadata"]) == {}
    assert lines["broken.cif"]["reason"] == "no_cell"


def test_only_named_source_metadata_is_published(private: Path, tmp_path: Path) -> None:
    kept, withheld = source_metadata_names(private, Terms(source_metadata=("year",)))
    assert "year" in kept
    assert {"note", "charge", "citation"} <= set(withheld)
    publish(private, tmp_path / "out.zarr", NAMING, Terms(source_metadata=("year",)))
    lines = {line["source_id"]: line for line in table(tmp_path / "out.zarr").to_pylist()}
    assert json.loads(lines["rutile"]["source_metadata"]) == {"year": "1999"}
    assert list(found(tmp_path / "out.zarr", [USER, SECRET])) == []
    with pytest.raises(ConfigError, match=r"--source-metadata yaer: no structure of .* has it; expected one of .*year"):
        publish(private, tmp_path / "no.zarr", NAMING, Terms(source_metadata=("yaer",)))


def test_named_source_metadata_of_restricted_rows_is_withheld(private: Path, tmp_path: Path) -> None:
    publish(private, tmp_path / "out.zarr", NAMING, Terms("patterns", source_metadata=("note",)))
    assert list(found(tmp_path / "out.zarr", [SECRET])) == []


def test_a_foreign_column_and_foreign_descriptions_of_the_table_are_dropped(private: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.zarr"
    shutil.copytree(private, copy)
    before = pq.read_table(copy / "curation.parquet")
    planted = before.append_column(pa.field("lab_book", pa.string()), pa.array([SECRET] * len(before)))
    fields = [field.with_metadata({"description": f"column of {USER}"}) for field in planted.schema]
    metadata = {**(before.schema.metadata or {}), b"author": USER.encode()}
    pq.write_table(planted.cast(pa.schema(fields, metadata=metadata)), copy / "curation.parquet")
    reseal(copy)
    publish(copy, tmp_path / "out.zarr", NAMING, Terms())
    assert "lab_book" not in table(tmp_path / "out.zarr").column_names
    assert list(found(tmp_path / "out.zarr", [USER, SECRET, "lab_book"])) == []


def test_unlisted_attributes_are_not_published_and_foreign_settings_are_refused(private: Path) -> None:
    attributes = reading.read_attributes(private)
    assert "note" not in published_attributes({**attributes, "note": SECRET})
    for section in ("curation", "simulation", "density", "store", "limits"):
        changed = json.loads(json.dumps(attributes))
        changed["configuration"][section]["note"] = SECRET
        with pytest.raises(StoreError, match=rf"configuration\.{section}\.note: not a setting") as refused:
            published_attributes(changed)
        assert SECRET not in str(refused.value)
    changed["configuration"] = {**attributes["configuration"], "note": SECRET}
    assert SECRET not in json.dumps(published_attributes(changed))
    assert published_attributes(attributes)["configuration"]["simulation"] == attributes["configuration"]["simulation"]


def test_every_kind_of_catalog_and_each_of_its_settings_is_decided_on() -> None:
    """A new kind or setting fails here until it is listed as published or below as local."""
    local = {"structure_column", "id_column", "density_column", "download", "url", "retries", "downloads_at_once"}
    local |= {"response_fields", "page_size", "pause_s", "limit", "where"}
    kinds: dict[str, Any] = {
        model.model_fields["kind"].default: model
        for model in vars(catalog_config).values()
        if isinstance(model, type) and issubclass(model, BaseModel) and "kind" in model.model_fields
    }
    assert set(SOURCE_METADATA) == {*kinds, "measured"}  # scans have no catalog
    settings = {name for model in kinds.values() for name in model.model_fields}
    assert settings == {*_CATALOG, *_CATALOG_FILES, *local}


def leaves(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path to every text, number and null of nested settings."""
    if isinstance(value, dict | list):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*at, name))
    else:
        yield at


STATED = re.compile(
    r"title|source|licence_note|crystal_systems\.\d|engine\.(name|agreement_with_gsas2\.\w+)"
    r"|(derived_from\.sources\.)*(configuration\.(catalog\.(kind|name|licence|max_file_MB)|(format|physics)_version)"
    r"|derived_from\.(operation|given\.duplicates)|content_sha256|n_structures|n_rows_taken)"
)
"""Attributes that are published unchecked: what the publisher states, and words and numbers of this program."""


def test_a_path_planted_in_any_attribute_is_not_published(private: Path, ours: Path, tmp_path: Path) -> None:
    merge([private, ours], tmp_path / "both.zarr")
    attributes = reading.read_attributes(tmp_path / "both.zarr")
    published = set()
    planted = f"/home/{USER}/notes"
    for path in leaves(attributes):
        changed = json.loads(json.dumps(attributes))
        place = changed
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = planted
        try:
            found = json.dumps(published_attributes(changed))
        except StoreError as refused:
            found = str(refused)
        if USER in found:
            published.add(".".join(name for name in path if isinstance(name, str)))
    assert [name for name in published if not STATED.fullmatch(name)] == []


def test_a_path_planted_in_any_column_of_the_curation_table_is_not_published(private: Path) -> None:
    found = pq.read_table(private / "curation.parquet")
    planted = f"/home/{USER}/notes"
    for line in found.to_pylist():
        for field in found.schema:
            if field.type == pa.string():
                changed = {**line, field.name: planted}
            elif field.type == pa.list_(pa.string()):
                changed = {**line, field.name: [planted]}
            else:
                continue
            stated = {"note": planted} if field.name == "source_metadata" else {}
            kept = USER in repr(open_line(changed, stated, {})), USER in repr(redacted_line(changed))
            labelled = field.name in KEPT_COLUMNS
            assert kept == (labelled or field.name in READ_FROM_CIF, labelled), field.name


READ_FROM_CIF = {"stated_formula", "stated_space_group", "structure", "contact", "density_format"} | {
    *("density_reason", "xrd_peaks_reason")
}
"""Text of open rows that is published beside the labels: what a structure file states, and codes of this program."""


def test_every_column_of_the_curation_table_is_decided_on() -> None:
    """A new column fails here until it is listed as published or below as withheld."""
    withheld = {"source_metadata", "text_hash", "detail", "warnings", "density_detail", "xrd_peaks_detail"}
    files = {"origin", "density_path", "density_member"}
    assert OPEN_COLUMNS | withheld | files >= TABLE_COLUMNS


def table(publication: Path) -> pa.Table:
    return pq.read_table(io.BytesIO((publication / "curation.parquet").read_bytes()))
