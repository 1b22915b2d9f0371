"""The native engine gives what GSAS-II computed for the bundled examples, on any machine."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from curation.labels import CRYSTAL_SYSTEMS
from datagen.inspect.compare_engines import errors_of
from datagen.inspect.engine_limits import STRICT
from datagen.simulate import native
from tests.golden import golden
from tests.golden.make_golden import crystals

MEDIAN_LIMIT, P95_LIMIT, MAX_LIMIT = STRICT


@cache
def errors() -> dict[str, dict[str, float]]:
    """Of every golden pattern: kind to (example, worst error)."""
    found: dict[str, dict[str, float]] = {}
    for g in golden.read():
        patterns = native.simulate(g.crystal, g.instrument, g.augmentation)
        error = float(errors_of(patterns.intensity, g.pattern[None, :] * g.maximum)[0])
        of_kind = found.setdefault(g.kind, {})
        of_kind[g.name] = max(error, of_kind.get(g.name, 0.0))
    return found


def test_every_example_agrees_within_the_error_bar() -> None:
    plain = errors()["plain"]
    assert len(plain) >= 90
    median, p95, largest = np.percentile(list(plain.values()), [50, 95, 100])
    assert median <= MEDIAN_LIMIT
    assert p95 <= P95_LIMIT
    assert largest <= MAX_LIMIT


@pytest.mark.parametrize(
    ("kind", "bar"),
    [("sharp", 2e-3), ("realistic", 1e-2), ("cu_kalpha1", 3e-3), ("cu_kalpha", 1e-2), ("mo_kalpha", 1e-2)],
)
def test_other_patterns_agree(kind: str, bar: float) -> None:
    of_kind = errors()[kind]
    assert len(of_kind) == 9
    assert max(of_kind.values()) <= bar, of_kind


def test_the_examples_of_today_have_the_patterns_of_then() -> None:
    """Curation may change how a crystal is written down; its pattern stays."""
    today = dict(crystals())
    for g in golden.read():
        if g.kind == "plain":
            patterns = native.simulate(today[g.name], g.instrument, g.augmentation)
            assert errors_of(patterns.intensity, g.pattern[None, :] * g.maximum).max() <= MAX_LIMIT, g.name


def test_golden_patterns_cover_all_crystal_systems_and_are_patterns() -> None:
    goldens = list(golden.read())
    special = {g.name for g in goldens if g.kind == "sharp"}
    assert len(special) >= len(CRYSTAL_SYSTEMS)
    for g in goldens:
        assert g.pattern.max() == 1.0
        assert g.pattern.min() >= 0.0
        assert g.pattern.shape == (g.instrument.n_points,)
        assert len(g.augmentation) == 1


def test_a_wrong_engine_would_be_noticed() -> None:
    """Another augmentation, or the polarisation of a tube, misses the error bar by far."""
    g = next(g for g in golden.read() if g.name == "quartz.cif" and g.kind == "plain")
    tube = g.instrument.model_copy(update={"polarisation": 0.5})
    pattern = native.simulate(g.crystal, tube, g.augmentation).intensity
    assert errors_of(pattern, g.pattern[None, :] * g.maximum).max() > P95_LIMIT
