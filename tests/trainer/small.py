"""Configurations small enough to train in a test."""

from __future__ import annotations

from trainer.models.alphadiffract import AlphaDiffractConfig
from trainer.models.crystalnet import CrystalNetConfig
from trainer.training.config import AlphaDiffractTraining, CrystalNetTraining
from trainer.training.schedules import Constant

ALPHADIFFRACT = AlphaDiffractTraining(
    epochs=2,
    batch_size=16,
    learning_rate=2e-3,
    schedule=Constant(),
    workers=2,
    log_every_steps=1,
    model=AlphaDiffractConfig(
        input_points=2000,
        channels=(16, 16, 16),
        kernels=(20, 9, 9),
        strides=(8, 4, 4),
        second_pool=None,
        crystal_system_hidden=(64, 32),
        space_group_hidden=(64, 32),
        lattice_hidden=(64, 32),
        length_bounds_A=(0.0, 20.0),
    ),
)
CRYSTALNET = CrystalNetTraining(
    epochs=2,
    batch_size=16,
    learning_rate=2e-3,
    schedule=Constant(),
    workers=2,
    log_every_steps=1,
    divisions=4,
    validation_points=10,
    validation_guesses=1,
    crystal_systems=(3, 4, 7),
    model=CrystalNetConfig(
        width=48,
        fusion_width=64,
        growth=4,
        dense_blocks=1,
        fourier_frequencies=48,
        fourier_sigma=1.0,
        regressor_blocks=2,
        regressor_layers=2,
    ),
)
