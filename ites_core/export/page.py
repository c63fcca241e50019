"""One HTML page that shows lifted poses and needs nothing else: no network, no kernel (chapter 7)."""

from __future__ import annotations

import html

import numpy as np
import plotly.graph_objects as go
from torch import Tensor

from ites_core.interact import frames, pose_figure
from ites_core.lifting.lift import Lifted

MOST = 150  # poses in a page; more would make it slow to open
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:1rem auto;padding:0 1rem;color:#222;
background:#fff}}</style>
</head><body><h1>{title}</h1><p>{words}</p>
{figure}
</body></html>
"""


def html_text(lifted: Lifted, person: int | None = None) -> str:
    """The page: each pose beside its picture, a slider over frames and people, the scene to be turned.

    Args:
        lifted: poses; of more than MOST, evenly spaced ones are shown, and the page says so.
        person: of a film, only this one.
    """
    rows = np.flatnonzero(lifted.done & (True if person is None else lifted.person == person))
    shown = rows[np.unique(np.linspace(0, len(rows) - 1, min(MOST, len(rows))).round().astype(int))]
    pictures = {k: _picture(lifted, k) for k in shown}
    radius = 1.05 * max(float(lifted.pose[k].abs().max()) for k in shown)
    flat = 1.1 * max(float(p.abs().max()) for p in pictures.values())
    labels: dict[str, int] = {}
    for k in map(int, shown):
        label = _label(lifted, k)
        labels[f"{label}, row {k}" if label in labels else label] = k

    def make(k: int) -> go.Figure:
        fig = pose_figure(lifted.pose[k], unit="m", image=pictures[k], radius=radius, image_radius=flat, height=560)
        guessed = lifted.completed[k]
        x, y, z = lifted.pose[k][guessed].T.tolist() if guessed.any() else ([], [], [])
        ring = {"size": 6, "color": "#CC79A7", "symbol": "circle-open", "line": {"width": 2}}
        fig.add_scatter3d(x=x, y=z, z=[-v for v in y], mode="markers", marker=ring, name="completed", hoverinfo="name")
        u, v = pictures[k][guessed].T.tolist() if guessed.any() else ([], [])
        fig.add_scatter(x=u, y=v, mode="markers", marker=ring | {"size": 12}, name="completed", hoverinfo="name")
        return fig

    fig = frames(make, labels, name="pose")
    fig.update_layout(
        xaxis_title="right [m]",
        yaxis_title="down [m]",
        annotations=[
            {"text": "what was detected", "x": 0.18, "y": 1.04, "xref": "paper", "yref": "paper", "showarrow": False},
            {"text": "what was lifted", "x": 0.68, "y": 1.04, "xref": "paper", "yref": "paper", "showarrow": False},
        ],
        margin={"t": 40},
    )
    words = [
        *lifted.summary().splitlines(),
        f"lifted by {lifted.weights}",
        "right side solid and orange, left side dashed and blue; joints in rings were completed",
    ]
    if len(shown) < len(rows):
        words.append(f"{len(shown)} poses of {len(rows)} are shown, evenly spaced")
    return _PAGE.format(
        title=html.escape(f"Lifted poses: {lifted.source.rsplit('/', 1)[-1]}"),
        words=html.escape(". ".join(words) + "."),
        figure=fig.to_html(include_plotlyjs=True, include_mathjax=False, full_html=False, auto_play=False),
    )


def _picture(lifted: Lifted, k: int) -> Tensor:
    """The joints in the picture, root at the origin, in metres at the person's depth."""
    picture = lifted.picture[k]
    return (picture - picture[lifted.skeleton.root]) * float(lifted.metres_per_pixel[k])


def _label(lifted: Lifted, k: int) -> str:
    image = lifted.images[int(lifted.frame[k])]
    where = f"frame {lifted.frame[k]}" if lifted.film else image
    who = f", person {lifted.person[k]}" if lifted.person[k] >= 0 else ""
    return f"{where}{who}"
