"""Two small datasets of real runs that share structures; one has densities."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from datagen.config.config import config_for_path
from datagen.run import run
from tests.faults.runs import EXAMPLES

OURS = ("halite", "quartz", "rutile", "silicon", "aragonite", "zincite")
THEIRS = ("silicon", "rutile", "calcite", "anatase", "diamond")
CONFIG = """
[[catalog]]
kind = "folder"
name = "{name}"
path = "cifs"
licence = "{licence}"
{density}

[simulation]
augmentation = {{ count = 3 }}

[simulation.instrument]
lines = [{{ wavelength_A = 0.619921 }}]
polarisation = 0.99
two_theta_min_deg = 5.0
two_theta_max_deg = 20.0
n_points = 512

[store]
structures_per_shard = 2
"""


def make(folder: Path, name: str, crystals: tuple[str, ...], licence: str, density: str) -> Path:
    (folder / "cifs").mkdir(parents=True)
    for crystal in crystals:
        shutil.copy(EXAMPLES / f"{crystal}.cif", folder / "cifs")
    (folder / "cifs" / "broken.cif").write_text("data_broken\n_cell_length_a 3\n")
    shutil.copytree(EXAMPLES / "densities", folder / "cifs" / "densities")
    config = folder / "config.toml"
    config.write_text(CONFIG.format(name=name, licence=licence, density=density))
    settings = config_for_path(config, ())
    run(settings, folder / f"{name}.zarr", profile=settings.cluster.choose("inline"))
    return folder / f"{name}.zarr"


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six open structures without densities."""
    return make(tmp_path_factory.mktemp("ours"), "ours", OURS, "CC-BY-4.0", "")


@pytest.fixture(scope="session")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five restricted structures, two of them also in `ours`; silicon has a density."""
    pattern = 'density = "densities/{stem}.CHGCAR.gz"'
    return make(tmp_path_factory.mktemp("theirs"), "theirs", THEIRS, "ICSD", pattern)
