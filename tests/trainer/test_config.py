"""Configuration survives a round trip and refuses what it does not know."""

from __future__ import annotations

import pytest

from trainer.errors import TrainerError
from trainer.models.crystalnet import CrystalNetConfig
from trainer.training.config import AlphaDiffractTraining, Config, CrystalNetTraining, change, from_plain, to_plain
from trainer.training.schedules import Constant


@pytest.mark.parametrize(
    "config",
    [
        AlphaDiffractTraining(),
        AlphaDiffractTraining(input="sticks", schedule=Constant(), samples_per_structure=3),
        CrystalNetTraining(model=CrystalNetConfig(composition="none"), crystal_systems=(5, 7)),
    ],
)
def test_plain_values_make_the_same_configuration_again(config: Config) -> None:
    assert from_plain(to_plain(config)) == config


def test_defaults_are_the_papers() -> None:
    a, c = AlphaDiffractTraining(), CrystalNetTraining()
    assert (a.learning_rate, a.weight_decay, a.batch_size, a.gemd_weight) == (2e-4, 0.01, 64, 1.0)
    assert (a.lattice_loss, a.cell_strain, a.best_by) == ("mse", 0.0, "accuracies")
    m = a.model
    assert (m.input_pool, m.standardise_input, m.lattice_start) == (1, False, "middle")
    assert not a.needs_lattice_statistics
    assert (c.learning_rate, c.batch_size, c.divisions, c.kl_weight, c.epochs) == (1e-3, 128, 10, 0.05, 1500)


def test_single_values_can_be_set_at_any_depth() -> None:
    config = change(AlphaDiffractTraining(), "model.drop_path", "0.1")
    config = change(config, "gemd_weight", "2")
    config = change(config, "model.channels", "[8, 8, 8]")
    assert (config.model.drop_path, config.gemd_weight, config.model.channels) == (0.1, 2.0, (8, 8, 8))
    assert isinstance(config.gemd_weight, float)
    assert change(config, "samples_per_structure", "5").samples_per_structure == 5


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("gemd", "1", "unknown; expected one of"),
        ("model.dropout", "1", "expected model. and one of"),
        ("epochs.more", "1", "unknown"),
        ("epochs", "many", "expected"),
        ("epochs", "0", "at least 1"),
        ("epochs", "1.5", "expected"),
        ("noise", "1", "expected"),
        ("input", "pictures", "expected one of patterns, sticks"),
        ("precision", "fp8", "expected one of auto"),
        ("lattice_loss", "huber", "expected one of mse, standardised-mae"),
        ("best_by", "loss", "expected one of accuracies, all"),
        ("cell_strain", "0.6", "expected 0 to 0.5"),
        ("model.lattice_start", "mean", "lattice_start: expected one of middle, training"),
        ("model.input_pool", "0", "input_pool: expected at least 1"),
    ],
)
def test_nonsense_is_refused_with_what_was_expected(path: str, text: str, message: str) -> None:
    with pytest.raises(TrainerError, match=message):
        change(AlphaDiffractTraining(), path, text)


def test_unknown_keys_and_kinds_are_refused() -> None:
    with pytest.raises(TrainerError, match="unknown wavelength"):
        from_plain({**to_plain(AlphaDiffractTraining()), "wavelength": 1.5})
    with pytest.raises(TrainerError, match="kind"):
        from_plain({"kind": "resnet"})
    with pytest.raises(TrainerError, match="composition: expected one of"):
        change(CrystalNetTraining(), "model.composition", "mass")
    with pytest.raises(TrainerError, match="divisor of 50"):
        CrystalNetTraining(validation_points=7)
    with pytest.raises(TrainerError, match="numbers 1 to 7"):
        CrystalNetTraining(crystal_systems=(8,))
