"""Private scratch folders on a disk of the node's own.

Workers keep temporary files there. On a shared file system thousands of small files are slow for everyone and locks
hang. The folder is new for each run and only its owner may enter it (mode 0700): Dask itself would use a folder
`dask-scratch-space` of a temporary directory that another user may have prepared. A run that was killed cannot remove
its folder: the next one on this machine does.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.errors import ClusterError

log = logging.getLogger(__name__)

#: Set by sites and queueing systems to a folder of the job on the node's own disk, best first.
VARIABLES = ("SLURM_TMPDIR", "PBS_JOBFS", "TMPDIR", "TMP", "TEMP")
PREFIX = "pxrd-datagen-"
#: A file in the folder, locked as long as its run lives: the kernel releases the lock of a process that is killed.
OWNER = ".owner"

#: The same choice, made by the shell of a job script on the node where it runs.
_SHELL_PARENT = '"${SLURM_TMPDIR:-${PBS_JOBFS:-${TMPDIR:-/tmp}}}"'
SHELL_VARIABLE = "PXRD_SCRATCH"
SHELL_EXPRESSION = f'"${SHELL_VARIABLE}"'

#: File systems that other machines see too (names as in /proc/mounts).
# fmt: off
SHARED_FILE_SYSTEMS = frozenset({
    "nfs", "nfs4", "lustre", "gpfs", "mmfs", "beegfs", "fhgfs_nodev", "cifs", "smb3", "smbfs", "ceph",
    "glusterfs", "fuse.glusterfs", "fuse.sshfs", "fuse.ceph", "fuse.juicefs", "orangefs", "pvfs2", "panfs",
    "afs", "9p", "wekafs",
})
# fmt: on


@contextmanager
def private_scratch(parent: Path | None) -> Iterator[Path]:
    """Make a new folder of mode 0700 under `parent`, by default on this machine's own disk; remove it at the end.

    Folders of this user's runs that were killed are removed first.
    """
    parent = parent or scratch_directory()
    warn_if_shared(parent)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(parent)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        owner = _own(folder)
    except OSError as error:
        raise ClusterError(
            f"no folder for temporary files of workers could be made in {parent}: {error.strerror}; "
            "set cluster.local_directory to a folder of yours on this machine's own disk"
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if owner is not None:
            os.close(owner)


def remove_abandoned(parent: Path) -> int:
    """Remove scratch folders under `parent` whose run was killed; return how many.

    Only real folders of this user with mode 0700, whose lock file no process holds. On file systems that other machines
    see too nothing is removed: a lock held there may be invisible here.
    """
    if is_shared(parent):
        return 0
    removed = 0
    for folder in parent.glob(f"{PREFIX}*"):
        owner = _lock_of_abandoned(folder)
        if owner is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(owner)
            removed += 1
    if removed:
        log.info("removed %d scratch folders of killed runs in %s", removed, parent)
    return removed


def _own(folder: Path) -> int | None:
    """Lock a new folder's owner file; return its descriptor, or None where the file system has no locks."""
    new = folder / f"{OWNER}.new"
    descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    new.rename(folder / OWNER)  # only now, so that no unlocked owner file of a living run is ever seen
    return descriptor


def _lock_of_abandoned(folder: Path) -> int | None:
    """Return the descriptor of the owner file, locked, if the run of this folder is dead."""
    try:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or stat.S_IMODE(found.st_mode) != 0o700 or found.st_uid != os.geteuid():
            return None
        descriptor = os.open(folder / OWNER, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def shell_lines(parent: str | None) -> list[str]:
    """Return lines of a job script that make such a folder on the node and remove it when the job ends.

    `parent` is already quoted for the shell.
    """
    return [
        f"{SHELL_VARIABLE}=$(mktemp -d {parent or _SHELL_PARENT}/{PREFIX}XXXXXXXX) || exit 1",
        f"trap 'rm -rf {SHELL_EXPRESSION}' EXIT",
    ]


def scratch_directory() -> Path:
    """Return a writable folder on this machine's own disk if the environment names one, else the system's default."""
    for name in VARIABLES:
        value = os.environ.get(name)
        if value and Path(value).is_dir() and os.access(value, os.W_OK) and not is_shared(Path(value)):
            return Path(value)
    return Path(tempfile.gettempdir())


def warn_if_shared(path: Path) -> None:
    """Log a warning if temporary files would be on a file system that other machines use too."""
    if is_shared(path):
        log.warning(
            "temporary files are in %s, on shared file system %s; set cluster.local_directory to a disk of the node",
            path,
            file_system(path),
        )


def is_shared(path: Path) -> bool:
    """Return whether `path` (or its nearest existing parent) is on a file system that other machines see too."""
    return file_system(path) in SHARED_FILE_SYSTEMS


def file_system(path: Path, mounts: str | None = None) -> str:
    """Return the kind of file system of `path`, as in /proc/mounts; empty where it cannot be known."""
    if mounts is None:
        try:
            mounts = Path("/proc/mounts").read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return ""
    resolved = path.resolve()
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        # Blanks and backslashes are written in octal: proc(5), fstab(5).
        point = Path(fields[1].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
        # Of two mounts on one point the later one is on top.
        if resolved.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), fields[2]
    return kind
