"""What a configuration file may say: one model for the whole of it, read from TOML, nothing unknown let through."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from catalogs.config import CatalogConfig
from catalogs.open import guess_catalog
from cluster.config import ClusterSection
from curation.sandbox import Limits
from curation.settings import CurationSettings
from datagen.config.mistakes import explain
from datagen.config.settings import RunSettings, SimulationSettings, StoreSettings
from datagen.density.make import DensitySettings
from datagen.errors import ConfigError


class DatagenConfig(BaseModel):
    """The whole of a configuration file; every section but `[[catalog]]` has defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    catalog: tuple[CatalogConfig, ...] = Field(description="a [[catalog]] section for each source")
    curation: CurationSettings = Field(
        default_factory=lambda: CurationSettings.model_validate({}), description="thresholds of the screens"
    )
    limits: Limits = Field(default_factory=Limits, description="what curation of one structure may cost")
    simulation: SimulationSettings = Field(
        default_factory=lambda: SimulationSettings.model_validate({}), description="how patterns are made"
    )
    density: DensitySettings = Field(default_factory=DensitySettings, description="what is done with densities")
    store: StoreSettings = Field(
        default_factory=lambda: StoreSettings.model_validate({}), description="what the dataset holds"
    )
    run: RunSettings = Field(
        default_factory=lambda: RunSettings.model_validate({}), description="how the work is carried out"
    )
    cluster: ClusterSection = Field(
        default_factory=lambda: ClusterSection.model_validate({}), description="who does the work"
    )

    @field_validator("catalog")
    @classmethod
    def _some_and_each_with_its_own_name(cls, catalogs: tuple[CatalogConfig, ...]) -> tuple[CatalogConfig, ...]:
        if not catalogs:
            raise ValueError("expected at least one [[catalog]] section, found none")
        names = [catalog.name for catalog in catalogs]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"every name once, found {', '.join(map(repr, repeated))} again; set name")
        return catalogs


def load_config(path: Path, overrides: Sequence[str] = ()) -> DatagenConfig:
    """The configuration in a TOML file, relative paths taken from its folder; `overrides` are `section.key=value`."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file{_similar_file(path)}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected TOML, which is UTF-8, found byte {error.start} that is not") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: expected TOML: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    return parse_config(content, where=str(path), base=path.absolute().parent, overrides=overrides)


def config_for_path(path: Path, overrides: Sequence[str] = ()) -> DatagenConfig:
    """What the command line means by a path: a configuration, or with all defaults a folder, CIF, archive or table."""
    if path.suffix.lower() == ".toml":
        return load_config(path, overrides)
    if (path / "zarr.json").exists():
        raise ConfigError(f"{path}: expected a configuration or a catalog of structures, found a dataset")
    catalog = guess_catalog(path)
    said = {"kind": catalog.kind, **catalog.model_dump(exclude_unset=True)}
    return parse_config({"catalog": [said]}, where="command line", base=Path.cwd(), overrides=overrides)


def parse_config(content: dict[str, Any], *, where: str, base: Path, overrides: Sequence[str] = ()) -> DatagenConfig:
    """Check a configuration; `where` names it in messages, `base` is where relative paths start."""
    for override in overrides:
        _apply(content, override)
    try:
        config = DatagenConfig.model_validate(content)
    except ValidationError as error:
        raise ConfigError(explain(error, DatagenConfig, where)) from None
    return config.model_copy(update={"catalog": tuple(catalog.resolved(base) for catalog in config.catalog)})


def _apply(content: dict[str, Any], override: str) -> None:
    """Set one value as `curation.max_atoms=200` asks; the value is read as TOML, or as text where it is none."""
    name, equals, text = override.partition("=")
    *sections, key = (part.strip() for part in name.split("."))
    if not equals or not key or not sections:
        raise ConfigError(f"--set {override}: expected SECTION.KEY=VALUE, such as curation.max_atoms=200")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise ConfigError(f"--set {override}: {section} holds no keys; edit the configuration file instead")
    content[key] = value


def _similar_file(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f", nor its folder {path.parent}"
    near = difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean {path.with_name(near[0])}?" if near else ""
