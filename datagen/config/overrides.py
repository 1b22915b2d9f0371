"""Overrides of single settings, `simulation.seed=3` or `catalog[0].licence=CC0-1.0`, as `--set` takes them."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datagen.errors import ConfigError

EXAMPLE = "simulation.instrument.two_theta_max_deg=120"
SHORT_FORMS = {("simulation", "instrument"): ("base", "alphadiffract")}
"""Tables that may be written as a name: the key that the name becomes, and the name by default."""
_STEP = re.compile(r"([A-Za-z0-9_-]+)((?:\[(?:\d+|\*)\])*)")
ALL = -1
"""Place of every element of a list: `catalog[*].limit=10`."""
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_NO_VALUE = "expected SECTION.KEY=VALUE"

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Override:
    """One setting and its new value."""

    place: Place
    value: Any
    text: str
    """As it was given, for messages."""


def parse_overrides(texts: Sequence[str]) -> tuple[Override, ...]:
    """Parse overrides; the values are TOML, or plain text where they are none. All mistakes are reported at once."""
    parsed = []
    mistakes = []
    for text in texts:
        name, equals, value = text.partition("=")
        place = _place(name)
        if not equals or place is None or len(place) < 2:
            mistakes.append(f"--set {text}: {_NO_VALUE}, such as {EXAMPLE}")
        else:
            parsed.append(Override(place, _value(value.strip()), text))
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return tuple(parsed)


def apply_overrides(content: dict[str, Any], overrides: Sequence[Override]) -> dict[str, Any]:
    """Return a copy of a configuration with the overrides in place; the models check names and values."""
    changed: dict[str, Any] = content
    mistakes = []
    for override in overrides:
        try:
            changed = _with(changed, override.place, override.value, ())
        except _NoTableError as error:
            mistakes.append(f"--set {override.text}: {error}")
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return changed


class _NoTableError(Exception):
    pass


def _with(content: Any, rest: Place, value: Any, done: Place) -> Any:
    """Return `content` with the value at `rest`; `done` is the path to `content`."""
    if not rest:
        return value
    step, *others = rest
    if isinstance(step, int):
        if not isinstance(content, list):
            raise _NoTableError(f"{written(done)}: expected a list, found {_kind(content)}")
        if step == ALL:
            return [_with(one, tuple(others), value, (*done, i)) for i, one in enumerate(content)]
        if step >= len(content):
            raise _NoTableError(f"{written((*done, step))}: there are {len(content)}, counted from 0")
        return [*content[:step], _with(content[step], tuple(others), value, (*done, step)), *content[step + 1 :]]
    if done in SHORT_FORMS:
        key, default = SHORT_FORMS[done]
        content = {key: default} if content is None else {key: content} if isinstance(content, str) else content
    content = {} if content is None else content
    if isinstance(content, list):
        raise _NoTableError(
            f"{written(done)}: expected the number of one of them, such as {written((*done, 0))}.{step}"
        )
    if not isinstance(content, dict):
        raise _NoTableError(f"{written(done)}: has no keys, found {_kind(content)}")
    return {**content, step: _with(content.get(step), tuple(others), value, (*done, step))}


def written(place: Sequence[str | int]) -> str:
    """Return a place as it is written in messages and after --set: `catalog[0].path`."""
    steps = (f"[{'*' if step == ALL else step}]" if isinstance(step, int) else f".{_key(step)}" for step in place)
    return "".join(steps).removeprefix(".")


def _key(name: str) -> str:
    """Return a key as TOML writes it, so that control characters of a foreign file never reach the terminal."""
    return name if _BARE_KEY.fullmatch(name) else json.dumps(name)


def _place(name: str) -> Place | None:
    steps: list[str | int] = []
    for part in name.split("."):
        match = _STEP.fullmatch(part.strip())
        if match is None:
            return None
        steps.append(match[1])
        steps += [ALL if number == "*" else int(number) for number in re.findall(r"\d+|\*", match[2])]
    return tuple(steps)


def _value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _kind(value: Any) -> str:
    names = {str: "a text", bool: "true or false", int: "a number", float: "a number", dict: "a table", list: "a list"}
    return names.get(type(value), "nothing" if value is None else type(value).__name__)
