"""What the page "Lift in your browser" runs on: both networks as ONNX, example poses, a still picture.

    python book/make_lifter.py
    python book/make_lifter.py --student runs/student --teacher runs/teacher     your own runs in the page

Writes book/_generated/static/lifter. The networks are those that come with the package. The example poses are drawn
from the pose sampler, never taken from recordings: of many, for each example the one that does best what its name says.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from ites_core.camera import CAMERA_DISTANCE, MIN_DEPTH, look_at, project, rotate
from ites_core.checkpoint import Run
from ites_core.data.joint_sets import COCO17, COCO17_TO_H36M17
from ites_core.data.sampler import PoseSampler
from ites_core.errors import ItesError
from ites_core.export.onnx import export_onnx
from ites_core.lifting.lift import load_run
from ites_core.lifting.prior import AVERAGED, DROPPED, SEGMENTS, ShapePrior
from ites_core.metrics import depth_mirror
from ites_core.plot import COLOURS, SIDES, draw_pose_2d, draw_pose_3d, side_of
from ites_core.skeleton import H36M17, Skeleton

TARGET = Path(__file__).resolve().parent / "_generated" / "static" / "lifter"
DRAWN = 3000  # poses to choose the examples from
EYE_HEIGHT = 1.5  # metres, of the camera that looks at the examples
# From the front the camera looks a little from one side: a body that faces it squarely hides its depths.
FRONT, SIDE, BACK = (torch.deg2rad(torch.tensor(angle)) for angle in (25.0, 80.0, 155.0))


def joint(poses: Tensor, name: str) -> Tensor:
    """(n, 3) positions of one joint."""
    return poses[:, H36M17.joints.index(name)]


def height(poses: Tensor, name: str) -> Tensor:
    """(n,) height of a joint over the lower ankle, metres."""
    return joint(poses, name)[:, 1] - torch.minimum(joint(poses, "LAnkle")[:, 1], joint(poses, "RAnkle")[:, 1])


def upright(poses: Tensor) -> Tensor:
    """(n,) cosine of the trunk's angle to the vertical."""
    trunk = joint(poses, "Thorax") - joint(poses, "Hip")
    return trunk[:, 1] / trunk.norm(dim=-1)


def apart(poses: Tensor, one: str, other: str) -> Tensor:
    """(n,) horizontal distance of two joints, metres."""
    return (joint(poses, one) - joint(poses, other))[:, [0, 2]].norm(dim=-1)


def wrists_up(poses: Tensor) -> Tensor:
    """(n,) how high the lower wrist is over the head, metres."""
    return torch.minimum(height(poses, "LWrist"), height(poses, "RWrist")) - height(poses, "Head")


def calm(poses: Tensor) -> Tensor:
    """(n,) the more upright, straight-legged and with arms hanging, the higher."""
    arms = torch.maximum(height(poses, "LWrist"), height(poses, "RWrist"))
    return upright(poses) + height(poses, "Hip") - 0.5 * arms - apart(poses, "LAnkle", "RAnkle")


# name -> (what the pose must have most of, from where the camera looks at it)
EXAMPLES: dict[str, tuple[Callable[[Tensor], Tensor], Tensor]] = {
    "long stride": (lambda p: apart(p, "LAnkle", "RAnkle") + 0.3 * upright(p) + 0.5 * height(p, "Hip"), FRONT),
    "arms raised": (wrists_up, FRONT),
    "standing": (calm, FRONT),
    "crouching": (lambda p: 0.3 * upright(p) - height(p, "Hip"), FRONT),
    "bending over": (lambda p: -upright(p) + 0.5 * height(p, "Hip"), SIDE),
    "seen from the side": (lambda p: apart(p, "LAnkle", "RAnkle") + upright(p), SIDE),
    "seen from behind": (lambda p: apart(p, "LWrist", "RWrist") + upright(p), BACK),
}


def seen(pose: Tensor, angle: Tensor, metres_per_unit: float) -> Tensor:
    """A pose (17, 3), metres, y up, as a camera at an angle to its front sees it: (17, 3) camera frame, units."""
    across = pose[H36M17.joints.index("LHip")] - pose[H36M17.joints.index("RHip")]
    azimuth = torch.atan2(-across[2], across[0]) + angle  # left x up is the front
    away = CAMERA_DISTANCE * metres_per_unit
    up = pose[:, 1].min() + EYE_HEIGHT - pose[0, 1]
    eye = pose[0] + torch.stack([away * azimuth.sin(), up, away * azimuth.cos()])
    rotation = look_at(eye, pose[0], pose.new_tensor([0.0, 1.0, 0.0]))
    return rotate(pose - pose[0], rotation) / metres_per_unit


def examples(metres_per_unit: float) -> dict[str, Tensor]:
    """Name to (17, 3) example pose, root-relative, camera frame, units."""
    poses = PoseSampler.embedded().poses(DRAWN, torch.Generator().manual_seed(7))
    best = {name: poses[int(score(poses).argmax())] for name, (score, _) in EXAMPLES.items()}
    return {name: seen(pose, EXAMPLES[name][1], metres_per_unit) for name, pose in best.items()}


def spoken(joint_name: str) -> str:
    """A joint's name in words: "RHip" is "right hip"."""
    side = {"R": "right ", "L": "left "}.get(joint_name[0], "") if joint_name[1:2].isupper() else ""
    return (side + joint_name.removeprefix("R" if side == "right " else "L" if side else "")).lower()


def description(runs: dict[str, Run], poses: dict[str, Tensor], skeleton: Skeleton = H36M17) -> dict[str, Any]:
    """All that the page's scripts know, as JSON."""
    prior = ShapePrior.packaged()
    return {
        "joints": list(skeleton.joints),
        "names": [spoken(name) for name in skeleton.joints],
        "root": skeleton.root,
        "parents": list(skeleton.parents),
        "bones": [{"ends": bone, "side": side_of(bone, skeleton)} for bone in skeleton.bones],
        "colours": {side: COLOURS[side] for side in SIDES},
        "distance": CAMERA_DISTANCE,
        "nearest": MIN_DEPTH,
        "metres_per_unit": runs["student"].normalisation.metres_per_unit,
        "prior": {
            "segments": SEGMENTS,
            "lengths": prior.lengths.tolist(),
            "size": prior.size,
            "dropped": DROPPED,
            "averaged": AVERAGED,
        },
        "models": {
            name: {"file": f"{name}.onnx", "factor": run.normalisation.factor, "data": run.provenance.get("data", "")}
            for name, run in runs.items()
        },
        "examples": [
            {"name": name, "image": rounded(project(pose)), "pose": rounded(pose)} for name, pose in poses.items()
        ],
        "coco": {"joints": list(COCO17), "matrix": COCO17_TO_H36M17.tolist()},
    }


def rounded(points: Tensor) -> list[list[float]]:
    """Coordinates with the digits that a reader could ever see."""
    return [[round(v, 5) for v in point] for point in points.tolist()]


def draw_still(runs: dict[str, Run], image: Tensor, file: Path) -> None:
    """What the page shows first, as a picture for browsers that cannot run it."""
    fig = plt.figure(figsize=(9, 2.9), facecolor="white", layout="constrained")
    flat = fig.add_subplot(1, 4, 1)
    draw_pose_2d(flat, image, legend=True)
    flat.set(title="the picture", xlabel="u", ylabel="v")
    lifted = {name: run.lift(image / run.normalisation.factor) for name, run in runs.items()}
    for k, (name, pose) in enumerate({**lifted, "student's twin": depth_mirror(lifted["student"])}.items()):
        ax = fig.add_subplot(1, 4, k + 2, projection="3d")
        draw_pose_3d(ax, pose, azim=-50, unit="units")
        ax.set_title(name)
    fig.savefig(file, dpi=110)
    plt.close(fig)


def main() -> None:
    """Write everything anew; the page is small and its networks may have changed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", default="ites-ts", help="name of a packaged run, or a run folder")
    parser.add_argument("--teacher", default="ites-t", help="the same")
    wanted = vars(parser.parse_args())
    runs = {stage: load_run(wanted[stage])[0] for stage in ("student", "teacher")}
    for stage, run in runs.items():
        if run.stage != stage or run.skeleton is not H36M17:
            found = f"{run.stage} on {run.skeleton.name}"
            raise ItesError(f"{wanted[stage]}: found a {found}, expected a {stage} on {H36M17.name}")
        # The teacher's file is nearly all weights. The student's is not: compact, it would only load more slowly.
        difference = export_onnx(run, TARGET / f"{stage}.onnx", compact=stage == "teacher")
        print(f"{stage}: {difference:.1e} units from torch")
    poses = examples(runs["student"].normalisation.metres_per_unit)
    (TARGET / "lifter.json").write_text(json.dumps(description(runs, poses)) + "\n", encoding="utf-8")
    draw_still(runs, project(next(iter(poses.values()))), TARGET / "still.png")


if __name__ == "__main__":
    main()
