"""Label columns of verdicts that have not become a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from curation.labels import N_ELEMENTS
from curation.verdict import Verdict
from datagen.steps.labels import composition
from datagen.store.schema import SPLITS


def label_columns(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return a column for each of `schema.LABELS`, with a row for each accepted verdict in the given order."""
    return {
        "source": [v.source for v in verdicts],
        "source_id": [v.source_id for v in verdicts],
        "licence": [v.licence for v in verdicts],
        "structure_hash": [v.structure_hash or "" for v in verdicts],
        "group": [v.group or "" for v in verdicts],
        "formula": [v.formula or "" for v in verdicts],
        "split": np.array([SPLITS.index(v.split or "") for v in verdicts], dtype=np.uint8),
        "crystal_system": np.array([v.crystal_system for v in verdicts], dtype=np.uint8),
        "space_group": np.array([v.space_group for v in verdicts], dtype=np.uint8),
        "niggli": np.array([v.niggli for v in verdicts], dtype=np.float64).reshape(-1, 6),
        "volume": np.array([v.volume for v in verdicts], dtype=np.float64),
        "n_atoms": np.array([v.n_atoms for v in verdicts], dtype=np.int32),
        "composition": np.array([composition(v.crystal) for v in verdicts], dtype=np.float32).reshape(-1, N_ELEMENTS),
    }
