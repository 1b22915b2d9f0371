"""Division of a CIF into data blocks.

Only `data_` at the start of a token counts: not inside text fields (from a line that begins with a semicolon to the
next), quoted strings, comments, or longer words. Syntax: Hall, Allen & Brown, Acta Cryst. A47 (1991) 655; CIF 1.1
(International Tables G, 2.2.7); triple-quoted strings where the first line declares CIF 2.0 (Bernstein et al.,
J. Appl. Cryst. 49 (2016) 277).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Possessive repeats (*+): backtracking over a line of millions of quotes would exhaust memory.
_TOKEN = re.compile(
    r"""(?P<comment>\#.*)
      | '(?:[^']++|'(?=\S))*+(?:'(?=\s|$)|$)  # a quote inside a string is a letter unless white space follows;
      | "(?:[^"]++|"(?=\S))*+(?:"(?=\s|$)|$)  # an unclosed string runs to the end of its line
      | (?P<word>\S+)""",
    re.VERBOSE,
)
_TRIPLE = re.compile(r"'''|\"\"\"")
_HEADING = re.compile(r"data_|global_", re.IGNORECASE)
_OF_INTEREST = re.compile(r"^;|data_|global_", re.IGNORECASE | re.MULTILINE)


MAX_BLOCKS = 100_000
"""Limit on headings per file: a megabyte of headings alone would become gigabytes of blocks."""


@dataclass(frozen=True, slots=True)
class Block:
    """A data block: its name as written after `data_`, its text, and whether it is truncated."""

    name: str
    text: str
    truncated: bool = False
    """The text ends inside a text field: an unknown part is missing."""


def split_blocks(text: str) -> list[Block]:
    """Return all data blocks in order, without the text before the first and without STAR's `global_` sections.

    Line ends become newlines. Joined, the texts are the input from its first heading. Splitting stops soon after
    `MAX_BLOCKS`.
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
    """Return offset and name of every heading (None for `global_`), and whether the text ends in a multi-line value."""
    headings: list[tuple[int, str | None]] = []
    cif2 = text.startswith("#\\#CIF_2.0")
    closing = ""  # end of the open multi-line value: a semicolon, or a triple quote of CIF 2
    for start, line in _lines(text) if cif2 else _lines_of_interest(text):
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
            for token in _TOKEN.finditer(line, begin):
                headings += _heading_of(token, start)
                if len(headings) > MAX_BLOCKS:
                    break
        if len(headings) > MAX_BLOCKS:
            break
    return headings, bool(closing)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield offset and content of each line; str.splitlines would also break at form feeds and Unicode separators."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield start, text[start:end]
        start = end + 1
    if start < len(text):
        yield start, text[start:]


def _lines_of_interest(text: str) -> Iterator[tuple[int, str]]:
    """Yield offset and content of each line that may hold a heading, or begin or end a text field."""
    end = 0
    for found in _OF_INTEREST.finditer(text):
        if found.start() >= end:
            start = text.rfind("\n", 0, found.start()) + 1
            end = text.find("\n", found.start())
            end = end if end >= 0 else len(text)
            yield start, text[start:end]


def _heading_of(token: re.Match[str], start: int) -> list[tuple[int, str | None]]:
    """Return the heading that a token is, if any; `start` is the offset of its line."""
    word: str | None = token["word"]
    if word is None:
        return []
    if word[:5].lower() == "data_":
        return [(start + token.start(), word[5:])]
    return [(start + token.start(), None)] if word.lower() == "global_" else []


def _scan_cif2(line: str, begin: int, start: int, headings: list[tuple[int, str | None]]) -> str:
    """Append the headings of a line with triple quotes; return the quote left open at its end, or an empty string."""
    position = begin
    while position < len(line) and len(headings) <= MAX_BLOCKS:
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
        headings += _heading_of(token, start)
        position = token.end()
    return ""
