"""Operations that make reflections absent, of the 230 space groups: writes `trainer/prediction/cells/absences.csv`.

    python -m benchmarks.absences [--out FILE.csv]

The trainer does without a library of space groups. For each group in its standard setting (hexagonal axes for R) the
file lists the fewest operations found that, beside the centring, account for every absent reflection with indices up
to 6, as `gemmi` has them. A test compares it with gemmi.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import gemmi
import numpy as np

OUT = Path(__file__).resolve().parents[1] / "trainer" / "prediction" / "cells" / "absences.csv"
HKL = np.array([hkl for hkl in product(range(-6, 7), repeat=3) if hkl > (0, 0, 0)])


def operations_of(number: int) -> list[str]:
    """Return operations as triplets, each of which adds absences to those of the operations before it."""
    operations = gemmi.find_spacegroup_by_number(number).operations()
    wanted = operations.systematic_absences(np.ascontiguousarray(HKL, dtype=np.int32))
    effects = {op.triplet(): _absent(op) for op in operations}
    # The centring is known to the trainer: its operations turn nothing.
    found = np.any([effect for name, effect in effects.items() if _turns_not(name)], axis=0)
    chosen: list[str] = []
    while (found != wanted).any():
        name = max(sorted(effects), key=lambda one: int((effects[one] & ~found).sum()))
        if not (effects[name] & ~found).any():
            raise ArithmeticError(f"group {number}: its operations do not account for its absences")
        chosen.append(name)
        found = found | effects[name]
    return chosen


def _turns_not(triplet: str) -> bool:
    return bool((np.array(gemmi.Op(triplet).rot) == 24 * np.eye(3, dtype=int)).all())


def _absent(op: gemmi.Op) -> np.ndarray:
    turned = HKL @ (np.array(op.rot) // 24)
    phase = HKL @ np.array(op.tran)
    return np.asarray((turned == HKL).all(axis=1) & (phase % 24 != 0))


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description="Operations that make reflections absent.")
    parser.add_argument("--out", type=Path, default=OUT)
    out = parser.parse_args().out
    rows = [f'{number},"{" ".join(operations_of(number))}"' for number in range(1, 231)]
    out.write_text("group,operations\n" + "\n".join(rows) + "\n")
    print(f"{out}: {len(rows)} groups")


if __name__ == "__main__":
    main()
