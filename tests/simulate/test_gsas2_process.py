"""The child that runs GSAS-II, with a stand-in for GSAS-II that misbehaves on request: any machine can run these."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datagen.errors import EngineError
from datagen.simulate.gsas2 import process
from datagen.simulate.gsas2.process import PYTHON_VARIABLE, GsasProcess

STAND_IN = {
    "__init__.py": "",
    "GSASIIpath.py": "def GetVersionNumber():\n    return 'stand-in'\n",
    "atmdata.py": "XrayFF = {'Si': {}, 'Fe+3': {}}\n",
    "GSASIIscriptable.py": "def LoadG2fil():\n    print('much ado')\n",
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
    """What is said when the stand-in misbehaves."""
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
    shadow.write_text("raise ModuleNotFoundError('No module named GSASII')\n")
    monkeypatch.setenv("PYTHONPATH", str(shadow.parent))
    with pytest.raises(EngineError, match=r"not installed for .*pixi run -e gsas.*install\.html") as error:
        GsasProcess(sys.executable)
    assert "\n" not in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["shadow"]


def test_a_python_that_does_not_exist_is_named() -> None:
    with pytest.raises(EngineError, match=f"cannot start /no/such/python.*{PYTHON_VARIABLE}"):
        GsasProcess("/no/such/python")


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
