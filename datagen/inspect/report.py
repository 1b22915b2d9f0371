"""The page report.html of a dataset: contents, figures and provenance, in one self-contained file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from curation.labels import CRYSTAL_SYSTEMS
from datagen.inspect import report_figures
from datagen.inspect.report_data import Content
from datagen.inspect.report_measured import scan_figure
from datagen.progress import duration, size
from datagen.simulate.patterns import width_curve
from datagen.steps.curate import METADATA_KEY
from datagen.steps.reasons import REFUSALS
from datagen.store import files, ledger
from datagen.store.bounded_table import CURATION_TABLE
from datagen.store.quantise import dequantise
from datagen.store.schema import SPLITS, UNKNOWN

if TYPE_CHECKING:
    from datagen.steps.outcome import Outcome

REPORT = "report.html"
N_PATTERN_SAMPLES = 7
N_DENSITY_SAMPLES = 3
N_AUGMENTATIONS_SHOWN = 3


@dataclass(frozen=True)
class Section:
    """A heading, a sentence, and what stands below."""

    title: str
    text: str
    body: str


@dataclass(frozen=True)
class Drawn:
    """All sections but the timings, which come before the last."""

    attributes: dict[str, Any]
    sections: tuple[Section, ...]


def write_report(dataset: Path, outcome: Outcome | None = None, drawn: Drawn | None = None) -> Path:
    """Write the page, from what was `drawn` before if it was; `outcome` adds what only the run knows: timings."""
    drawn = drawn or draw_report(dataset)
    *sections, provenance = drawn.sections
    page = _page(dataset.name, drawn.attributes, [*sections, *_timings(outcome), provenance])
    path = dataset / REPORT
    files.write_bytes(path, page.encode())
    return path


def draw_report(dataset: Path) -> Drawn:
    """Everything that the page says of a complete dataset itself."""
    content = Content(dataset)
    table = pq.read_table(
        dataset / CURATION_TABLE,
        columns=["status", "reason", "row", "duplicate_of", "density_reason", "source", "licence"],
    )
    sections = (
        _counts(dataset, content, table),
        _reasons(table),
        _symmetry(content),
        _lattice(content),
        *_shapes(dataset, content),
        *_densities(content, table),
        _provenance(content.attributes),
    )
    return Drawn(content.attributes, sections)


def _shapes(dataset: Path, content: Content) -> list[Section]:
    if content.layout.measured:
        return [_scans(dataset, content)]
    return [_widths(content), _patterns(content)] if content.layout.with_patterns else []


def _counts(dataset: Path, content: Content, table: Any) -> Section:
    layout = content.layout
    receipts = ledger.committed(dataset).values()
    n_bytes = sum(receipt.size for receipt in receipts)
    n_patterns = layout.n_structures * layout.n_augmentations
    statuses = Counter(table["status"].to_pylist())
    duplicates = len(table) - table["duplicate_of"].null_count
    splits = np.bincount(content.column("split"), minlength=3)
    tiles = {
        "inputs": f"{len(table):,}",
        "accepted": f"{statuses['accepted']:,}",
        "structures": f"{layout.n_structures:,}",
        "patterns": f"{n_patterns:,}",
        "densities": f"{sum(r.n_densities for r in receipts):,}",
        "on disk": size(n_bytes),
    }
    if layout.with_patterns:
        tiles["a pattern"] = f"{n_bytes / n_patterns / 1000:.2f} kB"
    else:
        tiles["a structure"] = f"{n_bytes / layout.n_structures / 1000:.2f} kB"
        tiles["reflections"] = f"{int(content.column('n_reflections').sum()):,}"
    body = "".join(f'<div class="tile"><b>{escape(v)}</b><span>{escape(k)}</span></div>' for k, v in tiles.items())
    sources = Counter(zip(table["source"].to_pylist(), table["licence"].to_pylist(), strict=True))
    rows = [(name, licence, f"{n:,}") for (name, licence), n in sorted(sources.items())]
    repeats = f"{duplicates:,} accepted inputs repeat another structure atom by atom. " if duplicates else ""
    text = (
        f"{repeats}Splits follow from each structure's group: "
        + ", ".join(f"{n:,} {name}" for n, name in zip(splits, SPLITS, strict=True))
        + "."
    )
    return Section(
        "What is in it", text, f'<div class="tiles">{body}</div>' + _table(("source", "licence", "inputs"), rows)
    )


def _reasons(table: Any) -> Section:
    refused = Counter(reason for reason in table["reason"].to_pylist() if reason)
    if not refused:
        return Section("Refused inputs", "None: every input was accepted.", "")
    stated = json.loads((table.schema.metadata or {}).get(METADATA_KEY.encode(), b"{}")).get("reasons", {})
    meaning = {code: REFUSALS[code].meaning if code in REFUSALS else stated.get(code, "") for code in refused}
    rows = [(code, f"{n:,}", f"{n / len(table):.1%}", meaning[code]) for code, n in refused.most_common()]
    body = _figure(report_figures.bars(dict(refused)), "inputs refused, by reason")
    text = "Every input has a row in curation.parquet; <code>datagen explain ID</code> tells what each check saw."
    return Section("Refused inputs", text, body + _table(("reason", "inputs", "share", "meaning"), rows))


def _symmetry(content: Content) -> Section:
    groups = content.column("space_group")
    groups = groups[groups != UNKNOWN]
    unknown, *counts = np.bincount(content.column("crystal_system"), minlength=8).tolist()
    named = [*zip(CRYSTAL_SYSTEMS, counts, strict=True), *([("unknown", unknown)] if unknown else [])]
    total = sum(counts) + unknown
    rows = [(name, f"{n:,}", f"{n / total:.1%}") for name, n in named]
    body = '<div class="pair">'
    if len(groups):
        body += _figure(report_figures.space_group_ring(groups), "crystal systems and space groups")
    body += _table(("crystal system", "structures", "share"), rows) + "</div>"
    return Section("Symmetry", "Inner ring: crystal systems. Outer ring: space groups, the commonest by number.", body)


def _lattice(content: Content) -> Section:
    niggli = content.column("niggli")
    known = np.isfinite(niggli).all(axis=1)
    if not known.any():
        return Section("Lattice", "No cell is known.", "")
    niggli = niggli[known]
    lengths = {f"{n} (Å)": niggli[:, i] for i, n in enumerate("abc")}
    angles = {f"{n} (deg)": niggli[:, 3 + i] for i, n in enumerate("αβγ")}
    sizes = {"volume (Å³)": content.column("volume")[known]}
    if not content.layout.measured:
        sizes["atoms in the primitive cell"] = content.column("n_atoms")
    body = _figure(report_figures.histograms(lengths), "cell lengths")
    body += _figure(report_figures.histograms(angles), "cell angles")
    body += _figure(report_figures.histograms(sizes, log=True, n_columns=2), "cell size")
    return Section(
        "Lattice",
        "Of the Niggli-reduced primitive cell, as labelled; volume and number of atoms on logarithmic axes.",
        body,
    )


def _widths(content: Content) -> Section:
    drawn = {draw.name: content.sample(draw.name) for draw in content.layout.draws}
    from datagen.simulate.augmentation import Augmentations
    from datagen.simulate.instrument import Instrument

    instrument = Instrument.model_validate(content.attributes["instrument"])
    angles, widths = width_curve(instrument, Augmentations.of(**drawn))
    shown = drawn | {f"FWHM at {angle:.4g}° (deg)": widths[:, i] for i, angle in enumerate(angles) if i in (0, 2, 4)}
    body = _figure(report_figures.histograms(shown, n_columns=4), "draws and peak widths")
    n_sampled = sum(map(len, content.sampled()))
    of = "" if n_sampled == content.layout.n_structures else f", of {n_sampled:,} structures"
    return Section("Augmentations", f"Drawn values and the widths they give{of}.", body)


def _scans(dataset: Path, content: Content) -> Section:
    figure, count = scan_figure(dataset, content)
    text = (
        f"{count} scans at the angles of the instrument, and above each a pattern simulated from its structure with "
        "the widths of a common laboratory diffractometer. Where only labels are stated there is the scan alone."
    )
    return Section("Scans", text, _figure(figure, "scans beside simulated patterns"))


def _patterns(content: Content) -> Section:
    rows = _one_of_each_system(content)
    samples = []
    for row in rows:
        kept = dequantise(content.row("pattern", row, N_AUGMENTATIONS_SHOWN))
        formula, group = str(content.column("formula")[row]), int(content.column("space_group")[row])
        title = f"{formula}, space group {group}, {content.column('source_id')[row]}"
        samples.append((title, int(content.column("crystal_system")[row]), kept))
    figure = report_figures.sample_patterns(content.column("two_theta"), samples)
    text = f"The first {N_AUGMENTATIONS_SHOWN} augmentations of one structure of each crystal system, shifted upwards."
    return Section("Patterns", text, _figure(figure, "sample patterns"))


def _densities(content: Content, table: Any) -> list[Section]:
    if "density" not in content:
        return []
    rows = np.flatnonzero(content.column("has_density"))
    refused = Counter(reason for reason in table["density_reason"].to_pylist() if reason)
    said = ", ".join(f"{n:,} {reason}" for reason, n in refused.most_common())
    text = f"{len(rows):,} structures have a density, resampled to 50 × 50 × 50 in e/Å³ in the frame of its source."
    text += f" Refused: {escape(said)}." if refused else ""
    if not len(rows):
        return [Section("Densities", text, "")]
    samples = [
        (str(content.column("formula")[row]), content.row("density", int(row))) for row in rows[:N_DENSITY_SAMPLES]
    ]
    electrons = content.column("density_electrons")[rows]
    worst = float(np.abs(electrons[:, 1] / electrons[:, 0] - 1).max())
    text += f" Resampling changed electron counts by {worst:.1e} at most."
    return [Section("Densities", text, _figure(report_figures.density_slices(samples), "density slices"))]


def _timings(outcome: Outcome | None) -> list[Section]:
    if outcome is None or not outcome.stage_seconds:
        return []
    total = sum(outcome.stage_seconds.values())
    rate = outcome.n_patterns_now / max(total, 1e-9)
    text = (
        f"The run's last call took {duration(outcome.seconds)} and made {outcome.n_patterns_now:,} patterns "
        f"with {duration(total)} of worker time ({rate:,.0f} a second and worker). "
        f"The largest worker held {outcome.peak_worker_memory_MB:,.0f} MB."
    )
    stages = {name: float(seconds) for name, seconds in outcome.stage_seconds.items()}
    return [Section("Timings", text, _figure(report_figures.bars(stages, unit=" s"), "worker seconds by stage"))]


def _provenance(attributes: dict[str, Any]) -> Section:
    software = ", ".join(f"{name} {version}" for name, version in attributes["software"].items())
    engine = attributes["engine"]
    rows = [
        ("engine", f"{engine['name']}. {agreement_in_words(engine['agreement_with_gsas2'])}"),
        ("software", software),
        ("format", f"{attributes['format']} version {attributes['format_version']}"),
        ("licences", attributes["licence_note"]),
    ]
    configuration = escape(json.dumps(attributes["configuration"], indent=1, ensure_ascii=False))
    body = (
        _table(("", ""), rows)
        + f"<details><summary>resolved configuration</summary><pre>{configuration}</pre></details>"
    )
    return Section("Provenance", "", body)


def agreement_in_words(agreement: Any) -> str:
    """Return the difference between the engine and GSAS-II as a sentence."""
    if not isinstance(agreement, dict):
        return str(agreement)
    return (
        f"Against {agreement['reference']}: {agreement['error']} is {agreement['median']:.1e} at the median, "
        f"{agreement['percentile_95']:.1e} for 95 %, {agreement['worst']:.1e} at the worst, "
        f"over {agreement['patterns']} patterns of {agreement['crystals']} crystals."
    )


def _one_of_each_system(content: Content) -> list[int]:
    systems = content.column("crystal_system")
    atoms = content.column("n_atoms")
    rows = []
    for system in range(1, 8):
        members = np.flatnonzero(systems == system)
        if members.size:
            rows.append(int(members[np.argsort(atoms[members], kind="stable")[members.size // 2]]))
    return rows[:N_PATTERN_SAMPLES]


def _figure(picture: str, alternative: str) -> str:
    return f'<div class="figure" role="img" aria-label="{escape(alternative)}">{picture}</div>'


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    titles = "".join(f"<th>{escape(h)}</th>" for h in head) if any(head) else ""
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table>"


def _page(name: str, attributes: dict[str, Any], sections: list[Section]) -> str:
    bodies = "".join(
        f'<section id="s{i}"><h2>{escape(s.title)}</h2><p>{s.text}</p>{s.body}</section>'
        for i, s in enumerate(sections)
    )
    links = "".join(f'<a href="#s{i}">{escape(s.title)}</a>' for i, s in enumerate(sections))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(name)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>'
        f"<header><h1>{escape(name)}</h1><p>{escape(attributes['title'])} · {escape(attributes['source'])}</p>"
        f"<nav>{links}</nav></header>{bodies}</body></html>\n"
    )


_STYLE = """
:root { --ink: #26303b; --faint: #e4e8ed; --accent: #2f6f9f; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin: 0; font-size: 1.7rem; } h2 { margin: 2.4rem 0 .3rem; font-size: 1.2rem; }
header p { margin: .2rem 0 .8rem; color: #5c6773; } nav a { margin-right: 1rem; color: var(--accent); }
section > p { margin: .2rem 0 .8rem; color: #46515d; } svg, img { width: 100%; height: auto; display: block; }
.tiles { display: flex; flex-wrap: wrap; gap: .7rem; margin-bottom: 1rem; }
.tile { border: 1px solid var(--faint); border-radius: 8px; padding: .6rem .8rem; min-width: 5.6rem; }
.tile b { display: block; font-size: 1.25rem; } .tile span { color: #5c6773; }
.pair { display: flex; flex-wrap: wrap; gap: 1rem; align-items: center; }
.pair .figure { flex: 1 1 24rem; min-width: 0; }
table { border-collapse: collapse; margin: .6rem 0; } td, th { text-align: left; padding: .22rem .9rem .22rem 0; }
td:first-child { white-space: nowrap; } .tiles { font-size: .93rem; }
td { border-top: 1px solid var(--faint); vertical-align: top; overflow-wrap: anywhere; }
pre { background: #f6f8fa; padding: 1rem; overflow-x: auto; font-size: 12px; }
"""
