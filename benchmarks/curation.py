"""Speed and agreement of curation and the plain sequence of pymatgen and spglib calls.

The plain sequence is what one would write: CifParser; SpacegroupAnalyzer at every pair of tolerances; the conventional
standard structure; the primitive cell and its Niggli reduction; the lattice rules and the limits on it. Both go through
the same structures in turn, one process, one thread, and are timed by the processor's clock.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before numpy is imported: one core is one core

import numpy as np  # noqa: E402
from pymatgen.io.cif import CifParser  # noqa: E402
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer  # noqa: E402

from benchmarks._data import data_folder  # noqa: E402
from catalogs.record import Record  # noqa: E402
from curation.curate import curate_record  # noqa: E402
from curation.lattice_rules import bravais_lattice, lattice_deviation  # noqa: E402
from curation.niggli import metric_of  # noqa: E402
from curation.settings import CurationSettings  # noqa: E402
from curation.verdict import Verdict  # noqa: E402

SEED = 20260820
LENGTHS_WITHIN_A, ANGLES_WITHIN_DEG = 0.02, 0.2
"""How closely the two Niggli cells must agree; the plain one is of the symmetrised structure."""

_KINDS = ("verdicts", "space_groups", "niggli_cells")


@dataclass(frozen=True)
class Plain:
    """The result of the plain sequence for one structure."""

    space_groups: tuple[int, ...]
    accepted: bool
    niggli: tuple[float, ...]


def plain_sequence(cif: str, settings: CurationSettings) -> Plain:
    """Screen and label a structure with pymatgen's functions, one after the other."""
    structure = CifParser.from_str(cif).parse_structures(primitive=False)[0]
    analyzers = [
        SpacegroupAnalyzer(structure, symprec=symprec, angle_tolerance=angle)
        for symprec, angle in settings.tolerance_pairs
    ]
    numbers = tuple(a.get_space_group_number() for a in analyzers)
    conventional = analyzers[0].get_conventional_standard_structure()
    niggli = analyzers[0].find_primitive().get_reduced_structure("niggli").lattice
    lattice = bravais_lattice(numbers[0], analyzers[0].get_space_group_symbol())
    deviation, _ = lattice_deviation(metric_of(np.asarray(niggli.matrix)), lattice)
    accepted = (
        len(set(numbers)) == 1
        and deviation <= settings.lattice_tolerance
        and conventional.volume < settings.max_volume_A3
        and len(conventional) <= settings.max_atoms
    )
    return Plain(numbers, accepted, tuple(float(v) for v in niggli.parameters))


def disagreements(name: str, ours: Verdict, plain: Plain) -> dict[str, str]:
    """Return the differences between the two results of one structure, by kind."""
    found = {}
    if ours.accepted != plain.accepted:
        found["verdicts"] = (
            f"{name}: ours {ours.status} {ours.reason}, plain {'accepted' if plain.accepted else 'refused'}"
        )
    if ours.space_group_at != plain.space_groups:
        found["space_groups"] = f"{name}: space groups {ours.space_group_at}, plain {plain.space_groups}"
    if ours.accepted and plain.accepted and ours.niggli is not None:
        difference = np.abs(np.array(ours.niggli) - np.array(plain.niggli))
        if difference[:3].max() > LENGTHS_WITHIN_A or difference[3:].max() > ANGLES_WITHIN_DEG:
            cells = " and ".join(" ".join(f"{v:.3f}" for v in cell) for cell in (ours.niggli, plain.niggli))
            found["niggli_cells"] = f"{name}: Niggli cells {cells}"
    return found


def main() -> int:
    """Time both on one fixed sample; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--structures", type=int, default=300, help="size of the sample")
    parser.add_argument("--archive", type=Path, help="zip of CIFs (default: materials_project.zip of the test data)")
    arguments = parser.parse_args()
    shared = data_folder()
    archive = arguments.archive or shared / "structures" / "materials_project.zip"
    if not archive.is_file():
        print(f"{archive} not found; set PXRD_SHARED_DATA or give --archive", file=sys.stderr)
        return 2
    with zipfile.ZipFile(archive) as entries:
        names = sorted(n for n in entries.namelist() if n.endswith(".cif"))
        sample = random.Random(SEED).sample(names, min(arguments.structures, len(names)))
        cifs = {name: entries.read(name).decode() for name in sample}
    settings = CurationSettings()
    warnings.simplefilter("ignore")  # pymatgen's and spglib's remarks are not what is measured
    first = sample[0]
    curate_record(_record(first, cifs[first]), settings), plain_sequence(cifs[first], settings)  # imports, tables

    seconds_ours = seconds_plain = 0.0
    differing: list[dict[str, str]] = []
    accepted = 0
    for name, cif in cifs.items():
        start = time.process_time()
        ours = curate_record(_record(name, cif), settings)
        middle = time.process_time()
        plain = plain_sequence(cif, settings)
        seconds_ours += middle - start
        seconds_plain += time.process_time() - middle
        accepted += ours.accepted
        differing.append(disagreements(name, ours, plain))
    for line in (line for one in differing for line in one.values()):
        print(line)
    figures = {
        "benchmark": "curation",
        "structures": len(cifs),
        "accepted": accepted,
        "seconds_ours": round(seconds_ours, 3),
        "seconds_plain": round(seconds_plain, 3),
        "structures_per_second": round(len(cifs) / seconds_ours, 1),
        "ratio": round(seconds_plain / seconds_ours, 2),
        **{f"{kind}_differing": sum(kind in one for one in differing) for kind in _KINDS},
    }
    print(json.dumps(figures))
    return 0


def _record(name: str, cif: str) -> Record:
    return Record(source="benchmark", source_id=name, text=cif, origin=name, licence="")


if __name__ == "__main__":
    raise SystemExit(main())
