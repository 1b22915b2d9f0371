"""Configuration models of `[[catalog]]` sections, one for each kind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from catalogs.expression import Expression
from catalogs.names import stem

CrystalSystem = Literal["Triclinic", "Monoclinic", "Orthorhombic", "Tetragonal", "Trigonal", "Hexagonal", "Cubic"]


class _Catalog(BaseModel):
    """Settings of every kind of catalog."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    name: str = Field(default="", pattern=r"^[^\x00-\x1f]+$")
    """Name in tables and reports, unique in a configuration; by default from the path or kind."""
    licence: str = Field(default="unknown", min_length=1)
    """Licence of the structures, stored with every row: an SPDX identifier, or ICSD."""
    max_file_MB: float = Field(default=50.0, gt=0, le=2000)
    """Largest file that is read, in MB (10^6 bytes) after decompression; larger ones are refused."""
    limit: int | None = Field(default=None, ge=1)
    """Number of records after which reading stops, for a first try; by default all are read."""
    from_list: Path | None = None
    """Text file with one id a line: only these are read; those that the source lacks become rows with a reason."""
    where: str | None = None
    """Condition on source metadata, such as `energy_above_hull < 0.05 and nelements <= 3`; others are left out."""

    @field_validator("where")
    @classmethod
    def _condition(cls, where: str | None) -> str | None:
        if where is not None:
            Expression(where)
        return where

    @model_validator(mode="before")
    @classmethod
    def _name_from_path(cls, given: Any) -> Any:
        if isinstance(given, dict) and not given.get("name"):
            path = given.get("path") or given.get("index")
            kind = str(given.get("kind") or cls.model_fields["kind"].default)
            named = stem(Path(path).absolute().name) if isinstance(path, str | Path) else ""
            return {**given, "name": named or kind}
        return given

    def resolved(self, base: Path) -> Self:
        """Return the catalog with paths relative to `base`, the folder of the configuration file."""
        paths = {
            name: base / value.expanduser()
            for name in type(self).model_fields
            if isinstance(value := getattr(self, name), Path)
        }
        return self.model_copy(update=paths)


_DENSITY_HELP = """Path of a structure's charge density: a pattern relative to the catalog's folder with `{stem}`
(file name without suffixes), `{folder}` (its folder inside the catalog) and `{block}` (data block):
`densities/{stem}.CHGCAR.gz`. Formats by suffix:
CHGCAR, .cube or Materials Project's .json, each optionally with .gz."""


class _WithDensities(_Catalog):
    density: str | None = Field(default=None, description=" ".join(_DENSITY_HELP.split()))

    @field_validator("density")
    @classmethod
    def _known_placeholders(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                pattern.format(stem="", folder="", block="")
            except (KeyError, IndexError, ValueError) as error:
                raise ValueError(f"expected only {{stem}}, {{folder}} and {{block}} in braces ({error})") from error
            if "{" not in pattern:
                raise ValueError(
                    "expected {stem} or {block} in the pattern: without them every structure has the same density"
                )
        return pattern


class FolderCatalog(_WithDensities):
    """Files with structures (CIF, POSCAR, extended XYZ, JSON; also compressed), tables and archives in a folder."""

    kind: Literal["folder"] = "folder"
    path: Path
    """The folder, or a single file."""


class ZipCatalog(_WithDensities):
    """Files with structures inside a zip archive, read in place; densities are inside or beside it."""

    kind: Literal["zip"] = "zip"
    path: Path
    """The .zip file."""


class TarCatalog(_WithDensities):
    """Files with structures inside a tar archive (plain, gzip, bzip2, xz), read in place; densities are beside it."""

    kind: Literal["tar"] = "tar"
    path: Path
    """The .tar, .tar.gz, .tgz, .tar.bz2 or .tar.xz file."""
    max_inflated_GB: float = Field(default=1000.0, gt=0)
    """Limit on the decompressed size of the archive, in GB (10^9 bytes); reading stops there with a defect."""


class TableCatalog(_Catalog):
    """CSV, Parquet or Feather table, or database of ASE, with a structure in each row and source metadata beside it."""

    kind: Literal["table"] = "table"
    path: Path
    """The .csv, .csv.gz, .parquet or .feather file, or the database (.db of ASE, .aselmdb of fairchem)."""
    structure_column: str | None = None
    """Column with the structures as CIF, POSCAR, extended XYZ or JSON; by default the first of `cif`, `structure`,
    `poscar`, or OPTIMADE's three columns `lattice_vectors`, `cartesian_site_positions`, `species_at_sites`."""
    id_column: str | None = None
    """Column with ids; by default `material_id`, `immutable_id` or `id` if the table has it, else rows are numbered."""
    density_column: str | None = None
    """Column with the path of each structure's charge density, relative to the table's folder."""


class IcsdCatalog(_WithDensities):
    """CIFs exported from the ICSD; ids are collection codes, from the CIF or the file's name."""

    kind: Literal["icsd"] = "icsd"
    path: Path
    """The folder, .zip or .tar archive with the exported files."""
    licence: str = Field(default="ICSD", min_length=1)
    """Licence; with `ICSD`, structures are withheld from published datasets."""


class CodCatalog(_WithDensities):
    """Crystallography Open Database: a local mirror, or entries by number, downloaded once."""

    kind: Literal["cod"] = "cod"
    path: Path
    """Folder of the mirror (1/00/00/1000000.cif or flat), archive, or folder for downloads."""
    ids: tuple[int, ...] = ()
    """COD numbers; by default every file of the folder."""
    ids_file: Path | None = None
    """Text file with COD numbers, separated by white space or commas; `#` begins a comment."""
    download: bool = False
    """Download numbers that are not in the folder, into the folder."""
    url: str = "https://www.crystallography.net/cod/{id}.cif"
    """URL of an entry, with `{id}` for the number."""
    licence: str = Field(default="CC0-1.0", min_length=1)
    """Licence; the COD is in the public domain."""

    @field_validator("ids")
    @classmethod
    def _seven_digits(cls, ids: tuple[int, ...]) -> tuple[int, ...]:
        if wrong := [i for i in ids if not 1_000_000 <= i <= 9_999_999]:
            raise ValueError(f"COD numbers have seven digits, found {wrong[:3]}")
        return ids

    @field_validator("url")
    @classmethod
    def _https(cls, url: str) -> str:
        try:
            filled = url.format(id=1000000)
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(f"expected only {{id}} in braces ({error})") from error
        if not url.startswith("https://") or filled == url:
            raise ValueError("expected an https:// URL that contains {id}")
        return url

    @model_validator(mode="after")
    def _something_to_download(self) -> Self:
        if self.download and not (self.ids or self.ids_file):
            raise ValueError("download = true needs ids or ids_file: the whole COD is better mirrored with rsync")
        return self


class MaterialsProjectCatalog(_Catalog):
    """Structures and, optionally, charge densities of the Materials Project, downloaded once."""

    kind: Literal["materials_project"] = "materials_project"
    path: Path
    """Folder for downloads; what is complete there is not downloaded again."""
    material_ids: tuple[str, ...] = ()
    """Materials by id, such as mp-149."""
    chemsys: tuple[str, ...] = ()
    """Chemical systems, such as Si-O: exactly these elements."""
    elements: tuple[str, ...] = ()
    """Elements that must be present."""
    exclude_elements: tuple[str, ...] = ()
    """Elements that must be absent."""
    num_elements: tuple[int, int] | None = None
    """Smallest and largest number of different elements."""
    num_sites: tuple[int, int] | None = None
    """Smallest and largest number of atoms in the primitive cell."""
    space_group: tuple[Annotated[int, Field(ge=1, le=230)], ...] = ()
    """Space group numbers as determined by the database."""
    crystal_system: CrystalSystem | None = None
    """Crystal system as determined by the database."""
    max_energy_above_hull_eV: float | None = Field(default=None, ge=0)
    """Largest energy above the convex hull, in eV per atom."""
    theoretical: bool | None = None
    """False: only materials known from experiment; true: only the others."""
    with_density: bool = False
    """Take only materials with a charge density, and download the densities (some MB each)."""
    max_materials: int | None = Field(default=None, ge=1)
    """Largest number of materials, taken in the order of their ids."""

    @field_validator("num_elements", "num_sites")
    @classmethod
    def _least_first(cls, bounds: tuple[int, int] | None) -> tuple[int, int] | None:
        if bounds is not None and not 1 <= bounds[0] <= bounds[1]:
            raise ValueError("expected the smallest, then the largest number, both at least 1")
        return bounds

    @model_validator(mode="after")
    def _some_criterion(self) -> Self:
        if self.material_ids and set(self.query()) != {"material_ids"}:
            raise ValueError("material_ids cannot be combined with other criteria; remove either")
        if not self.material_ids and not self.query():
            raise ValueError("no criterion; expected at least one, such as chemsys, num_elements or material_ids")
        return self

    def query(self) -> dict[str, Any]:
        """Return the given criteria as JSON values; they identify the query."""
        given = self.model_dump(mode="json", include=QUERY_FIELDS)
        return {key: value for key, value in sorted(given.items()) if value not in (None, [])}

    downloads_at_once: int = Field(default=4, ge=1, le=16)
    """Number of densities downloaded concurrently."""
    retries: int = Field(default=5, ge=0, le=20)
    """Retries of a failed download, after 1, 2, 4, ... seconds."""
    licence: str = Field(default="CC-BY-4.0", min_length=1)
    """Licence; the Materials Project's data are CC-BY 4.0."""


QUERY_FIELDS = {
    "material_ids",
    "chemsys",
    "elements",
    "exclude_elements",
    "num_elements",
    "num_sites",
    "space_group",
    "crystal_system",
    "max_energy_above_hull_eV",
    "theoretical",
}
"""Fields of `MaterialsProjectCatalog` that select materials."""


class RruffCatalog(_Catalog):
    """CIFs of the American Mineralogist Crystal Structure Database (RRUFF), with their codes as ids."""

    kind: Literal["rruff"] = "rruff"
    path: Path
    """Folder, .zip or .tar archive with the CIFs (.dif files, which leave origin and setting open, are skipped)."""


class ExamplesCatalog(_Catalog):
    """Textbook crystals included in the package, some with a charge density."""

    kind: Literal["examples"] = "examples"
    licence: str = Field(default="CC0-1.0", min_length=1)
    """Licence; the files were written for this package and cite their sources."""


SpaceGroupNumber = Annotated[int, Field(ge=1, le=230)]


class GeneratedCatalog(_Catalog):
    """Symmetric random crystals, made from a seed and the statistics of known ones; nothing is read."""

    kind: Literal["generated"] = "generated"
    count: int = Field(ge=1)
    """Number of crystals."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed; crystal number i is a function of the settings, the seed and i alone."""
    space_groups: Literal["uniform", "database"] | tuple[SpaceGroupNumber, ...] = "uniform"
    """`uniform`: all 230 equally often; `database`: as often as in open collections; or numbers, equally often."""
    max_atoms: int = Field(default=200, ge=1)
    """Largest number of atoms in the conventional cell; groups that need more are not drawn, and an error in a list."""
    elements: tuple[str, ...] = ()
    """Symbols of elements that may occur; by default those of open collections, as often as there."""
    licence: str = Field(default="CC0-1.0", min_length=1)
    """Licence; the crystals are copies of no data."""

    @field_validator("elements")
    @classmethod
    def _elements_with_statistics(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        if symbols:
            # Imported on use, as in the next method: it reads the catalog's tables.
            from catalogs.generated.limits import known_elements

            if unknown := [s for s in symbols if s not in known_elements()]:
                raise ValueError(
                    f"no statistics of {', '.join(map(repr, unknown))}; expected symbols such as 'Na' of these "
                    f"{len(known_elements())} elements: {' '.join(known_elements())}"
                )
        return symbols

    @model_validator(mode="after")
    def _groups_fit(self) -> Self:
        if not isinstance(self.space_groups, str):
            from catalogs.generated.limits import fewest_atoms

            if not self.space_groups:
                raise ValueError("space_groups is empty; expected numbers, 'uniform' or 'database'")
            needed = {number: fewest_atoms(len(set(self.elements)) == 1)[number - 1] for number in self.space_groups}
            if small := {number: n for number, n in needed.items() if n > self.max_atoms}:
                listed = ", ".join(f"{number} (at least {n})" for number, n in sorted(small.items()))
                raise ValueError(
                    f"max_atoms = {self.max_atoms} is too few for space groups {listed}; raise max_atoms, or leave "
                    "these groups out"
                )
        return self


class OptimadeCatalog(_Catalog):
    """Structures of any database with an OPTIMADE interface (https://www.optimade.org), downloaded once."""

    kind: Literal["optimade"] = "optimade"
    path: Path
    """Folder for downloads; pages that are complete there are not downloaded again."""
    url: str
    """Base URL of the database, with or without the version (`/v1`)."""
    filter: str = ""
    """Filter in OPTIMADE's language, such as `elements HAS ALL "Si","O" AND nelements=2`; by default everything."""
    response_fields: tuple[str, ...] = ()
    """Further fields of the entries, kept as source metadata."""
    page_size: int = Field(default=100, ge=1, le=10_000)
    """Structures per request."""
    pause_s: float = Field(default=0.2, ge=0)
    """Pause between two requests; a server that asks for more is given it."""
    retries: int = Field(default=5, ge=0, le=20)
    """Retries of a failed request, after 1, 2, 4, ... seconds."""
    licence: str = Field(default="unknown", min_length=1)
    """Licence; by default the one that the server states for its entries, if it states one."""

    @field_validator("url")
    @classmethod
    def _http(cls, url: str) -> str:
        local = url.startswith(("http://localhost", "http://127.0.0.1"))
        if not (url.startswith("https://") or local) or "?" in url:
            raise ValueError("expected an https:// URL without a query, such as https://optimade.example.org")
        return url.rstrip("/")

    def base(self) -> str:
        """Return the URL with the version of the interface."""
        return self.url if re.search(r"/v\d+(\.\d+)*$", self.url) else f"{self.url}/v1"


CatalogConfig = Annotated[
    FolderCatalog
    | ZipCatalog
    | TarCatalog
    | TableCatalog
    | IcsdCatalog
    | CodCatalog
    | MaterialsProjectCatalog
    | RruffCatalog
    | ExamplesCatalog
    | GeneratedCatalog
    | OptimadeCatalog,
    Field(discriminator="kind"),
]
"""A `[[catalog]]` section; its `kind` chooses the model."""
