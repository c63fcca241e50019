"""What is known about bodies and pictures without any 3D data: five priors of the student "beyond" (chapter 9).

* Symmetry: a mirrored picture of a body is the picture of a body (:func:`mirrored`).
* Bones: bodies have nearly the same proportions; the median of a teacher's or a first student's bodies stands for them
  (:func:`typical_bones`), or what the longest bones in the pictures say (:func:`pictured_bones`).
* Knees bend forwards, which a body's mirror image in depth does not do (:func:`knee_loss`).
* Gravity: turned about the vertical, a body in a recording is a body in a recording (``rotations="gravity"``).
* Density: then its picture must look like a recorded picture, as a network that removes noise from 2D poses judges
  (:class:`PoseDensity`).

None of them is in the paper; each is a field of :class:`ites_core.config.StudentConfig` that is off by default.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ites_core.camera import CAMERA_DISTANCE, at_least_float32, full_precision
from ites_core.errors import ItesError
from ites_core.models.linear import Linear
from ites_core.skeleton import Skeleton

TOLERANCE = 0.1  # of relative bone lengths: where the pseudo-Huber loss turns from a square into a norm
FULL_LENGTH = 0.9  # the quantile of a bone's lengths in pictures that stands for the length that it has
NOISE = (0.03, 0.3)  # units: the noise with which a density judges the student's pictures


def mirrored(points: Tensor, skeleton: Skeleton) -> Tensor:
    """The body's mirror image: x changes its sign, left and right joints their places.

    Args:
        points: (..., N, D), D = 2 picture or 3 space, root-centred.
        skeleton: the joint set.

    Returns:
        The same shape. Applied twice, it gives the points back.
    """
    sign = torch.ones(points.shape[-1], dtype=points.dtype, device=points.device)
    sign[0] = -1
    return points[..., list(skeleton.mirror), :] * sign


def relative_bones(poses: Tensor, skeleton: Skeleton) -> Tensor:
    """Bone lengths over their mean: (..., N, 3) to (..., N - 1), free of any unit."""
    lengths = skeleton.bone_lengths(poses)
    return lengths / lengths.mean(dim=-1, keepdim=True).clamp(min=1e-6)


def typical_bones(poses: Tensor, skeleton: Skeleton) -> Tensor:
    """Median proportions of many bodies, left and right alike: (M, N, 3) to (N - 1,)."""
    return _both_sides(relative_bones(poses, skeleton).median(dim=0).values, skeleton)


def pictured_bones(image: Tensor, skeleton: Skeleton) -> Tensor:
    """Proportions of people from many pictures of them: (M, N, 2) to (N - 1,), no depth needed.

    A bone that points to the camera looks short, never long, so its large lengths tell: the quantile
    :data:`FULL_LENGTH` over all pictures, in each picture relative to the mean bone in it. That mean is foreshortened
    itself, which makes all quantiles too large by about one factor; dividing by their mean takes it out.

    Args:
        image: 2D poses, seen from many sides; the scale of each does not matter.
        skeleton: the joint set.
    """
    flat = torch.cat([image, torch.zeros_like(image[..., :1])], dim=-1)
    longest = _both_sides(_quantile(relative_bones(flat, skeleton), FULL_LENGTH), skeleton)
    return longest / longest.mean()


def _quantile(values: Tensor, share: float) -> Tensor:
    """Of each column of (M, N); torch's own quantile refuses many rows."""
    return values.sort(dim=0).values[round(share * (len(values) - 1))]


def _both_sides(bones: Tensor, skeleton: Skeleton) -> Tensor:
    """Mean of left and right: (N - 1,) to the same."""
    child = [c for _, c in skeleton.bones]
    partner = [child.index(skeleton.mirror[c]) for c in child]
    return (bones + bones[partner]) / 2


def facing(pose: Tensor, skeleton: Skeleton) -> Tensor:
    """Direction in which the trunk faces, from its upright and its sides: (..., N, 3) to unit vectors (..., 3).

    Where upright and sides are nearly parallel, or one has no length, there is no front, and the vector is shorter.

    Raises:
        ItesError: a joint set without hips, shoulders or thorax.
    """
    pose = at_least_float32(pose)
    thorax, right_hip, left_hip, right_shoulder, left_shoulder = (
        pose[..., place(skeleton, name), :] for name in ("Thorax", "RHip", "LHip", "RShoulder", "LShoulder")
    )
    up = thorax - pose[..., skeleton.root, :]
    sides = right_hip - left_hip + right_shoulder - left_shoulder
    front = torch.linalg.cross(up, sides)
    least = 1e-3 * up.norm(dim=-1, keepdim=True) * sides.norm(dim=-1, keepdim=True)
    return front / front.norm(dim=-1, keepdim=True).maximum(least).clamp(min=1e-9)


def knee_loss(poses: Tensor, skeleton: Skeleton) -> Tensor:
    """How far knees lie behind the line from hip to ankle, units, summed over both: (B, N, 3) to a scalar.

    In a body's mirror image in depth, left and right put the front where its back was, and its knees are behind: this
    loss tells the two apart where a picture cannot.

    Raises:
        ItesError: a joint set without hips, knees, ankles, shoulders or thorax.
    """
    front = facing(poses, skeleton)
    behind = poses.new_zeros(())
    for side in "LR":
        hip, knee, ankle = (poses[:, place(skeleton, side + name)] for name in ("Hip", "Knee", "Ankle"))
        behind = behind + (-((knee - (hip + ankle) / 2) * front).sum(dim=-1)).clamp(min=0).mean()
    return behind


def place(skeleton: Skeleton, joint: str) -> int:
    """Index of a joint by its name.

    Raises:
        ItesError: no such joint.
    """
    if joint not in skeleton.joints:
        raise ItesError(f"joint set {skeleton.name}: found no {joint}, which this prior needs; leave the prior out")
    return skeleton.joints.index(joint)


class PoseDensity(nn.Module):
    """A denoiser of 2D poses: from a noisy one, and the size of its noise, it predicts the clean one.

    Where the noise is Gaussian of variance s^2, the best denoiser D has (D(y) - y) / s^2 equal to the gradient of the
    log density of noisy poses (Tweedie's formula): D moves a picture to where pictures are more common.
    :func:`ites_core.density.fit_density` trains it.

    Args:
        joints: N.
        width, blocks: of a residual perceptron.
    """

    def __init__(self, joints: int, width: int = 384, blocks: int = 3) -> None:
        super().__init__()
        self.first = Linear(2 * joints + 1, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.SiLU(), Linear(width, width), nn.SiLU(), Linear(width, width)) for _ in range(blocks)
        )
        self.last = nn.Sequential(nn.SiLU(), Linear(width, 2 * joints))

    def forward(self, noisy: Tensor, noise: Tensor) -> Tensor:
        """Clean poses (B, 2 N) from noisy ones, both in units, and the noise's standard deviation (B, 1)."""
        scaled = noisy / (noise.square() + 0.1).sqrt()
        h = self.first(torch.cat([scaled, noise.log() / 2], dim=1))
        for block in self.blocks:
            h = h + block(h)
        out: Tensor = noisy + noise * self.last(h)
        return out


def in_units(image: Tensor) -> Tensor:
    """Normalised 2D poses (B, N, 2) as flat vectors (B, 2 N) of units in the plane of the root."""
    return CAMERA_DISTANCE * image.flatten(1)


class BodyPriors(nn.Module):
    """Bones and density as losses on a student's poses.

    The noise of the b-th pose of a batch is drawn once and for all. Which pose stands there is random enough, and the
    losses stay functions of what goes in, as :func:`ites_core.objectives.draw_rotations` asks for.

    Args:
        bones: (N - 1,) of :func:`typical_bones` or :func:`pictured_bones`; None without that loss.
        density: frozen; None without that loss.
        skeleton: the joint set.
        batch: poses a step.
        seed: of the noise.

    Attributes:
        share: the part of every batch that comes here; several processes share the poses, and so the noise.
    """

    bones: Tensor | None
    noise: Tensor
    size: Tensor

    def __init__(
        self, bones: Tensor | None, density: PoseDensity | None, skeleton: Skeleton, batch: int, seed: int = 0
    ) -> None:
        super().__init__()
        self.skeleton = skeleton
        self.density = density
        self.share = slice(0, batch)
        self.register_buffer("bones", bones)
        low, high = NOISE
        size = low * (high / low) ** torch.linspace(0, 1, batch).unsqueeze(1)
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("size", size)
        self.register_buffer("noise", size * torch.randn(batch, 2 * len(skeleton), generator=generator))

    def bone_loss(self, poses: Tensor) -> Tensor:
        """Pseudo-Huber distance of (B, N, 3) poses' proportions from the typical ones, summed over bones; scalar."""
        assert self.bones is not None
        off = (relative_bones(poses, self.skeleton) - self.bones) / TOLERANCE
        return (TOLERANCE * ((1 + off.square()).sqrt() - 1)).sum(dim=-1).mean()

    def density_loss(self, image: Tensor) -> Tensor:
        """Distance of pictures (B, N, 2) from what the density makes of them plus noise; scalar.

        The cleaned picture is a constant (regularisation by denoising), so the gradient pulls each picture to where
        pictures are more common. B is at most the batch.
        """
        assert self.density is not None
        with full_precision(image):
            flat = in_units(at_least_float32(image))
            size, noise = self.size[self.share][: len(flat)], self.noise[self.share][: len(flat)]
            with torch.no_grad():
                clean = self.density(flat + noise, size)
            return ((flat - clean).square().sum(dim=1, keepdim=True) / size).mean()
