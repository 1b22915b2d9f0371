"""Selections such as `crystal_system == 7 and n_atoms <= 50`: parsed, never executed."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.errors import ConfigError

ELEMENTS = "elements"
"""Name of the set of elements: `"Fe" in elements`."""


@dataclass(frozen=True)
class Columns:
    """Columns that an expression can use."""

    values: Mapping[str, Callable[[], NDArray[Any]]]
    """By name; read on use."""
    meanings: Mapping[str, Mapping[str, int]]
    """Words for the numbers of a column: `crystal_system == "cubic"`."""
    has_element: Callable[[str], NDArray[np.bool_]]


def rows_where(expression: str, columns: Columns) -> NDArray[np.bool_]:
    """Return whether each row meets the expression.

    Comparisons (also chained), `and`, `or`, `not`, `in` with a list, + - * / and `"Fe" in elements`.
    """
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except SyntaxError as error:
        raise ConfigError(
            f"--where {expression!r}: expected an expression like 'n_atoms <= 50', found {error}"
        ) from None
    try:
        found = _Evaluation(expression, columns).of(tree.body)
    except TypeError as error:  # numpy's own words where a text meets a number
        raise ConfigError(f"--where {expression!r}: its parts cannot be combined ({error})") from error
    if not isinstance(found, np.ndarray) or found.dtype != np.bool_:
        raise ConfigError(
            f"--where {expression!r}: expected something true or false for every row, such as n_atoms <= 50"
        )
    return found


class _Evaluation:
    def __init__(self, expression: str, columns: Columns) -> None:
        self._expression = expression
        self._columns = columns

    def of(self, node: ast.expr) -> Any:
        """Return the value of a part of the expression."""
        match node:
            case ast.BoolOp():
                join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
                return join.reduce([self._condition(value) for value in node.values])
            case ast.UnaryOp(op=ast.Not()):
                return ~self._condition(node.operand)
            case ast.UnaryOp(op=ast.USub()):
                return -self.of(node.operand)
            case ast.BinOp() if type(node.op) in _ARITHMETIC:
                return _ARITHMETIC[type(node.op)](self.of(node.left), self.of(node.right))
            case ast.Compare():
                return self._comparison(node)
            case ast.Constant(value=str() | int() | float()):
                return node.value
            case ast.Name():
                return self._column(node.id)
        raise self._refusal(node)

    def _condition(self, node: ast.expr) -> NDArray[np.bool_]:
        found = self.of(node)
        if not isinstance(found, np.ndarray) or found.dtype != np.bool_:
            raise ConfigError(
                f"--where {self._expression!r}: expected a comparison, found {ast.unparse(node)!r}, which is neither "
                "true nor false"
            )
        return found

    def _comparison(self, node: ast.Compare) -> NDArray[np.bool_]:
        parts = []
        left = node.left
        for sign, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(sign, ast.In | ast.NotIn):
                inside = self._membership(left, right)
                parts.append(inside if isinstance(sign, ast.In) else ~inside)
            elif type(sign) in _COMPARISONS:
                a, b = self._pair(left, right)
                parts.append(np.asarray(_COMPARISONS[type(sign)](a, b), dtype=np.bool_))
            else:
                raise self._refusal(node)
            left = right
        return np.asarray(np.logical_and.reduce(parts))

    def _membership(self, left: ast.expr, right: ast.expr) -> NDArray[np.bool_]:
        if isinstance(right, ast.Name) and right.id == ELEMENTS:
            if not (isinstance(left, ast.Constant) and isinstance(left.value, str)):
                raise ConfigError(f'--where {self._expression!r}: write elements as in: "Fe" in elements')
            return self._columns.has_element(left.value)
        if isinstance(right, ast.List | ast.Tuple | ast.Set):
            pairs = [self._pair(left, item) for item in right.elts]
            if pairs:
                return np.asarray(np.logical_or.reduce([np.asarray(a == b, dtype=np.bool_) for a, b in pairs]))
        raise self._refusal(right)

    def _column(self, name: str) -> NDArray[Any]:
        if name in self._columns.values:
            return self._columns.values[name]()
        known = ", ".join(sorted(self._columns.values))
        raise ConfigError(
            f"--where {self._expression!r}: no column is named {name!r}; expected one of {known}, {ELEMENTS}"
        )

    def _pair(self, left: ast.expr, right: ast.expr) -> tuple[Any, Any]:
        """Return two comparable values, with words of a column replaced by its numbers."""
        a, b = self.of(left), self.of(right)
        if isinstance(left, ast.Name) and isinstance(b, str):
            b = self._number(left.id, b)
        elif isinstance(right, ast.Name) and isinstance(a, str):
            a = self._number(right.id, a)
        if _is_text(a) != _is_text(b):
            raise ConfigError(
                f"--where {self._expression!r}: {ast.unparse(left)!r} and {ast.unparse(right)!r} are a text and a "
                "number; write texts in quotes and numbers without"
            )
        return a, b

    def _number(self, name: str, word: str) -> int | str:
        meanings = self._columns.meanings.get(name)
        if meanings is None:
            return word
        if word not in meanings:
            known = ", ".join(meanings)
            raise ConfigError(f"--where {self._expression!r}: expected {name} to be one of {known}, found {word!r}")
        return meanings[word]

    def _refusal(self, node: ast.expr | ast.Compare) -> ConfigError:
        return ConfigError(
            f"--where {self._expression!r}: {ast.unparse(node)!r} is not understood; expected comparisons of columns "
            'joined by and, or, not, such as: crystal_system == "cubic" and "Fe" in elements'
        )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, np.ndarray) and value.dtype.kind in "OU")


_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
