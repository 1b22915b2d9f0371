"""`datagen simulate`: one structure in, arrays, a table or a picture out, or one sentence that says why not."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import typer
from matplotlib.image import imread
from typer.testing import CliRunner

from catalogs.example_set import FOLDER
from datagen.commands.simulate import mount
from datagen.errors import DatagenError
from datagen.inspect.look import look_at
from datagen.simulate import native
from datagen.simulate.augmentation import Augmentations, AugmentationSettings, draw
from datagen.simulate.gsas2.process import PYTHON_VARIABLE
from datagen.simulate.instrument import Instrument

QUARTZ = FOLDER / "quartz.cif"


def run(*arguments: str | Path, code: int = 0) -> str:
    """What the command prints; a mistake is raised as the error that the command line shows with exit code 2."""
    app = typer.Typer()
    mount(app)
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if isinstance(result.exception, Exception) and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def test_arrays_hold_everything_needed_to_make_the_patterns_again(tmp_path: Path) -> None:
    out = tmp_path / "quartz.npz"
    said = run("simulate", QUARTZ, "--out", out, "--augmentations", "7", "--preset", "realistic", "--seed", "3")
    assert "7 patterns" in said
    assert "SiO2" in said
    assert "154" in said
    with np.load(out, allow_pickle=False) as found:
        data = dict(found)
    assert data["intensity"].shape == (7, 8192)
    assert data["stick_two_theta_deg"].shape == data["stick_intensity"].shape
    names = [name for name in data if name.startswith("augmentation_")]
    drawn = Augmentations({name.removeprefix("augmentation_"): data[name] for name in names})
    crystal = look_at(
        QUARTZ, "native", Instrument.preset("alphadiffract"), AugmentationSettings(count=1), 0
    ).subject.crystal
    assert crystal is not None
    assert str(data["structure"]) == crystal.to_json()
    expected = draw(AugmentationSettings(preset="realistic"), 3, crystal.structure_hash(), range(7))
    np.testing.assert_array_equal(drawn.march_r, expected.march_r)
    instrument = Instrument.model_validate_json(str(data["instrument"]))
    np.testing.assert_array_equal(native.simulate(crystal, instrument, drawn).intensity, data["intensity"])


def test_a_table_has_an_angle_and_a_column_per_pattern(tmp_path: Path) -> None:
    out = tmp_path / "quartz.csv"
    run("simulate", QUARTZ, "--out", out, "-n", "3", "--instrument", "cu_kalpha")
    with out.open(newline="") as stream:
        header, *rows = csv.reader(stream)
    assert header == ["two_theta_deg", "intensity_0", "intensity_1", "intensity_2"]
    values = np.array(rows, dtype=float)
    assert values.shape == (8192, 4)
    # Quartz's strongest line with copper: 101 at 26.64 degrees.
    assert values[values[:, 1].argmax(), 0] == pytest.approx(26.64, abs=0.03)


@pytest.mark.parametrize("count", ["1", "12"])
def test_a_picture_is_drawn_without_a_display(tmp_path: Path, count: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    out = tmp_path / "quartz.png"
    run("simulate", QUARTZ, "--out", out, "-n", count, "--preset", "realistic", "--instrument", "cu_kalpha")
    picture = imread(out)[..., :3]
    assert min(picture.shape[:2]) > 1000
    assert 0.01 < np.mean(picture.min(axis=2) < 0.9) < 0.5


def test_a_vector_picture_names_the_crystal_and_its_reflections(tmp_path: Path) -> None:
    out = tmp_path / "halite.svg"
    run("simulate", FOLDER / "halite.cif", "--out", out, "-n", "5")
    assert out.read_text().startswith("<?xml")


def test_a_crystal_that_curation_refuses_is_shown_with_the_reason(tmp_path: Path) -> None:
    shifted = tmp_path / "shifted.cif"
    shifted.write_text(  # by 0.02 A: cubic at one tolerance, tetragonal at the other
        "data_x\n_cell_length_a 4\n_cell_length_b 4\n_cell_length_c 4\n_cell_angle_alpha 90\n_cell_angle_beta 90\n"
        "_cell_angle_gamma 90\n_symmetry_space_group_name_H-M 'P 1'\nloop_\n_atom_site_label\n_atom_site_type_symbol\n"
        "_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\nCs1 Cs 0 0 0\nCl1 Cl 0.505 0.5 0.5\n"
    )
    said = run("simulate", shifted, "--out", tmp_path / "x.npz", "-n", "1")
    assert "A dataset would refuse this structure: symmetry_unstable" in said
    assert (tmp_path / "x.npz").is_file()


def refusal(*arguments: str | Path) -> str:
    with pytest.raises(DatagenError) as error:  # which the command line shows as a sentence, exit code 2
        run(*arguments)
    return str(error.value)


def test_mistakes_are_one_sentence_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.cif"
    broken.write_text("this is no CIF\n")
    out = tmp_path / "x.npz"
    assert "file not found" in refusal("simulate", tmp_path / "nothing.cif", "--out", out)
    assert "no crystal structure could be read" in refusal("simulate", broken, "--out", out)
    assert ".npz, .csv, .png" in refusal("simulate", QUARTZ, "--out", tmp_path / "x.txt")
    assert "no not found" in refusal("simulate", QUARTZ, "--out", tmp_path / "no" / "x.npz")
    monkeypatch.setenv(PYTHON_VARIABLE, str(tmp_path / "python"))
    assert PYTHON_VARIABLE in refusal("simulate", QUARTZ, "--out", out, "--engine", "gsas2")
    assert not out.exists()


def test_an_unknown_engine_is_a_usage_error(tmp_path: Path) -> None:
    assert "native" in run("simulate", QUARTZ, "--out", tmp_path / "x.npz", "--engine", "topas", code=2)
