"""kill -9 at random moments of training, of an experiment and of a download: always resumable, nothing corrupt.

``python -m tests.campaigns.kill`` writes ``results/reliability/kill.json``.
"""

from __future__ import annotations

import io
import json
import random
import re
import shutil
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
import tyro
from safetensors import safe_open
from safetensors.torch import load_file

from ites_core.data import MocapArchive, save_archive
from ites_core.data.sampler import PoseSampler
from ites_core.experiments.artefacts import RESULTS, read_row, write_json
from ites_core.provenance import provenance
from tests.campaigns.children import ends_well, half_written, kill_somewhere, start

OUT = RESULTS / "reliability" / "kill.json"
JOBS = ("training", "experiment", "download")


@dataclass
class Tally:
    """What came of the kills of one kind.

    Attributes:
        tried: kills that hit a living process.
        survived: of these, those after which every file was whole and the same command went on to its end.
        where: what was going on when they hit -> how many.
        steps: training steps of the last checkpoint at each kill, where there was one.
        chains: runs that were killed once or more, then brought to their end.
        equal: chains that ended bitwise as the run that nobody killed.
        wrong: what was found wrong.
    """

    tried: int = 0
    survived: int = 0
    where: Counter[str] = field(default_factory=Counter)
    steps: list[int] = field(default_factory=list)
    chains: int = 0
    equal: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Job:
    """Something to kill.

    Attributes:
        commands: of a folder, the arguments of ``ites`` for each part of the job, in order. A part whose run has begun
            gets ``--resume`` if ``resumes``.
        check: of a folder, what is wrong in it after a kill.
        result: of a folder, all that must be equal at the end, and nothing that may differ.
        writes: files that one command writes, about.
        resumes: see above.
        download: address of what is fetched.
    """

    commands: Callable[[Path], list[list[object]]]
    check: Callable[[Path], list[str]]
    result: Callable[[Path], Any]
    writes: int
    resumes: bool = False
    download: str | None = None


def kill(job: Job, kills: int, work: Path, luck: random.Random, most_in_a_chain: int = 8) -> Tally:
    """Do a job once in peace, then again and again with kills, until there were enough of them."""
    usual = []
    for command in job.commands(work / "whole"):
        started = time.monotonic()
        assert ends_well(start(command, work / "whole.txt", job.download)), (work / "whole.txt").read_text()[-2000:]
        usual.append(time.monotonic() - started)
    whole, tally, number = job.result(work / "whole"), Tally(), 0
    while tally.tried < kills:
        folder, number = work / f"chain{number}", number + 1
        left = luck.randint(1, min(most_in_a_chain, kills - tally.tried))
        begun, ended = tally.tried, True
        for part, command in enumerate(job.commands(folder)):
            parts_after = len(usual) - part - 1
            budget = left if parts_after == 0 else luck.randint(0, left)
            left -= budget
            ended = ended and _one_part(job, command, usual, part, budget, folder, tally, luck)
        same = ended and job.result(folder) == whole
        left_over = half_written(folder) if job.resumes else []
        shutil.rmtree(folder)
        if same and tally.tried == begun:
            continue  # nothing was killed
        tally.chains += 1
        print(f"{job.commands(folder)[0][:2]}: {tally.tried} kills, {tally.equal + same} of {tally.chains}", flush=True)
        tally.equal += same
        if same and not left_over:
            tally.survived += tally.tried - begun
        else:
            tally.wrong.append(f"{folder.name}: ended {ended}, as the whole {same}, left {left_over}")
    return tally


def _one_part(
    job: Job,
    command: Sequence[object],
    usual: list[float],
    part: int,
    kills: int,
    folder: Path,
    tally: Tally,
    luck: random.Random,
) -> bool:
    """Run one command to its end, killing it on the way; whether it came to its end. ``usual`` learns from haste."""
    says = folder.with_suffix(".txt")
    while True:
        again = ["--resume"] if job.resumes and (Path(str(command[-1])) / "run.json").exists() else []
        child = start([*command[:2], *again, *command[2:]], says, job.download)
        if not kills:
            return ends_well(child)
        started = time.monotonic()
        if not kill_somewhere(child, usual[part], job.writes, folder, luck):
            usual[part] = min(usual[part], time.monotonic() - started)
            return child.exitcode == 0  # it was faster than we
        kills -= 1
        tally.tried += 1
        tally.where[where_it_hit(folder)] += 1
        tally.steps += [step for file in folder.rglob("state.safetensors") if (step := step_of(file)) >= 0]
        tally.wrong += job.check(folder)


def where_it_hit(folder: Path) -> str:
    """What a killed process was at, told by what it left behind."""
    writing = sorted(re.sub(r"^\.\d+\.", "", file.name) for file in half_written(folder))
    if writing:
        return f"writing {'a member of the zip' if writing[0].startswith('walk') else re.sub('-0', '', writing[0])}"
    if any(folder.rglob("*.part")):
        return "receiving"
    if any(folder.rglob("*.zip")):
        return "between download and end"
    if not any(folder.rglob("run.json")):
        return "before the first write"
    if not any(folder.rglob("state.safetensors")):
        return "before the first checkpoint"
    return "between two writes"


def step_of(file: Path) -> int:
    """The step that a checkpoint is of; -1 if it cannot be read."""
    try:
        with safe_open(file, "pt") as tensors:
            return int((tensors.metadata() or {}).get("step", "-1"))
    except Exception:  # whatever it is, the file is not whole, and `unreadable` reports it
        return -1


def unreadable(folder: Path) -> list[str]:
    """Files under their final name that cannot be read to the end."""
    wrong = []
    for file in (f for f in folder.rglob("*") if f.is_file() and not f.name.startswith(".")):
        try:
            if file.suffix == ".json":
                json.loads(file.read_text())
            elif file.suffix == ".jsonl":
                _ = [json.loads(line) for line in file.read_text().splitlines()]
            elif file.suffix == ".safetensors":
                load_file(file)
        except Exception as error:
            wrong.append(f"{file}: {error!r}")
    return wrong


# ---- the three jobs ----------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def small_archive() -> MocapArchive:
    """Drawn from the embedded sampler, enough to train a smoke-sized network."""
    sampler = PoseSampler.embedded()
    return sampler.archive(sequences=12, frames=20, test_sequences=3, subjects=6, test_subjects=2, seed=5)


def data_file(work: Path) -> Path:
    """The same as a file."""
    file = work / "data.npz"
    if not file.exists():
        save_archive(small_archive(), file)
    return file


def training(data: Path, steps: int = 300) -> Job:
    """Teacher, its student, and a student without a teacher, whose first student is trained anew when it resumes.

    A checkpoint every 25 steps.
    """
    alone = ["batch_size=64", "channels=16", "blocks=2", "density_steps=20", "bones=student", "bones_steps=25"]

    def commands(folder: Path) -> list[list[object]]:
        every = ["--data", data, "--device", "cpu", "--set", f"max_steps={steps}", "validations=1000"]
        often = [*every, "--preset", "smoke", "--set"]
        return [
            ["train", "teacher", *often, "width=256", "bottleneck=32", "--out", folder / "teacher"],
            ["train", "student", *often, "channels=16", "--teacher", folder / "teacher", "--out", folder / "student"],
            ["train", "student", *every, *alone, "--preset", "beyond", "--out", folder / "beyond"],
        ]

    def result(folder: Path) -> Any:
        return {
            stage: (_weights(folder / stage), _losses(folder / stage)) for stage in ("teacher", "student", "beyond")
        }

    return Job(commands, unreadable, result, writes=4 * steps // 25, resumes=True)


def experiment() -> Job:
    """``ites experiment run student``: its teacher first, then scoring of both."""

    def commands(folder: Path) -> list[list[object]]:
        where = ["--results", folder / "results", "--runs", folder / "runs", "--device", "cpu"]
        return [["experiment", "run", "student", "--data", "sampler", "--scale", "smoke", "--seed", 0, *where]]

    def result(folder: Path) -> Any:
        rows = [read_row(f) for f in sorted((folder / "results" / "sampler" / "smoke").glob("[!.]*.json"))]
        weights = {f.parent.name: _weights(f.parent) for f in sorted(folder.rglob("model.safetensors"))}
        examples = json.loads((folder / "results" / "sampler" / "examples-sampler.json").read_text())
        for row in (*rows, examples):
            del row["provenance"]  # it has the seconds
        return rows, weights, examples

    return Job(commands, unreadable, result, writes=20)


def _weights(folder: Path) -> dict[str, bytes]:
    return {k: v.numpy().tobytes() for k, v in load_file(folder / "model.safetensors").items()}


def _losses(folder: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def download(url: str, body: bytes) -> Job:
    """``ites data fetch`` of a zip file, with what it unpacks."""
    members = {info.filename: zipfile.ZipFile(io.BytesIO(body)).read(info) for info in _members(body)}

    def check(folder: Path) -> list[str]:
        wrong = []
        for file in (f for f in folder.rglob("*") if f.is_file() and not f.name.startswith(".")):
            name = file.relative_to(folder / "walks").as_posix()
            if (name == "walks.zip" and file.read_bytes() != body) or (
                name in members and file.read_bytes() != members[name]
            ):
                wrong.append(f"{file}: {file.stat().st_size} bytes, not those of the server")
            if name == "walks.zip.sha256" and not re.fullmatch(r"[0-9a-f]{64}  walks\.zip\n", file.read_text()):
                wrong.append(f"{file}: {file.read_text()!r}")
            if name == "walks.zip.part" and not body.startswith(file.read_bytes()):
                wrong.append(f"{file}: not the beginning of the file")
        return wrong

    def result(folder: Path) -> Any:
        files = (f for f in folder.rglob("*") if f.is_file() and not f.name.startswith("."))
        return {f.relative_to(folder).as_posix(): f.read_bytes() for f in files if f.suffix != ".json"}

    return Job(lambda folder: [["data", "fetch", "walks", "--folder", folder]], check, result, writes=30, download=url)


def _members(body: bytes) -> list[zipfile.ZipInfo]:
    return zipfile.ZipFile(io.BytesIO(body)).infolist()


@contextmanager
def slow_server(seconds: float = 0.6, size: int = 3_000_000) -> Iterator[tuple[str, bytes, Counter[str]]]:
    """Serves a zip file at a leisurely rate: its address, its bytes, and how many bytes were sent."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for number in range(30):
            file.writestr(f"walk{number:02d}.amc", random.Random(number).randbytes(size // 30))
    body, sent, block = packed.getvalue(), Counter[str](), 1 << 14

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            first = int(wanted[6:-1]) if wanted and self.headers.get("If-Range") == '"one"' else 0
            self.send_response(206 if first else 200)
            if first:
                self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
            self.send_header("Content-Length", str(len(body) - first))
            self.send_header("ETag", '"one"')
            self.end_headers()
            try:
                for start_ in range(first, len(body), block):
                    self.wfile.write(body[start_ : start_ + block])
                    sent["bytes"] += len(body[start_ : start_ + block])
                    time.sleep(seconds * block / len(body))
            except OSError:  # whoever asked is dead
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Nothing: the campaign's output is no log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/walks.zip", body, sent
        finally:
            server.shutdown()


# ---- the campaign ------------------------------------------------------------------------------------------


def case(name: str, job: Job, kills: int, luck: random.Random) -> dict[str, Any]:
    """Kill a job in a folder of its own; a row of the artefact."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as work:
        tally = kill(job, kills, Path(work), luck)
    print(f"{name}: done", flush=True)
    return {
        "name": name,
        "tried": tally.tried,
        "survived": tally.survived if not tally.wrong else min(tally.survived, tally.tried - len(tally.wrong)),
        "chains": tally.chains,
        "bitwise_equal": tally.equal,
        "where": dict(sorted(tally.where.items())),
        "steps": sorted(tally.steps),
        "seconds": round(time.monotonic() - started, 1),
        "wrong": tally.wrong,
        "commit": provenance(torch.device("cpu"))["commit"],
    }


def main(kills: int = 50, seed: int = 0, only: tuple[str, ...] = JOBS, out: Path = OUT) -> None:
    """Kill each job so many times, and write what came of it.

    Args:
        kills: of each kind.
        seed: of the moments, as far as clocks repeat.
        only: these jobs; what the artefact holds of the others stays.
        out: the artefact.
    """
    started = time.monotonic()
    with (
        slow_server() as (url, body, sent),
        tempfile.TemporaryDirectory() as data,
        ThreadPoolExecutor(3) as side_by_side,
    ):
        jobs = {
            "training": training(data_file(Path(data))),
            "experiment": experiment(),
            "download": download(url, body),
        }
        waiting = [side_by_side.submit(case, name, jobs[name], kills, random.Random(f"{seed} {name}")) for name in only]
        rows = {row["name"]: row for row in json.loads(out.read_text())["cases"]} if out.exists() else {}
        rows |= {row["name"]: row for row in (job.result() for job in waiting)}
    if "download" in only:
        rows["download"]["bytes"] = len(body)
        rows["download"]["bytes_sent_a_chain"] = round(sent["bytes"] / (rows["download"]["chains"] + 1))
    cases = [rows[name] for name in JOBS if name in rows]
    for row in cases:
        print({k: v for k, v in row.items() if k != "steps"})
    what = "Processes ended by SIGKILL at random moments, half of them while a file was written, then started again."
    about = provenance(torch.device("cpu")) | {"threads": 1, "seed": seed}
    about["seconds"] = round(time.monotonic() - started, 1)
    write_json({"campaign": "kill", "what": what, "cases": cases, "provenance": about}, out)
    print(f"{out}: written")


if __name__ == "__main__":
    tyro.cli(main)
