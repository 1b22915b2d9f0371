"""Where is fast storage of this machine's own, and is a folder really on it?

Workers keep their temporary files there: on a shared file system thousands of small ones slow everybody down, and locks
on them hang.
"""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

log = logging.getLogger(__name__)

#: Set by sites and queueing systems to a folder of the job on the node's own disk, best first.
VARIABLES = ("SLURM_TMPDIR", "PBS_JOBFS", "TMPDIR", "TMP", "TEMP")

#: The same choice, made by the shell of a job script on the node where it runs.
SHELL_EXPRESSION = '"${SLURM_TMPDIR:-${PBS_JOBFS:-${TMPDIR:-/tmp}}}"'

#: File systems that other machines see too (names as in /proc/mounts).
SHARED_FILE_SYSTEMS = frozenset(
    {
        *(
            "nfs",
            "nfs4",
            "lustre",
            "gpfs",
            "mmfs",
            "beegfs",
            "fhgfs_nodev",
            "cifs",
            "smb3",
            "smbfs",
            "ceph",
            "glusterfs",
        ),
        *("fuse.glusterfs", "fuse.sshfs", "fuse.ceph", "fuse.juicefs", "orangefs", "pvfs2", "panfs", "afs", "9p"),
        "wekafs",
    }
)


def scratch_directory() -> Path:
    """A writable folder on this machine's own storage if the environment names one, else the system's temporary one."""
    for name in VARIABLES:
        value = os.environ.get(name)
        if value and Path(value).is_dir() and os.access(value, os.W_OK) and not is_shared(Path(value)):
            return Path(value)
    return Path(tempfile.gettempdir())


def warn_if_shared(path: Path) -> None:
    """Say so when temporary files would go to a file system that other machines use too."""
    if is_shared(path):
        log.warning(
            "temporary files go to %s, on the shared file system %s; set cluster.local_directory to a disk of the node",
            path,
            file_system(path),
        )


def is_shared(path: Path) -> bool:
    """Whether `path` (or its nearest existing parent) lies on a file system that other machines see too."""
    return file_system(path) in SHARED_FILE_SYSTEMS


def file_system(path: Path, mounts: str | None = None) -> str:
    """The kind of file system under `path`, as in /proc/mounts; empty where that cannot be known."""
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
