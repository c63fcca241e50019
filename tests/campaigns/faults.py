"""Full disks, read-only folders, jumping clocks, Ctrl-C, two processes at one place: what was there stays, and one
clear line says what to do.

``python -m tests.campaigns.faults`` tries all of them and writes ``results/reliability/faults.json``.
"""

from __future__ import annotations

import json
import os
import random
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import tyro

from ites_core.checkpoint import RunFolder
from ites_core.config import teacher_config
from ites_core.data import load_archive
from ites_core.experiments.artefacts import RESULTS, read_row, write_json
from ites_core.provenance import provenance
from ites_core.training import train_teacher
from tests.campaigns.children import PATIENCE, ends_well, start
from tests.campaigns.disk_faults import (
    download_to_a_full_disk,
    experiment_on_a_full_disk,
    outputs_beyond_a_quota,
    outputs_on_a_full_disk,
    path_below_a_file,
    read_only_folder,
    training_beyond_a_quota,
    training_on_a_full_disk,
)
from tests.campaigns.fault_tools import (
    SETTINGS,
    NotHereError,
    has_step,
    is_clear,
    ites,
    leftovers,
    same_weights,
    trained,
    undisturbed,
    wait_for,
)
from tests.campaigns.kill import data_file, slow_server, unreadable

OUT = RESULTS / "reliability" / "faults.json"


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


def main(repeats: int = 3, only: tuple[str, ...] = tuple(FAULTS), out: Path = OUT) -> None:
    """Try every fault so many times, and write what came of it.

    Args:
        repeats: of each.
        only: these faults; what the artefact holds of the others stays.
        out: the artefact.
    """
    torch.set_num_threads(1)
    rows = {row["name"]: row for row in json.loads(out.read_text())["cases"]} if out.exists() else {}
    for name in only:
        fault = FAULTS[name]
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
        rows[name] = row
    cases = [rows[name] for name in FAULTS if name in rows]
    about = provenance(torch.device("cpu")) | {"seconds": round(sum(row["seconds"] for row in cases), 1)}
    what = "Full disks, read-only folders, jumping clocks, interruptions and two processes at one place."
    write_json({"campaign": "faults", "what": what, "cases": cases, "provenance": about}, out)
    print(f"{out}: written")


if __name__ == "__main__":
    tyro.cli(main)
