"""What an index holds of one structure: a clean pattern, reflections, free strains and the conventional cell."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import spglib
from numpy.typing import NDArray

from curation.crystal import Crystal
from datagen.identification.axis import POWER, bin_of
from datagen.identification.index import HALF_WIDTH, MARGIN, MOST, TABLE, WEAKEST
from datagen.identification.strain import free_strains
from datagen.simulate.gsas2.cell import quiet_spglib
from datagen.simulate.instrument import Instrument, Line
from datagen.simulate.phase_library import density_g_cm3
from datagen.simulate.refusal import Unsimulable
from datagen.simulate.sticks import compute_sticks
from datagen.store.damaged import damage_explained
from trainer.simulate.axis import CU_KALPHA1_A, N_BINS, Q_MAX, Q_MIN

INSTRUMENT = Instrument(
    lines=(Line(wavelength_A=CU_KALPHA1_A),),
    polarisation=0.5,
    two_theta_min_deg=math.degrees(2 * math.asin(Q_MIN / MARGIN * CU_KALPHA1_A / (4 * math.pi))),
    two_theta_max_deg=math.degrees(2 * math.asin(Q_MAX * MARGIN * CU_KALPHA1_A / (4 * math.pi))),
    n_points=64,
    geometry="reflection",
)


def entry_of(line: dict[str, Any], dataset: str) -> dict[str, Any]:
    """Return the same as `entry`; raise StoreError for a line that no version of this program writes."""
    with damage_explained(dataset, f"a structure of {TABLE}"):
        return entry(line)


def entry(line: dict[str, Any]) -> dict[str, Any]:
    """Return the arrays of one structure; empty where it has no reflection on the axis."""
    crystal = Crystal.from_json(line["structure"])
    try:
        sticks = compute_sticks(crystal, INSTRUMENT)
    except Unsimulable:
        return {}
    angle = np.radians(sticks.two_theta_deg)
    factor = (1 + np.cos(angle) ** 2) / (4 * np.sin(angle / 2) ** 2 * np.cos(angle / 2))
    ln_q = np.log(4 * np.pi * np.sin(angle / 2) / CU_KALPHA1_A)
    pattern = clean_pattern(bin_of(ln_q), sticks.intensity)
    if not pattern.any():
        return {}
    strong = np.argsort(-sticks.intensity)[:MOST]
    strong = np.sort(strong[sticks.intensity[strong] > WEAKEST * sticks.intensity.max()])
    f_squared = sticks.intensity[strong] / factor[strong]
    strains, conventional = _symmetry(crystal, line)
    padded = np.zeros((5, 3, 3))
    padded[: len(strains)] = strains
    elements = np.zeros(118, dtype=bool)
    elements[[_atomic_number(name) - 1 for name in set(crystal.species)]] = True
    return {
        "pattern": pattern,
        "hkl": sticks.member_hkl[sticks.member_start[strong]],
        "intensity": f_squared / f_squared.max(),
        "reciprocal": np.linalg.inv(crystal.lattice_A).T,
        "strains": padded,
        "n_strains": len(strains),
        "conventional": conventional,
        "mass": density_g_cm3(crystal) / f_squared.max(),
        "space_group": line["space_group"],
        "row": line["row"],
        "elements": elements,
        "name": {name: str(line[name]) for name in ("formula", "source", "source_id", "group")},
    }


def clean_pattern(positions: NDArray[np.float64], intensity: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return a pattern of triangular lines in pairs of bins, to the power POWER; 255 at its maximum."""
    lines = np.zeros(N_BINS)
    reach = math.ceil(HALF_WIDTH)
    nearest = np.rint(positions).astype(np.int64)
    for offset in range(-reach, reach + 1):
        at = nearest + offset
        height = intensity * (1 - np.abs(at - positions) / HALF_WIDTH).clip(min=0)
        inside = (at >= 0) & (at < N_BINS)
        np.add.at(lines, at[inside], height[inside])
    paired = ((lines / max(float(lines.max()), 1e-300)) ** POWER).reshape(-1, 2).mean(axis=1)
    return np.asarray(np.rint(255 * paired / max(float(paired.max()), 1e-300)), dtype=np.uint8)


def _symmetry(crystal: Crystal, line: dict[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the free strains and the conventional cell (rows, in terms of the own cell).

    They follow from the operations that spglib finds at a tolerance that gives the labelled group; none, and zeros,
    where no tolerance does.
    """
    sites: dict[tuple[float, ...], list[tuple[str, float, float]]] = {}
    for name, occupancy, xyz, u in zip(
        crystal.species, crystal.occupancy.tolist(), crystal.fractional.tolist(), crystal.u_iso_A2.tolist(), strict=True
    ):
        sites.setdefault(tuple(xyz), []).append((name, occupancy, u))
    occupants = [tuple(here) for here in sites.values()]
    kinds = {here: number for number, here in enumerate(dict.fromkeys(occupants))}
    cell = (crystal.lattice_A.tolist(), [list(xyz) for xyz in sites], [kinds[here] for here in occupants])
    pairs = zip(line["symprec_A"], line["angle_tolerance_deg"], line["space_group_at"], strict=True)
    for symprec_A, angle_deg, group in pairs:
        if group == line["space_group"]:
            with quiet_spglib():
                found = spglib.get_symmetry_dataset(cell, symprec=symprec_A, angle_tolerance=angle_deg)
            if found is not None and found.number == line["space_group"]:
                conventional = np.rint(np.linalg.inv(found.transformation_matrix).T).astype(np.int64)
                return free_strains(crystal.lattice_A, np.asarray(found.rotations, dtype=np.int64)), conventional
    return np.zeros((0, 3, 3)), np.zeros((3, 3), dtype=np.int64)


def _atomic_number(species: str) -> int:
    import gemmi

    return int(gemmi.Element("".join(c for c in species if c.isalpha())).atomic_number)
