"""A library of bundled minerals, made by a real run, and its index."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from datagen.config.config import config_for_path
from datagen.identification.index import Index, load_index
from datagen.identification.index_build import build_index
from datagen.run import run
from tests.faults.runs import EXAMPLES

MINERALS = (
    "halite", "quartz", "rutile", "anatase", "calcite", "aragonite", "zincite", "silicon", "diamond", "copper",
    "cuprite", "marcasite", "ilmenite", "barite", "beryl", "covellite", "arsenic", "urea", "sodium_nitrite", "th3p4",
)  # fmt: skip
CONFIG = """
[[catalog]]
kind = "folder"
path = "cifs"

[simulation]
instrument = { base = "cu_kalpha1", n_points = 64 }
augmentation = { count = 1 }
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the dataset."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "cifs").mkdir()
    for name in MINERALS:
        shutil.copy(EXAMPLES / f"{name}.cif", folder / "cifs")
    (folder / "config.toml").write_text(CONFIG)
    settings = config_for_path(folder / "config.toml", ())
    run(settings, folder / "minerals.zarr", profile=settings.cluster.choose("inline"))
    return folder / "minerals.zarr"


@pytest.fixture(scope="session")
def index(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Return the index of the library."""
    folder = build_index(library, tmp_path_factory.mktemp("index") / "minerals.index", workers=1)
    found = load_index(library, folder)
    assert found is not None
    return found
