"""The engine that is GSAS-II gives what GSAS-II gives, whichever way its patterns are asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from curation.crystal import Crystal
from datagen.errors import EngineError
from datagen.inspect.compare_engines import errors_of
from datagen.simulate import engine, native
from datagen.simulate.augmentation import Augmentations, AugmentationSettings, draw
from datagen.simulate.gsas2 import engine as gsas2
from datagen.simulate.gsas2 import process
from datagen.simulate.gsas2.process import PYTHON_VARIABLE, UnsupportedByGsas2
from datagen.simulate.instrument import Instrument, Line
from datagen.simulate.refusal import NoFormFactor, NoReflections
from tests.simulate.groups import crystal_in_group
from tests.simulate.needs_gsas2 import require_gsas2

pytestmark = pytest.mark.gsas

INSTRUMENT = Instrument.preset("alphadiffract")
BROAD = Augmentations.of(
    U_cdeg2=[1.0, 3.0],
    V_cdeg2=[-0.5, 0.0],
    W_cdeg2=[2.0, 4.0],
    microstrain=[2000, 9000],
    crystallite_size_um=[0.5, 0.1],
)
SHARP = Augmentations.of(
    U_cdeg2=[0.0, 0.1], V_cdeg2=[-1.0, 0.0], W_cdeg2=[0.05, 0.1], microstrain=[500, 500], crystallite_size_um=[1.0, 1.0]
)


@pytest.fixture(autouse=True, scope="module")
def _gsas2() -> None:
    require_gsas2()


def salt() -> Crystal:
    return Crystal.from_pymatgen(
        Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0] * 3, [0.5] * 3])
    )


def zincblende() -> Crystal:
    return Crystal.from_pymatgen(
        Structure.from_spacegroup("F-43m", Lattice.cubic(6.48), ["Cd", "Te"], [[0] * 3, [0.25] * 3])
    )


def test_it_is_the_engine_of_its_name() -> None:
    assert engine("gsas2") is gsas2.simulate
    assert gsas2.version()


@pytest.mark.parametrize("augmentations", [BROAD, SHARP], ids=["broad", "sharp"])
@pytest.mark.parametrize("crystal", [salt(), zincblende(), crystal_in_group(19)], ids=["NaCl", "CdTe", "P212121"])
def test_one_project_broadened_often_equals_one_project_per_pattern(
    crystal: Crystal, augmentations: Augmentations, tmp_path: Path
) -> None:
    patterns = gsas2.simulate(crystal, INSTRUMENT, augmentations)
    inverse = Crystal.canonical(
        crystal.lattice_A, crystal.species, crystal.occupancy, -crystal.fractional, crystal.u_iso_A2
    )
    for i in range(len(augmentations)):
        published = np.mean(_published([crystal, inverse], augmentations, i, tmp_path), axis=0)
        ours = patterns.intensity[i] / patterns.maximum[i]
        np.testing.assert_allclose(ours, published / published.max(), atol=2e-6)


def _published(crystals: list[Crystal], augmentations: Augmentations, i: int, folder: Path) -> np.ndarray:
    a = augmentations
    request = {
        "cifs": [str(CifWriter(c.to_pymatgen(), significant_figures=10)) for c in crystals],
        "instprm": (
            "#GSAS-II instrument parameter file\nType:PXC\nBank:1\nLam:0.619921\nPolariz.:0.99\nAzimuth:0.0\nZero:0.0\n"
            "U:0.0\nV:0.0\nW:0.0\nX:0.0\nY:0.0\nZ:0.0\nSH/L:0.002\n"
        ),
        "angles": [5.0, 20.0, 8192],
        "augmentation": {
            "U": a.U_cdeg2[i],
            "V": a.V_cdeg2[i],
            "W": a.W_cdeg2[i],
            "size": a.crystallite_size_um[i],
            "microstrain": a.microstrain[i],
        },
    }
    asked, answered = folder / "request.json", folder / "patterns.npy"
    asked.write_text(json.dumps(request))
    script = Path(__file__).with_name("published_route.py")
    python = os.environ.get(PYTHON_VARIABLE) or sys.executable
    home = {**os.environ, "HOME": str(folder), "MPLBACKEND": "Agg"}
    subprocess.run([python, script, asked, answered], check=True, capture_output=True, env=home, cwd=folder)
    return np.load(answered)


@pytest.mark.filterwarnings("ignore:Issues encountered while parsing CIF")
def test_the_reference_patterns_come_out_again(shared_data: Path) -> None:
    errors = []
    with np.load(shared_data / "gsas2_reference" / "reference.npz") as reference:
        data = {name: reference[name][::12] for name in ("cif", "augmentation", "pattern", "n_reflections_p1")}
    for cif, drawn, pattern in zip(data["cif"], data["augmentation"], data["pattern"], strict=True):
        crystal = Crystal.from_pymatgen(Structure.from_str(str(cif), fmt="cif"))
        names = ("U_cdeg2", "V_cdeg2", "W_cdeg2", "microstrain", "crystallite_size_um")
        augmentations = Augmentations.of(**dict(zip(names, drawn.T, strict=True)))
        found = gsas2.simulate(crystal, INSTRUMENT, augmentations)
        errors.append(errors_of(found.intensity / found.maximum[:, None], pattern / 65535.0))
    # What is left is the rounding of the crystal's cell to 1e-6 A, which sharp peaks feel.
    assert np.median(errors) < 3e-5
    assert np.max(errors) < 4e-4


@pytest.mark.timeout(600)
def test_p1_and_the_symmetric_cell_agree_in_all_groups() -> None:
    """Texture included, whose axis has to follow the change of cell; one enantiomorph is compared with itself."""
    augmentations = BROAD[:1].changed(march_r=np.array([0.6]), march_hkl=np.array([[1, -1, 0]]))
    errors, to_native = [], []
    for number in range(1, 231):
        crystal = crystal_in_group(number)
        plain = gsas2.simulate(crystal, INSTRUMENT, augmentations)
        symmetric = gsas2.simulate(crystal, INSTRUMENT, augmentations, cell="symmetric")
        assert len(plain.sticks) == len(symmetric.sticks)
        errors.append(errors_of(symmetric.intensity, plain.intensity).max())
        to_native.append(errors_of(native.simulate(crystal, INSTRUMENT, augmentations).intensity, plain.intensity))
    assert len(errors) == 230
    assert max(errors) < 1e-4  # cells rounded to 1e-6 A, one of them idealised
    assert np.median(to_native) < 3e-4
    assert np.max(to_native) < 2e-3


def compound(name: str) -> Crystal:
    """What is not a plain list of neutral atoms."""
    cubic = Lattice.cubic(4.2)
    structures = {
        "shared site": Structure.from_spacegroup("Pm-3m", cubic, [{"Fe": 0.5, "Mn": 0.3}, "O"], [[0] * 3, [0.5] * 3]),
        "vacancies": Structure(cubic, [{"Ni": 0.7}, {"O": 0.9}], [[0] * 3, [0.5] * 3]),
        "deuterium": Structure(cubic, ["Pd", "D"], [[0] * 3, [0.5] * 3]),
        "ions": Structure(cubic, ["Fe3+", "O2-", "Na+", "Cl-"], [[0] * 3, [0.5] * 3, [0.5, 0, 0], [0, 0.5, 0]]),
        "unknown ion": Structure(cubic, ["Fe6+", "N3-"], [[0] * 3, [0.5] * 3]),
        "fractional charge": Structure(cubic, ["Fe2.5+", "O"], [[0] * 3, [0.5] * 3]),
    }
    return Crystal.from_pymatgen(structures[name])


@pytest.mark.parametrize("name", ["shared site", "vacancies", "deuterium", "ions", "unknown ion", "fractional charge"])
def test_occupancies_isotopes_and_charges_mean_the_same_to_both_engines(name: str) -> None:
    crystal = compound(name)
    theirs = gsas2.simulate(crystal, INSTRUMENT, BROAD)
    ours = native.simulate(crystal, INSTRUMENT, BROAD)
    assert errors_of(ours.intensity, theirs.intensity).max() < 1.5e-3
    assert len(theirs.sticks.warnings) == len(ours.sticks.warnings)
    symmetric = gsas2.simulate(crystal, INSTRUMENT, BROAD, cell="symmetric")
    assert errors_of(symmetric.intensity, theirs.intensity).max() < 1e-6


def test_displacement_parameters_reach_gsas2() -> None:
    still = salt()
    moving = Crystal.canonical(still.lattice_A, still.species, still.occupancy, still.fractional, 0.04)
    theirs, ours = gsas2.simulate(moving, INSTRUMENT, BROAD), native.simulate(moving, INSTRUMENT, BROAD)
    assert errors_of(ours.intensity, theirs.intensity).max() < 1e-3
    assert errors_of(gsas2.simulate(still, INSTRUMENT, BROAD).intensity, theirs.intensity).max() > 0.05


def test_intensities_are_on_one_absolute_scale() -> None:
    crystal = zincblende()
    primitive = Crystal.from_pymatgen(crystal.to_pymatgen().get_primitive_structure())
    ours = native.simulate(primitive, INSTRUMENT, BROAD)
    for of, cell in ((crystal, "p1"), (primitive, "p1"), (primitive, "symmetric")):
        theirs = gsas2.simulate(of, INSTRUMENT, BROAD, cell=cell)  # type: ignore[arg-type]
        np.testing.assert_allclose(theirs.maximum, ours.maximum, rtol=2e-3)
        strongest = ours.sticks.intensity.max()
        np.testing.assert_allclose(theirs.sticks.intensity, ours.sticks.intensity, rtol=2e-3, atol=1e-4 * strongest)
        np.testing.assert_allclose(theirs.sticks.two_theta_deg, ours.sticks.two_theta_deg, atol=1e-5)


def test_one_friedel_mate_alone_is_what_gsas2_does_by_itself() -> None:
    crystal = crystal_in_group(1)
    alone = gsas2.simulate(crystal, INSTRUMENT, BROAD, average_friedel=False)
    mean = gsas2.simulate(crystal, INSTRUMENT, BROAD)
    assert errors_of(alone.intensity, mean.intensity).max() > 1e-4
    centred = gsas2.simulate(salt(), INSTRUMENT, BROAD, average_friedel=False)
    np.testing.assert_allclose(centred.intensity, gsas2.simulate(salt(), INSTRUMENT, BROAD).intensity, rtol=1e-6)


@pytest.mark.parametrize("instrument", ["cu_kalpha", "cu_kalpha1", "mo_kalpha"])
def test_other_instruments_agree_with_the_native_engine(instrument: str) -> None:
    setup = Instrument.preset(instrument)
    theirs, ours = (f(salt(), setup, BROAD) for f in (gsas2.simulate, native.simulate))
    # GSAS-II places the second line to first order in the difference of wavelengths.
    assert errors_of(ours.intensity, theirs.intensity).max() < 1e-2
    assert len(ours.sticks) == len(theirs.sticks)


@pytest.mark.parametrize("geometry", ["transmission", "reflection"])
def test_shifts_move_peaks_the_same_way(geometry: str) -> None:
    setup = INSTRUMENT.model_copy(update={"geometry": geometry})
    for shift in ({"zero_shift_deg": [0.02, -0.02]}, {"displacement_um": [100.0, -60.0]}):
        moved = BROAD.changed(**{name: np.array(values) for name, values in shift.items()})
        theirs, ours = (f(salt(), setup, moved) for f in (gsas2.simulate, native.simulate))
        apart = errors_of(ours.intensity / ours.maximum[:, None], theirs.intensity / theirs.maximum[:, None])
        assert apart.max() < 1e-2
        assert errors_of(native.simulate(salt(), setup, BROAD).intensity, theirs.intensity).min() > 0.04


def test_the_realistic_preset_agrees_with_the_native_engine() -> None:
    crystal = crystal_in_group(62)
    augmentations = draw(AugmentationSettings(preset="realistic"), 5, crystal.structure_hash(), range(12))
    theirs, ours = (f(crystal, INSTRUMENT, augmentations) for f in (gsas2.simulate, native.simulate))
    assert errors_of(ours.intensity, theirs.intensity).max() < 1e-2


def test_the_same_question_has_the_same_answer_to_the_bit() -> None:
    first = gsas2.simulate(zincblende(), INSTRUMENT, BROAD)
    process.close()
    np.testing.assert_array_equal(gsas2.simulate(zincblende(), INSTRUMENT, BROAD).intensity, first.intensity)


def test_nothing_in_range_is_said_so() -> None:
    with pytest.raises(NoReflections):
        gsas2.simulate(salt(), INSTRUMENT.model_copy(update={"two_theta_max_deg": 6.0}), BROAD)


def test_an_element_gsas2_does_not_know_is_refused_rather_than_replaced() -> None:
    crystal = Crystal.canonical(np.eye(3) * 4.0, ["Es"], np.ones(1), np.zeros((1, 3)))
    with pytest.raises(NoFormFactor, match="no form factor for Es"):
        gsas2.simulate(crystal, INSTRUMENT, BROAD)


def test_what_gsas2_cannot_do_is_said_before_it_is_tried() -> None:
    three = INSTRUMENT.model_copy(update={"lines": tuple(Line(wavelength_A=w) for w in (0.6, 0.61, 0.62))})
    with pytest.raises(EngineError, match="one line or a doublet"):
        gsas2.simulate(salt(), three, BROAD)
    with pytest.raises(EngineError, match="25000 points"):
        gsas2.simulate(salt(), INSTRUMENT.model_copy(update={"n_points": 25_001}), BROAD)


def test_nothing_is_printed_and_nothing_is_left(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    process.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path))
        gsas2.simulate(salt(), INSTRUMENT, BROAD)
        assert [p.name for p in tmp_path.iterdir()] == [process.process().folder.name]
        process.close()
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_crystal_that_gsas2_fails_over_costs_itself_broken_machinery_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask = gsas2.ask

    def fail_over_cadmium(request: dict[str, Any], folder: Path, timeout_s: float | None = None) -> dict[str, Any]:
        if any(kind == "Cd" for kind, *_ in request["atoms"]):
            raise EngineError("GSAS-II failed: ValueError: of cadmium")
        return ask(request, folder, timeout_s)

    monkeypatch.setattr(gsas2, "ask", fail_over_cadmium)
    with pytest.raises(UnsupportedByGsas2, match="of cadmium"):
        gsas2.simulate(zincblende(), INSTRUMENT, BROAD)
    assert gsas2.simulate(salt(), INSTRUMENT, BROAD).intensity.any()

    def fail(*_: object) -> dict[str, Any]:
        raise EngineError("GSAS-II failed: no disk")

    monkeypatch.setattr(gsas2, "ask", fail)
    with pytest.raises(EngineError, match="no disk"):
        gsas2.simulate(zincblende(), INSTRUMENT, BROAD)
