"""Predictions are combined with the answers of a library, by the numbers that its file states."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from trainer.errors import TrainerError
from trainer.prediction.library import read_library_answers, short_name, with_library
from trainer.prediction.result import CellValue, RankedGroup, RankedSystem, ScanPrediction

SHARE = {"network_share": 0.3}
NUMBERS = {"network_weight": 0.6, "network_floor": 0.003, "library_weight": 0.9, "library_floor": 0.003}
SYSTEMS = ("triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic")


def prediction(name: str, groups: dict[int, float]) -> ScanPrediction:
    rest = (1 - sum(groups.values())) / (230 - len(groups))
    listed = [RankedGroup(n, f"G{n}", groups.get(n, rest), None) for n in range(1, 231)]
    systems = tuple(RankedSystem(s, 1 / 7, None) for s in SYSTEMS)
    cell = {key: CellValue(5.0, None) for key in ("a", "b", "c")}
    return ScanPrediction(name, 1.54, systems, tuple(sorted(listed, key=lambda g: -g.probability)), cell)


def line(scan: str, groups: dict[int, float], **changes: object) -> str:
    found = np.full(230, (1 - sum(groups.values())) / (230 - len(groups)))
    for number, p in groups.items():
        found[number - 1] = p
    return json.dumps({"scan": scan, "library_space_group": found.tolist(), "combination": SHARE} | changes)


@pytest.mark.parametrize(
    ("network", "library", "first", "decided"),
    [
        ({225: 0.9}, {225: 0.8}, 225, "both"),
        ({225: 0.4, 62: 0.3}, {62: 0.95}, 62, "library"),
        ({225: 0.95}, {62: 0.05, 225: 0.04}, 225, "network"),
        ({225: 0.6, 14: 0.35}, {62: 0.3, 14: 0.28}, 14, "neither"),
    ],
)
def test_the_file_and_the_network_decide_together(
    tmp_path: Path, network: dict[int, float], library: dict[int, float], first: int, decided: str
) -> None:
    (tmp_path / "a.jsonl").write_text(line("more.zip:inside/x.xy", library) + "\n" + '{"scan": "y", "error": "bad"}\n')
    answers = read_library_answers(tmp_path / "a.jsonl")
    assert set(answers) == {"x.xy"}
    found = with_library(prediction("/somewhere/x.xy", network), answers, 5)
    assert (found.space_group[0].number, found.details["decided_by"]) == (first, decided)
    assert len(found.space_group) == 5
    p, q = (np.full(230, (1 - sum(g.values())) / (230 - len(g))) for g in (network, library))
    for array, given in ((p, network), (q, library)):
        for number, value in given.items():
            array[number - 1] = value
    assert found.space_group[0].probability == pytest.approx(0.3 * p[first - 1] + 0.7 * q[first - 1])
    assert sum(system.probability for system in found.crystal_system) == pytest.approx(1)
    assert found.crystal_system[0].name == {225: "cubic", 62: "orthorhombic", 14: "monoclinic"}[first]


@pytest.mark.parametrize("weight", [None, 0.9])
def test_a_file_of_an_earlier_version_states_a_product(tmp_path: Path, weight: float | None) -> None:
    """The first version has no weight of the library, which was 1."""
    earlier = {name: value for name, value in NUMBERS.items() if weight is not None or name != "library_weight"}
    (tmp_path / "a.jsonl").write_text(line("x.xy", {62: 0.9}, combination=earlier))
    answer = read_library_answers(tmp_path / "a.jsonl")["x.xy"]
    network = np.full(230, 0.1 / 229)
    network[224] = 0.9
    wanted = (network + 0.003) ** 0.6 * (answer.space_group + 0.003) ** (weight or 1.0)
    np.testing.assert_allclose(answer.combined(network), wanted / wanted.sum())


def test_a_scan_without_an_answer_keeps_the_networks(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(line("x.xy", {62: 0.9}))
    answers = read_library_answers(tmp_path / "a.jsonl")
    found = with_library(prediction("z.xy", {225: 0.9}), answers, 3)
    assert found.space_group[0].number == 225
    assert found.details["library"] == "no answer for this scan"


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        line("x", {62: 0.9}, library_space_group=[0.5]),
        line("x", {62: 0.9}, combination={}),
        line("x", {62: 0.9}, combination={"network_share": 1.2}),
        line("x", {62: 0.9}, combination={"network_share": "nan"}),
        line("x", {62: 0.9}, combination=NUMBERS | {"library_floor": 0.0}),
        line("x", {62: 0.9}, combination=NUMBERS | {"library_weight": -1.0}),
        line("a/x", {62: 0.9}) + "\n" + line("b/x", {62: 0.9}),
        "[]",
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(TrainerError, match="line"):
        read_library_answers(tmp_path / "a.jsonl")
    with pytest.raises(TrainerError, match=r"datagen identify --out FILE\.jsonl"):
        read_library_answers(tmp_path / "missing.jsonl")


def test_names_are_those_of_the_files() -> None:
    assert [short_name(n) for n in ("/a/b.xy", "m.zip:in/b.xy", "d.zarr:b.xy")] == ["b.xy"] * 3
