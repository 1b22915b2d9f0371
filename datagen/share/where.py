"""Selections of rows such as `crystal_system == 7 and n_atoms <= 50`, in the language of `catalogs.expression`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs.expression import Condition, Expression, ExpressionError
from datagen.errors import ConfigError

ELEMENTS = "elements"
"""Name of the set of elements: `"Fe" in elements`."""


@dataclass(frozen=True)
class Columns:
    """Columns available to an expression."""

    values: Mapping[str, Callable[[], NDArray[Any]]]
    """By name; read on use."""
    meanings: Mapping[str, Mapping[str, int]]
    """Names of the values of a column: `crystal_system == "cubic"`."""
    has_element: Callable[[str], NDArray[np.bool_]]

    def value(self, name: str) -> NDArray[Any]:
        """Return a column."""
        if name in self.values:
            return self.values[name]()
        known = ", ".join(sorted(self.values))
        raise ExpressionError(f"no column is named {name!r}; expected one of {known}, {ELEMENTS}")

    def number_of(self, name: str, word: str) -> int | str:
        """Return the value of a column that a word names; the word itself if the column's values have no names."""
        meanings = self.meanings.get(name)
        if meanings is None:
            return word
        if word not in meanings:
            raise ExpressionError(f"expected {name} to be one of {', '.join(meanings)}, found {word!r}")
        return meanings[word]

    def contains(self, name: str, word: str) -> Condition | None:
        """Return the rows with an element; None for other names."""
        if name != ELEMENTS:
            return None
        found = self.has_element(word)
        return Condition(found, ~found)


def rows_where(expression: str, columns: Columns) -> NDArray[np.bool_]:
    """Return whether each row meets the expression; a missing value meets no comparison."""
    try:
        found = Expression(expression).evaluate(columns).true
    except ExpressionError as error:
        raise ConfigError(f"--where {expression!r}: {error}") from None
    if not isinstance(found, np.ndarray):
        raise ConfigError(
            f"--where {expression!r}: expected a condition that is true or false for every row, such as n_atoms <= 50"
        )
    return found
