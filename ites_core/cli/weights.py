"""``ites weights``: the trained networks that come with the package."""

from __future__ import annotations

from pathlib import Path

from tyro import conf
from tyro.extras import SubcommandApp

weights = SubcommandApp()


@weights.command(name="list")
def list_weights() -> None:
    """List the packaged networks with their error on the test subjects, in both flip columns."""
    from rich.console import Console
    from rich.table import Table

    from ites_core.weights import card, names

    table = Table("name", "stage", "parameters", "data set", "P-MPJPE, no oracle", "oracle flip", "better mirrored")
    for name in names():
        about = card(name)
        for data, score in about.scores.items():
            error = score["metrics"]["P-MPJPE"]
            share = 100 * score["better_mirrored"] / score["views"]
            columns = (f"{error['no_oracle']:.1f} mm", f"{error['oracle_flip']:.1f} mm", f"{share:.1f} %")
            table.add_row(name, about.run["stage"], f"{about.parameters:,}", data, *columns)
    Console().print(table)


@weights.command
def show(name: conf.Positional[str]) -> None:
    """Show the card of a packaged network.

    Args:
        name: see `ites weights list`.
    """
    from rich.console import Console
    from rich.markdown import Markdown

    from ites_core.weights import card

    Console().print(Markdown(f"# {name}\n\n{card(name).markdown()}"))


@weights.command
def pack(
    run: conf.Positional[Path],
    name: str,
    about: str,
    limits: str,
    terms: str,
    data: tuple[str, ...] = ("cmu17", "hdm05_17"),
    folder: Path | None = None,
) -> None:
    """Make a finished run part of the package: float16 weights, scored as they are shipped, and a card.

    Args:
        run: run folder.
        name: what `ites_core.load` will call it.
        about: one sentence.
        limits: where it fails.
        terms: of the data that it learnt from.
        data: data sets to score it on.
        folder: where to; by default the package's own.
    """
    from ites_core.checkpoint import RunFolder
    from ites_core.data import load_motion
    from ites_core.weights import FOLDER
    from ites_core.weights import pack as make

    to = folder or FOLDER
    sets = {label: load_motion(label) for label in data}
    made = make(RunFolder(run).read(), name, sets, about=about, limits=limits, terms=terms, folder=to)
    print(f"{to / name}.safetensors, .json: {made.parameters:,} parameters, SHA-256 {made.sha256[:12]}...")
