"""The log file of a run, `.run/run.log` beside the dataset: lines with time and level, appended by every resume."""

from __future__ import annotations

import datetime as dt
import logging
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from datagen import __version__
from datagen.errors import expected_errors, is_interrupt

LOG = "run.log"
MAX_BYTES = 4_000_000
"""Beyond this the log is renamed to `run.log.1`, replacing an older one: both together stay below twice this size."""
PACKAGES = ("catalogs", "curation", "cluster", "datagen")
FOREIGN = "distributed"
"""Dask's own logger: its warnings explain lost workers."""

log = logging.getLogger(__name__)


class _Handler(RotatingFileHandler):
    """A rotating log file; a disk that takes no more costs the log, not the run."""

    failed = False

    def _open(self) -> TextIOWrapper:
        """Open for appending, never through a symbolic link."""
        return open(self.baseFilename, "a", encoding="utf-8", opener=_no_link)

    def handleError(self, record: logging.LogRecord) -> None:
        """Report the first failure on standard error."""
        del record
        if not self.failed:
            self.failed = True
            print(f"datagen: cannot write {self.baseFilename}: {sys.exception()}; the run continues", file=sys.stderr)


class _Forward(logging.Handler):
    """Dask's warnings for the log: Dask raises the level of every stream that it finds at its own logger."""

    def __init__(self, target: logging.Handler) -> None:
        super().__init__(logging.WARNING)
        self.target = target

    def emit(self, record: logging.LogRecord) -> None:
        """Write one message."""
        self.target.handle(record)


@contextmanager
def run_log(folder: Path) -> Iterator[Path]:
    """Log to `folder/run.log` what this process does; errors leave their message, unexpected ones a traceback."""
    path = folder / LOG
    folder.mkdir(parents=True, exist_ok=True)
    handler = _Handler(path, maxBytes=MAX_BYTES, backupCount=1, encoding="utf-8", delay=True)
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    before = _attach(handler)
    try:
        log.info("datagen %s, Python %s, process %d", __version__, platform.python_version(), os.getpid())
        yield path
        log.info("finished")
    except expected_errors() as error:
        log.error("%s", error)  # noqa: TRY400 - a mistake of the user or the machine, which its message explains
        raise
    except BaseException as error:
        if is_interrupt(error):
            log.warning("interrupted; re-run the same command to resume")
        else:
            log.exception("unexpected error")
        raise
    finally:
        _detach(handler, before)


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


class _Formatter(logging.Formatter):
    """Times in UTC, as ISO 8601."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """Return the time of a record."""
        del datefmt
        return dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")


def _attach(handler: logging.Handler) -> dict[str, int]:
    """Send the packages' messages to the handler too; return the levels to restore."""
    if not logging.getLogger(PACKAGES[0]).hasHandlers() and logging.lastResort is not None:
        logging.getLogger().addHandler(logging.lastResort)  # else our handler would silence it
    levels = {}
    for name in PACKAGES:
        logger = logging.getLogger(name)
        levels[name] = logger.level
        if logger.getEffectiveLevel() > logging.INFO:
            logger.setLevel(logging.INFO)
        logger.addHandler(handler)
    logging.getLogger(FOREIGN).addHandler(_Forward(handler))
    return levels


def _detach(handler: logging.Handler, levels: dict[str, int]) -> None:
    for name in PACKAGES:
        logging.getLogger(name).removeHandler(handler)
    foreign = logging.getLogger(FOREIGN)
    for forward in [one for one in foreign.handlers if isinstance(one, _Forward) and one.target is handler]:
        foreign.removeHandler(forward)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    if logging.lastResort is not None:
        logging.getLogger().removeHandler(logging.lastResort)
    handler.close()
