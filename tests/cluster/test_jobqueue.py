from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import dask
import pytest

from cluster.config import ClusterSection, JobProfile
from cluster.connect import job_script
from cluster.errors import ClusterError
from cluster.job_script import import_dask_jobqueue
from cluster.walltime import lifetime, walltime_seconds

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("slurm", "pbs", "sge", "lsf")
#: Options of each queueing system for queue, account and time limit.
DIRECTIVES = {
    "slurm": ("#SBATCH -p long", "#SBATCH -A crystals", "#SBATCH -t 04:00:00"),
    "pbs": ("#PBS -q long", "#PBS -A crystals", "#PBS -l walltime=04:00:00"),
    "sge": ("#$ -q long", "#$ -P crystals", "#$ -l h_rt=04:00:00"),
    "lsf": ("#BSUB -q long", '#BSUB -P "crystals"', "#BSUB -W 04:00"),
}


def script(kind: str, folder: Path, **changes: Any) -> str:
    settings: dict[str, Any] = {
        "kind": kind,
        "queue": "long",
        "account": "crystals",
        "walltime": "04:00" if kind == "lsf" else "04:00:00",
        "cores_per_job": 4,
        "memory_per_worker": "2 GB",
        "shared_directory": folder,
        **changes,
    }
    text = job_script(JobProfile.model_validate(settings))
    assert text is not None
    return text


def worker_command(text: str) -> list[str]:
    return shlex.split(text.strip().splitlines()[-1])


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_script_says_what_the_profile_says(kind: str, tmp_path: Path) -> None:
    text = script(kind, tmp_path, directives=("--mark",), prologue=("module load python",))
    for directive in DIRECTIVES[kind]:
        assert directive in text
    assert "--mark" in text
    assert "\nmodule load python\n" in text
    command = worker_command(text)
    assert option(command, "--nthreads") == "1"
    assert option(command, "--nworkers") == "4"
    assert "--nanny" in command
    assert option(command, "--death-timeout") == "600"


@pytest.mark.parametrize("kind", KINDS)
def test_workers_leave_five_minutes_before_the_walltime_and_not_all_at_once(kind: str, tmp_path: Path) -> None:
    command = worker_command(script(kind, tmp_path))
    duration = int(option(command, "--lifetime").removesuffix("s"))
    stagger = int(option(command, "--lifetime-stagger").removesuffix("s"))
    assert duration + stagger <= 4 * 3600 - 300
    assert duration > 3.5 * 3600
    assert stagger > 0
    assert "--lifetime-restart" not in command, "a worker begun again would be killed by the walltime"


@pytest.mark.parametrize("kind", KINDS)
def test_no_library_starts_threads_and_nothing_is_spilled(kind: str, tmp_path: Path) -> None:
    text = script(kind, tmp_path)
    for line in ("OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1", "NUMBA_NUM_THREADS=1"):
        assert f"\nexport {line}\n" in text
    assert "\nexport DASK_DISTRIBUTED__WORKER__MEMORY__SPILL=False\n" in text


@pytest.mark.parametrize("kind", KINDS)
def test_the_script_names_the_certificate_and_holds_no_key(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "with a blank"
    text = script(kind, folder, log_directory=tmp_path / "logs")
    command = worker_command(text)
    assert option(command, "--protocol") == "tls", "with tls:// workers listen on 127.0.0.1 where there is no internet"
    assert option(command, "--tls-key") == str(folder / "tls-of-this-run" / "key.pem")
    assert "PRIVATE KEY" not in text
    assert list(tmp_path.rglob("*.pem")) == [], "writing the script makes no certificate"


def run_scratch_lines(text: str, **environment: str) -> tuple[Path, int, bool]:
    """Run the lines of a job script that make the scratch folder: its parent, its mode, whether it is removed."""
    lines = [line for line in text.splitlines() if "PXRD_SCRATCH" in line and "--local-directory" not in line]
    program = "\n".join([*lines, 'stat -c "%a" "$PXRD_SCRATCH"', 'echo "$PXRD_SCRATCH"'])
    environment = {"PATH": os.environ["PATH"], **environment}
    answer = subprocess.run(["bash", "-c", program], env=environment, capture_output=True, text=True, check=True)
    mode, folder = answer.stdout.splitlines()
    return Path(folder).parent, int(mode, 8), not Path(folder).exists()


@pytest.mark.parametrize("kind", KINDS)
def test_temporary_files_are_in_a_private_folder_on_the_node(kind: str, tmp_path: Path) -> None:
    text = script(kind, tmp_path)
    assert '--local-directory "$PXRD_SCRATCH"' in text.strip().splitlines()[-1]
    blank, disk = tmp_path / "a b", tmp_path / "7"
    blank.mkdir()
    disk.mkdir()
    assert run_scratch_lines(text) == (Path("/tmp"), 0o700, True)
    assert run_scratch_lines(text, TMPDIR=str(blank)) == (blank, 0o700, True)
    assert run_scratch_lines(text, TMPDIR=str(blank), SLURM_TMPDIR=str(disk)) == (disk, 0o700, True)


def test_a_job_without_scratch_ends_at_once(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        run_scratch_lines(script("slurm", tmp_path), TMPDIR=str(tmp_path / "missing"))


def test_a_bash_shell_accepts_the_script(tmp_path: Path) -> None:
    text = script("slurm", tmp_path / "it's here", log_directory=tmp_path)
    text = text.replace("<address of the scheduler>", "ADDRESS").replace("<name of the job>", "NAME")
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


def test_jobs_run_in_bash_also_where_the_queue_has_another_shell(tmp_path: Path) -> None:
    assert "\n#$ -S /bin/bash\n" in script("sge", tmp_path)
    assert "\n#PBS -S /bin/bash\n" in script("pbs", tmp_path)
    assert "/bin/bash" not in script("sge", tmp_path, directives=("-S /opt/bin/bash5",)).replace("/opt/bin/bash5", "")
    for kind in ("slurm", "lsf"):  # these follow the first line of the script
        assert script(kind, tmp_path).startswith("#!/usr/bin/env bash\n")


def test_workers_find_this_code_and_the_users_own_path(tmp_path: Path) -> None:
    lines = [line for line in script("slurm", tmp_path).splitlines() if line.startswith("export PYTHONPATH=")]
    assert len(lines) == 1

    def value(**environment: str) -> str:
        command = ["bash", "-c", f"{lines[0]}; echo $PYTHONPATH"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    assert value() == str(ROOT)
    assert value(PYTHONPATH="/mine") == f"{ROOT}:/mine"


class TestTheUsersJobqueueYaml:
    """What a person or a site has set for dask-jobqueue stays in force where our profile is silent."""

    def written(self, kind: str = "slurm", profile: dict[str, Any] | None = None, **settings: Any) -> str:
        with dask.config.set({f"jobqueue.{kind}.{key.replace('_', '-')}": value for key, value in settings.items()}):
            text = job_script(JobProfile.model_validate({"kind": kind, **(profile or {})}))
        assert text is not None
        return text

    @pytest.fixture(autouse=True)
    def _at_home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        # Its import adds its defaults to Dask's configuration; the user's settings override them.
        import_dask_jobqueue()

    def test_its_queue_account_and_walltime_are_used(self) -> None:
        text = self.written(queue="theirs", account="payer", walltime="02:00:00")
        assert "#SBATCH -p theirs" in text
        assert "#SBATCH -A payer" in text
        assert "#SBATCH -t 02:00:00" in text
        assert int(option(worker_command(text), "--lifetime").removesuffix("s")) < 7200 - 300, "lifetime follows it"

    def test_the_profile_decides_where_both_speak(self) -> None:
        text = self.written(profile={"queue": "ours"}, queue="theirs")
        assert "#SBATCH -p ours" in text
        assert "theirs" not in text

    def test_lists_are_joined(self) -> None:
        text = self.written(
            profile={"directives": ["--nice=10"], "prologue": ["echo ours"]},
            job_extra_directives=["--constraint=fast"],
            job_script_prologue=["echo theirs"],
            worker_extra_args=["--resources", "gpu=1"],
        )
        assert "#SBATCH --constraint=fast\n#SBATCH --nice=10\n" in text
        assert "echo theirs\necho ours\n" in text
        assert option(worker_command(text), "--resources") == "gpu=1"

    def test_a_lifetime_of_theirs_is_kept(self) -> None:
        command = worker_command(self.written(worker_extra_args=["--lifetime", "10m"]))
        assert command.count("--lifetime") == 1
        assert option(command, "--lifetime") == "10m"

    def test_cores_memory_scratch_and_patience_are_kept(self) -> None:
        text = self.written(cores=8, memory="32 GB", local_directory="/nvme", death_timeout=1234)
        command = worker_command(text)
        assert "#SBATCH --cpus-per-task=8" in text
        assert "#SBATCH --mem=30G" in text
        assert option(command, "--nworkers") == "8"
        assert "$(mktemp -d /nvme/pxrd-datagen-XXXXXXXX)" in text
        assert option(command, "--death-timeout") == "1234"


@pytest.mark.parametrize(
    ("text", "kind", "seconds"),
    [
        ("04:00:00", "slurm", 14400),
        ("04:00:00", "pbs", 14400),
        ("1-00:00:00", "slurm", 86400),
        ("1-12", "slurm", 129600),
        ("2-03:30", "slurm", 185400),
        ("90", "slurm", 5400),
        ("90", "lsf", 5400),
        ("90", "sge", 90),
        ("90", "pbs", 90),
        ("30:00", "slurm", 1800),
        ("04:00", "lsf", 14400),
    ],
)
def test_a_walltime_means_what_the_queueing_system_means(text: str, kind: str, seconds: int) -> None:
    assert walltime_seconds(text, kind) == seconds


@pytest.mark.parametrize("text", ["", "soon", "1:2:3:4", "-1"])
def test_a_malformed_walltime_is_an_error(text: str) -> None:
    with pytest.raises(ClusterError, match="expected a form such as"):
        walltime_seconds(text, "slurm")


@pytest.mark.parametrize("walltime_s", [60, 600, 1800, 3600, 14400, 86400, 604800])
def test_every_lifetime_ends_before_the_margin(walltime_s: int) -> None:
    duration, stagger = lifetime(walltime_s, 300)
    assert duration + stagger <= walltime_s - min(300, walltime_s / 4)
    assert duration - stagger >= walltime_s / 2, "most of the walltime is used"


def test_a_log_folder_that_no_script_can_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="log_directory"):
        script("slurm", tmp_path / "with a blank")


def test_importing_dask_jobqueue_our_way_leaves_ctrl_c_alone() -> None:
    code = (
        "import signal; from cluster.job_script import import_dask_jobqueue; import_dask_jobqueue(); "
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert signal.getsignal(signal.SIGINT) is not None


def test_kinds_without_jobs_have_no_script() -> None:
    assert job_script(ClusterSection().choose("local")) is None
