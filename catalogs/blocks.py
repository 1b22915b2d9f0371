"""Where does one CIF data block end and the next begin?

Only `data_` at the start of a token counts: not inside text fields (from a line that begins with a semicolon to the
next), quoted strings, comments, or longer words. Syntax: Hall, Allen & Brown, Acta Cryst. A47 (1991) 655; CIF 1.1
(International Tables G, 2.2.7); triple-quoted strings where the first line declares CIF 2.0 (Bernstein et al.,
J. Appl. Cryst. 49 (2016) 277).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<comment>\#.*)
      | '(?:[^']|'(?=\S))*(?:'(?=\s|$)|$)     # a quote inside a string is a letter unless white space follows;
      | "(?:[^"]|"(?=\S))*(?:"(?=\s|$)|$)     # an unclosed string runs to the end of its line
      | (?P<word>\S+)""",
    re.VERBOSE,
)
_TRIPLE = re.compile(r"'''|\"\"\"")
_HEADING = re.compile(r"data_|global_", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Block:
    """One data block: its name as written after `data_`, its text from there on, and whether it breaks off."""

    name: str
    text: str
    truncated: bool = False
    """The text ends inside a text field, so nobody can say what was lost."""


def split_blocks(text: str) -> list[Block]:
    """All data blocks in order; what precedes the first, and STAR's `global_` sections, belong to none.

    Line ends become plain newlines. The texts joined are the input from its first heading on.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    headings, truncated = _headings(text)
    blocks = []
    for i, (start, name) in enumerate(headings):
        last = i + 1 == len(headings)
        if name is not None:
            blocks.append(Block(name, text[start : None if last else headings[i + 1][0]], truncated and last))
    return blocks


def _headings(text: str) -> tuple[list[tuple[int, str | None]], bool]:
    """Offset and name of every heading (None for `global_`), and whether the text ends inside a multi-line value."""
    headings: list[tuple[int, str | None]] = []
    cif2 = text.startswith("#\\#CIF_2.0")
    closing = ""  # what ends the multi-line value we are in: a semicolon, or a triple quote of CIF 2
    for start, line in _lines(text):
        begin = 0
        if closing == ";":
            if not line.startswith(";"):
                continue
            closing, begin = "", 1
        elif closing:
            end = line.find(closing)
            if end < 0:
                continue
            closing, begin = "", end + 3
        elif line.startswith(";"):
            closing = ";"
            continue
        if cif2 and _TRIPLE.search(line, begin):
            closing = _scan_cif2(line, begin, start, headings)
        elif _HEADING.search(line, begin):
            headings += [(start + at, name) for at, name in _headings_in(line, begin)]
    return headings, bool(closing)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Offset and content of each line; str.splitlines would also break at form feeds and Unicode separators."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield start, text[start:end]
        start = end + 1
    if start < len(text):
        yield start, text[start:]


def _headings_in(line: str, begin: int) -> Iterator[tuple[int, str | None]]:
    for token in _TOKEN.finditer(line, begin):
        word = token["word"]
        if word is None:
            continue
        lower = word.lower()
        if lower.startswith("data_"):
            yield token.start(), word[5:]
        elif lower == "global_":
            yield token.start(), None


def _scan_cif2(line: str, begin: int, start: int, headings: list[tuple[int, str | None]]) -> str:
    """Headings of a line that has triple quotes; returns the quote that stays open at its end, if any."""
    position = begin
    while position < len(line):
        if line[position].isspace():
            position += 1
            continue
        quote = line[position : position + 3]
        if quote in ("'''", '"""'):
            end = line.find(quote, position + 3)
            if end < 0:
                return quote
            position = end + 3
            continue
        token = _TOKEN.match(line, position)
        assert token is not None
        headings += [(start + at, name) for at, name in _headings_in(line[: token.end()], position)]
        position = token.end()
    return ""
