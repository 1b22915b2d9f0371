"""What a dataset holds, for a person: counts, axes, variables with units and meaning, instrument, engine, licences."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from curation.labels import CRYSTAL_SYSTEMS
from datagen.inspect.report import agreement_in_words
from datagen.progress import printable, size
from datagen.store import ledger, reading, schema
from datagen.store.damaged import damage_explained
from datagen.store.location import Where
from datagen.store.schema import SPLITS, Layout, shape, variables

LABELS = {variable.name for variable in schema.LABELS}


def inspect(dataset: Where, console: Console) -> None:
    """Print the summary of a dataset."""
    with damage_explained(dataset, "its metadata"):
        attributes, layout = reading.read_metadata(dataset)
        receipts = ledger.committed(dataset)
        written = sum(receipt.size for receipt in receipts.values())
        state = "complete" if attributes["complete"] else f"unfinished: {len(receipts)} of {layout.n_shards} shards"
        facts, table = _facts(dataset, attributes), _variables(layout)
    console.print(
        f"[bold]{escape(printable(str(dataset)))}[/]: {layout.n_structures:,} structures x "
        f"{layout.n_augmentations} patterns x {layout.n_points} points, {size(written)}, {state}\n",
        highlight=False,
    )
    console.print(facts)
    console.print()
    console.print(table)


def _variables(layout: Layout) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("variable", "dimensions", "type", "units", "meaning"):
        table.add_column(name)
    for variable in variables(layout):
        lengths = dict(zip(variable.dims, shape(variable, layout), strict=True))
        dims = " x ".join(f"{dim} {lengths[dim]:,}" for dim in variable.dims)
        texts = (variable.name, dims, variable.dtype, variable.units or "", variable.long_name)
        table.add_row(*(escape(printable(text)) for text in texts))
    return table


def _facts(dataset: Where, attributes: dict[str, Any]) -> Table:
    labels = {name: v.values for name, v in reading.open_xarray(dataset).data_vars.items() if name in LABELS}
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column()
    unknown, *systems = np.bincount(labels["crystal_system"], minlength=8).tolist()
    named = [*zip(systems, CRYSTAL_SYSTEMS, strict=True), *([(unknown, "unknown")] if unknown else [])]
    table.add_row("crystal systems", ", ".join(f"{n} {name}" for n, name in named))
    table.add_row("space groups", f"{len(set(labels['space_group'].tolist()) - {schema.UNKNOWN})} of 230")
    splits = np.bincount(labels["split"], minlength=3)
    table.add_row("splits", ", ".join(f"{n:,} {name}" for n, name in zip(splits, SPLITS, strict=True)))
    licences = Counter(labels["licence"])
    table.add_row("licences", escape(printable(", ".join(f"{n:,} {name}" for name, n in licences.most_common()))))
    instrument = attributes["instrument"]
    lines = ", ".join(f"{line['wavelength_A']} A" for line in instrument["lines"])
    span = f"{instrument['two_theta_min_deg']:g} to {instrument['two_theta_max_deg']:g} degrees"
    table.add_row("instrument", f"{escape(printable(lines))}, {span}, polarisation {instrument['polarisation']:g}")
    engine = attributes["engine"]
    if (measured := attributes["configuration"].get("measured")) is not None:
        told = ", ".join(f"{name} {value}" for name, value in measured.items() if value is not None)
        table.add_row("measured", escape(printable(told)))
    words = f"{engine['name']}. {agreement_in_words(engine['agreement_with_gsas2'])}"
    table.add_row("engine", escape(printable(words)))
    software = ", ".join(f"{name} {v}" for name, v in attributes["software"].items())
    table.add_row("software", escape(printable(software)))
    return table
