"""Attributes and table metadata of a publication: an allow-list, with file names in place of local paths."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from pydantic import BaseModel, ValidationError

from curation.sandbox import Limits
from curation.settings import CurationSettings
from datagen.config.measured import MeasuredSettings
from datagen.config.settings import SimulationSettings, StoreSettings
from datagen.errors import StoreError
from datagen.progress import one_line
from datagen.simulate.density.make import DensitySettings
from datagen.simulate.instrument import Instrument

_CHECKED: dict[str, type[BaseModel]] = {
    "curation": CurationSettings,
    "limits": Limits,
    "simulation": SimulationSettings,
    "density": DensitySettings,
    "store": StoreSettings,
    "measured": MeasuredSettings,
}
"""Sections whose models forbid unknown keys and hold numbers and fixed words only."""
_CATALOG = (
    *("kind", "name", "licence", "max_file_MB", "max_inflated_GB", "ids", "with_density", "max_materials"),
    *("material_ids", "chemsys", "elements", "exclude_elements", "num_elements", "num_sites", "space_group"),
    *("crystal_system", "max_energy_above_hull_eV", "theoretical"),
    *("count", "seed", "space_groups", "max_atoms", "filter"),
)
_CATALOG_FILES = ("path", "density", "ids_file", "from_list")
_SELECTION = ("splits", "sample", "seed", "patterns", "duplicates")
_PUBLICATION = (
    *("name", "version", "creators", "url", "date"),
    *("profile", "restricted", "declared_open", "source_metadata"),
)
_AGREEMENT = ("error", "median", "percentile_95", "worst", "patterns", "crystals", "reference")
_SOURCE = ("content_sha256", "n_structures", "n_rows_taken")
_VERSION = re.compile(r"[\w.+!-]{1,64}( and [\w.+!-]{1,64})*")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


def published_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that may be published; raise if settings are not as this version writes them."""
    return _select(
        attributes,
        {
            "title": _plain,
            "source": _plain,
            "software": _versions,
            "configuration": published_configuration,
            "crystal_systems": _words,
            "instrument": lambda value: _checked("instrument", Instrument, value),
            "reflections": _words,
            "engine": _engine,
            "licence_note": _plain,
            "derived_from": _derived_from,
            "publication": lambda value: _select(value, dict.fromkeys(_PUBLICATION, _plain)),
        },
    )


def published_table_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of `curation.parquet` that may be published; raise likewise."""
    return _select(
        metadata,
        {
            "format": _plain,
            "n_records": _plain,
            "counts": _words,
            "fingerprint": published_configuration,
            "versions": _versions,
            "crystal_systems": _words,
            "reasons": _words,
        },
    )


def published_configuration(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that decide the data, without the locations of catalogs."""
    checked = {name: _section(name, model) for name, model in _CHECKED.items()}
    return _select(
        configuration,
        {
            "catalog": lambda catalogs: [_catalog(catalog) for catalog in _list(catalogs)],
            "code": _versions,
            "format_version": _plain,
            "physics_version": _plain,
            **checked,
        },
    )


def file_name(path: str) -> str:
    """Return the last part of a POSIX or Windows path."""
    return PureWindowsPath(PurePosixPath(path).name).name


def _section(name: str, model: type[BaseModel]) -> Callable[[Any], Any]:
    return lambda value: _checked(f"configuration.{name}", model, value)


def _checked(where: str, model: type[BaseModel], value: Any) -> Any:
    """Return the settings unchanged; raise if their model does not accept them."""
    try:
        model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = one_line(".".join(map(str, (where, *first["loc"]))), 200)
        raise StoreError(
            f"{path}: not a setting of this version of pxrd-datagen ({first['msg']}); publish with the version that "
            "made the dataset"
        ) from error
    return value


def _select(given: Mapping[str, Any], allowed: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """Return the listed entries, each converted by its function; {} for anything but a mapping."""
    return {name: allowed[name](value) for name, value in _items(given) if name in allowed}


def _items(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, Mapping) else []


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _plain(value: Any) -> Any:
    """Return texts, numbers and flat lists of them; anything nested is dropped."""
    if isinstance(value, list | tuple):
        return [each for each in value if not isinstance(each, dict | list | tuple)]
    return None if isinstance(value, dict) else value


def _words(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(inner) for name, inner in _items(value) if _NAME.fullmatch(name)}


def _versions(value: Mapping[str, Any]) -> dict[str, str]:
    return {name: each for name, each in _words(value).items() if isinstance(each, str) and _VERSION.fullmatch(each)}


def _engine(value: Mapping[str, Any]) -> dict[str, Any]:
    found = _select(value, {"name": _plain, "agreement_with_gsas2": lambda inner: inner})
    agreement = found.get("agreement_with_gsas2")
    if isinstance(agreement, dict):
        found["agreement_with_gsas2"] = _select(agreement, dict.fromkeys(_AGREEMENT, _plain))
    return found


def _catalog(value: Mapping[str, Any]) -> dict[str, Any]:
    files = dict.fromkeys(_CATALOG_FILES, lambda path: file_name(path) if isinstance(path, str) else None)
    return _select(value, {**dict.fromkeys(_CATALOG, _plain), **files})


def _derived_from(value: Mapping[str, Any]) -> dict[str, Any]:
    return _select(
        value,
        {
            "operation": _plain,
            "given": _given,
            "sources": lambda sources: [_origin(source) for source in _list(sources)],
        },
    )


def _given(value: Mapping[str, Any]) -> dict[str, Any]:
    terms = dict.fromkeys(_PUBLICATION, _plain)
    return _select(
        value,
        {**dict.fromkeys(_SELECTION, _plain), "where": _expression, "terms": lambda inner: _select(inner, terms)},
    )


def _expression(text: Any) -> str | None:
    """Return a selection with quoted paths replaced by file names."""
    if not isinstance(text, str):
        return None
    return _QUOTED.sub(lambda found: found[0][0] + file_name(found[0][1:-1]) + found[0][-1], text)


def _origin(value: Mapping[str, Any]) -> dict[str, Any]:
    return _select(
        value,
        {
            **dict.fromkeys(_SOURCE, _plain),
            "configuration": published_configuration,
            "software": _versions,
            "publication": lambda named: _select(named, dict.fromkeys(_PUBLICATION, _plain)),
            "derived_from": _derived_from,
        },
    )
