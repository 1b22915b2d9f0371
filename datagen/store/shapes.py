"""Shapes of arrays and of their files and chunks, from a layout."""

from __future__ import annotations

import math

from curation.labels import N_ELEMENTS
from datagen.store.layout import DENSITY_POINTS, LABEL_CHUNK, NIGGLI, REFLECTION_CHUNK, XRD_BINS, Layout
from datagen.store.schema import LABELS
from datagen.store.variable import Variable


def sizes(layout: Layout) -> dict[str, int]:
    """Return the length of every dimension."""

    def whole_chunks(slots: int) -> int:
        return -(-slots // REFLECTION_CHUNK) * REFLECTION_CHUNK

    return {
        "structure": layout.n_structures,
        "augmentation": layout.n_augmentations,
        "two_theta": layout.n_points,
        "reflection": whole_chunks(layout.reflection_slots),
        "member": whole_chunks(layout.member_slots),
        "scan_point": whole_chunks(layout.scan_slots),
        "digest_byte": 32,
        "hkl": 3,
        "hkl_other": 3,
        **dict(draw.axis for draw in (*layout.draws, *layout.extra_draws) if draw.axis),
        "element": N_ELEMENTS,
        "niggli_parameter": len(NIGGLI),
        "xrd_bin": XRD_BINS,
        "x": DENSITY_POINTS,
        "y": DENSITY_POINTS,
        "z": DENSITY_POINTS,
        "before_after": 2,
        "cell_vector": 3,
        "cartesian": 3,
        **{f"{v.name}_byte": layout.text_bytes.get(v.name, 1) for v in LABELS if is_text(v)},
    }


def is_text(variable: Variable) -> bool:
    """Return whether the bytes of the variable are text."""
    return variable.dims[-1] == f"{variable.name}_byte"


def shape(variable: Variable, layout: Layout) -> tuple[int, ...]:
    """Return the shape of the whole array."""
    length = sizes(layout)
    return tuple(length[dim] for dim in variable.dims)


def file_shape(variable: Variable, layout: Layout) -> tuple[int, ...]:
    """Return the shape of one file: a shard or a chunk of labels along `structure`, everything along other axes."""
    whole = shape(variable, layout)
    if variable.dims[0] != "structure":
        return whole
    per_file = layout.structures_per_shard if variable.home == "shard" else min(LABEL_CHUNK, layout.n_structures)
    return (per_file, *whole[1:])


def chunks_per_file(variable: Variable, layout: Layout) -> int:
    """Return the number of inner chunks of one file of a sharded array."""
    assert variable.chunk is not None
    return math.prod(n // c for n, c in zip(file_shape(variable, layout), variable.chunk, strict=True))


def chunk_key(variable: Variable, index: int) -> str:
    """Return the path below the dataset of the array's file number `index` along the first axis."""
    return "/".join((variable.name, "c", str(index), *("0" for _ in variable.dims[1:])))
