"""``ites lift``: your own keypoints in, 3D poses out."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tyro import conf


def lift(
    input: conf.Positional[Path],
    out: Path,
    format: Literal["auto", "coco", "yolo", "openpose", "mediapipe", "csv", "numpy"] = "auto",
    weights: str = "ites-beyond",
    joints: Literal["coco17", "coco18", "body25", "body25b", "mediapipe33", "h36m17"] | None = None,
    min_score: float = 0.3,
    size: Literal["person", "camera"] = "person",
    focal: float | None = None,
    image_size: tuple[float, float] | None = None,
    film: Literal["auto", "yes", "no"] = "auto",
    fps: float | None = None,
    person: int | None = None,
) -> None:
    """Lift detected people to 3D. What is written follows from the suffix of --out.

    Args:
        input: keypoints: COCO JSON (also of MMPose, Detectron2, Ultralytics, AlphaPose), YOLO labels, OpenPose's JSON
            folder, MediaPipe landmarks, CSV, npz or npy.
        out: .npz .json .csv (all that is known), .bvh .glb .gltf (animation), .html (to look at), .gif .mp4.
        format: of the input; auto tells it by suffix and content.
        weights: name of packaged weights, a run folder, or a file of `ites export onnx`, which is faster.
        joints: the keypoint set, where the input leaves it open.
        min_score: confidence below which a keypoint counts as missing. Detectron2's scores are lower: try 0.05.
        size: person: bring each person to the training set's size. camera: keep the size that the camera sees.
        focal: focal length in pixels, for --size camera; by default that of a view of 47 degrees.
        image_size: width and height of the pictures, for inputs that hold shares of them, and for --focal.
        film: whether the pictures are frames of a film; auto: as the input says.
        fps: frames a second; by default as the input says, else 25.
        person: for animations, only this one.
    """
    from ites_core.camera import Intrinsics
    from ites_core.errors import ItesError
    from ites_core.export.save import check_suffix, save
    from ites_core.lifting import lift as lift_people

    check_suffix(out)
    intrinsics = None
    if focal is not None:
        if image_size is None:
            raise ItesError("--focal: the principal point is the middle of the picture; give --image-size too")
        intrinsics = Intrinsics(focal, focal, image_size[0] / 2, image_size[1] / 2)
    lifted = lift_people(
        input,
        weights=weights,
        format=format,
        joints=joints,
        min_score=min_score,
        size=size,
        intrinsics=intrinsics,
        image_size=image_size,
        film=None if film == "auto" else film == "yes",
        fps=fps,
        progress=True,
    )
    print(lifted.summary())
    for file in save(lifted, out, person):
        print(f"{file}: written")
