"""One display for every phase: plain lines outside terminals, a bar inside, nothing when quiet, always the log."""

from __future__ import annotations

import io
import logging
from collections import Counter
from typing import Any

import pytest
from rich.console import Console

from catalogs.record import Record
from curation.batch import Receipt
from datagen import progress as module
from datagen.progress import Display, Verbosity, printable
from datagen.steps.curation_display import CurationDisplay


def display(verbosity: Verbosity = Verbosity.NORMAL, **console: Any) -> tuple[Display, io.StringIO]:
    out = io.StringIO()
    return Display(Console(file=out, width=120, **console), verbosity), out


def curate(shown: Display) -> None:
    with CurationDisplay(shown) as events:
        events.curating(None, Counter({"accepted": 1}))
        for name in "abc":
            events.read(Record("s", name, "", name, "MIT"))
        events.all_read(3)
        events.curated({"reason": "no_cell"})
        events.finished(Receipt("b", 1, {"accepted": 1}, 0.1, ""))


def test_curation_is_shown_in_plain_lines_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "PLAIN_LINE_EVERY_s", -1.0)
    shown, out = display()
    with caplog.at_level(logging.INFO, "datagen"):
        curate(shown)
    lines = out.getvalue().splitlines()
    assert lines[0] == "curate ..., 1 of them finished before"
    assert lines[3].startswith("  curate: 1 records  3 read so far, 1 accepted, 0 refused")
    assert lines[-1].startswith("  curate: 3 of 3  2 accepted, 1 refused")
    assert any(message.startswith("curate     3 records in") for message in caplog.messages)


def test_on_a_terminal_a_finished_phase_leaves_one_line() -> None:
    shown, out = display(force_terminal=True, color_system=None)
    curate(shown)
    text = out.getvalue()
    assert "curate     3 records in 0 s" in text


def test_quiet_prints_nothing_and_logs_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    shown, out = display(Verbosity.QUIET)
    with caplog.at_level(logging.INFO, "datagen"):
        curate(shown)
        shown.say("a [bold]line[/]")
        shown.warn("careful")
    assert out.getvalue() == ""
    assert {"a line", "warning: careful"} <= set(caplog.messages)


def test_a_phase_that_fails_is_not_reported_as_done(caplog: pytest.LogCaptureFixture) -> None:
    shown, out = display(force_terminal=True, color_system=None)
    with (
        caplog.at_level(logging.INFO, "datagen"),
        pytest.raises(ZeroDivisionError),
        shown.phase("curate", 5, "records"),
    ):
        raise ZeroDivisionError
    assert caplog.messages == ["curate: 5 records"]
    assert "done" not in out.getvalue()
    shown.say("next")
    assert out.getvalue().endswith("next\n")


def test_the_rate_counts_what_was_done_now() -> None:
    shown, _ = display()
    with shown.phase("simulate", 100, "structures", done=90):
        shown.advance(90)
        assert shown.rate() == 0
        shown.advance(95)
        assert shown.rate() == pytest.approx(5 / shown.elapsed(), rel=0.2)


def test_control_characters_are_written_out() -> None:
    assert printable("a\x1b[31mb\u202ec\td\n") == "a\\x1b[31mb\\u202ec\\td\n"
    shown, out = display()
    shown.say("name \x1b]0;title\x07")
    assert "\x1b" not in out.getvalue()
