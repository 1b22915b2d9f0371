from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cluster.config import AddressProfile, ClusterSection, JobProfile, LocalProfile
from cluster.errors import ClusterError


def section(text: str) -> ClusterSection:
    return ClusterSection.model_validate(tomllib.loads(text).get("cluster", {}))


def test_nothing_said_means_this_machine() -> None:
    assert section("").choose() == LocalProfile()


def test_the_table_itself_is_the_default_and_its_tables_are_profiles() -> None:
    clusters = section("[cluster]\nworkers = 3\n[cluster.big]\nkind = 'slurm'\nqueue = 'long'\n")
    assert clusters.choose() == LocalProfile(workers=3)
    big = clusters.choose("big")
    assert isinstance(big, JobProfile)
    assert big.queue == "long"


def test_a_kind_is_a_profile_without_being_written_down() -> None:
    assert section("").choose("slurm") == JobProfile(kind="slurm")


def test_a_section_survives_being_written_and_read() -> None:
    clusters = section("[cluster]\nworkers = 3\n[cluster.big]\nkind = 'slurm'\n")
    assert ClusterSection.model_validate(clusters.model_dump()) == clusters


def test_an_unknown_profile_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ClusterError, match=r"no cluster profile 'bgi': expected one of big, .*local"):
        section("[cluster.big]\nkind = 'slurm'\n").choose("bgi")


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"kind": "local", "worker": 3}, "worker"),
        ({"kind": "kubernetes"}, "kind"),
        ({"kind": "local", "workers": 0}, "workers"),
        ({"kind": "slurm", "walltime": "four hours"}, "walltime"),
        ({"kind": "local", "memory_per_worker": "much"}, "memory_per_worker"),
        ({"kind": "local", "memory_per_worker": "1 B"}, "expected at least '400 MB'"),
        ({"kind": "address"}, "address"),
        ({"kind": "address", "address": "tcp://node:8786"}, "encryption"),
        ({"kind": "address", "address": "tls://node:8786", "tls_key": "k"}, "tls_certificate"),
    ],
)
def test_mistakes_are_found_when_the_file_is_read(settings: dict[str, Any], part: str) -> None:
    with pytest.raises(ValidationError, match=part):
        ClusterSection.model_validate(settings)


def test_an_open_scheduler_must_be_asked_for_by_name() -> None:
    profile = ClusterSection.model_validate({"kind": "address", "address": "tcp://a:1", "encryption": "off"}).choose()
    assert isinstance(profile, AddressProfile)


def test_every_field_is_described() -> None:
    fields = {**LocalProfile.model_fields, **JobProfile.model_fields, **AddressProfile.model_fields}
    assert [name for name, field in fields.items() if not field.description and name != "kind"] == []


def test_the_examples_of_the_documentation_are_valid() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "clusters.md"
    blocks = [block.split("```")[0] for block in page.read_text().split("```toml\n")[1:]]
    assert len(blocks) >= 7
    for block in blocks:
        clusters = section(block)
        assert clusters.named or clusters.default != LocalProfile()
