"""The page itself: one HTML file, built from `page/` by `make page`, that reads the dataset at its own address."""

from __future__ import annotations

from pathlib import Path

PAGE = "index.html"


def page_bytes() -> bytes:
    """Return the page; it holds no data."""
    return (Path(__file__).parent / PAGE).read_bytes()


def page_beside_zip(dataset: Path) -> Path:
    """Return the path of the page of a `.zarr.zip`: the page reads the zip of its own name."""
    return dataset.with_name(dataset.name.removesuffix(".zarr.zip") + ".html")
