"""Child processes that run the command line ``ites``, begun without importing torch each time, and killed by number."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

# A server process imports these once, before it has any threads, and every child is a copy of it.
CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["ites_core.cli", "ites_core.experiments.runs", "ites_core.data.sampler"])
PATIENCE = 120.0  # seconds after which a child that should have ended is a failure


def start(arguments: Sequence[object], says: Path, download: str | None = None) -> BaseProcess:
    """Run ``ites`` with some arguments in a child; what it prints goes to the end of a file.

    Args:
        arguments: of the command line.
        says: that file.
        download: address of a zip file, known to the child as data set "walks".
    """
    child = CHILDREN.Process(target=_main, args=([str(a) for a in arguments], str(says), download))
    child.start()
    return child


def _main(arguments: list[str], says: str, download: str | None) -> None:
    import torch

    from ites_core import cli
    from ites_core.data import catalogue

    output = os.open(says, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what is in its background without
    if download is not None:
        file = catalogue.RemoteFile(download)
        about = {"title": "Walks", "purpose": "a test", "terms": "none", "size": "small", "page": "http://walks"}
        catalogue.CATALOGUE = (catalogue.DataSet("walks", marks=("walks",), next="", files=(file,), **about),)
        os.environ["no_proxy"] = "127.0.0.1"
    sys.argv = ["ites", *arguments]
    cli.main()


def ends_well(child: BaseProcess) -> bool:
    """Wait for the end; whether it came with status 0."""
    child.join(PATIENCE)
    if child.is_alive():
        child.kill()
        child.join()
        return False
    return child.exitcode == 0


def kill_somewhere(child: BaseProcess, usual: float, writes: int, folder: Path, luck: random.Random) -> bool:
    """SIGKILL at a random moment: half of the time anywhere in the usual length, else while a file is being written.

    Args:
        child: just started.
        usual: seconds that it takes.
        writes: files that it writes, about.
        folder: where it writes.
        luck: draws the moment.

    Returns:
        False if the child ended before.
    """
    started = time.monotonic()
    if luck.random() < 0.5:
        moment = usual * luck.random()
        while time.monotonic() - started < moment and child.is_alive():
            time.sleep(0.001)
    else:
        skip, here = luck.randrange(writes), False
        while child.is_alive() and time.monotonic() - started < 2 * usual:
            before, here = here, bool(half_written(folder))
            if here and not before:
                if skip == 0:
                    time.sleep(0.002 * luck.random() ** 2)  # into the write, or just after it
                    break
                skip -= 1
            time.sleep(0.0002)
    child.kill()
    child.join()
    return child.exitcode == -signal.SIGKILL


def half_written(folder: Path) -> list[Path]:
    """Files that are being written under a folder, or were when their process was killed."""
    found: list[Path] = []
    waiting = [str(folder)]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                name = entry.name
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif name.startswith(".") and name.split(".")[1].isdigit():
                    found.append(Path(entry.path))
    return found
