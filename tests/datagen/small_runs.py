"""Whole runs that take a second or two: a handful of crystals, few points, in this process."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import DEFAULT, patch

import pyarrow.parquet as pq
import pytest

from cluster.config import InlineProfile
from curation.crystal import Crystal
from datagen.config.config import DatagenConfig, parse_config
from datagen.config.job import WORK, read_job
from datagen.progress import Silence
from datagen.run import run
from datagen.simulate import engine
from datagen.steps import shard_task
from datagen.steps.accepted import write_accepted
from datagen.steps.curate import TABLE
from datagen.steps.outcome import Outcome
from datagen.steps.shard_task import ACCEPTED

EXAMPLES = Path(__file__).resolve().parents[2] / "catalogs" / "examples"
INSTRUMENT = {
    "lines": [{"wavelength_A": 0.619921}],
    "polarisation": 0.99,
    "two_theta_min_deg": 5.0,
    "two_theta_max_deg": 20.0,
    "n_points": 512,
}
EVIL = "<script>alert(1)<_script> & $x_{ [bold].cif"
"""A file name that means something to HTML, to TeX and to rich."""

MIXED = """data_mixed
_cell_length_a 4.2
_cell_length_b 4.2
_cell_length_c 4.2
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'F m -3 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Fe2 Fe2+ 0 0 0 0.6
Fe3 Fe3+ 0 0 0 0.2
Mg1 Mg2+ 0 0 0 0.2
O1 O2- 0.5 0.5 0.5 1
"""
"""One element with two charges beside another on one site."""


@dataclass(frozen=True)
class Made:
    """A finished run."""

    config: DatagenConfig
    dataset: Path
    outcome: Outcome

    def lines(self) -> dict[str, dict[str, Any]]:
        return lines_of(self.dataset)


def write_cifs(folder: Path, names: Sequence[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy(EXAMPLES / f"{name}.cif", folder)
    return folder


def config_of(cifs: Path, **sections: Any) -> DatagenConfig:
    """A configuration with a small instrument and three patterns; `sections` replace what is here."""
    content = {
        "catalog": [{"kind": "folder", "path": str(cifs), "density": "{stem}.CHGCAR.gz", "licence": "CC0-1.0"}],
        "simulation": {"instrument": INSTRUMENT, "augmentation": {"count": 3}},
        "store": {"structures_per_shard": 2},
        **sections,
    }
    return parse_config(content, where="test", base=cifs.parent)


def make(config: DatagenConfig, dataset: Path, *, report: bool = False) -> Outcome:
    """Run in this process; the report, which takes longer than all the rest, where asked for."""
    with nullcontext() if report else patch.multiple("datagen.run", draw_report=DEFAULT, write_report=DEFAULT):
        return run(config, dataset, profile=InlineProfile(kind="inline"), display=Silence())


def write_accepted_again(dataset: Path, folder: Path | None = None) -> Path:
    """Write the file of accepted structures that an unfinished run has, there or in a folder; return its path."""
    path = (folder or dataset / WORK) / ACCEPTED
    write_accepted(dataset / WORK / TABLE, path, read_job(dataset).d_min_A, drop_duplicates=True)
    return path


def lines_of(dataset: Path) -> dict[str, dict[str, Any]]:
    """The table of verdicts by source id."""
    return {line["source_id"]: line for line in pq.read_table(dataset / "curation.parquet").to_pylist()}


def misbehave(monkeypatch: pytest.MonkeyPatch, element: str | tuple[str, ...], behaviour: Callable[[], None]) -> None:
    """Whenever a crystal with this element, or one of these, is simulated in this process, call `behaviour` first."""

    def wrapped(name: str) -> Any:
        healthy = engine(name)

        def simulate(crystal: Crystal, *rest: Any) -> Any:
            is_warming_up = crystal is shard_task.ROCK_SALT
            if not is_warming_up and any(species.startswith(element) for species in crystal.species):
                behaviour()
            return healthy(crystal, *rest)

        return simulate

    monkeypatch.setattr(shard_task, "engine", wrapped)
