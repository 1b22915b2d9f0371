from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import dask
import pytest
from distributed import LocalCluster

from cluster.certificates import CERTIFICATE, KEY, security_from_files, write_certificate
from cluster.config import AddressProfile, LocalProfile
from cluster.connect import Cluster, connect
from cluster.errors import ClusterError
from cluster.launch import find_rank
from cluster.submit import Task, run_tasks
from tests.cluster import jobs

ROOT = Path(__file__).resolve().parents[2]


def test_a_scheduler_started_elsewhere_is_used_with_its_certificate(tmp_path: Path) -> None:
    folder = write_certificate(tmp_path)
    security = security_from_files(folder / CERTIFICATE, folder / KEY)
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "250s"}),  # on a busy machine a restart takes long
        LocalCluster(n_workers=1, threads_per_worker=1, security=security, dashboard_address="127.0.0.1:0") as theirs,
    ):
        profile = AddressProfile(
            kind="address",
            address=theirs.scheduler_address,
            tls_certificate=folder / CERTIFICATE,
            tls_key=folder / KEY,
        )
        receipts = []
        failures = []
        with connect(profile) as cluster:
            run_tasks(
                cluster,
                jobs.die_for_seven,
                [Task(str(n), n) for n in range(5, 10)],
                on_receipt=lambda task, receipt: receipts.append(receipt),
                on_failure=lambda task, failure: failures.append((task.key, failure.attempts)),
            )
        assert sorted(receipts) == [5, 6, 8, 9]
        # Its own setting, three failures allowed, is respected: four deaths reach us as one message, for the next task
        # of the worker too. Each of the two then runs alone.
        ((key, deaths),) = failures
        assert (key, deaths % 4) == ("7", 0)
        assert deaths > 0

        other = write_certificate(tmp_path)
        stranger = profile.model_copy(update={"tls_certificate": other / CERTIFICATE, "tls_key": other / KEY})
        with pytest.raises(ClusterError, match="cannot be reached"), connect(stranger):
            pass


@pytest.mark.parametrize(
    ("kind", "environment", "rank", "size"),
    [
        ("slurm-runner", {"SLURM_PROCID": "1", "SLURM_NTASKS": "8"}, 1, 8),
        ("mpi", {"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "4"}, 2, 4),
        ("mpi", {"PMI_RANK": "0", "PMI_SIZE": "3"}, 0, 3),
        ("mpi", {"SLURM_PROCID": "5", "SLURM_NTASKS": "9"}, 5, 9),
    ],
)
def test_every_launcher_tells_rank_and_size(kind: str, environment: dict[str, str], rank: int, size: int) -> None:
    place = find_rank(kind, environment)
    assert (place.rank, place.size) == (rank, size)


def test_two_launches_in_one_job_meet_in_different_places() -> None:
    first = {"SLURM_PROCID": "1", "SLURM_NTASKS": "8", "SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"}
    second = {**first, "SLURM_STEP_ID": "1"}
    assert find_rank("slurm-runner", first).launch != find_rank("slurm-runner", second).launch
    again = {**first, "SLURM_RESTART_COUNT": "1"}  # SLURM starts a job of a dead node again under its number
    assert find_rank("slurm-runner", first).launch != find_rank("slurm-runner", again).launch


def test_nodes_of_one_launch_meet_although_they_see_different_jobs() -> None:
    # Open MPI within SLURM: it starts processes of the first node itself and those of other nodes by srun.
    launch = {"OMPI_COMM_WORLD_SIZE": "8", "PMIX_NAMESPACE": "1557594113", "SLURM_JOB_ID": "7"}
    first = {**launch, "OMPI_COMM_WORLD_RANK": "0"}
    other = {**launch, "OMPI_COMM_WORLD_RANK": "7", "SLURM_STEP_ID": "0"}
    assert find_rank("mpi", first).launch == find_rank("mpi", other).launch
    assert find_rank("mpi", first).launch != find_rank("mpi", {**first, "PMIX_NAMESPACE": "1557594114"}).launch


def answer_as_mpich(end: socket.socket, name: str) -> None:
    """Answer on one end of a socket as MPICH's launcher does."""
    with end, end.makefile("r") as lines:
        for line in lines:
            said = {
                "cmd=init pmi_version=1 pmi_subversion=1": "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0",
                "cmd=get_my_kvsname": f"cmd=my_kvsname kvsname={name}",
                "cmd=finalize": "cmd=finalize_ack",
            }[line.strip()]
            end.sendall(f"{said}\n".encode())


def test_two_launches_by_mpich_meet_in_different_places() -> None:
    launches = []
    for name in ("kvs_71_0_1_host", "kvs_71_0_1_host", "kvs_72_0_1_host"):
        ours, theirs = socket.socketpair()
        thread = threading.Thread(target=answer_as_mpich, args=(theirs, name))
        thread.start()
        with ours:
            variables = {"PMI_RANK": "1", "PMI_SIZE": "4", "PMI_FD": str(ours.fileno())}
            launches.append(find_rank("mpi", variables).launch)
        thread.join(10)
    assert launches[0] == launches[1] != launches[2]


def test_a_launcher_that_has_gone_names_no_launch() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        variables = {"PMI_RANK": "1", "PMI_SIZE": "4", "PMI_FD": str(ours.fileno())}
        assert find_rank("mpi", variables).rank == 1


@pytest.mark.parametrize(
    ("environment", "message"),
    [({}, "expected a start by mpirun"), ({"PMI_RANK": "0", "PMI_SIZE": "2"}, "at least 3 processes")],
)
def test_a_launch_that_cannot_work_is_refused(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ClusterError, match=message):
        find_rank("mpi", environment)


DRIVER = """
import os, sys
from pathlib import Path
from cluster import allocation
from cluster.connect import connect
from cluster.submit import Task, run_tasks
from cluster.config import AllocationProfile
from tests.cluster import jobs

allocation._DRIVER_AWAY_S = allocation._ABSENT_S = 1

def main():
    profile = AllocationProfile(kind="mpi", shared_directory=Path(sys.argv[1]), worker_wait_s=60)
    with connect(profile) as cluster:
        receipts = []
        run_tasks(cluster, jobs.square, [Task(str(n), n) for n in range(20)],
                  on_receipt=lambda task, receipt: receipts.append(receipt),
                  on_failure=lambda task, failure: sys.exit(failure.error))
        print("RECEIPTS", sum(receipts), cluster.client.scheduler.address[:6], flush=True)
        if sys.argv[2] == "crash":
            os._exit(7)

if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize(("end", "code"), [("orderly", 0), ("crash", 7)])
def test_processes_of_an_mpi_launch_share_the_parts_and_end_together(tmp_path: Path, end: str, code: int) -> None:
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(tmp_path / "meeting place"), end],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PMI_RANK": str(rank), "PMI_SIZE": "3"},
        )
        for rank in range(3)
    ]
    answers = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, code, 0], answers
    assert [output.strip() for output, _ in answers] == ["", "RECEIPTS 2470 tls://", ""]
    assert list((tmp_path / "meeting place").iterdir()) == []


def test_every_worker_is_prepared_before_its_next_task(two_workers: Cluster, tmp_path: Path) -> None:
    two_workers.prepare(jobs.be_prepared, str(tmp_path))
    seen = []
    run_tasks(
        two_workers,
        jobs.process_of,
        [Task(str(n), n) for n in range(8)],
        on_receipt=lambda task, receipt: seen.append(receipt),
        on_failure=lambda task, failure: pytest.fail(failure.error),
    )
    assert {int(path.name) for path in tmp_path.iterdir()} >= set(seen)


@pytest.mark.parametrize("preparation", [jobs.refuse_odd, jobs.die_for_seven])
def test_a_preparation_that_fails_costs_no_task(preparation: Callable[[int], object]) -> None:
    seen = []
    with connect(LocalProfile(workers=2, worker_wait_s=60)) as cluster:
        cluster.prepare(preparation, 7)  # type: ignore[arg-type]
        run_tasks(
            cluster,
            jobs.slowly,
            [Task(str(n), n) for n in range(8)],
            on_receipt=lambda task, receipt: seen.append(receipt),
            on_failure=lambda task, failure: pytest.fail(failure.error),
        )
    assert sorted(seen) == list(range(8))
