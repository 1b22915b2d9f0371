"""CIF text of generated crystals."""

from __future__ import annotations

from functools import cache

from catalogs.generated.crystal import GeneratedCrystal
from catalogs.generated.groups import group


def cif_text(crystal: GeneratedCrystal, name: str) -> str:
    """Return one data block with cell, operators and asymmetric unit."""
    a, b, c, alpha, beta, gamma = crystal.cell
    atoms = [
        f"{symbol}{n} {symbol} {m} {x:.8f} {y:.8f} {z:.8f}\n"
        for n, (symbol, m, (x, y, z)) in enumerate(
            zip(crystal.symbols, crystal.multiplicity, crystal.fractional.tolist(), strict=True), start=1
        )
    ]
    return (
        f"data_{name}\n"
        f"_cell_length_a {a:.6f}\n_cell_length_b {b:.6f}\n_cell_length_c {c:.6f}\n"
        f"_cell_angle_alpha {alpha:.6f}\n_cell_angle_beta {beta:.6f}\n_cell_angle_gamma {gamma:.6f}\n"
        f"{_symmetry_text(crystal.group.number)}"
        "loop_\n_atom_site_label\n_atom_site_type_symbol\n_atom_site_symmetry_multiplicity\n"
        "_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
        f"{''.join(atoms)}"
    )


@cache
def _symmetry_text(number: int) -> str:
    """Return name, number and operators of a group, the same in all of its crystals."""
    g = group(number)
    operators = "".join(f"'{triplet}'\n" for triplet in g.triplets)
    return (
        f"_space_group_name_H-M_alt '{g.name}'\n_space_group_IT_number {number}\n"
        f"loop_\n_space_group_symop_operation_xyz\n{operators}"
    )
