"""Fuzzing of datasets from elsewhere: every command that reads one, on seeded damage.

    python -m tests.stress.fuzz DATASET --seconds 3600 [--first 0] [--only SEED]

Each case runs in a forked process. It must end within TIME_LIMIT_s with results or with an error of this project, use
less than MEMORY_LIMIT_bytes, print or copy no content of files outside the dataset, and change none of them.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.stress.mutate import TOKEN, mutate

TIME_LIMIT_s, WAITING_LIMIT_s = 120, 1800
MEMORY_LIMIT_bytes = 1 << 30
"""Beyond what the imported modules take."""
ADDRESS_SPACE_bytes = 12 << 30
"""Keeps a runaway case from taking the machine."""


def commands(dataset: Path, good: Path, out: Path) -> dict[str, Callable[[], object]]:
    """Return everything that is asked of a dataset from elsewhere."""
    import datagen
    from datagen.identification.index_build import build_index
    from datagen.share.registry import resolve_dataset
    from datagen.store.damaged import MALFORMED
    from trainer.data.store import open_dataset

    def cli(*arguments: object) -> Callable[[], object]:
        return lambda: _command([str(a) for a in arguments])

    def opened() -> None:
        found = datagen.open_dataset(dataset)
        found["formula"].to_numpy()
        repr(found)
        # Values are read by xarray when they are used: damage is then an error of zarr (docs/store-format.md).
        with contextlib.suppress(*MALFORMED):
            for name in ("space_group", "split"):
                found[name].to_numpy()
            found["pattern"].isel(structure=slice(0, 2)).to_numpy()

    def trained() -> None:
        source = open_dataset(str(dataset))
        for row in source.rows()[:3].tolist():
            source.pattern(row)
            source.sticks(row)
            source.xrd_peaks(row)
        for row in source.rows(with_density=True)[:1].tolist():
            source.density(row)

    return {
        "verify": cli("verify", dataset),
        "verify deep": cli("verify", dataset, "--deep"),
        "inspect": cli("inspect", dataset),
        "status": cli("status", dataset),
        "replay": cli("replay", dataset, "quartz.cif", "--augmentation", 1),
        "explain": cli("explain", "quartz.cif", "--dataset", dataset),
        "subset": cli("subset", dataset, "--where", "n_atoms <= 8", "--out", out / "subset.zarr"),
        "merge": cli("merge", good, dataset, "--out", out / "merge.zarr"),
        "diff": cli("diff", good, dataset),
        "audit": cli("audit", good, dataset),
        "card": cli("card", dataset),
        "publish": cli("publish", dataset, out / "published.zarr.zip", "--yes"),
        "open": opened,
        "train": trained,
        "index": lambda: build_index(resolve_dataset(str(dataset)), out / "index", workers=1),
    }


def _command(arguments: list[str]) -> None:
    """Run a command as `datagen` does, errors of the project as exit codes."""
    from datagen.commands.app import app
    from datagen.commands.terminal import show_error
    from datagen.errors import DatagenError

    try:
        app(arguments, standalone_mode=False)
    except DatagenError as error:
        show_error(error, expected=True)


def run_case(seed: int, dataset: Path, work: Path) -> dict[str, Any]:
    """Damage a copy of the dataset, run everything on it, and return what went wrong."""
    from datagen.errors import DatagenError
    from trainer.errors import TrainerError

    victim, canary, out = work / "in" / "d.zarr", work / "canary", work / "out"
    for folder in (victim.parent, canary, out):
        folder.mkdir(parents=True)
    shutil.copytree(dataset, victim)
    (canary / "secret.txt").write_text(TOKEN * 100)
    before = _listing(canary)
    done = mutate(seed, victim, canary)
    damaged = _listing(victim)
    found: dict[str, Any] = {"seed": seed, "mutations": done, "failures": []}
    printed = io.StringIO()
    for name, command in commands(victim, dataset, out).items():
        began, before_kB = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        shown = io.StringIO()
        try:
            with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
                command()
        except (DatagenError, TrainerError, SystemExit) as error:
            shown.write(str(error))
        except BaseException as error:  # noqa: BLE001 - the finding
            if type(error).__name__ != "Exit":
                found["failures"].append([name, "traceback", _shortened(traceback.format_exc())])
        text = shown.getvalue()
        printed.write(text)
        if "\x1b]0;" in text or "\x1b[31m\x1b" in text:
            found["failures"].append([name, "escape sequence printed", text[:300]])
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kB) * 1024
        if grown > MEMORY_LIMIT_bytes:
            found["failures"].append([name, "memory", f"{grown / 1e9:.2f} GB"])
        # By the processor's clock, which a busy machine does not change; the alarm ends what hangs.
        if time.process_time() - began > TIME_LIMIT_s / 4:
            found["failures"].append([name, "slow", f"{time.process_time() - began:.0f} s"])
        if _listing(victim) != damaged and not found["failures"]:
            found["failures"].append([name, "the dataset was changed", ""])
        found["last"] = name
    if TOKEN in printed.getvalue():
        found["failures"].append(["all", "content of a file outside was printed", ""])
    copied = [p for p in out.rglob("*") if p.is_file() and TOKEN.encode() in p.read_bytes()]
    if copied:
        found["failures"].append(["all", "content of a file outside was copied", str(copied[0].relative_to(out))])
    if _listing(canary) != before or {p.name for p in work.iterdir()} != {"canary", "in", "out"}:
        found["failures"].append(["all", "a file outside was changed", ""])
    return found


def _shortened(text: str) -> str:
    return text if len(text) <= 4000 else f"{text[:2500]} [...] {text[-1500:]}"


def _listing(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (s.st_size, s.st_mtime_ns) for p in sorted(folder.rglob("*")) for s in [p.lstat()]}


def forked_case(seed: int, dataset: Path) -> dict[str, Any]:
    """Run a case in a child process, within limits of time and address space."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        receiving, sending = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(receiving)
            os.environ["HOME"] = folder
            resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_bytes, ADDRESS_SPACE_bytes))
            # What computes for ever is ended by the processor's clock; the other one ends what waits for ever, and
            # leaves time for a case that other programs on the machine hold up.
            resource.setrlimit(resource.RLIMIT_CPU, (TIME_LIMIT_s, TIME_LIMIT_s + 10))
            signal.alarm(WAITING_LIMIT_s)
            try:
                found = run_case(seed, dataset, Path(folder) / "work")
            except BaseException:  # noqa: BLE001 - the harness itself failed
                found = {"seed": seed, "mutations": [], "failures": [["harness", "traceback", traceback.format_exc()]]}
            with os.fdopen(sending, "w") as pipe:
                json.dump(found, pipe)
            os._exit(0)
        os.close(sending)
        with os.fdopen(receiving) as pipe:
            text = pipe.read()
        _, status = os.waitpid(pid, 0)
        if not text:
            reason = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"status {status}"
            return {"seed": seed, "mutations": [], "failures": [["?", f"ended by {reason}", ""]]}
        found = json.loads(text)
        return dict(found)


def fuzz(dataset: Path, seconds: float, first: int = 0, report: Callable[[str], None] = print) -> dict[str, Any]:
    """Run cases until the time is over; return counts and findings."""
    import trainer.data.store  # noqa: F401 - imported once, before the forks

    end, seed, findings = time.monotonic() + seconds, first, []
    while time.monotonic() < end:
        found = forked_case(seed, dataset)
        if found["failures"]:
            findings.append(found)
            report(f"seed {seed}: {found['mutations']}")
            for failure in found["failures"]:
                report("  " + " | ".join(failure))
        seed += 1
    return {"cases": seed - first, "findings": findings}


def main() -> None:
    """Fuzz a dataset from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--only", type=int, help="repeat one seed")
    given = parser.parse_args()
    if given.only is not None:
        print(json.dumps(forked_case(given.only, given.dataset), indent=1))
        return
    found = fuzz(given.dataset, given.seconds, given.first)
    print(json.dumps({"cases": found["cases"], "findings": len(found["findings"])}))
    sys.exit(1 if found["findings"] else 0)


if __name__ == "__main__":
    main()
