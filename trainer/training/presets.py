"""Named configurations of each network."""

from __future__ import annotations

from collections.abc import Mapping

from trainer.errors import TrainerError
from trainer.models.alphadiffract import AlphaDiffractConfig
from trainer.training.config import AlphaDiffractTraining, Config, CrystalNetTraining

PAPER = "paper"
PRESETS: Mapping[str, Mapping[str, Config]] = {
    "alphadiffract": {
        PAPER: AlphaDiffractTraining(),
        # What a few hundred structures need (docs/training.md).
        "few-structures": AlphaDiffractTraining(
            cell_strain=0.05,
            lattice_loss="standardised-mae",
            best_by="all",
            model=AlphaDiffractConfig(standardise_input=True, lattice_start="training"),
        ),
    },
    "crystalnet": {
        PAPER: CrystalNetTraining(),
        # "Formula Ablation Experiment": shorter runs that are compared with each other.
        "ablation": CrystalNetTraining(epochs=700, divisions=8, validation_guesses=1, test_guesses=3),
    },
}


def preset(kind: str, name: str) -> Config:
    """Return a configuration by its name."""
    known = PRESETS[kind]
    if name not in known:
        raise TrainerError(f"--preset {name}: expected one of {', '.join(known)}")
    return known[name]
