"""Write the databases of this folder: `python -m tests.catalogs.golden.make`, with ase 3.29.0 and lmdb 3.0.0 installed.

`ase.db.gz` and `ase.json.gz` are databases of ASE; `fairchem.aselmdb.gz` has the same rows as fairchem's ASE-LMDB
format keeps them (zlib-compressed JSON under the row's number); `pickles.lmdb.gz` is of the older kind with pickles.
The first rows are the crystals of `tests.curation.cells.SET`; the last four have what has no effect, or is no crystal.
"""

from __future__ import annotations

import gzip
import json
import pickle
import tempfile
import zlib
from pathlib import Path
from typing import Any

from tests.curation.cells import SET

HERE = Path(__file__).parent


def atoms() -> list[tuple[Any, dict[str, Any]]]:
    """Return structures with their keys."""
    import numpy as np
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.constraints import FixAtoms

    found = [
        (
            Atoms(cell.symbols, cell=cell.lattice, scaled_positions=cell.fractional, pbc=True),
            {"title": name, "gap": 1.5},
        )
        for name, cell in SET.items()
    ]
    salt = found[0][0]
    magnetic, charged, fixed, slab = (salt.copy() for _ in range(4))
    magnetic.set_initial_magnetic_moments([1.0] * 4 + [0.0] * 4)
    magnetic.calc = SinglePointCalculator(magnetic, energy=-1.5, magmoms=np.ones(8))
    charged.set_initial_charges([1.0] * 4 + [-1.0] * 4)
    fixed.set_constraint(FixAtoms([0]))
    slab.pbc = (True, True, False)
    named = {"magnetic": magnetic, "charged": charged, "fixed": fixed, "slab": slab}
    return [*found, *((one, {"title": name, "stable": True}) for name, one in named.items())]


def main() -> None:
    """Write every file."""
    import lmdb
    from ase.db import connect

    with tempfile.TemporaryDirectory() as folder:
        for name in ("ase.db", "ase.json"):
            with connect(Path(folder) / name) as database:
                for one, keys in atoms():
                    database.write(one, **keys)
            _keep(Path(folder) / name)
        rows = {k: v for k, v in json.loads((Path(folder) / "ase.json").read_text()).items() if k.isdigit()}
        compressed = {key: zlib.compress(json.dumps(_plain(row)).encode()) for key, row in rows.items()}
        compressed |= {"nextid": zlib.compress(b"99"), "deleted_ids": zlib.compress(b"[]")}
        pickles = {"0": pickle.dumps({"pos": [0.0]}), "length": pickle.dumps(1)}
        for name, entries in {"fairchem.aselmdb": compressed, "pickles.lmdb": pickles}.items():
            path = str(Path(folder) / name)
            with lmdb.open(path, subdir=False, map_size=1 << 24) as opened, opened.begin(write=True) as transaction:
                for key, value in entries.items():
                    transaction.put(key.encode(), value)
            _keep(Path(folder) / name)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return arrays as nested lists, as orjson writes them."""
    from ase.io.jsonio import decode

    found = decode(json.dumps(row))
    return {k: v.tolist() if hasattr(v, "tolist") else v for k, v in found.items()}


def _keep(path: Path) -> None:
    (HERE / (path.name + ".gz")).write_bytes(gzip.compress(path.read_bytes(), mtime=0))


if __name__ == "__main__":
    main()
