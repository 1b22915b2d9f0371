"""`import datagen`: light, typed, and the same functions whatever was imported before."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

import datagen
from datagen.errors import ConfigError, DatagenError
from tests.datagen.small_runs import EXAMPLES, INSTRUMENT, Made, write_cifs

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"numpy", "pydantic", "rich", "typer", "xarray", "zarr", "dask", "numba", "gemmi", "spglib", "pymatgen"}


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_loads_nothing_but_the_package() -> None:
    loaded = python("import sys, datagen; dir(datagen); print(*sorted({name.split('.')[0] for name in sys.modules}))")
    assert not HEAVY & set(loaded.split())
    assert {name for name in loaded.split() if name in ("catalogs", "curation", "cluster", "trainer")} == set()


def test_every_name_is_listed_and_documented() -> None:
    assert set(datagen.__all__) <= set(dir(datagen))
    for name in datagen.__all__:
        function = getattr(datagen, name)
        assert callable(function)
        assert name in datagen.__doc__
        documented = inspect.unwrap(function).__doc__
        for parameter in inspect.signature(function).parameters:
            assert f"{parameter} :" in documented, f"{name}({parameter})"
    out = python("import datagen; print(datagen.errors.DatagenError.__name__, datagen.progress.Silence.__name__)")
    assert out.split() == ["DatagenError", "Silence"]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        datagen.nothing  # noqa: B018


@pytest.mark.parametrize(
    "imports",
    [
        "import datagen",
        "import datagen.run",
        "import datagen; datagen.run; import datagen.run",
        "from datagen.run import run",
        "from datagen import run",
        "import datagen; from datagen.run import begin",
    ],
)
def test_run_is_a_function_and_a_module_whatever_was_imported_before(imports: str) -> None:
    out = python(
        f"{imports}\n"
        "import datagen, inspect\n"
        "from datagen.run import run, begin\n"
        "import datagen.run as module\n"
        "assert module.run is run and module.begin is begin and datagen.run is module\n"
        "print(*inspect.signature(datagen.run).parameters)\n"
        "try: datagen.run('nothing.toml')\n"
        "except Exception as error: print(error)\n"
    )
    parameters, message = out.splitlines()
    assert parameters.split()[:3] == ["config", "out", "cluster"]
    assert "nothing.toml: there is no such file" in message


def test_a_dataset_is_made_from_a_mapping_and_made_again_from_a_file(tmp_path: Path) -> None:
    cifs = write_cifs(tmp_path / "cifs", ["halite"])
    content: dict[str, Any] = {
        "catalog": [{"kind": "folder", "path": str(cifs)}],
        "simulation": {"instrument": INSTRUMENT, "augmentation": {"count": 2}},
    }
    outcome = datagen.run(content, tmp_path / "a.zarr", cluster="inline")
    assert (outcome.n_structures, outcome.n_patterns) == (1, 2)
    again = datagen.run(datagen.load_config(content), tmp_path / "a.zarr", cluster="inline")
    assert again.n_patterns_now == 0
    with pytest.raises(ConfigError, match="did you mean catalog"):
        datagen.load_config({"catalogg": []})
    with pytest.raises(ConfigError, match="model_copy"):
        datagen.load_config(datagen.load_config(content), ["simulation.seed=3"])


SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def atoms(**changes: Any) -> Any:
    """What ASE's Atoms offers of rock salt."""
    lattice = SALT.lattice.matrix
    values: dict[str, Any] = {
        "cell": SimpleNamespace(array=lattice, volume=float(np.linalg.det(lattice))),
        "pbc": np.array([True] * 3),
        "info": {},
        "symbols": "Na4Cl4",
        **changes,
    }
    made = _Atoms()
    vars(made).update(values)
    return made


class _Atoms:
    def get_chemical_symbols(self) -> list[str]:
        return [site.specie.symbol for site in SALT]

    def get_scaled_positions(self, wrap: bool = True) -> Any:
        return SALT.frac_coords


@pytest.fixture
def ase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ase", SimpleNamespace(Atoms=_Atoms))


@pytest.mark.usefixtures("ase")
def test_every_form_of_a_structure_gets_the_same_verdict(tmp_path: Path) -> None:
    text = SALT.to(fmt="cif")
    (tmp_path / "salt.cif").write_text(text)
    forms = [SALT, atoms(), tmp_path / "salt.cif", str(tmp_path / "salt.cif"), text]
    verdicts = [datagen.curate(form) for form in forms]
    assert all(verdict.accepted for verdict in verdicts)
    assert {verdict.space_group for verdict in verdicts} == {225}
    assert len({verdict.structure_hash for verdict in verdicts}) == 1


def test_disorder_and_charges_survive() -> None:
    solution = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(4.3), [{"Fe2+": 0.75, "Mg2+": 0.25}, "O2-"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    crystal = datagen.curate(solution).crystal
    assert dict(zip(crystal.species, crystal.occupancy.tolist(), strict=True)) == {
        "Fe2+": 0.75,
        "Mg2+": 0.25,
        "O2-": 1.0,
    }


def test_coordinates_survive_to_the_last_digit() -> None:
    lattice = Lattice.from_parameters(5.1, 6.2, 7.3, 80.1, 95.2, 101.3)
    odd = Structure(lattice, ["Si", "O", "O"], [[0, 0, 0], [0.123456789012, 0.31, 0.2], [0.7, 0.654321098765, 0.4]])
    verdict = datagen.curate(odd)
    assert verdict.space_group == 1
    assert verdict.volume == pytest.approx(lattice.volume, rel=1e-13)


@pytest.mark.usefixtures("ase")
@pytest.mark.parametrize(
    ("what", "message"),
    [
        (3, "expected a path, the text of a CIF, a pymatgen Structure or ASE Atoms, found builtins.int"),
        ("nothing.cif", "nothing.cif: there is nothing here"),
        (EXAMPLES, "expected one structure, found several"),
        (lambda: atoms(pbc=np.array([True, True, False])), "periodic in three directions"),
        (lambda: atoms(info={"occupancy": {}}), "partial occupancies"),
    ],
)
def test_what_is_no_single_structure_is_refused_in_a_sentence(what: Any, message: str) -> None:
    with pytest.raises(Exception, match=message) as caught:
        datagen.curate(what() if callable(what) else what)
    assert isinstance(caught.value, DatagenError) or type(caught.value).__name__ == "CatalogError"


def test_bad_input_is_a_refusal_with_its_reason_and_settings_count() -> None:
    assert datagen.curate("data_empty\n").reason == "no_cell"
    assert datagen.curate("no block at all\n").reason == "no_data_block"
    assert datagen.curate(SALT, {"max_atoms": 1}).reason == "too_many_atoms"
    with pytest.raises(ConfigError, match="did you mean max_atoms"):
        datagen.curate(SALT, {"max_atom": 1})


@pytest.mark.parametrize(
    "imports",
    [
        "import datagen",
        "import datagen.simulate",
        "import datagen.simulate.native",
        "from datagen.simulate import engine",
        "from datagen import simulate",
        "import datagen; datagen.simulate; from datagen.simulate import kernel",
    ],
)
def test_simulate_is_a_function_and_a_package_whatever_was_imported_before(imports: str) -> None:
    out = python(
        f"{imports}\n"
        "import datagen, inspect\n"
        "from datagen.simulate.native import simulate as native\n"
        "from datagen import simulate\n"
        "assert simulate is datagen.simulate and datagen.simulate.native.simulate is native\n"
        "print(*inspect.signature(datagen.simulate).parameters)\n"
        "print(datagen.simulate('catalogs/examples/halite.cif', count=2).sizes['augmentation'])\n"
    )
    assert out.splitlines() == ["what instrument count seed engine preset", "2"]


@pytest.mark.parametrize("preset", ["alphadiffract", "realistic"])
def test_simulated_patterns_equal_those_that_a_run_stores(preset: str, tmp_path: Path) -> None:
    cifs = write_cifs(tmp_path / "cifs", ["quartz"])
    instrument = {"base": "cu_kalpha", "n_points": 700}
    content = {
        "catalog": [{"kind": "folder", "path": str(cifs)}],
        "simulation": {"seed": 3, "instrument": instrument, "augmentation": {"preset": preset, "count": 4}},
    }
    datagen.run(content, tmp_path / "d.zarr", cluster="inline")
    stored = datagen.open_dataset(tmp_path / "d.zarr").isel(structure=0).load()
    made = datagen.simulate(cifs / "quartz.cif", instrument, 4, 3, preset=preset)
    assert {"pattern", "microstrain", "reflection_d", "reflection_f2_lines"} <= set(made.data_vars)
    for name, array in made.variables.items():
        there = stored.variables[name]
        if "shard" in there.dims:
            there = there.isel(shard=0, reflection=slice(made.sizes["reflection"]))
        assert array.dims == there.dims, name
        assert array.dtype == there.dtype, name
        assert array.attrs == there.attrs, name
        np.testing.assert_array_equal(array.values, there.values, err_msg=str(name))
    assert made.attrs["structure_hash"] == stored.structure_hash.item()
    assert made.two_theta.units == "degree"


def test_every_form_of_a_structure_gives_the_same_patterns() -> None:
    a, b = datagen.simulate(SALT, count=2), datagen.simulate(SALT.to(fmt="cif"), count=2)
    np.testing.assert_array_equal(a.pattern.values, b.pattern.values)
    assert (a.formula, a.space_group) == ("NaCl", 225)


def test_a_refused_structure_is_simulated_with_a_warning_and_an_unreadable_one_is_not() -> None:
    almost_cubic = Structure(Lattice.tetragonal(4.1, 4.13), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.warns(UserWarning, match="a dataset would refuse this structure: symmetry_unstable"):
        assert datagen.simulate(almost_cubic, count=1).attrs["refused"].startswith("symmetry_unstable")
    with pytest.raises(DatagenError, match="no crystal structure could be read: no_cell"):
        datagen.simulate("data_empty\n")
    for wrong, message in (({"count": 0}, "augmentation.count"), ({"instrument": "cu"}, "instrument: base: expected")):
        with pytest.raises(ConfigError, match=message):
            datagen.simulate(SALT, **wrong)


def test_an_explanation_names_every_check_and_prints_in_terminal_and_notebook(made: Made) -> None:
    told = datagen.explain(datagen.curate(SALT))
    assert repr(told).splitlines()[0] == "Structure Na4 Cl4: accepted: NaCl, space group 225 (cubic), train"
    assert "reflections" in repr(told)
    assert repr(datagen.explain(SALT)) == repr(told)
    refused = datagen.explain("data_<b>\n")
    assert "failed" in repr(refused)
    assert "<b>" not in refused._repr_html_()
    stored = datagen.explain("quartz.cif", dataset=made.dataset)
    assert "SiO2" in stored.title
    with pytest.raises(DatagenError, match="did you mean quartz"):
        datagen.explain("quarz.cif", dataset=made.dataset)


def test_a_dataset_opens_by_path_zip_and_name_with_text_decoded(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("d.zarr.zip", "w") as packed:
        for path in sorted(p for p in made.dataset.rglob("*") if p.is_file()):
            packed.write(path, path.relative_to(made.dataset))
    for where in (made.dataset, str(made.dataset), "d.zarr.zip"):
        opened = datagen.open_dataset(where)
        assert {"NaCl", "SiO2"} <= set(opened.formula.values.tolist())
        assert opened.pattern.dims == ("structure", "augmentation", "two_theta")
    with pytest.raises(DatagenError, match="nothing"):
        datagen.open_dataset("nothing")


@pytest.mark.skipif(shutil.which("mypy") is None and not (Path(sys.executable).parent / "mypy").exists(), reason="mypy")
def test_a_type_checker_sees_functions(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import datagen\n"
        "import datagen.run\n"
        "reveal_type(datagen.run('x.toml').n_structures)\n"
        "reveal_type(datagen.curate('x.cif').accepted)\n"
        "reveal_type(datagen.open_dataset('x.zarr'))\n"
    )
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", "--no-error-summary", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert 'Revealed type is "int"' in done.stdout, done.stdout + done.stderr
    assert 'Revealed type is "bool"' in done.stdout, done.stdout
    assert "xarray.core.dataset.Dataset" in done.stdout, done.stdout
