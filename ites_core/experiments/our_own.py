"""Questions of our own: detectors, photographs, priors without a teacher, starts, precision."""

from __future__ import annotations

from ites_core.experiments.systems import SYSTEMS
from ites_core.experiments.tables import ERRORS, Claim, Column, Experiment, lines

_PARTS = {
    "without density": "The density of 2D poses",
    "without bones": "The pull to typical proportions",
    "without knees": "Knowing that knees bend forwards",
    "without cycle": "The cycle",
    "without free rotations": "A share of free rotations in the cycle",
    "without elevation": "Knowing that cameras look slightly down",
    "without mirror pictures": "Learning from mirrored pictures too",
}
_WHY = {
    "without knees": "The elevation tells the front of upright people. Where some lie, seeds differ more without them.",
    "without free rotations": "They cost a little on people who stand. On the other system, where some lie, they help.",
}
_BEYOND = [name for name in SYSTEMS if name.startswith("beyond") and not name.endswith("from COCO")]

OURS = (
    Experiment(
        "detector",
        "What a detector's errors cost, and what training with them gives",
        lines(
            *("teacher", "teacher IMG", "student", "student IMG", "C3DPO", "C3DPO IMG"),
            *("supervised", "supervised IMG"),
        ),
        (
            Column("P-MPJPE, own input", "P-MPJPE"),
            Column("P-MPJPE, detected input", "P-MPJPE", "detected"),
            Column("P-MPJPE, OpenPose clip", "P-MPJPE", "the wild"),
        ),
        (
            Claim(
                "Training with a detector's errors helps a student on such input.",
                (("student IMG @ detected", "student @ detected"),),
                source="ours",
            ),
            Claim(
                "Training with a detector's errors helps a teacher on such input.",
                (("teacher IMG @ detected", "teacher @ detected"),),
                source="ours",
            ),
        ),
    ),
    Experiment(
        "photographs",
        "Learning from 2D annotations alone: people in photographs (COCO), or sampled poses",
        lines(
            *("teacher", "teacher from COCO", "teacher from sampler"),
            *("student", "student from COCO", "all depths zero"),
            *("beyond", "beyond from COCO", "beyond without knees from COCO"),
        ),
        (
            Column("P-MPJPE", "P-MPJPE"),
            Column("P-MPJPE, another system", "P-MPJPE", "another system"),
            Column("P-MPJPE, OpenPose clip", "P-MPJPE", "the wild"),
        ),
        (
            Claim(
                "A student of the paper that has only seen annotated photographs beats no depth at all.",
                (("student from COCO", "all depths zero"),),
                source="ours",
                why=(
                    "Most people in photographs face the camera and many sit: the teacher's cycle sees few sides "
                    "of them, and its dictionary explains the pictures with bodies that are far too deep."
                ),
            ),
            Claim(
                "With priors instead of a teacher, a student of annotated photographs alone beats no depth.",
                (
                    ("beyond from COCO", "all depths zero"),
                    ("beyond from COCO @ another system", "all depths zero @ another system"),
                ),
                source="ours",
            ),
            Claim(
                "In photographs, knowing that knees bend forwards helps.",
                (("beyond from COCO", "beyond without knees from COCO"),),
                source="ours",
            ),
        ),
        "Whatever learnt from photographs brings every picture to one size first, as the photographs were.",
    ),
    Experiment(
        "beyond",
        "Beyond the paper: priors that need no 3D data, left out one by one",
        lines("teacher on the rays", "student ResFC", *_BEYOND, "supervised"),
        (Column("P-MPJPE", "P-MPJPE"), Column("P-MPJPE, another system", "P-MPJPE", "another system")),
        (
            Claim(
                "With all priors the student is better than the paper's network of the same size.",
                (("beyond", "student ResFC"), ("beyond @ another system", "student ResFC @ another system")),
                source="ours",
            ),
            Claim(
                "A teacher still helps a student with bones of its own.",
                (("beyond with a teacher", "beyond with bones of its own"),),
                source="ours",
                why="What the teacher knew and the priors did not were bone lengths. A first student finds them.",
            ),
            Claim(
                "Bones of its own help.",
                (("beyond with bones of its own", "beyond"),),
                source="ours",
            ),
            *(
                Claim(f"{part} helps.", (("beyond", f"beyond {without}"),), source="ours", why=_WHY.get(without, ""))
                for without, part in _PARTS.items()
            ),
        ),
    ),
    Experiment(
        "start",
        "Where a teacher starts, and the release's rotations",
        lines("teacher", "teacher random start", "teacher as released"),
        ERRORS,
        (
            Claim(
                "A start from the mean body of the 2D poses is better than random atoms.",
                (("teacher", "teacher random start"),),
                source="ours",
            ),
            Claim(
                "Rotations drawn evenly (Haar) are better than the release's axis and angle.",
                (("teacher", "teacher as released"),),
                source="ours",
            ),
        ),
    ),
    Experiment(
        "precision",
        "What products in bfloat16 cost: the fast path beside float32",
        lines("teacher", "teacher bfloat16", "student", "student bfloat16"),
        ERRORS,
        (
            Claim("A teacher trained in float32 is better.", (("teacher", "teacher bfloat16"),), source="ours"),
            Claim("A student trained in float32 is better.", (("student", "student bfloat16"),), source="ours"),
        ),
        "Geometry, losses and weights are in float32 either way. The claims voice the doubt: if they do not hold, "
        "the fast path is as good.",
    ),
)
