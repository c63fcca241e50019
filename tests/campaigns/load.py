"""Much at once, and for long: a million poses, 200 loads of pages in a row, an hour of training. Does anything grow?

python -m tests.campaigns.load poses    # writes results/reliability/load.json
python -m tests.campaigns.load pages    # pages.json; needs a built book and Chromium
python -m tests.campaigns.load soak     # soak.json, after an hour
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import psutil
import torch
from tyro.extras import SubcommandApp

import ites_core
from ites_core.camera import H36M_LIKE
from ites_core.checkpoint import RunFolder
from ites_core.data import MocapArchive, load_motion, make_views, save_archive
from ites_core.data.sources import SAMPLER, is_here
from ites_core.experiments.artefacts import RESULTS, write_json
from ites_core.provenance import provenance

FOLDER = RESULTS / "reliability"
HTML = Path(__file__).resolve().parents[2] / "_build" / "html"
COUNTS = (100_000, 300_000, 1_000_000)
ITES = [sys.executable, "-m", "ites_core"]
app = SubcommandApp()


def measured(arguments: Sequence[object]) -> tuple[float, float]:
    """Run ``ites`` with some arguments to its end: seconds, and the most memory it held, MB."""
    started = time.monotonic()
    child = subprocess.Popen([*ITES, *map(str, arguments)], stdout=subprocess.DEVNULL, env=os.environ)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"ites {' '.join(map(str, arguments))}: ended with {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - started, usage.ru_maxrss / (1 if sys.platform == "darwin" else 1000)


def motion() -> MocapArchive:
    """Recordings where they are here, else the sampler's."""
    return load_motion("cmu17" if is_here("cmu17") else SAMPLER)


def keypoints(count: int) -> np.ndarray:
    """Pictures (count, 17, 2) of recorded people in pixels, as often as need be, never twice exactly alike."""
    camera = H36M_LIKE
    seen = make_views(motion(), stride=8).image.numpy() * (camera.fx, camera.fy) + (camera.cx, camera.cy)
    luck = np.random.default_rng(0)
    return (seen[np.arange(count) % len(seen)] + luck.normal(0, 2, (count, 17, 2))).astype(np.float32)


def archive(frames: int) -> MocapArchive:
    """The same recordings, one after the other, as often as need be, for a test on that many frames."""
    positions = motion().positions
    return MocapArchive(
        positions=positions[torch.arange(frames) % len(positions)],
        starts=(0,), lengths=(frames,), names=("all",), subject=("1",), action=("all",), kind=("all",), split=("test",),
        fps=(30.0,),
    )  # fmt: skip


@app.command
def poses(counts: tuple[int, ...] = COUNTS, out: Path = FOLDER / "load.json") -> None:
    """Lift and evaluate more and more poses with the packaged network, each time in a process of its own.

    Args:
        counts: how many poses.
        out: the artefact.
    """
    started, cases = time.monotonic(), []
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        RunFolder(work / "run").write(ites_core.load("ites-beyond"), None)
        for count in counts:
            np.savez(work / "people.npz", keypoints=keypoints(count))
            save_archive(archive(count // 4), work / "motion.npz")  # filmed by four cameras
            jobs = {
                "ites lift": ("lift", work / "people.npz", "--joints", "h36m17", "--out", work / "bodies.npz"),
                "ites evaluate": ("evaluate", work / "run", "--data", work / "motion.npz"),
            }
            for job, arguments in jobs.items():
                seconds, most = measured(arguments)
                cases.append(
                    {
                        "name": job,
                        "poses": count,
                        "tried": 1,
                        "survived": 1,
                        "seconds": round(seconds, 1),
                        "MB": round(most),
                    }
                )
                print(cases[-1], flush=True)
    _write(
        out, "load", "More and more poses through the command line: time, and the most memory it held.", cases, started
    )


@app.command
def pages(loads: int = 200, out: Path = FOLDER / "pages.json") -> None:
    """Open the pages of the built book one after the other in one tab, and see what the browser keeps.

    Args:
        loads: how many.
        out: the artefact.
    """
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    names = sorted(p.name for p in HTML.glob("*.html") if p.name not in ("index.html", "print.html"))
    started, faults, heap, nodes = time.monotonic(), [], [], []
    memory: list[dict[str, int]] = []
    with _served(HTML) as site, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page()
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tools = tab.context.new_cdp_session(tab)
        tools.send("Performance.enable")
        for k in range(loads):
            tab.goto(f"{site}/{names[k % len(names)]}", wait_until="load")
            tab.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")  # figures are drawn in sight
            if (k + 1) % len(names) == 0:  # the same page each time, with nothing left to sweep up
                tab.goto(f"{site}/intro.html", wait_until="load")
                tools.send("HeapProfiler.collectGarbage")
                found = {m["name"]: m["value"] for m in tools.send("Performance.getMetrics")["metrics"]}
                heap.append(round(found["JSHeapUsedSize"] / 1e6, 1))
                nodes.append(int(found["Nodes"]))
                memory.append(_family())
        tab.close()
        time.sleep(2)
        memory.append(_family())
        browser.close()
    case = {
        "name": "pages", "tried": loads, "survived": loads - len(faults), "pages": len(names),
        "heap_MB": heap, "nodes": nodes, "processes_MB": memory,
    }  # fmt: skip
    print(case)
    what = "Loads of pages in a row in one tab; what the browser holds after each round, on the first, then without it."
    _write(out, "pages", what, [case], started)


def _family() -> dict[str, int]:
    """Memory that the browser holds and shares with nobody, MB: processes that show pages, that draw, the others."""
    held = {"pages": 0.0, "drawing": 0.0, "others": 0.0}
    for process in psutil.Process().children(recursive=True):
        if "chrom" in process.name():
            kind = next((a.removeprefix("--type=") for a in process.cmdline() if a.startswith("--type=")), "")
            held[{"renderer": "pages", "gpu-process": "drawing"}.get(kind, "others")] += process.memory_full_info().uss
    return {kind: round(size / 1e6) for kind, size in held.items()}


@app.command
def soak(minutes: float = 60, out: Path = FOLDER / "soak.json") -> None:
    """Train without end, and watch the memory; then stop it as a user would, and see that its run is whole.

    Args:
        minutes: how long.
        out: the artefact.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        run = Path(name) / "run"
        command = [
            "train",
            "teacher",
            "--data",
            "cmu17" if is_here("cmu17") else SAMPLER,
            "--out",
            run,
            "--device",
            "cpu",
        ]
        child = subprocess.Popen(
            [*ITES, *map(str, command), "--set", "max_steps=1000000", "validations=4000"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        held: list[tuple[float, float]] = []
        while (now := time.monotonic() - started) < 60 * minutes:
            if child.poll() is not None:
                raise SystemExit(f"training ended with {child.returncode} after {now:.0f} s")
            held.append((now / 60, psutil.Process(child.pid).memory_info().rss / 1e6))
            time.sleep(10)
        child.terminate()
        status = child.wait(60)
        done = RunFolder(run).read()
    settled = np.array([pair for pair in held if pair[0] > minutes / 6])
    slope = float(np.polyfit(settled[:, 0], settled[:, 1], 1)[0]) * 60
    case = {
        "name": "training", "tried": 1, "survived": int(status == 130), "minutes": minutes, "steps": done.step,
        "MB_after_a_sixth": round(float(settled[0, 1])), "MB_at_the_end": round(float(settled[-1, 1])),
        "MB_an_hour": round(slope, 2),
    }  # fmt: skip
    print(case)
    what = "Training for long: memory when it has settled, at the end, and its trend in between."
    _write(out, "soak", what, [case], started)


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _write(out: Path, campaign: str, what: str, cases: list[dict[str, Any]], started: float) -> None:
    about = provenance(torch.device("cpu")) | {"seconds": round(time.monotonic() - started)}
    write_json({"campaign": campaign, "what": what, "cases": cases, "provenance": about}, out)
    print(f"{out}: written")


if __name__ == "__main__":
    app.cli()
