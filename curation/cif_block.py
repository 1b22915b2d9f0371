"""Parsing of a CIF block: by gemmi, or by a tolerant reader for text that breaks the grammar."""

from __future__ import annotations

import re
from collections.abc import Iterator

import gemmi

from curation.reasons import Refused

Block = gemmi.cif.Block

_MACROMOLECULAR = ("_atom_site.group_PDB", "_entity.id", "_entity_poly.entity_id", "_struct_asym.id")
DICTIONARY = "_audit_conform_dict_name"
"""Tag that names the dictionary of a block's names; it is set for blocks whose names were mmCIF's."""
MMCIF = "mmcif"
_ATOM_TAGS = ("_atom_site_fract_x", "_atom_site_Cartn_x")
_ESSENTIAL = ("_atom_site_", "_symmetry_equiv_pos_", "_space_group_symop")


def read_block(text: str, warnings: set[str]) -> Block:
    """Return the first block with atoms, else the first; raise `Refused` if there is none or it cannot be parsed."""
    text = text.lstrip("\ufeff")
    try:
        document = gemmi.cif.read_string(text, check_level=0)
    except (ValueError, RuntimeError) as error:
        blocks = _read_leniently(text, " ".join(str(error).split()))
        warnings.add("syntax_repaired")
    else:
        blocks = list(document)
    if not blocks:
        raise Refused("no_data_block", "the text has no data_ block")
    dotted = [b for b in blocks if b.find_value("_cell.length_a") is not None or b.find_loop("_atom_site.fract_x")]
    if dotted and not any(_has_atoms(b) for b in blocks):
        _refuse_macromolecular(dotted)
        # CIF 2 and mmCIF write `_cell.length_a` for `_cell_length_a`: the same data under other dictionaries' names.
        blocks = _read_leniently(text, "", rename=True)
        for block in blocks:
            block.set_pair(DICTIONARY, MMCIF)
    with_atoms = [b for b in blocks if _has_atoms(b)]
    if len(with_atoms) > 1:
        warnings.add("several_blocks")
    return with_atoms[0] if with_atoms else blocks[0]


def _has_atoms(block: Block) -> bool:
    return any(len(block.find_values(tag)) > 0 for tag in _ATOM_TAGS)


def _refuse_macromolecular(blocks: list[Block]) -> None:
    for block in blocks:
        for tag in _MACROMOLECULAR:
            if len(block.find_values(tag)):
                raise Refused("mmcif", f"{tag} belongs to the macromolecular dictionary (block {block.name})")


_TOKEN = re.compile(
    r"""
    (?:^;(?P<field>(?:.|\n)*?)(?:\n;|\Z))           # text field between lines that begin with a semicolon
  | (?P<comment>\#[^\n]*)
  | '(?P<single>(?:[^'\n]|'(?=\S))*)'(?=\s|\Z)
  | "(?P<double>(?:[^"\n]|"(?=\S))*)"(?=\s|\Z)
  | ['"](?P<unclosed>[^\n]*)                          # a quotation that the line does not close ends with the line
  | (?P<bare>\S+)
    """,
    re.MULTILINE | re.VERBOSE,
)


def _tokens(text: str) -> Iterator[tuple[str, bool]]:
    """Yield each token, and whether it was unquoted (only then can it be a tag or a keyword)."""
    for match in _TOKEN.finditer(text.replace("\r\n", "\n").replace("\r", "\n")):
        kind = match.lastgroup
        if kind and kind != "comment":
            yield match[kind], kind == "bare"


def _read_leniently(text: str, complaint: str, *, rename: bool = False) -> list[Block]:
    """Return the blocks of text that breaks the grammar: skip stray values, keep the first of two equal tags.

    A loop whose values do not fill its rows is left out; where it lists atoms or symmetry, the block is refused.
    """
    document = gemmi.cif.Document()
    block: Block | None = None
    tag: str | None = None
    columns: list[str] = []
    values: list[str] = []
    in_header = False

    def close_loop() -> None:
        if block is not None and columns and values:
            _add_loop(block, columns, values, complaint)
        columns.clear()
        values.clear()

    for token, bare in _tokens(text):
        lower = token.lower() if bare else ""
        if lower.startswith("data_"):
            close_loop()
            block, tag, in_header = document.add_new_block(f"{len(document) + 1}_{token[5:]}"), None, False
        elif block is None:
            continue
        elif lower == "loop_":
            close_loop()
            tag, in_header = None, True
        elif token.startswith("_") and bare:
            name = token.replace(".", "_") if rename else token
            if in_header and not values:
                columns.append(name)
            else:
                close_loop()
                tag, in_header = name, False
        elif columns:
            values.append(token)
        elif tag is not None:
            if block.find_value(tag) is None:
                block.set_pair(tag, gemmi.cif.quote(token))
            tag = None
    close_loop()
    return list(document)


def _add_loop(block: Block, columns: list[str], values: list[str], complaint: str) -> None:
    n = len(columns)
    if len(values) % n or len({c.lower() for c in columns}) < n:
        if any(c.lower().startswith(_ESSENTIAL) for c in columns):
            raise Refused("bad_syntax", f"{len(values)} values in a loop of {n} columns from {columns[0]}; {complaint}")
        return
    loop = block.init_loop("", columns)
    for start in range(0, len(values), n):
        loop.add_row([gemmi.cif.quote(v) if v not in ("?", ".") else v for v in values[start : start + n]])


def text_of(block: Block, tag: str) -> str | None:
    """Return the text of a tag with single blanks, or None if it is not stated; a quoted `?` states nothing either."""
    value = block.find_value(tag)
    text = "" if value is None else " ".join(str(gemmi.cif.as_string(value)).split())
    return None if text in ("", "?", ".") else text
