"""Typed settings of the two training stages and their named presets (chapters 3, 4 and 5).

Where the paper, the authors' release and plain sense differ, the choice is a field here and the
presets name the combination: ``paper`` follows the text, ``official`` the release as far as its
choices are fields, ``small`` trains in minutes on two cores, ``smoke`` in seconds, for tests. ``full`` has the
paper's size and number of epochs, the choices of ``small`` and batches for a GPU. ``beyond`` leaves the paper: a
student with the priors of :mod:`ites_core.priors` and without a teacher (chapter 9).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any, Literal, TypeVar

from pydantic import ConfigDict, PositiveFloat, PositiveInt, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from ites_core.camera import RotationFamily
from ites_core.errors import ItesError
from ites_core.losses import LossForm
from ites_core.models.graph import Graph

PresetName = Literal["paper", "official", "full", "small", "smoke", "beyond"]
Noise = Literal["none", "detector"]
_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, config=_STRICT)
class TrainingConfig:
    """Settings that both stages share. The defaults are the paper's, Section 4.2.

    Attributes:
        epochs: passes over the training views.
        max_steps: stop after this many steps even if epochs remain; None for no limit.
        batch_size: 2D poses a step.
        optimiser: stochastic gradient descent, or Adam.
        learning_rate: at the start.
        momentum: of SGD; Adam keeps its own.
        weight_decay: L2 penalty.
        schedule: learning rate held, halved every ``halve_every`` epochs, or brought to 0 by a cosine.
        halve_every: epochs between halvings.
        clip: largest gradient norm; None for no clipping.
        loss: losses squared as printed, or as norms as in the release.
        rotations: family of the random rotations of the cycle.
        rotations_per_pose: rotated copies of each pose in the cycle.
        initialisation: torch's own, or normal(0, 0.01) weights as in the release.
        autocast: matrix products in bfloat16; geometry and losses stay in float32.
        cameras: virtual cameras around each sequence.
        validations: how many times the held-out subjects are scored during training.
        noise: exact 2D poses, or poses with the errors of a detector (:mod:`ites_core.data.noise`), in training and in
            evaluation: the paper's "GT" and "IMG".
    """

    epochs: PositiveInt = 40
    max_steps: PositiveInt | None = None
    batch_size: PositiveInt = 128
    optimiser: Literal["sgd", "adam"] = "sgd"
    learning_rate: PositiveFloat = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Literal["constant", "halving", "cosine"] = "constant"
    halve_every: PositiveInt = 15
    clip: PositiveFloat | None = None
    loss: LossForm = "squared"
    rotations: RotationFamily = "haar"
    rotations_per_pose: PositiveInt = 1
    initialisation: Literal["torch", "normal"] = "torch"
    autocast: bool = False
    cameras: PositiveInt = 4
    validations: PositiveInt = 10
    noise: Noise = "none"


@dataclass(frozen=True, config=_STRICT)
class TeacherConfig(TrainingConfig):
    """Stage 1: the pose-dictionary teacher (Sections 3.2 and 4.2).

    Attributes:
        network: the paper's teacher; the same on the student's graph features (Table 7; ``width`` is then D and
            ``blocks`` counts graph blocks); or C3DPO (Table 4): ``weight_rep``
            and ``weight_ric`` then weigh its two losses.
        atoms: K, size of the pose dictionary.
        width, bottleneck, blocks: of the trunk.
        weight_rep, weight_ric: lambda_REP and lambda_RIC; 0 leaves the loss out.
        free_root_after: epoch after which the dictionary's root may leave the origin (the release:
            15); None keeps it pinned.
        dictionary_start: random atoms, or the mean body that rigid factorisation finds in the 2D poses
            (:mod:`ites_core.factorisation`).
    """

    network: Literal["dictionary", "agcn", "c3dpo"] = "dictionary"
    atoms: PositiveInt = 12
    width: PositiveInt = 1024
    bottleneck: PositiveInt = 256
    blocks: PositiveInt = 6
    weight_rep: float = 5.0
    weight_ric: float = 1.0
    free_root_after: int | None = None
    dictionary_start: Literal["random", "mean_body"] = "random"


@dataclass(frozen=True, config=_STRICT)
class StudentConfig(TrainingConfig):
    """Stage 2: the graph-convolution student (Sections 3.3 and 4.2).

    Attributes:
        network: adaptive graph convolutions; the fully connected trunk that Table 4 compares them with; the release's
            graph network; the residual perceptron of the supervised baseline; no depth at all, or one mean pose.
        channels: D, features a joint; the width of the layers for ``resfc`` and ``mlp``.
        blocks: graph blocks, a residual over every two; residual blocks for ``resfc`` and ``mlp``.
        dropout: share of features that ``mlp`` drops.
        graph: both terms of the adaptive graph convolution, or one (Table 8).
        weight_kd, weight_rec: lambda_KD and lambda_REC; 0 leaves the loss out. Without L_KD no teacher is needed.
        mirror_pictures: learn from every picture and its mirror image; the teacher's label is the mean of both.
        free_rotations: share of the cycle's rotations that are drawn uniformly, whatever ``rotations`` says.
        weight_bones: of the pull to typical proportions; 0 leaves it out. As the next ones, a prior of
            :mod:`ites_core.priors`, not of the paper.
        bones: whose proportions: the median of the teacher's bodies; what the pictures themselves tell; or the median
            of the bodies of a first student, trained for ``bones_steps`` with what the pictures tell.
        weight_knees: of the pull that keeps knees from bending backwards; 0 leaves it out.
        weight_density: of the pull of turned bodies' pictures to common 2D poses; 0 leaves it out.
        density_steps: how long the density is learnt.
    """

    epochs: PositiveInt = 30
    network: Literal["agcn", "resfc", "semgcn", "mlp", "zero", "mean"] = "agcn"
    channels: PositiveInt = 128
    blocks: PositiveInt = 8
    dropout: float = 0.5
    graph: Graph = "both"
    weight_kd: float = 5.0
    weight_rec: float = 1.0
    mirror_pictures: bool = False
    free_rotations: float = 0.0
    weight_bones: float = 0.0
    bones: Literal["teacher", "pictures", "student"] = "teacher"
    bones_steps: PositiveInt = 1500
    weight_knees: float = 0.0
    weight_density: float = 0.0
    density_steps: PositiveInt = 2500


_RELEASE: dict[str, Any] = {
    "loss": "norm",
    "weight_decay": 5e-4,
    "schedule": "halving",
    "initialisation": "normal",
    "rotations_per_pose": 4,
}

TEACHER_PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "official": {**_RELEASE, "epochs": 50, "rotations": "axis_angle", "free_root_after": 15},
    "small": {
        "width": 256, "bottleneck": 64, "epochs": 100, "max_steps": 4000, "batch_size": 256,
        "optimiser": "adam", "learning_rate": 2e-3, "schedule": "cosine", "loss": "norm",
        "weight_rep": 15.0, "rotations_per_pose": 4, "dictionary_start": "mean_body",
    },
    "full": {
        "cameras": 34, "batch_size": 4096, "optimiser": "adam", "learning_rate": 1e-3, "schedule": "cosine",
        "loss": "norm", "weight_rep": 15.0, "rotations_per_pose": 4, "dictionary_start": "mean_body", "autocast": True,
    },
    "smoke": {
        "width": 32, "bottleneck": 16, "blocks": 2, "epochs": 100, "max_steps": 40, "batch_size": 64,
        "optimiser": "adam", "learning_rate": 2e-3, "schedule": "cosine", "loss": "norm", "validations": 2,
    },
}  # fmt: skip

STUDENT_PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "official": {**_RELEASE, "network": "semgcn", "epochs": 40, "rotations": "vertical"},
    "small": {
        "channels": 48, "blocks": 4, "epochs": 100, "max_steps": 1200, "batch_size": 128,
        "optimiser": "adam", "learning_rate": 2e-3, "schedule": "cosine", "loss": "norm",
        "rotations": "vertical",
    },
    "full": {  # with 34 cameras, and so four times as many steps, two runs broke down on the way: chapter 5
        "cameras": 8, "batch_size": 4096, "optimiser": "adam", "learning_rate": 1e-3, "schedule": "cosine",
        "loss": "norm", "rotations": "vertical", "autocast": True,
    },
    "smoke": {
        "channels": 8, "blocks": 2, "epochs": 100, "max_steps": 30, "batch_size": 64,
        "optimiser": "adam", "learning_rate": 2e-3, "schedule": "cosine", "loss": "norm",
        "rotations": "vertical", "validations": 2, "density_steps": 20, "bones_steps": 20,
    },
}  # fmt: skip

STUDENT_PRESETS["beyond"] = {
    **STUDENT_PRESETS["small"], "network": "resfc", "channels": 256, "blocks": 4, "max_steps": 6000, "batch_size": 256,
    "clip": 5.0, "rotations": "gravity", "free_rotations": 0.3, "mirror_pictures": True,
    "weight_kd": 0.0, "weight_rec": 3.0, "weight_bones": 1.0, "bones": "pictures", "weight_knees": 1.0,
    "weight_density": 1.0,
}  # fmt: skip

C = TypeVar("C", bound=TrainingConfig)


def teacher_config(preset: str = "small", **changes: Any) -> TeacherConfig:
    """Settings of stage 1: a preset with some fields changed.

    Raises:
        ItesError: unknown preset or field, or a value that the field cannot take.
    """
    return _preset(TeacherConfig, TEACHER_PRESETS, preset, changes)


def student_config(preset: str = "small", **changes: Any) -> StudentConfig:
    """Settings of stage 2: a preset with some fields changed.

    Raises:
        ItesError: unknown preset or field, or a value that the field cannot take.
    """
    return _preset(StudentConfig, STUDENT_PRESETS, preset, changes)


def parse_assignments(pairs: Iterable[str]) -> dict[str, str]:
    """``["batch_size=64", ...]`` from the command line to ``{"batch_size": "64", ...}``.

    Raises:
        ItesError: if a pair has no ``=``.
    """
    changes = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ItesError(f"--set {pair}: expected field=value, for example --set batch_size=64")
        changes[name.strip().replace("-", "_")] = value.strip()
    return changes


def validate(kind: type[C], values: Mapping[str, Any]) -> C:
    """Build a config from plain values (numbers or their text), with one clear line on what is wrong.

    Raises:
        ItesError: unknown field, or a value of the wrong kind.
    """
    known = [f.name for f in fields(kind)]
    for name in values:
        if name not in known:
            raise ItesError(f"unknown field {name!r} for {kind.__name__}: expected one of {', '.join(known)}")
    optional = {f.name for f in fields(kind) if f.default is None}
    plain = {k: None if k in optional and v in ("none", "None", "null") else v for k, v in values.items()}
    try:
        return TypeAdapter(kind).validate_python(plain)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(p) for p in first["loc"][:1])
        raise ItesError(f"{kind.__name__}.{place}: found {first['input']!r}; {first['msg'].lower()}") from None


def _preset(kind: type[C], presets: Mapping[str, dict[str, Any]], name: str, changes: Mapping[str, Any]) -> C:
    if name not in presets:
        raise ItesError(f"unknown preset {name!r}: expected one of {', '.join(presets)}")
    return validate(kind, asdict(validate(kind, presets[name])) | dict(changes))
