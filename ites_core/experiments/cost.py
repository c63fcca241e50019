"""Table 9, measured: how large the networks are and how long they take for a pose.

In print the two rows are exchanged: 0.53 million parameters is the student of the authors' release, 7.27 million is
C3DPO with its two trunks. Networks are built at full size; their weights do not matter for either number.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ites_core.checkpoint import build_model, camera_pose
from ites_core.config import StudentConfig, TeacherConfig, student_config
from ites_core.errors import ItesError
from ites_core.experiments.artefacts import write_json
from ites_core.experiments.systems import system_named
from ites_core.provenance import processor, provenance
from ites_core.skeleton import H36M17
from ites_core.training import pick_device

BATCH = 1024
NETWORKS: dict[str, TeacherConfig | StudentConfig] = {
    "C3DPO": system_named("C3DPO").config("paper"),
    "ITES-T": system_named("teacher").config("paper"),
    "ITES-TS": system_named("student").config("paper"),
    "ITES-TS as released": student_config("official"),
    "ITES-TS with ResFC": system_named("student ResFC").config("paper"),
    "supervised": system_named("supervised").config("paper"),
}


@dataclass(frozen=True)
class Cost:
    """What the networks cost on one machine.

    Attributes:
        device: name of the GPU, or of the processor.
        networks: label -> ``parameters``, ``ms_single`` (one pose alone) and ``us_batch`` (a pose among 1024).
        provenance: commit, versions.
    """

    device: str
    networks: dict[str, dict[str, float]]
    provenance: dict[str, Any]


def measure(device: str = "auto", repeats: int = 30) -> Cost:
    """Time every network of :data:`NETWORKS`, without recording gradients.

    On a processor one thread works, and its own time is counted, so that other programs do not disturb the clock.

    Args:
        device: auto, cpu or cuda.
        repeats: timings of which the median is taken.

    Raises:
        ItesError: no such device.
    """
    where = pick_device(device)
    threads = torch.get_num_threads()
    if where.type == "cpu":
        torch.set_num_threads(1)
    try:
        return _measure(where, repeats)
    finally:
        torch.set_num_threads(threads)


def _measure(where: torch.device, repeats: int) -> Cost:
    about = provenance(where)
    networks = {}
    for label, config in NETWORKS.items():
        torch.manual_seed(0)
        model = build_model(config, H36M17).to(where).eval()
        one, many = (torch.randn(n, len(H36M17), 2, device=where) for n in (1, BATCH))
        networks[label] = {
            "parameters": sum(p.numel() for p in model.parameters()),
            "ms_single": round(1e3 * _seconds(model, one, repeats), 4),
            "us_batch": round(1e6 * _seconds(model, many, repeats) / BATCH, 3),
        }
    device = str(about.pop("device"))
    return Cost(device if where.type == "cuda" else f"{processor()}, one thread", networks, about)


@torch.no_grad()
def _seconds(model: Any, x: torch.Tensor, repeats: int) -> float:
    clock = time.perf_counter if x.is_cuda else time.process_time
    times = []
    for k in range(repeats + 3):  # the first few calls make buffers and choose algorithms
        if x.is_cuda:
            torch.cuda.synchronize()
        start = clock()
        camera_pose(model, x)
        if x.is_cuda:
            torch.cuda.synchronize()
        if k >= 3:
            times.append(clock() - start)
    return median(times)


def write_cost(cost: Cost, results: Path) -> Path:
    """Store a measurement: ``results/cost/<device>.json``."""
    name = re.sub(r"[^a-z0-9]+", "-", cost.device.lower()).strip("-")
    file = results / "cost" / f"{name}.json"
    write_json(asdict(cost), file)
    return file


def stored_costs(results: Path) -> list[Cost]:
    """All stored measurements.

    Raises:
        ItesError: an artefact that cannot be read.
    """
    found = []
    for file in sorted((results / "cost").glob("*.json")):
        try:
            found.append(Cost(**json.loads(file.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise ItesError(f"{file}: not readable ({error}); delete it and measure again") from error
    return found


def judge_cost(cost: Cost) -> list[tuple[str, str]]:
    """The paper's two claims about Table 9: (claim, verdict). Lighter and faster, whichever way the rows are read."""
    ours, theirs = cost.networks["ITES-TS as released"], cost.networks["C3DPO"]
    paper_size = cost.networks["ITES-TS"]
    claims = {
        "The released student is lighter than C3DPO.": ours["parameters"] < theirs["parameters"],
        "The student of the paper's text is lighter than C3DPO.": paper_size["parameters"] < theirs["parameters"],
        "The released student is faster than C3DPO for one pose.": ours["ms_single"] < theirs["ms_single"],
        "The released student is faster than C3DPO in a batch.": ours["us_batch"] < theirs["us_batch"],
    }
    return [(says, "holds" if true else "does not hold") for says, true in claims.items()]
