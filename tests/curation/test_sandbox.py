"""The sandbox: one item's misfortune is its own, and no child outlives its parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from curation.sandbox import Limits, Sandbox, SandboxError, SandboxFailure, SandboxInterruptedError, borrowed_sandbox

FACTORY = "tests.curation.misbehaving:factory"
LIMITS = Limits(seconds=0.8, memory_GB=0.3)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(FACTORY, {"seed": 1}, LIMITS) as box:
        yield box


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not alive(pid):
            return True
        time.sleep(0.02)
    return False


def test_json_values_go_in_and_come_out_unchanged(sandbox: Sandbox) -> None:
    value = {"é\udcff": [1, 2.5, -0.0, 1e-300, None, True, "x" * 300_000], "": {}}
    assert sandbox.call(["echo", value]) == value
    assert sandbox.call("settings") == {"seed": 1}


def test_one_child_serves_many_items(sandbox: Sandbox) -> None:
    assert len({sandbox.call("pid") for _ in range(20)}) == 1


@pytest.mark.parametrize(
    ("misbehaviour", "reason", "detail"),
    [
        ("hang", "timeout", "no answer within 0.8 s"),
        ("spin", "timeout", "no answer within 0.8 s"),
        ("hang in C", "timeout", "no answer within 0.8 s"),
        ("segfault", "crashed", "the interpreter was ended by SIGSEGV"),
        ("null pointer", "crashed", "the interpreter was ended by SIGSEGV"),
        ("exit", "crashed", "the interpreter left with exit code 0"),
        ("close everything", "crashed", "the interpreter left with exit code 1"),
        ("close everything and hang", "crashed", "the interpreter closed its pipes"),
        ("garble", "crashed", "the interpreter answered out of turn"),
        ("hog", "out_of_memory", "needed more than 0.3 GB"),
        ("ask for a terabyte", "out_of_memory", "needed more than 0.3 GB"),
        ("raise", "raised", "ValueError: what is this?"),
        ("raise SystemExit", "raised", "SystemExit: 3"),
        ("recurse", "raised", "RecursionError: maximum recursion depth exceeded"),
        ("no JSON", "raised", "TypeError: Object of type object is not JSON serializable"),
    ],
)
def test_a_misfortune_costs_only_the_item_it_befalls(
    sandbox: Sandbox, misbehaviour: str, reason: str, detail: str
) -> None:
    assert sandbox.call(["echo", "before"]) == "before"
    crash = sandbox.call(misbehaviour)
    assert isinstance(crash, SandboxFailure)
    assert (crash.reason, crash.detail) == (reason, detail)
    assert sandbox.call(["echo", "after"]) == "after"


def test_a_crash_says_where_in_the_code_it_was(sandbox: Sandbox) -> None:
    crash = sandbox.call("segfault")
    assert isinstance(crash, SandboxFailure)
    assert "misbehaving.py" in crash.output


def test_a_hang_says_where_in_the_code_it_was(sandbox: Sandbox) -> None:
    crash = sandbox.call("hang in C")
    assert isinstance(crash, SandboxFailure)
    assert "misbehaving.py" in crash.output


def test_an_item_does_not_pay_for_what_another_did_to_the_child(sandbox: Sandbox) -> None:
    assert sandbox.call("plant a bomb") == "planted"
    assert sandbox.call("step here") == "all is well"


def test_memory_that_items_leave_behind_is_not_charged_to_the_next(sandbox: Sandbox) -> None:
    kept = [sandbox.call(["keep", 100_000_000]) for _ in range(6)]
    assert all(isinstance(k, int) for k in kept)
    assert max(kept) <= 2


def test_a_child_killed_from_outside_is_replaced_and_the_item_is_not_blamed(sandbox: Sandbox) -> None:
    pid = sandbox.call("pid")
    os.kill(pid, signal.SIGKILL)
    assert sandbox.call(["echo", 1]) == 1
    assert sandbox.call("pid") != pid


def test_what_an_item_prints_is_kept_away_from_our_terminal(
    sandbox: Sandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sandbox.call("print") == "printed"
    assert sandbox.call("print a flood") == "printed"
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux's processor affinity")
def test_a_busy_machine_does_not_turn_work_into_a_timeout(sandbox: Sandbox) -> None:
    core = min(os.sched_getaffinity(0))
    spin = "print(flush=True)\nwhile True: pass"
    crowd = [subprocess.Popen([sys.executable, "-c", spin], stdout=subprocess.PIPE) for _ in range(4)]
    try:
        for rival in crowd:
            assert rival.stdout is not None
            rival.stdout.readline()
            os.sched_setaffinity(rival.pid, {core})
        os.sched_setaffinity(sandbox.call("pid"), {core})
        began = time.monotonic()
        assert sandbox.call(["compute", 0.5]) == "computed"
        assert time.monotonic() - began > LIMITS.seconds, "the machine was not busy enough to show anything"
    finally:
        for rival in crowd:
            rival.kill()
            rival.communicate()


def test_what_cannot_be_loaded_is_an_error_and_not_a_casualty() -> None:
    with Sandbox(FACTORY, "cannot load", LIMITS) as box, pytest.raises(SandboxError, match="no such library"):
        box.call(["echo", 1])
    with Sandbox("no.such.module:factory", None, LIMITS) as box, pytest.raises(SandboxError, match=r"no\.such|'no'"):
        box.call(["echo", 1])


def test_closing_ends_the_child_and_calling_again_starts_another(sandbox: Sandbox) -> None:
    pid = sandbox.call("pid")
    sandbox.close()
    assert not alive(pid)
    assert sandbox.call("pid") != pid


def test_another_thread_can_interrupt_a_call(sandbox: Sandbox) -> None:
    sandbox.start()
    threading.Timer(0.1, sandbox.interrupt).start()
    began = time.monotonic()
    with pytest.raises(SandboxInterruptedError):
        sandbox.call("hang")
    assert time.monotonic() - began < LIMITS.seconds


@pytest.mark.parametrize("activity", ["nothing", "hang in C", "spin"])
def test_a_child_dies_with_its_parent_even_when_that_is_killed(tmp_path: Path, activity: str) -> None:
    program = textwrap.dedent(
        f"""
        import threading
        from curation.sandbox import Limits, Sandbox
        box = Sandbox({FACTORY!r}, None, Limits(seconds=3600))
        starter = threading.Thread(target=box.start)  # ends before the child is used
        starter.start(); starter.join()
        print(box.call("pid"), flush=True)
        if {activity!r} == "nothing":
            import time; time.sleep(3600)
        box.call({activity!r})
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    time.sleep(0.1)
    assert alive(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_until_gone(pid)


def answer_from_a_sandbox() -> None:
    """What a daemonic worker does; such a process may have no multiprocessing children."""
    with Sandbox(FACTORY, None, LIMITS) as box:
        assert box.call(["echo", "from a daemon"]) == "from a daemon"
        assert isinstance(box.call("segfault"), SandboxFailure)


def test_it_works_inside_a_daemonic_worker_process() -> None:
    worker = multiprocessing.get_context("spawn").Process(target=answer_from_a_sandbox, daemon=True)
    worker.start()
    worker.join(60)
    assert worker.exitcode == 0


def test_no_descriptor_and_no_process_is_left_behind() -> None:
    def open_descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = open_descriptors()
    with Sandbox(FACTORY, None, LIMITS) as box:
        for item in (["echo", 1], "segfault", "exit", "hang", ["echo", 1]):
            box.call(item)
    with Sandbox("no.such.module:factory", None, LIMITS) as box, pytest.raises(SandboxError):
        box.call(1)
    assert open_descriptors() == before


def test_a_borrowed_sandbox_stays_warm_for_the_next_borrower_with_the_same_orders() -> None:
    with borrowed_sandbox(FACTORY, "a", LIMITS) as box:
        first = box.call("pid")
    with borrowed_sandbox(FACTORY, "a", LIMITS) as box:
        assert box.call("pid") == first
        with borrowed_sandbox(FACTORY, "a", LIMITS) as second:
            assert second.call("pid") != first
            second.close()
    with borrowed_sandbox(FACTORY, "b", LIMITS) as box:
        assert box.call("pid") != first
        box.close()
    with borrowed_sandbox(FACTORY, "a", LIMITS) as box:
        box.close()


@pytest.mark.parametrize("wrong", [{"seconds": 0}, {"seconds": float("nan")}, {"memory_GB": -1}, {"sekonds": 1}])
def test_impossible_limits_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Limits.model_validate(wrong)
