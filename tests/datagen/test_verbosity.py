"""--quiet and --verbose, and the exit codes and messages of errors."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from datagen import api
from datagen.commands import app
from datagen.commands.terminal import PACKAGES, set_verbosity
from datagen.progress import Display, Verbosity
from tests.datagen.small_runs import write_cifs

RUN = ("run", "cifs", "--out", "d.zarr", "--set", "simulation.augmentation.count=3", "--cluster", "inline")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    handlers = {name: list(logging.getLogger(name).handlers) for name in PACKAGES}
    levels = {name: logging.getLogger(name).level for name in PACKAGES}
    yield
    set_verbosity(Verbosity.NORMAL)
    for name in PACKAGES:
        logging.getLogger(name).handlers[:] = handlers[name]
        logging.getLogger(name).setLevel(levels[name])


@pytest.fixture
def datagen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    write_cifs(tmp_path / "cifs", ["halite"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*words: str) -> tuple[Any, str, str]:
        monkeypatch.setattr("sys.argv", ["datagen", *words])
        with pytest.raises(SystemExit) as ended:
            app.main()
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return call


def commands(group: Any) -> Iterator[Any]:
    for command in getattr(group, "commands", {}).values():
        yield command
        yield from commands(command)


def test_every_command_takes_them() -> None:
    found = list(commands(typer.main.get_command(app.app)))
    assert len(found) > 20
    for command in found:
        options = [option for parameter in command.params for option in parameter.opts]
        assert len(options) == len(set(options)), command.name
        assert {"--quiet", "-q", "--verbose", "-v"} <= set(options), command.name


@pytest.mark.parametrize("words", [(*RUN, "--quiet"), ("-q", *RUN)])
def test_a_quiet_run_prints_its_result_only(datagen: Any, words: tuple[str, ...]) -> None:
    code, out, err = datagen(*words)
    assert code == 0
    assert out.startswith("d.zarr: 1 structures, 3 patterns")
    assert len(out.splitlines()) == 1
    assert err == ""
    assert "simulate" in Path("d.zarr/.run/run.log").read_text()


def test_progress_is_on_standard_error_and_the_result_on_standard_output(datagen: Any) -> None:
    _, out, err = datagen(*RUN)
    assert "simulate: 1 structures" in err
    assert "simulate" not in out.replace("d.zarr", "")
    assert "report:" in out


def test_verbose_adds_log_messages_once_and_tracebacks(datagen: Any) -> None:
    Path("run.toml").write_text('[[catalog]]\nkind = "examples"\n[run]\nverify = 3\n')
    code, _, err = datagen("run", "run.toml", "--verbose")
    assert code == 2
    assert err.count("debug: datagen.config.config: read run.toml") == 1
    assert "Traceback" in err
    assert err.rstrip().endswith("did you mean verify_sample?")
    assert Display.verbosity is Verbosity.VERBOSE
    code, _, err = datagen("run", "run.toml")
    assert (code, "Traceback" in err, "debug" in err) == (2, False, False)


def test_an_error_of_a_run_is_printed_once_and_logged(datagen: Any) -> None:
    assert datagen(*RUN)[0] == 0
    code, _, err = datagen(*RUN, "--set", "simulation.seed=4")
    assert code == 2
    assert err.count("simulation.seed: was 0, now 4") == 1
    assert "simulation.seed: was 0, now 4" in Path("d.zarr/.run/run.log").read_text()


def test_a_bug_says_that_it_is_one(datagen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("deep inside")

    monkeypatch.setattr(api, "run", broken)
    code, _, err = datagen(*RUN)
    assert code == 1
    assert "Traceback" in err
    assert "unexpected ZeroDivisionError: this is a bug" in err
    assert "datagen doctor" in err


def test_warnings_reach_the_terminal_unless_quiet(datagen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def warns(*_: Any, **__: Any) -> None:
        logging.getLogger("cluster.submit").warning("worker died")

    monkeypatch.setattr("datagen.inspect.describe.inspect", warns)
    monkeypatch.setattr("datagen.share.registry.resolve_dataset", lambda name: name)
    assert "warning: cluster.submit: worker died" in datagen("inspect", "d.zarr")[2]
    assert datagen("inspect", "d.zarr", "-q")[2] == ""
