"""No network unless asked: with every connection forbidden, all modules import, and everything but fetching works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import importlib, pkgutil, sys
from pathlib import Path

def forbid(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.Request"):
        raise RuntimeError(f"reached for the network: {event} {arguments[1:]}")

sys.addaudithook(forbid)
import ites_core
for module in pkgutil.walk_packages(ites_core.__path__, "ites_core."):
    if module.name != "ites_core.__main__":
        importlib.import_module(module.name)

from ites_core import cli
work = Path(sys.argv[1])
smoke = ("--data", "sampler", "--preset", "smoke", "--set", "max_steps=2")
for command in (
    ("data", "list"),
    ("train", "teacher", *smoke, "--out", work / "t"),
    ("train", "student", *smoke, "--teacher", work / "t", "--out", work / "s"),
    ("weights", "show", "ites-beyond"),
    ("experiment", "list"),
):
    sys.argv = ["ites", *map(str, command)]
    cli.main()
import torch
assert ites_core.load("ites-beyond").lift(torch.zeros(1, 17, 2)).shape == (1, 17, 3)
"""


def test_nothing_reaches_for_the_network(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "s" / "model.safetensors").is_file()


def test_the_guard_would_notice(tmp_path: Path) -> None:
    spoilt = PROGRAM.replace("import ites_core\n", "import socket\nsocket.create_connection(('127.0.0.1', 9))\n", 1)
    done = subprocess.run([sys.executable, "-c", spoilt, str(tmp_path)], capture_output=True, text=True, check=False)
    assert "reached for the network" in done.stderr
