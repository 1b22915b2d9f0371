from __future__ import annotations

import stat
from pathlib import Path

import pytest

from cluster import ClusterError, scratch

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
