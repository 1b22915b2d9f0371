"""A scan of a crystal of the library, with another cell, is recognised, and its cell comes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from curation.atoms import cell_parameters
from curation.crystal import Crystal
from curation.niggli import metric_of, reduce_metric
from datagen.errors import DatagenError
from datagen.identification import coarse
from datagen.identification.axis import observe
from datagen.identification.coarse import search
from datagen.identification.identify import identify
from datagen.identification.index import Index, load_index
from datagen.identification.index_build import build_index
from tests.identification.conftest import MINERALS
from tests.identification.scans import observed, scan_of, stretched
from trainer.simulate.axis import LN_Q_STEP as STEP


def crystals(library: Path) -> dict[str, Crystal]:
    table = pq.read_table(library / "curation.parquet").to_pylist()
    return {line["source_id"].removesuffix(".cif"): Crystal.from_json(line["structure"]) for line in table}


def niggli_of(crystal: Crystal) -> np.ndarray:
    change = reduce_metric(metric_of(crystal.lattice_A), 1e-5)
    return np.array(cell_parameters(change @ crystal.lattice_A))


@pytest.mark.parametrize(
    ("mineral", "group", "size", "axial"),
    [
        ("halite", 225, 0.05, 0.0),
        ("quartz", 154, -0.04, 0.0),
        ("rutile", 136, 0.02, 0.012),
        ("aragonite", 62, -0.02, 0.008),
        ("barite", 62, 0.03, 0.0),
        ("covellite", 194, 0.0, -0.01),
    ],
)
def test_a_crystal_with_another_cell_is_recognised(
    library: Path, index: Index, mineral: str, group: int, size: float, axial: float
) -> None:
    original = crystals(library)[mineral]
    strains = index.strains[names_of(index).index(mineral)]
    # Along the first strain that the symmetry leaves free, and in size.
    crystal = stretched(original, size * np.eye(3) + axial * strains[0].astype(np.float64))
    (found,) = identify([index], [(mineral, observed(crystal, zero_deg=0.03))])
    best = found.candidates[0]
    assert best.source_id == f"{mineral}.cif"
    assert found.is_explained
    assert int(found.space_group.argmax()) + 1 == best.space_group == group
    wanted = niggli_of(crystal)
    np.testing.assert_allclose(best.niggli[:3], wanted[:3], rtol=4e-3)
    np.testing.assert_allclose(best.niggli[3:], wanted[3:], atol=0.4)
    assert best.explained_lines > 0.7


def names_of(index: Index) -> list[str]:
    return [names["source_id"].removesuffix(".cif") for names in index.names]


def test_another_wavelength_changes_nothing(library: Path, index: Index) -> None:
    crystal = crystals(library)["rutile"]
    answers = identify(
        [index],
        [("Cu", observed(crystal)), ("Mo", observed(crystal, wavelength_A=0.709317))],
    )
    assert {answer.candidates[0].source_id for answer in answers} == {"rutile.cif"}
    cells = np.array([answer.candidates[0].niggli for answer in answers])
    np.testing.assert_allclose(cells[0], cells[1], rtol=3e-3)


def test_answers_do_not_depend_on_what_else_is_asked(library: Path, index: Index) -> None:
    known = crystals(library)
    scans = [(name, observed(known[name])) for name in ("halite", "rutile", "calcite")]
    together = identify([index], scans)
    alone = [identify([index], [scan])[0] for scan in scans]
    for a, b in zip(together, alone, strict=True):
        assert a.candidates == b.candidates
        np.testing.assert_array_equal(a.space_group, b.space_group)


def test_a_library_without_the_crystal_does_not_explain_it(library: Path, index: Index) -> None:
    crystal = crystals(library)["barite"]
    allowed = np.array([name != "barite" for name in names_of(index)])
    (found,) = identify([index], [("barite", observed(crystal))], allowed=[allowed])
    assert not found.is_explained
    assert "nothing in the library explains this scan" in repr(found)


def test_two_libraries_are_one(library: Path, index: Index) -> None:
    crystal = crystals(library)["calcite"]
    names = names_of(index)
    halves = [np.arange(len(names)) % 2 == k for k in (0, 1)]
    (found,) = identify([index, index], [("calcite", observed(crystal))], allowed=halves)
    assert found.candidates[0].source_id == "calcite.cif"
    assert sorted(c.source_id for c in found.candidates) == sorted(f"{name}.cif" for name in names)


def test_no_candidate_is_an_answer(library: Path, index: Index) -> None:
    scan = observed(crystals(library)["halite"])
    (found,) = identify([index], [("x", scan)], allowed=[np.zeros(len(index), dtype=bool)])
    assert found.candidates == []
    assert not found.is_explained
    np.testing.assert_allclose(found.space_group, 1 / 230)


def test_a_scan_on_the_axis_has_no_background_and_a_mask(library: Path) -> None:
    angle, counts = scan_of(crystals(library)["halite"])
    scan = observe(angle, counts, 1.5405929)
    q = np.exp(np.log(0.36) + STEP * (np.arange(2048) + 0.5))
    two_theta = 2 * np.degrees(np.arcsin(q * 1.5405929 / (4 * np.pi)))
    inside = (two_theta > angle[0] + 0.1) & (two_theta < angle[-1] - 0.1)
    assert scan.measured[inside].all()
    assert not scan.measured[two_theta < angle[0] - 0.1].any()
    strongest = two_theta[int(scan.intensity.argmax())]
    assert abs(strongest - 31.69) < 0.1
    between = (two_theta > 36) & (two_theta < 42)
    assert float(scan.intensity[between].mean()) < 0.03


def test_a_scan_beside_the_axis_is_refused() -> None:
    with pytest.raises(DatagenError, match="covers too little of the range"):
        observe(np.linspace(1, 3, 500), np.ones(500), 1.54)
    with pytest.raises(DatagenError, match="covers too little of the range"):
        observe(np.linspace(10, 80, 500), np.zeros(500), 1.54)


def test_two_programs_may_make_an_index_at_a_time(library: Path, tmp_path: Path) -> None:
    out = tmp_path / "twice.index"
    inner: list[Path] = []

    def meanwhile(_: int) -> None:
        if not inner:
            inner.append(build_index(library, out, workers=1))

    assert build_index(library, out, workers=1, report=meanwhile) == out
    assert inner == [out]
    found = load_index(library, out)
    assert found is not None
    assert len(found) == len(MINERALS)
    assert [path.name for path in tmp_path.iterdir()] == ["twice.index"]


def test_the_first_look_keeps_the_structure(library: Path, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {name: search(index, [observed(crystals(library)[name])], 60)[0] for name in MINERALS}
    monkeypatch.setattr(coarse, "KEPT", 2)
    for name, every in whole.items():
        (found,) = search(index, [observed(crystals(library)[name])], 1)
        assert names_of(index)[int(found.structure[0])] == name
        assert (found.structure[0], found.shift[0]) == (every.structure[0], every.shift[0])
        assert found.cosine[0] == pytest.approx(every.cosine[0], abs=1e-6)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="the system does not say what is mapped")
def test_a_search_leaves_no_pages_of_the_library_mapped(library: Path, index: Index) -> None:
    def resident_kB(name: str) -> int:
        found, inside = 0, False
        for line in Path("/proc/self/smaps").read_text().splitlines():
            if "-" in line.split(" ")[0]:
                inside = line.endswith(str(getattr(index, name).filename))
            elif inside and line.startswith("Rss:"):
                found += int(line.split()[1])
        return found

    halite = observed(crystals(library)["halite"])
    assert int(index.pattern[:].max()) == 255
    assert resident_kB("pattern") > 0
    before = search(index, [halite], 3)
    assert [resident_kB(name) for name in ("rough", "pattern", "hkl", "intensity")] == [0, 0, 0, 0]
    again = search(index, [halite], 3)
    np.testing.assert_array_equal(before[0].structure, again[0].structure)
    np.testing.assert_array_equal(before[0].cosine, again[0].cosine)
