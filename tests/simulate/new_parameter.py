"""A run with one more augmentation parameter: one entry of the table, and its effect in the engine.

Run as a program, because settings and draws follow from the table when they are imported.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from datagen.simulate import parameters
from datagen.simulate.parameter import Parameter

parameters.PARAMETERS += (
    Parameter(
        name="flat_height",
        units="1",
        description="Flat background, of the highest point without it",
        slot=15,
        probability_slot=88,
        default=(0.0, 0.0),
        domain="non-negative",
        neutral=0.0,
    ),
)

import numpy as np  # noqa: E402

import datagen  # noqa: E402
from datagen.simulate import native  # noqa: E402

PLAIN = native.from_sticks


def with_background(sticks, instrument, augmentations, crystal=None):
    patterns = PLAIN(sticks, instrument, augmentations, crystal)
    patterns.intensity[:] += (augmentations.flat_height * patterns.maximum)[:, None].astype(np.float32)
    return patterns


native.from_sticks = with_background


def main(cifs: str, out: str) -> None:
    from datagen.config.reference import page
    from datagen.inspect.replay import replay

    simulation = {"augmentation": {"count": 3, "flat_height": [0.1, 0.2]}, "instrument": "cu_kalpha1"}
    content = {"catalog": [{"kind": "folder", "path": cifs}], "simulation": simulation}
    datagen.run(content, out, cluster="inline")
    made = datagen.open_dataset(out).isel(structure=0)
    drawn = made["flat_height"]
    compared = replay(Path(out), str(made["source_id"].values), 1)
    print(
        json.dumps(
            {
                "values": drawn.values.tolist(),
                "attributes": drawn.attrs,
                "microstrain": made["microstrain"].values.tolist(),
                "lowest": made["pattern"].min("two_theta").values.tolist(),
                "steps": compared.difference_steps,
                "replayed": compared.facts["flat_height"],
                "documented": "| `flat_height` | `[0.0, 0.0]` |" in page(),
            }
        )
    )


main(sys.argv[1], sys.argv[2])
