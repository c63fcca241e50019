"""Small files that claim, or unpack to, very much are refused soon and without taking memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS, MEGABYTES = 10.0, 100.0  # for one file, writing it included


def test_bombs_are_refused() -> None:
    """In a process of its own, whose peak memory is theirs alone."""
    command = [sys.executable, "-m", "tests.campaigns.bombs"]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env=one_thread)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert len(found) == 51
    bad = [b for b in found if not (b["message"].startswith("ItesError: ") and b["seconds"] < SECONDS)]
    assert not bad, json.dumps(bad, indent=1)
    large = [b for b in found if b["MB"] > MEGABYTES]
    assert not large, json.dumps(large, indent=1)
