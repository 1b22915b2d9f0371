"""Data blocks are found where CIF says they are, and nowhere else."""

from __future__ import annotations

import tracemalloc

import gemmi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogs.blocks import split_blocks
from tests.catalogs.cifs import NACL, block_names, cif, traps


def names(text: str) -> list[str]:
    return [block.name for block in split_blocks(text)]


def test_one_block_is_the_text_from_its_heading_on() -> None:
    (block,) = split_blocks("# written by nobody\n\n" + NACL)
    assert block.name == "NaCl"
    assert block.text == NACL
    assert not block.truncated


@pytest.mark.parametrize("heading", ["data_x", "DATA_x", "Data_x", "dAtA_x", "  data_x", "\tdata_x"])
def test_heading_is_recognised_in_any_case_and_after_white_space(heading: str) -> None:
    assert names(f"{heading}\n_a 1\n") == ["x"]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system_become_newlines(line_end: str) -> None:
    text = (cif("a") + cif("b")).replace("\n", line_end)
    assert [block.text for block in split_blocks(text)] == [cif("a"), cif("b")]


def test_a_heading_may_follow_on_the_line_of_a_value() -> None:
    assert names("data_a _x 1 data_b _x 2") == ["a", "b"]
    assert names("data_a\n_x\n;text\n; data_b\n") == ["a", "b"]


def test_a_heading_without_a_name_is_a_block() -> None:
    assert names("data_\n_a 1\n") == [""]


def test_global_sections_belong_to_no_block() -> None:
    blocks = split_blocks("global_\n_a 1\ndata_x\n_b 2\nglobal_\n_c 3\ndata_y\n_d 4\n")
    assert [(block.name, block.text) for block in blocks] == [("x", "data_x\n_b 2\n"), ("y", "data_y\n_d 4\n")]


def test_save_frames_stay_inside_their_block() -> None:
    text = "data_dictionary\nsave_first\n_a 1\nsave_\nsave_second\n_a 2\nsave_\n"
    (block,) = split_blocks(text)
    assert block.text == text


def test_a_text_field_that_never_closes_marks_the_last_block_only() -> None:
    first, second = split_blocks(cif("a") + "data_b\n_text\n;begins\ndata_c\n")
    assert (first.name, first.truncated) == ("a", False)
    assert (second.name, second.truncated) == ("b", True)


def test_triple_quotes_hide_headings_in_cif_2_only() -> None:
    body = "data_a\n_text \"\"\"one\ndata_no\n\"\"\"\ndata_b\n_t '''x data_no y''' data_c\n_x 1\n"
    assert names("#\\#CIF_2.0\n" + body) == ["a", "b", "c"]
    assert names(body) == ["a", "no", "b", "c"]
    assert split_blocks("#\\#CIF_2.0\ndata_a\n_x '''open\n")[0].truncated


def test_form_feeds_and_unicode_separators_do_not_end_a_line() -> None:
    assert names("data_a\n_x 'one\x0cdata_no' \n_y 'two\u2028data_no'\n") == ["a"]


@pytest.mark.parametrize("text", ["", "# only a comment", "12 13", "_tag data", "loop_\n_a\n1\n", "<html>data_</html>"])
def test_text_without_a_heading_has_no_blocks(text: str) -> None:
    assert split_blocks(text) == []


@given(st.lists(st.tuples(block_names, traps), min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_every_block_and_only_blocks_are_found(parts: list[tuple[str, str]]) -> None:
    text = "".join(f"data_{name}\n{body}" for name, body in parts)
    blocks = split_blocks("# head data_no\n" + text)
    assert [block.name for block in blocks] == [name for name, _ in parts]
    assert [block.text for block in blocks] == [f"data_{name}\n{body}" for name, body in parts]


@given(st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_nothing_is_lost_from_the_first_heading_on_in_any_text(text: str) -> None:
    blocks = split_blocks(text)
    if blocks and "global_" not in text.lower():
        plain = text.replace("\r\n", "\n").replace("\r", "\n")
        assert plain.endswith("".join(block.text for block in blocks))


@given(st.text(st.sampled_from(list("data_;'\"# \n\tglobx")), max_size=80))
@settings(max_examples=500, deadline=None)
def test_gemmi_finds_the_same_blocks_in_whatever_it_accepts(text: str) -> None:
    try:
        document = gemmi.cif.read_string(text)
    except (ValueError, RuntimeError):
        return
    if "global_" not in text.lower():
        assert names(text) == [block.name.strip() for block in document]  # gemmi has a blank for no name


@given(
    st.lists(
        st.tuples(block_names, st.sampled_from(["_a ';'\n", "_a\n;x\ndata_no\n;\n", "_a \"'\" _b 'q'\n"])), max_size=5
    )
)
@settings(max_examples=100, deadline=None)
def test_gemmi_agrees_on_valid_files(parts: list[tuple[str, str]]) -> None:
    unique = {name.lower(): (name, body) for name, body in parts}
    text = "".join(f"data_{name}\n{body}" for name, body in unique.values())
    assert names(text) == [block.name for block in gemmi.cif.read_string(text)]


def test_a_line_of_nothing_but_headings_takes_no_longer_than_its_length() -> None:
    assert len(split_blocks("data_a " * 20_000)) == 20_000
    assert len(split_blocks("#\\#CIF_2.0\n" + "data_a '''x''' " * 20_000)) == 20_000


def test_millions_of_quotes_do_not_fill_the_memory() -> None:
    text = "data_a\n" + "x '" * 2_000_000 + " data_b\n"
    tracemalloc.start()
    split_blocks(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * len(text)


def test_a_long_line_of_quotes_takes_no_longer_than_its_length() -> None:
    assert names("data_a\n_x " + "'" * 200_001 + "x data_b\n") == ["a"]
    assert names("data_a\n_x " + "'a" * 100_000 + " data_\n") == ["a"]
