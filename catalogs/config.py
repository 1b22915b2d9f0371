"""What can be said of a catalog in the configuration: one model for each kind of `[[catalog]]` section."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from catalogs.names import stem

CrystalSystem = Literal["Triclinic", "Monoclinic", "Orthorhombic", "Tetragonal", "Trigonal", "Hexagonal", "Cubic"]


class _Catalog(BaseModel):
    """What every kind of catalog has."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    name: str = Field(default="", pattern=r"^[^\x00-\x1f]+$")
    """The catalog's name in tables and reports, unique in a configuration; by default made from its path or kind."""
    licence: str = Field(default="unknown", min_length=1)
    """Terms on which the structures may be passed on, kept with every row: an SPDX identifier, or ICSD."""
    max_file_MB: float = Field(default=50.0, gt=0, le=2000)
    """Longest CIF that is read, in MB (10^6 bytes) after decompression; anything longer is refused unread."""

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
        """The same catalog with relative paths taken from `base`, the folder of the configuration file."""
        paths = {
            name: base / value.expanduser()
            for name in type(self).model_fields
            if isinstance(value := getattr(self, name), Path)
        }
        return self.model_copy(update=paths)


_DENSITY_HELP = """Where a structure's charge density lies, as a pattern relative to the catalog's folder with `{stem}`
(file name without endings), `{folder}` (its folder inside the catalog) and `{block}` (data block):
`densities/{stem}.CHGCAR.gz`. Formats by ending: CHGCAR, .cube or Materials Project's .json, each plain or with .gz."""


class _WithDensities(_Catalog):
    density: str | None = Field(default=None, description=" ".join(_DENSITY_HELP.split()))

    @field_validator("density")
    @classmethod
    def _known_placeholders(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                pattern.format(stem="", folder="", block="")
            except (KeyError, IndexError, ValueError) as error:
                raise ValueError(f"only {{stem}}, {{folder}} and {{block}} can stand in braces ({error})") from error
            if "{" not in pattern:
                raise ValueError("the same density for every structure; expected {stem} or {block} in it")
        return pattern


class FolderCatalog(_WithDensities):
    """CIF files (.cif, .mcif, also with .gz) in a folder and its subfolders, or one such file."""

    kind: Literal["folder"] = "folder"
    path: Path
    """The folder, or a single CIF file."""


class ZipCatalog(_WithDensities):
    """CIF files inside a zip archive, read in place; densities are inside or beside it."""

    kind: Literal["zip"] = "zip"
    path: Path
    """The .zip file."""


class TarCatalog(_WithDensities):
    """CIF files inside a tar archive (plain, gzip, bzip2 or xz), read in place in one pass; densities lie beside it."""

    kind: Literal["tar"] = "tar"
    path: Path
    """The .tar, .tar.gz, .tgz, .tar.bz2 or .tar.xz file."""
    max_inflated_GB: float = Field(default=1000.0, gt=0)
    """Most that is decompressed from the archive in all, in GB (10^9 bytes); reading stops there with a defect."""


class TableCatalog(_Catalog):
    """A CSV or Parquet table with the text of a CIF in each row; all other columns are kept as claims."""

    kind: Literal["table"] = "table"
    path: Path
    """The .csv, .csv.gz or .parquet file."""
    cif_column: str = "cif"
    """The column that holds CIF text."""
    id_column: str | None = None
    """The column that holds ids; by default `material_id` where the table has it, else rows are numbered."""
    density_column: str | None = None
    """A column with the path of each structure's charge density, relative to the table's folder."""


class IcsdCatalog(_WithDensities):
    """CIFs exported from the ICSD; ids are collection codes, from the CIF or the file's name."""

    kind: Literal["icsd"] = "icsd"
    path: Path
    """The folder, .zip or .tar archive with the exported files."""
    licence: str = Field(default="ICSD", min_length=1)
    """Terms; `ICSD` marks rows whose structures must not be passed on."""


class CodCatalog(_WithDensities):
    """Crystallography Open Database: a mirror's folder, or entries by number, downloaded once and kept."""

    kind: Literal["cod"] = "cod"
    path: Path
    """The mirror's folder (its own 1/00/00/1000000.cif layout, or flat) or archive, or where downloads are kept."""
    ids: tuple[int, ...] = ()
    """COD numbers to take; empty takes every file of the folder."""
    ids_file: Path | None = None
    """A text file with COD numbers to take, separated by white space or commas; `#` begins a comment."""
    download: bool = False
    """Whether numbers that the folder lacks are fetched from the COD's site, once, into the folder."""
    url: str = "https://www.crystallography.net/cod/{id}.cif"
    """Address of an entry, with `{id}` for the number."""
    licence: str = Field(default="CC0-1.0", min_length=1)
    """Terms; the COD is in the public domain."""

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
            raise ValueError(f"only {{id}} can stand in braces ({error})") from error
        if not url.startswith("https://") or filled == url:
            raise ValueError("expected an https:// address with {id} in it")
        return url

    @model_validator(mode="after")
    def _something_to_download(self) -> Self:
        if self.download and not (self.ids or self.ids_file):
            raise ValueError("download = true needs ids or ids_file: the whole COD is better mirrored with rsync")
        return self


class MaterialsProjectCatalog(_Catalog):
    """Structures, and on demand charge densities, of the Materials Project, downloaded once and kept on disk."""

    kind: Literal["materials_project"] = "materials_project"
    path: Path
    """Folder of the downloads; what lies there complete needs no network again."""
    material_ids: tuple[str, ...] = ()
    """Materials by id, such as mp-149."""
    chemsys: tuple[str, ...] = ()
    """Chemical systems, such as Si-O; each means exactly these elements."""
    elements: tuple[str, ...] = ()
    """Elements that must be present."""
    exclude_elements: tuple[str, ...] = ()
    """Elements that must be absent."""
    num_elements: tuple[int, int] | None = None
    """Least and greatest number of different elements."""
    num_sites: tuple[int, int] | None = None
    """Least and greatest number of atoms in the primitive cell."""
    space_group: tuple[Annotated[int, Field(ge=1, le=230)], ...] = ()
    """Space group numbers, by the database's own determination."""
    crystal_system: CrystalSystem | None = None
    """Crystal system, by the database's own determination."""
    max_energy_above_hull_eV: float | None = Field(default=None, ge=0)
    """Greatest energy above the convex hull, in eV per atom."""
    theoretical: bool | None = None
    """False takes only materials that experiment knows, true only the others."""
    with_density: bool = False
    """Whether only materials with a charge density are taken, and their densities downloaded (some MB each)."""
    max_materials: int | None = Field(default=None, ge=1)
    """Largest number of materials, taken in the order of their ids."""

    @field_validator("num_elements", "num_sites")
    @classmethod
    def _least_first(cls, bounds: tuple[int, int] | None) -> tuple[int, int] | None:
        if bounds is not None and not 1 <= bounds[0] <= bounds[1]:
            raise ValueError("expected the least, then the greatest number, from 1 on")
        return bounds

    @model_validator(mode="after")
    def _some_criterion(self) -> Self:
        if self.material_ids and set(self.query()) != {"material_ids"}:
            raise ValueError("material_ids name the materials already; leave the other criteria out")
        if not self.material_ids and not self.query():
            raise ValueError("no criterion; expected at least one, such as chemsys, num_elements or material_ids")
        return self

    def query(self) -> dict[str, Any]:
        """The criteria that were given, with plain values; two configurations with the same ask for the same."""
        given = self.model_dump(mode="json", include=QUERY_FIELDS)
        return {key: value for key, value in sorted(given.items()) if value not in (None, [])}

    downloads_at_once: int = Field(default=4, ge=1, le=16)
    """How many densities are fetched at the same time."""
    retries: int = Field(default=5, ge=0, le=20)
    """How often a failed download is tried again, waiting 1, 2, 4, ... seconds between."""
    licence: str = Field(default="CC-BY-4.0", min_length=1)
    """Terms; the Materials Project's data are CC-BY 4.0."""


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
"""What of a `MaterialsProjectCatalog` decides which materials are asked for."""


class RruffCatalog(_Catalog):
    """CIFs of the American Mineralogist Crystal Structure Database (RRUFF), under their codes, minerals as claims."""

    kind: Literal["rruff"] = "rruff"
    path: Path
    """The folder, .zip or .tar archive with the CIFs (.dif files leave origin and setting open and are passed over)."""


class ExamplesCatalog(_Catalog):
    """The textbook crystals that come with the package, some with a charge density."""

    kind: Literal["examples"] = "examples"
    licence: str = Field(default="CC0-1.0", min_length=1)
    """Terms; the files were written for this package, the facts in them are cited in each."""


CatalogConfig = Annotated[
    FolderCatalog
    | ZipCatalog
    | TarCatalog
    | TableCatalog
    | IcsdCatalog
    | CodCatalog
    | MaterialsProjectCatalog
    | RruffCatalog
    | ExamplesCatalog,
    Field(discriminator="kind"),
]
"""One `[[catalog]]` section; its `kind` says which model reads it."""
