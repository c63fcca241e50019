"""Fitting the pose sampler to recordings (chapter 2). Needs scikit-learn; using the sampler does not.

:func:`fit_sampler` learns from the training subjects only, never from validation or test subjects.
:func:`nearest_distances` shows that what it draws are no copies of what it learnt from.
"""

from __future__ import annotations

import subprocess
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ites_core.data.archive import MocapArchive, load_archive
from ites_core.data.kinematics import (
    decode,
    encode,
    layout,
    local_directions,
    pelvis_frame,
    turn_about_up,
)
from ites_core.data.mixture import Mixture
from ites_core.data.sampler import KEY_RATE, KEYS, OVERLAP, PoseSampler, body_groups, swing_directions
from ites_core.errors import ItesError
from ites_core.skeleton import Skeleton

W_CONTACT = 0.3  # metres that a unit of squashed clearance or slip is worth
HASTE = 1.0  # how much less fast motion counts than slow motion in the principal components
CALM = 0.6  # the small components are drawn independently, which adds tremor: scale them down to real speeds
TOLERANCE = 0.02  # metres (root of the sum over joints) by which overlapping keys may differ

TERMS = (
    "The data used in this project was obtained from mocap.cs.cmu.edu. "
    "The database was created with funding from NSF EIA-0196217."
)


def fit_sampler(
    archive: MocapArchive,
    seed: int = 0,
    dimensions: int = 88,
    full: int = 48,
    components: int = 88,
    shrinkage: float = 0.1,
    stride: int = 4,
    rounds: int = 40,
) -> PoseSampler:
    """Fit a :class:`PoseSampler` to the training subjects of an archive.

    Args:
        archive: recordings; only ``archive.part("train")`` is used.
        seed: of the mixture's initialisation.
        dimensions: d, principal components of a snippet.
        full: of these, the first ones that have a full covariance in each Gaussian.
        components: K, Gaussians in the mixture.
        shrinkage: share of the pooled covariance in each component's covariance, 0 to 1: keeps a
            component from tracing one recording.
        stride: distance of the starts of the snippets that are learnt from, frames.
        rounds: of expectation and maximisation.

    Raises:
        ItesError: if scikit-learn is absent, or the training split has too few snippets.
    """
    train = archive.part("train")
    skeleton = train.skeleton
    rest = _rest_directions(train)
    snippets = torch.cat([_snippets(train, i, rest, stride) for i in range(len(train))])
    if len(snippets) < 10 * components:
        raise ItesError(
            f"{archive.source}: {len(snippets)} snippets of {KEYS / KEY_RATE:.1f} s in the training split are too few "
            f"for {components} components; use more recordings or fewer components"
        )
    flat = snippets.flatten(1)
    body_mean, body_factor = _fit_bodies(train)
    groups, _ = body_groups(skeleton)
    importance = _importance(flat.mean(dim=0).unflatten(0, (KEYS, -1)), body_mean.exp()[list(groups)], rest, skeleton)
    mean, basis, latent = _principal_components(snippets, importance, dimensions)
    mixture = _fit_mixture(latent, full, components, shrinkage, rounds, seed)
    noise = (TOLERANCE / importance).repeat(OVERLAP)
    limits, joint_limits = _limits(snippets.flatten(0, 1), skeleton)
    return PoseSampler(
        rest=rest, limits=limits, joint_limits=joint_limits, mean=mean, basis=basis, noise=noise,
        mixture=mixture, body_mean=body_mean, body_factor=body_factor, skeleton=skeleton,
        provenance={
            "data": Path(archive.source).name,
            "checksum": archive.checksum(),
            "subjects": sorted(set(train.subject)),
            "frames": train.frames,
            "seed": seed,
            "dimensions": dimensions,
            "full": full,
            "components": components,
            "shrinkage": shrinkage,
            "stride": stride,
            "rounds": rounds,
            "terms": TERMS,
            "commit": _commit(),
        },
    )  # fmt: skip


def fit_sampler_file(data: str, out: Path, seed: int = 0) -> PoseSampler:
    """Fit the sampler to a mocap archive file and write its parameters (``ites data fit-sampler``).

    Raises:
        ItesError: as :func:`load_archive`, :func:`fit_sampler` and :meth:`PoseSampler.save`.
    """
    sampler = fit_sampler(load_archive(data), seed)
    sampler.save(out)
    return PoseSampler.load(out)


def nearest_distances(poses: Tensor, others: Tensor, skeleton: Skeleton, same: Tensor | None = None) -> Tensor:
    """Distance of each pose to the nearest of others, metres: the mean joint distance, heading aligned.

    Poses are moved to a common root and turned about the vertical so that the hips face the same way.

    Args:
        poses: (A, N, 3) metres, y up.
        others: (B, N, 3).
        same: (A, B) bool, pairs to leave out (frames of one recording), or None.

    Returns:
        (A,) distances.
    """
    a, b = (facing(p, skeleton) for p in (poses, others))
    nearest = []
    for i, block in enumerate(a.split(64)):
        distance = (block.unsqueeze(1) - b).norm(dim=-1).mean(dim=-1)
        if same is not None:
            distance = distance.masked_fill(same[64 * i : 64 * i + len(block)], torch.inf)
        nearest.append(distance.amin(dim=1))
    return torch.cat(nearest)


def facing(poses: Tensor, skeleton: Skeleton) -> Tensor:
    """Poses (..., N, 3) about their roots, turned about the vertical so that the hip line points along x."""
    frame = pelvis_frame(poses, skeleton)
    heading = torch.atan2(frame[..., 2, 0], frame[..., 0, 0])  # of the hip line, in the floor plane
    centred = poses - poses[..., skeleton.root : skeleton.root + 1, :]
    return centred @ turn_about_up(heading).mT


def _rest_directions(train: MocapArchive) -> Tensor:
    """(N, 3) rest direction of every bone: the centre of the directions that occur.

    Among 2,000 points on the sphere, the one with the smallest 8-norm of angles: the farthest directions count
    most, so all stay clear of half a turn, where the logarithm ends.
    """
    poses = torch.cat([train.sequence(i)[::8] for i in range(len(train))]).double()
    generator = torch.Generator().manual_seed(0)
    points = torch.nn.functional.normalize(torch.randn(2000, 3, generator=generator, dtype=torch.float64), dim=-1)
    points = torch.nn.functional.normalize(points.half().double(), dim=-1)  # as they will be read
    rest = poses.new_tensor([[0.0, 1.0, 0.0]]).repeat(len(train.skeleton), 1)
    for joint in layout(train.skeleton).bones:  # parents first: a bone's frame depends on theirs
        found = local_directions(poses, rest, train.skeleton)[joint]
        spread = torch.arccos((found @ points.mT).clamp(-1, 1)).pow(8).mean(dim=0)
        rest[joint] = points[spread.argmin()]
    return rest


def _snippets(train: MocapArchive, index: int, rest: Tensor, stride: int) -> Tensor:
    """All snippets of one sequence, (M, KEYS, S): M may be 0 for a short one."""
    step = round(train.fps[index] / KEY_RATE)
    motion = train.sequence(index)
    size = layout(train.skeleton).size
    if len(motion) < (KEYS - 1) * step + 1:
        return motion.new_zeros(0, KEYS, size, dtype=torch.float64)
    features = encode(motion, rest, train.fps[index], train.skeleton)
    return features.unfold(0, (KEYS - 1) * step + 1, stride)[..., ::step].mT


def _importance(keys: Tensor, lengths: Tensor, rest: Tensor, skeleton: Skeleton) -> Tensor:
    """How far joints move with each feature, (S,): root of the summed squares, metres per unit.

    Principal components are taken of features times this, so that they spend precision where it shows.
    """
    cols, eps = layout(skeleton), 1e-3
    key = keys[:1]

    def pose(features: Tensor) -> Tensor:
        decoded = decode(features, lengths.expand(len(features), -1), rest, KEY_RATE, skeleton)[:, 0]
        return decoded

    moved = pose((key + eps * torch.eye(cols.size, dtype=key.dtype)).unsqueeze(1)) - pose(key.unsqueeze(1))
    moved = moved - moved[:, skeleton.root : skeleton.root + 1]
    result = (moved.flatten(1).norm(dim=1) / eps).clamp(min=1e-3)
    result[cols.clearance] = result[cols.slip] = W_CONTACT
    result[cols.turn] = 0.15 * result[cols.up].max()
    return result


def _principal_components(snippets: Tensor, importance: Tensor, dimensions: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (D,), basis (D, d) and unit-variance latents (M, d) of snippets (M, KEYS, S), D = KEYS * S.

    Features are weighted by ``importance`` (S,) and by how slowly they change: the m-th cosine over the keys
    counts 1 / (1 + HASTE * m), so the components describe poses well before they describe tremor.
    """
    m = torch.arange(KEYS, dtype=torch.float64)
    cosines = torch.cos(torch.pi * m[:, None] * (m + 0.5) / KEYS)
    cosines = cosines / cosines.norm(dim=1, keepdim=True)  # orthonormal rows
    weight = cosines.mT @ torch.diag(1 / (1 + HASTE * m)) @ cosines  # (KEYS, KEYS), symmetric
    mean = snippets.mean(dim=0)
    weighted = (weight @ (snippets - mean) * importance).flatten(1)
    values, vectors = torch.linalg.eigh(weighted.mT @ weighted / len(weighted))
    values, vectors = values[-dimensions:].flip(0), vectors[:, -dimensions:].flip(1)
    latent = weighted @ vectors / values.sqrt()
    basis = (vectors * values.sqrt()).unflatten(0, (KEYS, -1)).permute(2, 0, 1) / importance
    return mean.flatten(), torch.linalg.solve(weight, basis).flatten(1).mT.contiguous(), latent


def _fit_mixture(latent: Tensor, full: int, components: int, shrinkage: float, rounds: int, seed: int) -> Mixture:
    """The mixture of latents (M, d).

    It is fitted to the first ``full`` latents; the others get each component's mean and variance.
    """
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture
    except ImportError as error:
        raise ItesError("fitting the sampler needs scikit-learn: pip install scikit-learn") from error
    model = GaussianMixture(components, reg_covar=1e-3, random_state=seed, max_iter=rounds, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the rounds given are enough for our purpose
        share = torch.from_numpy(model.fit(latent[:, :full].numpy()).predict_proba(latent[:, :full].numpy()))
    share = share + 1e-9
    share = share / share.sum(dim=0)  # (M, K): how much each snippet counts for a component
    centres = share.mT @ latent
    variance = (share.mT @ latent.square() - centres.square()).clamp(min=1e-4)
    covariances = torch.diag_embed(variance)
    covariances[:, :full, :full] = torch.from_numpy(np.asarray(model.covariances_))
    covariances[:, range(full, latent.shape[1]), range(full, latent.shape[1])] *= CALM**2
    centres[:, :full] = torch.from_numpy(np.asarray(model.means_))
    weights = torch.from_numpy(np.asarray(model.weights_))
    pooled = (weights[:, None, None] * covariances).sum(dim=0)
    return Mixture(weights, centres, torch.linalg.cholesky((1 - shrinkage) * covariances + shrinkage * pooled))


def _limits(keys: Tensor, skeleton: Skeleton) -> tuple[Tensor, Tensor]:
    """Range of the features (2, S) and reach of every bone (bones, DIRECTIONS) among keys (M, S).

    One in a thousand swings lies beyond its reach in each direction, plus a degree. Height above the
    floor, slip and turning, which have long tails, are cut at one in five hundred.
    """
    cols = layout(skeleton)
    swing = keys[:, cols.swing].unflatten(-1, (-1, 2)) @ swing_directions().mT
    limits = torch.stack([keys.amin(dim=0), keys.amax(dim=0)])
    world = keys[:, cols.clearance.start :]
    limits[:, cols.clearance.start :] = torch.stack([_quantile(world, 0.002), _quantile(world, 0.998)])
    return limits, _quantile(swing, 0.999) + 0.02


def _quantile(values: Tensor, q: float) -> Tensor:
    """Quantile over the first axis, of any length: (M, ...) to (...)."""
    return values.sort(dim=0).values[round(q * (len(values) - 1))]


def _fit_bodies(train: MocapArchive) -> tuple[Tensor, Tensor]:
    """Mean (B,) and Cholesky factor (B, B) of log bone lengths over bodies; correlations shrunk by half."""
    groups, first = body_groups(train.skeleton)
    bodies: dict[tuple[str, str], list[Tensor]] = {}
    for i in range(len(train)):
        lengths = train.skeleton.bone_lengths(train.sequence(i).double()).mean(dim=0)
        bodies.setdefault((train.subject[i], train.kind[i]), []).append(lengths.log())
    logs = torch.stack([torch.stack(v).mean(dim=0) for _, v in sorted(bodies.items())])
    logs = torch.stack([logs[:, [i for i, g in enumerate(groups) if g == k]].mean(dim=1) for k in range(len(first))], 1)
    covariance = logs.mT.cov() if len(logs) > 1 else torch.zeros(len(first), len(first), dtype=logs.dtype)
    shrunk = 0.5 * covariance + 0.5 * covariance.diagonal().diag() + 1e-6 * torch.eye(len(first), dtype=logs.dtype)
    return logs.mean(dim=0), torch.linalg.cholesky(shrunk)


def _commit() -> str:
    """Commit of the repository that holds this file, or "unknown"."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
