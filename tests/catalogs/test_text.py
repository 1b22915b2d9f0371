"""Bytes become text, with the encoding told, or a defect."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogs.record import Defect
from catalogs.text import decode, printable


@pytest.mark.parametrize(
    ("raw", "text", "encoding"),
    [
        ("data_é".encode(), "data_é", "utf-8"),
        (b"\xef\xbb\xbfdata_a", "data_a", "utf-8"),
        ("data_Müller".encode("latin-1"), "data_Müller", "latin-1"),
        ("data_Å".encode("utf-16"), "data_Å", "utf-16"),
    ],
)
def test_text_is_decoded_and_its_encoding_told(raw: bytes, text: str, encoding: str) -> None:
    assert decode(raw) == (text, encoding)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty_file"),
        (b" \n\t\r\n", "empty_file"),
        (b"\xef\xbb\xbf", "empty_file"),
        (b"data_\0x", "binary_file"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\r", "binary_file"),
        (b"\xff\xfe\x00", "binary_file"),
        (bytes(range(256)), "binary_file"),
    ],
)
def test_what_is_no_text_is_refused(raw: bytes, reason: str) -> None:
    found = decode(raw)
    assert isinstance(found, Defect)
    assert found.reason == reason


@given(st.binary(max_size=200))
def test_any_bytes_end_as_storable_text_or_a_defect(raw: bytes) -> None:
    found = decode(raw)
    if not isinstance(found, Defect):
        assert found[0].encode("utf-8").decode("utf-8") == found[0]
        assert "\0" not in found[0]


def test_a_file_name_that_is_not_utf_8_can_be_printed() -> None:
    name = b"caf\xe9.cif".decode("utf-8", "surrogateescape")
    assert printable(name) == "caf\\xe9.cif"
