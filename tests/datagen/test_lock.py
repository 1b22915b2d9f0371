"""One driver at a time: the second refuses, the dead do not count."""

from __future__ import annotations

import errno
import fcntl
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from datagen.errors import PlanError
from datagen.store import lock
from datagen.store.lock import holder, locked

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import sys, time
from pathlib import Path
from datagen.store.lock import holder, locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def hold_elsewhere(folder: Path) -> subprocess.Popen[str]:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, folder], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def no_system_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.parametrize("system_lock", [True, False])
def test_the_second_driver_is_told_who_holds_the_folder_until_that_one_is_gone(
    tmp_path: Path, system_lock: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a dataset"
    holder = hold_elsewhere(folder)
    if not system_lock:
        no_system_lock(monkeypatch)
    try:
        with pytest.raises(PlanError, match=f"process {holder.pid} on "), locked(folder):
            pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    with locked(folder) as held:
        held.check()


def test_a_folder_can_be_locked_again_after_release(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path), pytest.raises(PlanError, match="is using this folder"), locked(tmp_path):
            pass


def name_holder(folder: Path, **changes: Any) -> None:
    holder = {**lock._ourselves(), "token": "x", "count": 1, **changes}
    (folder / ".lock").write_text(json.dumps(holder))


@pytest.mark.parametrize("system_lock", [True, False])
@pytest.mark.parametrize("changes", [{"pid": 2**22 + 1}, {"started": "1"}, {"boot": "before"}, {"host": "elsewhere"}])
def test_a_dead_holder_does_not_keep_us_out(
    tmp_path: Path, system_lock: bool, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not system_lock:
        no_system_lock(monkeypatch)
    name_holder(tmp_path, **changes)
    with locked(tmp_path, watch_s=0.2):
        pass


def test_a_holder_on_another_machine_who_still_counts_keeps_us_out(tmp_path: Path) -> None:
    name_holder(tmp_path, host="elsewhere")
    count = (
        "import sys, time; from pathlib import Path; p = Path(sys.argv[1])\n"
        "for i in range(200): p.write_text(p.read_text().replace('\"count\": ', '\"count\": 1')); time.sleep(.1)"
    )
    counter = subprocess.Popen([sys.executable, "-c", count, tmp_path / ".lock"])
    try:
        with pytest.raises(PlanError, match="on elsewhere"), locked(tmp_path, watch_s=10):
            pass
    finally:
        counter.kill()
        counter.wait()


def test_who_was_taken_for_dead_notices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_s", 0.02)
    with locked(tmp_path) as held:
        held.check()
        name_holder(tmp_path, host="elsewhere")
        deadline = time.monotonic() + 5
        while not held._lost and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(PlanError, match="took the lock"):
            held.check()
    assert json.loads((tmp_path / ".lock").read_text())["host"] == "elsewhere"


@pytest.mark.parametrize(
    "nonsense",
    [b'{"host": "els', b"\xc5{", b'{"host": "a", "pid": "../1"}', b'{"host": 1, "pid": 1}', b"[" * 100_000, b"[1]"],
)
def test_a_lock_file_of_nonsense_is_nobody(tmp_path: Path, nonsense: bytes) -> None:
    (tmp_path / ".lock").write_bytes(nonsense)
    assert holder(tmp_path) is None
    with locked(tmp_path, watch_s=0.1):
        pass
    assert (tmp_path / ".lock").stat().st_size == 0


def test_a_host_with_control_characters_is_shown_on_one_line(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text(json.dumps({"host": "els\x1b[31m\newhere", "pid": 7}))
    shown = holder(tmp_path)
    assert shown is not None
    assert shown.isprintable()
