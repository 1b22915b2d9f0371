from __future__ import annotations

import gc
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from distributed import Client

from cluster.config import ClusterSection, LocalProfile
from cluster.connect import Cluster, connect
from cluster.dask_config import SINGLE_THREADED
from cluster.errors import ClusterError
from cluster.submit import Task, run_tasks
from tests.cluster import jobs

ROOT = Path(__file__).resolve().parents[2]


def listening_ports(processes: list[psutil.Process]) -> set[tuple[str, int]]:
    return {
        (connection.laddr.ip, connection.laddr.port)
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


def test_a_client_without_the_certificate_is_refused_by_scheduler_and_workers(two_workers: Cluster) -> None:
    workers = list(two_workers.client.nthreads())
    for address in (two_workers.client.scheduler.address, *workers):
        assert address.startswith("tls://127.0.0.1:")
        with pytest.raises((OSError, TimeoutError)):
            Client(address.replace("tls://", "tcp://"), timeout=2)


def test_nothing_listens_beyond_this_machine(two_workers: Cluster) -> None:
    me = psutil.Process()
    ports = listening_ports([me, *me.children(recursive=True)])
    assert len(ports) >= 3
    assert {host for host, _ in ports} == {"127.0.0.1"}


def test_the_dashboard_answers_on_this_machine(two_workers: Cluster) -> None:
    assert two_workers.dashboard_link is not None
    assert two_workers.dashboard_link.startswith("http://127.0.0.1:")


def test_libraries_in_a_worker_start_no_threads_of_their_own(two_workers: Cluster) -> None:
    seen = []
    run_tasks(
        two_workers,
        jobs.environment,
        [Task("a", tuple(SINGLE_THREADED))],
        on_receipt=lambda task, receipt: seen.append(receipt),
        on_failure=lambda task, failure: pytest.fail(failure.error),
    )
    assert seen == [SINGLE_THREADED]


def test_tasks_may_start_processes_of_their_own(two_workers: Cluster) -> None:
    seen = []
    run_tasks(
        two_workers,
        jobs.ask_a_child,
        [Task("a", 20)],
        on_receipt=lambda task, receipt: seen.append(receipt),
        on_failure=lambda task, failure: pytest.fail(failure.error),
    )
    assert seen == [400]


def test_a_program_that_a_task_starts_can_be_terminated(two_workers: Cluster) -> None:
    seen = []
    run_tasks(
        two_workers,
        jobs.terminate_a_child,
        [Task("a", 60)],
        on_receipt=lambda task, receipt: seen.append(receipt),
        on_failure=lambda task, failure: pytest.fail(failure.error),
    )
    assert seen == [-signal.SIGTERM]


def test_encryption_can_be_switched_off_by_name() -> None:
    with connect(LocalProfile(workers=1, encryption="off")) as cluster:
        assert cluster.client.scheduler.address.startswith("tcp://127.0.0.1:")


def test_a_worker_that_stays_away_is_replaced() -> None:
    with connect(LocalProfile(workers=2)) as cluster:
        cluster.wait_for_workers(2, timeout_s=60)
        dask_cluster = cluster.client.cluster

        async def lose_one() -> None:
            name, nanny = next(iter(dask_cluster.workers.items()))
            await nanny.close()
            dask_cluster.workers.pop(name, None)

        dask_cluster.sync(lose_one)
        assert cluster.worker_count() == 1
        cluster.tend()
        cluster.wait_for_workers(2, timeout_s=60)


DRIVER = """
import sys
from cluster import job_script
from cluster.connect import connect
from cluster.submit import Task, run_tasks
from cluster.config import LocalProfile
from tests.cluster import jobs

def main():
    with connect(LocalProfile(workers=2)) as cluster:
        cluster.wait_for_workers(2, timeout_s=60)
        print(*[nanny.process.pid for nanny in cluster.client.cluster.workers.values()], flush=True)
        run_tasks(cluster, jobs.slowly, (Task(str(n), n) for n in range(10_000)),
                  on_receipt=lambda task, receipt: None, on_failure=lambda task, failure: None)

if __name__ == "__main__":
    # dask-jobqueue changes what Ctrl-C does when it is imported, unless it is imported our way.
    job_script.import_dask_jobqueue()
    main()
"""


@pytest.fixture
def driver(tmp_path: Path) -> subprocess.Popen[str]:
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    return subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


def gone(pids: list[int], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def test_workers_end_when_the_driver_is_killed(driver: subprocess.Popen[str]) -> None:
    assert driver.stdout is not None
    pids = [int(word) for word in driver.stdout.readline().split()]
    assert len(pids) == 2
    driver.kill()
    driver.communicate(timeout=30)
    assert gone(pids, within_s=30)


def test_an_interrupt_from_the_terminal_ends_the_run_as_python_says(driver: subprocess.Popen[str]) -> None:
    assert driver.stdout is not None
    pids = [int(word) for word in driver.stdout.readline().split()]
    time.sleep(0.5)
    # A terminal sends it to every process of the group, workers too.
    os.killpg(driver.pid, signal.SIGINT)
    _, errors = driver.communicate(timeout=90)
    assert "KeyboardInterrupt" in errors
    assert driver.returncode != 0
    assert gone(pids, within_s=30)


def test_workers_use_no_folder_that_another_user_prepared(tmp_path: Path) -> None:
    prepared = tmp_path / "dask-scratch-space"
    prepared.mkdir(mode=0o777)
    prepared.chmod(0o777)
    with connect(LocalProfile(workers=1, local_directory=tmp_path)) as cluster:
        cluster.wait_for_workers(1, timeout_s=60)
        (folder,) = (Path(where) for where in cluster.client.run(jobs.local_directory).values())
        assert list(prepared.iterdir()) == []
        private = folder.relative_to(tmp_path).parts[0]
        assert stat.S_IMODE((tmp_path / private).stat().st_mode) == 0o700
    assert list(tmp_path.iterdir()) == [prepared]


def test_workers_that_cannot_start_are_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    profile = LocalProfile(workers=1, local_directory=tmp_path / "file" / "below")
    with pytest.raises(ClusterError, match="no folder for temporary files of workers could be made"), connect(profile):
        pass


def test_inline_needs_no_workers() -> None:
    with connect(ClusterSection().choose("inline")) as cluster:
        receipts: list[object] = []
        run_tasks(
            cluster,
            jobs.process_of,
            [Task("a", 1)],
            on_receipt=lambda task, receipt: receipts.append(receipt),
            on_failure=lambda task, failure: pytest.fail(failure.error),
        )
        assert receipts == [os.getpid()]
        assert cluster.worker_count() == 1
        assert cluster.dashboard_link is None


def test_no_callback_of_dask_can_swallow_an_interrupt() -> None:
    for _ in range(2):
        with connect(LocalProfile(workers=1)):
            assert not [callback for callback in gc.callbacks if "distributed" in repr(callback)]
