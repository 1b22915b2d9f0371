"""Figures of an evaluation on measured scans, against values worked out by hand."""

from __future__ import annotations

import itertools

import gemmi
import numpy as np
import pytest

from trainer.prediction.scoring.answers import Answers, Truths
from trainer.prediction.scoring.report import calibration, cell_errors, extinction_classes, figures, score

NAMES = dict(enumerate(("triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic")))
CELL = [4.0, 5.0, 6.0, 90.0, 95.0, 100.0]


def one_hot(classes: int, chosen: list[int], p: float = 0.9) -> np.ndarray:
    found = np.full((len(chosen), classes), (1 - p) / (classes - 1))
    found[np.arange(len(chosen)), chosen] = p
    return found


def truths(group: list[int], system: list[int], niggli: list[list[float]], seen: list[int] | None = None) -> Truths:
    n = len(group)
    return Truths(
        np.arange(n),
        [f"s{i}" for i in range(n)],
        ["a"] * (n - 1) + ["b"],
        ["X"] * n,
        np.array(system),
        np.array(group),
        np.array(niggli, dtype=float),
        np.array([-1] * n if seen is None else seen, dtype=np.int8),
    )


def answers(group: list[int], system: list[int], niggli: list[list[float]]) -> Answers:
    return Answers(one_hot(7, system)[None], one_hot(230, group)[None], np.array(niggli, dtype=float)[None])


def test_accuracies_and_baselines() -> None:
    known = truths([224, 224, 61, 13], [6, 6, 2, 1], [CELL] * 4)
    found = figures(answers([224, 220, 61, 13], [6, 6, 6, 1], [CELL] * 4), known)
    assert found["space_group"]["accuracy"] == 0.75
    assert found["space_group"]["majority"] == 0.5
    assert found["space_group"]["prior"] == 0.25 + 2 / 16
    assert found["crystal_system"]["accuracy"] == 0.75
    assert found["crystal_system"]["half_width"] == pytest.approx(1.96 * np.sqrt(0.75 * 0.25 / 4), rel=1e-3)
    assert found["graph_distance"]["share"][0] == 0.75
    assert found["cell"]["usable"] == {"1_percent_1_deg": 1.0, "5_percent_3_deg": 1.0}


def test_the_first_five_hold_what_is_ranked_fifth_and_not_what_is_sixth() -> None:
    probability = np.zeros((2, 230))
    probability[:, :6] = [0.3, 0.2, 0.15, 0.13, 0.12, 0.1]
    found = figures(
        Answers(one_hot(7, [0, 0])[None], probability[None], np.array([[CELL] * 2])), truths([4, 5], [0, 0], [CELL] * 2)
    )
    assert (found["space_group"]["top5"], found["space_group"]["top10"]) == (0.5, 1.0)


def test_unknown_labels_are_left_out_of_the_figures_that_need_them() -> None:
    known = truths([224, -1], [6, 6], [CELL, [np.nan] * 6])
    found = figures(answers([224, 0], [6, 0], [CELL] * 2), known)
    assert (found["with_space_group"], found["with_cell"], found["scans"]) == (1, 1, 2)
    assert found["space_group"]["accuracy"] == 1.0
    assert found["crystal_system"]["accuracy"] == 0.5
    nothing = figures(answers([224], [6], [CELL]), truths([-1], [-1], [[np.nan] * 6]))
    assert nothing["space_group"] is nothing["crystal_system"] is nothing["cell"] is nothing["extinction"] is None


def test_extinction_classes_are_those_of_the_absences() -> None:
    """Groups of one class have the same lattice and absences, under an exchange of axes where that is free."""
    hkl = [h for h in itertools.product(range(-4, 5), repeat=3) if h != (0, 0, 0)]
    hkl += [tuple(np.roll((0, 0, n), k)) for n in range(5, 13) for k in range(3)]
    classes = extinction_classes()

    def absences(number: int, order: tuple[int, ...]) -> tuple[bool, ...]:
        operations = gemmi.find_spacegroup_by_number(number).operations()
        return tuple(operations.is_systematically_absent([int(h[i]) for i in order]) for h in hkl)

    for number in range(1, 231):
        first = int(classes[number - 1]) + 1
        assert first <= number
        free = 16 <= number <= 74 or number >= 195
        orders = list(itertools.permutations(range(3))) if free else [(0, 1, 2)]
        reference = absences(first, (0, 1, 2))
        assert any(absences(number, order) == reference for order in orders), (number, first)
    assert classes[62 - 1] == classes[33 - 1]
    assert classes[225 - 1] == classes[216 - 1] != classes[227 - 1]
    assert len(set(classes.tolist())) == 97


def test_a_wrong_group_of_the_right_class_counts_for_the_extinction() -> None:
    found = figures(answers([215], [6], [CELL]), truths([224], [6], [CELL]))
    assert found["space_group"]["accuracy"] == 0.0
    assert found["extinction"]["accuracy"] == 1.0


def test_edges_may_come_in_any_order_with_their_angles() -> None:
    turned = np.array([[6.0, 4.0, 5.0, 100.0, 90.0, 95.0]])
    lengths, angles = cell_errors(turned, np.array([CELL]))
    both = lengths.min(axis=1) + angles[np.arange(1), lengths.argmin(axis=1)]
    assert both == pytest.approx(0.0)
    swapped = np.array([[6.0, 4.0, 5.0, 90.0, 95.0, 100.0]])
    _, wrong = cell_errors(swapped, np.array([CELL]))
    assert wrong[0, cell_errors(swapped, np.array([CELL]))[0].argmin()] == pytest.approx(10.0)


def test_calibration_error_of_known_bins() -> None:
    confidence = np.array([0.95] * 10 + [0.55] * 10)
    correct = np.array([True] * 5 + [False] * 5 + [True] * 5 + [False] * 5)
    found = calibration(confidence, correct)
    assert found["error"] == pytest.approx(0.5 * 0.45 + 0.5 * 0.05)
    assert [b["scans"] for b in found["bins"]] == [10, 10]
    assert calibration(np.ones(4), np.ones(4, dtype=bool))["error"] == 0.0


def test_parts_and_ensembles() -> None:
    known = truths([224, 61, 13], [6, 2, 1], [CELL] * 3, seen=[1, 0, 0])
    right = answers([224, 61, 13], [6, 2, 1], [CELL] * 3)
    wrong = answers([0, 0, 0], [0, 0, 0], [CELL] * 3)
    both = Answers(
        np.concatenate([right.crystal_system, 0.2 * wrong.crystal_system]),
        np.concatenate([right.space_group, 0.2 * wrong.space_group]),
        np.concatenate([right.lattice, wrong.lattice]),
    )
    found = score(both, known, NAMES)
    assert set(found["parts"]) == {"seen", "unseen", "source a", "source b"}
    assert [found["parts"][name]["scans"] for name in ("seen", "unseen", "source a", "source b")] == [1, 2, 2, 1]
    assert set(found["by_crystal_system"]) == {"cubic", "orthorhombic", "monoclinic"}
    assert [s["space_group"] for s in found["ensemble_sizes"]] == [0.5, 1.0]
    assert found["all"]["space_group"]["single_models"] == 0.5
