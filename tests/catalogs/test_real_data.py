"""Every real archive opens, and its blocks are those that gemmi sees."""

from __future__ import annotations

import zipfile
from pathlib import Path

import gemmi

from catalogs.blocks import split_blocks
from catalogs.config import ZipCatalog
from catalogs.open import open_catalog
from catalogs.text import decode

FILES = {
    "materials_project": 1228, "cod_messy": 785, "all_space_groups": 466, "minerals_amcsd": 149, "elements_cod": 202,
    "aflow_prototypes": 171, "perovskites_carbons": 409, "frameworks": 126, "cofs": 260, "jarvis": 42,
    "phonopy_cells": 37,
}  # fmt: skip


def test_every_file_of_every_archive_is_accounted_for(shared_data: Path) -> None:
    for name, n_files in FILES.items():
        found = list(open_catalog(ZipCatalog(path=shared_data / "structures" / f"{name}.zip")))
        assert len({record.source_id for record in found}) == len(found)
        assert len({record.origin.partition("#")[0] for record in found}) == n_files
        poor = {record.defect.reason for record in found if record.defect}
        assert poor <= ({"empty_file", "no_data_block", "truncated_text"} if name == "cod_messy" else set())


def test_blocks_are_those_of_gemmi_and_parse_alone_to_the_same(shared_data: Path) -> None:
    compared = 0
    for name in ("cod_messy", "minerals_amcsd", "elements_cod"):
        with zipfile.ZipFile(shared_data / "structures" / f"{name}.zip") as archive:
            for entry in archive.infolist():
                decoded = decode(archive.read(entry))
                if not isinstance(decoded, tuple):
                    continue
                try:
                    document = gemmi.cif.read_string(decoded[0])
                except (ValueError, RuntimeError):
                    continue
                expected = [block for block in document if block.name]  # global_ has none
                blocks = split_blocks(decoded[0])
                assert [block.name for block in blocks] == [block.name for block in expected], entry.filename
                for block, theirs in zip(blocks, expected, strict=True):
                    assert gemmi.cif.read_string(block.text).sole_block().as_string() == theirs.as_string()
                    compared += 1
    assert compared > 1000
