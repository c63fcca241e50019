"""How large the numbers are that the attention of a graph student weighs joints by (chapter 5).

``python -m ites_core.bench.attention RUN ... --out results/bench/attention.json`` notes, for run folders and packaged
students, the logits of Eq. 5 in every block on held-out pictures, how well each student lifts those, and its log. The
paper does not scale the logits, and nothing bounds them: a run whose logits grow may break down.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import Tensor, nn
from tyro import conf

from ites_core.checkpoint import Run, RunFolder, describe
from ites_core.data import load_motion
from ites_core.errors import ItesError
from ites_core.evaluation import Filmed, evaluate_on, film
from ites_core.experiments.artefacts import write_json
from ites_core.models.graph import NonphysicalGraphConv
from ites_core.provenance import provenance
from ites_core.weights import load, names

CAMERAS, STRIDE = 8, 20  # around every held-out recording, and every so many frames of it


def logit_spread(network: nn.Module, image: Tensor) -> list[float]:
    """Standard deviation of the logits H^T W_1^T W_2 H, Eq. 5, in every attention of a network, first block first.

    Args:
        network: a trained student.
        image: normalised pictures (B, N, 2).

    Raises:
        ItesError: a network without attention.
    """
    spreads: list[float] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        assert isinstance(layer, NonphysicalGraphConv)
        (h,) = inputs
        looks = layer.w2.weight.mT @ layer.w1.weight
        spreads.append((h @ looks.mT @ h.mT).std().item())

    layers = [layer for layer in network.modules() if isinstance(layer, NonphysicalGraphConv)]
    if not layers:
        raise ItesError(f"{type(network).__name__}: found no attention, expected a graph student")
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        with torch.no_grad():
            network.eval()(image)
    finally:
        for hook in hooks:
            hook.remove()
    return spreads


def main(runs: conf.Positional[tuple[str, ...]], out: Path, data: str = "cmu17") -> None:
    """Write down the attention of some students.

    Args:
        runs: run folders, or names of packaged weights.
        out: the record.
        data: recordings whose held-out part is looked at.
    """
    motion, rows = load_motion(data), []
    for name in runs:
        run = load(name) if name in names() else RunFolder(name).read()
        rows.append(_row(name, run, film(motion, "val", cameras=CAMERAS, stride=STRIDE)))
        print(f"{name}: logits {', '.join(f'{s:.1f}' for s in rows[-1]['logits'])}", flush=True)
    about = provenance(torch.device("cpu")) | {"data": data, "date": date.today().isoformat()}
    write_json(
        {"what": "logits of the attention: standard deviation, by block", "runs": rows, "provenance": about}, out
    )


def _row(name: str, run: Run, test: Filmed) -> dict[str, Any]:
    image = run.normalisation.apply(test.views.image, run.skeleton)
    return {
        "run": Path(name).name,
        **describe(run),
        "steps": run.step,
        "logits": [round(s, 2) for s in logit_spread(run.model, image)],
        "P-MPJPE": evaluate_on(run, test).metrics["P-MPJPE"],
        "log": [{k: round(v, 5) for k, v in row.items()} for row in run.log],
    }


if __name__ == "__main__":
    tyro.cli(main)
