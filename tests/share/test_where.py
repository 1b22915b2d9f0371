"""What `--where` understands and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from datagen.errors import ConfigError
from datagen.share.where import Columns, rows_where

VALUES: dict[str, NDArray[Any]] = {
    "n_atoms": np.array([2, 8, 60, 4]),
    "volume": np.array([10.0, 40.0, 600.0, np.nan]),
    "system": np.array([7, 1, 7, 2]),
    "formula": np.array(["Si", "NaCl", "Fe2O3", "Fe"], dtype=object),
}


def iron(symbol: str) -> NDArray[np.bool_]:
    assert symbol == "Fe"
    return np.array([False, False, True, True])


COLUMNS = Columns({k: (lambda v=v: v) for k, v in VALUES.items()}, {"system": {"cubic": 7, "triclinic": 1}}, iron)


@pytest.mark.parametrize(
    ("expression", "rows"),
    [
        ("system == 7 and n_atoms <= 50", [0]),
        ('system == "cubic"', [0, 2]),
        ("'triclinic' == system", [1]),
        ("2 < n_atoms <= 60", [1, 2, 3]),
        ("not n_atoms > 4", [0, 3]),
        ("volume / n_atoms == 5", [0, 1]),
        ("formula in ['Si', \"Fe\"]", [0, 3]),
        ("system not in (7, 1)", [3]),
        ("'Fe' in elements and n_atoms < 50", [3]),
        ("'Fe' not in elements or volume > 100", [0, 1, 2]),
        ("-n_atoms > -3", [0]),
    ],
)
def test_an_expression_means_what_it_says_in_python(expression: str, rows: list[int]) -> None:
    assert np.flatnonzero(rows_where(expression, COLUMNS)).tolist() == rows


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("n_atoms <=", "expected an expression"),
        ("n_atom == 3", "expected one of formula, n_atoms"),
        ("n_atoms", "true or false"),
        ("n_atoms and volume > 3", "neither true nor false"),
        ("n_atoms == 'two'", "a text and a number"),
        ("formula > 3", "a text and a number"),
        ("system == 'qubic'", "one of cubic, triclinic"),
        ("__import__('os').system('true')", "not understood"),
        ("[n for n in n_atoms]", "not understood"),
        ("n_atoms.max() > 3", "not understood"),
        ("n_atoms ** 9999 > 3", "not understood"),
        ("formula - 3 > 1", "cannot be combined"),
        ("n_atoms in []", "not understood"),
        ("True", "true or false"),
    ],
)
def test_what_is_no_such_expression_is_refused_in_words(expression: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        rows_where(expression, COLUMNS)
