"""Live twins of the pages' figures, for JupyterLab (chapters 0 to 5).

A page shows figures whose positions were computed beforehand; here the same function computes them while you drag.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets
import plotly.graph_objects as go

from ites_core.interact import moving_layout


def live(make: Callable[..., go.Figure], **controls: Any) -> ipywidgets.VBox:
    """A figure that is made anew whenever a control moves. Needs a running kernel.

    Args:
        make: parameters to a figure; every figure has the same traces in the same order.
        controls: parameter -> its control, in the short forms of ``ipywidgets.interactive``: ``(low, high, step)``
            for a slider, a list for a menu, True or False for a box; or any widget.

    Returns:
        The figure above its controls. The scene stays turned as the reader left it.
    """
    figure = go.FigureWidget()

    def redraw(**values: Any) -> None:
        fresh = make(**values)
        with figure.batch_update():
            if not figure.data:
                figure.add_traces(fresh.data)
                figure.update_layout(fresh.layout)
            for old, new in zip(figure.data, fresh.data, strict=True):
                old.update({key: value for key, value in new.to_plotly_json().items() if key != "type"})
            figure.update_layout(moving_layout(fresh))

    panel = ipywidgets.interactive(redraw, **controls)
    panel.update()  # the first drawing; front ends ask for later ones
    sliders = [child for child in panel.children if not isinstance(child, ipywidgets.Output)]
    for slider in sliders:
        slider.layout.width = "32em"
        slider.style.description_width = "10em"
    return ipywidgets.VBox([figure, *sliders, panel.out])
