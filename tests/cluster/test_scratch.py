from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster import scratch
from cluster.errors import ClusterError

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/nvme0 /home/local\\040disk xfs rw 0 0
lustre@tcp:/big /big lustre rw 0 0
/dev/sdb /big ext4 rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/tmp/x", "ext4"),
        ("/home/me/x", "nfs4"),
        ("/homely/x", "ext4"),
        ("/home/local disk/x", "xfs"),
        ("/big/x", "ext4"),
    ],
)
def test_the_innermost_and_latest_mount_decides(path: str, kind: str) -> None:
    assert scratch.file_system(Path(path), MOUNTS) == kind


def test_a_shared_file_system_is_recognised(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(scratch, "file_system", lambda path: "nfs4")
    assert scratch.is_shared(tmp_path)
    monkeypatch.setattr(scratch, "file_system", lambda path: "ext4")
    assert not scratch.is_shared(tmp_path)


def test_the_jobs_own_folder_comes_first_unless_it_is_shared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in scratch.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name in ("job", "user"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "user"))
    assert scratch.scratch_directory() == tmp_path / "user"
    monkeypatch.setenv("SLURM_TMPDIR", str(tmp_path / "job"))
    assert scratch.scratch_directory() == tmp_path / "job"
    monkeypatch.setattr(scratch, "is_shared", lambda path: path == tmp_path / "job")
    assert scratch.scratch_directory() == tmp_path / "user"


def test_a_folder_that_does_not_exist_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in scratch.VARIABLES:
        monkeypatch.setenv(name, str(tmp_path / "missing"))
    assert scratch.scratch_directory().is_dir()


def test_temporary_files_on_a_shared_file_system_are_warned_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scratch.warn_if_shared(tmp_path)
    assert caplog.text == ""
    monkeypatch.setattr(scratch, "file_system", lambda path: "lustre")
    scratch.warn_if_shared(tmp_path)
    assert "on shared file system lustre; set cluster.local_directory" in caplog.text


def test_scratch_of_a_run_is_new_private_and_removed(tmp_path: Path) -> None:
    with scratch.private_scratch(tmp_path) as first, scratch.private_scratch(tmp_path) as second:
        assert first != second
        assert first.parent == tmp_path
        assert stat.S_IMODE(first.stat().st_mode) == 0o700
        (first / "file").touch()
    assert list(tmp_path.iterdir()) == []


def test_scratch_that_cannot_be_made_is_an_error_that_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ClusterError, match=r"cluster\.local_directory"), scratch.private_scratch(tmp_path / "file"):
        pass


RUN = """
import sys, time
from pathlib import Path
from cluster.scratch import private_scratch
with private_scratch(Path(sys.argv[1])) as folder:
    (folder / "spilled").write_text("x")
    print(folder, flush=True)
    time.sleep(300)
"""


@contextmanager
def other_run(parent: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that holds a scratch folder, and the folder."""
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", RUN, str(parent)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)}
    ) as process:
        assert process.stdout is not None
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def test_scratch_of_a_killed_run_is_removed_by_the_next_one(tmp_path: Path) -> None:
    with other_run(tmp_path) as (process, folder):
        with scratch.private_scratch(tmp_path):
            assert (folder / "spilled").exists(), "a living run's scratch must stay"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (folder / "spilled").exists()
        with scratch.private_scratch(tmp_path) as own:
            assert list(tmp_path.iterdir()) == [own]
    assert list(tmp_path.iterdir()) == []


def test_only_this_users_own_folders_of_dead_runs_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link, another mode, another user, no owner file, a linked owner file, another name, a shared file system."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    (outside / scratch.OWNER).touch()

    def folder(name: str, mode: int = 0o700, owner: bool = True) -> Path:
        made = tmp_path / name
        made.mkdir()
        made.chmod(mode)
        if owner:
            (made / scratch.OWNER).touch()
        return made

    folder(f"{scratch.PREFIX}mode", mode=0o777)
    folder(f"{scratch.PREFIX}young", owner=False)
    (folder(f"{scratch.PREFIX}linked", owner=False) / scratch.OWNER).symlink_to(outside / scratch.OWNER)
    folder("other-prefix-x")
    (tmp_path / f"{scratch.PREFIX}link").symlink_to(outside)
    (tmp_path / f"{scratch.PREFIX}file").touch()
    before = sorted(tmp_path.iterdir())
    assert scratch.remove_abandoned(tmp_path) == 0
    dead = folder(f"{scratch.PREFIX}dead")
    monkeypatch.setattr(scratch, "is_shared", lambda path: True)
    assert scratch.remove_abandoned(tmp_path) == 0
    monkeypatch.setattr(scratch, "is_shared", lambda path: False)
    with monkeypatch.context() as other_user:
        other_user.setattr(os, "geteuid", lambda: 12345)
        assert scratch.remove_abandoned(tmp_path) == 0
    assert dead.exists()
    assert scratch.remove_abandoned(tmp_path) == 1
    assert sorted(tmp_path.iterdir()) == before
    assert (outside / scratch.OWNER).exists()


def test_without_locks_a_scratch_folder_is_made_and_never_taken_for_abandoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    with monkeypatch.context() as no:
        no.setattr("fcntl.flock", no_locks)
        with scratch.private_scratch(tmp_path) as living:
            assert scratch.remove_abandoned(tmp_path) == 0
            no.undo()
            assert scratch.remove_abandoned(tmp_path) == 0
            assert living.exists()
    assert list(tmp_path.iterdir()) == []
