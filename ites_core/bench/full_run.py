"""The full run: both stages at the paper's size and schedule, evaluated, with time and power (chapter 5).

``python -m ites_core.bench.full_run --runs runs/full --out results/bench/full_run.json`` gives chapter 5's commands one
after the other, each in a process of its own, and notes how long each took from start to end.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from datetime import date
from pathlib import Path
from typing import Any

import tyro

from ites_core.checkpoint import RunFolder, describe
from ites_core.config import PresetName
from ites_core.errors import ItesError
from ites_core.experiments.artefacts import write_json
from ites_core.step import Speed

PAUSE = 2.0  # seconds between readings of the power


def main(
    out: Path,
    runs: Path = Path("runs/full"),
    data: str = "cmu17",
    elsewhere: str = "hdm05_17",
    preset: PresetName = "full",
    speed: Speed = "compiled",
    device: str = "cuda",
    seed: int = 0,
) -> None:
    """Train teacher and student, evaluate both on two data sets, write the record.

    Args:
        out: the record.
        runs: folder for the two run folders.
        data: what both learn from.
        elsewhere: other recordings, on which they are evaluated, too.
        preset, speed, device, seed: as in ``ites train``.
    """
    teacher, student = runs / "teacher", runs / "student"
    rest = ["--preset", preset, "--speed", speed, "--device", device, "--seed", str(seed)]
    commands = [
        ["train", "teacher", "--data", data, *rest, "--out", str(teacher)],
        ["train", "student", "--teacher", str(teacher), "--data", data, *rest, "--out", str(student)],
    ]
    reports = {
        (run.name, on): runs / f"{run.name}-{Path(on).stem}.json"
        for run in (teacher, student)
        for on in (data, elsewhere)
    }
    for (name, on), file in reports.items():
        commands.append(["evaluate", str(runs / name), "--data", on, "--device", device, "--json", str(file)])
    record: dict[str, Any] = {"what": "both stages, then evaluation; seconds of each command from its start to its end"}
    steps: list[dict[str, Any]] = []
    started = time.monotonic()
    with Power() as power:
        for command in commands:
            print("ites", *command, flush=True)
            begun = time.monotonic()
            if subprocess.run([sys.executable, "-m", "ites_core", *command], check=False).returncode:
                raise ItesError(f"ites {' '.join(command)}: failed, see above; what was finished is in {runs}")
            steps.append({"command": " ".join(["ites", *command]), "seconds": round(time.monotonic() - begun, 1)})
            # Written after every command: whatever comes next, what was measured is kept.
            record |= {"commands": steps, "seconds": round(time.monotonic() - started, 1), "watts": power.watts}
            for run in (teacher, student):
                if RunFolder(run).exists():
                    made = RunFolder(run).read()
                    record[run.name] = describe(made) | {"steps": made.step, "log": made.log}
            record["scores"] = {
                f"{name} on {on}": json.loads(file.read_text(encoding="utf-8"))["metrics"]
                for (name, on), file in reports.items()
                if file.is_file()
            }
            record["provenance"] = record["teacher"]["provenance"] | {"date": date.today().isoformat()}
            write_json(record, out)
    print(f"{out}: {record['seconds']} s")


class Power:
    """What an NVIDIA GPU draws, every :data:`PAUSE` seconds; no readings where there is none.

    Attributes:
        watts: the readings.
        reader: takes them, until this ends or the card does not tell.
    """

    def __init__(self) -> None:
        self.watts: list[float] = []
        self._over = threading.Event()
        self.reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Power:
        if shutil.which("nvidia-smi"):
            self.reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _read(self) -> None:
        command = ["nvidia-smi", "--query-gpu=power.draw", "--format=csv,noheader,nounits", "--id=0"]
        while not self._over.wait(PAUSE):
            said = subprocess.run(command, capture_output=True, text=True, check=False)
            try:
                self.watts.append(float(said.stdout))
            except ValueError:
                return  # this card does not tell


if __name__ == "__main__":
    tyro.cli(main)
