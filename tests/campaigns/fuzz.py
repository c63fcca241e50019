"""The fuzzing campaign: at least 100,000 inputs for every reader, recorded in ``results/reliability/fuzz.json``.

    python -m tests.campaigns.fuzz [--readers NAME ...] [--drawn 10000] [--guided 91000] [--out FILE]

One way knows the format: files cut off at every byte, every early bit flipped, and values, words, headers and shapes
exchanged as hypothesis draws them. The other follows the branches that an input reaches (atheris, hence libFuzzer;
Linux). What counts: a reader returns, or raises ItesError with one printable line; no input takes more than two seconds
or 100 MB; nothing is written outside. Each reader works in a process of its own with 1 GiB to claim. If an input kills
or stops it, that is a failure, and another process goes on.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import tyro

from ites_core.experiments.artefacts import RESULTS, write_json
from ites_core.provenance import provenance
from tests.campaigns.fuzz_targets import TARGETS

OUT = RESULTS / "reliability" / "fuzz.json"
PATIENCE = 600.0  # seconds without a note from the process, after which it hangs; a busy machine is no failure
MOST_DEATHS = 20  # of the process, after which a reader is given up


def attack(way: str, name: str, runs: int, seed: int, patience: float = PATIENCE) -> dict[str, Any]:
    """Attack one reader in one way.

    Returns:
        Numbers of inputs tried, accepted and refused, the slowest in ms, the largest growth in MB, seconds, branches
        reached (coverage), and the failures.
    """
    total: dict[str, Any] = {"tried": 0, "accepted": 0, "refused": 0, "ms": 0.0, "MB": 0.0, "seconds": 0.0}
    total["failures"], deaths = {}, 0
    while total["tried"] < runs and deaths <= MOST_DEATHS:
        with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as kept:
            folder = Path(kept)
            ended, log = _work(way, name, runs - total["tried"], seed + 1000 * deaths, folder, patience)
            found = json.loads((folder / "found.json").read_text())
            beyond = sorted(p.name for p in folder.iterdir())
            if set(beyond) - {"box", "corpus", "found.json", "found.tmp", "log"}:
                total["failures"]["wrote outside"] = {"count": 1, "message": str(beyond), "input": ""}
            if found["tried"] < runs - total["tried"]:
                deaths += 1
                files = sorted(p for p in (folder / "box").rglob("*") if p.is_file())
                at = max(files, key=lambda p: p.stat().st_mtime)
                what = f"process ended: {ended}"
                why = log.partition("Uncaught Python exception")[2] or log[-300:]
                total["failures"].setdefault(what, {"count": 0, "message": f"{at.name}; {why[:1500]}", "input": ""})
                total["failures"][what]["count"] += 1
                total["failures"][what]["input"] = at.read_bytes().hex()
        _add(total, found)
        if covered := re.findall(r"cov: (\d+)", log):
            total["branches"] = int(covered[-1])
    return total


def _work(way: str, name: str, runs: int, seed: int, folder: Path, patience: float) -> tuple[str, str]:
    """Run one process to its end or ours; how it ended, and what it printed."""
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "tests.campaigns.fuzz_worker", way, name, str(runs), str(seed), str(folder)]
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=Path(__file__).parents[2])
        note, ended = folder / "found.json", ""
        started = time.time()
        try:
            while process.poll() is None:
                time.sleep(0.2)
                if time.time() - max(started, note.stat().st_mtime if note.exists() else 0) > patience:
                    process.kill()
                    ended = "no answer"
        finally:
            process.kill()  # if somebody stops this one
    text = (folder / "log").read_text(errors="replace")
    if not note.exists():
        raise RuntimeError(f"{name}: the process did not begin: {text[-2000:]}")
    return ended or f"status {process.returncode}", text


def _add(total: dict[str, Any], found: dict[str, Any]) -> None:
    """Join what one process found to the rest."""
    for key in ("tried", "accepted", "refused"):
        total[key] += found[key]
    total["seconds"] = round(total["seconds"] + found["seconds"], 1)
    total["ms"] = max(total["ms"], round(1000 * found["slowest"], 1))
    total["MB"] = max(total["MB"], round(found["growth"] / 2**20, 1))
    for what, failure in found["failures"].items():
        known = total["failures"].setdefault(what, failure | {"count": 0})
        known["count"] += failure["count"]


def case(name: str, drawn: int, guided: int, seed: int) -> dict[str, Any]:
    """Attack one reader in both ways."""
    runs = {"property": drawn, "coverage": guided}
    found = {way: attack(way, name, count, seed) for way, count in runs.items() if count}
    failed = sum(f["count"] for each in found.values() for f in each["failures"].values())
    tried = sum(each["tried"] for each in found.values())
    return {"name": name, "tried": tried, "survived": tried - failed, **found}


def main(
    readers: Sequence[str] = tuple(TARGETS), drawn: int = 10_000, guided: int = 91_000, seed: int = 0, out: Path = OUT
) -> None:
    """Attack readers, one after the other, and record each; readers that are not named keep what is recorded.

    Args:
        readers: names, as in :data:`tests.campaigns.fuzz_targets.TARGETS`.
        drawn: inputs that know the format, for each reader.
        guided: inputs guided by coverage; 0 where atheris is not installed.
        seed: of both.
        out: the artefact.
    """
    for name in readers:
        start = time.monotonic()
        new = case(name, drawn, guided, seed) | {"seconds": round(time.monotonic() - start, 1)}
        # Read again each time: another process may be at work on other readers.
        old = json.loads(out.read_text(encoding="utf-8"))["cases"] if out.is_file() else []
        cases = {each["name"]: each for each in old} | {name: new}
        row = {
            "campaign": "fuzz",
            "what": "Each reader gets 100,000 damaged or hostile files, and reads each or refuses it in one line.",
            "cases": [cases[each] for each in TARGETS if each in cases],
            "provenance": provenance(torch.device("cpu")) | {"seed": seed, "drawn": drawn, "guided": guided},
        }
        write_json(row, out)
        print(f"{name}: {new['tried']} tried, {new['survived']} survived, {new['seconds']} s", flush=True)
        for way in ("property", "coverage"):
            for what, failure in new.get(way, {}).get("failures", {}).items():
                print(f"    {way}: {what} x {failure['count']}: {failure['message'][:200]!r}", flush=True)


if __name__ == "__main__":
    tyro.cli(main)
