"""From a measured scan to the model's grid, and to ranked answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from trainer.errors import TrainerError
from trainer.evaluation.gradcam import attention
from trainer.models.alphadiffract import AlphaDiffract, AlphaDiffractConfig
from trainer.prediction.predict import (
    predict,
    space_group_symbols,
    to_model_grid,
)
from trainer.scans.bring import snip
from trainer.scans.read import read_scan
from trainer.scans.scan import Scan
from trainer.scans.wavelength import parse_wavelength

FACTS = {
    "two_theta_min_deg": 5.0,
    "two_theta_max_deg": 20.0,
    "n_points": 8192,
    "instrument": {"lines": [{"wavelength_A": 0.619921}]},
}
SYSTEMS = ["triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic"]


def scan(d_A: list[float], wavelength_A: float, low: float, high: float, step: float = 0.005) -> Scan:
    x = np.arange(low, high, step)
    peaks = [2 * np.degrees(np.arcsin(wavelength_A / 2 / d)) for d in d_A]
    y = 10 + sum(1000 * np.exp(-0.5 * ((x - p) / 0.03) ** 2) for p in peaks)
    return Scan.from_arrays(x, y, wavelength_A, np.sqrt(y))


@pytest.mark.parametrize("wavelength_A", [1.5405929, 0.7107, 0.413529, 0.619921])
def test_peaks_land_where_braggs_law_puts_them_at_the_models_wavelength(wavelength_A: float) -> None:
    spacings = [5.0, 3.1, 2.2]
    intensity, sigma = to_model_grid("scan", scan(spacings, wavelength_A, 1, 70), wavelength_A, FACTS)
    grid = np.linspace(5, 20, 8192)
    for d in spacings:
        wanted = 2 * np.degrees(np.arcsin(0.619921 / 2 / d))
        near = np.abs(grid - wanted) < 0.3
        assert grid[near][intensity[near].argmax()] == pytest.approx(wanted, abs=0.005)
    assert sigma.shape == (8192,)


def test_gaps_are_refused_with_the_angles_of_the_measurement() -> None:
    whole = scan([4.0], 1.5405929, 8, 60)
    with pytest.raises(
        TrainerError, match=r"no data between 12\.45 and 15\.00 degrees; the model needs the whole range"
    ):
        to_model_grid("scan", scan([4.0], 1.5405929, 15, 60), 1.5405929, FACTS)
    with pytest.raises(TrainerError, match=r"no data between (40\.00|39\.99|39\.995) and 51\.13"):
        to_model_grid("scan", scan([4.0], 1.5405929, 8, 40), 1.5405929, FACTS)
    kept = (whole.two_theta_deg < 30) | (whole.two_theta_deg > 32)
    holed = Scan.from_arrays(whole.two_theta_deg[kept], whole.intensity[kept])
    with pytest.raises(TrainerError, match=r"no data between (29\.99|30\.00) and 32\.0"):
        to_model_grid("scan", holed, 1.5405929, FACTS)
    with pytest.raises(TrainerError, match="no data between"):
        to_model_grid("scan", scan([1.0], 1.5405929, 90, 120), 1.5405929, FACTS)


def test_real_scans_reach_the_grid_or_say_what_they_lack(shared_data: Path) -> None:
    folder = shared_data / "measured"
    jadarite = read_scan(folder / "jadarite" / "11bmb_6231.fxye.gz")
    intensity, _ = to_model_grid("jadarite", jadarite, 0.413529, FACTS)
    # Monoclinic, a = 6.762, c = 7.688 A, beta = 124.09 deg: 100 at d = 5.600 A.
    grid = np.linspace(5, 20, 8192)
    near = np.abs(grid - 2 * np.degrees(np.arcsin(0.619921 / 2 / 5.600))) < 0.05
    assert intensity[near].max() > 3 * np.median(intensity)
    lead = read_scan(folder / "pbso4" / "PBSO4.XRA")
    intensity, _ = to_model_grid("pbso4", lead, parse_wavelength("CuKa1"), FACTS)
    # Anglesite, Pnma, 8.48 x 5.398 x 6.958 A: 210, 102 and 211 are the strongest lines near 3.33, 3.22 and 3.00 A.
    for d in (3.334, 3.220, 3.007):
        near = np.abs(grid - 2 * np.degrees(np.arcsin(0.619921 / 2 / d))) < 0.08
        assert intensity[near].max() > 0.5 * intensity.max()
    with pytest.raises(TrainerError, match=r"no data between 12\.45 and 15\.00"):
        to_model_grid("apatite", read_scan(folder / "fluorapatite" / "FAP.XRA"), parse_wavelength("Cu"), FACTS)


def test_a_smooth_background_is_taken_away_and_peaks_stay() -> None:
    x = np.linspace(5, 20, 8192)
    peaks = sum(1000 * np.exp(-0.5 * ((x - p) / 0.03) ** 2) for p in (7, 9, 9.2, 14))
    pattern = peaks + 300 * np.exp(-x / 6) + 50
    rest = pattern - snip(pattern, 200)
    assert np.abs(rest - peaks).max() < 20


def small_models(n: int) -> list[AlphaDiffract]:
    torch.manual_seed(0)
    config = AlphaDiffractConfig(
        channels=(4, 4, 4), crystal_system_hidden=(8,), space_group_hidden=(8,), lattice_hidden=(8,)
    )
    return [AlphaDiffract(config).eval() for _ in range(n)]


def test_answers_are_ranked_and_add_up() -> None:
    rng = np.random.default_rng(0)
    intensity = rng.random(8192)
    found = predict(small_models(3), intensity, 0.01 * intensity, SYSTEMS, torch.device("cpu"), draws=4, top=230)
    for name, count in (("crystal_system", 7), ("space_group", 230)):
        probabilities = [entry["probability"] for entry in found[name]]
        assert len(probabilities) == count
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1.0)
    assert {e["name"] for e in found["crystal_system"]} == set(SYSTEMS)
    assert set(found["niggli_lattice"]) == {"a", "b", "c", "alpha", "beta", "gamma"}
    assert all(entry["spread"] > 0 for entry in found["niggli_lattice"].values())
    again = predict(small_models(3), intensity, 0.01 * intensity, SYSTEMS, torch.device("cpu"), draws=4, top=230)
    assert again == found


def test_one_model_and_no_draws_have_no_spread() -> None:
    intensity = np.random.default_rng(0).random(8192)
    found = predict(small_models(1), intensity, intensity, SYSTEMS, torch.device("cpu"), draws=0)
    assert found["niggli_lattice"]["a"]["spread"] is None
    assert found["space_group"][0]["spread"] is None


def test_space_groups_have_their_symbols() -> None:
    symbols = space_group_symbols()
    assert len(symbols) == len(set(symbols)) == 230
    assert (symbols[0], symbols[1], symbols[13], symbols[61], symbols[224]) == ("P1", "P-1", "P2_1/c", "Pnma", "Fm-3m")


def test_attention_lies_between_0_and_1_and_follows_the_gradient() -> None:
    model = small_models(1)[0]
    pattern = 100 * torch.rand(2, 8192)
    found = attention(model, pattern, "space_group")
    assert found.shape == (2, 8192)
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-6
    # With a head that reads only the first pooled point, nothing beyond that point's reach matters.
    with torch.no_grad():
        first = model.space_group[0]
        kept = torch.zeros_like(first.weight)
        kept[:, ::7] = 1.0
        first.weight.mul_(kept).abs_()
    assert attention(model, pattern, "space_group").isfinite().all()


def test_attention_sees_what_the_network_sees_where_it_averages_and_standardises_first() -> None:
    config = AlphaDiffractConfig(input_points=2000, channels=(4, 4, 4), second_pool=None)
    torch.manual_seed(6)
    averaging = AlphaDiffract(replace(config, input_points=8000, input_pool=4, standardise_input=True)).eval()
    plain = AlphaDiffract(config).eval()
    plain.load_state_dict(averaging.state_dict())
    pattern = 100 * torch.rand(2, 8000)
    binned = pattern.view(2, 2000, 4).mean(dim=2)
    standard = (binned - binned.mean(dim=1, keepdim=True)) / binned.std(dim=1, keepdim=True)
    fine, coarse = attention(averaging, pattern), attention(plain, standard)
    assert fine.shape == (2, 8000)
    torch.testing.assert_close(fine.view(2, 2000, 4).mean(dim=2), coarse, atol=0.05, rtol=0)
