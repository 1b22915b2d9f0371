"""Jobs that end before their worker connects are submitted again a few times, then explained."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import dask
import pytest
from dask.utils import parse_timedelta

from cluster import attendance, jobqueue, queue_state
from cluster.attendance import StartWatch
from cluster.config import JobProfile
from cluster.connect import connect
from cluster.errors import ClusterError
from cluster.submit import Task, run_tasks
from cluster.task import Failure
from tests.cluster import jobs

#: Programs with the names of SLURM's that start jobs as processes of this machine.
SBATCH = """#!/bin/bash
cd "$(dirname "$0")/jobs"
number=1
until mkdir "$number" 2> /dev/null; do number=$((number + 1)); done
log=$(sed -n 's/^#SBATCH -e //p' "$1" | sed "s/%J/$number/")
cp "$1" "$number.sh"
setsid bash "$number.sh" > /dev/null 2> "$log" &
echo $! > "../running/$number"
echo "Submitted batch job $number"
"""
SQUEUE = """#!/bin/bash
cd "$(dirname "$0")/running"
for number in *; do [ -e "$number" ] && kill -0 $(cat $number) && echo "$number RUNNING None"; done 2> /dev/null
exit 0
"""
SCANCEL = """#!/bin/bash
kill -- -$(cat "$(dirname "$0")/running/$1") 2> /dev/null
"""


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of such programs, first on the path, and looks at them that do not last."""
    programs = tmp_path / "bin"
    for folder in ("jobs", "running"):
        (programs / folder).mkdir(parents=True)
    for name, text in (("sbatch", SBATCH), ("squeue", SQUEUE), ("scancel", SCANCEL)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(attendance, "_SHORTEST_LOOK_S", 0.1)
    monkeypatch.setattr(jobqueue, "_SUBMIT_AGAIN_S", 0.1)
    return programs


def profile(folder: Path, **changes: Any) -> JobProfile:
    settings = {"kind": "slurm", "workers": 3, "shared_directory": folder, "scheduler_host": "127.0.0.1", **changes}
    return JobProfile.model_validate({"memory_per_worker": "1 GB", **settings})


def run(chosen: JobProfile, count: int) -> list[int]:
    receipts: list[int] = []
    failures: list[Failure] = []
    with connect(chosen) as cluster:
        run_tasks(
            cluster,
            jobs.slowly,
            [Task(str(n), n) for n in range(count)],
            on_receipt=lambda task, receipt: receipts.append(receipt),
            on_failure=lambda task, failure: failures.append(failure),
            heartbeat_s=0.05,
        )
    assert failures == []
    return sorted(receipts)


def test_a_prologue_that_fails_ends_the_run_with_its_words(queue: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(ClusterError) as caught:
        run(profile(tmp_path, workers=1, prologue=("echo no module python/3.11 >&2", "exit 1")), 3)
    message = str(caught.value)
    assert message.startswith("cluster 'slurm': every job ended before a worker connected, 3 times, the last was job 3")
    assert message.endswith(f"end of {tmp_path / 'logs' / 'pxrd-datagen-3.err'}:\nno module python/3.11")
    assert len(list((queue / "jobs").glob("*.sh"))) == 3
    assert time.monotonic() - began < 600, "not cluster.worker_wait_s"


def test_a_start_that_fails_at_first_is_repeated(queue: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # The first two jobs find no file that the third one does.
    once = f"mkdir {tmp_path}/1 2> /dev/null && exit 1; mkdir {tmp_path}/2 2> /dev/null && exit 1"
    assert run(profile(tmp_path, workers=1, prologue=(once,), log_level="warning"), 5) == list(range(5))
    assert len(list((queue / "jobs").glob("*.sh"))) == 3
    said = [record.getMessage() for record in caplog.records if record.name == "cluster.jobqueue"]
    assert [line.partition(" ended")[0] for line in said] == ["cluster 'slurm': job 1", "cluster 'slurm': job 2"]
    assert "it left no output" in said[0]


def test_dask_leaves_lost_jobs_to_us(queue: Path, tmp_path: Path) -> None:
    # Its timer cancels whatever job has the name of a lost worker then: the replacement, if that waits in the queue.
    with connect(profile(tmp_path, workers=1, prologue=("exit 1",))) as cluster:
        assert parse_timedelta(dask.config.get("distributed.deploy.lost-worker-timeout")) > 365 * 86400
        assert cluster.worker_count() == 0
    assert len(list((queue / "jobs").glob("*.sh"))) == 1


def test_one_look_that_misses_a_job_is_no_verdict() -> None:
    watch = StartWatch()
    waiting = {"a": "1", "b": "2"}
    assert watch.find_ended(waiting, {"1"}) == {}, "2 may not be listed yet"
    assert watch.find_ended(waiting, None) == {}, "no answer"
    assert watch.find_ended(waiting, {"1", "2"}) == {}
    assert watch.find_ended(waiting, {"1"}) == {}
    assert watch.find_ended(waiting, {"1"}) == {"b": "2"}


def test_the_queueing_system_is_asked_less_often_while_jobs_wait_long() -> None:
    watch = StartWatch()
    assert watch.due(100.0, 0.0)
    assert not watch.due(104.9, 4.9)
    assert watch.due(105.0, 5.0)
    assert not watch.due(150.0, 500.0)
    assert watch.due(165.0, 7200.0)


@pytest.mark.parametrize(
    ("kind", "text", "alive"),
    [
        ("slurm", "12 PENDING Priority\n13 RUNNING None\n14_2 RUNNING None\n", {"12", "13", "14"}),
        (
            "pbs",
            (
                "\nserver:\n                                                            Req'd  Req'd   Elap\n"
                "Job ID          Username Queue    Jobname    SessID NDS TSK Memory Time  S Time\n"
                "--------------- -------- -------- ---------- ------ --- --- ------ ----- - -----\n"
                "1183.server     me       workq    pxrd-data*    --    1  64  128gb 06:00 Q   --\n"
                "1184.server     me       workq    pxrd-data*   9941   1  64  128gb 06:00 R 00:02\n"
                "1185.server     me       workq    pxrd-data*   9942   1  64  128gb 06:00 C 00:02\n"
            ),
            {"1183", "1184"},
        ),
        (
            "sge",
            (
                "job-ID  prior   name       user         state submit/start at     queue            slots ja-task-ID\n"
                "-----------------------------------------------------------------------------------------------\n"
                "      7 0.55500 pxrd-datag me           r     11/28/2026 02:30:00 all.q@node1          1\n"
                "      8 0.00000 pxrd-datag me           qw    11/28/2026 02:30:00                      1\n"
                "      9 0.55500 pxrd-datag me           Eqw   11/28/2026 02:30:00                      1\n"
            ),
            {"7", "8"},
        ),
        (
            "lsf",
            (
                "JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME\n"
                "701     me      RUN   normal     login       node1       worker     Nov 28 02:30\n"
                "702     me      EXIT  normal     login       node1       worker     Nov 28 02:30\n"
            ),
            {"701"},
        ),
    ],
)
def test_listings_of_every_kind_are_read(kind: str, text: str, alive: set[str]) -> None:
    assert queue_state.parse_alive(kind, text) == alive


def test_lsf_says_with_an_error_that_there_are_no_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bjobs"
    program.write_text("#!/bin/bash\necho No unfinished job found >&2; exit 255\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert queue_state.jobs_alive("lsf") == set()
    program.write_text("#!/bin/bash\necho Cannot connect to LSF >&2; exit 255\n")
    assert queue_state.jobs_alive("lsf") is None
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert queue_state.jobs_alive("slurm") is None


def test_the_log_shown_is_of_these_jobs(tmp_path: Path) -> None:
    (tmp_path / "pxrd-datagen-12.err").write_text("\n".join(map(str, range(20))))
    (tmp_path / "pxrd-datagen-12.out").touch()
    (tmp_path / "pxrd-datagen-112.err").write_text("of another job")
    (tmp_path / "pxrd-datagen.o13").write_text("merged")
    assert queue_state.end_of_logs(tmp_path, ["12"]).splitlines()[1:] == list(map(str, range(12, 20)))
    assert queue_state.end_of_logs(tmp_path, ["13"]) == f"end of {tmp_path / 'pxrd-datagen.o13'}:\nmerged"
    assert queue_state.end_of_logs(tmp_path, []) == ""
    assert queue_state.end_of_logs(tmp_path / "missing", ["12"]) == ""
