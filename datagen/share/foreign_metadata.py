"""Validation of a dataset's metadata, before anything is allocated or computed from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from datagen.errors import StoreError
from datagen.progress import one_line
from datagen.simulate.phase_library import MOST_PHASES, PHASE_NAME
from datagen.steps.layout import draws, known_draws
from datagen.store import ledger, reading, schema
from datagen.store.location import Location
from datagen.store.schema import LABEL_CHUNK, Layout

MAX_STRUCTURES = 1_000_000_000
MAX_PER_SHARD = 4096
_Count = Annotated[int, Field(ge=1, le=10_000_000)]
_Text = Annotated[str, StringConstraints(max_length=10_000)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class _LayoutModel(_Strict):
    model_config = ConfigDict(extra="forbid")

    n_structures: Annotated[int, Field(ge=1, le=MAX_STRUCTURES)]
    n_augmentations: Annotated[int, Field(ge=0, le=10_000_000)]
    n_points: _Count
    structures_per_shard: Annotated[int, Field(ge=1, le=MAX_PER_SHARD)]
    shard_reflections: Annotated[int, Field(ge=1, le=2_000_000_000)] | None = None
    """Format 1 has none."""
    reflection_slots: _Count = 1
    member_slots: _Count = 1
    scan_slots: Annotated[int, Field(ge=1, le=5_000_000)] = 1
    n_lines: Annotated[int, Field(ge=1, le=100)] = 1
    text_bytes: dict[str, Annotated[int, Field(ge=1, le=100_000)]]
    label_rows: Annotated[int, Field(ge=1, le=LABEL_CHUNK)] | None = None
    with_members: bool = False
    with_xrd_peaks: bool
    density_method: str | None
    extra_augmentations: list[str]


class _Line(_Strict):
    wavelength_A: float


class _Instrument(_Strict):
    lines: Annotated[list[_Line], Field(min_length=1, max_length=100)]
    two_theta_min_deg: float
    two_theta_max_deg: float


class _Catalog(_Strict):
    name: _Text
    kind: _Text


class _Augmentation(_Strict):
    count: _Count


class _Simulation(_Strict):
    augmentation: _Augmentation


class _Store(_Strict):
    structures_per_shard: Annotated[int, Field(ge=1, le=MAX_PER_SHARD)] | None


class _Configuration(_Strict):
    catalog: list[_Catalog]
    curation: dict[str, Any]
    simulation: _Simulation
    store: _Store


class _Agreement(_Strict):
    reference: _Text
    median: float
    percentile_95: float
    worst: float
    patterns: int
    crystals: int


class _Engine(_Strict):
    agreement_with_gsas2: _Agreement | _Text | None = None


class _Citation(_Strict):
    name: _Text
    version: _Text
    creators: list[_Text] = []
    url: _Text = ""


class _Origin(_Strict):
    content_sha256: _Text
    configuration: dict[str, Any] = {}
    software: dict[str, _Text] = {}
    publication: _Citation = _Citation(name="", version="")
    derived_from: _DerivedFrom = Field(default_factory=lambda: _DerivedFrom(operation="", sources=[]))


class _DerivedFrom(_Strict):
    operation: _Text
    given: dict[str, Any] = {}
    sources: list[_Origin]


class _Attributes(_Strict):
    title: _Text = ""
    source: _Text = ""
    software: dict[str, _Text] = {}
    configuration: _Configuration
    instrument: _Instrument
    engine: _Engine = _Engine()
    derived_from: _DerivedFrom = Field(default_factory=lambda: _DerivedFrom(operation="", sources=[]))
    publication: _Citation = _Citation(name="", version="")
    layout: _LayoutModel


def checked_layout(path: Location, attributes: Mapping[str, Any]) -> Layout:
    """Return the layout; raise unless attributes and arrays are as this version writes them."""
    try:
        _Attributes.model_validate(attributes)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = one_line(".".join(map(str, first["loc"])), 200)
        found = one_line(repr(first["input"]), 80)
        raise StoreError(
            f"{path}: attribute {name} is malformed: {first['msg'].lower()}, found {found}; fetch the dataset again"
        ) from error
    if attributes["format_version"] > 1 and attributes["layout"].get("shard_reflections") is None:
        raise StoreError(f"{path}: attribute layout has no shard_reflections; fetch the dataset again")
    layout = _layout(path, attributes["layout"], attributes["format_version"])
    reading.check_arrays(path, layout)
    return _with_names(path, layout)


def checked_receipts(path: Location, layout: Layout) -> dict[int, ledger.Receipt]:
    """Return the receipts of all committed shards; raise if one does not match the rows of its shard."""
    if ledger.read(path, layout.n_shards - 1) is None and path.names(ledger.FOLDER) is None:
        return {}  # a web server cannot list files: avoid a request for each of millions of shards
    receipts = ledger.committed(path)
    for shard, receipt in receipts.items():
        rows = layout.rows(shard) if 0 <= shard < layout.n_shards else range(0)
        found = receipt.first_row, receipt.n_structures
        densities = receipt.n_densities
        if found != (rows.start, len(rows)) or not isinstance(densities, int) or not 0 <= densities <= len(rows):
            raise StoreError(
                f"{path}: receipt of shard {shard}: expected {len(rows)} structures from row {rows.start} and at most "
                f"as many densities, found {one_line((*found, densities), 80)}; fetch the dataset again"
            )
    return receipts


def _with_names(path: Location, layout: Layout) -> Layout:
    """Return the layout with the names of second phases that the dataset states: its library may be another."""
    if not any(draw.names for draw in layout.extra_draws):
        return layout
    stated = {draw.name: draw.names for draw in reading.read_layout(path).extra_draws}
    for draw in layout.extra_draws:
        names = stated.get(draw.name, ())
        if draw.names and not (1 <= len(names) <= MOST_PHASES and all(map(PHASE_NAME.fullmatch, names))):
            raise StoreError(f"{path}: {draw.name}: its flag_meanings are malformed; fetch the dataset again")
    renamed = [replace(draw, names=stated[draw.name]) if draw.names else draw for draw in layout.extra_draws]
    return replace(layout, extra_draws=tuple(renamed))


def _layout(path: Location, plain: Mapping[str, Any], format_version: int) -> Layout:
    """Return the layout with the draws of this version; refuse names that the format does not have."""
    known = {draw.name: draw for draw in known_draws()}
    method, extra = plain["density_method"], plain["extra_augmentations"]
    unknown = [name for name in extra if name not in known]
    if method is not None and method not in schema.DENSITY_MEANINGS:
        unknown.append(method)
    if unknown:
        raise StoreError(
            f"{path}: attribute layout: {one_line(unknown[0], 80)} is unknown to this version of pxrd-datagen; "
            "read the dataset with the version that wrote it"
        )
    stored = draws() if plain["n_augmentations"] else ()
    return Layout.from_dict(plain, (*stored, *(known[name] for name in extra)), format_version)
