"""Publications are complete, described and reproducible, and contain no byte of what is withheld."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray
import zarr

from curation.crystal import Crystal
from datagen.errors import ConfigError, StoreError
from datagen.inspect.regenerate import StructureWithheldError
from datagen.inspect.replay import replay
from datagen.inspect.verify import verify
from datagen.share.card import card
from datagen.share.citation import citation
from datagen.share.facts import Naming, facts_of
from datagen.share.finished import open_finished
from datagen.share.licences import PROFILES, Profile, Restricted, Terms, summary
from datagen.share.merge import merge
from datagen.share.publish import licence_summaries, publish
from datagen.share.subset import Selection, subset
from datagen.store import reading
from datagen.store.shard_writer import ShardWriter
from tests.faults.runs import content_of
from tests.share.chunks import decoded, files_of
from tests.share.compare import assert_same_row
from trainer.data.store import Dataset, open_dataset

NAMING = Naming("Seven oxides", "1.2.0", ("A Group",), "https://example.org/seven", "2026-11-20")


@pytest.fixture(scope="module")
def mixed(ours: Path, theirs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Open and restricted rows together; silicon, restricted, has a density and a stick vector."""
    out = tmp_path_factory.mktemp("mixed") / "mixed.zarr"
    merge([ours, theirs], out)
    return out


def secrets(dataset: Dataset, rows: Iterable[int]) -> dict[str, list[bytes]]:
    """Return byte strings that only the sticks, densities, coordinates and source text of these rows have, by kind."""
    table = pq.read_table(Path(str(dataset.path)) / "curation.parquet").to_pylist()
    line_of = {line["row"]: line for line in table if line["row"] is not None}
    found: dict[str, list[bytes]] = {"sticks": [], "densities": [], "coordinates": [], "source text": []}
    for row in rows:
        sticks = dataset.sticks(row)
        found["sticks"] += [value.tobytes() for value in (*sticks.two_theta_deg, *sticks.intensity)]
        (stored,) = dataset.reflections([row])
        f2 = np.asarray(stored.f2).ravel()
        found["sticks"] += [f2[at : at + 2].tobytes() for at in range(0, len(f2) - 1, 2)]
        found["sticks"] += [repr(float(value)).encode() for value in f2 if len(repr(float(value))) > 9]  # of tables
        if dataset.values("has_density", row):
            density, peaks = dataset.density(row), dataset.xrd_peaks(row)
            found["densities"] += [density[i, j, :4].tobytes() for i in range(0, 50, 7) for j in range(0, 50, 7)]
            found["sticks"] += [
                peaks[i : i + 2].tobytes() for i in np.flatnonzero((peaks > 0) & (peaks < 1))
            ]  # 1, 0 is any vector's
        structure = line_of[row]["structure"]
        found["coordinates"] += [structure[at : at + 40].encode() for at in range(0, len(structure) - 40, 40)]
        crystal = Crystal.from_json(structure)
        found["coordinates"] += [np.float64(v).tobytes() for v in crystal.fractional.ravel() if v * 24 % 1]
        found["source text"] += [
            f'"{k}": "{v}"'.encode() for k, v in json.loads(line_of[row]["source_metadata"]).items()
        ]
        if line_of[row]["density_path"]:
            found["source text"].append(Path(line_of[row]["density_path"]).name.encode())
    return found


def restricted_rows(dataset: Dataset) -> list[int]:
    return [row for row, licence in enumerate(dataset.text("licence")) if licence == "ICSD"]


def assert_reflections_are_those_of_open_rows(out: Path) -> None:
    published = open_dataset(out)
    table = pq.read_table(out / "reflections.parquet").to_pylist()
    licences = published.text("licence")
    assert [line["row"] for line in table] == [row for row, each in enumerate(licences) if each != "ICSD"]
    for line in table:
        (stored,) = published.reflections([line["row"]])
        assert len(stored.f2) > 0
        np.testing.assert_array_equal(np.float32(line["reflection_f2"]), np.asarray(stored.f2).ravel())
        np.testing.assert_array_equal(line["reflection_hkl"], stored.hkl)


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize(
    ("profile", "restricted"),
    [("full", "redact"), ("full", "leave-out"), ("patterns", "redact"), ("labels", "redact")],
)
def test_no_redacted_byte_is_in_a_publication(
    mixed: Path, tmp_path: Path, profile: Profile, restricted: Restricted, zipped: bool
) -> None:
    if profile == "labels" and zipped:
        with pytest.raises(ConfigError, match="labels are a table"):
            publish(mixed, tmp_path / "out.zarr.zip", NAMING, Terms(profile, restricted))
        return
    dataset = open_dataset(mixed)
    hidden = restricted_rows(dataset) if profile == "full" else list(range(dataset.n_structures))
    everything = b"".join(data for _, data in decoded(mixed))
    shown = b""  # what open structures have in common with them is not secret
    if profile == "full":
        subset(mixed, tmp_path / "open.zarr", Selection(where="licence != 'ICSD'"))
        shown = b"".join(data for _, data in decoded(tmp_path / "open.zarr"))
        lines = pq.read_table(mixed / "curation.parquet").to_pylist()  # one is an open duplicate of a restricted row
        shown += repr([line for line in lines if line["licence"] != "ICSD"]).encode()
    words = {kind: [w for w in each if w not in shown] for kind, each in secrets(dataset, hidden).items()}
    for kind, each in words.items():
        held = [word for word in each if word in everything]
        assert len(held) >= 4, f"the example has to have secrets to keep: {kind}"

    out = tmp_path / ("out.zarr.zip" if zipped else "out.zarr")
    publish(mixed, out, NAMING, Terms(profile, restricted))
    names = set()
    for name, data in decoded(out):
        names.add(name)
        for kind, each in words.items():
            for word in each:
                assert word not in data, f"{name} holds {kind}: {word!r}"
        assert str(mixed.parent.parent).encode() not in data, f"{name} has a local path"
    assert {"labels.parquet", "README.md", "CITATION.cff", "croissant.json", "SHA256SUMS"} <= names
    assert ("zarr.json" in names) is (profile != "labels")
    assert ("reflections.parquet" in names) is (profile == "full")
    if profile == "full" and not zipped:
        assert_reflections_are_those_of_open_rows(out)


def test_open_rows_are_published_unchanged_and_restricted_rows_keep_patterns_and_labels(
    mixed: Path, tmp_path: Path
) -> None:
    publish(mixed, tmp_path / "out.zarr", NAMING, Terms())
    before, after = open_dataset(mixed), open_dataset(tmp_path / "out.zarr")
    hidden = restricted_rows(before)
    for row in range(before.n_structures):
        if row not in hidden:
            assert_same_row(after, row, before, row)
            continue
        assert np.array_equal(after.stored_pattern(row), before.stored_pattern(row))
        assert len(after.sticks(row).two_theta_deg) == 0
        assert not after.values("has_density", row)
        for label in ("formula", "structure_hash", "source_id", "licence"):
            assert after.text(label)[row] == before.text(label)[row]
    found = verify(tmp_path / "out.zarr", sample=9)
    assert found.regenerated == 9 - len(hidden)
    with pytest.raises(StructureWithheldError, match="licence ICSD"):
        replay(tmp_path / "out.zarr", "diamond.cif", 0)
    assert replay(tmp_path / "out.zarr", "halite.cif", 0).difference_steps == 0


def test_restricted_rows_can_be_left_out(mixed: Path, tmp_path: Path) -> None:
    publish(mixed, tmp_path / "out.zarr", NAMING, Terms(restricted="leave-out"))
    after = open_dataset(tmp_path / "out.zarr")
    assert set(after.text("licence")) == {"CC-BY-4.0"}
    for _, data in decoded(tmp_path / "out.zarr"):
        assert b"diamond.cif" not in data
    subset(mixed, tmp_path / "icsd.zarr", Selection(where="licence == 'ICSD'"))
    for profile in PROFILES:
        with pytest.raises(StoreError, match="no structure may be published"):
            publish(tmp_path / "icsd.zarr", tmp_path / "no.zarr", NAMING, Terms(profile, "leave-out"))
        assert not (tmp_path / "no.zarr").exists()


def test_folder_and_zip_open_with_xarray_and_have_the_same_content(mixed: Path, tmp_path: Path) -> None:
    publish(mixed, tmp_path / "out.zarr", NAMING, Terms())
    publish(mixed, tmp_path / "out.zarr.zip", NAMING, Terms())
    assert files_of(tmp_path / "out.zarr") == files_of(tmp_path / "out.zarr.zip")
    folder = xarray.open_zarr(tmp_path / "out.zarr", chunks=None)
    with zarr.storage.ZipStore(tmp_path / "out.zarr.zip", mode="r") as store:
        zipped = xarray.open_zarr(store, chunks=None)
        assert zipped.sizes == folder.sizes
        assert np.array_equal(zipped.pattern[3].values, folder.pattern[3].values)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.zarr", "out.zarr.zip"]


def test_the_same_dataset_published_twice_gives_the_same_bytes(mixed: Path, tmp_path: Path) -> None:
    shutil.copytree(mixed, tmp_path / "moved.zarr")
    for number, source in enumerate((mixed, tmp_path / "moved.zarr")):
        publish(source, tmp_path / f"{number}" / "out.zarr.zip", NAMING, Terms())
    assert (tmp_path / "0" / "out.zarr.zip").read_bytes() == (tmp_path / "1" / "out.zarr.zip").read_bytes()


def test_an_interrupted_publication_leaves_no_dataset_and_resumes(
    mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("datagen.share.publish.write_manifest", dying)
        with pytest.raises(KeyboardInterrupt):
            publish(mixed, tmp_path / "out.zarr", NAMING, Terms())
    assert not (tmp_path / "out.zarr").exists()
    with monkeypatch.context() as patch:
        patch.setattr(ShardWriter, "commit", dying)  # nothing is left to commit
        publish(mixed, tmp_path / "out.zarr", NAMING, Terms())
    publish(mixed, tmp_path / "again.zarr", NAMING, Terms())
    assert content_of(tmp_path / "out.zarr") == content_of(tmp_path / "again.zarr")


def test_sha256sum_accepts_the_manifest_and_files_are_read_only(mixed: Path, tmp_path: Path) -> None:
    publish(mixed, tmp_path / "out.zarr", NAMING, Terms())
    checked = subprocess.run(
        ["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=tmp_path / "out.zarr", capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    listed = {line.split("  ")[1] for line in (tmp_path / "out.zarr" / "SHA256SUMS").read_text().splitlines()}
    assert listed == set(files_of(tmp_path / "out.zarr")) - {"SHA256SUMS"}
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "out.zarr").rglob("*") if p.is_file()} == {0o444}


@pytest.mark.parametrize("profile", PROFILES)
def test_the_validator_of_mlcommons_accepts_the_metadata_and_reads_the_labels(
    mixed: Path, tmp_path: Path, profile: Profile
) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    publish(mixed, tmp_path / "out.zarr", NAMING, Terms(profile))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        dataset = mlcroissant.Dataset(tmp_path / "out.zarr" / "croissant.json")
        assert not dataset.metadata.ctx.issues.errors
        assert not dataset.metadata.ctx.issues.warnings
        records = list(dataset.records("structures"))
        reflections = list(dataset.records("reflections")) if profile == "full" else []
    described = json.loads((tmp_path / "out.zarr" / "croissant.json").read_text())
    assert described["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    fields = {field["@id"]: field for each in described["recordSet"] for field in each["field"]}
    assert ("arrays/pattern/values" in fields) is (profile != "labels")
    if profile != "labels":
        pattern = fields["arrays/pattern/values"]
        assert (pattern["dataType"], pattern["isArray"], pattern["arrayShape"]) == ("cr:UInt16", True, "3,512")
    for record in reflections:
        (stored,) = open_dataset(tmp_path / "out.zarr").reflections([record["reflections/row"]])
        np.testing.assert_array_equal(record["reflections/reflection_hkl"], stored.hkl)
    assert len(reflections) == (5 if profile == "full" else 0)
    assert [r["structures/formula"].decode() for r in records] == open_dataset(mixed).text("formula")


def page_of(text: str) -> str:
    """Return a card without its front matter."""
    return text.split("---\n", 2)[2]


def test_the_card_describes_the_dataset_on_one_page(mixed: Path, tmp_path: Path) -> None:
    publish(mixed, tmp_path / "out.zarr", NAMING, Terms())
    text = (tmp_path / "out.zarr" / "README.md").read_text()
    assert len(page_of(text).splitlines()) < 80
    for words in (
        "# Seven oxides",
        "27 simulated powder X-ray diffraction patterns of 9 curated",
        "Version 1.2.0, 2026-11-20",
        "5 to 20° 2θ",
        "| ICSD | 4 | labels, patterns | coordinates, sticks, densities, source text |",
        "| CC-BY-4.0 | 5 | labels, patterns, coordinates, sticks, densities, source text | - |",
        "Agreement of the engine with GSAS-II",
        "A Group (2026). Seven oxides, version 1.2.0. https://example.org/seven",
    ):
        assert words in text
    described = json.loads((tmp_path / "out.zarr" / "dataset.jsonld").read_text())
    assert (described["@type"], described["version"]) == ("Dataset", "1.2.0")


def test_the_front_matter_is_yaml_that_names_the_tables_and_nothing_foreign_adds_a_key(ours: Path) -> None:
    yaml = pytest.importorskip("yaml")
    name = 'A "b": c\n---\nlicense: mit \U0001f600 <x>'
    facts = facts_of(open_finished(ours), replace(NAMING, name=name), Terms())
    read = yaml.safe_load(card(facts).split("---\n", 2)[1])
    assert read["pretty_name"] == " ".join(name.split())
    assert {each["config_name"]: each["data_files"] for each in read["configs"]} == {
        "labels": [{"split": "structures", "path": "labels.parquet"}],
        "reflections": [{"split": "structures", "path": "reflections.parquet"}],
    }
    assert (read["license"], read["size_categories"]) == ("cc-by-4.0", ["n<1K"])
    on_hub = card(replace(facts, naming=replace(NAMING, url="https://huggingface.co/datasets/group/ours")))
    assert '`datasets.load_dataset("group/ours", "labels", split="structures")` or `reflections`' in on_hub
    assert "load_dataset" not in card(facts)
    several = [*facts.licences, replace(facts.licences[0], licence="ICSD")]
    mixed = yaml.safe_load(card(replace(facts, licences=several, n_structures=41_322)).split("---\n", 2)[1])
    assert (mixed["license"], mixed["license_name"], mixed["size_categories"]) == (
        "other",
        "per-structure",
        ["10K<n<100K"],
    )


def test_the_citation_is_yaml_with_the_doi_and_nothing_foreign_adds_a_key(ours: Path) -> None:
    yaml = pytest.importorskip("yaml")
    foreign = 'A "b"\ndoi: 10.1/x'
    naming = replace(NAMING, name=foreign, creators=(foreign,), url="https://doi.org/10.5281/zenodo.7")
    read = yaml.safe_load(citation(facts_of(open_finished(ours), naming, Terms())))
    assert (read["title"], read["authors"]) == ('A "b" doi: 10.1/x', [{"name": 'A "b" doi: 10.1/x'}])
    assert (read["doi"], read["date-released"], read["type"]) == ("10.5281/zenodo.7", "2026-11-20", "dataset")
    plain = yaml.safe_load(citation(facts_of(open_finished(ours), Naming("Ours"), Terms())))
    assert plain["authors"] == [{"name": "The publishers of this dataset"}]
    assert not plain.keys() & {"doi", "url", "date-released"}


def test_datasets_derived_from_publications_have_their_own_name_and_cite_them(
    ours: Path, theirs: Path, tmp_path: Path
) -> None:
    publish(ours, tmp_path / "one.zarr", NAMING, Terms())
    merge([tmp_path / "one.zarr", theirs], tmp_path / "both.zarr")
    assert "publication" not in reading.read_attributes(tmp_path / "both.zarr")
    publish(tmp_path / "both.zarr", tmp_path / "out.zarr", Naming("Nine crystals", "3.0.0"), Terms())
    attributes = reading.read_attributes(tmp_path / "out.zarr")
    assert (attributes["title"], attributes["publication"]["version"]) == ("Nine crystals", "3.0.0")
    page = (tmp_path / "out.zarr" / "README.md").read_text()
    assert "- A Group. Seven oxides, version 1.2.0. https://example.org/seven\n" in page


def test_foreign_text_adds_neither_html_nor_markup_to_the_card(ours: Path) -> None:
    foreign = "<script>alert(1)</script> <img src=x> [x](javascript:z) ![i](http://evil) `c` | # h\n\n# Title\x1b[2J"
    facts = facts_of(open_finished(ours), replace(NAMING, name=foreign, creators=(foreign,)), Terms())
    cited = {"name": foreign, "version": foreign, "creators": [foreign], "url": "https://x/<script>](y) z"}
    attributes = facts.attributes | {
        "source": foreign,
        "engine": {"agreement_with_gsas2": foreign},
        "derived_from": {"sources": [{"publication": cited}]},
    }
    licences = [replace(facts.licences[0], licence=foreign)]
    page = page_of(card(replace(facts, attributes=attributes, licences=licences)))
    assert "<" not in page
    assert not re.search(r"(?<!\\)\]\(", page)
    assert "\x1b" not in page
    plain = page_of(card(facts_of(open_finished(ours), NAMING, Terms())))
    for marker in ("# ", "| ", "- "):
        count = sum(line.startswith(marker) for line in page.splitlines())
        assert count == sum(line.startswith(marker) for line in plain.splitlines()) + (marker == "- ")
    assert all(line.count("|") - line.count("\\|") in (0, 3, 5) for line in page.splitlines())


def test_the_card_names_model_densities(ours: Path) -> None:
    dataset = open_finished(ours)
    facts = facts_of(dataset, NAMING, Terms())
    said = card(replace(facts, n_densities=3, density_method="independent_atoms"))
    assert "3 model densities of free atoms" in said
    assert "3: Model, not a calculation" in said
    assert "model densities" not in card(replace(facts, n_densities=3, density_method="fourier"))


def test_published_and_withheld_parts_are_listed_beforehand(mixed: Path) -> None:
    rows = {row.licence: row for row in licence_summaries(mixed, Terms())}
    assert (rows["ICSD"].n_structures, rows["ICSD"].is_open, rows["ICSD"].published) == (
        4,
        False,
        ("labels", "patterns"),
    )
    assert rows["CC-BY-4.0"].withheld == ()


@pytest.mark.parametrize(
    ("licence", "is_open"),
    [
        ("CC0-1.0", True),
        ("CC-BY-4.0", True),
        ("cc by 4.0", True),
        ("CC-BY-SA-4.0", True),
        ("CC-BY-ND-4.0", False),
        ("ICSD", False),
        ("unknown", False),
        ("", False),
    ],
)
def test_licences_not_known_to_be_open_are_restricted(licence: str, is_open: bool) -> None:
    assert Terms().is_open(licence) is is_open
    assert Terms(declared_open=(licence,)).is_open(licence)
    assert summary([licence], Terms())[0].is_open is is_open


def test_only_complete_unpublished_datasets_are_published(mixed: Path, tmp_path: Path) -> None:
    publish(mixed, tmp_path / "out.zarr", NAMING, Terms())
    with pytest.raises(StoreError, match="exists already"):
        publish(mixed, tmp_path / "out.zarr", NAMING, Terms())
    with pytest.raises(StoreError, match="already a publication"):
        publish(tmp_path / "out.zarr", tmp_path / "more.zarr", NAMING, Terms())
    shutil.copytree(mixed, tmp_path / "damaged.zarr")
    file = tmp_path / "damaged.zarr" / "pattern_max" / "c" / "0" / "0"
    file.write_bytes(file.read_bytes()[::-1])
    for profile in PROFILES:
        with pytest.raises(StoreError, match="pattern_max/c/0/0"):
            publish(tmp_path / "damaged.zarr", tmp_path / f"{profile}.zarr", NAMING, Terms(profile))
        assert not (tmp_path / f"{profile}.zarr").exists()
