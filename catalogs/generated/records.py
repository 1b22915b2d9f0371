"""Records of a `generated` catalog."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from catalogs import defects
from catalogs.config import GeneratedCatalog
from catalogs.generated.cif import cif_text
from catalogs.generated.crystal import Choices, generate
from catalogs.generated.groups import N_GROUPS
from catalogs.generated.kernel import MOST_ATTEMPTS
from catalogs.generated.limits import fewest_atoms
from catalogs.generated.statistics import statistics
from catalogs.record import Defect, Record


def records(config: GeneratedCatalog) -> Iterator[Record]:
    """Yield the crystals in the order of their numbers; each depends on the settings and its number alone."""
    choices = choices_of(config)
    for number in range(config.count):
        name = f"{config.seed}-{number}"
        origin = f"generated from seed {config.seed}, number {number}"
        crystal = generate(choices, number)
        if crystal is None:
            defect = Defect(defects.NOT_GENERATED, f"nothing fitted in {MOST_ATTEMPTS} attempts")
            yield Record(config.name, name, "", origin, config.licence, defect=defect)
        else:
            yield Record(config.name, name, cif_text(crystal, f"generated-{name}"), origin, config.licence)


def choices_of(config: GeneratedCatalog) -> Choices:
    """Return what may be drawn: of the groups those whose crystals can have so few atoms."""
    known = statistics()
    if config.space_groups == "database":
        weights = known.group_weight.copy()
    else:
        listed = range(1, N_GROUPS + 1) if config.space_groups == "uniform" else config.space_groups
        weights = np.zeros(N_GROUPS)
        weights[np.array(listed) - 1] = 1.0
    weights[np.array(fewest_atoms(len(set(config.elements)) == 1)) > config.max_atoms] = 0.0
    allowed = np.array([not config.elements or s in config.elements for s in known.symbols])
    return Choices(config.seed, weights, np.where(allowed, known.element_weight, 0.0), config.max_atoms)
