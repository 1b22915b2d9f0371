"""Restrictions on the structures of a library: elements and volume."""

from __future__ import annotations

from collections.abc import Sequence

import gemmi
import numpy as np
from numpy.typing import NDArray

from datagen.errors import DatagenError
from datagen.identification.index import Index


def allowed_structures(
    index: Index,
    *,
    only: str | Sequence[str] | None = None,
    require: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    max_volume_A3: float | None = None,
) -> NDArray[np.bool_]:
    """Return which structures of an index meet all conditions; elements as `"Ca,C,O"` or a list of symbols."""
    found = np.ones(len(index), dtype=bool)
    if only is not None:
        found &= ~index.elements[:, ~_mask(only)].any(axis=1)
    if require is not None:
        found &= index.elements[:, _mask(require)].all(axis=1)
    if exclude is not None:
        found &= ~index.elements[:, _mask(exclude)].any(axis=1)
    if max_volume_A3 is not None:
        found &= 1.0 / np.abs(np.linalg.det(index.reciprocal)) <= max_volume_A3
    return found


def _mask(elements: str | Sequence[str]) -> NDArray[np.bool_]:
    symbols = [part.strip() for part in elements.split(",")] if isinstance(elements, str) else list(elements)
    found = np.zeros(118, dtype=bool)
    for symbol in symbols:
        number = int(gemmi.Element(symbol).atomic_number)
        if number == 0 or gemmi.Element(symbol).name != symbol:
            raise DatagenError(f"expected symbols of elements such as Ca,C,O; found {symbol!r}")
        found[number - 1] = True
    return found
