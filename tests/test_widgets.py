"""Live figures: a control that moves changes the drawing."""

from __future__ import annotations

import ipywidgets
import plotly.graph_objects as go
import torch

from ites_core.camera import unproject
from ites_core.interact import pose_figure
from ites_core.widgets import live


def test_a_moved_slider_redraws_the_pose() -> None:
    image = 0.1 * torch.randn(17, 2, generator=torch.Generator().manual_seed(0))

    def make(depth: float) -> go.Figure:
        return pose_figure(unproject(image, depth * torch.ones(17)), radius=1.0, image_radius=0.5)

    panel = live(make, depth=(-1.0, 1.0, 0.1))
    figure, slider = panel.children[0], panel.children[1]
    assert isinstance(slider, ipywidgets.FloatSlider)
    before = [list(trace.x) for trace in figure.data]
    slider.value = 0.7
    after = [list(trace.x) for trace in figure.data]
    flat = [trace.type == "scatter" for trace in figure.data]
    assert all((a == b) == is_picture for a, b, is_picture in zip(before, after, flat, strict=True))


def test_an_error_while_drawing_is_shown_below_the_controls() -> None:
    def make(n: int) -> go.Figure:
        if n > 1:
            raise ValueError("too many")
        return go.Figure(go.Scatter(x=[0, n], y=[0, n]))

    panel = live(make, n=(0, 3, 1))
    assert isinstance(panel.children[-1], ipywidgets.Output)
