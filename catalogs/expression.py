"""Conditions such as `energy_above_hull < 0.05 and nelements <= 3`: parsed, never executed.

One language selects records of catalogs (`where` of a `[[catalog]]`) and rows of datasets (`datagen subset --where`).
It is a part of Python's: comparisons (also chained), `and`, `or`, `not`, `in` with a list or a field, + - * /,
numbers and quoted texts. A name that is no word of Python's stands in backticks: `` `band gap` > 1 ``.
A value that is missing meets no comparison, and neither its opposite.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

LONGEST, SHOWN = 10_000, 100
"""Characters of an expression, and those of one that a message quotes."""
_QUOTED_OR_NAME = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|`([^`]+)`""")


class ExpressionError(ValueError):
    """An expression that is no condition; the message quotes its part."""


class Stated(str):
    """A value that a source states as text, though it may be a number; the other side of a comparison decides."""

    __slots__ = ()


@dataclass(frozen=True)
class Condition:
    """Where a condition is known to hold and where it is known not to; bool, or an array of one value for each row."""

    true: Any
    false: Any


class Values(Protocol):
    """Values of names: one record's, or arrays with one value for each row. None and NaN are missing."""

    def value(self, name: str) -> Any:
        """Return the value of a name; raise `ExpressionError` if there is no such name."""

    def number_of(self, name: str, word: str) -> Any:
        """Return the number for which a word stands in comparisons with this name, else the word."""

    def contains(self, name: str, word: str) -> Condition | None:
        """Return whether the list of this name contains a word; None if it is no list."""


class Expression:
    """A condition in the language of this module."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._names: dict[str, str] = {}
        if len(text) > LONGEST:
            raise ExpressionError(f"expected at most {LONGEST:,} characters, found {len(text):,}")
        try:
            self._body = ast.parse(_QUOTED_OR_NAME.sub(self._placeholder, text.strip()), mode="eval").body
            self._check_condition(self._body)
        except SyntaxError as error:
            raise ExpressionError(
                f"expected an expression like 'n_atoms <= 50', found {text[:SHOWN]!r} ({error.msg})"
            ) from None
        except (ValueError, RecursionError, MemoryError) as error:
            if isinstance(error, ExpressionError):
                raise
            raise ExpressionError(f"expected an expression like 'n_atoms <= 50', found {error}") from None
        self.names = frozenset(self._name(node) for node in ast.walk(self._body) if isinstance(node, ast.Name))

    def evaluate(self, values: Values) -> Condition:
        """Return where the condition holds."""
        try:
            return self._condition(self._body, values)
        except (TypeError, OverflowError) as error:  # numpy's message for operations on a text and a number
            raise ExpressionError(f"its parts cannot be combined ({error})") from error

    def _placeholder(self, match: re.Match[str]) -> str:
        """Replace a name in backticks by one that Python's grammar accepts."""
        if match[2] is None:
            return match[0]
        word = f"_in_backticks_{len(self._names)}_"
        self._names[word] = match[2]
        return word

    def _name(self, node: ast.Name) -> str:
        return self._names.get(node.id, node.id)

    def _written(self, node: ast.AST) -> str:
        text = ast.unparse(node)
        for word, name in self._names.items():
            text = text.replace(word, f"`{name}`")
        return text

    def _check_condition(self, node: ast.expr) -> None:
        match node:
            case ast.BoolOp():
                for part in node.values:
                    self._check_condition(part)
            case ast.UnaryOp(op=ast.Not()):
                self._check_condition(node.operand)
            case ast.Compare():
                self._check_comparison(node)
            case ast.Name():
                pass
            case ast.Constant() | ast.BinOp() | ast.UnaryOp():
                self._check_value(node)
                raise self._no_condition(node)
            case _:
                raise self._refusal(node)

    def _check_comparison(self, node: ast.Compare) -> None:
        left = node.left
        for sign, right in zip(node.ops, node.comparators, strict=True):
            self._check_value(left)
            if not isinstance(sign, ast.In | ast.NotIn):
                if type(sign) not in _COMPARISONS:
                    raise self._refusal(node)
                self._check_value(right)
            elif isinstance(right, ast.List | ast.Tuple | ast.Set) and right.elts:
                for item in right.elts:
                    self._check_value(item)
            elif not isinstance(right, ast.Name):
                raise self._refusal(right)
            elif not (isinstance(left, ast.Constant) and isinstance(left.value, str)):
                raise ExpressionError(f'write the text in quotes, as in: "Fe" in {self._name(right)}')
            left = right

    def _check_value(self, node: ast.expr) -> None:
        match node:
            case ast.UnaryOp(op=ast.USub()):
                self._check_value(node.operand)
            case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div()):
                self._check_value(node.left)
                self._check_value(node.right)
            case ast.Constant(value=str() | int() | float()) | ast.Name():
                pass
            case _:
                raise self._refusal(node)

    def _no_condition(self, node: ast.expr) -> ExpressionError:
        return ExpressionError(
            f"expected a condition that is true or false, such as n_atoms <= 50; {self._written(node)!r} is neither "
            "true nor false"
        )

    def _refusal(self, node: ast.expr) -> ExpressionError:
        return ExpressionError(
            f"{self._written(node)!r} is not understood; expected comparisons joined by and, or, not, such as: "
            'n_atoms <= 50 and "Fe" in elements'
        )

    def _condition(self, node: ast.expr, values: Values) -> Condition:
        match node:
            case ast.BoolOp():
                parts = [self._condition(part, values) for part in node.values]
                return _all(parts) if isinstance(node.op, ast.And) else _opposite(_all(list(map(_opposite, parts))))
            case ast.UnaryOp():
                return _opposite(self._condition(node.operand, values))
            case ast.Compare():
                return self._comparison(node, values)
            case _:
                return self._flag(node, values)

    def _flag(self, node: ast.expr, values: Values) -> Condition:
        """Return a name that is itself true or false."""
        found = self._value(node, values)
        if isinstance(found, Stated) or found is None:
            return _known(_truth(found), None, lambda a, _: a)
        if not isinstance(found, np.ndarray) or found.dtype != np.bool_:
            raise self._no_condition(node)
        return Condition(found, ~found)

    def _comparison(self, node: ast.Compare, values: Values) -> Condition:
        parts = []
        left = node.left
        for sign, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(sign, ast.In | ast.NotIn):
                inside = self._membership(left, right, values)
                parts.append(inside if isinstance(sign, ast.In) else _opposite(inside))
            else:
                parts.append(self._compared(left, right, _COMPARISONS[type(sign)], values))
            left = right
        return _all(parts)

    def _membership(self, left: ast.expr, right: ast.expr, values: Values) -> Condition:
        if isinstance(right, ast.Name):
            assert isinstance(left, ast.Constant)
            found = values.contains(self._name(right), str(left.value))
            if found is None:
                raise ExpressionError(f"{self._name(right)!r} is no list; write a list, as in: n_atoms in [1, 2]")
            return found
        assert isinstance(right, ast.List | ast.Tuple | ast.Set)
        return _opposite(_all([_opposite(self._compared(left, item, operator.eq, values)) for item in right.elts]))

    def _compared(
        self, left: ast.expr, right: ast.expr, compare: Callable[[Any, Any], Any], values: Values
    ) -> Condition:
        a, b = self._value(left, values), self._value(right, values)
        if isinstance(left, ast.Name) and type(b) is str:
            b = values.number_of(self._name(left), b)
        elif isinstance(right, ast.Name) and type(a) is str:
            a = values.number_of(self._name(right), a)
        a, b = _alike(a, b)
        if a is not None and b is not None and _is_text(a) != _is_text(b):
            raise ExpressionError(
                f"{self._written(left)!r} and {self._written(right)!r} are a text and a number; write texts in quotes "
                "and numbers without"
            )
        return _known(a, b, compare)

    def _value(self, node: ast.expr, values: Values) -> Any:
        match node:
            case ast.Name():
                return values.value(self._name(node))
            case ast.Constant():
                return node.value
            case ast.UnaryOp():
                found = _number(self._value(node.operand, values))
                return None if found is None else -found
            case ast.BinOp():
                a, b = _number(self._value(node.left, values)), _number(self._value(node.right, values))
                try:
                    return None if a is None or b is None else _ARITHMETIC[type(node.op)](a, b)
                except ZeroDivisionError:
                    return None
        raise self._refusal(node)


def _all(parts: list[Condition]) -> Condition:
    """Return where all of them hold; one that does not hold decides, whatever is unknown."""
    true, false = parts[0].true, parts[0].false
    for part in parts[1:]:
        true, false = true & part.true, false | part.false
    return Condition(true, false)


def _opposite(part: Condition) -> Condition:
    return Condition(part.false, part.true)


def _known(a: Any, b: Any, compare: Callable[[Any, Any], Any]) -> Condition:
    """Return where a comparison holds, unknown where a value is missing."""
    if a is None or (b is None and compare in _COMPARISONS.values()):
        return Condition(False, False)
    known = _is_stated(a) & _is_stated(b)
    met = np.asarray(compare(a, b), dtype=np.bool_)
    if not met.ndim:
        return Condition(bool(met) and bool(known), not met and bool(known))
    return Condition(met & known, ~met & known)


def _is_stated(value: Any) -> Any:
    """Return where a value is there: it is not NaN."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return ~np.isnan(value)
    return not (isinstance(value, float) and value != value)


def _alike(a: Any, b: Any) -> tuple[Any, Any]:
    """Return two values as they can be compared: a stated text is a number beside a number."""
    if isinstance(a, Stated) and isinstance(b, Stated):
        numbers = _number(a), _number(b)
        return (str(a), str(b)) if None in numbers else numbers
    return _as(a, b), _as(b, a)


def _as(value: Any, other: Any) -> Any:
    if not isinstance(value, Stated):
        return value
    if isinstance(other, bool):
        return _truth(value)
    return str(value) if isinstance(other, str) else _number(value)


def _number(value: Any) -> Any:
    """Return a stated text as a number, None if it is none."""
    if not isinstance(value, Stated):
        return value
    try:
        return float(value)
    except ValueError:
        return None


def _truth(value: Stated | None) -> bool | None:
    return {"true": True, "1": True, "false": False, "0": False}.get((value or "").strip().lower())


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
