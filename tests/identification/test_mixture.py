"""Phases of a mixture come out with their weights; what is pure stays one phase."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from curation.crystal import Crystal
from datagen.identification.answer import Identified
from datagen.identification.axis import Observed, observe
from datagen.identification.identify import identify
from datagen.identification.index import Index
from datagen.identification.refine import reflections
from datagen.identification.scales import Placed, fit_scales, rest
from datagen.simulate.instrument import PRESETS, Instrument, Line
from datagen.simulate.phase_library import density_g_cm3
from datagen.simulate.sticks import compute_sticks
from tests.identification.scans import stretched
from tests.identification.test_identify import crystals, names_of, niggli_of

CU = Instrument(
    lines=(Line(wavelength_A=1.5405929),), polarisation=0.5, two_theta_min_deg=3.0, two_theta_max_deg=91.0,
    n_points=64, geometry="reflection",
)  # fmt: skip


DOUBLET = CU.model_copy(update={"lines": PRESETS["cu_kalpha"].lines})


def mixed(parts: list[tuple[Crystal, float]], counts: float = 8000.0, instrument: Instrument = CU) -> Observed:
    """Return a scan of crystals with these weights: Gaussian lines on a background, Poisson noise."""
    angle = np.arange(10.0, 90.0, 0.02)
    total = np.zeros(len(angle))
    for crystal, weight in parts:
        sticks = compute_sticks(crystal, instrument)
        width = 0.1 / 2.3548
        lines = np.exp(-0.5 * ((angle[:, None] - sticks.two_theta_deg) / width) ** 2) @ sticks.intensity
        # Sticks are those of equal volumes.
        total += weight / density_g_cm3(crystal) * lines
    expected = counts * (total / total.max() + 0.03 + 0.1 * np.exp(-angle / 25))
    return observe(angle, np.random.default_rng(0).poisson(expected).astype(np.float64), 1.5405929)


def separated(index: Index, scan: Observed, most: int, allowed: list[np.ndarray] | None = None) -> Identified:
    (found,) = identify([index], [("scan", scan)], phases=most, allowed=allowed)
    assert found.mixture is not None
    return found


@pytest.mark.parametrize(
    ("weights"),
    [
        {"halite": 0.7, "quartz": 0.3},
        {"calcite": 0.4, "rutile": 0.6},
        {"quartz": 0.5, "zincite": 0.2, "calcite": 0.3},
    ],
)
def test_the_phases_and_their_weights_come_out(library: Path, index: Index, weights: dict[str, float]) -> None:
    known = crystals(library)
    scan = mixed([(stretched(known[name], 0.004 * np.eye(3)), w) for name, w in weights.items()])
    mixture = separated(index, scan, 4).mixture
    assert mixture is not None
    found = {phase.source_id.removesuffix(".cif"): phase for phase in mixture.phases}
    assert set(found) == set(weights)
    for name, phase in found.items():
        assert phase.weight_fraction == pytest.approx(weights[name], abs=0.05)
        assert phase.scale == pytest.approx(1.004, abs=0.002)
    assert mixture.is_complete
    assert mixture.explained_lines > 0.95
    assert sum(phase.weight_fraction for phase in mixture.phases) == pytest.approx(1.0)
    assert [phase.added_log_odds is None for phase in mixture.phases].count(True) == 1


@pytest.mark.parametrize("mineral", ["halite", "aragonite", "barite"])
def test_a_pure_sample_is_one_phase(library: Path, index: Index, mineral: str) -> None:
    found = separated(index, mixed([(crystals(library)[mineral], 1.0)]), 3)
    assert found.mixture is not None
    (phase,) = found.mixture.phases
    assert phase.source_id == f"{mineral}.cif"
    assert phase.weight_fraction == pytest.approx(1.0)
    assert found.mixture.next_log_odds is None or found.mixture.next_log_odds < 1.2


def test_a_phase_that_the_library_lacks_stays_unexplained(library: Path, index: Index) -> None:
    known = crystals(library)
    scan = mixed([(known["halite"], 0.5), (known["barite"], 0.5)])
    allowed = np.array([name in ("halite", "silicon", "copper", "diamond") for name in names_of(index)])
    found = separated(index, scan, 3, [allowed]).mixture
    assert found is not None
    assert "halite.cif" in {phase.source_id for phase in found.phases}
    assert found.explained_lines < 0.7


def test_one_phase_is_not_separated_unless_asked(library: Path, index: Index) -> None:
    (found,) = identify([index], [("scan", mixed([(crystals(library)["halite"], 1.0)]))])
    assert found.mixture is None


@pytest.mark.parametrize("instrument", [CU, DOUBLET], ids=["one line", "doublet"])
def test_what_is_left_of_a_pure_scan_is_noise(library: Path, index: Index, instrument: Instrument) -> None:
    scan = mixed([(crystals(library)["quartz"], 1.0)], instrument=instrument)
    placed = [Placed(reflections(index, names_of(index).index("quartz")), np.zeros(3))]
    fitted = fit_scales(scan, placed)
    assert fitted.shape[0] == pytest.approx(0.1, abs=0.02)  # FWHM, degrees
    assert fitted.alpha2_share == (0.0 if instrument is CU else 0.5)
    assert float(rest(scan, placed, fitted).intensity.max()) < 0.03


def test_a_doublet_does_not_shrink_the_cell(library: Path, index: Index) -> None:
    scan = mixed([(crystals(library)["aragonite"], 1.0)], instrument=DOUBLET)
    (found,) = identify([index], [("aragonite", scan)])
    wanted = niggli_of(crystals(library)["aragonite"])
    assert found.candidates[0].source_id == "aragonite.cif"
    np.testing.assert_allclose(found.candidates[0].niggli[:3], wanted[:3], rtol=4e-4)
