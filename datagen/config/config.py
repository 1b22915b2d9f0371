"""The model of a whole configuration file, and reading it from TOML."""

from __future__ import annotations

import difflib
import logging
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from catalogs.config import CatalogConfig
from catalogs.open import guess_catalog
from cluster.config import ClusterSection
from curation.sandbox import Limits
from curation.settings import CurationSettings
from datagen.config.mistakes import explain
from datagen.config.overrides import apply_overrides, parse_overrides
from datagen.config.phases import with_library
from datagen.config.settings import RunSettings, SimulationSettings, StoreSettings
from datagen.errors import ConfigError
from datagen.simulate.density.make import DensitySettings

log = logging.getLogger(__name__)


class DatagenConfig(BaseModel):
    """A whole configuration file; every section but `[[catalog]]` has defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    catalog: tuple[CatalogConfig, ...] = Field(description="one [[catalog]] section per source of structures")
    curation: CurationSettings = Field(
        default_factory=lambda: CurationSettings.model_validate({}), description="thresholds and policies of curation"
    )
    limits: Limits = Field(
        default_factory=Limits, description="time and memory allowed for the curation of one structure"
    )
    simulation: SimulationSettings = Field(
        default_factory=lambda: SimulationSettings.model_validate({}), description="how patterns are simulated"
    )
    density: DensitySettings = Field(
        default_factory=DensitySettings, description="how electron densities are read and resampled"
    )
    store: StoreSettings = Field(
        default_factory=lambda: StoreSettings.model_validate({}), description="content and layout of the dataset"
    )
    run: RunSettings = Field(
        default_factory=lambda: RunSettings.model_validate({}), description="how the run is carried out"
    )
    cluster: ClusterSection = Field(
        default_factory=lambda: ClusterSection.model_validate({}),
        description="where the work is done: a profile by default, and others in [cluster.NAME]",
    )

    @field_validator("catalog")
    @classmethod
    def _distinct_names(cls, catalogs: tuple[CatalogConfig, ...]) -> tuple[CatalogConfig, ...]:
        if not catalogs:
            raise ValueError("expected at least one [[catalog]] section, found none")
        names = [catalog.name for catalog in catalogs]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"expected distinct names, found {', '.join(map(repr, repeated))} more than once; set `name`"
            )
        return catalogs


def load_config(path: Path, overrides: Sequence[str] = ()) -> DatagenConfig:
    """Read a TOML file; relative paths start at its folder, `overrides` are such as `simulation.seed=3`."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file{_similar_file(path)}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected TOML in UTF-8, found another encoding at byte {error.start}") from None
    except (ValueError, RecursionError) as error:  # tomllib passes Python's limits on digits and nesting through
        raise ConfigError(f"{path}: expected TOML: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    log.debug("read %s", path)
    return parse_config(content, where=str(path), base=path.absolute().parent, overrides=overrides)


def config_for_path(path: Path, overrides: Sequence[str] = ()) -> DatagenConfig:
    """Read a TOML file, or make the default configuration for a folder, CIF, archive or table of structures."""
    if path.suffix.lower() == ".toml":
        return load_config(path, overrides)
    if (path / "zarr.json").exists():
        raise ConfigError(f"{path}: expected a configuration or a catalog of structures, found a dataset")
    catalog = guess_catalog(path)
    content = {"kind": catalog.kind, **catalog.model_dump(exclude_unset=True)}
    return parse_config({"catalog": [content]}, where="command line", base=Path.cwd(), overrides=overrides)


def parse_config(content: Mapping[str, Any], *, where: str, base: Path, overrides: Sequence[str] = ()) -> DatagenConfig:
    """Validate a configuration; `where` names it in messages, relative paths start at `base`."""
    parsed = parse_overrides(overrides)
    try:
        config = DatagenConfig.model_validate(with_library(apply_overrides(dict(content), parsed), base))
    except ValidationError as error:
        raise ConfigError(explain(error, DatagenConfig, where, [override.place for override in parsed])) from None
    return config.model_copy(update={"catalog": tuple(catalog.resolved(base) for catalog in config.catalog)})


def _similar_file(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f", and no folder {path.parent}"
    near = difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean {path.with_name(near[0])}?" if near else ""
