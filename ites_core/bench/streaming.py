"""Memory and speed of training on data that stay in their file, for more and more of them (chapter 5).

``python -m ites_core.bench.streaming --poses 10000000 --out results/bench/streaming.json`` writes archives of sampled
poses, trains a small teacher on each, every time in a process of its own, and notes the most memory that the process
took. The largest archive has 204 bytes a pose; all are deleted afterwards.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Column, Table

from ites_core.camera import rotate
from ites_core.config import teacher_config
from ites_core.data import MocapArchive, load_archive
from ites_core.data.archive import fields_of
from ites_core.data.kinematics import turn_about_up
from ites_core.data.mapped import map_archive, write_frames
from ites_core.data.sampler import PoseSampler
from ites_core.errors import ItesError
from ites_core.loop import fit
from ites_core.provenance import provenance
from ites_core.training import teacher_task

FRAMES = 2000  # of each sequence
DRAWN = 50  # sequences that are drawn; the others are these, turned about the vertical
PEOPLE = 25
BATCH = 256


def write_sampled(file: Path, poses: int, seed: int = 0) -> None:
    """An archive of sampled poses that is not compressed, written sequence by sequence.

    Drawing ten million poses would take a quarter of an hour. So :data:`DRAWN` sequences are drawn, and further ones
    are these again, each turned about the vertical by an angle of its own, under a new name. Their cameras stand
    elsewhere, so that no two views are the same.

    Args:
        file: to write.
        poses: a multiple of :data:`FRAMES`.
        seed: of motions and angles.

    Raises:
        ItesError: another number of poses, or the file cannot be written.
    """
    if poses < 1 or poses % FRAMES:
        raise ItesError(f"poses: found {poses}, expected a multiple of {FRAMES}")
    count = poses // FRAMES
    generator = torch.Generator().manual_seed(seed)
    drawn = PoseSampler.embedded().motions(min(DRAWN, count), FRAMES, generator)
    angles = 2 * math.pi * torch.rand(count, generator=generator, dtype=torch.float64)
    angles[:DRAWN] = 0

    def sequences() -> Iterator[np.ndarray]:
        for i, turn in enumerate(turn_about_up(angles).float()):
            yield rotate(drawn[i % DRAWN], turn).numpy()

    about = MocapArchive(
        positions=drawn[:0].flatten(0, 1),
        starts=tuple(range(0, poses, FRAMES)),
        lengths=(FRAMES,) * count,
        names=tuple(f"sampled_{seed}_{i % DRAWN:02d}_turned_{i // DRAWN:04d}" for i in range(count)),
        subject=tuple(f"sampled_{i % DRAWN % PEOPLE:02d}" for i in range(count)),
        action=("sampled",) * count,
        kind=("sampled",) * count,
        split=("train",) * count,
        fps=(24.0,) * count,
    )
    write_frames(file, (poses, len(about.skeleton), 3), sequences(), fields_of(about))


def train(file: Path, streamed: bool, steps: int) -> dict[str, Any]:
    """Train a small teacher, and say what this process needed: memory in MB (10^6 bytes), time in seconds."""
    torch.set_num_threads(1)
    before, started = peak_memory(), time.perf_counter()
    archive = map_archive(file) if streamed else load_archive(file)
    config = teacher_config("smoke", max_steps=steps, batch_size=BATCH, dictionary_start="mean_body", validations=1)
    task = teacher_task(archive, config, device="cpu")
    ready = time.perf_counter()
    run = fit(task, progress=False)
    return {
        "poses": archive.frames,
        "views": len(task.data),
        "file_mb": round(file.stat().st_size / 1e6, 1),
        "read": "from the file" if streamed else "in memory",
        "peak_memory_mb": round(peak_memory() / 1e6, 1),
        "memory_before_mb": round(before / 1e6, 1),
        "seconds_to_start": round(ready - started, 1),
        "steps_per_second": round(steps / (time.perf_counter() - ready), 1),
        "first_loss": run.log[0]["total"],
        "last_loss": run.log[-1]["total"],
    }


def peak_memory() -> int:
    """The most memory that this process ever had, bytes; with it the pages of files that are lent to it."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux; what getrusage says there may stem from the parent process
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(poses: int = 10_000_000, out: Path | None = None, steps: int = 300, folder: Path | None = None) -> None:
    """Measure the memory of training from a file, for a hundredth, a tenth and all of some poses.

    Args:
        poses: in the largest archive.
        out: also write the figures to this JSON file.
        steps: of training.
        folder: where the archives are for the time being; by default the system's temporary folder.
    """
    rows = []
    with tempfile.TemporaryDirectory(dir=folder) as place:
        for size, ways in ((poses // 100, (True, False)), (poses // 10, (True, False)), (poses, (True,))):
            file = Path(place) / "sampled.npz"
            write_sampled(file, size)
            for streamed in ways:
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
                    rows.append(fresh.submit(train, file, streamed, steps).result())
    table = Table(
        Column("poses", no_wrap=True), "file, MB", "read", "peak memory, MB", "before, MB", "s to start", "steps/s"
    )
    for row in rows:
        table.add_row(
            f"{row['poses']:,}", f"{row['file_mb']:,.0f}", row["read"], f"{row['peak_memory_mb']:,.0f}",
            f"{row['memory_before_mb']:,.0f}", f"{row['seconds_to_start']:.0f}", f"{row['steps_per_second']:.0f}",
        )  # fmt: skip
    Console().print(table)
    if out is not None:
        text = {
            "data": f"{DRAWN} sequences of {FRAMES} frames drawn from the pose sampler; further ones are these, turned "
            "about the vertical and filmed by other cameras",
            "steps": steps,
            "batch": BATCH,
            "rows": rows,
            "provenance": provenance(torch.device("cpu")) | {"threads": 1},
        }
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(text, indent=1) + "\n")
        print(f"{out}: written")


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except ItesError as error:
        sys.exit(f"error: {error}")
