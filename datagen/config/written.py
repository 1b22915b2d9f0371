"""A configuration as text: resolved, with every default, as TOML or JSON that can be read again."""

from __future__ import annotations

import json
import re
from typing import Any

from datagen.config.config import DatagenConfig

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def plain_values(config: DatagenConfig) -> dict[str, Any]:
    """Return a configuration as it is written in a file: plain values, no None, cluster profiles in their tables."""
    values = config.model_dump(mode="json", exclude_none=True)
    values["cluster"] = {**values["cluster"]["default"], **values["cluster"]["named"]}
    return values


def to_json(config: DatagenConfig) -> str:
    """Return a configuration as JSON."""
    return json.dumps(plain_values(config), indent=2, ensure_ascii=False)


def to_toml(config: DatagenConfig) -> str:
    """Return a configuration as TOML, one table per section."""
    return "\n".join(_tables(plain_values(config), ())).strip()


def _tables(values: dict[str, Any], path: tuple[str, ...]) -> list[str]:
    lines = [f"{_key(key)} = {_value(value)}" for key, value in values.items() if not _is_table(value)]
    for key, value in values.items():
        if _is_table(value):
            name = ".".join(map(_key, (*path, key)))
            for each in value if isinstance(value, list) else [value]:
                lines += ["", f"[[{name}]]" if isinstance(value, list) else f"[{name}]", *_tables(each, (*path, key))]
    return lines


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and value != [] and all(isinstance(v, dict) for v in value)
    )


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return repr(value).lower() if isinstance(value, bool | float) else str(value)  # TOML: true, 1e-05, inf, nan


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
