"""``ites bench``: how fast it is on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def bench(
    device: str = "auto",
    out: Path | None = None,
    seconds: float = 1.0,
    compile: bool = False,
    parts: tuple[Literal["training", "lifting", "other", "growth"], ...] = ("training", "lifting", "other", "growth"),
) -> None:
    """Time training, lifting, metrics and views, each in turn with a plain reference, and show the ratios.

    Args:
        device: auto, cpu or cuda.
        out: also write the figures to this JSON file.
        seconds: of each of the five measurements of a line.
        compile: also with compiled blocks; needs a C++ compiler, on a GPU Triton.
        parts: what to time.
    """
    import json
    from dataclasses import asdict

    from rich.console import Console
    from rich.table import Column, Table

    from ites_core.bench import measure
    from ites_core.errors import ItesError
    from ites_core.files import in_place
    from ites_core.training import pick_device

    where = pick_device(device)
    figures: list[measure.Figure] = []
    if "training" in parts:
        figures += measure.training_figures(where, seconds, ("auto", "compiled") if compile else ("auto",))
    if "lifting" in parts:
        figures += measure.lifting_figures(where, seconds)
    if "other" in parts:
        figures += measure.other_figures(seconds)
    curves = measure.growth(where, seconds / 2) if "growth" in parts else {}
    table = Table(
        "what",
        *(Column(n, no_wrap=True, justify="right") for n in ("poses/s", "reference", "ratio", "of limit", "work")),
    )
    for f in figures:
        table.add_row(
            f.what,
            f"{f.rate:,.0f}" if f.rate else "",
            f"{f.reference:,.0f}" if f.reference else "",
            f"{f.ratio:.1f}" if f.ratio else "",
            f"{100 * f.limit:.0f} %" if f.limit else "",
            (f"{f.flop / 1e6:,.1f} MFLOP" if f.rate else f"{f.flop / 1e9:,.0f} GFLOP/s") if f.flop else "",
        )
    Console().print(table)
    for name, curve in curves.items():
        print(f"{name}: " + ", ".join(f"{size}: {ms:.2f} ms" for size, ms in curve))
    if out is not None:
        text = {
            "figures": [asdict(f) for f in figures],
            "growth": curves,
            "parameters": measure.sizes(),
            "provenance": measure.about(where),
        }
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ItesError(f"{out}: cannot be written ({error.strerror}); choose another folder") from error
        with in_place(out) as file:
            file.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")
        print(f"{out}: written")
