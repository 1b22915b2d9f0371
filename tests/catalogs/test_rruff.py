"""AMCSD entries are known by their codes and minerals."""

from __future__ import annotations

import zipfile
from pathlib import Path

from catalogs.config import RruffCatalog
from catalogs.open import open_catalog
from tests.catalogs.cifs import cif


def test_entries_have_their_codes_and_minerals(tmp_path: Path) -> None:
    texts = {
        "Halite__0018189.cif": "_chemical_name_mineral 'Halite'\n_database_code_amcsd 0018189\n",
        "b.cif": "_chemical_name_mineral Quartz\n_database_code_amcsd 0000789\n",
        "c.cif": "",
    }
    for name, tags in texts.items():
        (tmp_path / name).write_text(cif("global").replace("_cell_length_a", f"{tags}_cell_length_a", 1))
    (tmp_path / "Halite.dif").write_text("Halite\n")
    found = list(open_catalog(RruffCatalog(path=tmp_path)))
    assert [record.source_id for record in found] == ["0000789", "c.cif", "0018189"]
    assert found[0].source_metadata == {"amcsd_code": "0000789", "mineral": "Quartz"}
    assert found[1].source_metadata == {}
    assert found[2].source_metadata["mineral"] == "Halite"


def test_the_database_s_own_archive_is_read_in_place(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "amcsd.zip", "w") as archive:
        archive.writestr("x.cif", cif("global") + "_database_code_amcsd 0000001\n")
    assert [record.source_id for record in open_catalog(RruffCatalog(path=tmp_path / "amcsd.zip"))] == ["0000001"]
