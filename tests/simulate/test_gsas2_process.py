"""The child process that runs GSAS-II, tested with a fake GSAS-II that fails on request; needs no GSAS-II."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datagen.errors import EngineError
from datagen.simulate.augmentation import Augmentations
from datagen.simulate.gsas2 import engine, process
from datagen.simulate.gsas2.process import PYTHON_VARIABLE, Gsas2StartError, GsasProcess
from datagen.simulate.instrument import Instrument
from datagen.steps.shard_task import ROCK_SALT
from tests.simulate.needs_gsas2 import require_gsas2

STAND_IN = {
    "__init__.py": "",
    "GSASIIpath.py": "def GetVersionNumber():\n    return 'stand-in'\n",
    "atmdata.py": "XrayFF = {'Si': {}, 'Fe+3': {}}\n",
    "GSASIIscriptable.py": "def LoadG2fil():\n    print('much ado')\n",
    "GSASIIspc.py": "def SpcGroup(symbol):\n    return 0, {}\n",
    "GSASIIpwd.py": "def getFCJVoigt3(pos, sig, gam, shl, xdata):\n    return xdata, 1.0\n",
    "GSASIIstrMath.py": """
import os, socket, sys, time
print("said by Python", flush=True)
os.write(1, b"said by Fortran\\n")
os.write(2, b"complained by C\\n")
behaviour = os.environ["STAND_IN"]
if behaviour == "abort":
    os.abort()
if behaviour == "hang":
    time.sleep(600)
if behaviour == "raise":
    raise RuntimeError("something inside")
if behaviour == "network":
    socket.create_connection(("127.0.0.1", 9), timeout=1)
if behaviour == "lookup":
    socket.getaddrinfo("localhost", 80)
""",
}


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "packages" / "GSASII"
    package.mkdir(parents=True)
    for name, text in STAND_IN.items():
        (package / name).write_text(text)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.setenv(PYTHON_VARIABLE, sys.executable)
    return scratch


def asked(behaviour: str, folder: Path, monkeypatch: pytest.MonkeyPatch, timeout_s: float | None = 60.0) -> str:
    """Return the error message when the fake GSAS-II fails as `behaviour` says."""
    monkeypatch.setenv("STAND_IN", behaviour)
    process = GsasProcess()
    try:
        with pytest.raises(EngineError) as error:
            process.ask({}, folder, timeout_s)
    finally:
        process.close()
    return str(error.value)


def test_missing_gsas2_is_one_sentence_with_two_ways_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    shadow = tmp_path / "shadow" / "GSASII.py"
    shadow.parent.mkdir()
    shadow.write_text("raise ModuleNotFoundError('No module named GSASII', name='GSASII')\n")
    monkeypatch.setenv("PYTHONPATH", str(shadow.parent))
    with pytest.raises(Gsas2StartError, match=r"not installed for .*pixi run -e gsas.*install\.html") as error:
        GsasProcess(sys.executable)
    assert "\n" not in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["shadow"]


def script(path: Path, *lines: str) -> str:
    """Write an executable shell script and return its path."""
    path.write_text("\n".join(("#!/bin/sh", *lines)) + "\n")
    path.chmod(0o755)
    return str(path)


def refused(python: str, monkeypatch: pytest.MonkeyPatch, limit_s: float = 60.0) -> str:
    """Return the message of a program that cannot be used; check what every such message says."""
    monkeypatch.setattr(process, "START_TIMEOUT_S", limit_s)
    monkeypatch.setenv(PYTHON_VARIABLE, python)
    with pytest.raises(Gsas2StartError) as error:
        process.process()
    message = str(error.value)
    assert "\n" not in message
    assert f"{python}: " in message or f"{python} " in message
    assert message.endswith(process.HOW_TO_GET_IT)
    assert PYTHON_VARIABLE in process.HOW_TO_GET_IT
    return message


def test_a_program_that_cannot_be_started_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No such file" in refused("/no/such/python", monkeypatch)
    assert "Permission denied" in refused(str(tmp_path), monkeypatch)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            ["echo 'licence expired' >&2; exit 3"],
            "ended with status 3 and no answer; its last line: 'licence expired';",
        ),
        (["exec cat /dev/null"], "ended with status 0 and no answer; it printed nothing;"),
        (["echo Python 2.7.18"], "answered 'Python 2.7.18', which is not an answer of GSAS-II"),
        (["echo '{\"version\": 1}'"], "it answered \"{'version': 1}\""),
        (["exec >&-; exec sleep 300"], "closed its output without an answer"),
        (["exec tr '\\0' x < /dev/zero"], "answered with more than 16000000 bytes"),
    ],
)
def test_a_wrong_program_is_one_sentence(
    lines: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "CLOSED_OUTPUT_S", 1.0)
    assert expected in refused(script(tmp_path / "python", *lines), monkeypatch)


def test_a_silent_program_is_killed_after_the_stated_limit_with_all_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert process.START_TIMEOUT_S == 60.0
    begun = tmp_path / "child.pid"
    silent = script(tmp_path / "python", "echo 'waiting for a licence' >&2", f"sleep 300 & echo $! > {begun}", "wait")
    began = time.monotonic()
    message = refused(silent, monkeypatch, limit_s=2.0)
    assert time.monotonic() - began < 20.0
    assert "did not answer within 2 s; its last line: 'waiting for a licence';" in message
    child = int(begun.read_text())
    until = time.monotonic() + 20.0
    while _running(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _running(child)


def test_an_engine_that_cannot_start_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = tmp_path / "tries"
    monkeypatch.setenv(PYTHON_VARIABLE, script(tmp_path / "python", f"echo x >> {tries}"))
    plain = Augmentations.of(
        U_cdeg2=[1.0], V_cdeg2=[0.0], W_cdeg2=[1.0], microstrain=[1000.0], crystallite_size_um=[1.0]
    )
    with pytest.raises(Gsas2StartError):
        engine.simulate(ROCK_SALT, Instrument.preset("alphadiffract"), plain)
    assert tries.read_text() == "x\n"


@pytest.mark.parametrize(
    ("module", "text", "expected", "last"),
    [
        (
            "GSASIIspc.py",
            "def SpcGroup(symbol):\n    return pyspg.sgforpy(symbol)\n",
            "compiled part pyspg is missing",
            "much ado",
        ),
        ("GSASIIpwd.py", "print('no pypowder')\n", "compiled part pypowder is missing", "no pypowder"),
        (
            "GSASIIscriptable.py",
            "raise RuntimeError('no wx here')\n",
            "raised RuntimeError: no wx here",
            "binary load error",
        ),
        ("GSASIIscriptable.py", "import no_such_package\n", "No module named 'no_such_package'", "binary load error"),
        (
            "GSASIIscriptable.py",
            "raise SystemExit('wrong numpy')\n",
            "raised SystemExit: wrong numpy",
            "binary load error",
        ),
    ],
)
@pytest.mark.usefixtures("stand_in")
def test_an_installation_that_does_not_work_says_what_it_printed_last(
    module: str, text: str, expected: str, last: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "packages" / "GSASII" / "GSASIIpath.py").write_text(
        "print('binary load error')\nprint('=' * 70)\ndef GetVersionNumber():\n    return 'fake'\n"
    )
    (tmp_path / "packages" / "GSASII" / module).write_text(text)
    message = refused(sys.executable, monkeypatch)
    assert message.startswith(f"GSAS-II of {sys.executable} cannot be used: ")
    assert expected in message
    assert f"its last line: {last!r};" in message


@pytest.mark.gsas
def test_the_real_gsas2_without_compiled_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_gsas2()
    python = os.environ.get(PYTHON_VARIABLE) or sys.executable
    where = subprocess.run(
        [python, "-c", "import importlib.util as u; print(u.find_spec('GSASII').submodule_search_locations[0])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    shutil.copytree(where, tmp_path / "GSASII", ignore=shutil.ignore_patterns("*.so", "*.pyd", "icons", "tutorials"))
    process.close()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    message = refused(python, monkeypatch)
    assert "its compiled part pyspg is missing or does not work (NameError" in message
    assert "pypowder is not available" in message


def test_it_says_what_it_has(stand_in: Path) -> None:
    process = GsasProcess()
    assert process.version == "stand-in"
    assert process.form_factors == {"Si", "Fe+3"}
    assert list(stand_in.iterdir()) == [process.folder]
    process.close()
    assert list(stand_in.iterdir()) == []


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [("abort", f"status -{int(signal.SIGABRT)}"), ("raise", "something inside"), ("hang", "within 2 s")],
)
def test_failures_carry_everything_that_was_printed(
    behaviour: str, expected: str, stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = asked(behaviour, tmp_path, monkeypatch, timeout_s=2.0)
    assert expected in told
    for voice in ("said by Python", "said by Fortran", "complained by C"):
        assert voice in told
    assert list(stand_in.iterdir()) == []


@pytest.mark.parametrize("behaviour", ["network", "lookup"])
def test_the_network_is_refused(
    behaviour: str, stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "GSAS-II asked for the network" in asked(behaviour, tmp_path, monkeypatch)


def test_after_a_crash_the_next_request_gets_a_new_child(
    stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN", "abort")
    try:
        with pytest.raises(EngineError, match="ended with status"):
            process.ask({}, tmp_path)
        monkeypatch.setenv("STAND_IN", "raise")
        with pytest.raises(EngineError, match="something inside"):
            process.ask({}, tmp_path)
        survivor = process.process()
        with pytest.raises(EngineError, match="something inside"):
            process.ask({}, tmp_path)
        assert process.process() is survivor
    finally:
        process.close()


def test_a_killed_parent_leaves_neither_child_nor_scratch(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN", "hang")
    code = (
        "from pathlib import Path; import sys, tempfile\n"
        f"tempfile.tempdir = {str(stand_in)!r}\n"
        "from datagen.simulate.gsas2.process import GsasProcess\n"
        "p = GsasProcess(); print(p._child.pid, flush=True); p.ask({}, Path('/'))\n"
    )
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{os.environ['PYTHONPATH']}{os.pathsep}{root}"}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    until = time.monotonic() + 20
    while time.monotonic() < until and (_running(child) or list(stand_in.iterdir())):
        time.sleep(0.1)
    assert not _running(child)
    assert list(stand_in.iterdir()) == []


def _running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z")
