"""What the faults are made with: small disks, quotas, and the same training in this process and in others."""

from __future__ import annotations

import io
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import lru_cache
from pathlib import Path
from unittest.mock import patch

import torch

from ites_core import cli
from ites_core.checkpoint import Run
from ites_core.config import TeacherConfig, teacher_config
from ites_core.training import train_teacher
from tests.campaigns.children import PATIENCE
from tests.campaigns.kill import small_archive

CONFIG = teacher_config("smoke", max_steps=200, validations=1000)  # a checkpoint every 25 steps
SETTINGS = ("--preset", "smoke", "--device", "cpu", "--set", "max_steps=200", "validations=1000")
EXPERIMENT = ("experiment", "run", "all depths zero", "--data", "sampler", "--scale", "smoke", "--seed", 0)


class NotHereError(Exception):
    """This machine cannot make the fault; the message says why."""


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
