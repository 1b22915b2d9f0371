"""Layers inside `datagen/` and `trainer/`, derived from one declared order."""

from __future__ import annotations

import pytest

from tests.frame.layers import ENTRANCES, LAYERS, ROOT, boxes, files_in_circles, imports

MOST_BOXES = {"datagen": 15, "trainer": 9}
MOST_MODULES = 8
"""Beside the folders of a package."""


@pytest.mark.parametrize("package", LAYERS)
def test_every_box_has_its_layer(package: str) -> None:
    assert boxes(package) == set(LAYERS[package])
    assert len(boxes(package)) <= MOST_BOXES[package]
    beside = [p for p in (ROOT / package).glob("*.py") if p.stem not in ENTRANCES]
    assert len(beside) <= MOST_MODULES, sorted(p.name for p in beside)


@pytest.mark.parametrize("package", LAYERS)
def test_a_box_imports_only_boxes_below_it(package: str) -> None:
    order = LAYERS[package]
    upward = [
        f"{path.relative_to(ROOT)}: {box} imports {target}"
        for box, target, path in imports(package)
        if box not in ENTRANCES and target not in (*ENTRANCES, "__version__") and box != target
        and (target not in order or order.index(target) >= order.index(box))
    ]  # fmt: skip
    assert upward == []


@pytest.mark.parametrize("package", LAYERS)
def test_no_files_import_each_other_in_a_circle(package: str) -> None:
    assert files_in_circles(package) == []
