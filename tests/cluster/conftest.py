"""A local cluster that the tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.config import LocalProfile
from cluster.connect import Cluster, connect


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Cluster]:
    with connect(LocalProfile(workers=2, worker_wait_s=30)) as cluster:
        cluster.wait_for_workers(2, timeout_s=60)
        yield cluster
