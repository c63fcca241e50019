"""Every network that the experiments train, declared as data: what differs from a preset (chapters 3, 4 and Results).

A *scale* says how large and how long:

* ``paper``: the preset ``paper``, the full schedule; for a GPU;
* ``small``: the preset ``small``, minutes on two cores;
* ``brief``: ``small`` with a third of its steps, long enough to order the systems of a sweep and too short for their
  best score (the supervised bound keeps all of its steps);
* ``smoke``: seconds, to see that everything runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from ites_core.config import STUDENT_PRESETS, StudentConfig, TeacherConfig, student_config, teacher_config
from ites_core.errors import ItesError

Scale = Literal["paper", "small", "brief", "smoke"]
Stage = Literal["teacher", "student", "supervised", "untrained", "on the rays"]
Learning = Literal["recordings", "sampler", "coco"]

BRIEF: dict[str, dict[str, Any]] = {
    "teacher": {"max_steps": 1500, "validations": 2},
    "student": {"max_steps": 400, "validations": 2},
}

ATOMS = (2, 4, 8, 24, 40)  # K beside the presets' 12; Figure 6
WEIGHTS_REP = (1, 3, 5, 8, 10, 30, 60)  # lambda_REP: the paper's five (Table 5) and two around the 15 of ``small``
WEIGHTS_KD = (1, 3, 8, 10, 20)  # lambda_KD beside the presets' 5: the paper's four (Table 6) and one more


@dataclass(frozen=True)
class System:
    """One network of the experiments.

    Attributes:
        name: unique.
        stage: how it is trained. ``on the rays`` trains nothing: a teacher's depths on the rays of the input.
        changes: fields that differ from the preset, at every scale.
        small: further fields at the scales ``small`` and ``brief``.
        labels_from: for a student or ``on the rays``, the name of the teacher; None for a student that has none.
        motion: what to learn from: the recordings under test, the embedded sampler, or the 2D keypoints of people in
            photographs (COCO), which come without any 3D.
        preset: what ``changes`` are made to at the scale ``paper``: the paper's text, or the authors' release.
    """

    name: str
    stage: Stage
    changes: dict[str, Any] = field(default_factory=dict)
    small: dict[str, Any] = field(default_factory=dict)
    labels_from: str | None = None
    motion: Learning = "recordings"
    preset: Literal["paper", "official"] = "paper"

    def config(self, scale: Scale) -> TeacherConfig | StudentConfig:
        """The settings of this system at a scale; of its teacher, if it trains nothing of its own."""
        if self.stage == "on the rays":
            return system_named(self.labels_from or "").config(scale)
        make = teacher_config if self.stage == "teacher" else student_config
        kind = "teacher" if self.stage == "teacher" else "student"
        if scale == "paper":
            return make(self.preset, **self.changes)
        if scale == "smoke":
            return make("smoke", **(self.changes | self.small | {"max_steps": 20}))
        return make("small", **(self.changes | (BRIEF[kind] if scale == "brief" else {}) | self.small))


def _student(
    name: str,
    teacher: str = "teacher",
    small: dict[str, Any] | None = None,
    motion: Learning = "recordings",
    preset: Literal["paper", "official"] = "paper",
    **changes: Any,
) -> System:
    return System(f"student {name}".strip(), "student", changes, small or {}, teacher, motion, preset)


_RESFC: dict[str, Any] = {"network": "resfc", "channels": 1024, "blocks": 6}
_RESFC_SMALL = {"channels": 256, "blocks": 4}
_C3DPO: dict[str, Any] = {"network": "c3dpo", "atoms": 10, "loss": "huber", "weight_rep": 1.0, "weight_ric": 1.0}
# With the losses of its authors, C3DPO was worse than no depth at all after so few steps (rows in commit 9df62f0).
# So it gets what helped the teacher of this scale: its form and weight of the losses, and its start.
_C3DPO_SMALL = {"loss": "norm", "weight_rep": 15.0, "dictionary_start": "mean_body"}
# The supervised bound has no counterpart in the paper's schedule, so it keeps one of its own at every scale.
_MLP: dict[str, Any] = {
    "network": "mlp", "channels": 1024, "blocks": 2, "dropout": 0.25, "weight_rec": 0.0,
    "optimiser": "adam", "learning_rate": 1e-3, "schedule": "cosine", "batch_size": 256, "loss": "norm",
}  # fmt: skip
_MLP_SMALL = {"max_steps": 6000}


def _beyond(name: str, teacher: str | None = None, motion: Learning = "recordings", **changes: Any) -> System:
    """The preset ``beyond``, which leaves the paper, at every scale; its parts left out one by one (chapter 9)."""
    settings = STUDENT_PRESETS["beyond"] | changes
    return System(f"beyond {name}".strip(), "student", settings, {}, teacher, motion)


_ALL = (
    System("all depths zero", "untrained", {"network": "zero"}),
    System("mean pose", "untrained", {"network": "mean"}),
    System("teacher", "teacher"),
    System("teacher without RIC", "teacher", {"weight_ric": 0.0}),
    System("teacher random start", "teacher", {"dictionary_start": "random"}),
    System("teacher from sampler", "teacher", motion="sampler"),
    System("teacher from COCO", "teacher", motion="coco"),
    # Of the release's choices, its random rotations are the one that the other presets do not share.
    System("teacher as released", "teacher", {"rotations": "axis_angle"}, preset="official"),
    System("teacher AGCN", "teacher", {"network": "agcn", "width": 128, "blocks": 8}, {"width": 48, "blocks": 4}),
    System("teacher IMG", "teacher", {"noise": "detector"}),
    System("teacher bfloat16", "teacher", {"autocast": True}),
    *(System(f"teacher K={k}", "teacher", {"atoms": k}) for k in ATOMS),
    *(System(f"teacher REP={w}", "teacher", {"weight_rep": float(w)}) for w in WEIGHTS_REP),
    System("C3DPO", "teacher", _C3DPO, _C3DPO_SMALL),
    System("C3DPO IMG", "teacher", _C3DPO | {"noise": "detector"}, _C3DPO_SMALL),
    System("teacher on the rays", "on the rays", labels_from="teacher"),
    System("C3DPO on the rays", "on the rays", labels_from="C3DPO"),
    _student(""),
    _student("KD only", weight_rec=0.0),
    _student("REC only", weight_kd=0.0),
    *(_student(f"KD={w}", weight_kd=float(w)) for w in WEIGHTS_KD),
    _student("physical graph", graph="physical"),
    _student("nonphysical graph", graph="nonphysical"),
    _student("ResFC", small=_RESFC_SMALL, **_RESFC),
    _student("as released", preset="official", network="semgcn"),
    _student("from COCO", "teacher from COCO", motion="coco"),
    _student("of C3DPO", "C3DPO"),
    _student("ResFC of C3DPO", "C3DPO", small=_RESFC_SMALL, **_RESFC),
    _student("IMG", "teacher IMG", noise="detector"),
    _student("bfloat16", autocast=True),
    System("supervised", "supervised", _MLP, _MLP_SMALL),
    System("supervised IMG", "supervised", _MLP | {"noise": "detector"}, _MLP_SMALL),
    _beyond(""),
    _beyond("with a teacher", "teacher", weight_kd=1.0, bones="teacher"),
    _beyond("with bones of its own", bones="student"),
    _beyond("without density", weight_density=0.0),
    _beyond("without bones", weight_bones=0.0),
    _beyond("without knees", weight_knees=0.0),
    _beyond("without cycle", weight_rec=0.0),
    _beyond("without free rotations", free_rotations=0.0),
    _beyond("without elevation", rotations="vertical"),
    _beyond("without mirror pictures", mirror_pictures=False),
    _beyond("IMG", noise="detector"),
    _beyond("from COCO", motion="coco", weight_density=2.0),
    _beyond("without knees from COCO", motion="coco", weight_density=2.0, weight_knees=0.0),
)

SYSTEMS: dict[str, System] = {system.name: system for system in _ALL}


def system_named(name: str) -> System:
    """The declared system of that name.

    Raises:
        ItesError: if there is none.
    """
    if name not in SYSTEMS:
        raise ItesError(f"unknown system {name!r}: expected one of {', '.join(SYSTEMS)}")
    return SYSTEMS[name]
