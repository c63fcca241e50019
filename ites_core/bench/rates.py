"""Which learning rate suits large batches: short runs of both stages at the preset's size (chapter 5).

``python -m ites_core.bench.rates --teacher runs/full/teacher --out results/bench/rates.json`` trains each stage for a
few epochs at each rate, and once with small batches, which take more steps. The schedule (a cosine to 0) is as short as
the run. Scored are views of held-out training subjects, not the test.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import tyro

from ites_core.checkpoint import RunFolder
from ites_core.config import PresetName, StudentConfig, TeacherConfig, student_config, teacher_config
from ites_core.data import load_motion
from ites_core.experiments.artefacts import write_json
from ites_core.loop import fit
from ites_core.provenance import provenance
from ites_core.training import pick_device, student_task, teacher_task

RATES = (0.0005, 0.001, 0.002, 0.004, 0.008)


def main(
    teacher: Path,
    out: Path,
    data: str = "cmu17",
    preset: PresetName = "full",
    rates: tuple[float, ...] = RATES,
    small_batch: int = 512,
    teacher_epochs: int = 4,
    student_epochs: int = 1,
    device: str = "auto",
) -> None:
    """Train short runs and write what each reached; after every run, so that an interruption loses one.

    Args:
        teacher: run folder of the teacher that the students learn from.
        out: the record.
        data: what is learnt from.
        preset: of both stages.
        rates: learning rates for the preset's batch.
        small_batch: of one further run a stage, with the preset's rate.
        teacher_epochs, student_epochs: length of a run.
        device: auto, cpu or cuda.
    """
    motion, guide = load_motion(data), RunFolder(teacher).read()
    plans: list[TeacherConfig | StudentConfig] = []
    changes: list[dict[str, Any]] = [*({"learning_rate": rate} for rate in rates), {"batch_size": small_batch}]
    for change in changes:
        plans.append(teacher_config(preset, epochs=teacher_epochs, validations=1, **change))
        plans.append(student_config(preset, epochs=student_epochs, validations=1, **change))
    rows: list[dict[str, Any]] = []
    for config in plans:
        if isinstance(config, TeacherConfig):
            stage, task = "teacher", teacher_task(motion, config, device=device)
        else:
            stage, task = "student", student_task(motion, guide, config, device=device)
        run = fit(task, progress=False)
        last = run.log[-1]
        rows.append(
            {"stage": stage, "batch": config.batch_size, "rate": config.learning_rate, "epochs": config.epochs}
            | {"steps": run.step, "views": len(task.data)}
            | {key: round(value, 5) for key, value in last.items() if key != "step"}
        )
        print(rows[-1], flush=True)
        about = provenance(pick_device(device)) | {"data": data, "seed": 0, "date": date.today().isoformat()}
        write_json({"preset": preset, "runs": rows, "provenance": about}, out)


if __name__ == "__main__":
    tyro.cli(main)
