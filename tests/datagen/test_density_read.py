from __future__ import annotations

import bz2
import errno
import gzip
import json
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from catalogs.record import DensityRef
from datagen.simulate.density.chgcar import parse_chgcar
from datagen.simulate.density.cube import BOHR_A, parse_cube
from datagen.simulate.density.grid import DensityGrid, parse_numbers
from datagen.simulate.density.read import parse_mp_json, read_density
from datagen.store.density_codes import DensityRefused

LATTICE = np.array([[3.0, 0.0, 0.0], [0.5, 4.0, 0.0], [0.2, -0.3, 5.0]])
VOLUME = float(np.linalg.det(LATTICE))
GRID = (3, 4, 5)
VALUES = np.random.default_rng(0).uniform(0.1, 1.0, GRID)


def fortran(values: NDArray[np.float64], columns: int = 5) -> str:
    words = [f" {v:.11E}" for v in values.ravel(order="F")]
    return "".join("".join(words[i : i + columns]) + "\n" for i in range(0, len(words), columns))


def header(version: int = 5, scale: str = "1.0", mode: str = "Direct") -> str:
    symbols = "  Mg O\n" if version == 5 else ""
    rows = "".join(f" {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in LATTICE)
    return f"a comment\n {scale}\n{rows}{symbols} 1 2\n{mode}\n 0 0 0\n 0.5 0.5 0.5\n 0.2 0.3 0.4\n\n"


def block(values: NDArray[np.float64] = VALUES) -> str:
    return " ".join(str(n) for n in values.shape) + "\n" + fortran(values * VOLUME)


def augmentation(atoms: int = 3) -> str:
    return "".join(f"augmentation occupancies  {i} 7\n{fortran(np.ones(7))}" for i in range(1, atoms + 1))


def reason(parse: Callable[[bytes], DensityGrid], text: str | bytes) -> str:
    with pytest.raises(DensityRefused) as refused:
        parse(text.encode() if isinstance(text, str) else text)
    return refused.value.code


@pytest.mark.parametrize(
    "text",
    {
        "VASP 5": header() + block(),
        "VASP 4": header(4) + block(),
        "selective dynamics": header(mode="Selective dynamics\nDirect") + block(),
        "augmentation": header() + block() + augmentation(),
        "spin": header() + block() + augmentation() + "  0.1E+01 0.2 0.3\n" + block(-VALUES) + augmentation(),
        "spin without augmentation": header() + block() + block(-VALUES),
        "non-collinear": header()
        + 4 * (block() + augmentation() + augmentation().replace("s  ", "s (imaginary part) ")),
        "ten columns": header() + "3 4 5\n" + fortran(VALUES * VOLUME, 10),
        "scale by volume": header(scale=f"-{VOLUME}") + block(),
    }.values(),
)
def test_chgcar_gives_the_total_density(text: str) -> None:
    grid = parse_chgcar(text.encode())
    np.testing.assert_allclose(grid.values, VALUES, rtol=1e-10)
    np.testing.assert_allclose(grid.lattice_A, LATTICE, atol=1e-6)
    assert [n for _, n in grid.amounts] == [1, 2]
    assert grid.electrons == pytest.approx(VALUES.mean() * VOLUME)


def test_chgcar_names_the_atoms_of_both_versions() -> None:
    assert parse_chgcar((header() + block()).encode()).amounts == (("Mg", 1), ("O", 2))
    assert parse_chgcar((header(4) + block()).encode()).amounts == (("", 1), ("", 2))
    told_in_the_comment = header(4).replace("a comment", "Mg O") + block()
    assert parse_chgcar(told_in_the_comment.encode()).amounts == (("Mg", 1), ("O", 2))
    hashed = header().replace("Mg O", "Mg_pv/8a9f O_GW")
    assert parse_chgcar((hashed + block()).encode()).amounts == (("Mg", 1), ("O", 2))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (header() + block()[:-40], "truncated"),
        (header() + block().rstrip("\n")[:-8], "truncated"),  # within the last number: the count is still right
        (header()[:60], "truncated"),
        (header() + "3 4\n", "bad_format"),
        (header() + block() + augmentation(2), "truncated"),
        (header() + block() + augmentation()[:-30], "truncated"),
        (header() + block() + augmentation() + block()[:-100], "truncated"),
        (header() + block() + "3 4 6\n" + fortran(VALUES), "grid_mismatch"),
        (header() + block() + "something else\n", "bad_format"),
        (header() + block().replace("E+00", "E+0x", 1), "bad_format"),
        (header() + block().replace(block().split()[9], "***************", 1), "bad_format"),
        (header() + block().replace(block().split()[9], "NaN", 1), "not_finite"),
        (header().replace("4.000000", "0.000000").replace("-0.300000", "0.000000") + block(), "bad_cell"),
        (header().replace("Mg O", "Xx O") + block(), "bad_format"),
        ("", "truncated"),
    ],
)
def test_damaged_chgcar_is_refused_with_a_reason(text: str, code: str) -> None:
    assert reason(parse_chgcar, text) == code


def test_a_chgcar_cut_anywhere_never_gives_another_density() -> None:
    text = (header() + block() + augmentation() + block(-VALUES) + augmentation()).encode()
    for end in range(len(text)):
        try:
            grid = parse_chgcar(text[:end])
        except DensityRefused:
            continue
        np.testing.assert_allclose(grid.values, VALUES, rtol=1e-10)


def test_fortran_numbers_without_e_do_not_shift_the_rest() -> None:
    numbers = parse_numbers(b" 0.1E+01 0.123-100 -.5+101 .25E-02\n 7.-123", 5)
    np.testing.assert_allclose(numbers, [1.0, 0.123e-100, -0.5e101, 0.0025, 7e-123])
    with pytest.raises(DensityRefused):
        parse_numbers(b"1.0 2.0 3.0", 2)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_numbers_come_back_as_written(values: list[float]) -> None:
    text = " ".join(f"{v:.17e}" for v in values).encode()
    assert parse_numbers(text, len(values)).tolist() == values


def cube(values: NDArray[np.float64] = VALUES, atoms: int = 3) -> str:
    axes = "".join(f"{n} {' '.join(f'{x / n / BOHR_A:.9f}' for x in v)}\n" for n, v in zip(GRID, LATTICE, strict=True))
    rows = "12 12.0 0 0 0\n8 8.0 1 1 1\n8 8.0 2 2 2\n"
    numbers = "\n".join(" ".join(f"{v:.10E}" for v in row) for row in (values * BOHR_A**3).reshape(-1, GRID[2]))
    return f"title\nmore\n{atoms} 0.0 0.0 0.0\n{axes}{rows}{numbers}\n"


def test_cube_is_read_in_atomic_units_z_fastest() -> None:
    grid = parse_cube(cube().encode())
    np.testing.assert_allclose(grid.values, VALUES, rtol=1e-9)
    np.testing.assert_allclose(grid.lattice_A, LATTICE, atol=1e-6)
    assert grid.amounts == (("Mg", 1), ("O", 2))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (cube()[:-20], "truncated"),
        (cube()[:40], "truncated"),
        (cube(atoms=-3), "bad_format"),
        (cube().replace("12 12.0", "xx 12.0"), "bad_format"),
        (cube() + " 1.0E+00\n", "bad_format"),
        (cube(np.where(VALUES.argmax() == np.arange(60).reshape(GRID), np.nan, VALUES)), "not_finite"),
    ],
)
def test_damaged_cube_is_refused_with_a_reason(text: str, code: str) -> None:
    assert reason(parse_cube, text) == code


def mp_json(wrap: bool = False) -> str:
    from pymatgen.core import Lattice, Structure
    from pymatgen.io.vasp import Chgcar, Poscar

    structure = Structure(Lattice(LATTICE), ["Mg", "O", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.2, 0.3, 0.4]])
    chgcar = Chgcar(Poscar(structure), {"total": VALUES * VOLUME})
    content = json.loads(chgcar.to_json())
    return json.dumps({"task_id": "mp-1", "data": content} if wrap else content)


@pytest.mark.parametrize("wrap", [False, True])
def test_materials_project_json_is_read(wrap: bool) -> None:
    grid = parse_mp_json(mp_json(wrap).encode())
    np.testing.assert_allclose(grid.values, VALUES)
    np.testing.assert_allclose(grid.lattice_A, LATTICE)
    assert grid.amounts == (("Mg", 1), ("O", 2))


def test_json_names_no_code_to_run() -> None:
    hostile = mp_json().replace("pymatgen.io.vasp.outputs", "os").replace("Chgcar", "system")
    np.testing.assert_allclose(parse_mp_json(hostile.encode()).values, VALUES)


@pytest.mark.parametrize(("text", "code"), [("{", "truncated"), ("[]", "bad_format"), ('{"data": 1}', "bad_format")])
def test_damaged_json_is_refused_with_a_reason(text: str, code: str) -> None:
    assert reason(parse_mp_json, text) == code


@pytest.mark.parametrize("packing", ["plain", "gz", "bz2", "zip", "tar"])
def test_packed_files_and_archive_entries_are_read(tmp_path: Path, packing: str) -> None:
    text = (header() + block()).encode()
    path = tmp_path / "CHGCAR"
    member = None
    if packing in ("zip", "tar"):
        member = "folder/CHGCAR.gz"
        (tmp_path / "packed").write_bytes(gzip.compress(text))
        if packing == "zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.write(tmp_path / "packed", member)
        else:
            with tarfile.open(path, "w:gz") as archive_tar:
                archive_tar.add(tmp_path / "packed", member)
    else:
        pack = {"plain": bytes, "gz": gzip.compress, "bz2": bz2.compress}[packing]
        path.write_bytes(pack(text))
    np.testing.assert_allclose(read_density(DensityRef(path, "chgcar", member)).values, VALUES, rtol=1e-10)


def test_files_that_cannot_be_had_are_refused_with_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "CHGCAR.gz"

    def code(**options: int) -> str:
        with pytest.raises(DensityRefused) as refused:
            read_density(DensityRef(path, "chgcar"), **options)
        return refused.value.code

    assert code() == "unreadable"
    whole = gzip.compress((header() + block()).encode())
    path.write_bytes(whole[:-20])
    assert code() == "truncated"
    path.write_bytes(whole)
    assert code(max_bytes=100) == "too_large"


def test_a_machine_that_fails_says_nothing_about_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more_files(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Path, "open", no_more_files)
    with pytest.raises(OSError, match="Too many open files"):
        read_density(DensityRef(tmp_path / "CHGCAR", "chgcar"))


def test_real_files_read_as_pymatgen_reads_them(shared_data: Path) -> None:
    from pymatgen.io.vasp import Chgcar

    files = sorted((shared_data / "densities").glob("*/*.CHGCAR.gz"))
    whole = [f for f in files if not f.name.startswith("broken")]
    assert len(whole) >= 33
    for path in whole:
        grid = read_density(DensityRef(path, "chgcar"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pymatgen remarks on symbols that a header lacks
            expected = Chgcar.from_file(path)
        ours, theirs = grid.values * grid.volume_A3, expected.data["total"]
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12 * theirs.max(), err_msg=path.name)
        assert dict(grid.amounts) == {k: int(v) for k, v in expected.structure.composition.as_dict().items()}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("broken_gzip_stream_cut", "truncated"),
        ("broken_nan", "not_finite"),
        ("broken_spin_diff_block_cut", "truncated"),
        ("broken_truncated", "truncated"),
    ],
)
def test_real_damage_is_refused_with_a_reason(shared_data: Path, name: str, code: str) -> None:
    with pytest.raises(DensityRefused) as refused:
        read_density(DensityRef(shared_data / "densities" / "ours" / f"{name}.CHGCAR.gz", "chgcar"))
    assert refused.value.code == code
