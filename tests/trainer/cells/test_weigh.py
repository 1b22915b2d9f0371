"""What lines say changes a network's answers, and only where they say something."""

from __future__ import annotations

import numpy as np
import pytest

from tests.trainer.cells.test_cell_search import values_of
from trainer.prediction.cells import conventional as c
from trainer.prediction.cells.search import FoundCell, spacings
from trainer.prediction.cells.weigh import MOST_AGAINST, LineEvidence, line_evidence, weighed, with_lines
from trainer.prediction.qmixer import QMixerPrediction, ranked
from trainer.simulate.axis import LN_Q_STEP, N_BINS, Q_MIN
from trainer.training.bravais import BRAVAIS, bravais_of_groups

OP, TP, MP = (BRAVAIS.index(name) for name in ("oP", "tP", "mP"))


def predicted(**shares: float) -> QMixerPrediction:
    """Return a prediction with shares of lattices, even over the groups of each, and cells that are 5 % too large."""
    probability = np.zeros(230)
    for name, share in shares.items():
        of_lattice = bravais_of_groups() == BRAVAIS.index(name)
        probability[of_lattice] = share / of_lattice.sum()
    cells = np.array([c.niggli_cell(lattice, values_of(lattice)) for lattice in BRAVAIS])
    cells[:, :3] *= 1.05
    return QMixerPrediction(probability, cells, 1.0)


def pattern(lattice: str, absent: bool = False) -> np.ndarray:
    """Return inputs with a peak at each line of a cell; without those that a 2_1 axis along c takes, if `absent`."""
    hkl_terms, at = spacings(lattice, values_of(lattice), np.log(5.0))
    if absent:
        on_axis = (hkl_terms[:, :2] == 0).all(axis=1)
        at = at[~(on_axis & (np.sqrt(hkl_terms[:, 2]).round() % 2 == 1))]
    place = (at - np.log(Q_MIN)) / LN_Q_STEP - 0.5
    heights = np.random.default_rng(1).uniform(0.2, 1.0, len(place))
    bins = np.arange(N_BINS)[:, None]
    intensity = (heights * np.exp(-0.5 * ((bins - place) / 1.5) ** 2)).sum(axis=1)
    return np.stack([np.sqrt(intensity / intensity.max()), np.ones(N_BINS)]).astype(np.float32)


def test_the_lattice_whose_cell_explains_the_lines_gains() -> None:
    before = predicted(oP=0.3, tP=0.7)
    after = with_lines(before, pattern("oP"))
    assert after.space_group.sum() == pytest.approx(1.0)
    assert after.bravais[OP] > 0.9
    np.testing.assert_allclose(after.niggli, c.niggli_cell("oP", values_of("oP")), rtol=3e-3)
    assert after.line_odds is not None
    assert after.line_odds[OP] > after.line_odds[TP] + 10
    assert np.isneginf(after.line_odds[MP])
    np.testing.assert_array_equal(after.lattices[MP], before.lattices[MP])
    answer = ranked(after, ["?"] * 230, 5)
    assert answer["bravais_lattice"][0]["line_odds"] == after.line_odds[OP]


def test_the_same_scan_has_the_same_answer() -> None:
    before, inputs = predicted(oP=0.5, tP=0.5), pattern("oP")
    np.testing.assert_array_equal(with_lines(before, inputs).space_group, with_lines(before, inputs).space_group)


def test_groups_of_absent_lines_gain() -> None:
    """Group 17 (P222_1) is without 001, 003 and so on; 16 (P222) has them, and 60 (Pbcn) lacks many more."""
    of_all, of_some = (line_evidence(predicted(oP=1.0), pattern("oP", absent)).absences for absent in (False, True))
    assert of_some[16] > of_some[15]
    assert of_all[59] < of_all[15] - 5


def test_odds_that_luck_explains_change_little() -> None:
    before = predicted(oP=0.5, tP=0.5)
    lucky = {OP: FoundCell("oP", values_of("oP"), 0.0, 5.0), TP: FoundCell("tP", values_of("tP"), 0.0, 8.0)}
    after = weighed(before, LineEvidence(lucky, np.zeros(230)))
    np.testing.assert_allclose(after.bravais, before.bravais, atol=0.1)
    against = np.full(230, -MOST_AGAINST)
    np.testing.assert_allclose(weighed(before, LineEvidence(lucky, against)).bravais, before.bravais, atol=0.1)


def test_a_scan_without_peaks_leaves_the_network_alone() -> None:
    before = predicted(oP=0.5, tP=0.5)
    assert with_lines(before, np.stack([np.zeros(N_BINS), np.ones(N_BINS)]).astype(np.float32)) is before
