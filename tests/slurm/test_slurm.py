from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed import Client

from cluster.config import JobProfile
from cluster.connect import Cluster, connect
from cluster.errors import ClusterError
from cluster.submit import Task, TaskProgress, run_tasks
from cluster.task import Failure
from tests.cluster import jobs
from tests.slurm.controller import Controller

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slurm


def profile(folder: Path, **changes: Any) -> JobProfile:
    settings = {
        "kind": "slurm",
        "workers": 2,
        "memory_per_worker": "500 MB",
        "walltime": "00:10:00",
        "scheduler_host": "127.0.0.1",
        "shared_directory": folder,
        "worker_wait_s": 300,
        **changes,
    }
    return JobProfile.model_validate(settings)


def run(cluster: Cluster, function: Any, count: int, **options: Any) -> tuple[dict[str, Any], TaskProgress]:
    receipts: dict[str, Any] = {}
    failures: dict[str, Failure] = {}
    progress = run_tasks(
        cluster,
        function,
        [Task(str(n), n) for n in range(count)],
        on_receipt=lambda task, receipt: receipts.update({task.key: receipt}),
        on_failure=lambda task, failure: failures.update({task.key: failure}),
        heartbeat_s=0.5,
        **options,
    )
    assert failures == {}
    return receipts, progress


def running_jobs(controller: Controller) -> list[str]:
    return controller.command("squeue", "--noheader", "--states=RUNNING", "--format=%i").split()


def test_tasks_complete_although_a_job_is_cancelled_in_the_middle(controller: Controller, tmp_path: Path) -> None:
    cancelled = []

    def cancel() -> None:
        time.sleep(1.5)
        cancelled.append(running_jobs(controller)[0])
        controller.command("scancel", cancelled[0])

    with connect(profile(tmp_path)) as cluster:
        cluster.wait_for_workers(2, timeout_s=300)
        assert len(running_jobs(controller)) == 2
        thread = threading.Thread(target=cancel)
        thread.start()
        receipts, progress = run(cluster, jobs.slowly, 150)
        thread.join()
        assert len(cancelled) == 1
        print(progress)
    assert sorted(receipts.values()) == list(range(150))
    assert running_jobs(controller) == [], "the jobs are cancelled at the end"


def test_a_cancelled_job_is_replaced(controller: Controller, tmp_path: Path) -> None:
    with connect(profile(tmp_path, workers=1)) as cluster:
        cluster.wait_for_workers(1, timeout_s=300)
        first = running_jobs(controller)
        controller.command("scancel", *first)
        receipts, _ = run(cluster, jobs.slowly, 5)
        assert sorted(receipts.values()) == list(range(5))
        assert running_jobs(controller) != first


def test_workers_that_leave_before_the_walltime_hand_over_and_blame_nobody(
    controller: Controller, tmp_path: Path
) -> None:
    with connect(profile(tmp_path, lifetime_s=4)) as cluster:
        cluster.wait_for_workers(2, timeout_s=300)
        before = set(running_jobs(controller))
        receipts, progress = run(cluster, jobs.half_a_second, 20)
        after = set(running_jobs(controller))
    assert sorted(receipts.values()) == list(range(20))
    assert progress.worker_deaths == 0
    assert not before & after, "every job of the start had left and was replaced"


def test_strangers_cannot_connect_and_see_no_secret(controller: Controller, tmp_path: Path) -> None:
    with connect(profile(tmp_path, workers=1)) as cluster:
        cluster.wait_for_workers(1, timeout_s=300)
        address = cluster.client.scheduler.address
        worker = next(iter(cluster.client.nthreads()))
        assert address.startswith("tls://")
        assert worker.startswith("tls://")
        for target in (address, worker):
            with pytest.raises((OSError, TimeoutError)):
                Client(target.replace("tls://", "tcp://"), timeout=3)
        folder = next(tmp_path.glob("tls-*"))
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        key = folder / "key.pem"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        secret = key.read_text().splitlines()[1]
        command_lines = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
        assert any(str(key) in line for line in command_lines), "the path is named"
        assert not any(secret in line for line in command_lines), "what is in it is not"
    assert not folder.exists()


def test_pending_jobs_are_told_with_their_reason(controller: Controller, tmp_path: Path) -> None:
    waiting = profile(tmp_path, directives=("--begin=now+1hour",), worker_wait_s=2)
    with connect(waiting) as cluster, pytest.raises(ClusterError, match="PENDING BeginTime"):
        run(cluster, jobs.slowly, 3)


def test_a_job_that_slurm_refuses_is_an_error_at_once(controller: Controller, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="invalid partition"), connect(profile(tmp_path, queue="nowhere")) as cluster:
        run(cluster, jobs.slowly, 3)


def test_jobs_end_when_the_driver_is_killed(controller: Controller, tmp_path: Path) -> None:
    script = tmp_path / "driver.py"
    script.write_text(
        f"""\
import time
from pathlib import Path
from cluster.connect import connect
from cluster.config import JobProfile

with connect(JobProfile(kind="slurm", workers=2, memory_per_worker="500 MB", scheduler_host="127.0.0.1",
                        shared_directory=Path({str(tmp_path)!r}))) as cluster:
    cluster.wait_for_workers(2, timeout_s=300)
    print("ready", flush=True)
    time.sleep(300)
"""
    )
    driver = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert driver.stdout is not None
    assert driver.stdout.readline() == "ready\n"
    assert len(running_jobs(controller)) == 2
    driver.kill()
    driver.communicate()
    deadline = time.monotonic() + 60
    while running_jobs(controller):
        assert time.monotonic() < deadline, "workers without a driver are still there"
        time.sleep(0.5)


def test_one_allocation_holds_scheduler_driver_and_workers(controller: Controller, tmp_path: Path) -> None:
    script = tmp_path / "driver.py"
    script.write_text(
        f"""\
import sys
from pathlib import Path
from cluster.connect import connect
from cluster.submit import Task, run_tasks
from cluster.config import AllocationProfile
from tests.cluster import jobs

profile = AllocationProfile(kind="slurm-runner", shared_directory=Path({str(tmp_path)!r}), memory_per_worker="500 MB")
def main():
    with connect(profile) as cluster:
        cluster.wait_for_workers(2, timeout_s=300)
        receipts = []
        failures = []
        run_tasks(cluster, jobs.die_for_seven, [Task(str(n), n) for n in range(20)],
                  on_receipt=lambda task, receipt: receipts.append(receipt),
                  on_failure=lambda task, failure: failures.append(task.key))
        assert cluster.client.scheduler.address.startswith("tls://")
        print("RECEIPTS", sorted(receipts), "FAILURES", failures, flush=True)

if __name__ == "__main__":
    main()
"""
    )
    environment = f"PYTHONPATH={ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    answer = controller.command(
        "srun", "-n", "4", "--kill-on-bad-exit=0", "env", environment, sys.executable, str(script), timeout_s=600
    )
    assert f"RECEIPTS {[n for n in range(20) if n != 7]} FAILURES ['7']" in answer
    assert answer.count("RECEIPTS") == 1, "one of the four processes is the driver"
    assert list(tmp_path.glob("allocation-*")) == [], "the certificate is gone"
