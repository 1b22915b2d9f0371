"""One finished dataset that many modules look at."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.datagen.small_runs import EVIL, EXAMPLES, MIXED, Made, config_of, make, write_cifs


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Crystals with and without density, a repetition under an evil name, a wrong density, a broken file. Look only."""
    folder = tmp_path_factory.mktemp("made [bold] here")
    cifs = write_cifs(folder / "cifs", ["halite", "quartz", "silicon", "aragonite"])
    shutil.copy(cifs / "aragonite.cif", cifs / EVIL)
    (cifs / "broken.cif").write_text("data_broken\n_cell_length_a 5\n")
    (cifs / "mixed.cif").write_text(MIXED)
    shutil.copy(EXAMPLES / "densities" / "quartz.CHGCAR.gz", cifs / "quartz.CHGCAR.gz")
    shutil.copy(EXAMPLES / "densities" / "quartz.CHGCAR.gz", cifs / "silicon.CHGCAR.gz")
    config = config_of(cifs)
    return Made(config, folder / "d.zarr", make(config, folder / "d.zarr", report=True))


@pytest.fixture
def copied(made: Made, tmp_path: Path) -> Made:
    """The same, to be changed."""
    shutil.copytree(made.dataset, tmp_path / "d.zarr")
    return Made(made.config, tmp_path / "d.zarr", made.outcome)
