"""Small CIFs for tests, made to order."""

from __future__ import annotations

from catalogs.record import Record


def rock_salt(a: float = 5.64, cation: str = "Na", anion: str = "Cl", name: str = "salt") -> str:
    """A crystal that curation accepts: Fm-3m, two atoms in the primitive cell."""
    return f"""data_{name}
_cell_length_a {a}
_cell_length_b {a}
_cell_length_c {a}
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
{cation}1 {cation} 0 0 0
{anion}1 {anion} 0.5 0.5 0.5
"""


def record(source_id: str, cif: str | None = None, source: str = "tests") -> Record:
    """A record that carries this text."""
    return Record(source, source_id, rock_salt() if cif is None else cif, f"tests/{source_id}", "CC0-1.0")
