"""The reference of the configuration, made from its models: `docs/config.md` and the JSON schema.

`python -m datagen.config.reference > docs/config.md` writes the page.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from catalogs.config import CatalogConfig
from cluster.config import Profile
from datagen.config.config import DatagenConfig
from datagen.simulate.instrument import PRESETS

UNITS = {
    "_A": "Å",
    "_A2": "Å²",
    "_A3": "Å³",
    "_deg": "degrees",
    "_cdeg": "0.01 degrees",
    "_cdeg2": "0.0001 degrees²",
    "_um": "µm",
    "_mm": "mm",
    "_s": "seconds",
    "seconds": "seconds",
    "_keV": "keV",
    "_eV": "eV",
    "_GB": "10⁹ bytes",
    "_MB": "10⁶ bytes",
    "_bytes": "bytes",
    "megabytes": "2²⁰ bytes",
    "microstrain": "10⁻⁶",
}
"""Endings of keys, longest match first, and the unit that they state."""

HEAD = """# Configuration

*Made from the models by `python -m datagen.config.reference`; do not edit.*

A configuration is a TOML file. Only `[[catalog]]` is required, once for each source of structures; everything else has
the defaults below. Relative paths start at the file's folder. `datagen run FOLDER` and `datagen run FILE` use a
configuration with all defaults.

```toml
[[catalog]]
kind = "folder"
path = "cifs"

[simulation]
instrument = { base = "cu_kalpha", two_theta_max_deg = 120 }
augmentation = { preset = "realistic", count = 50 }

[cluster]
workers = 8
```

- `datagen config config.toml` prints the configuration with every default filled in, as TOML (or JSON with `--json`):
  `datagen config cifs > config.toml` starts a new one.
- `datagen config --schema` prints a JSON schema, with which editors complete and check the file.
- `--set KEY=VALUE` changes one setting of `run`, `plan`, `curate` and `config` without editing the file, and can be
  repeated: `--set simulation.instrument.two_theta_max_deg=120 --set catalog[0].licence=CC0-1.0`. The value is TOML, or
  plain text.

Every mistake is listed with its place, what was expected and what was found, before anything starts.
"""


def page() -> str:
    """Return docs/config.md."""
    parts = [HEAD]
    for name, field in DatagenConfig.model_fields.items():
        parts += [f"## `[[{name}]]`" if name == "catalog" else f"## `[{name}]`", _sentence(field.description or "")]
        if name == "catalog":
            parts += _kinds(CatalogConfig, "catalog")
        elif name == "cluster":
            parts += _kinds(Profile, "cluster")
        else:
            parts += _sections(_model_in(field.annotation), name)
    return "\n\n".join(part.strip() for part in parts) + "\n"


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a configuration file as it is written."""
    schema = DatagenConfig.model_json_schema()
    definitions = schema["$defs"]
    profile = definitions["ClusterSection"]["properties"]["named"]["additionalProperties"]
    kinds = [definitions[each["$ref"].rpartition("/")[2]] for each in profile["oneOf"]]
    # [cluster] is a profile (local if it has no kind) that has other profiles as tables.
    own = [{**kind, "additionalProperties": {"$ref": "#/$defs/NamedProfile"}} for kind in kinds]
    definitions["NamedProfile"] = profile
    definitions["ClusterSection"] = {"anyOf": own, "description": DatagenConfig.model_fields["cluster"].description}
    whole = definitions.pop("Instrument")
    changed = {**whole, "properties": {"base": {"enum": [*PRESETS]}, **whole["properties"]}, "required": ["base"]}
    definitions["Instrument"] = {"anyOf": [{"enum": [*PRESETS]}, whole, changed]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "pxrd-datagen configuration", **schema}


def _kinds(union: Any, section: str) -> Iterator[str]:
    """Return a table for each kind of catalog or cluster; keys that all have come first."""
    models = get_args(get_args(union)[0])
    common = [name for name in models[0].model_fields if name != "kind" and all(_in_each(name, models))]
    described: dict[tuple[str, str | None], str] = {}
    yield "Keys of every kind; a kind's own table repeats those with another default."
    yield _table(models[0], common)
    for model in models:
        kinds = get_args(model.model_fields["kind"].annotation)
        yield f"### {section} of kind {' or '.join(f'`{kind}`' for kind in kinds)}"
        yield _sentence(inspect.getdoc(model) or "")
        own = [
            name
            for name, field in model.model_fields.items()
            if name != "kind" and (name not in common or _default(field) != _default(models[0].model_fields[name]))
        ]
        if own:
            again = {name: at for name in own if (at := described.get((name, model.model_fields[name].description)))}
            yield _table(model, own, {name: f"as for kind `{kind}`" for name, kind in again.items()})
            described |= {(name, model.model_fields[name].description): kinds[0] for name in own if name not in again}


def _in_each(name: str, models: tuple[type[BaseModel], ...]) -> Iterator[bool]:
    return (name in model.model_fields for model in models)


def _sections(model: type[BaseModel], path: str) -> Iterator[str]:
    """Return the table of a section, then those of its subsections."""
    nested = {name: inner for name, field in model.model_fields.items() if (inner := _model_in(field.annotation))}
    yield _table(model, list(model.model_fields))
    for name, inner in nested.items():
        yield f"### `[{path}.{name}]`" if not _is_list(model.model_fields[name]) else f"### `[[{path}.{name}]]`"
        yield _sentence(inspect.getdoc(inner) or "")
        if inner.__name__ == "Instrument":
            yield "Keys without a default are required, unless `base` names a preset:"
            yield _presets()
        yield from _sections(inner, f"{path}.{name}")


def _presets() -> str:
    keys = ("two_theta_min_deg", "two_theta_max_deg", "n_points", "polarisation", "geometry")
    lines = [
        "| preset | wavelengths, Å | 2θ, degrees | points | polarisation | geometry |",
        "|---|---|---|---|---|---|",
    ]
    for name, preset in PRESETS.items():
        low, high, points, polarisation, geometry = (getattr(preset, key) for key in keys)
        waves = ", ".join(f"{line.wavelength_A:g}" for line in preset.lines)
        lines.append(f"| `{name}` | {waves} | {low:g} to {high:g} | {points} | {polarisation:g} | {geometry} |")
    return "\n".join(lines)


def _table(model: type[BaseModel], names: list[str], meanings: Mapping[str, str] = MappingProxyType({})) -> str:
    lines = ["| key | default | unit | meaning |", "|---|---|---|---|"]
    for name in names:
        field = model.model_fields[name]
        meaning = " ".join(meanings.get(name, field.description or "").split()).replace("|", "\\|")
        choices = _choices(field.annotation)
        if choices and not all(f"`{choice}`" in meaning or choice in meaning for choice in choices):
            meaning = f"{meaning.rstrip('.')} ({' or '.join(f'`{choice}`' for choice in choices)})"
        lines.append(f"| `{name}` | {_default(field)} | {_unit(name, field)} | {_sentence(meaning)} |")
    return "\n".join(lines)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return next((f'`"{name}"`' for name, preset in PRESETS.items() if preset == value), "below")
    if value is None or value is PydanticUndefined or value in ("", ()):
        return ""
    return f"`{json.dumps(value, default=str, ensure_ascii=False)}`"


def _unit(name: str, field: FieldInfo) -> str:
    """Return the unit that the field states, or else its name."""
    if isinstance(field.json_schema_extra, dict) and "unit" in field.json_schema_extra:
        return str(field.json_schema_extra["unit"])
    return next((UNITS[end] for end in sorted(UNITS, key=len, reverse=True) if name.endswith(end)), "")


def _sentence(text: str) -> str:
    text = re.sub(r"(?<!\n)\n(?!\n)", " ", text.strip())
    text = text if not text or text.endswith(".") else f"{text}."
    return text[:1].upper() + text[1:]


def _choices(annotation: Any) -> list[str]:
    return [str(choice) for choice in get_args(annotation)] if get_origin(annotation) is Literal else []


def _is_list(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is tuple


def _model_in(annotation: Any) -> Any:
    """Return the model of a subsection, or of the entries of a list of them; None for plain values."""
    if get_origin(annotation) is Annotated:
        return _model_in(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType, tuple):
        found = [_model_in(each) for each in get_args(annotation) if each not in (Ellipsis, NoneType)]
        return found[0] if len(set(found)) == 1 else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


if __name__ == "__main__":
    print(page(), end="")
