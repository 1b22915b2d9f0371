from __future__ import annotations

import pyarrow.parquet as pq

from curation.explain import checks_of, headline
from curation.table import VERDICT_SCHEMA
from datagen.inspect.find_verdict import find
from datagen.steps.structures_table import ADDED
from datagen.store.bounded_table import CURATION_TABLE
from tests.datagen.small_runs import Made


def test_it_has_every_verdict_column_but_the_timing_and_says_what_it_adds(made: Made) -> None:
    schema = pq.read_schema(made.dataset / CURATION_TABLE)
    assert set(schema.names) == {*VERDICT_SCHEMA.names, *(field.name for field in ADDED)} - {"seconds"}
    for field in ADDED:
        assert schema.field(field.name).metadata[b"description"]


def test_nothing_in_it_tells_the_time(made: Made) -> None:
    metadata = pq.read_schema(made.dataset / CURATION_TABLE).metadata
    assert b'"created"' not in b"".join(metadata.values())


def test_why_reads_it(made: Made) -> None:
    (found,) = find(made.dataset, "quartz.cif")
    assert headline(found.verdict).startswith("accepted: ")
    assert all(seen.outcome != "failed" for seen in checks_of(found.verdict, found.settings))
    (broken,) = find(made.dataset, "broken.cif")
    assert [seen.check for seen in checks_of(broken.verdict, broken.settings) if seen.outcome == "failed"]
