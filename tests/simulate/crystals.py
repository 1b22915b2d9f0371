"""Crystals that the tests of the simulation share, written out so that their patterns can be checked by hand."""

from __future__ import annotations

import numpy as np

from curation.crystal import Crystal
from datagen.simulate.augmentation import Augmentations

FCC = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])


def silicon() -> Crystal:
    """Conventional cell of silicon."""
    xyz = np.concatenate([FCC, FCC + 0.25])
    return Crystal.canonical(5.43102 * np.eye(3), ["Si"] * 8, np.ones(8), xyz)


def rock_salt() -> Crystal:
    """Primitive cell of NaCl."""
    lattice = 5.6402 / 2 * np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]])
    return Crystal.canonical(lattice, ["Na", "Cl"], np.ones(2), np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]]))


def zincblende() -> Crystal:
    """GaAs, without a centre of symmetry."""
    lattice = 5.6533 / 2 * np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]])
    return Crystal.canonical(lattice, ["Ga", "As"], np.ones(2), np.array([[0.0, 0, 0], [0.25, 0.25, 0.25]]))


def rutile() -> Crystal:
    """TiO2, tetragonal."""
    u = 0.3053
    xyz = np.array(
        [[0, 0, 0], [0.5, 0.5, 0.5], [u, u, 0], [-u, -u, 0], [0.5 + u, 0.5 - u, 0.5], [0.5 - u, 0.5 + u, 0.5]]
    )
    return Crystal.canonical(np.diag([4.5937, 4.5937, 2.9587]), ["Ti", "Ti", *"OOOO"], np.ones(6), xyz)


def triclinic(n_atoms: int = 12, seed: int = 0, edge_A: float = 7.0) -> Crystal:
    """Random atoms of several species, two of them sharing a site, in a skewed cell."""
    rng = np.random.default_rng(seed)
    lattice = edge_A * (np.eye(3) + rng.uniform(-0.2, 0.2, (3, 3)))
    species = [*rng.choice(["Fe3+", "O2-", "Pb", "D"], n_atoms - 2), "Mg", "Zn"]
    xyz = rng.random((n_atoms, 3))
    xyz[-1] = xyz[-2]
    occupancy = np.ones(n_atoms)
    occupancy[-2:] = 0.25, 0.75
    return Crystal.canonical(lattice, species, occupancy, xyz, rng.uniform(0.003, 0.03, n_atoms))


def one_augmentation(**changes: float) -> Augmentations:
    """A pattern of middling widths."""
    values = {
        "microstrain": 2000.0,
        "crystallite_size_um": 0.4,
        "U_cdeg2": 1.0,
        "V_cdeg2": -0.3,
        "W_cdeg2": 1.5,
        **changes,
    }
    return Augmentations.of(**{name: np.array([value]) for name, value in values.items()})  # type: ignore[arg-type]
