"""Figures that move: their frames, and what they carry into the page and into JupyterLab."""

from __future__ import annotations

import json
from pathlib import Path

import plotly.graph_objects as go
import pytest
import torch

from ites_core.camera import project
from ites_core.errors import ItesError
from ites_core.interact import embed, family_figure, frames, pose_figure, poses_figure
from ites_core.interact_depths import depth_explorer, depths_figure
from ites_core.plot import SIDES, draw_poses_3d
from ites_core.skeleton import H36M17


@pytest.fixture
def pose() -> torch.Tensor:
    points = 0.4 * torch.randn(17, 3, generator=torch.Generator().manual_seed(0))
    return points - points[:1]


def test_poses_figure_names_its_poses(pose: torch.Tensor) -> None:
    fig = poses_figure({"truth": pose, "twin": -pose})
    assert len(fig.data) == 2 * len(SIDES)
    assert {trace.name for trace in fig.data if trace.showlegend} == {"truth", "twin"}


@pytest.mark.parametrize("picture", [True, False])
def test_family_has_a_frame_and_a_slider_step_a_pose(pose: torch.Tensor, picture: bool) -> None:
    family = torch.stack([pose * s for s in (0.5, 1.0, 1.5)])
    fig = family_figure(family, ["a", "b", "c"], start=1, picture=picture)
    assert len(fig.frames) == len(fig.layout.sliders[0].steps) == 3
    assert all(len(frame.data) == len(fig.data) == (6 if picture else 3) for frame in fig.frames)
    if picture:
        hip = H36M17.bones[0][0]
        assert fig.data[0].x[0] == pytest.approx(project(pose)[hip, 0].item(), abs=1e-4)


def test_embedded_figure_serves_page_and_lab(pose: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.delenv("VSCODE_PID", raising=False)
    fig = family_figure([pose, -pose], ["up </script>", "down"], name="s")
    embedded = embed(fig, 'a "turning" body', draw_poses_3d({"still": pose}))
    bundle = embedded._repr_mimebundle_()
    assert set(bundle) == {"text/html"}  # the build warns of a format that it cannot show
    page = bundle["text/html"]
    assert "Plotly.newPlot" in page  # by which book/_ext/page_assets.py knows the page
    assert "cdn.plot.ly" not in page
    assert "up </script>" not in page
    assert '<noscript><img alt="a &quot;turning&quot; body" src="data:image/png;base64,' in page
    assert "SETTINGS" not in page.split("const plot")[1]
    monkeypatch.setenv("JPY_SESSION_NAME", "chapter.ipynb")
    bundle = embedded._repr_mimebundle_()
    lab = bundle["application/vnd.plotly.v1+json"]
    assert len(lab["frames"]) == 2
    assert lab["layout"]["sliders"]
    json.dumps(bundle)


def test_a_picture_may_be_given(pose: torch.Tensor) -> None:
    fig = pose_figure(pose, image=2 * project(pose))
    hip = H36M17.bones[0][0]
    assert fig.data[0].x[0] == pytest.approx(2 * project(pose)[hip, 0].item(), abs=1e-3)


def test_frames_carry_titles_and_refuse_figures_that_differ() -> None:
    def bars(n: int) -> go.Figure:
        return go.Figure(go.Bar(y=[1, n]), layout={"title": f"n = {n}"})

    fig = frames(bars, {"one": 1, "two": 2}, name="n", start=1)
    assert fig.layout.title.text == "n = 2"
    assert fig.frames[0].layout.title.text == "n = 1"
    with pytest.raises(ItesError, match="start 2"):
        frames(bars, {"one": 1, "two": 2}, name="n", start=2)
    with pytest.raises(ItesError, match="other traces"):
        frames(lambda n: go.Figure([go.Bar(y=[1])] * n), {"one": 1, "two": 2}, name="n")


def test_nothing_to_show_is_refused(pose: torch.Tensor) -> None:
    with pytest.raises(ItesError, match="one label per pose"):
        family_figure([pose], ["a", "b"])
    with pytest.raises(ItesError, match="no pose"):
        poses_figure({})


def test_depths_move_the_body_and_not_the_picture(pose: torch.Tensor) -> None:
    image, depth = project(pose), pose[:, 2]
    before, after = (depths_figure(image, d, joint=16, reach=2.0, millimetres=700.0).data for d in (depth, 0.5 * depth))
    kinds = [trace.type for trace in before]
    assert kinds == ["scatter"] * 5 + ["scatter3d"] * 5  # what depth_sliders.js counts on
    for old, new, kind in zip(before, after, kinds, strict=True):
        same = list(old.x) == list(new.x) and list(old.y) == list(new.y)
        assert same == (kind == "scatter" or old.mode == "lines")  # the ray stays too


def test_depth_explorer_wants_depths_for_all_joints(pose: torch.Tensor) -> None:
    with pytest.raises(ItesError, match=r"shape \(17,\)"):
        depth_explorer(project(pose), {"flat": torch.zeros(16)}, "alt", joint=1, reach=1.0, millimetres=700.0)


@pytest.mark.browser
def test_the_page_computes_what_the_package_computes(pose: torch.Tensor, chromium: str, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    image, depth, flat = project(pose), pose[:, 2], torch.zeros(17)
    page = depth_explorer(image, {"truth": depth, "flat": flat}, "alt", joint=16, reach=2.0, millimetres=700.0).page
    plotly_js = Path(go.__file__).parents[1] / "package_data" / "plotly.min.js"
    file = tmp_path / "page.html"
    file.write_text(f'<!doctype html><script src="{plotly_js.as_uri()}"></script>{page}', encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        tab = browser.new_page()
        tab.goto(file.as_uri())
        tab.get_by_role("button", name="flat").click()
        tab.get_by_label("joint").select_option(label="LWrist")
        slider = tab.get_by_label("depth")
        slider.focus()
        for _ in range(40):
            slider.press("ArrowRight")
        drawn = tab.evaluate("document.querySelector('.plotly-graph-div').data.map((t) => [t.x, t.y, t.z || null])")
        words = tab.locator("output[aria-live]").text_content() or ""
        room = (
            "((box) => box.scrollHeight <= box.clientHeight)(document.querySelector('.plotly-graph-div').parentElement)"
        )
        assert tab.evaluate(room), "the controls stick out of the figure's box, where a page cuts them off"
        browser.close()
    flat[H36M17.joints.index("LWrist")] = 0.4
    expected = depths_figure(image, flat, joint=H36M17.joints.index("LWrist"), reach=2.0, millimetres=700.0)
    for found, trace in zip(drawn, expected.data, strict=True):
        for values, axis in zip(found, (trace.x, trace.y, getattr(trace, "z", None)), strict=True):
            assert [v for v in values or [] if v is not None] == pytest.approx(
                [v for v in (axis if axis is not None else []) if v is not None], abs=2e-4
            )
    title = expected.layout.title.text
    assert title.removesuffix(")").replace(" (", ", ") in words
    assert "movement in the picture: 0.000000" in words
