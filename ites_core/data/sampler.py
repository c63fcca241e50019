"""The embedded pose sampler: human motion from a file of 300 kB, so that the book runs with no data (chapter 2).

A generative model with four parts, fitted by :mod:`ites_core.data.fit` to recordings of CMU's training subjects:

1. *Features* (:mod:`ites_core.data.kinematics`): joint rotations, the direction of up, motion of the root.
2. *Snippets*: eight key poses at 12 Hz, a little over half a second, written in d principal components.
3. *A Gaussian mixture* over snippets: in each component a full covariance of the first components, a diagonal one of
   the rest. One snippet is a draw from it. A long motion is a chain: the next snippet is drawn given that its
   first two keys are the last two of the one before. Because both ends of a snippet have nearly the same
   distribution, the chain keeps to it. Joint limits, a convex region for every bone, cut the Gaussians' tails.
4. *Bodies*: bone lengths jointly log-normal, left and right equal.

Key poses are joined by a cubic spline to the wanted frame rate; every second sequence is mirrored.
All randomness comes from the caller's generator.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ites_core.camera import rotate
from ites_core.data.archive import MocapArchive
from ites_core.data.kinematics import catmull_rom, decode, layout, turn_about_up
from ites_core.data.mixture import Conditional, Mixture, pack, standard_normal, unpack
from ites_core.errors import ItesError
from ites_core.files import in_place
from ites_core.skeleton import H36M17, Skeleton, skeleton_named

KEY_RATE = 12.0  # key poses a second
KEYS = 8  # key poses in a snippet
OVERLAP = 2  # keys that neighbouring snippets share: a pose and its velocity
HOP = KEYS - OVERLAP  # so a new snippet starts every half second
DIRECTIONS = 16  # in which joint limits are known
EMBEDDED = Path(__file__).with_name("sampler.safetensors")
FORMAT = "ites-sampler-1"


@dataclass(frozen=True)
class PoseSampler:
    """A generative model of human motion on the joints of a skeleton (chapter 2). All tensors float64.

    Attributes:
        rest: (N, 3) rest direction of each bone in its parent's frame (row of the child joint).
        limits: (2, S) lowest and highest value of each feature.
        joint_limits: (bones, DIRECTIONS) farthest swing of each bone in each of several directions, radians.
        mean: (KEYS * S,) mean snippet, S features a key.
        basis: (KEYS * S, d) principal components, scaled so that the latents have unit variance.
        noise: (OVERLAP * S,) standard deviation allowed between overlapping keys.
        mixture: of K Gaussians over the d latents.
        body_mean: (B,) mean logarithm of bone lengths in metres, one of each left and right pair.
        body_factor: (B, B) lower Cholesky factor of their covariance.
        provenance: what the parameters were fitted to, by whom, on what terms.
    """

    rest: Tensor
    limits: Tensor
    joint_limits: Tensor
    mean: Tensor
    basis: Tensor
    noise: Tensor
    mixture: Mixture
    body_mean: Tensor
    body_factor: Tensor
    provenance: dict[str, Any] = field(default_factory=dict)
    skeleton: Skeleton = H36M17

    def __post_init__(self) -> None:
        cols, n = layout(self.skeleton), len(self.skeleton)
        s, b = cols.size, len(body_groups(self.skeleton)[1])
        k, d = self.mixture.centres.shape if self.mixture.centres.ndim == 2 else (0, 0)
        expected = {
            "rest": (n, 3), "limits": (2, s), "joint_limits": (len(cols.bones), DIRECTIONS), "mean": (KEYS * s,),
            "basis": (KEYS * s, d), "noise": (OVERLAP * s,), "weights": (k,), "centres": (k, d), "factors": (k, d, d),
            "body_mean": (b,), "body_factor": (b, b),
        }  # fmt: skip
        for name, shape in expected.items():
            tensor = self._parameter(name)
            if tuple(tensor.shape) != shape or 0 in shape:
                raise ItesError(f"pose sampler: {name}: found shape {tuple(tensor.shape)}, expected {shape}")
            if not tensor.isfinite().all():
                raise ItesError(f"pose sampler: {name}: holds NaN or infinity; the parameters are damaged")
        if not (self.mixture.weights > 0).all() or not (self.noise > 0).all():
            raise ItesError("pose sampler: weights and noise must be positive; the parameters are damaged")

    def _parameter(self, name: str) -> Tensor:
        parameter: Tensor = getattr(self.mixture if name in ("weights", "centres", "factors") else self, name)
        return parameter

    # ---------------------------------------------------------------- drawing

    def bodies(self, n: int, generator: torch.Generator) -> Tensor:
        """Bone lengths of n people, (n, N - 1) metres, symmetric left to right."""
        groups, _ = body_groups(self.skeleton)
        z = standard_normal((n, len(self.body_mean)), generator).clamp(-2.5, 2.5)
        return (self.body_mean + z @ self.body_factor.mT).exp()[:, list(groups)]

    def poses(self, n: int, generator: torch.Generator) -> Tensor:
        """Single poses of n different people: (n, N, 3) float32, metres, y up, random heading.

        The root stands over the origin at its height above the floor.

        Raises:
            ItesError: if n is below 1.
        """
        if n < 1:
            raise ItesError(f"poses: found n = {n}, expected at least 1")
        keys = self._keys(self.mixture.draw(n, generator))
        moment = torch.randint(KEYS, (n,), generator=generator)
        features = self._within_limits(keys[torch.arange(n), moment]).unsqueeze(-2)
        return self._place(features, self.bodies(n, generator), KEY_RATE, generator)[:, 0]

    def motion(
        self,
        frames: int,
        generator: torch.Generator,
        fps: float = 24.0,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """One smooth motion of one person: (frames, N, 3) float32, metres, y up, over the origin.

        Args:
            frames: number of frames.
            generator: explicit source of randomness.
            fps: frames a second.
            lengths: (N - 1,) bone lengths in metres; drawn from :meth:`bodies` if None.

        Raises:
            ItesError: if frames is below 1 or fps is not positive.
        """
        lengths = self.bodies(1, generator) if lengths is None else lengths.double().unsqueeze(0)
        return self.motions(1, frames, generator, fps, lengths)[0]

    def motions(
        self, n: int, frames: int, generator: torch.Generator, fps: float = 24.0, lengths: Tensor | None = None
    ) -> Tensor:
        """As :meth:`motion`, n at once: (n, frames, N, 3), for bone lengths (n, N - 1)."""
        if n < 1 or frames < 1 or not fps > 0:
            raise ItesError(f"motion: found n = {n}, frames = {frames}, fps = {fps}, expected positive numbers")
        lengths = self.bodies(n, generator) if lengths is None else lengths
        needed = math.ceil((frames - 1) / fps * KEY_RATE) + 1  # keys
        track = self._chain(n, max(1, math.ceil((needed - OVERLAP) / HOP)), generator)
        features = catmull_rom(self._within_limits(track), torch.arange(frames) * KEY_RATE / fps)
        return self._place(features, lengths, fps, generator)

    def archive(
        self,
        sequences: int = 400,
        frames: int = 100,
        seed: int = 0,
        test_sequences: int = 60,
        subjects: int = 40,
        test_subjects: int = 10,
    ) -> MocapArchive:
        """A data set like a recorded one: training and test sequences of different people, 24 Hz.

        Args:
            sequences: number of training sequences.
            frames: length of each sequence.
            seed: the archive is a function of its arguments alone.
            test_sequences, subjects, test_subjects: size of the test split, people in each split.

        Raises:
            ItesError: if a size is below 1.
        """
        if min(sequences, frames, test_sequences, subjects, test_subjects) < 1:
            raise ItesError("sampler archive: every size must be at least 1")
        generator = torch.Generator().manual_seed(seed)
        total = sequences + test_sequences
        person = [i % subjects for i in range(sequences)] + [
            subjects + i % test_subjects for i in range(test_sequences)
        ]
        lengths = self.bodies(subjects + test_subjects, generator)[person]
        positions = self.motions(total, frames, generator, lengths=lengths)
        return MocapArchive(
            positions=positions.flatten(0, 1),
            starts=tuple(range(0, total * frames, frames)),
            lengths=(frames,) * total,
            names=tuple(f"sampled_{seed}_{i:04d}" for i in range(total)),
            subject=tuple(f"sampled{p:02d}" for p in person),
            action=("sampled",) * total,
            kind=("sampled",) * total,
            split=("train",) * sequences + ("test",) * test_sequences,
            fps=(24.0,) * total,
            skeleton=self.skeleton,
            source="sampler",
        )

    # ---------------------------------------------------------------- how it is done

    def _keys(self, latent: Tensor) -> Tensor:
        """Latents (n, d) to key features (n, KEYS, S)."""
        return (self.mean + latent @ self.basis.mT).unflatten(-1, (KEYS, -1))

    def _chain(self, n: int, snippets: int, generator: torch.Generator) -> Tensor:
        """n chains of snippets as keys (n, OVERLAP + HOP * snippets, S), cross-faded where they overlap."""
        track = self._keys(self.mixture.draw(n, generator))
        fade = (torch.arange(1, OVERLAP + 1).double() / (OVERLAP + 1)).unsqueeze(-1)
        m = len(self.noise)
        condition = Conditional(self.mixture, self.basis[:m], self.mean[:m], self.noise)
        for _ in range(snippets - 1):
            new = self._keys(condition.draw(track[:, -OVERLAP:].flatten(1), generator))
            joint = (1 - fade) * track[:, -OVERLAP:] + fade * new[:, :OVERLAP]
            track = torch.cat([track[:, :-OVERLAP], joint, new[:, OVERLAP:]], dim=1)
        return track

    def _within_limits(self, features: Tensor) -> Tensor:
        """Features (..., S) brought into the range that was seen in training: joint limits and fastest motion."""
        cols = layout(self.skeleton)
        swing = features[..., cols.swing].unflatten(-1, (-1, 2))  # (..., bones, 2)
        for direction, limit in zip(swing_directions(), self.joint_limits.unbind(dim=1), strict=True):
            excess = (swing @ direction - limit).clamp(min=0)
            swing = swing - excess.unsqueeze(-1) * direction
        features = torch.cat([swing.flatten(-2), features[..., cols.swing.stop :]], dim=-1)
        return features.clamp(self.limits[0], self.limits[1])

    def _place(self, features: Tensor, lengths: Tensor, fps: float, generator: torch.Generator) -> Tensor:
        """Features (n, F, S) to motion (n, F, N, 3) float32 with random headings, every second one mirrored."""
        motion = decode(features, lengths, self.rest, fps, self.skeleton)
        mirrored = motion[:, :, list(self.skeleton.mirror)] * motion.new_tensor([-1.0, 1.0, 1.0])
        flip = torch.rand(len(motion), generator=generator) < 0.5
        motion = torch.where(flip[:, None, None, None], mirrored, motion)
        heading = 2 * torch.pi * torch.rand(len(motion), generator=generator, dtype=torch.float64)
        return rotate(motion, turn_about_up(heading).unsqueeze(1)).float()

    # ---------------------------------------------------------------- storage

    @classmethod
    def embedded(cls) -> PoseSampler:
        """The sampler that comes with the package; read once.

        Raises:
            ItesError: if its file is missing or damaged (reinstall the package).
        """
        return _embedded()

    def save(self, path: str | Path) -> None:
        """Write the parameters as float16 safetensors, atomically; provenance goes into its metadata.

        Raises:
            ItesError: if the file cannot be written.
        """
        path = Path(path)
        tensors = {name: self._parameter(name) for name in STORED if name not in ("factors", "spread")}
        tensors["factors"], tensors["spread"] = pack(self.mixture.factors)
        metadata = {"format": FORMAT, "skeleton": self.skeleton.name, "provenance": json.dumps(self.provenance)}
        with in_place(path) as beside:
            beside.write_bytes(save({k: v.half().contiguous() for k, v in tensors.items()}, metadata))

    @classmethod
    def load(cls, path: str | Path) -> PoseSampler:
        """Read parameters that :meth:`save` wrote.

        Raises:
            ItesError: missing or damaged file, another format, missing parameters, wrong shapes, NaN.
        """
        path = Path(path)
        if not path.is_file():
            raise ItesError(f"{path}: no such file; expected the parameters of a pose sampler (.safetensors)")
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name).double() for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError, RuntimeError) as error:
            raise ItesError(f"{path}: not a readable safetensors file ({error}); fetch or fit it again") from error
        if metadata.get("format") != FORMAT:
            raise ItesError(f"{path}: format: found {metadata.get('format')!r}, expected {FORMAT!r}; fit it again")
        missing = [name for name in STORED if name not in tensors]
        if missing or set(tensors) != set(STORED):
            raise ItesError(f"{path}: parameters: found {sorted(tensors)}, expected {sorted(STORED)}")
        tensors["rest"] = torch.nn.functional.normalize(tensors["rest"], dim=-1)  # undo rounding
        try:
            factors = unpack(tensors.pop("factors"), tensors.pop("spread"))
            mixture = Mixture(tensors.pop("weights"), tensors.pop("centres"), factors)
            provenance = json.loads(metadata.get("provenance", "{}"))
            skeleton = skeleton_named(metadata.get("skeleton", ""))
            return cls(**tensors, mixture=mixture, provenance=provenance, skeleton=skeleton)
        except (ValueError, RecursionError) as error:
            raise ItesError(f"{path}: {error}") from error


STORED = (
    "rest", "limits", "joint_limits", "mean", "basis", "noise", "weights", "centres", "factors", "spread",
    "body_mean", "body_factor",
)  # fmt: skip


@cache
def _embedded() -> PoseSampler:
    return PoseSampler.load(EMBEDDED)


@cache
def body_groups(skeleton: Skeleton = H36M17) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Which bones share one length: the group of each bone, and the first bone of each group."""
    twin = [min(j, skeleton.mirror[j]) for _, j in skeleton.bones]
    first = sorted(set(twin))
    return tuple(first.index(t) for t in twin), tuple(twin.index(f) for f in first)


def swing_directions() -> Tensor:
    """(DIRECTIONS, 2) unit vectors, evenly around the circle, in which joint limits are given."""
    angle = 2 * torch.pi * torch.arange(DIRECTIONS, dtype=torch.float64) / DIRECTIONS
    return torch.stack([angle.cos(), angle.sin()], dim=-1)
