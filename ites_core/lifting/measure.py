"""What lifting one's own keypoints is worth, measured: ``python -m ites_core.lifting.measure`` (chapter 7).

Each measurement writes one artefact to ``results/lift/``:

* ``size``: the rules for a person's size, on test views of CMU recordings;
* ``completion``: what unseen joints cost, completed by the prior or put onto their parents, on the same views;
* ``joints``: what rules for joints that no keypoint marks are off by, in recordings and in the OpenPose clip;
* ``clip``: each view of the clip against the triangulated joints, and the four views against one another;
* ``coco``: people in COCO photographs: who is lifted, and how plausible the bodies are;
* ``speed``: poses a second, on this machine.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from ites_core.camera import Intrinsics, project
from ites_core.checkpoint import Run, build_model
from ites_core.config import student_config
from ites_core.data import find_data, load_motion, make_views
from ites_core.data.joint_sets import BODY25B_TO_H36M17, KEYPOINT_SETS
from ites_core.data.keypoints import undistort
from ites_core.data.noise import DetectionNoise, complete
from ites_core.errors import ItesError
from ites_core.export.onnx import export_onnx
from ites_core.files import in_place
from ites_core.lifting.lift import WEIGHTS, Lifter, lift, lift_units, load_run
from ites_core.lifting.onnx_run import OnnxRun
from ites_core.lifting.plausibility import facing_away, limb_asymmetry, mirrored_share, trunk_tilt, turns_right
from ites_core.lifting.prior import ShapePrior, segment_lengths
from ites_core.lifting.read_tables import people_of_array
from ites_core.metrics import better_mirrored, mpjpe, n_mpjpe, p_mpjpe
from ites_core.provenance import provenance
from ites_core.skeleton import H36M17

Measurement = Literal["size", "completion", "joints", "clip", "coco", "speed"]
FOLDER = Path(__file__).resolve().parents[2] / "results" / "lift"
J = {name: j for j, name in enumerate(H36M17.joints)}
LIMBS = [J[f"{side}{part}"] for side in "LR" for part in ("Hip", "Knee", "Ankle", "Shoulder", "Elbow", "Wrist")]

# Joints that a cropped or hidden person lacks.
PATTERNS: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "a wrist": ("RWrist",),
    "a hip": ("RHip", "Hip", "Spine"),
    "the head": ("Head", "Neck"),
    "one arm": ("RElbow", "RWrist"),
    "the feet": ("RAnkle", "LAnkle"),
    "one side": ("RElbow", "RWrist", "RKnee", "RAnkle"),
    "the legs": ("RKnee", "RAnkle", "LKnee", "LAnkle"),
    "below the chest": ("Hip", "Spine", "RHip", "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle"),
}
LOST = (0, 2, 4, 6, 8, 9, 10, 11)


class Views:
    """Test views of the CMU recordings, at most ``most`` of them: exact pictures, and the truth."""

    def __init__(self, run: Run, most: int = 1500) -> None:
        archive = load_motion("cmu17").part("test")
        views = make_views(archive, seed=0, stride=max(1, 4 * archive.frames // most))
        self.units = run.normalisation.apply(views.image).double().numpy()
        self.image, self.truth = views.image, views.pose

    def error(self, run: Run, units: np.ndarray) -> float:
        """Mean P-MPJPE of complete 2D poses in units, mm."""
        return _mm(p_mpjpe(lift_units(run, units), self.truth))


def measure_size(run: Run) -> dict[str, Any]:
    """Spread of each rule's size, given the true one, and what its use costs."""
    views, prior = Views(run), ShapePrior.packaged()
    flat = views.truth[..., :2].double().numpy()
    true = (views.units * flat).sum((1, 2)) / (flat * flat).sum((1, 2))  # units in the picture for a metre of body
    noisy = DetectionNoise(missing=0.0).apply(
        torch.from_numpy(views.units).float(), H36M17, torch.Generator().manual_seed(1)
    )
    pictures = {"exact": views.units, "detected": noisy.double().numpy()}
    rules: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "bones": prior.measure,
        "all bones": lambda x: (segment_lengths(x) / prior.lengths).mean(axis=1),
        "rms distance to the hip": lambda x: np.sqrt(((x - x[:, :1]) ** 2).sum(-1).mean(-1)),
        "box": lambda x: np.ptp(x, axis=1).max(axis=-1),
        "hip to head": lambda x: np.linalg.norm(x[:, 10] - x[:, 0], axis=-1),
    }
    rows = {}
    for name, rule in rules.items():
        target = prior.size if name == "bones" else rule(views.units).mean()
        row: dict[str, Any] = {}
        for kind, x in pictures.items():
            size = rule(x)
            row[f"spread, {kind}"] = _percent(float(np.std(np.log(size / true))))
            row[f"P-MPJPE, {kind}"] = views.error(run, x * (target / size)[:, None, None])
        rows[name] = row
    rows["known camera"] = {f"P-MPJPE, {kind}": views.error(run, x) for kind, x in pictures.items()}
    for factor in (0.5, 2.0):  # the camera's size, of people twice as far and half as far
        rows["known camera"][f"P-MPJPE, {factor:g} times as large"] = views.error(run, views.units * factor)
    return {"rules": rows, "views": len(views.truth), "unit": "spread %, error mm"}


def measure_completion(run: Run) -> dict[str, Any]:
    """P-MPJPE with unseen joints, by pattern and by number."""
    views, prior = Views(run), ShapePrior.packaged()
    units = views.units * (prior.scale(views.units))[:, None, None]
    patterns = {}
    for name, names in PATTERNS.items():
        gone = [J[n] for n in names]
        hidden = units.copy()
        hidden[:, gone] = np.nan
        row: dict[str, Any] = {"joints": list(names), "prior": views.error(run, prior.complete(hidden))}
        if J["Hip"] not in gone:  # else a joint's parent helps nobody: the root has none
            parents = complete(torch.from_numpy(hidden), H36M17).numpy()
            row["parents"] = views.error(run, parents)
        patterns[name] = row
    rng = np.random.default_rng(0)
    by_number = {}
    for count in LOST:
        hidden = units.copy()
        for k in range(len(hidden)):
            hidden[k, rng.permutation(17)[:count]] = np.nan
        scale = prior.scale(hidden)  # from what is seen, as lifting does
        known = np.isfinite(scale)
        whole = prior.complete(hidden[known] * scale[known, None, None])
        error = p_mpjpe(lift_units(run, whole), views.truth[torch.from_numpy(known)])
        by_number[str(count)] = {"P-MPJPE": _mm(error), "sized": int(known.sum())}
    return {"patterns": patterns, "random joints": by_number, "views": len(units), "unit": "mm"}


def measure_joints(run: Run) -> dict[str, Any]:
    """How far derived joints lie from measured ones, mm, medians; and what that does to the measured joints."""
    poses = load_motion("cmu17").part("test").positions[::20].double().numpy()  # type: ignore[union-attr]
    hips, shoulders = poses[:, [J["LHip"], J["RHip"]]].mean(1), poses[:, [J["LShoulder"], J["RShoulder"]]].mean(1)
    derived = {
        "Hip": hips,
        "Thorax": shoulders,
        "Spine": (hips + shoulders) / 2,
        "Neck": 0.4 * shoulders + 0.6 * poses[:, J["Head"]],
    }
    views = Views(run)
    guessed = views.units.copy()
    ends = guessed[:, [J["LHip"], J["RHip"]]].mean(1), guessed[:, [J["LShoulder"], J["RShoulder"]]].mean(1)
    guessed[:, J["Hip"]], guessed[:, J["Thorax"]], guessed[:, J["Spine"]] = *ends, sum(ends) / 2
    guessed[:, J["Neck"]] = 0.4 * ends[1] + 0.6 * guessed[:, J["Head"]]
    marked = [j for j, n in enumerate(H36M17.joints) if n not in derived]
    cost = {
        name: _mm(p_mpjpe(lift_units(run, _sized(x))[:, marked], views.truth[:, marked]))
        for name, x in (("measured", views.units), ("derived", guessed))
    }
    mocap = {n: _median_mm(np.linalg.norm(x - poses[:, J[n]], axis=-1)) for n, x in derived.items()}
    joints = _clip()["joints3d_body25b"].astype(np.float64)
    first = _first_rules("body25b") @ joints
    crown = BODY25B_TO_H36M17 @ joints
    heads = {}
    for row in KEYPOINT_SETS["body25b"].matrices[J["Head"]][1:]:
        used = " and ".join(KEYPOINT_SETS["body25b"].joints[k] for k in np.flatnonzero(row))
        heads[used] = _median_mm(np.linalg.norm(row @ joints - first[:, J["Head"]], axis=-1))
    to_crown = {n: _median_mm(np.linalg.norm(first[:, J[n]] - crown[:, J[n]], axis=-1)) for n in ("Head", "Neck")}
    return {
        "derived joints, CMU recordings": mocap,
        "P-MPJPE of the other joints, hip, spine, thorax and neck being": cost,
        "head from what replaces the nose, clip": heads,
        "from the nose instead of crown and upper neck, clip": to_crown,
        "unit": "median mm",
    }


def _first_rules(name: str) -> np.ndarray:
    """Matrix (17, K) of the rules that hold where every keypoint is seen."""
    return np.stack([rows[0] for rows in KEYPOINT_SETS[name].matrices])


def _clip() -> dict[str, np.ndarray]:
    path = find_data("pose2sim_balancing_4view.npz")
    if path is None:
        raise ItesError("the OpenPose clip is not here; `ites data list` says how to get it")
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def measure_clip(run: Run) -> dict[str, Any]:
    """Each view of the clip, lifted from its detections alone, against the triangulated joints and the other views."""
    clip = _clip()
    world = _first_rules("body25b") @ clip["joints3d_body25b"].astype(np.float64)
    cameras, frames = clip["keypoints2d"].shape[:2]
    views, turned = {}, []
    for c in range(cameras):
        rotation = clip["R"][c]
        truth = torch.from_numpy((world - world[:, :1]) @ rotation.T).float()
        lifted = lift(people_of_array(clip["keypoints2d"][c], joints="body25b", film=True), weights=run)
        pose, done = lifted.pose, torch.from_numpy(lifted.done)
        pixels = clip["keypoints2d"][c].astype(np.float64)
        crown = lift_units(run, _sized(BODY25B_TO_H36M17 @ pixels[..., :2]))
        target = torch.from_numpy((BODY25B_TO_H36M17 @ clip["joints3d_body25b"] - world[:, :1]) @ rotation.T).float()
        focal, centre = clip["K"][c][[0, 1], [0, 1]], clip["K"][c][:2, 2]
        straight = pixels.copy()
        straight[..., :2] = undistort((pixels[..., :2] - centre) / focal, clip["dist"][c]) * focal + centre
        exact = Intrinsics(*focal, *centre)
        known = lift(people_of_array(straight, joints="body25b", film=True), weights=run, intrinsics=exact)
        views[str(c)] = {
            "frames": int(done.sum()),
            "completed joints": int(lifted.completed.sum()),
            "P-MPJPE": _mm(p_mpjpe(pose[done], truth[done])),
            "P-MPJPE, oracle flip": _mm(p_mpjpe(pose[done], truth[done], oracle_flip=True)),
            "P-MPJPE, limbs alone": _mm(p_mpjpe(pose[done][:, LIMBS], truth[done][:, LIMBS])),
            "N-MPJPE": _mm(n_mpjpe(pose[done], truth[done])),
            "P-MPJPE, lens and intrinsics known": _mm(p_mpjpe(known.pose[done], truth[done])),
            "P-MPJPE, limbs alone, head at the crown": _mm(p_mpjpe(crown[:, LIMBS], target[:, LIMBS])),
            "better mirrored": int(better_mirrored(pose[done], truth[done]).sum()),
        }
        turned.append(torch.where(done[:, None, None], pose @ torch.from_numpy(rotation).float(), torch.nan))
    pairs = {}
    for a, b in combinations(range(cameras), 2):
        both = torch.isfinite(turned[a] + turned[b]).all(-1).all(-1)
        one, other = turned[a][both], turned[b][both]
        pairs[f"{a} and {b}"] = {
            "same orientation": _mm(mpjpe(_unit_size(one), _unit_size(other))),
            "aligned": _mm(p_mpjpe(_unit_size(one), _unit_size(other))),
        }
    return {"views": views, "pairs of views": pairs, "frames": frames, "unit": "mm"}


def _sized(joints: np.ndarray) -> np.ndarray:
    return joints * ShapePrior.packaged().scale(joints)[:, None, None]


def _unit_size(pose: Tensor) -> Tensor:
    """Scaled to the mean bone length of the CMU test poses' bodies, so that views with different sizes compare."""
    lengths = torch.from_numpy(segment_lengths(pose.double().numpy()) / ShapePrior.packaged().lengths).float()
    return pose / lengths.mean(dim=1)[:, None, None]


def measure_coco(run: Run) -> dict[str, Any]:
    """COCO people: how many are lifted, how plausible their bodies are; beside CMU views, where the truth is known."""
    path = find_data("coco2017_fullbody.npz")
    if path is None:
        raise ItesError("the COCO people are not here; `ites data list` says how to get them")
    start = time.perf_counter()
    lifted = lift(path, weights=run)
    seconds = time.perf_counter() - start
    done = torch.from_numpy(lifted.done)
    views = Views(run)
    mirror = views.truth * torch.tensor([1.0, 1.0, -1.0])
    test = lift_units(run, _sized(views.units)) * run.normalisation.metres_per_unit
    right = {"truth": turns_right(views.truth), "truth, mirrored": turns_right(mirror)}
    groups = {"CMU views, truth": views.truth, "CMU views, lifted": test, "COCO people, lifted": lifted.pose[done]}
    calibrated = float(right["truth"][right["truth"] != 0].gt(0).float().mean())
    rows = {}
    for name, pose in groups.items():
        asymmetry, tilt = limb_asymmetry(pose), trunk_tilt(pose)
        sign = turns_right(pose)
        away = facing_away(pose)
        rows[name] = {
            "people": len(pose),
            "limb asymmetry, median": _percent(float(asymmetry.median())),
            "limb asymmetry above a half": _percent(float((asymmetry > 0.5).float().mean())),
            "head above hip": _percent(float((pose[:, J["Head"], 1] < 0).float().mean())),
            "trunk within 45 degrees of upright": _percent(float((tilt < 45).float().mean())),
            "facing away": _percent(float(away.float().mean())),
            "knees and elbows bend the right way": _percent(float(sign[sign != 0].gt(0).float().mean())),
            "bent enough to tell": _percent(float((sign != 0).float().mean())),
            "mirrored, estimated": _percent(mirrored_share(sign, calibrated)),
        }
    known = better_mirrored(test, views.truth).float()
    return {
        "people": len(lifted),
        "lifted": int(done.sum()),
        "joints completed": int(lifted.completed[lifted.done].sum()),
        "people with substituted joints": int((lifted.origin == 1).any(axis=1).sum()),
        "not finite": int((~torch.isfinite(lifted.pose[done])).sum()),
        "groups": rows,
        "CMU views better mirrored, by the truth": _percent(float(known.mean())),
        "seconds": round(seconds, 2),
        "unit": "%",
    }


def measure_speed(run: Run, people: int = 4_000) -> dict[str, Any]:
    """Poses a second from arrays of pixels to arrays of metres, best of three; a busy machine makes it slower.

    Beside the weights themselves: the student of preset ``small``, whose speed does not depend on what it has learnt.
    """
    truth = load_motion("sampler").positions[:people].float()  # type: ignore[union-attr]
    truth = truth.repeat(-(-people // len(truth)), 1, 1)[:people] * torch.tensor([1.0, -1.0, -1.0])
    image = project((truth - truth[:, :1]) * 2.0) * 1000 + 500
    crowd = people_of_array(torch.cat([image, torch.ones(people, 17, 1)], dim=-1).numpy(), joints="h36m17")
    config = student_config("small")
    small = Run(build_model(config, H36M17).eval(), config, run.normalisation, H36M17, seed=0)
    lifters: dict[str, Lifter] = {"these weights": run, "student of preset small": small}
    with TemporaryDirectory() as folder:
        file = Path(folder) / "these.onnx"
        export_onnx(run, file)
        lifters["these weights, by onnxruntime"] = OnnxRun(file)
    rows = {}
    for name, one in lifters.items():
        wall, processor = [], []
        for _ in range(3):
            start = time.perf_counter(), time.process_time()
            lift(crowd, weights=one)
            wall.append(time.perf_counter() - start[0])
            processor.append(time.process_time() - start[1])
        rows[name] = {
            "parameters": sum(p.numel() for p in (small if one is small else run).model.parameters()),
            "poses a second": round(people / min(wall)),
            "poses a second of one core's time": round(people / min(processor)),
        }
    return {"networks": rows, "poses": people, "threads": torch.get_num_threads()}


def _mm(error: Tensor) -> float:
    return round(float(error.mean()) * 1000, 2)


def _median_mm(distance: np.ndarray) -> float:
    return round(float(np.median(distance)) * 1000, 1)


def _percent(share: float) -> float:
    return round(100 * share, 2)


def _sha256(name: str) -> str | None:
    path = find_data(name)
    return None if path is None else hashlib.sha256(path.read_bytes()).hexdigest()


DATA = {"size": "cmu17.npz", "completion": "cmu17.npz", "joints": "cmu17.npz", "clip": "pose2sim_balancing_4view.npz"}
DATA |= {"coco": "coco2017_fullbody.npz", "speed": ""}


def measure(weights: str = WEIGHTS, only: tuple[Measurement, ...] = get_args(Measurement), out: Path = FOLDER) -> None:
    """Measure lifting and write the artefacts.

    Args:
        weights: name of packaged weights, or a run folder.
        only: these measurements.
        out: folder of the artefacts.
    """
    run, name = load_run(weights)
    steps: dict[str, Callable[[Run], dict[str, Any]]] = {
        "size": measure_size,
        "completion": measure_completion,
        "joints": measure_joints,
        "clip": measure_clip,
        "coco": measure_coco,
        "speed": measure_speed,
    }
    out.mkdir(parents=True, exist_ok=True)
    for which in only:
        result = steps[which](run)
        about = provenance(torch.device("cpu")) | {
            "weights": name,
            "stage": run.stage,
            "steps": run.step,
            "trained_on": run.provenance.get("data"),
            "data": DATA[which] or None,
            "data_sha256": _sha256(DATA[which]) if DATA[which] else None,
        }
        file = out / f"{which}.json"
        with in_place(file) as beside:
            beside.write_text(json.dumps(result | {"provenance": about}, indent=1) + "\n", encoding="utf-8")
        print(f"{file}: written")


if __name__ == "__main__":
    import tyro

    tyro.cli(measure)
