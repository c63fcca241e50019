"""``ites train``: both stages, and the table of presets."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

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

if TYPE_CHECKING:
    from ites_core.checkpoint import Run
    from ites_core.data import Motion

train = SubcommandApp()

# `--set a=1 b=2` and `--set a=1 --set b=2` mean the same.
Settings = Annotated[conf.UseAppendAction[tuple[tuple[str, ...], ...]], conf.arg(name="set", metavar="FIELD=VALUE ...")]


@dataclass(frozen=True)
class TrainingOptions:
    """What both stages ask for.

    Attributes:
        data: a mocap archive (.npz), or "sampler" for the embedded pose sampler.
        out: the run folder to write.
        preset: named settings; `ites train presets` shows them.
        seed: of weights, cameras, batches and rotations.
        device: auto, cpu or cuda.
        speed: auto records the step on a GPU and replays it; plain issues every operation by itself, as auto does
            without a GPU; compiled lets torch.compile fuse each block, which takes a minute to begin with.
        stream: leave the data in their file and make each batch when its turn comes, for data larger than memory; the
            file must not be compressed, see `ites data unpack`.
        resume: continue the run in --out after an interruption.
        settings: change single fields of the preset, for example --set batch_size=64 rotations=vertical.
    """

    data: str
    out: Path
    preset: PresetName = "small"
    seed: int = 0
    device: str = "auto"
    speed: Literal["auto", "plain", "compiled"] = "auto"
    stream: bool = False
    resume: bool = False
    settings: Settings = ()

    def changes(self) -> dict[str, str]:
        """The fields that --set names, with their text."""
        return parse_assignments(chain(*self.settings))

    def motion(self) -> Motion:
        """What --data names."""
        from ites_core.data import load_motion
        from ites_core.data.mapped import map_archive

        return map_archive(self.data) if self.stream else load_motion(self.data)

    def rest(self) -> dict[str, Any]:
        """What both stages pass on as it is."""
        return {"seed": self.seed, "device": self.device, "resume": self.resume, "speed": self.speed}

    def finish(self, run: Run) -> None:
        """Say what was made and what to do next; of several processes, the first does."""
        from ites_core.distributed import leave_team

        if not leave_team():
            return
        print(f"{self.out}: {run.stage}, {run.step} steps, {run.provenance['seconds']:.0f} s")
        scored = any("val_p_mpjpe" in row for row in run.log)  # annotated photographs have no truth
        print(f"next: ites evaluate {self.out} --data {self.data if scored else 'RECORDINGS-WITH-3D'}")


@train.command(name="teacher")
def train_teacher_command(options: Annotated[TrainingOptions, conf.arg(name="")]) -> None:
    """Stage 1: train the pose-dictionary teacher on 2D views; no 3D label is used."""
    from ites_core.training import train_teacher

    o = options
    config = teacher_config(o.preset, **o.changes())
    o.finish(train_teacher(o.motion(), config, o.out, **o.rest()))


@train.command(name="student")
def train_student_command(options: Annotated[TrainingOptions, conf.arg(name="")], teacher: Path | None = None) -> None:
    """Stage 2: distil a trained teacher into the graph-convolution student; or learn from priors alone.

    Args:
        teacher: run folder of stage 1; the preset beyond needs none.
    """
    from ites_core.checkpoint import RunFolder
    from ites_core.training import train_student

    o = options
    config = student_config(o.preset, **o.changes())
    guide = RunFolder(teacher).read() if teacher else None
    o.finish(train_student(o.motion(), guide, config, o.out, **o.rest()))


@train.command
def presets() -> None:
    """Show every field of both stages and its value in each preset."""
    from rich.console import Console
    from rich.table import Column, Table

    for stage, make, names in (
        ("teacher", teacher_config, TEACHER_PRESETS),
        ("student", student_config, STUDENT_PRESETS),
    ):
        configs = [make(name) for name in names]
        values = [Column(name, overflow="fold") for name in names]
        table = Table(Column(f"{stage} field", no_wrap=True), *values, box=None, pad_edge=False)
        for f in fields(configs[0]):
            table.add_row(f.name, *(str(getattr(c, f.name)) for c in configs))
        Console().print(table)
