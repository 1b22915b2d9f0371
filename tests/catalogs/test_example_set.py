"""The bundled crystals are what their files, their index and the books say."""

from __future__ import annotations

import gzip
import io
import warnings
from collections import Counter

import gemmi
import numpy as np
import pytest
import spglib
from pymatgen.core import Composition, Structure
from pymatgen.io.cif import CifParser
from pymatgen.io.vasp import Poscar

from catalogs import example_set
from catalogs.config import ExamplesCatalog
from catalogs.open import open_catalog
from catalogs.record import Record

# spglib 2.7 announces a change of its error handling on every call.
pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")

ROWS = example_set.index()
RECORDS = {record.source_id: record for record in open_catalog(ExamplesCatalog())}


def structure_of(record: Record) -> Structure:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CifParser(io.StringIO(record.text), occupancy_tolerance=1.0).parse_structures(primitive=False)[0]


def spglib_cell(structure: Structure) -> tuple[np.ndarray, np.ndarray, list[int]]:
    kinds = [site.species_string for site in structure]
    numbers = [sorted(set(kinds)).index(kind) + 1 for kind in kinds]
    return structure.lattice.matrix, structure.frac_coords, numbers


def test_the_set_covers_the_seven_systems_and_many_groups() -> None:
    assert len(ROWS) >= 60
    assert len({row["space_group_number"] for row in ROWS}) >= 70
    systems = Counter(row["crystal_system"] for row in ROWS)
    assert len(systems) == 7
    assert min(systems.values()) >= 3


def test_index_and_files_are_the_same_set() -> None:
    files = {path.name for path in example_set.FOLDER.glob("*.cif")}
    assert files == {row["file"] for row in ROWS} == set(RECORDS)
    assert all(record.defect is None for record in RECORDS.values())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["file"])
def test_crystal_has_its_group_its_formula_and_room_for_its_atoms(row: dict[str, str]) -> None:
    record = RECORDS[row["file"]]
    structure = structure_of(record)
    for symprec in (0.01, 0.1):
        dataset = spglib.get_symmetry_dataset(spglib_cell(structure), symprec=symprec)
        assert dataset.number == int(row["space_group_number"])
    stated = Composition(row["formula"].replace(" ", "")).fractional_composition
    assert structure.composition.fractional_composition.almost_equals(stated)
    distances = structure.distance_matrix + 10 * np.eye(len(structure))
    has_hydrogen = "H" in structure.composition
    assert distances.min() > (0.9 if has_hydrogen else 1.1)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["file"])
def test_file_cites_its_source_and_agrees_with_itself(row: dict[str, str]) -> None:
    block = gemmi.cif.read_string(RECORDS[row["file"]].text).sole_block()
    authors = [author.strip("'\"") for author in block.find_values("_publ_author_name")]
    assert authors
    assert authors[0].split(",")[0] in row["citation"]
    assert block.find_value("_journal_year") in row["citation"]
    small = gemmi.make_small_structure_from_block(block)
    assert small.spacegroup.number == int(row["space_group_number"])
    assert small.spacegroup.crystal_system_str() == row["crystal_system"]
    assert float(block.find_value("_cell_volume")) == pytest.approx(small.cell.volume, abs=6e-4)
    listed = gemmi.GroupOps([gemmi.Op(op) for op in block.find_values("_space_group_symop_operation_xyz")])
    assert {op.triplet() for op in listed} == {op.triplet() for op in small.spacegroup.operations()}
    structure = structure_of(RECORDS[row["file"]])
    assert float(block.find_value("_exptl_crystal_density_diffrn")) == pytest.approx(structure.density, rel=2e-3)


# Measured densities in g/cm3: CRC Handbook of Chemistry and Physics; Anthony et al., Handbook of Mineralogy.
MEASURED_DENSITY = {
    "silicon": 2.33, "diamond": 3.513, "copper": 8.96, "iron": 7.87, "magnesium": 1.74, "tin": 7.29, "uranium": 19.1,
    "tellurium": 6.24, "arsenic": 5.75, "sulfur": 2.07, "graphite": 2.2, "black_phosphorus": 2.69, "halite": 2.17,
    "fluorite": 3.18, "periclase": 3.6, "calcite": 2.71, "aragonite": 2.93, "quartz": 2.65, "rutile": 4.23,
    "anatase": 3.9, "brookite": 4.13, "cassiterite": 6.99, "zincite": 5.66, "sphalerite": 4.1, "pyrite": 5.02,
    "marcasite": 4.89, "hematite": 5.26, "ilmenite": 4.72, "zircon": 4.65, "scheelite": 6.1, "barite": 4.5,
    "beryl": 2.64, "diopside": 3.28, "kyanite": 3.61, "wollastonite": 2.92, "pyrope": 3.58,
    "sodalite": 2.3, "realgar": 3.56, "chalcopyrite": 4.19, "covellite": 4.68, "brucite": 2.39,
    "baddeleyite": 5.82, "cuprite": 6.1, "fluorapatite": 3.18, "benitoite": 3.65, "cesium_chloride": 3.99,
}  # fmt: skip


@pytest.mark.parametrize("name", MEASURED_DENSITY)
def test_calculated_density_is_the_measured_one(name: str) -> None:
    assert structure_of(RECORDS[f"{name}.cif"]).density == pytest.approx(MEASURED_DENSITY[name], rel=0.03)


def test_densities_belong_to_their_crystals_and_are_small() -> None:
    with_density = [record for record in RECORDS.values() if record.density is not None]
    assert len(with_density) == 6
    assert sum(record.density.path.stat().st_size for record in with_density if record.density) < 2_000_000
    for record in with_density:
        assert record.density is not None
        assert record.density.format == "chgcar"
        with gzip.open(record.density.path, "rt") as stream:
            head = stream.read(4000).split("\n \n")[0]
        calculated = Poscar.from_str(head).structure
        published = structure_of(record)
        assert calculated.volume / len(calculated) == pytest.approx(published.volume / len(published), rel=2e-5)
        assert shells(calculated) == pytest.approx(shells(published), abs=2e-4)


def shells(structure: Structure) -> list[float]:
    """Distances below 3.5 A around every atom, repeated so that cells with any number of atoms compare."""
    around = [sorted(n.nn_distance for n in neighbours) for neighbours in structure.get_all_neighbors(3.5)]
    assert 72 % len(around) == 0
    return sorted(distance for shell in around for distance in shell * (72 // len(around)))
