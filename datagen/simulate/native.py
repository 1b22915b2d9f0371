"""The default engine: |F|^2 once per structure, broadened for every augmentation."""

from __future__ import annotations

import numpy as np

from curation.crystal import Crystal
from datagen.simulate.augmentation import Augmentations
from datagen.simulate.instrument import Instrument
from datagen.simulate.patterns import Patterns, diagnose
from datagen.simulate.reference import broaden
from datagen.simulate.sticks import compute_sticks


def simulate(crystal: Crystal, instrument: Instrument, augmentations: Augmentations) -> Patterns:
    """One pattern per augmentation; `NoReflectionsError` where nothing lies in range."""
    sticks = compute_sticks(crystal, instrument)
    intensity = broaden(sticks, instrument, augmentations).astype(np.float32)
    return Patterns(intensity, intensity.max(axis=1), sticks, diagnose(sticks, instrument, augmentations))
