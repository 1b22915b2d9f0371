"""The distance between space groups against known chains of subgroups."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.training.gemd import hop_matrix, subgroup_edges


def test_the_matrix_is_a_distance_on_a_connected_graph() -> None:
    d = hop_matrix()
    assert d.shape == (230, 230)
    assert (d == d.T).all()
    assert (np.diag(d) == 0).all()
    assert (d[~np.eye(230, dtype=bool)] > 0).all()
    assert (d[:, :, None] <= d[:, None, :] + d.T[None, :, :]).all()


def test_edges_are_the_pairs_one_step_apart() -> None:
    pairs = {(a, b) for a, b, _ in subgroup_edges()}
    assert len(pairs) == len(subgroup_edges()) == 1237
    assert all(a < b for a, b in pairs)
    assert {(a + 1, b + 1) for a, b in np.argwhere(np.triu(hop_matrix() == 1)).tolist()} == pairs


def test_the_graph_has_the_size_of_the_published_one() -> None:
    # The t- and k-tables of PyXtal give 1235 edges, a largest distance of 6 and a mean (diagonal included) of 3.053;
    # they lack 22-97 and 212-213.
    d = hop_matrix()
    assert d.max() == 6
    assert d.mean() == pytest.approx(3.053, abs=1e-3)
    kinds = [kind for _, _, kind in subgroup_edges()]
    assert sum("t" in kind for kind in kinds) == 789 + 1
    assert sum("k" in kind for kind in kinds) == 446 + 1


@pytest.mark.parametrize(
    ("group", "subgroup", "kind"),
    [
        (2, 1, "t"),  # P-1 > P1
        (225, 216, "t"),  # Fm-3m > F-43m
        (225, 166, "t"),  # Fm-3m > R-3m
        (225, 139, "t"),  # Fm-3m > I4/mmm
        (225, 221, "k"),  # Fm-3m > Pm-3m
        (221, 225, "k"),  # Pm-3m > Fm-3m with a doubled cell
        (229, 221, "k"),  # Im-3m > Pm-3m
        (227, 216, "t"),  # Fd-3m > F-43m
        (97, 22, "t"),  # I422 > F222
        (76, 78, "k"),  # P4_1 > P4_3 with c' = 3c
        (169, 170, "k"),  # P6_1 > P6_5 with c' = 5c
        (212, 213, "k"),  # P4_332 > P4_132 with a' = 3a
        (62, 14, "t"),  # Pnma > P2_1/c
    ],
)
def test_known_maximal_subgroups_are_edges(group: int, subgroup: int, kind: str) -> None:
    found = {(a, b): k for a, b, k in subgroup_edges()}
    assert kind in found[min(group, subgroup), max(group, subgroup)]


@pytest.mark.parametrize(("group", "other"), [(225, 1), (225, 2), (62, 1), (216, 227 - 2 + 5)])
def test_groups_far_apart_are_not_edges(group: int, other: int) -> None:
    assert hop_matrix()[group - 1, other - 1] > 1


def test_perovskite_chain_takes_the_textbook_number_of_steps() -> None:
    # Pm-3m -t-> P4/mmm -t-> Pmmm: two steps, and no maximal subgroup of a cubic group is orthorhombic primitive.
    assert hop_matrix()[221 - 1, 123 - 1] == 1
    assert hop_matrix()[123 - 1, 47 - 1] == 1
    assert hop_matrix()[221 - 1, 47 - 1] == 2
