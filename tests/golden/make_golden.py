"""Compute the golden patterns again: `python -m tests.golden.make_golden`, where GSAS-II is installed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from catalogs.config import ExamplesCatalog
from catalogs.open import open_catalog
from curation.crystal import Crystal
from curation.settings import CurationSettings
from datagen.inspect.subject import subject_of
from datagen.simulate.augmentation import Augmentations, AugmentationSettings, draw
from datagen.simulate.gsas2 import engine as gsas2
from datagen.simulate.instrument import Instrument
from tests.golden.golden import FILE, Golden, without_foreign_matter, write

ONE_OF_EACH_SYSTEM = (
    *("kyanite.cif", "diopside.cif", "brookite.cif", "scheelite.cif"),
    *("quartz.cif", "beryl.cif", "sphalerite.cif", "pyrope.cif", "silicon_germanium.cif"),
)
SHARP = Augmentations.of(microstrain=[500.0], crystallite_size_um=[1.0], U_cdeg2=[0.0], V_cdeg2=[-1.0], W_cdeg2=[0.05])
"""The smallest widths of Table 5, and a Gaussian variance that falls below its floor on the way."""


def main() -> None:
    """Every bundled example once, and one of each crystal system in every other way."""
    version = gsas2.version()
    goldens = [golden for number, crystal in enumerate(crystals()) for golden in of_one(number, *crystal)]
    write(goldens, version)
    print(f"{len(goldens)} patterns by GSAS-II {version}: {FILE.stat().st_size / 1e6:.2f} MB")


def crystals() -> Iterator[tuple[str, Crystal]]:
    """The bundled examples as curation accepts them."""
    settings = CurationSettings.model_validate({})
    for record in open_catalog(ExamplesCatalog.model_validate({})):
        subject = subject_of(record, settings)
        if subject.crystal is not None and not subject.remark:
            yield record.source_id, subject.crystal


def of_one(number: int, name: str, crystal: Crystal) -> Iterator[Golden]:
    """The patterns of one crystal."""
    plain, hash_ = Instrument.preset("alphadiffract"), crystal.structure_hash()
    yield from _simulated(name, "plain", crystal, plain, draw(AugmentationSettings(), 0, hash_, [number]))
    if name not in ONE_OF_EACH_SYSTEM:
        return
    yield from _simulated(name, "sharp", crystal, plain, SHARP)
    drawn = draw(AugmentationSettings(preset="realistic"), 0, hash_, [0, 1])
    yield from _simulated(name, "realistic", crystal, plain, without_foreign_matter(drawn))
    for preset in ("cu_kalpha1", "cu_kalpha", "mo_kalpha"):
        drawn = draw(AugmentationSettings(), 0, hash_, [0])
        yield from _simulated(name, preset, crystal, Instrument.preset(preset), drawn)


def _simulated(
    name: str, kind: str, crystal: Crystal, instrument: Instrument, augmentations: Augmentations
) -> Iterator[Golden]:
    patterns = gsas2.simulate(crystal, instrument, augmentations)
    for i, (intensity, maximum) in enumerate(zip(patterns.intensity, patterns.maximum, strict=True)):
        relative = intensity.astype(np.float64) / float(maximum)
        yield Golden(name, kind, crystal, instrument, augmentations[i : i + 1], relative, float(maximum))


if __name__ == "__main__":
    main()
