"""Cost of scheduling tasks, for as many as a run over a whole database has.

`python -m benchmarks.scheduler` runs as many empty tasks as 312,267 structures make in shards of 200, through the same
bounded window as a real run; `--structures` makes one task of each structure instead. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator

import psutil

from cluster.config import LocalProfile
from cluster.connect import Cluster, connect
from cluster.submit import Task, TaskProgress, run_tasks, run_tasks_inline

STRUCTURES = 312_267
SHARD = 200


def nothing(number: int) -> int:
    """Return the argument: an empty task."""
    return number


def measure(tasks: int, workers: int, encryption: str) -> dict[str, float]:
    """Return wall and CPU time per task in milliseconds, and growth of the driver's memory in MB."""
    profile = LocalProfile.model_validate({"workers": workers, "encryption": encryption})
    driver = psutil.Process()
    begun = time.perf_counter()
    with connect(profile) as cluster:
        cluster.wait_for_workers(workers, timeout_s=120)
        started_s = time.perf_counter() - begun
        _run(cluster, 200)
        memory = driver.memory_info().rss
        peak = [memory]
        begun, cpu_begun = time.perf_counter(), sum(driver.cpu_times()[:2])

        def watch(progress: TaskProgress) -> None:
            peak.append(driver.memory_info().rss)

        progress = run_tasks(
            cluster,
            nothing,
            _tasks(tasks),
            on_receipt=lambda task, receipt: None,
            on_failure=_refuse,
            heartbeat=watch,
        )
        wall_s, cpu_s = time.perf_counter() - begun, sum(driver.cpu_times()[:2]) - cpu_begun
    if progress.done != tasks:
        raise SystemExit(f"expected {tasks} tasks done, found {progress}")
    return {
        "start_s": round(started_s, 2),
        "wall_s": round(wall_s, 2),
        "wall_ms_per_task": round(1000 * wall_s / tasks, 3),
        "driver_cpu_ms_per_task": round(1000 * cpu_s / tasks, 3),
        "driver_memory_growth_mb": round((max(peak) - memory) / 1e6, 1),
        "driver_memory_mb": round(max(peak) / 1e6, 1),
    }


def main() -> None:
    """Measure, print a table, and the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--structures", action="store_true", help="one task per structure: 312,267")
    parser.add_argument("--tasks", type=int, help="this many tasks instead")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    shards = -(-STRUCTURES // SHARD)
    tasks = arguments.tasks or (STRUCTURES if arguments.structures else shards)

    begun = time.perf_counter()
    run_tasks_inline(nothing, _tasks(shards), on_receipt=lambda task, receipt: None, on_failure=_refuse)
    here_ms = 1000 * (time.perf_counter() - begun) / shards

    result: dict[str, object] = {"tasks": tasks, "workers": arguments.workers}
    result |= measure(tasks, arguments.workers, "tls")
    if not arguments.structures:
        result["without_tls"] = measure(tasks, arguments.workers, "off")
    result["in_process_ms_per_task"] = round(here_ms, 4)
    for key, value in result.items():
        print(f"{key:28} {value}")
    print(json.dumps(result))


def _run(cluster: Cluster, count: int) -> None:
    run_tasks(cluster, nothing, _tasks(count), on_receipt=lambda task, receipt: None, on_failure=_refuse)


def _tasks(count: int) -> Iterator[Task[int]]:
    return (Task(str(number), number) for number in range(count))


def _refuse(task: Task[int], failure: object) -> None:
    raise SystemExit(f"task {task.key}: {failure}")


if __name__ == "__main__":
    main()
