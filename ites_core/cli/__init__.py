"""The command line ``ites``: typed functions, from which tyro makes options and help (chapter 5).

One module a group of commands; ``evaluate`` and the entry point are here. Everything heavy is imported inside the
command that needs it, so that ``ites --help`` is quick.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Literal

from tyro import conf
from tyro.extras import SubcommandApp

from ites_core.cli.bench import bench
from ites_core.cli.data import data
from ites_core.cli.experiment import experiment
from ites_core.cli.export import export
from ites_core.cli.lift import lift
from ites_core.cli.train import train
from ites_core.cli.weights import weights
from ites_core.errors import ItesError

app = SubcommandApp()
app.command(data, name="data", help="Data sets: list, fetch, convert, look into; sample poses, fit the sampler.")
app.command(train, name="train", help="Train a teacher (stage 1) or a student (stage 2).")
app.command(experiment, name="experiment", help="The paper's tables and figures: list, run, report.")
app.command(name="lift", help="Lift your own keypoints to 3D: npz, JSON, CSV, BVH, glTF, HTML, GIF, MP4.")(lift)
app.command(weights, name="weights", help="Trained networks that come with the package: list, show, pack.")
app.command(name="bench", help="How fast it is here: each figure beside a reference and the machine's limit.")(bench)
app.command(export, name="export", help="Write a trained network in a format of other programs.")


@app.command
def evaluate(
    run: conf.Positional[Path],
    data: str,
    split: Literal["train", "val", "test", "all"] = "test",
    stride: int = 1,
    device: str = "auto",
    json: Path | None = None,
) -> None:
    """Score a run on a data set: every metric without and with the flip oracle, per action.

    Args:
        run: run folder of a teacher or a student.
        data: a mocap archive (.npz), or "sampler".
        split: the part of the data to score.
        stride: score every stride-th frame.
        device: auto, cpu or cuda.
        json: also write the report to this file.
    """
    from rich.console import Console
    from rich.table import Table

    from ites_core.checkpoint import RunFolder
    from ites_core.data import load_motion
    from ites_core.evaluation import UNITS
    from ites_core.evaluation import evaluate as score_run
    from ites_core.training import pick_device

    trained = RunFolder(run).read(pick_device(device))
    report = score_run(trained, load_motion(data), split, stride=stride, progress=True)
    console = Console()
    table = Table("metric", "no oracle", "oracle flip", "unit")
    for name, value in report.metrics.items():
        table.add_row(name, f"{value['no_oracle']:.1f}", f"{value['oracle_flip']:.1f}", UNITS[name])
    console.print(table)
    actions = Table("action", "views", "P-MPJPE, no oracle", "P-MPJPE, oracle flip")
    for name, value in report.actions.items():
        actions.add_row(name, f"{value['views']:.0f}", f"{value['no_oracle']:.1f}", f"{value['oracle_flip']:.1f}")
    console.print(actions)
    share = 100 * report.better_mirrored / report.views
    console.print(f"better mirrored: {report.better_mirrored} of {report.views} views ({share:.1f} %)")
    if json is not None:
        report.write(json)
        print(f"{json}: written")


def main() -> None:
    """Entry point: errors of the user's making are one line on stderr and exit status 2; stopped, it is 130."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system's request to end is as Ctrl-C
    try:
        app.cli(prog="ites", description="Lift 2D human keypoints to 3D with no 3D labels (ITES).")
    except ItesError as error:
        print(f"ites: error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as stop:
        print(f"ites: interrupted{': ' if str(stop) else ''}{stop}", file=sys.stderr)
        sys.exit(130)  # as a shell reports it
    except BrokenPipeError:  # whoever read the output has enough, as `| head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it ends
        sys.exit(141)
