"""The Materials Project is asked once; then its answers lie on disk, whole, with their versions and hashes."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from monty.json import MontyDecoder
from pymatgen.core import Structure

from catalogs import materials_project
from catalogs.config import MaterialsProjectCatalog
from catalogs.errors import CatalogError
from catalogs.materials_project import records
from catalogs.record import Record
from tests.catalogs.fake_materials_project import KEY, FakeMaterialsProject, answer, rock_salt

pytest.importorskip("mp_api", reason="the extra `mp` is not installed")
with warnings.catch_warnings():  # other packages' own, at import
    warnings.simplefilter("ignore")
    import mp_api.client


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> FakeMaterialsProject:
    fake = FakeMaterialsProject()
    fake.add("mp-22862", rock_salt(5.6), {"mp-11": True, "mp-12": True})
    fake.add("mp-1265", rock_salt(4.2, "Mg", "O"), {"mp-21": True, "mp-22": False})
    fake.add("mp-1138", rock_salt(4.0, "Li", "F"), {})
    fake.add("mp-9", rock_salt(5.2, "K", "F"), {"mp-31": False})
    fake.install(monkeypatch)
    return fake


def read(path: Path, sleep: Any = lambda _seconds: None, **options: Any) -> list[Record]:
    options.setdefault("chemsys", ["Na-Cl", "Mg-O", "F-Li", "K-F"])
    config = MaterialsProjectCatalog.model_validate({"path": path, "name": "mp", **options})
    return list(records(config, sleep=sleep))


def test_materials_come_in_the_order_of_their_ids_with_what_the_database_says(
    project: FakeMaterialsProject, tmp_path: Path
) -> None:
    found = read(tmp_path)
    assert [record.source_id for record in found] == ["mp-9", "mp-1138", "mp-1265", "mp-22862"]
    salt = found[-1]
    assert (salt.source, salt.licence, salt.density) == ("mp", "CC-BY-4.0", None)
    assert salt.origin == "https://materialsproject.org/materials/mp-22862"
    assert salt.source_metadata == {
        "material_id": "mp-22862", "formula": "NaCl", "space_group_number": "225", "energy_above_hull_eV": "0.0",
        "theoretical": "False", "database_ids": "icsd-18189", "database_version": "2026.01.01",
    }  # fmt: skip
    structure = Structure.from_str(salt.text, fmt="cif")
    assert np.allclose(sorted(structure.lattice.abc), sorted(rock_salt(5.6).lattice.abc), atol=1e-9)


def test_a_second_run_needs_neither_network_nor_key_nor_client(
    project: FakeMaterialsProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read(tmp_path, with_density=True)
    before = len(project.requests)
    monkeypatch.delenv("MP_API_KEY")
    config = MaterialsProjectCatalog.model_validate(
        {"path": tmp_path, "name": "mp", "chemsys": ["Na-Cl", "Mg-O", "F-Li", "K-F"], "with_density": True}
    )

    def no_client() -> None:
        raise AssertionError("the client was started")

    assert list(records(config, connecting=no_client)) == first
    assert len(project.requests) == before


def test_the_newest_density_that_exists_is_taken_with_its_own_atoms(
    project: FakeMaterialsProject, tmp_path: Path
) -> None:
    found = {record.source_id: record for record in read(tmp_path, with_density=True)}
    assert set(found) == {"mp-9", "mp-1265", "mp-22862"}  # mp-1138 has no calculation with a density
    assert found["mp-22862"].source_metadata["density_task_id"] == "mp-12"
    assert found["mp-1265"].source_metadata["density_task_id"] == "mp-21"  # the newer mp-22 has none
    density = found["mp-22862"].density
    assert density is not None
    assert (density.format, density.path) == ("mp_json", tmp_path / "densities/mp-22862_mp-12.json.gz")
    raw = density.path.read_bytes()
    assert hashlib.sha256(raw).hexdigest() == found["mp-22862"].source_metadata["density_sha256"]
    chgcar = MontyDecoder().process_decoded(json.loads(gzip.decompress(raw)))["data"]
    assert np.array_equal(chgcar.data["total"], np.arange(8.0).reshape(2, 2, 2) + 1)
    ours = Structure.from_str(found["mp-22862"].text, fmt="cif")
    assert np.allclose(ours.lattice.abc, chgcar.structure.lattice.abc, atol=1e-9)


def test_a_missing_density_is_a_record_without_one(project: FakeMaterialsProject, tmp_path: Path) -> None:
    (first, *_) = read(tmp_path, with_density=True)
    assert (first.source_id, first.density, first.source_metadata["density_note"]) == ("mp-9", None, "none found")
    assert first.defect is None


def test_unknown_ids_are_defects(project: FakeMaterialsProject, tmp_path: Path) -> None:
    found = read(tmp_path, chemsys=[], material_ids=["mp-22862", "mp-77", "mp-l"], with_density=True)
    assert [(record.source_id, record.defect.reason if record.defect else "") for record in found] == [
        ("mp-11", "not_found"),  # mp-l is how the database writes mp-11 in letters
        ("mp-77", "not_found"),
        ("mp-22862", ""),
    ]


def test_the_query_reaches_the_client_in_its_own_words(
    project: FakeMaterialsProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    real = mp_api.client.mprester.MPRester.__init__  # the import above; its routes load lazily
    assert real is not None
    from mp_api.client.routes.materials.summary import SummaryRester

    search = SummaryRester.search

    def noted(self: Any, **criteria: Any) -> Any:
        asked.append(criteria)
        return search(self, **criteria)

    monkeypatch.setattr(SummaryRester, "search", noted)
    options: dict[str, Any] = {
        "chemsys": [], "elements": ["O"], "exclude_elements": ["H"], "num_elements": [2, 3], "num_sites": [1, 40],
        "space_group": [225, 221], "crystal_system": "Cubic", "max_energy_above_hull_eV": 0.05, "theoretical": False,
        "with_density": True,
    }  # fmt: skip
    read(tmp_path, **options)
    common = {
        "elements": ["O"], "exclude_elements": ["H"], "num_elements": (2, 3), "num_sites": (1, 40), "deprecated": False,
        "crystal_system": "Cubic", "energy_above_hull": (0.0, 0.05), "theoretical": False,
        "has_props": ["charge_density"], "fields": ["material_id"],
    }  # fmt: skip
    assert asked[:2] == [common | {"spacegroup_number": 225}, common | {"spacegroup_number": 221}]


def test_a_failure_on_the_way_is_tried_again_with_growing_pauses(project: FakeMaterialsProject, tmp_path: Path) -> None:
    failures = iter([requests.ConnectionError("reset"), requests.Timeout("slow"), OSError("no route")])

    def fail(request: str) -> None:
        if request == "materials/summary" and (failure := next(failures, None)) is not None:
            raise failure

    project.fail = fail
    pauses: list[float] = []
    assert len(read(tmp_path, sleep=pauses.append)) == 4
    assert pauses == [1.0, 2.0, 4.0]


def test_a_server_that_stays_away_is_an_error_that_says_what_is_kept(
    project: FakeMaterialsProject, tmp_path: Path
) -> None:
    project.fail = lambda request: answer({"detail": "overloaded"}, 503) if "summary" in request else None
    with pytest.raises(
        CatalogError,
        match=r"does not answer after 3 attempts.*503.*completed downloads are kept",
    ):
        read(tmp_path, retries=2)


def test_a_refused_key_is_told_at_once_and_never_shown(project: FakeMaterialsProject, tmp_path: Path) -> None:
    project.fail = lambda request: answer({"detail": f"bad key {KEY}"}, 401) if "summary" in request else None
    pauses: list[float] = []
    with pytest.raises(CatalogError, match="rejects the API key") as caught:
        read(tmp_path, sleep=pauses.append)
    assert pauses == []
    assert KEY not in str(caught.value)
    assert "(key)" in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_key_is_sent_but_written_nowhere(project: FakeMaterialsProject, tmp_path: Path) -> None:
    found = read(tmp_path, with_density=True)
    assert KEY in project.keys_seen
    assert KEY not in repr(found)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            raw = path.read_bytes()
            assert KEY.encode() not in (gzip.decompress(raw) if path.suffix == ".gz" else raw)


def test_without_a_key_the_place_for_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MP_API_KEY", raising=False)
    monkeypatch.setattr("pymatgen.core.SETTINGS", {})
    with pytest.raises(CatalogError, match="MP_API_KEY"):
        read(tmp_path)


def test_an_interrupted_download_goes_on_where_it_stopped(
    project: FakeMaterialsProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(materials_project, "CHUNK", 1)
    whole = [
        (record.source_id, record.text, record.source_metadata)
        for record in read(tmp_path / "whole", with_density=True)
    ]

    def fail(request: str) -> None:
        if request == "s3://materialsproject-parsed/chgcars/mp-12.json.gz":
            raise requests.ConnectionError("cut")

    project.fail = fail
    with pytest.raises(CatalogError):
        read(tmp_path / "cut", with_density=True, retries=0)
    project.fail = lambda _request: None
    project.requests.clear()
    again = [
        (record.source_id, record.text, record.source_metadata) for record in read(tmp_path / "cut", with_density=True)
    ]
    assert again == whole
    fetched = [request for request in project.requests if request.startswith("s3:")]
    assert fetched == ["s3://materialsproject-parsed/chgcars/mp-12.json.gz"]


def test_a_torn_journal_line_and_a_cut_file_are_fetched_again(project: FakeMaterialsProject, tmp_path: Path) -> None:
    first = read(tmp_path, with_density=True)
    journal = tmp_path / "densities.jsonl"
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:40])
    kept = json.loads(lines[0])["file"] or json.loads(lines[1])["file"]
    (tmp_path / "densities" / kept).write_bytes(b"cut")
    assert read(tmp_path, with_density=True) == first
    assert read(tmp_path, with_density=True) == first


def test_a_damaged_answer_on_disk_is_named(project: FakeMaterialsProject, tmp_path: Path) -> None:
    read(tmp_path)
    (kept,) = tmp_path.glob("query-*/structures-00000.jsonl.gz")
    kept.write_bytes(kept.read_bytes()[:50])
    with pytest.raises(CatalogError, match=r"structures-00000\.jsonl\.gz.*remove this file"):
        read(tmp_path)
    kept.unlink()
    assert len(read(tmp_path)) == 4
    (listing,) = tmp_path.glob("query-*/materials.json")
    listing.write_text("[]")
    with pytest.raises(CatalogError, match=r"materials\.json"):
        read(tmp_path)


def test_a_new_database_version_in_the_middle_is_refused(
    project: FakeMaterialsProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(materials_project, "CHUNK", 2)
    read(tmp_path)
    (second,) = tmp_path.glob("query-*/structures-00001.jsonl.gz")
    second.unlink()
    project.database_version = "2026.06.06"
    mp_api.client.core.client._Rester._get_heartbeat_info.cache_clear()
    with pytest.raises(CatalogError, match=r"expected version 2026\.01\.01, found version 2026\.06\.06"):
        read(tmp_path)
    shutil.rmtree(second.parent)
    assert read(tmp_path)[0].source_metadata["database_version"] == "2026.06.06"


def test_what_was_asked_is_written_beside_the_answers(project: FakeMaterialsProject, tmp_path: Path) -> None:
    read(tmp_path, max_materials=2)
    (listing,) = tmp_path.glob("query-*/materials.json")
    about = json.loads(listing.read_text())
    assert about["material_ids"] == ["mp-9", "mp-1138"]
    assert about["query"] == {"chemsys": ["Na-Cl", "Mg-O", "F-Li", "K-F"]}
    assert about["database_version"] == "2026.01.01"
    assert about["asked_utc"].endswith("+00:00")


def test_only_the_materials_asked_for_are_fetched(
    project: FakeMaterialsProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(materials_project, "CHUNK", 1)
    config = MaterialsProjectCatalog(path=tmp_path, chemsys=("Na-Cl", "Mg-O", "F-Li", "K-F"))
    next(records(config))
    assert len(list(tmp_path.glob("query-*/structures-*"))) == 1
