"""Configuration survives a round trip and refuses what it does not know."""

from __future__ import annotations

import pytest

from trainer.errors import TrainerError
from trainer.models.crystalnet import CrystalNetConfig
from trainer.training.config import AlphaDiffractTraining, Config, CrystalNetTraining, change, from_plain, to_plain
from trainer.training.presets import preset
from trainer.training.schedules import Constant, Cosine, Cyclic


@pytest.mark.parametrize(
    "config",
    [
        AlphaDiffractTraining(),
        AlphaDiffractTraining(input="sticks", schedule=Constant(), samples_per_structure=3),
        AlphaDiffractTraining(minutes=10, ema=0.999, balance="space-group", adjust_logits=True, schedule=Cosine()),
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
    assert c.crystal_systems == (7,)
    assert (preset("alphadiffract", "paper"), preset("crystalnet", "paper")) == (a, c)


def test_every_option_is_off_in_the_presets_of_the_papers() -> None:
    for kind in ("alphadiffract", "crystalnet"):
        paper = preset(kind, "paper")
        off = (paper.minutes, paper.patterns, paper.ema, paper.gradient_norm, paper.save_minutes)
        assert off == (None, None, 0.0, 0.0, None)
    a = preset("alphadiffract", "paper")
    assert isinstance(a, AlphaDiffractTraining)
    assert (a.label_smoothing, a.balance, a.adjust_logits) == (0.0, "none", False)
    assert a.schedule == Cyclic()


def test_the_ablation_of_crystalnet_is_shorter_as_in_its_paper() -> None:
    ablation = preset("crystalnet", "ablation")
    assert isinstance(ablation, CrystalNetTraining)
    assert (ablation.epochs, ablation.divisions, ablation.validation_guesses, ablation.test_guesses) == (700, 8, 1, 3)
    with pytest.raises(TrainerError, match="expected one of paper, ablation"):
        preset("crystalnet", "quick")


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
        ("minutes", "0", "minutes: expected more than 0"),
        ("patterns", "-1", "patterns: expected more than 0"),
        ("patterns", "1.5", "expected"),
        ("ema", "1", "ema: expected 0 to less than 1"),
        ("gradient_norm", "-1", "gradient_norm: expected 0 or more"),
        ("label_smoothing", "2", "label_smoothing: expected 0 to 1"),
        ("balance_power", "-0.5", "balance_power: expected 0 to 1"),
        ("adjust_logits", "true", "adjust_logits: expected a balance other than none"),
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
