"""Tables and figures of the chapter Results, made of stored runs alone."""

from __future__ import annotations

import html
import json
import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import plotly.graph_objects as go
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ites_core.errors import ItesError
from ites_core.evaluation import COLUMNS, UNITS
from ites_core.experiments.artefacts import Place, Row, slug
from ites_core.experiments.cost import BATCH, Cost
from ites_core.experiments.report import Cell, table
from ites_core.experiments.tables import Claim, Experiment, paper
from ites_core.experiments.verdict import Judgement, judge

INK = {"no_oracle": "#D55E00", "oracle_flip": "#0072B2"}
NAMES = {"no_oracle": "no oracle", "oracle_flip": "oracle flip"}
_SORTER = Path(__file__).with_name("sortable.js")


@dataclass(frozen=True)
class Html:
    """Text that shows itself as HTML in a notebook and in the published page."""

    text: str

    def _repr_html_(self) -> str:
        return self.text


@dataclass(frozen=True)
class Entry:
    """A cell of a sortable table: what is shown (HTML), and what it is sorted by."""

    shown: str
    key: float | str


def sortable(headers: Sequence[str], rows: Iterable[Sequence[Entry | str]], caption: str) -> Html:
    """A table whose headers sort it, by mouse and keyboard. It needs no other file, and no network.

    Args:
        headers: names of the columns, plain text.
        rows: cells; plain text is escaped, and sorted as text. The first of each names its row.
        caption: plain text.
    """
    head = "".join(
        f'<th scope="col"><button type="button">{html.escape(name)}<span aria-hidden="true"></span></button></th>'
        for name in (header.replace("P-M", "P\u2011M") for header in headers)  # a hyphen that does not break
    )
    body = []
    for row in rows:
        cells = [c if isinstance(c, Entry) else Entry(html.escape(c), c) for c in row]
        marks = [html.escape("" if isinstance(c.key, float) and math.isnan(c.key) else str(c.key)) for c in cells]
        first = f'<th scope="row" data-key="{marks[0]}">{cells[0].shown}</th>'
        others = [f'<td data-key="{mark}">{c.shown}</td>' for c, mark in zip(cells[1:], marks[1:], strict=True)]
        body.append(f"<tr>{first}{''.join(others)}</tr>")
    script = _SORTER.read_text(encoding="utf-8")
    title = f"<caption>{html.escape(caption)}</caption>"
    return Html(
        f'<div class="sortable-box" tabindex="0"><table class="table sortable">{title}'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div><script>{script}</script>"
    )


def runs_links(runs: Iterable[Row]) -> Entry:
    """Links to the artefacts of some runs, one a seed, as the published page serves them."""
    links = [
        f'<a href="results/{r["data"]}/{r["scale"]}/{slug(r["system"])}-{r["seed"]}.json" '
        f'aria-label="{html.escape(r["system"])}, seed {r["seed"]}">{r["seed"]}</a>'
        for r in runs
    ]
    return Entry("&nbsp;".join(links), float(len(links)))


def _entry(found: float | Cell | None) -> Entry:
    if found is None:
        return Entry("", math.nan)
    if isinstance(found, Cell):
        return Entry(str(found).replace(" ± ", "&nbsp;±&nbsp;"), found.mean)
    return Entry(f"{found:.1f}", float(found))


def paper_table(experiment: Experiment, place: Place, only_measured: bool = False) -> Html:
    """A table of the paper, sortable: printed and measured numbers side by side, with links to the runs.

    Args:
        experiment: which.
        place: data and scale.
        only_measured: leave out the rows that the paper quotes from others.
    """
    lines = [line for line in table(experiment, place) if line.system or not only_measured]
    kinds = any(line.kind for line in lines)
    printed = [any(line.printed[k] is not None for line in lines) for k in range(len(experiment.columns))]
    headers = ["method", *(["supervision"] if kinds else [])]
    for column, has in zip(experiment.columns, printed, strict=True):
        unit = UNITS[column.metric]
        headers += [f"{column.title}, paper [{unit}]"] if has else []
        headers += [f"{column.title}, {NAMES[flip]} [{unit}]" for flip in COLUMNS]
    rows = []
    for line in lines:
        cells: list[Entry | str] = [line.label, *([line.kind] if kinds else [])]
        for number, pair, has in zip(line.printed, line.measured, printed, strict=True):
            cells += [_entry(number)] if has else []
            cells += [_entry(found) for found in pair]
        rows.append([*cells, runs_links(line.runs)])
    caption = f"{experiment.name}: {experiment.title}. Measured on {place.data} at scale {place.scale}."
    return sortable([*headers, "runs"], rows, caption)


def verdict_table(found: Sequence[tuple[Experiment, Judgement]], caption: str) -> Html:
    """Claims with verdicts, sortable: by how much the better side is better, without the oracle flip and with it."""
    several = len({experiment.name for experiment, _ in found}) > 1
    sources = len({judgement.claim.source for _, judgement in found}) > 1
    metrics = len({judgement.claim.metric for _, judgement in found}) > 1
    headers = ["claim", *(["where"] if several else []), *(["whose"] if sources else []), "verdict"]
    headers += ["metric"] if metrics else []
    rows = []
    for experiment, judgement in found:
        claim = judgement.claim
        row: list[Entry | str] = [claim.says]
        row += ([experiment.name] if several else []) + ([claim.source] if sources else [])
        row += [Entry(f"<strong>{judgement.verdict}</strong>", judgement.verdict), *([claim.metric] if metrics else [])]
        for column in COLUMNS:
            mine = [e for e in judgement.effects if e.column == column]
            worst = min(mine, key=lambda e: e.low, default=None)
            if worst is None:
                row.append(Entry("", math.nan))
            else:
                text = f"{worst.gain:+.1f} {UNITS[claim.metric]} [{worst.low:+.1f}, {worst.high:+.1f}]"
                row.append(Entry(text.replace(" ", "&nbsp;"), worst.gain))
        rows.append(row)
    return sortable([*headers, *(f"better by, {NAMES[column]}" for column in COLUMNS)], rows, caption)


def cost_table(cost: Cost) -> Html:
    """Table 9 as measured on one machine, sortable, beside the numbers in print."""
    headers = ["network", "parameters in print [millions]", "parameters", "time in print [ms]", "one pose [ms]"]
    printed = paper()["table-9"]["rows"]
    rows: list[list[Entry | str]] = []
    for label, row in cost.networks.items():
        size, time = printed.get(label, (None, None))
        rows.append(
            [
                label,
                Entry("" if size is None else f"{size:.2f}", math.nan if size is None else float(size)),
                Entry(f"{row['parameters']:,}", row["parameters"]),
                Entry("" if time is None else f"{time:.2f}", math.nan if time is None else float(time)),
                Entry(f"{row['ms_single']:.2f}", row["ms_single"]),
                Entry(f"{row['us_batch']:.1f}", row["us_batch"]),
            ]
        )
    return sortable([*headers, f"a pose of {BATCH} [µs]"], rows, f"table-9: measured on {cost.device}.")


def reasons(found: Iterable[tuple[Experiment, Judgement]]) -> Html:
    """For every claim that does not plainly hold: its verdict, and what lies behind it."""
    items = [
        f"<li>{html.escape(j.claim.says)} <strong>{j.verdict}</strong>. {html.escape(j.claim.why)}</li>"
        for _, j in found
        if j.verdict not in ("holds", "not measured") and j.claim.why
    ]
    return Html(f"<ul>{''.join(items)}</ul>" if items else "<p>Every claim that was measured here holds.</p>")


def sweep_figure(experiment: Experiment, place: Place, axis: str, metric: str = "P-MPJPE", log: bool = False) -> Figure:
    """A table whose rows are values of one setting, drawn: mean, and the range of the seeds as a band.

    Args:
        experiment: its lines' labels hold the value as their first number; lines without one are left out.
        place: data and scale.
        axis: what the values are.
        metric: of which column of the table.
        log: logarithmic axis.
    """
    column = next(k for k, c in enumerate(experiment.columns) if c.metric == metric)
    lines = {number: line for line in table(experiment, place) if (number := _number(line.label)) is not None}
    fig, ax = plt.subplots(figsize=(6.4, 3.6), facecolor="white", layout="constrained")
    marks = {"no_oracle": ("o", "-"), "oracle_flip": ("s", "--")}
    for k, flip in enumerate(COLUMNS):
        cells = {x: line.measured[column][k] for x, line in sorted(lines.items())}
        have = {x: c for x, c in cells.items() if c is not None}
        if have:
            (mark, style), xs = marks[flip], list(have)
            ax.plot(xs, [c.mean for c in have.values()], style, marker=mark, color=INK[flip], label=NAMES[flip])
            low, high = [min(c.values) for c in have.values()], [max(c.values) for c in have.values()]
            ax.fill_between(xs, low, high, color=INK[flip], alpha=0.2, linewidth=0)
    printed = {x: number for x, line in sorted(lines.items()) if (number := line.printed[column]) is not None}
    if printed:
        ax.plot(list(printed), list(printed.values()), ":", marker="^", color="black", label="paper, Human3.6M")
    if log:
        ax.set_xscale("log")
    ax.set_xticks(sorted(lines), [f"{x:g}" for x in sorted(lines)])
    ax.minorticks_off()
    ax.set(xlabel=axis, ylabel=f"{metric} [{UNITS[metric]}]")
    if ax.lines:
        ax.legend(frameon=False)
    return fig


def _number(label: str) -> float | None:
    words = label.replace(",", " ").split()
    return next((float(word) for word in words if word.replace(".", "").isdigit()), None)


def forest_figure(claims: Sequence[tuple[Claim, Place]], seeds: int | None = None, reach: float = 40.0) -> go.Figure:
    """Every claim as an interval: right of zero it holds, left of zero it does not.

    Args:
        claims: each with where it was measured; those that were not measured are left out.
        seeds: judge by the first so many; None for all.
        reach: mm to either side of zero that the axis shows.
    """
    measured = [(c, p) for c, p in claims if judge(c, p).effects and UNITS[c.metric] == "mm"]
    judged = [judge(claim, place, seeds) for claim, place in measured]
    fig = go.Figure()
    for flip, shift in zip(COLUMNS, (0.15, -0.15), strict=True):
        worst = [min((e for e in j.effects if e.column == flip), key=lambda e: e.low) for j in judged]
        fig.add_scatter(
            x=[e.gain for e in worst], y=[shift - k for k in range(len(worst))], name=NAMES[flip], mode="markers",
            marker={"color": INK[flip], "size": 7, "symbol": "circle" if flip == "no_oracle" else "square"},
            error_x={"type": "data", "array": [e.high - e.gain for e in worst], "color": INK[flip]},
            hovertemplate="%{x:.1f} mm<extra></extra>",
        )  # fmt: skip
    words = ["<br>".join(textwrap.wrap(claim.says, 46)) for claim, _ in measured]
    fig.update_layout(
        xaxis={"range": [-reach, reach], "title": "better by [mm]", "gridcolor": "#e5e5e5", "zerolinecolor": "#444"},
        yaxis={"tickvals": [-k for k in range(len(words))], "ticktext": words, "range": [-len(words) + 0.4, 0.6]},
        height=120 + 38 * len(words), margin={"l": 10, "r": 10, "t": 40, "b": 50}, font={"color": "#222222"},
        paper_bgcolor="white", plot_bgcolor="white", legend={"orientation": "h", "y": 1.0, "yanchor": "bottom"},
    )  # fmt: skip
    fig.update_yaxes(gridcolor="#e5e5e5", automargin=True)
    return fig


@dataclass(frozen=True)
class Examples:
    """The few views of Figures 5 and 7.

    Attributes:
        actions: of each view.
        camera: of each view, counted from 0.
        image: (V, N, 2) image coordinates.
        truth: (V, N, 3) metres, root-relative, camera frame.
        lifted: system -> (V, N, 3) metres, seed 0; each pose at its least-squares scale.
    """

    actions: list[str]
    camera: list[int]
    image: Tensor
    truth: Tensor
    lifted: dict[str, Tensor]


def examples(experiment: Experiment, place: Place, data: str) -> Examples:
    """Example views of a data set, and what the systems of an experiment made of them.

    Raises:
        ItesError: the views are not stored.
    """
    file = place.results / place.data / f"examples-{data}.json"
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        image, truth = torch.tensor(about["image"]), torch.tensor(about["truth"]) / 1000
        actions, camera = list(about["actions"]), list(about["camera"])
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ItesError(f"{file}: not readable ({error!r:.80}); `ites experiment run` writes it") from error
    lifted = {}
    for system in experiment.systems:
        for row in place.rows(system):
            if row["seed"] == 0 and data in row.get("examples", {}):
                pose = torch.tensor(row["examples"][data]) / 1000
                scale = (pose * truth).sum(dim=(1, 2)) / pose.square().sum(dim=(1, 2))
                lifted[system] = scale[:, None, None] * pose
    return Examples(actions, camera, image, truth, lifted)
