"""The command line ``ites``: typed functions, from which tyro makes options and help (chapter 5)."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro import conf
from tyro.extras import SubcommandApp

from ites_core.config import (
    STUDENT_PRESETS,
    TEACHER_PRESETS,
    PresetName,
    parse_assignments,
    student_config,
    teacher_config,
)
from ites_core.errors import ItesError

if TYPE_CHECKING:
    from ites_core.checkpoint import Run

app = SubcommandApp()
data = SubcommandApp()
train = SubcommandApp()
app.command(data, name="data", help="Look into motion data, sample poses, fit the sampler.")
app.command(train, name="train", help="Train a teacher (stage 1) or a student (stage 2).")

# `--set a=1 b=2` and `--set a=1 --set b=2` mean the same.
Settings = Annotated[conf.UseAppendAction[tuple[tuple[str, ...], ...]], conf.arg(name="set", metavar="FIELD=VALUE ...")]


@data.command
def info(file: conf.Positional[str]) -> None:
    """Show what a mocap archive holds: sequences, frames, subjects and actions of each split.

    Args:
        file: a mocap archive (.npz), or "sampler".
    """
    from rich.console import Console
    from rich.table import Table

    from ites_core.data import load_motion

    archive = load_motion(file)
    console = Console()
    console.print(
        f"{archive.source}: joint set {archive.skeleton.name}, {len(archive)} sequences, {archive.frames} frames"
    )
    table = Table("split", "sequences", "frames", "minutes", "subjects", "actions")
    for split in sorted(set(archive.split)):
        part = archive.take([i for i in range(len(archive)) if archive.split[i] == split])
        minutes = sum(n / f for n, f in zip(part.lengths, part.fps, strict=True)) / 60
        counts = (len(part), part.frames, f"{minutes:.1f}", len(set(part.subject)), len(set(part.action)))
        table.add_row(split, *map(str, counts))
    console.print(table)


@data.command
def sample(n: int, out: Path, seed: int = 0) -> None:
    """Draw independent poses from the embedded sampler into a mocap archive.

    Args:
        n: number of poses.
        out: the archive to write (.npz).
        seed: the same seed gives the same poses.
    """
    import torch

    from ites_core.data import MocapArchive, save_archive
    from ites_core.data.sampler import PoseSampler

    if n < 1:
        raise ItesError(f"--n: found {n}, expected at least 1")
    poses = PoseSampler.embedded().poses(n, torch.Generator().manual_seed(seed))
    one = ("sampled",) * n
    archive = MocapArchive(
        positions=poses.float(),
        starts=tuple(range(n)),
        lengths=(1,) * n,
        names=tuple(f"sampled_{seed}_{i:06d}" for i in range(n)),
        subject=tuple(f"sampled_{i % 20:02d}" for i in range(n)),
        action=one,
        kind=one,
        split=("train",) * n,
        fps=(24.0,) * n,
        source=str(out),
    )
    save_archive(archive, out)
    print(f"{out}: {n} poses")


@data.command(name="fit-sampler")
def fit_sampler(data: str, out: Path, seed: int = 0) -> None:
    """Fit the pose sampler to the training subjects of an archive (needs scikit-learn).

    Args:
        data: a mocap archive (.npz).
        out: the parameter file to write (.safetensors).
        seed: of the fit.
    """
    from ites_core.data.fit import fit_sampler_file

    fit_sampler_file(data, out, seed)
    print(f"{out}: {out.stat().st_size / 1000:.0f} kB")


@dataclass(frozen=True)
class TrainingOptions:
    """What both stages ask for.

    Attributes:
        data: a mocap archive (.npz), or "sampler" for the embedded pose sampler.
        out: the run folder to write.
        preset: named settings; `ites train presets` shows them.
        seed: of weights, cameras, batches and rotations.
        device: auto, cpu or cuda.
        resume: continue the run in --out after an interruption.
        settings: change single fields of the preset, for example --set batch_size=64 rotations=vertical.
    """

    data: str
    out: Path
    preset: PresetName = "small"
    seed: int = 0
    device: str = "auto"
    resume: bool = False
    settings: Settings = ()

    def changes(self) -> dict[str, str]:
        """The fields that --set names, with their text."""
        return parse_assignments(chain(*self.settings))

    def finish(self, run: Run) -> None:
        """Say what was made and what to do next."""
        print(f"{self.out}: {run.stage}, {run.step} steps, {run.provenance['seconds']:.0f} s")
        print(f"next: ites evaluate {self.out} --data {self.data}")


@train.command(name="teacher")
def train_teacher_command(options: Annotated[TrainingOptions, conf.arg(name="")]) -> None:
    """Stage 1: train the pose-dictionary teacher on 2D views; no 3D label is used."""
    from ites_core.data import load_motion
    from ites_core.training import train_teacher

    o = options
    config = teacher_config(o.preset, **o.changes())
    o.finish(train_teacher(load_motion(o.data), config, o.out, seed=o.seed, device=o.device, resume=o.resume))


@train.command(name="student")
def train_student_command(teacher: Path, options: Annotated[TrainingOptions, conf.arg(name="")]) -> None:
    """Stage 2: distil a trained teacher into the graph-convolution student.

    Args:
        teacher: run folder of stage 1.
    """
    from ites_core.checkpoint import RunFolder
    from ites_core.data import load_motion
    from ites_core.training import train_student

    o = options
    config = student_config(o.preset, **o.changes())
    guide = RunFolder(teacher).read()
    o.finish(train_student(load_motion(o.data), guide, config, o.out, seed=o.seed, device=o.device, resume=o.resume))


@train.command
def presets() -> None:
    """Show every field of both stages and its value in each preset."""
    from rich.console import Console
    from rich.table import Table

    for stage, make, names in (
        ("teacher", teacher_config, TEACHER_PRESETS),
        ("student", student_config, STUDENT_PRESETS),
    ):
        configs = [make(name) for name in names]
        table = Table(f"{stage} field", *names)
        for f in fields(configs[0]):
            table.add_row(f.name, *(str(getattr(c, f.name)) for c in configs))
        Console().print(table)


@app.command
def evaluate(
    run: conf.Positional[Path],
    data: str,
    split: Literal["train", "val", "test", "all"] = "test",
    stride: int = 1,
    json: Path | None = None,
) -> None:
    """Score a run on a data set: every metric without and with the flip oracle, per action.

    Args:
        run: run folder of a teacher or a student.
        data: a mocap archive (.npz), or "sampler".
        split: the part of the data to score.
        stride: score every stride-th frame.
        json: also write the report to this file.
    """
    from rich.console import Console
    from rich.table import Table

    from ites_core.checkpoint import RunFolder
    from ites_core.data import load_motion
    from ites_core.evaluation import UNITS
    from ites_core.evaluation import evaluate as score_run

    report = score_run(RunFolder(run).read(), load_motion(data), split, stride=stride)
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
    """Entry point: errors of the user's making are one line on stderr and exit status 2."""
    try:
        app.cli(prog="ites", description="Lift 2D human keypoints to 3D with no 3D labels (ITES).")
    except ItesError as error:
        print(f"ites: error: {error}", file=sys.stderr)
        sys.exit(2)
