"""How far a predicted pose is from the truth: MPJPE, N-MPJPE, P-MPJPE, PCK and AUC (chapters 1, 3 and 5).

Every metric takes root-relative poses ``prediction`` and ``target``, both (..., N, 3) in the camera
frame, and returns one number a frame, shape (...,); the caller takes the mean. All five are built from the
same three steps: align the prediction, measure each joint, reduce over the joints.

Two columns. One image cannot tell a pose from its twin mirrored in depth (chapter 1). With
``oracle_flip=True`` a metric looks at the *ground truth* and scores whichever of the two is better, frame
by frame. Every number that the authors' release prints is of this kind, though the paper does not say so;
it moves MPJPE by about 60 mm. Report both columns, labelled ``oracle flip`` and ``no oracle``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from ites_core.camera import at_least_float32
from ites_core.errors import ItesError

Align = Literal["none", "scale", "procrustes"]

PCK_THRESHOLD = 0.150  # metres
AUC_THRESHOLDS = tuple(0.005 * k for k in range(31))  # 0 to 150 mm in steps of 5 mm, in metres
FARTHEST = 1e150  # in any unit: float64 has no squares beyond; counts as infinite


class Alignment(NamedTuple):
    """Result of :func:`procrustes_align`: ``aligned = scale * source @ rotation.mT + translation``."""

    aligned: Tensor  # (..., N, 3)
    rotation: Tensor  # (..., 3, 3), acts on column vectors, determinant +1
    scale: Tensor  # (...,), at least 0
    translation: Tensor  # (..., 3)


def depth_mirror(pose: Tensor) -> Tensor:
    """The twin of a pose with the opposite depth, (x, y, z) -> (x, y, -z): (..., N, 3) to the same.

    Both have nearly the same image (exactly the same under orthographic projection). Chapter 1.
    """
    return pose * pose.new_tensor([1.0, 1.0, -1.0])


def mpjpe(prediction: Tensor, target: Tensor, *, oracle_flip: bool = False) -> Tensor:
    """Mean per-joint position error: ``(1/N) sum_j |p_j - t_j|``, poses compared exactly as given.

    Args:
        prediction, target: (..., N, 3) root-relative, any one length unit.
        oracle_flip: score the better of the pose and its :func:`depth_mirror`, frame by frame.

    Returns:
        (...,) error of each frame, in the unit of the input.

    Raises:
        ItesError: if shapes differ, are not (..., N, 3), or a coordinate is not finite.

    What else circulates: the release scales the prediction before it reports "MPJPE" (see
    :func:`n_mpjpe`) and always flips by oracle. Source: Ionescu et al. 2014 (Human3.6M). Chapters 1 and 3.
    """
    return _joint_errors(prediction, target, "none", oracle_flip).mean(dim=-1).amin(dim=0)


def n_mpjpe(prediction: Tensor, target: Tensor, *, oracle_flip: bool = False) -> Tensor:
    """MPJPE after the best scale: ``(1/N) sum_j |s p_j - t_j|``, ``s = <p, t> / <p, p>``, 0 if p = 0.

    The scale is the least-squares one about the root, which is not moved. It may be negative for a
    prediction worse than none. Arguments, result and errors as for :func:`mpjpe`.

    What else circulates as a "scaled MPJPE": the ratio of norms ``s = |t| / |p|`` (ElePose), and the trace
    of the Procrustes singular values over <p, p>, applied to the uncentred pose (the ITES release).
    On noise they differ by about 2 mm. Source: Rhodin et al. 2018; least squares as in VideoPose3D
    (Pavllo et al. 2019). Chapters 1 and 3.
    """
    return _joint_errors(prediction, target, "scale", oracle_flip).mean(dim=-1).amin(dim=0)


def p_mpjpe(prediction: Tensor, target: Tensor, *, oracle_flip: bool = False) -> Tensor:
    """MPJPE after :func:`procrustes_align`: translation, scale and a rotation that may not reflect.

    Arguments, result and errors as for :func:`mpjpe`; the flip costs nothing extra, both twins share
    one SVD. Differentiable where the covariance of the two poses has distinct singular values.

    What else circulates: implementations that allow a reflection; they flip by oracle without saying
    so. Some call it PA-MPJPE or "protocol 2". Chapters 1 and 3.
    """
    return _joint_errors(prediction, target, "procrustes", oracle_flip).mean(dim=-1).amin(dim=0)


def better_mirrored(prediction: Tensor, target: Tensor) -> Tensor:
    """Whether the depth-mirrored twin has the lower P-MPJPE: (..., N, 3) twice to (...,) bool.

    Lower by more than rounding, that is by a millionth of the target's mean joint distance, so a pose
    whose twin is itself (flat, or all depths zero) counts as False. Errors as for :func:`mpjpe`.
    Chapters 1 and 3.
    """
    plain, mirrored = _joint_errors(prediction, target, "procrustes", oracle_flip=True).mean(dim=-1)
    rounding = 1e-6 * target.norm(dim=-1).mean(dim=-1)
    return mirrored < plain - rounding


def pck(
    prediction: Tensor,
    target: Tensor,
    threshold: float = PCK_THRESHOLD,
    *,
    align: Align = "scale",
    joints: Sequence[int] | None = None,
    oracle_flip: bool = False,
) -> Tensor:
    """Part of the joints closer than a threshold: ``(1/N) sum_j [ |p_j - t_j| < threshold ]``.

    Args:
        prediction, target: (..., N, 3) root-relative, metres.
        threshold: metres.
        align: first bring the prediction to the target not at all, by :func:`n_mpjpe`'s scale, or by
            :func:`procrustes_align`. All joints take part in the alignment.
        joints: score only these joints; all of them if None. The root of a root-relative pose is
            always right, so leave it out when you compare with papers that do.
        oracle_flip: take the better of the pose and its depth-mirrored twin, frame by frame.

    Returns:
        (...,) fraction in [0, 1] of each frame.

    Raises:
        ItesError: as :func:`mpjpe`, or on an unknown ``align`` or joint.

    What else circulates: no alignment (the MPI-INF-3DHP protocol); the ITES release scores 14 joints and
    flips by oracle for every *joint* separately, which is more generous than one choice a frame.
    Source: Mehta et al. 2017. Chapter 5.
    """
    errors = _joint_errors(prediction, target, align, oracle_flip, joints)
    return (errors < threshold).to(errors.dtype).mean(dim=-1).amax(dim=0)


def auc(
    prediction: Tensor,
    target: Tensor,
    *,
    align: Align = "scale",
    joints: Sequence[int] | None = None,
    oracle_flip: bool = False,
) -> Tensor:
    """Area under the PCK curve: the mean of :func:`pck` over the 31 thresholds 0, 5, ..., 150 mm.

    Nothing is closer than 0 mm, so a perfect prediction scores 30/31 = 0.968; that is the published
    protocol. Arguments, result and errors as for :func:`pck`; inputs in metres. With the oracle, one twin
    is chosen for the whole curve of a frame. Some ports go up to 200 mm and are not comparable.

    Source: Mehta et al. 2017 (MPI-INF-3DHP). Chapter 5.
    """
    errors = _joint_errors(prediction, target, align, oracle_flip, joints)
    thresholds = errors.new_tensor(AUC_THRESHOLDS)
    missed = torch.bucketize(errors, thresholds, right=True)  # thresholds that are <= the error
    return (1.0 - missed.to(errors.dtype) / len(thresholds)).mean(dim=-1).amax(dim=0)


def procrustes_align(source: Tensor, target: Tensor) -> Alignment:
    """Similarity nearest to the target: ``min over s, R, b of sum_j |s R x_j + b - y_j|^2``, det R = +1.

    With centred X, Y (N, 3, row vectors) and the SVD Y^T X = U S V^T,
    ``R = U D V^T``, ``D = diag(1, 1, det(U V^T))``, ``s = trace(S D) / |X|^2``, and
    ``aligned = s X R^T + mean(Y)``.

    Args:
        source, target: (..., N, 3) in any one length unit.

    Returns:
        :class:`Alignment`; ``rotate(source, rotation)`` of :mod:`ites_core.camera` applies the rotation.
        Coplanar and collinear points are fine (for the latter one of many equally good rotations is
        returned). If the points of the source coincide, the scale is 0 and every aligned point is the
        target's centroid.

    Raises:
        ItesError: as :func:`mpjpe`.

    Computed in float64 whatever the input: it costs no time (LAPACK's overhead for each small matrix
    dominates) and the rank of a flat pose is then beyond doubt. Source: Umeyama 1991. Chapter 1.
    """
    _check(source, target)
    dtype = torch.promote_types(source.dtype, target.dtype)
    return Alignment(*(part[0].to(dtype) for part in _procrustes(source, target, mirrored=False)))


def _procrustes(source: Tensor, target: Tensor, mirrored: bool) -> Alignment:
    """:func:`procrustes_align` in float64 with a leading axis of twins: of size 1, or 2 with ``mirrored``.

    Mirroring the source by M = diag(1, 1, -1) turns U S V^T into U S (V^T M), which changes nothing but
    the sign of the determinant: X M (U D' V^T M)^T = X (U D' V^T)^T. The second entry of ``aligned`` is
    therefore X under the best *improper* rotation, and the SVD is shared.
    """
    x, y = source.double(), target.double()
    x_mean, y_mean = x.mean(dim=-2, keepdim=True), y.mean(dim=-2, keepdim=True)
    x0, y0 = x - x_mean, y - y_mean

    u, s, vt = torch.linalg.svd(y0.mT @ x0)  # (..., 3, 3), (..., 3), (..., 3, 3)
    proper = _det3(u @ vt).sign()  # (...,)
    d = torch.stack([torch.ones_like(proper), torch.ones_like(proper), proper], dim=-1)
    d = torch.stack([d, depth_mirror(d)] if mirrored else [d])  # (twins, ..., 3)
    rotation = (u * d.unsqueeze(-2)) @ vt  # U diag(d) V^T

    spread = x0.square().sum(dim=(-2, -1))
    coincident = spread <= 1e-24 * x.square().sum(dim=(-2, -1))  # nothing but the rounding of the mean
    scale = (s * d).sum(dim=-1) / spread.masked_fill(coincident, torch.inf)
    aligned = scale[..., None, None] * (x0 @ rotation.mT) + y_mean
    translation = (y_mean - scale[..., None, None] * (x_mean @ rotation.mT)).squeeze(-2)
    return Alignment(aligned, rotation, scale, translation)


def _det3(m: Tensor) -> Tensor:
    """Determinant of (..., 3, 3) as a triple product; no LU factorisation for each small matrix."""
    a, b, c = m.unbind(-2)
    return (torch.linalg.cross(a, b) * c).sum(dim=-1)


def _joint_errors(
    prediction: Tensor, target: Tensor, align: str, oracle_flip: bool, joints: Sequence[int] | None = None
) -> Tensor:
    """Distance of every joint after alignment: (twins, ..., N), the mirrored twin second if asked for."""
    _check(prediction, target)
    dtype = torch.promote_types(prediction.dtype, target.dtype)
    prediction, target = at_least_float32(prediction), at_least_float32(target)
    if align == "procrustes":
        aligned = _procrustes(prediction, target, mirrored=oracle_flip).aligned
    elif align in get_args(Align):
        aligned = torch.stack([prediction, depth_mirror(prediction)] if oracle_flip else [prediction])
        if align == "scale":
            # The scale of the prediction is free: a power of two near its own, lest a square over- or underflows.
            size = torch.frexp(aligned.detach().abs().amax(dim=(-2, -1), keepdim=True)).exponent
            most = -math.frexp(torch.finfo(aligned.dtype).tiny)[1]
            aligned = aligned * torch.exp2(-size.clamp(-most, most).to(aligned.dtype))
            power = aligned.square().sum(dim=(-2, -1), keepdim=True)
            power = power.masked_fill(power == 0, torch.inf)
            aligned = aligned * ((aligned * target).sum(dim=(-2, -1), keepdim=True) / power)
    else:
        raise ItesError(f"unknown alignment {align!r}: expected one of {', '.join(get_args(Align))}")
    errors = (aligned - target).norm(dim=-1).to(dtype)
    if joints is None:
        return errors
    n = target.shape[-2]
    if not joints or not all(0 <= j < n for j in joints):
        raise ItesError(f"joints to score: expected some of 0..{n - 1}, found {list(joints)}")
    return errors[..., list(joints)]


def _check(prediction: Tensor, target: Tensor) -> None:
    """Raise ItesError unless both are floating, finite, of the same shape (..., N, 3), N > 0."""
    if prediction.shape != target.shape:
        found = f"{tuple(prediction.shape)} and {tuple(target.shape)}"
        raise ItesError(f"poses to compare: shapes {found} differ; expected equal")
    if prediction.ndim < 2 or prediction.shape[-1] != 3 or prediction.shape[-2] == 0:
        raise ItesError(f"poses to compare: expected shape (..., N, 3), found {tuple(prediction.shape)}")
    for name, pose in (("first", prediction), ("second", target)):
        if not pose.is_floating_point():
            raise ItesError(f"poses to compare: the {name} is {pose.dtype}; expected floating point")
        if not pose.square().sum().isfinite() and not (pose.double().abs() < FARTHEST).all():  # the sum is cheap
            bad = (~(pose.double().abs() < FARTHEST)).nonzero()
            raise ItesError(
                f"poses to compare: the {name} has {len(bad)} coordinates that are NaN or infinite, "
                f"the first at index {tuple(bad[0].tolist())}; remove those frames"
            )
