"""Small CIFs for tests, written out and by strategy."""

from __future__ import annotations

from hypothesis import strategies as st

NACL = """data_NaCl
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
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
Na1 Na 0 0 0
Cl1 Cl 0.5 0.5 0.5
"""


def cif(name: str) -> str:
    """The same salt under another block name."""
    return NACL.replace("data_NaCl", f"data_{name}", 1)


# Everything that may stand between two headings and holds words that look like headings but are none.
TRAPS = [
    ";\ndata_no\n;\n",
    "; data_no\nglobal_\n more\n;\n",
    "'quoted data_no string' \n",
    "'it''s data_no' \n",
    '"double data_no" \n',
    "'an embedded quote's data_no' \n",
    "# comment data_no\n",
    "value#data_no \n",
    "_tag_data_no 1\n",
    "mydata_no\n",
    "loop_\n_a\n_b\n1 2\n",
    "save_frame\n_x 1\nsave_\n",
    "\n   \t\n",
    "'unclosed data_no\n",
    "don't data'_no\n",
]

block_names = st.text(
    st.sampled_from("abcdefghijklmnopqrstuvwxyzABCDEFXYZ0123456789_-.()[]"), min_size=1, max_size=12
).filter(lambda name: not name.startswith("_"))
traps = st.lists(st.sampled_from(TRAPS), max_size=6).map(lambda parts: "_tag 1\n" + "".join(parts))
