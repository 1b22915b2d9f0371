"""What a queueing system says about jobs: which ones it still has, and how their logs end."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

_ANSWER_S = 20
_ANSWER_CHARACTERS = 1000
_LOG_LINES = 8
_LOG_CHARACTERS = 2000


@dataclass(frozen=True)
class _Listing:
    """How a queueing system lists a person's jobs: one line each that begins with the number of the job."""

    command: tuple[str, ...]
    state_column: int
    #: States of a listed job that ended or will never start by itself.
    over: re.Pattern[str]
    #: What it says, with any exit code, when there are none.
    none: str = "\0"


_NEVER = re.compile(r"(?!)")
_LISTINGS = {
    "slurm": _Listing(("squeue", "--noheader", "--format=%i %T %r", "--user={user}"), 1, _NEVER),
    # Torque lists a finished job (C) for some minutes.
    "pbs": _Listing(("qstat", "-u", "{user}"), 9, re.compile("[CEFX]")),
    # E: the job could not be started, for example because its folder for logs is missing on the node.
    "sge": _Listing(("qstat", "-u", "{user}"), 4, re.compile(".*E.*")),
    "lsf": _Listing(("bjobs", "-w"), 2, re.compile("DONE|EXIT|ZOMBI"), "No unfinished job found"),
}


def listing(kind: str) -> list[str]:
    """Return the command that lists this person's jobs."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in containers
        user = str(os.getuid())
    return [word.format(user=user) for word in _LISTINGS[kind].command]


def jobs_alive(kind: str) -> set[str] | None:
    """Return the numbers of this person's jobs that wait or run; None if the queueing system does not answer."""
    try:
        answer = _ask(listing(kind))
    except (OSError, subprocess.TimeoutExpired):
        return None
    if _LISTINGS[kind].none in answer.stdout + answer.stderr:
        return set()
    return parse_alive(kind, answer.stdout) if answer.returncode == 0 else None


def parse_alive(kind: str, text: str) -> set[str]:
    """Return the numbers of the jobs in a listing, without those that are over."""
    how = _LISTINGS[kind]
    alive = set()
    for line in text.splitlines():
        number, fields = re.match(r"\s*(\d+)", line), line.split()
        if number and not (len(fields) > how.state_column and how.over.fullmatch(fields[how.state_column])):
            alive.add(number[1])
    return alive


def describe(kind: str) -> str:
    """Return the listing as a person would see it, for an error message."""
    command = listing(kind)
    try:
        answer = _ask(command)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"$ {shlex.join(command)}: {error}"
    said = (answer.stdout or answer.stderr).strip()[:_ANSWER_CHARACTERS]
    return f"$ {shlex.join(command)}\n{said or '(no jobs)'}"


def why_not_started(kind: str, job: str) -> str:
    """Return the queueing system's own reason why a job cannot start, where it gives one; else nothing."""
    if kind != "sge":
        return ""
    try:
        answer = _ask(["qstat", "-j", job])
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "\n".join(line for line in answer.stdout.splitlines() if line.startswith("error reason"))


def _ask(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_ANSWER_S, check=False)


def end_of_logs(folder: Path, jobs: Collection[str]) -> str:
    """Return the last lines of the newest output that one of these jobs wrote; empty if none wrote any."""
    number = re.compile(rf"(?<!\d)(?:{'|'.join(map(re.escape, jobs))})(?!\d)") if jobs else _NEVER
    logs = [path for path in _files(folder) if number.search(path.name) and path.stat().st_size]
    if not logs:
        return ""
    newest = max(logs, key=lambda path: path.stat().st_mtime)
    with newest.open("rb") as file:
        file.seek(max(newest.stat().st_size - 4 * _LOG_CHARACTERS, 0))
        lines = file.read().decode(errors="replace").splitlines()[-_LOG_LINES:]
    return f"end of {newest}:\n" + "\n".join(lines)[-_LOG_CHARACTERS:]


def _files(folder: Path) -> Sequence[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_file()]
    except OSError:
        return []
