"""A second answer by the trainer's QMixer, for crystals that no library holds; needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from datagen.errors import ConfigError
from datagen.identification.answer import Identified, NetworkAnswer
from datagen.identification.axis import Observed

if TYPE_CHECKING:
    from trainer.prediction.qmixer import QMixerPrediction


class Network:
    """Trained weights that give probabilities of space groups for scans."""

    def __init__(self, weights: Path | None = None) -> None:
        """Load weights (`.safetensors`), by default those of the package; raises ConfigError where it cannot."""
        try:
            from trainer.errors import TrainerError
            from trainer.prediction.qmixer import load_weights
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"the network needs {error.name}, which is not installed: install the extra 'trainer', or identify "
                "without the network"
            ) from error
        try:
            self.weights = load_weights(weights)
        except TrainerError as error:
            raise ConfigError(str(error)) from error

    def answers(self, scans: Sequence[Observed]) -> list[NetworkAnswer]:
        """Return what the network says about each scan, weighed by the scan's lines."""
        from trainer.prediction.cells.weigh import with_lines
        from trainer.prediction.qmixer import predict_bins

        roots = np.sqrt(np.array([scan.intensity for scan in scans]))
        measured = np.array([scan.measured for scan in scans])
        inputs = np.stack([roots, measured], axis=1).astype(np.float32)
        alone = predict_bins(self.weights, inputs)
        return [_answer(with_lines(one, shown)) for one, shown in zip(alone, inputs, strict=True)]

    def likeness(self, scan: Observed, patterns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how alike the network sees a scan and each pattern (structure, bin): -1 to 1.

        It was trained on scans with artefacts, so that what a laboratory changes counts less than for a cosine.
        """
        from trainer.prediction.qmixer import likeness_of_bins

        shown = np.where(scan.measured, patterns, 0.0)
        shown /= shown.max(axis=1, keepdims=True).clip(min=1e-300)
        roots = np.sqrt(np.concatenate([scan.intensity[None], shown]))
        return likeness_of_bins(self.weights, roots, np.broadcast_to(scan.measured, roots.shape))


def _answer(found: QMixerPrediction) -> NetworkAnswer:
    odds = -np.inf if found.line_odds is None else float(found.line_odds[int(found.bravais.argmax())])
    if not np.isfinite(odds):
        return NetworkAnswer(found.space_group, None, None)
    return NetworkAnswer(found.space_group, tuple(found.niggli.tolist()), odds)


def with_network(answers: Sequence[Identified], scans: Sequence[Observed], network: Network) -> list[Identified]:
    """Return the answers with the network's probabilities beside, and in, those of the library."""
    found = []
    for answer, own in zip(answers, network.answers(scans), strict=True):
        groups = answer.combination.of(answer.library, own.space_group) if answer.candidates else own.space_group
        found.append(replace(answer, space_group=groups, network=own))
    return found
