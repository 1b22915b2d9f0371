"""The command `refine`: least squares of a structure's cell and profile against a scan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from datagen.progress import printable

if TYPE_CHECKING:
    from datagen.identification.refinement.refine import Refinement


def refine(
    scan: Annotated[Path, typer.Argument(help="Scan file.")],
    structure: Annotated[str, typer.Argument(help="CIF file; with --library an id, hash or row of the dataset.")],
    library: Annotated[
        str | None, typer.Option("--library", "-l", help="Dataset that holds the structure: folder, zip, URL or name.")
    ] = None,
    wavelength: Annotated[
        str | None,
        typer.Option(help="1.5406, 20keV, CuKa (both lines) or CuKa1, instead of what the file states."),
    ] = None,
    shift: Annotated[str, typer.Option(help="Shift of the angles to refine: zero, displacement or both.")] = "zero",
    texture: Annotated[
        str | None, typer.Option(help="Axis of preferred orientation, conventional indices such as 0,0,1.")
    ] = None,
    le_bail: Annotated[
        bool, typer.Option("--le-bail", help="Intensities from the scan, not the structure; without --texture.")
    ] = False,
    polarisation: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="0.5 for a tube, 0.99 for a synchrotron.", show_default="by wavelength"),
    ] = None,
    radius: Annotated[
        float | None,
        typer.Option(help="Radius of the goniometer in mm, with --shift displacement or both.", show_default="200"),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a plot: .png, .pdf or .svg.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON instead of tables.")] = False,
) -> None:
    """Refine cell, shift, widths, background and scale of a structure against a scan."""
    from datagen import api
    from datagen.identification.refinement.plot import plot_refinement

    found = api.refine(
        scan,
        structure,
        library=library,
        wavelength=wavelength,
        shift=shift,
        texture=_axis(texture),
        le_bail=le_bail,
        polarisation=polarisation,
        radius_mm=radius,
    )
    if plot is not None:
        plot_refinement(found, plot)
    if as_json:
        typer.echo(json.dumps({"scan": scan.name, **found.to_dict()}))
    else:
        _show(Console(highlight=False), found)


def _axis(text: str | None) -> tuple[int, int, int] | None:
    from datagen.errors import ConfigError

    if text is None:
        return None
    try:
        h, k, l = (int(part) for part in text.split(","))  # noqa: E741 - Miller indices
    except ValueError:
        raise ConfigError(f"--texture {text}: expected three indices such as 0,0,1") from None
    if not (h or k or l):
        raise ConfigError(f"--texture {text}: expected an axis, found 0,0,0")
    return h, k, l


def _show(console: Console, found: Refinement) -> None:
    from rich.markup import escape
    from rich.table import Table

    from datagen.identification.refinement.refine import EDGES

    console.print(
        f"[bold]{escape(printable(found.phase.name))}[/], space group {found.phase.space_group}: Rwp {found.r_wp:.2%}, "
        f"expected {found.r_expected:.2%}, goodness of fit {found.goodness:.2f}"
    )
    table = Table(box=None, header_style="dim")
    for heading in ("parameter", "value", "uncertainty", "unit"):
        table.add_column(heading, justify="left" if heading in ("parameter", "unit") else "right")
    for name, value, error in zip(EDGES, found.cell.tolist(), found.cell_uncertainty.tolist(), strict=True):
        fixed = error < 1e-9
        table.add_row(
            name, f"{value:.5f}", "by symmetry" if fixed else f"{error:.5f}", "A" if len(name) == 1 else "deg"
        )
    for name, error in found.uncertainty.items():
        if not name.startswith("strain_"):
            plain, _, unit = name.rpartition("_")
            named = (name, "") if unit not in UNITS else (plain, UNITS[unit])
            table.add_row(named[0], f"{found.fit.values[name]:.4f}", f"{error:.4f}", named[1])
    console.print(table)
    if found.radius_mm is not None:
        console.print(f"displacement for a goniometer radius of {found.radius_mm:g} mm (--radius)")


UNITS = {"deg": "deg", "um": "um", "cdeg2": "cdeg^2", "cdeg": "cdeg", "A2": "A^2"}


def mount(app: typer.Typer) -> None:
    """Mount the command."""
    app.command()(refine)
