"""Trained networks that come with the package: ``ites_core.load("ites-ts")`` (chapter 5).

Each is two files in this folder: ``NAME.safetensors``, the weights in float16, and ``NAME.json``, its card: what it is,
what it learnt from and under which terms, how it was trained, how well it lifts, and the checksum of the weights.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load as tensors_of
from safetensors.torch import save
from torch import Tensor

from ites_core.checkpoint import Run, describe, run_from
from ites_core.data import Motion
from ites_core.errors import ItesError
from ites_core.evaluation import Report, evaluate
from ites_core.files import in_place

FOLDER = Path(__file__).parent
LOG_LINES = 40  # of the training curve, that a card keeps


class Card(NamedTuple):
    """What is known about one set of weights.

    Attributes:
        name: what :func:`load` calls it.
        about: one sentence.
        limits: where it fails, and what it must not be used for.
        terms: of the data that it learnt from.
        sha256: of the weights' file.
        run: settings, joint set, 2D normalisation, seed and provenance, as in a run folder.
        parameters: how many numbers it has.
        scores: by data set: metrics in both flip columns, number of views, how many are better mirrored.
        log: the training curve, thinned out.
    """

    name: str
    about: str
    limits: str
    terms: str
    sha256: str
    run: dict[str, Any]
    parameters: int
    scores: dict[str, dict[str, Any]]
    log: list[dict[str, Any]]

    def markdown(self) -> str:
        """The card for people to read."""
        made = self.run["provenance"]
        lines = [
            f"{self.about}\n",
            "| data set | views | P-MPJPE: no oracle | oracle flip | N-MPJPE: no oracle | oracle flip | mirrored |",
            "|---|---|---|---|---|---|---|",
        ]
        for data, score in self.scores.items():
            p, n = score["metrics"]["P-MPJPE"], score["metrics"]["N-MPJPE"]
            columns = [f"{e[c]:.1f} mm" for e in (p, n) for c in ("no_oracle", "oracle_flip")]
            share = 100 * score["better_mirrored"] / score["views"]
            lines.append(f"| {data} | {score['views']:,} | {' | '.join(columns)} | {share:.1f} % |")
        lines += [
            "",
            f"- **Trained** on 2D views of {made['data']}, seed {self.run['seed']}, {made.get('steps', 0):,} steps, "
            f"{made['seconds']:.0f} s on {made['device']}; torch {made['torch']}, commit `{made['commit']}`.",
            f"- **Size**: {self.parameters:,} parameters, float16. SHA-256 `{self.sha256[:16]}...`",
            f"- **Data terms**: {self.terms}",
            f"- **Limits**: {self.limits}",
        ]
        return "\n".join(lines)


def names() -> list[str]:
    """The weights that are here."""
    return sorted(file.stem for file in FOLDER.glob("*.json"))


def card(name: str, folder: Path = FOLDER) -> Card:
    """The card of some weights.

    Raises:
        ItesError: unknown name, or a damaged card.
    """
    file = folder / f"{name}.json"
    if file.parent != folder or not file.is_file():
        raise ItesError(f"weights {name!r}: not here; expected one of {', '.join(names()) or 'none'}, or a run folder")
    try:
        return _CARD.validate_python(Card(**json.loads(file.read_text(encoding="utf-8"))))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ItesError(f"{file}: damaged ({error}); install the package again") from error


_CARD = TypeAdapter(Card)  # checks the kinds of its fields


@lru_cache(maxsize=8)
def _bytes(name: str, folder: Path) -> bytes:
    file = folder / f"{name}.safetensors"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ItesError(f"{file}: not readable ({error.strerror}); install the package again") from error
    found, wanted = hashlib.sha256(content).hexdigest(), card(name, folder).sha256
    if found != wanted:
        raise ItesError(f"{file}: SHA-256 {found[:12]}..., expected {wanted[:12]}...; install the package again")
    return content


def load(name: str, device: torch.device | str = "cpu", folder: Path = FOLDER) -> Run:
    """A trained network of the package, ready to lift; nothing is fetched. Chapter 5.

    Args:
        name: ``"ites-ts"`` or another of :func:`names`.
        device: where it computes.
        folder: of weights and cards; the package's own.

    Raises:
        ItesError: unknown name; damaged or exchanged files.
    """
    about = card(name, folder)
    file = folder / f"{name}.safetensors"
    run = run_from(about.run, folder / f"{name}.json")
    try:
        weights = {key: _widened(value) for key, value in tensors_of(_bytes(name, folder)).items()}
        run.model.load_state_dict(weights)
    except (SafetensorError, RuntimeError) as error:
        raise ItesError(f"{file}: weights do not fit the card ({error}); install the package again") from error
    run.step, run.log = run.provenance.get("steps", 0), list(about.log)
    run.model.to(device).eval()
    return run


def pack(
    run: Run, name: str, data: dict[str, Motion], *, about: str, limits: str, terms: str, folder: Path = FOLDER
) -> Card:
    """Make a run part of the package: narrow its weights to float16, score *those*, write weights and card.

    Args:
        run: a finished run.
        name: what :func:`load` will call it.
        data: motion to score on, by name.
        about, limits, terms: see :class:`Card`.
        folder: where to.

    Raises:
        ItesError: weights too large for float16; else as evaluation.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ItesError(f"weights: found the name {name!r}, expected one without a path")
    narrow = {key: _narrowed(value, key) for key, value in run.model.state_dict().items()}
    run.model.load_state_dict({key: _widened(value) for key, value in narrow.items()})
    content = save(narrow)
    run.provenance["steps"] = run.step
    thin = max(1, len(run.log) // LOG_LINES)
    made = Card(
        name,
        about,
        limits,
        terms,
        hashlib.sha256(content).hexdigest(),
        describe(run),
        sum(p.numel() for p in run.model.parameters()),
        {label: _score(evaluate(run, motion)) for label, motion in data.items()},
        [*run.log[:-1:thin], *run.log[-1:]],
    )
    folder.mkdir(parents=True, exist_ok=True)
    with in_place(folder / f"{name}.safetensors") as file:
        file.write_bytes(content)
    with in_place(folder / f"{name}.json") as file:
        file.write_text(json.dumps(made._asdict(), indent=1) + "\n", encoding="utf-8")
    _bytes.cache_clear()
    return made


def _score(report: Report) -> dict[str, Any]:
    return {"metrics": report.metrics, "views": report.views, "better_mirrored": report.better_mirrored}


def _narrowed(value: Tensor, key: str) -> Tensor:
    if not value.is_floating_point():
        return value.detach().cpu()
    narrow = value.detach().cpu().half()
    if not torch.isfinite(narrow).all():
        raise ItesError(f"weights: {key}: does not fit into float16")
    return narrow.contiguous()


def _widened(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value
