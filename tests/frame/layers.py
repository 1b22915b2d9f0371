"""Boxes and layers inside `datagen/` and `trainer/`: run as a script it prints the drawing of imports.

python -m tests.frame.layers
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAYERS = {
    "datagen": (
        "errors", "progress", "store", "simulate", "config", "steps", "inspect", "share",
        "identification", "measured", "run", "followup", "api", "commands",
    ),
    "trainer": (
        "errors", "models", "simulate", "scans", "data", "training", "evaluation", "prediction", "commands",
    ),
}  # fmt: skip
"""Low to high: a box imports only from boxes before it, and no files in a circle."""
ENTRANCES = ("__init__", "__main__")
"""They export what is below them."""


def boxes(package: str) -> set[str]:
    """Return the modules and folders directly in a package."""
    found = {p.stem if p.is_file() else p.name for p in (ROOT / package).iterdir() if p.suffix == ".py" or p.is_dir()}
    return {name for name in found if not name.startswith("__")}


def imports(package: str) -> Iterator[tuple[str, str, Path]]:
    """Yield (box, imported box, file) of every import inside a package, those inside functions included."""
    for path in sorted((ROOT / package).rglob("*.py")):
        box = path.relative_to(ROOT / package).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == package:
                names = node.module.split(".")
                for target in [names[1]] if len(names) > 1 else [alias.name for alias in node.names]:
                    yield box, target, path


def files_in_circles(package: str) -> list[list[str]]:
    """Return groups of files of a package that import each other at their head."""
    graph: dict[str, set[str]] = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        graph[name] = set()
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == package:
                graph[name] |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    graph = {name: {t for t in targets if t in graph and t != name} for name, targets in graph.items()}
    reach = {name: _reachable(graph, name) for name in graph}
    circles = {tuple(sorted(o for o in reach[name] if name in reach[o])) for name in graph if name in reach[name]}
    return [list(circle) for circle in sorted(circles)]


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for target in graph[waiting.pop()] - found:
            found.add(target)
            waiting.append(target)
    return found


def main() -> None:
    """Print each package's boxes, low to high, with what each imports."""
    for package, order in LAYERS.items():
        used: dict[str, set[str]] = {box: set() for box in order}
        for box, target, _ in imports(package):
            if box in used and target != box:
                used[box].add(target)
        print(f"{package}/: {len(boxes(package))} boxes")
        for box in order:
            below = sorted(used[box], key=lambda name: order.index(name) if name in order else -1)
            print(f"  {box:16s} {' '.join(below)}")


if __name__ == "__main__":
    main()
