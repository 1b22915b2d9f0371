"""Making of an index by the workers of a cluster: each writes parts, which are joined in the order of the table."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cluster.submit import Task, run_tasks
from cluster.task import Failure
from datagen.errors import StoreError
from datagen.identification.index_entry import entry_of
from datagen.identification.index_lines import count_parts, structures_of
from datagen.identification.index_writer import IndexWriter
from datagen.steps.task_errors import explained
from datagen.steps.workers import Workers
from datagen.store.location import Location, is_url, locate, location_of


@dataclass(frozen=True)
class PartOrder:
    """Argument of a task: a part of a dataset's table, and the folder for its structures."""

    dataset: str
    part: int
    out: str


@dataclass(frozen=True)
class Part:
    """Receipt of a task: counts of structures."""

    structures: int
    left_out: int


def index_part(order: PartOrder) -> Part:
    """Write the structures of one part; the same task may run twice at a time."""
    location, out = location_of(locate(order.dataset)), Path(order.out)
    partial = Path(tempfile.mkdtemp(prefix=f"{out.name}.", dir=out.parent))
    try:
        with IndexWriter(partial) as writer:
            for line in structures_of(location, order.part):
                writer.add(entry_of(line, order.dataset))
        if writer.structures:
            _put(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Part(writer.structures, writer.left_out)


def _put(partial: Path, out: Path) -> None:
    try:
        partial.rename(out)
    except OSError:
        if not out.exists():  # otherwise another attempt has been faster
            raise


def index_on_cluster(
    workers: Workers, location: Location, writer: IndexWriter, folder: Path, report: Callable[[int], None]
) -> None:
    """Fill a writer with all structures of a dataset; parts are kept below `folder`, which all workers must reach."""
    parts = folder.absolute() / "parts"
    parts.mkdir()
    where = str(location) if is_url(str(location)) else str(Path(str(location)).absolute())
    orders = [PartOrder(where, part, str(parts / f"part-{part}")) for part in range(count_parts(location))]
    found: dict[int, Part] = {}

    def received(task: Task[PartOrder], part: Part) -> None:
        found[task.argument.part] = part
        report(sum(part.structures + part.left_out for part in found.values()))

    def failed(task: Task[PartOrder], failure: Failure) -> None:
        raise explained(failure, f"part {task.argument.part} of the index", folder, StoreError)

    run_tasks(
        workers.cluster(),
        index_part,
        (Task(f"index-{order.part}", order) for order in orders),
        on_receipt=received,
        on_failure=failed,
    )
    for order in orders:
        part = found[order.part]
        writer.left_out += part.left_out
        if part.structures:
            writer.join(Path(order.out))
            shutil.rmtree(order.out)
    shutil.rmtree(parts)  # with what workers that died have left
