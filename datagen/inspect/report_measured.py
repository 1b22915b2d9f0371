"""Sections of report.html of a dataset of measured patterns: scans beside simulated patterns of their structures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from datagen.inspect import report_figures
from datagen.store.quantise import dequantise
from datagen.store.schema import UNKNOWN

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from datagen.inspect.report_data import Content

MOST_SCANS = 12
"""Scans that are drawn, two of each crystal system as far as there are."""
OF_EACH_SYSTEM = 2
WIDTHS = {"microstrain": 1000.0, "crystallite_size_um": 0.2, "U_cdeg2": 2.0, "V_cdeg2": -1.0, "W_cdeg2": 4.0}
"""Broadening of the simulated patterns, that of a common laboratory diffractometer."""


def scan_figure(dataset: Path, content: Content) -> tuple[str, int]:
    """Return the figure, the measured pattern below the simulated one, and the number of scans in it."""
    rows = shown_scans(content)
    samples = []
    for row in rows:
        pair = np.concatenate([dequantise(content.row("pattern", row, 1)), _simulated(dataset, content, row)])
        formula, group = str(content.column("formula")[row]) or "?", int(content.column("space_group")[row])
        title = f"{formula}, space group {group or 'unknown'}, {content.column('source_id')[row]}"
        samples.append((title, max(int(content.column("crystal_system")[row]), 1), pair))
    return report_figures.sample_patterns(content.column("two_theta"), samples), len(rows)


def shown_scans(content: Content) -> list[int]:
    """Return the rows of the scans that are drawn: evenly spread over those of each crystal system."""
    systems = content.column("crystal_system")
    rows: list[int] = []
    for system in range(UNKNOWN, 8):
        members = np.flatnonzero(systems == system)
        at = np.linspace(0, len(members) - 1, min(OF_EACH_SYSTEM, len(members))).round().astype(int)
        rows += members[at].tolist()
    return rows[-MOST_SCANS:]


def _simulated(dataset: Path, content: Content, row: int) -> NDArray[np.float32]:
    """Return a pattern (1, angle) of the scan's reflections relative to its maximum; empty without a structure."""
    from curation.crystal import Crystal
    from datagen.inspect.regenerate import structure_of
    from datagen.simulate import native
    from datagen.simulate.augmentation import Augmentations
    from datagen.simulate.instrument import Instrument

    text = structure_of(dataset, row)["structure"]
    if text is None or not int(content.column("n_reflections")[row]):
        return np.zeros((0, content.layout.n_points), dtype=np.float32)
    instrument = Instrument.model_validate(content.attributes["instrument"])
    drawn = Augmentations.of(**{name: np.array([value]) for name, value in WIDTHS.items()})
    found: NDArray[Any] = native.simulate(Crystal.from_json(text), instrument, drawn).intensity
    return np.asarray(found / found.max(axis=1, keepdims=True), dtype=np.float32)
