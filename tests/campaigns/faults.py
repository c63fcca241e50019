"""Full disks, read-only folders, jumping clocks, Ctrl-C, two processes at one place: what was there stays, and one
clear line says what to do.

``python -m tests.campaigns.faults`` tries all of them and writes ``results/reliability/faults.json``.
"""

from __future__ import annotations

import io
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import tyro

from ites_core import cli
from ites_core.checkpoint import Run, RunFolder, provenance
from ites_core.config import TeacherConfig, teacher_config
from ites_core.data import MocapArchive, load_archive, save_archive
from ites_core.data.sampler import PoseSampler
from ites_core.errors import ItesError
from ites_core.experiments.artefacts import RESULTS, read_row, write_json
from ites_core.training import train_teacher
from tests.campaigns.children import PATIENCE, ends_well, start
from tests.campaigns.kill import slow_server, unreadable

OUT = RESULTS / "reliability" / "faults.json"
CONFIG = teacher_config("smoke", max_steps=200, validations=1000)  # a checkpoint every 25 steps
SETTINGS = ("--preset", "smoke", "--device", "cpu", "--set", "max_steps=200", "validations=1000")
EXPERIMENT = ("experiment", "run", "all depths zero", "--data", "sampler", "--scale", "smoke", "--seed", 0)


class NotHereError(Exception):
    """This machine cannot make the fault; the message says why."""


# ---- helpers -----------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def small_archive() -> MocapArchive:
    """Enough to train a smoke-sized network."""
    sampler = PoseSampler.embedded()
    return sampler.archive(sequences=12, frames=20, test_sequences=3, subjects=6, test_subjects=2, seed=5)


def data_file(work: Path) -> Path:
    """The same as a file."""
    file = work / "data.npz"
    if not file.exists():
        save_archive(small_archive(), file)
    return file


def trained(out: Path | None = None, resume: bool = False, config: TeacherConfig = CONFIG) -> Run:
    """Train in this process."""
    return train_teacher(small_archive(), config, out, device="cpu", resume=resume, progress=False)


@lru_cache(maxsize=1)
def undisturbed() -> Run:
    """What every fault must leave room for."""
    return trained()


def same_weights(a: Run, b: Run) -> bool:
    """Bit by bit."""
    ours, theirs = a.model.state_dict(), b.model.state_dict()
    return a.step == b.step and all(torch.equal(ours[k], theirs[k]) for k in ours)


def ites(*arguments: object) -> tuple[int, str]:
    """The command line in this process: status, and the last line on stderr."""
    code, says = 0, io.StringIO()
    with patch.object(sys, "argv", ["ites", *map(str, arguments)]), redirect_stdout(says), redirect_stderr(says):
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
    return code, (says.getvalue().strip().splitlines() or [""])[-1]


def is_clear(message: str, *parts: object) -> None:
    """One line that names what it is about."""
    assert "\n" not in message and "Traceback" not in message, message
    for part in parts:
        assert str(part) in message, f"{message!r} does not name {part}"


@contextmanager
def small_disk(work: Path, size: int, read_only: bool = False) -> Iterator[Path]:
    """A file system of its own, of so many bytes."""
    disk = work / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        raise NotHereError("only root may mount a small file system")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def resize(disk: Path, options: str) -> None:
    """Mount a small file system anew with other options."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


def fill(disk: Path, leave: int = 0) -> Path:
    """Fill a file system but for so many bytes; returns the file that does it."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    size = max(0, ballast.stat().st_size - leave)
    os.truncate(ballast, size)
    return ballast


@contextmanager
def files_at_most(size: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes: what a quota does, without root."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def leftovers(folder: Path) -> list[str]:
    """Hidden files: what a failed write forgot."""
    return [f.name for f in folder.rglob(".*") if f.is_file()]


def wait_for(what: Callable[[], bool], why: str) -> None:
    """Until something is true."""
    give_up = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < give_up, why
        time.sleep(0.005)


def has_step(folder: Path, step: int) -> bool:
    """Whether the log of a run has come so far."""
    log = folder / "log.jsonl"
    return log.exists() and f'"step": {step}' in log.read_text()


# ---- full disk ---------------------------------------------------------------------------------------------


def training_on_a_full_disk(work: Path) -> None:
    """The run stops with one line, its last checkpoint loads, and with room it resumes to the same weights."""
    with small_disk(work, 4 << 20) as disk:
        out = disk / "run"
        command = ("train", "teacher", "--data", data_file(work), "--out", out, *SETTINGS)
        child = start(command, work / "says")
        wait_for(lambda: has_step(out, 100) or not child.is_alive(), "no checkpoint")
        child.kill()
        child.join()
        ballast = fill(disk)
        code, says = ites(*command, "--resume")
        assert code == 2, (code, says)
        is_clear(says, out, "No space left on device", "last checkpoint is kept", "--resume")
        kept = RunFolder(out).read().step
        assert 0 < kept < 200 and not unreadable(out) and not leftovers(out), (kept, says)
        ballast.unlink()
        assert same_weights(trained(out, resume=True), undisturbed())


def training_beyond_a_quota(work: Path) -> None:
    """As a full disk, by the limit on the size of one file: the second checkpoint has the optimiser's tensors, too."""
    out = work / "run"
    trained(work / "short", config=teacher_config("smoke", max_steps=1))
    with files_at_most((work / "short" / "model.safetensors").stat().st_size + 20_000):
        try:
            trained(out)
        except ItesError as error:
            says = str(error)
        else:
            raise AssertionError("nothing was refused")
    is_clear(says, out / "state.safetensors", "File too large", "last checkpoint is kept")
    assert RunFolder(out).read().step == 0 and not unreadable(out) and not leftovers(out)
    assert same_weights(trained(out, resume=True), undisturbed())


def experiment_on_a_full_disk(work: Path) -> None:
    """Its artefact cannot be written: one line; with room, the same command ends with the same numbers."""
    with small_disk(work, 1 << 20) as disk:
        command = (*EXPERIMENT, "--runs", work / "runs", "--device", "cpu")
        assert ites(*command, "--results", work / "whole")[0] == 0
        (disk / "sampler" / "smoke").mkdir(parents=True)
        ballast = fill(disk)
        code, says = ites(*command, "--results", disk)
        assert code == 2, (code, says)
        file = Path("sampler") / "smoke" / "all-depths-zero-0.json"
        is_clear(says, disk / file, "No space left on device", "run the same command again")
        assert not (disk / file).exists() and not leftovers(disk)
        ballast.unlink()
        assert ites(*command, "--results", disk)[0] == 0
        assert read_row(disk / file)["metrics"] == read_row(work / "whole" / file)["metrics"]


def outputs_on_a_full_disk(work: Path) -> None:
    """Whatever is written over an older file: the older one stays, and one line names it."""
    with small_disk(work, 8 << 20) as disk:
        written = []
        for name, write in writers(work).items():
            file = disk / name
            file.write_bytes(b"what was here before")
            ballast = fill(disk)
            code, says = write(file)
            assert code == 2, (name, code, says)
            is_clear(says, file, "No space left on device")
            assert file.read_bytes() == b"what was here before" and not leftovers(disk), (name, leftovers(disk))
            ballast.unlink()
            code, says = write(file)
            assert code == 0 and file.read_bytes() != b"what was here before", (name, code, says)
            file.unlink()
            written.append(name)
        assert len(written) > 10


def outputs_beyond_a_quota(work: Path) -> None:
    """The same by the limit on the size of one file."""
    for name, write in writers(work).items():
        file = work / name
        file.write_bytes(b"what was here before")
        with files_at_most(500):
            code, says = write(file)
        assert code == 2, (name, code, says)
        is_clear(says, file)
        assert file.read_bytes() == b"what was here before" and not leftovers(work), (name, leftovers(work))
        file.unlink()


def writers(work: Path) -> dict[str, Callable[[Path], tuple[int, str]]]:
    """Commands that write one file, by the name of that file."""
    keypoints, data, run = work / "people.npy", data_file(work), work / "writers"
    if not run.exists():
        trained(run, config=teacher_config("smoke", max_steps=25))
        seen = torch.randn(30, 17, 3, generator=torch.Generator().manual_seed(0)).numpy()
        np.save(keypoints, np.concatenate([200 + 50 * seen[..., :2], np.ones((30, 17, 1))], axis=-1))

    def lift(file: Path) -> tuple[int, str]:
        return ites("lift", keypoints, "--out", file, "--joints", "coco17", "--film", "yes")

    found: dict[str, Callable[[Path], tuple[int, str]]] = {
        f"lifted.{suffix}": lift for suffix in ("npz", "json", "csv", "bvh", "glb", "gltf", "html", "gif")
    }
    found["sampled.npz"] = lambda file: ites("data", "sample", "--n", 1000, "--out", file)
    found["unpacked.npz"] = lambda file: ites("data", "unpack", data, "--out", file)
    found["report.json"] = lambda file: ites("evaluate", run, "--data", data, "--json", file)
    found["network.onnx"] = lambda file: ites("export", "onnx", run, "--out", file)
    return found


def download_to_a_full_disk(work: Path) -> None:
    """What has arrived stays, and with room the same command fetches the rest and unpacks."""
    with slow_server(seconds=0.0) as (url, body, sent), small_disk(work, 2 * len(body) + (1 << 20)) as disk:
        command = ("data", "fetch", "walks", "--folder", disk)
        ballast = fill(disk, leave=len(body) // 2)
        child = start(command, work / "says", url)
        assert not ends_well(child) and child.exitcode == 2
        says = (work / "says").read_text().splitlines()[-1]
        is_clear(says, disk / "walks" / "walks.zip", "No space left on device", "the same command continues it")
        ballast.unlink()
        ballast = fill(disk, leave=len(body) + (1 << 19))  # enough for the zip file, not for what is in it
        child = start(command, work / "says", url)
        assert not ends_well(child) and child.exitcode == 2
        says = (work / "says").read_text().splitlines()[-1]
        is_clear(says, "walk", "No space left on device", "run the same command again")
        ballast.unlink()
        before = sent["bytes"]
        assert ends_well(start(command, work / "says", url)) and sent["bytes"] == before
        assert (disk / "walks" / "walks.zip").read_bytes() == body and not leftovers(disk)
        assert len(list((disk / "walks").glob("*.amc"))) == 30


# ---- read-only folder --------------------------------------------------------------------------------------


def read_only_folder(work: Path) -> None:
    """Every command that writes says so in one line; a finished run there can still be used."""
    with small_disk(work, 16 << 20) as disk:
        data = data_file(work)
        trained(disk / "run", config=teacher_config("smoke", max_steps=25))
        resize(disk, "ro")
        for command in (
            ("train", "teacher", "--data", data, "--out", disk / "other", *SETTINGS),
            ("train", "teacher", "--data", data, "--out", disk / "run", *SETTINGS, "--resume"),
            (*EXPERIMENT, "--results", disk / "results", "--runs", work / "runs"),
            ("data", "fetch", "cmu-sample", "--folder", disk),
            *(_command(writers(work)[name], disk / name) for name in ("lifted.json", "unpacked.npz", "report.json")),
        ):
            code, says = command() if callable(command) else ites(*command)
            assert code == 2, (command, code, says)
            is_clear(says, disk, "Read-only file system")
        assert ites("evaluate", disk / "run", "--data", data)[0] == 0


def _command(write: Callable[[Path], tuple[int, str]], file: Path) -> Callable[[], tuple[int, str]]:
    return lambda: write(file)


def path_below_a_file(work: Path) -> None:
    """What root, too, cannot write to."""
    (work / "file").write_text("not a folder")
    below, data = work / "file" / "below", data_file(work)
    for command in (
        ("train", "teacher", "--data", data, "--out", below, *SETTINGS),
        (*EXPERIMENT, "--results", below, "--runs", work / "runs"),
        ("data", "sample", "--n", 5, "--out", below / "x.npz"),
        ("data", "fetch", "cmu-sample", "--folder", below),
        ("evaluate", _run(work), "--data", data, "--json", below / "x.json"),
    ):
        code, says = ites(*command)
        assert code == 2, (command, code, says)
        is_clear(says, below)


def _run(work: Path) -> Path:
    if not (work / "short").exists():
        trained(work / "short", config=teacher_config("smoke", max_steps=25))
    return work / "short"


# ---- clock -------------------------------------------------------------------------------------------------


def clock_jumps(work: Path) -> None:
    """A day back, years ahead, at every look at the clock: the same weights, and no negative seconds."""
    luck, real = random.Random(0), time.time
    with patch("time.time", lambda: real() + luck.choice((-86_400.0, 0.0, 3e8))):
        run = trained(work / "run")
    again = RunFolder(work / "run").read()
    assert same_weights(run, undisturbed()) and same_weights(again, run)
    seconds = [row["seconds"] for row in again.log]
    assert seconds == sorted(seconds) and seconds[0] >= 0 and seconds[-1] < PATIENCE, seconds


# ---- Ctrl-C ------------------------------------------------------------------------------------------------


def stopped_by(number: signal.Signals, work: Path) -> None:
    """One line that names the command to go on with, status 130, and the checkpoint resumes to the same weights."""
    out = work / "run"
    command = ("train", "teacher", "--data", data_file(work), "--out", out, *SETTINGS)
    child = start(command, work / "says")
    wait_for(lambda: has_step(out, 50) or not child.is_alive(), "no checkpoint")
    assert child.pid is not None
    os.kill(child.pid, number)
    child.join(PATIENCE)
    says = (work / "says").read_text().splitlines()[-1]
    assert child.exitcode == 130, (child.exitcode, says)
    is_clear(says, "ites: interrupted: teacher at step", f"continue with --resume --out {out}")
    assert 0 < RunFolder(out).read().step < 200 and not unreadable(out) and not leftovers(out)
    assert ites(*command, "--resume")[0] == 0 and same_weights(RunFolder(out).read(), undisturbed())


def ctrl_c(work: Path) -> None:
    """SIGINT on the command line."""
    stopped_by(signal.SIGINT, work)


def request_to_end(work: Path) -> None:
    """SIGTERM, as a batch system sends it before it kills."""
    stopped_by(signal.SIGTERM, work)


def stopped_experiment(work: Path) -> None:
    """SIGTERM to an experiment with two workers: they end too, and the same command goes on."""
    command = ("experiment", "run", "teacher", "--data", "sampler", "--scale", "smoke", "--seeds", 2, "--workers", 2)
    command += ("--device", "cpu", "--runs", work / "runs", "--results", work / "results")
    child = start(command, work / "says")
    wait_for(lambda: any(work.rglob(".lock")) or not child.is_alive(), "no worker began")
    assert child.pid is not None
    os.kill(child.pid, signal.SIGTERM)
    child.join(PATIENCE)
    assert child.exitcode == 130, (work / "says").read_text()
    is_clear((work / "says").read_text().splitlines()[-1], "ites: interrupted", "the same command goes on")
    assert not unreadable(work / "runs")
    assert ends_well(start(command, work / "says")) and len(list(work.rglob("teacher-?.json"))) == 2


def interrupted_notebook(work: Path) -> None:
    """The stop button of JupyterLab: one line instead of a traceback, and the next cell resumes."""
    from jupyter_client.manager import start_new_kernel

    file, out = data_file(work), work / "run"
    train = (
        "from ites_core.data import load_archive\nfrom ites_core.config import teacher_config\n"
        "from ites_core.training import train_teacher\n"
        "config = teacher_config('smoke', max_steps={steps}, validations=1000)\n"
        "run = train_teacher(load_archive({file!r}), config, {out!r}, device='cpu', resume={resume})\nprint(run.step)"
    )
    steps = 2000
    manager, client = start_new_kernel()
    try:
        client.execute_interactive("import torch; torch.set_num_threads(1)", timeout=PATIENCE)
        said: list[dict[str, Any]] = []
        asked = client.execute(train.format(steps=steps, file=str(file), out=str(out), resume=False))
        wait_for(lambda: has_step(out, 100), "no checkpoint")
        manager.interrupt_kernel()
        reply: dict[str, Any] = {}
        while reply.get("parent_header", {}).get("msg_id") != asked:
            reply = client.get_shell_msg(timeout=PATIENCE)
        assert reply["content"]["status"] == "error" and reply["content"]["ename"] == "Interrupted", reply["content"]
        while not said or said[-1]["msg_type"] != "error":
            said.append(client.get_iopub_msg(timeout=PATIENCE))
        shown = said[-1]["content"]["traceback"]
        assert len(shown) == 1, shown
        is_clear(shown[0], "Interrupted: teacher at step", out, "--resume")
        assert 0 < RunFolder(out).read().step < steps
        reply = client.execute_interactive(
            train.format(steps=steps, file=str(file), out=str(out), resume=True),
            timeout=PATIENCE,
            output_hook=said.append,
        )
        assert reply["content"]["status"] == "ok", reply["content"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    whole = train_teacher(
        load_archive(file), teacher_config("smoke", max_steps=steps, validations=1000), device="cpu", progress=False
    )
    assert same_weights(RunFolder(out).read(), whole)


# ---- two at one place --------------------------------------------------------------------------------------


def two_runs_into_one_folder(work: Path) -> None:
    """Started at the same moment, or one later: one trains, the others refuse and name it, nothing is spoilt."""
    out = work / "run"
    command = ("train", "teacher", "--data", data_file(work), "--out", out, *SETTINGS[:-2], "max_steps=800")
    children = [start(command, work / f"says{k}") for k in range(4)]
    wait_for(lambda: (out / "log.jsonl").exists(), "nobody began")
    wait_for(lambda: sum(child.is_alive() for child in children) <= 1, "more than one trains")
    [one] = [c for c in children if c.is_alive() or c.exitcode == 0]
    late = start((*command, "--resume"), work / "late")
    late.join(PATIENCE)
    assert ends_well(one) and late.exitcode == 2, (work / "late").read_text()
    is_clear((work / "late").read_text().splitlines()[-1], out, f"in use by process {one.pid}")
    for k, child in enumerate(children):
        if child is not one:
            says = (work / f"says{k}").read_text().splitlines()[-1]
            assert child.exitcode == 2, says
            is_clear(says, out, "in use by ")
    whole = trained(config=teacher_config("smoke", max_steps=800))
    assert same_weights(RunFolder(out).read(), whole) and not leftovers(out)


def lock_of_a_killed_run(work: Path) -> None:
    """kill -9 leaves the lock's file and no lock."""
    out = work / "run"
    command = ("train", "teacher", "--data", data_file(work), "--out", out, *SETTINGS)
    child = start(command, work / "says")
    wait_for(lambda: has_step(out, 25), "no checkpoint")
    child.kill()
    child.join()
    assert (out / ".lock").read_text() == f"{child.pid}\n"
    assert same_weights(trained(out, resume=True), undisturbed()) and not leftovers(out)


def two_experiments_into_one_place(work: Path) -> None:
    """Two of the same at the same moment: one result, and who was refused says why."""
    command = ("experiment", "run", "teacher", "--data", "sampler", "--scale", "smoke", "--seed", 0, "--device", "cpu")
    command += ("--runs", work / "runs", "--results", work / "results")
    children = [start(command, work / f"says{k}") for k in range(2)]
    codes = [(child.join(PATIENCE), child.exitcode)[1] for child in children]
    assert sorted(codes) in ([0, 2], [0, 0]), codes
    for k, code in enumerate(codes):
        if code == 2:
            is_clear((work / f"says{k}").read_text().splitlines()[-1], work / "runs", "in use by ")
    assert ites(*command)[0] == 0 and not unreadable(work / "runs") and not leftovers(work)
    assert read_row(work / "results" / "sampler" / "smoke" / "teacher-0.json")["seed"] == 0


def two_downloads_of_one_file(work: Path) -> None:
    """The second refuses while the first is at it, and finds the file afterwards."""
    with slow_server() as (url, body, sent):
        command = ("data", "fetch", "walks", "--folder", work / "data")
        first = start(command, work / "says0", url)
        wait_for(lambda: any(work.rglob("*.part")), "nothing arrives")
        second = start(command, work / "says1", url)
        second.join(PATIENCE)
        assert ends_well(first) and second.exitcode == 2, (work / "says1").read_text()
        is_clear((work / "says1").read_text().splitlines()[-1], "walks.zip", f"in use by process {first.pid}")
        assert ends_well(start(command, work / "says1", url)) and sent["bytes"] == len(body)
        assert not [f for f in work.rglob("*") if f.suffix in (".part", ".lock")] and not leftovers(work)


def killed_with_its_workers(work: Path) -> None:
    """kill -9 of an experiment: its workers do not live on, and the same command goes on."""
    command = ("experiment", "run", "teacher", "--data", "sampler", "--scale", "smoke", "--seeds", 2, "--workers", 2)
    command += ("--device", "cpu", "--runs", work / "runs", "--results", work / "results")
    child = start(command, work / "says")
    wait_for(lambda: any(work.rglob(".lock")) or not child.is_alive(), "no worker began")
    workers = [int(lock.read_text() or 0) for lock in work.rglob(".lock")]
    child.kill()
    child.join()
    wait_for(lambda: not any(_lives(number) for number in workers), f"a worker of {workers} lives on")
    assert ends_well(start(command, work / "says")) and len(list(work.rglob("teacher-?.json"))) == 2


def _lives(number: int) -> bool:
    """Whether a process of this number does anything; what waits to be buried does not."""
    try:
        return number > 0 and Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


FAULTS: dict[str, Callable[[Path], None]] = {
    fault.__name__.replace("_", " "): fault
    for fault in (
        training_on_a_full_disk,
        training_beyond_a_quota,
        experiment_on_a_full_disk,
        outputs_on_a_full_disk,
        outputs_beyond_a_quota,
        download_to_a_full_disk,
        read_only_folder,
        path_below_a_file,
        clock_jumps,
        ctrl_c,
        request_to_end,
        stopped_experiment,
        interrupted_notebook,
        two_runs_into_one_folder,
        lock_of_a_killed_run,
        two_experiments_into_one_place,
        two_downloads_of_one_file,
        killed_with_its_workers,
    )
}


def main(repeats: int = 3, out: Path = OUT) -> None:
    """Try every fault so many times, and write what came of it.

    Args:
        repeats: of each.
        out: the artefact.
    """
    torch.set_num_threads(1)
    cases = []
    for name, fault in FAULTS.items():
        row: dict[str, Any] = {"name": name, "what": (fault.__doc__ or "").strip(), "tried": 0, "survived": 0}
        began = time.monotonic()
        for _ in range(repeats):
            with tempfile.TemporaryDirectory() as work:
                try:
                    fault(Path(work))
                    row["survived"] += 1
                except NotHereError as why:
                    row["left_out"] = str(why)
                    break
                except Exception:
                    row.setdefault("wrong", []).append(traceback.format_exc(limit=-2))
                row["tried"] += 1
        row["seconds"] = round(time.monotonic() - began, 1)
        print(f"{name}: {row['survived']} of {row['tried']}, {row['seconds']} s", *row.get("wrong", []), flush=True)
        cases.append(row)
    about = provenance(torch.device("cpu")) | {"seconds": round(sum(row["seconds"] for row in cases), 1)}
    what = "Full disks, read-only folders, jumping clocks, interruptions and two processes at one place."
    write_json({"campaign": "faults", "what": what, "cases": cases, "provenance": about}, out)
    print(f"{out}: written")


if __name__ == "__main__":
    tyro.cli(main)
