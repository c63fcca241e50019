"""The page that lifts: torch's numbers, by mouse, finger, keyboard and pasted text; a picture where it cannot run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from conftest import HTML, SCREENSHOTS
from playwright.sync_api import Browser, Page
from test_pages import PAGES, opened, unreadable
from torch import Tensor

import ites_core
from ites_core.camera import project
from ites_core.data.joint_sets import COCO17, COCO17_TO_H36M17
from ites_core.lifting.prior import ShapePrior
from ites_core.metrics import depth_mirror
from ites_core.skeleton import H36M17

pytestmark = pytest.mark.browser
NAME = "8_lift_in_the_page.html"
ASSETS = HTML / "_static" / "lifter"
STATE = "document.getElementById('lifter').dataset.state"
LIFTS = "Number(document.getElementById('lifter').dataset.lifts)"
WRIST = H36M17.joints.index("LWrist")


def ready(page: Page) -> Page:
    """The page, once its first lift is done; still, so that nothing but a test changes it."""
    page.wait_for_function(f"{STATE} === 'ready'")
    if control(page, "turning").inner_text() == "Stop turning":
        control(page, "turning").click()
    return page


@pytest.fixture(scope="module")
def shared(browser: Browser, site: str) -> Iterator[Page]:
    """One page for the tests that leave nothing behind."""
    page = ready(opened(browser, f"{site}/{NAME}"))
    yield page
    assert page.faults == []
    page.context.close()


@pytest.fixture
def page(shared: Page) -> Page:
    """The shared page at its first example."""
    for box in ("together", "truth", "upwards"):
        control(shared, box).evaluate("(box) => { if (box.checked) box.click(); }")
    control(shared, "over").select_option("")
    control(shared, "example").select_option("0")
    lifted_by(shared, lambda: control(shared, "reset").click())
    return shared


def control(page: Page, name: str) -> Any:
    """A button, menu or box of the lifter."""
    return page.locator(f'[data-control="{name}"]')


def lifted_by(page: Page, act: Callable[[], Any]) -> None:
    """Do something, and wait for the lift that follows."""
    before = page.evaluate(LIFTS)
    act()
    page.wait_for_function(f"{LIFTS} > {before}")
    page.wait_for_timeout(60)


def result(page: Page) -> dict[str, Any]:
    """What the page shows, as its reader gets it: by the download button. Poses as tensors."""
    with page.expect_download() as download:
        control(page, "download").click()
    content = json.loads(download.value.path().read_text(encoding="utf-8"))
    names = ("image", "student", "teacher", "student_twin")
    return {k: torch.tensor(v) if k in names else v for k, v in content.items()}


def place(page: Page, joint: str) -> tuple[float, float]:
    """Middle of a joint's dot on the screen."""
    dot = page.locator(f'[data-joint="{joint}"] .lifter-dot')
    dot.scroll_into_view_if_needed()
    box = None
    while box is None or box != dot.bounding_box():  # until the page has stopped scrolling
        box = dot.bounding_box()
        page.wait_for_timeout(50)
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def torchs(stage: str, image: Tensor) -> Tensor:
    """The same network in torch, on pictures of the virtual camera."""
    run = ites_core.load({"student": "ites-ts", "teacher": "ites-t"}[stage])
    return run.lift(image / run.normalisation.factor)


def test_every_example_is_lifted_as_torch_lifts_it(page: Page) -> None:
    examples = json.loads((ASSETS / "lifter.json").read_text(encoding="utf-8"))["examples"]
    assert len(examples) >= 5
    for k, example in enumerate(examples):
        lifted_by(page, lambda k=k: control(page, "example").select_option(str(k)))
        found = result(page)
        image = torch.tensor(example["image"])
        assert torch.allclose(found["image"], image - image[0], atol=1e-6)
        for stage in ("student", "teacher"):
            assert torch.allclose(found[stage], torchs(stage, found["image"]), atol=1e-4), (example["name"], stage)
        assert torch.equal(found["student_twin"], depth_mirror(found["student"]))
        assert found["joints"] == list(H36M17.joints)


def test_a_joint_follows_the_mouse(page: Page, measured: dict[str, float]) -> None:
    before = result(page)
    x, y = place(page, "LWrist")
    page.mouse.move(x, y)
    page.mouse.down()
    lifted_by(page, lambda: page.mouse.move(x + 40, y - 30, steps=4))
    page.mouse.up()
    after = result(page)
    moved = after["image"] - before["image"]
    assert moved[WRIST, 0] > 0.03 and moved[WRIST, 1] < -0.02
    assert not moved[torch.arange(17) != WRIST].any()
    assert (after["student"] - before["student"])[:, 2].abs().max() > 1e-3
    assert torch.allclose(project(after["student"]), after["image"], atol=1e-5), "the student's picture is the reader's"
    assert torch.allclose(after["student"], torchs("student", after["image"]), atol=1e-4)
    page.mouse.move(x, y)  # the button is up: nothing follows any more
    assert torch.equal(result(page)["image"], after["image"])


def test_what_hangs_on_a_joint_moves_with_it(page: Page) -> None:
    control(page, "together").check()
    before = result(page)["image"]
    page.locator('[data-joint="LShoulder"]').focus()
    lifted_by(page, lambda: page.keyboard.press("Shift+ArrowLeft"))
    moved = (result(page)["image"] - before)[:, 0]
    arm = [H36M17.joints.index(name) for name in ("LShoulder", "LElbow", "LWrist")]
    assert torch.allclose(moved[arm], torch.tensor(-0.05), atol=1e-6)
    assert not np.delete(moved.numpy(), arm).any()


def test_keys_choose_and_move_joints(page: Page) -> None:
    control(page, "example").focus()
    page.keyboard.press("Shift+Tab")  # from the menu beside the picture into it
    assert page.evaluate("document.activeElement.matches('.lifter-joint:focus-visible')")
    before = result(page)["image"]
    page.locator('[data-joint="LWrist"]').focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "Shift+ArrowUp"):
        lifted_by(page, lambda key=key: page.keyboard.press(key))
    moved = result(page)["image"] - before
    assert moved[WRIST].tolist() == pytest.approx([0.02, -0.04], abs=1e-6)
    assert not moved[torch.arange(17) != WRIST].any()
    joint = page.locator('[data-joint="LWrist"]')
    assert joint.get_attribute("aria-label") == "left wrist"
    assert f"u {before[WRIST, 0] + 0.02:.2f}".replace("-0.00", "0.00") in joint.get_attribute("aria-valuetext")
    assert "left wrist" in page.locator('[data-output="depth"]').inner_text()
    joint.focus()
    names = []
    for key in ("PageDown", "PageUp", "PageUp", "Home", "End"):
        page.keyboard.press(key)
        names.append(page.evaluate("document.activeElement.dataset.joint"))
    assert names == ["RShoulder", "LWrist", "LElbow", "Hip", "RWrist"]
    assert page.locator('.lifter-joint[tabindex="0"]').count() == 1


def test_a_joint_stays_inside_the_picture(page: Page) -> None:
    page.locator('[data-joint="LWrist"]').focus()
    for _ in range(12):
        page.keyboard.press("Shift+ArrowRight")
    page.wait_for_timeout(200)
    frame = page.locator('[data-panel="picture"] svg').bounding_box()
    x, y = place(page, "LWrist")
    assert frame["x"] < x < frame["x"] + frame["width"] and frame["y"] < y < frame["y"] + frame["height"]


def test_the_view_turns_by_keyboard_by_mouse_and_by_itself(page: Page) -> None:
    turn, drawing = control(page, "turn"), page.locator('[data-panel="student"] svg')
    seen = "(svg) => [...svg.querySelectorAll('line')].map((line) => line.getAttribute('x1')).join()"
    views = [drawing.evaluate(seen)]
    for act in (
        lambda: turn.press("ArrowRight"),
        lambda: drawing.drag_to(drawing, source_position={"x": 80, "y": 90}, target_position={"x": 160, "y": 90}),
        lambda: control(page, "turning").click(),
    ):
        value = turn.input_value()
        act()
        page.wait_for_timeout(500)
        views.append(drawing.evaluate(seen))
        assert turn.input_value() != value
    assert len(set(views)) == len(views)
    assert control(page, "turning").inner_text() == "Stop turning"
    control(page, "turning").click()
    at = turn.input_value()
    page.wait_for_timeout(300)
    assert turn.input_value() == at and turn.get_attribute("aria-valuetext") == f"{at}°"
    assert f"{at}°" in drawing.get_attribute("aria-label")


def test_other_pictures_and_the_truth_are_drawn_over(page: Page) -> None:
    ghost = page.locator('[data-panel="picture"] svg > g').nth(1)
    drawn = set()
    for which in ("", "teacher", "twin"):
        control(page, "over").select_option(which)
        page.wait_for_timeout(100)
        assert ghost.get_attribute("visibility") == ("visible" if which else "hidden")
        drawn.add(ghost.inner_html())
    assert len(drawn) >= 2
    truth = page.locator('[data-panel="student"] svg > g[visibility="visible"]')
    without = truth.count()
    control(page, "truth").check()
    page.wait_for_timeout(100)
    assert truth.count() == without + 1
    page.locator('[data-joint="LWrist"]').focus()
    lifted_by(page, lambda: page.keyboard.press("ArrowRight"))
    assert truth.count() == without, "a pose that the reader made has no truth"


def paste(page: Page, text: str, order: str = "coco17") -> str:
    """Paste keypoints, and read what the page says to them."""
    page.locator(".lifter-paste").evaluate("(box) => { box.open = true; }")
    control(page, "text").fill(text)
    control(page, "order").select_option(order)
    control(page, "lift").click()
    page.wait_for_timeout(150)
    return page.locator('[data-output="paste"]').inner_text()


def coco_person() -> np.ndarray:
    """(17, 3) somebody upright, in pixels, all keypoints visible."""
    middle = {"nose": 60, "eye": 55, "ear": 58, "shoulder": 100, "elbow": 150, "wrist": 200, "hip": 210, "knee": 300}
    rows = []
    for name in COCO17:
        side, _, part = name.rpartition("_")
        x = {"left": 340, "right": 300, "": 320}[side] + (15 if part in ("wrist", "ear") else 0)
        rows.append([x, middle.get(part, 390), 2])
    return np.array(rows, dtype=float)


def test_pasted_coco_keypoints_are_mapped_scaled_and_lifted(page: Page) -> None:
    person = coco_person()
    annotation = json.dumps({"annotations": [{"keypoints": person.flatten().tolist()}, {"keypoints": []}]})
    rows = "\n".join(f"{name}, {x}, {y}" for name, (x, y, _) in zip(COCO17, person, strict=True))
    joints = COCO17_TO_H36M17 @ person[:, :2]
    scale = ShapePrior.packaged().scale(joints[None])  # as `ites lift` brings people to size
    image = torch.tensor((joints - joints[0]) * scale, dtype=torch.float32)
    for text, words in ((annotation, "2 people found"), (rows, "Lifted")):
        assert words in paste(page, text)
        found = result(page)
        assert torch.allclose(found["image"], image, atol=1e-5)
        assert torch.allclose(found["teacher"], torchs("teacher", image), atol=1e-4)
    control(page, "upwards").check()
    assert "does y point up" in paste(page, rows)


def test_pasted_joints_of_the_book_may_have_the_root_at_the_origin(page: Page) -> None:
    image = json.loads((ASSETS / "lifter.json").read_text(encoding="utf-8"))["examples"][1]["image"]
    assert "Lifted" in paste(page, "\n".join(f"{100 * u:.3f} {100 * v:.3f}" for u, v in image), "h36m17")
    found = result(page)["image"]
    assert torch.nn.functional.cosine_similarity(found.flatten(), torch.tensor(image).flatten(), dim=0) > 0.9999


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p[:, :2].flatten()[:-1].tolist(), "Found 33 numbers; expected 34 (x and y of 17 joints) or 51"),
        (lambda p: [[0, 0, 0] if k == 15 else row for k, row in enumerate(p.tolist())], "left_ankle"),
        (lambda p: [[1, 1] for _ in p], "in one place"),
        (lambda p: {"bbox": [1, 2]}, "neither a list of numbers nor an object"),
    ],
    ids=["a number short", "a joint not found", "a dot", "another object"],
)
def test_a_fault_of_pasted_text_is_named(page: Page, change: Callable[[np.ndarray], Any], words: str) -> None:
    before = result(page)["image"]
    assert words in paste(page, json.dumps(change(coco_person())))
    assert torch.equal(result(page)["image"], before)


def test_a_finger_drags_a_joint_and_dark_and_phone_render(browser: Browser, site: str) -> None:
    page = opened(browser, f"{site}/{NAME}", width=390, has_touch=True, is_mobile=True)
    ready(page)
    before, (x, y) = result(page)["image"], place(page, "LWrist")
    scrolled = page.evaluate("scrollY")
    finger = page.context.new_cdp_session(page)
    for kind, dx in (("touchStart", 0), ("touchMove", 15), ("touchMove", 40), ("touchEnd", None)):
        points = [] if dx is None else [{"x": x + dx, "y": y}]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    page.wait_for_timeout(300)
    assert page.evaluate("scrollY") == scrolled
    assert (result(page)["image"] - before)[WRIST, 0] > 0.03
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    folder = SCREENSHOTS / "lifter"
    folder.mkdir(parents=True, exist_ok=True)
    page.locator("#lifter").screenshot(path=folder / "phone.png")
    page.set_viewport_size({"width": 1200, "height": 900})
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(200)
        assert unreadable(page) == []
        page.locator("#lifter").screenshot(path=folder / f"{scheme}.png")
    assert page.faults == []
    page.context.close()


def test_a_reader_who_wants_no_motion_gets_none(browser: Browser, site: str) -> None:
    page = opened(browser, f"{site}/{NAME}", reduced_motion="reduce")
    page.wait_for_function(f"{STATE} === 'ready'")
    assert control(page, "turning").inner_text() == "Turn"
    page.context.close()


@pytest.mark.parametrize("fault", ["no scripts", "no WebAssembly", "a network is missing"])
def test_where_it_cannot_run_a_picture_says_so(browser: Browser, site: str, fault: str) -> None:
    page = opened(browser, "about:blank", java_script_enabled=fault != "no scripts")
    if fault == "no WebAssembly":
        page.add_init_script("delete globalThis.WebAssembly")
    if fault == "a network is missing":
        page.route("**/student.onnx", lambda route: route.fulfill(status=404))
    page.goto(f"{site}/{NAME}", wait_until="load")
    status = page.locator("#lifter .lifter-status")
    if fault != "no scripts":
        page.wait_for_selector('#lifter[data-state="failed"]')
    assert "picture stands still" in status.inner_text()
    picture = page.locator("#lifter img")
    assert picture.is_visible() and picture.bounding_box()["width"] > 300
    assert len(picture.get_attribute("alt")) > 50
    page.context.close()


def test_only_this_page_loads_the_networks_runtime(site: str) -> None:
    assert NAME in PAGES
    for name in PAGES:
        text = (HTML / name).read_text(encoding="utf-8")
        assert ("_static/lifter/lifter.js" in text) is ("ort.wasm" in text) is (name == NAME), name


@pytest.mark.timing
def test_the_first_lift_comes_soon_and_many_follow(
    browser: Browser, site: str, measured: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    """The aims are 2 seconds and 30 lifts a second; measured, with bounds for a machine that does much else."""
    page = ready(opened(browser, f"{site}/{NAME}"))
    measured["lifter: first lift, ms"] = float(page.evaluate("document.getElementById('lifter').dataset.firstLift"))
    x, y = place(page, "LWrist")
    page.mouse.move(x, y)
    page.mouse.down()
    lifts = page.evaluate(
        f"""async ([x, y]) => {{  // the pointer moves at every frame, as under a hand
        const svg = document.querySelector('[data-panel="picture"] svg'), before = {LIFTS}, start = performance.now();
        for (let k = 0; performance.now() < start + 2000; k++) {{
            await new Promise(requestAnimationFrame);
            const at = {{clientX: x + 30 * Math.sin(k / 10), clientY: y + 20 * Math.cos(k / 10)}};
            svg.dispatchEvent(new PointerEvent("pointermove", {{...at, bubbles: true}}));
        }}
        return ({LIFTS} - before) / (performance.now() - start) * 1000;
        }}""",
        [x, y],
    )
    page.mouse.up()
    measured["lifter: lifts a second"] = lifts
    with capsys.disabled():
        print(f"\nfirst lift after {measured['lifter: first lift, ms']:.0f} ms, then {lifts:.0f} lifts a second")
    assert measured["lifter: first lift, ms"] < 20_000
    assert lifts > 5
    page.context.close()
