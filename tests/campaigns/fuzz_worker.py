"""One reader, attacked in a process of its own, which the input may kill; :mod:`tests.campaigns.fuzz` starts it.

    python -m tests.campaigns.fuzz_worker {property,coverage} READER|all INPUTS SEED FOLDER

Writes ``FOLDER/found.json`` after every few inputs. The input that is being read lies in ``FOLDER/box/0``.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.campaigns.fuzz_targets import Sandbox, Target

SLOW = 2.0  # seconds of processor time for one input: more is a failure
LARGE = 100 << 20  # bytes by which one input may make the process grow: more is a failure
MEMORY = 1 << 30  # bytes that may be claimed; what wants more gets MemoryError
LONGEST = 2100  # characters of a message
NOTE = 500  # inputs from one writing of found.json to the next
CODE = ("/ites_core/", "/tests/campaigns/")


@dataclass
class Found:
    """What became of the inputs.

    Attributes:
        tried, accepted, refused: numbers of inputs; the rest failed.
        slowest: seconds of processor time.
        growth: largest growth of the process by one input, bytes.
        failures: by kind and place of the fault: how often, its message and the shortest input, hexadecimal.
    """

    tried: int = 0
    accepted: int = 0
    refused: int = 0
    slowest: float = 0.0
    growth: int = 0
    failures: dict[str, dict[str, Any]] = field(default_factory=dict)

    def fail(self, what: str, message: str, data: bytes) -> None:
        """Note a failure."""
        known = self.failures.setdefault(what, {"count": 0, "message": message[:300], "input": data.hex()})
        known["count"] += 1
        if 2 * len(data) < len(known["input"]):
            known.update(message=message[:300], input=data.hex())


def peak() -> int:
    """Largest resident size of this process so far, bytes; 0 on Windows, which does not say."""
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def judge(target: Target, sandbox: Sandbox, data: bytes, found: Found) -> None:
    """Lay out one input, have it read, and note what became of it."""
    from ites_core.errors import ItesError

    sandbox.lay(target, data)
    before, start = peak(), time.process_time()
    error: BaseException | None = None
    try:
        target.read(sandbox.folder)
        found.accepted += 1
    except ItesError as refusal:
        error = refusal
        found.refused += 1
        message = str(refusal)
        if not message.isprintable() or not message.strip() or len(message) > LONGEST:
            found.fail("message that is not one short line", message, data)
    except Exception as fault:
        error = fault
        found.fail(_place(fault), f"{type(fault).__name__}: {fault}", data)
    seconds, growth = time.process_time() - start, peak() - before
    found.tried += 1
    found.slowest, found.growth = max(found.slowest, seconds), max(found.growth, growth)
    if seconds > SLOW:
        found.fail(f"slow: {_place(error)}", f"{seconds:.1f} s", data)
    if growth > LARGE:
        found.fail(f"large: {_place(error)}", f"{growth >> 20} MiB", data)


def _place(error: BaseException | None) -> str:
    """Kind of an error, and the last line of ours that it came through."""
    if error is None:
        return "accepted"
    ours = [f for f in traceback.extract_tb(error.__traceback__) if any(part in f.filename for part in CODE)]
    where = f"{Path(ours[-1].filename).name}:{ours[-1].name}:{ours[-1].lineno}" if ours else "?"
    return f"{type(error).__name__} at {where}"


def by_property(target: Target, sandbox: Sandbox, found: Found, go_on: Callable[[], bool], seed: int = 0) -> None:
    """Inputs drawn by hypothesis, the same for a seed, as long as ``go_on`` says so."""
    import hypothesis
    from hypothesis import HealthCheck, Phase, given, settings

    from tests.campaigns.fuzz_inputs import inputs

    quick = settings(
        max_examples=500, database=None, deadline=None, derandomize=False, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    drawn = inputs(target)
    while go_on():

        @hypothesis.seed(seed)
        @quick
        @given(drawn)
        def one(data: bytes) -> None:
            if go_on():
                judge(target, sandbox, data, found)

        one()
        seed += 1


def by_coverage(
    targets: list[tuple[Target, Sandbox]], found: Found, runs: int, seed: int, folder: Path, note: Callable[[], None]
) -> None:
    """Inputs that libFuzzer makes of the valid ones, going on from those that reach new branches; does not return.

    The first byte of an input picks the target.
    """
    import atheris

    corpus = folder / "corpus"
    corpus.mkdir(exist_ok=True)
    seeds = [bytes([k]) + content for k, (target, _) in enumerate(targets) for content in target.seeds]
    for k, content in enumerate(seeds):
        (corpus / str(k)).write_bytes(content)
    longest = 64 + max(map(len, seeds))

    def one(data: bytes) -> None:
        if found.tried < runs:
            judge(*targets[(data[0] if data else 0) % len(targets)], data[1:], found)
            if found.tried % NOTE == 0 or found.tried == runs:
                note()

    # Two more than are counted: libFuzzer begins with an empty input, and leaves without a word after the last. Whoever
    # starts this process watches the time; atheris takes 0 seconds for one.
    options = [f"-runs={runs + 2}", f"-seed={seed + 1}", f"-max_len={longest}", "-timeout=86400", "-rss_limit_mb=0"]
    options.append(f"-artifact_prefix={folder}/corpus/")
    atheris.Setup([sys.argv[0], *options, "-verbosity=1", str(corpus)], one)
    atheris.Fuzz()


def main(way: str, name: str, runs: int, seed: int, folder: Path) -> None:
    """Attack one reader, or by coverage "all" of them in turn."""
    if way == "coverage":
        import atheris

        with atheris.instrument_imports(include=["ites_core", "pickletools", "tomllib", "zipfile", "json"]):
            from tests.campaigns import fuzz_targets
    else:
        from tests.campaigns import fuzz_targets
    import numpy as np
    import torch

    from tests.campaigns.fuzz_inputs import small_changes

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    names = list(fuzz_targets.TARGETS) if name == "all" else [name]
    targets = [
        (fuzz_targets.target(each), fuzz_targets.Sandbox(folder / "box" / str(k))) for k, each in enumerate(names)
    ]
    found, start = Found(), time.monotonic()
    for target, sandbox in targets:
        (sandbox.folder / "out").mkdir(parents=True, exist_ok=True)
        sandbox.lay(target, target.seeds[0])
        target.read(sandbox.folder)  # a valid file is read, and what is loaded at the first use does not count
    _limit_memory()

    def note() -> None:
        beside = folder / "found.tmp"
        beside.write_text(json.dumps(asdict(found) | {"seconds": time.monotonic() - start}))
        beside.replace(folder / "found.json")

    def go_on() -> bool:
        if found.tried % NOTE == 0:
            note()
        return found.tried < runs

    note()
    if way == "coverage":
        by_coverage(targets, found, runs, seed, folder, note)
    if seed == 0:
        for data in small_changes(targets[0][0]):
            if go_on():
                judge(*targets[0], data, found)
    by_property(*targets[0], found, go_on, seed)
    note()


def _limit_memory() -> None:
    """Let the process claim MEMORY beyond what it has."""
    if sys.platform == "linux":
        import resource

        have = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (have + MEMORY, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
