"""The embedded pose sampler: coordinates, mixture, motion, storage, fitting, and likeness to recordings."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from scipy.stats import multivariate_normal
from torch import Tensor

from ites_core.data import MocapArchive, load_archive
from ites_core.data.fit import TERMS, fit_sampler, fit_sampler_file, nearest_distances
from ites_core.data.kinematics import (
    catmull_rom,
    decode,
    encode,
    layout,
    leg_length,
    pelvis_frame,
    shortest_rotation,
    sphere_exp,
    sphere_log,
    tangent_basis,
)
from ites_core.data.mixture import Conditional, Mixture, pack, unpack
from ites_core.data.sampler import EMBEDDED, OVERLAP, STORED, PoseSampler
from ites_core.errors import ItesError
from ites_core.skeleton import H36M17

BONES = len(H36M17) - 1


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def sampler() -> PoseSampler:
    return PoseSampler.embedded()


@pytest.fixture(scope="module")
def sampled(sampler: PoseSampler) -> MocapArchive:
    return sampler.archive()


def knee_flexion(poses: Tensor) -> Tensor:
    """Angle between thigh and shin, degrees, negative where the knee bends backwards: (F, 17, 3) to (F, 2)."""
    lateral = pelvis_frame(poses)[..., 0]
    out = []
    for hip, knee, ankle in ((1, 2, 3), (4, 5, 6)):
        thigh = torch.nn.functional.normalize(poses[:, knee] - poses[:, hip], dim=-1)
        shin = torch.nn.functional.normalize(poses[:, ankle] - poses[:, knee], dim=-1)
        angle = (thigh * shin).sum(-1).clamp(-1, 1).acos().rad2deg()
        out.append(angle * (torch.linalg.cross(thigh, shin) * lateral).sum(-1).sign())
    return torch.stack(out, dim=-1)


def uprightness(poses: Tensor) -> Tensor:
    """Cosine of the angle between the hip-head line and the vertical."""
    line = poses[:, 10] - poses[:, 0]
    return line[:, 1] / line.norm(dim=-1)


def speeds(archive: MocapArchive) -> Tensor:
    """Joint speeds, metres a second, flat."""
    steps = [archive.sequence(i).diff(dim=0) * archive.fps[i] for i in range(len(archive))]
    return torch.cat([s.norm(dim=-1).flatten() for s in steps])


def frames(archive: MocapArchive) -> Tensor:
    return torch.cat([archive.sequence(i) for i in range(len(archive))])


def levels(values: Tensor, *q: float) -> list[float]:
    """Quantiles of any number of values."""
    ordered = values.flatten().sort().values
    return [ordered[round(p * (len(ordered) - 1))].item() for p in q]


# ---- coordinates: kinematics ------------------------------------------------------------------------------


def unit(*shape: int, seed: int = 0) -> Tensor:
    g = torch.randn(*shape, 3, generator=seeded(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(g, dim=-1)


def test_shortest_rotation() -> None:
    a, b = unit(200), unit(200, seed=1)
    r = shortest_rotation(a, b)
    torch.testing.assert_close((r @ a.unsqueeze(-1)).squeeze(-1), b)
    torch.testing.assert_close(r @ r.mT, torch.eye(3, dtype=torch.float64).expand(200, 3, 3))
    cosine = (r.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    torch.testing.assert_close(cosine, (a * b).sum(-1))  # no larger angle than needed


def test_sphere_log_and_exp_are_a_pair() -> None:
    rest, d = unit(), unit(500, seed=2)
    swing = sphere_log(d, rest)
    torch.testing.assert_close(sphere_exp(swing, rest), d)
    torch.testing.assert_close(swing.norm(dim=-1), torch.arccos(d @ rest))
    assert sphere_log(rest.unsqueeze(0), rest).abs().max() < 1e-12
    basis = torch.cat([tangent_basis(rest), rest.unsqueeze(0)])
    torch.testing.assert_close(basis @ basis.T, torch.eye(3, dtype=torch.float64))


def test_pelvis_frame_of_a_person_who_faces_z() -> None:
    pose = torch.zeros(1, 17, 3)
    pose[0, 1, 0], pose[0, 4, 0], pose[0, 7] = -0.1, 0.1, torch.tensor([0.0, 0.2, 0.0])
    assert torch.equal(pelvis_frame(pose)[0], torch.eye(3))


@pytest.mark.parametrize("seed", range(3))
def test_decode_undoes_encode(sampler: PoseSampler, seed: int) -> None:
    motion = sampler.motion(60, seeded(seed)).double()
    features = encode(motion, sampler.rest, 24.0)
    again = decode(features, H36M17.bone_lengths(motion).mean(dim=0), sampler.rest, 24.0)
    floor = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    turn = pelvis_frame(motion)[0] @ pelvis_frame(again)[0].mT  # about the vertical
    torch.testing.assert_close(turn[1], torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64), atol=1e-5, rtol=0.0)
    torch.testing.assert_close(again @ turn.mT, motion - motion[:1, :1] * floor, atol=1e-3, rtol=0.0)


def test_features_do_not_depend_on_place_heading_or_size(sampler: PoseSampler) -> None:
    motion = sampler.motion(20, seeded(1)).double()
    c, s = 0.6, 0.8
    turn = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=torch.float64)
    moved = 1.2 * (motion @ turn.mT + torch.tensor([3.0, 0.0, -7.0], dtype=torch.float64))
    cols, a = layout(), encode(motion, sampler.rest, 24.0)
    b = encode(moved, sampler.rest, 24.0)
    for part in (cols.swing, cols.up, cols.clearance, cols.turn):
        torch.testing.assert_close(a[:, part], b[:, part], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(a[:, cols.slip], b[:, cols.slip], atol=0.2, rtol=0.0)  # hand-over has a fixed softness


def test_a_planted_foot_stays_planted(sampler: PoseSampler) -> None:
    features = encode(sampler.motion(40, seeded(2)).double(), sampler.rest, 24.0)
    cols = layout()
    features[:, cols.slip] = 0
    motion = decode(features, sampler.bodies(1, seeded())[0], sampler.rest, 24.0)
    lowest = motion[..., 1].argmin(dim=-1)
    t = torch.arange(39)[(motion[:-1, :, 1].sort(dim=-1).values.diff(dim=-1)[:, 0] > 0.1)]  # one foot well below all
    assert len(t) == 0 or (motion[t + 1, lowest[t]] - motion[t, lowest[t]])[:, [0, 2]].abs().max() < 0.02


def test_leg_length() -> None:
    lengths = torch.arange(16.0)
    assert leg_length(lengths).item() == (1 + 2 + 4 + 5) / 2


def test_spline_passes_through_keys_and_keeps_straight_lines() -> None:
    keys = torch.randn(2, 6, 3, generator=seeded(), dtype=torch.float64)
    torch.testing.assert_close(catmull_rom(keys, torch.arange(6)), keys)
    line = torch.arange(6, dtype=torch.float64).unsqueeze(-1)
    times = torch.linspace(0, 5, 41)
    torch.testing.assert_close(catmull_rom(line, times).squeeze(-1), times.double())
    assert torch.equal(catmull_rom(line, torch.tensor([9.0])), line[-1:])
    eps = 1e-4  # velocity is continuous at a key
    left, at, right = catmull_rom(keys, torch.tensor([2 - eps, 2, 2 + eps], dtype=torch.float64)).unbind(dim=1)
    torch.testing.assert_close((at - left) / eps, (right - at) / eps, atol=1e-2, rtol=0.0)


# ---- the mixture ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixture() -> Mixture:
    g = seeded(3)
    factors = torch.randn(3, 4, 4, generator=g, dtype=torch.float64).tril(-1) * 0.4
    factors = factors + torch.diag_embed(torch.rand(3, 4, generator=g, dtype=torch.float64) + 0.3)
    return Mixture(torch.tensor([0.5, 0.3, 0.2]).double(), torch.randn(3, 4, generator=g).double() * 2, factors)


def moments(mixture: Mixture) -> tuple[Tensor, Tensor]:
    """Mean and covariance of a mixture by its formula."""
    w = mixture.weights / mixture.weights.sum()
    mean = w @ mixture.centres
    second = mixture.factors @ mixture.factors.mT + mixture.centres.unsqueeze(-1) * mixture.centres.unsqueeze(-2)
    return mean, (w[:, None, None] * second).sum(0) - mean.outer(mean)


def test_draws_have_the_moments_of_the_mixture(mixture: Mixture) -> None:
    draws = mixture.draw(200_000, seeded())
    mean, covariance = moments(mixture)
    torch.testing.assert_close(draws.mean(0), mean, atol=0.02, rtol=0.0)
    torch.testing.assert_close(draws.mT.cov(), covariance, atol=0.05, rtol=0.0)


def test_conditional_draws_have_the_moments_of_the_conditional(mixture: Mixture) -> None:
    g = seeded(4)
    h = torch.randn(2, 4, generator=g).double()
    offset, noise = torch.tensor([0.3, -0.2]).double(), torch.tensor([0.5, 0.3]).double()
    y = mixture.centres[1] @ h.mT + offset + 0.2
    log_w, means, covariances = [], [], []  # naive reference: condition each joint Gaussian by inverting
    for weight, centre, factor in zip(mixture.weights, mixture.centres, mixture.factors, strict=True):
        c = factor @ factor.mT
        s = h @ c @ h.mT + torch.diag(noise**2)
        log_w.append(weight.log() + multivariate_normal.logpdf(y, centre @ h.mT + offset, s))
        gain = c @ h.mT @ torch.linalg.inv(s)
        means.append(centre + gain @ (y - centre @ h.mT - offset))
        covariances.append(c - gain @ h @ c)
    share = torch.stack(log_w).softmax(0)
    mean = (share[:, None] * torch.stack(means)).sum(0)
    second = torch.stack([c + m.outer(m) for c, m in zip(covariances, means, strict=True)])
    covariance = (share[:, None, None] * second).sum(0) - mean.outer(mean)
    conditional = Conditional(mixture, h, offset, noise)
    torch.testing.assert_close(conditional.log_joint(y.unsqueeze(0)).softmax(-1)[0], share)
    draws = conditional.draw(y.expand(200_000, 2), seeded())
    torch.testing.assert_close(draws.mean(0), mean, atol=0.02, rtol=0.0)
    torch.testing.assert_close(draws.mT.cov(), covariance, atol=0.05, rtol=0.0)


def test_pack_and_unpack_are_a_pair() -> None:
    full = torch.randn(3, 5, 5, generator=seeded()).tril()
    block = full.clone()
    block[:, 3:] = 0
    block[:, [3, 4], [3, 4]] = 2.0
    for factors, sizes in ((full, (15, 0)), (block, (6, 2))):
        triangles, diagonals = pack(factors)
        assert (triangles.shape[1], diagonals.shape[1]) == sizes
        assert torch.equal(unpack(triangles, diagonals), factors)
    with pytest.raises(ItesError, match="factors: found shapes"):
        unpack(torch.zeros(3, 7), torch.zeros(3, 2))


# ---- drawing ----------------------------------------------------------------------------------------------


def test_same_seed_same_draws_and_no_global_state(sampler: PoseSampler) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    draws = [(sampler.poses(20, seeded(s)), sampler.motion(30, seeded(s))) for s in (1, 1, 2)]
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(draws[0][0], draws[1][0]) and torch.equal(draws[0][1], draws[1][1])
    assert not torch.allclose(draws[0][0], draws[2][0]) and not torch.allclose(draws[0][1], draws[2][1])


def test_poses(sampler: PoseSampler) -> None:
    poses = sampler.poses(3000, seeded())
    assert poses.shape == (3000, 17, 3) and poses.dtype == torch.float32 and poses.isfinite().all()
    assert poses[:, 0, [0, 2]].abs().max() < 1e-6  # over the origin
    lengths = H36M17.bone_lengths(poses)
    assert 0.35 < lengths[:, 1].mean() < 0.47 and 0.6 < poses[:, 10, 1].quantile(0.01) < 1.2
    children = [j for _, j in H36M17.bones]
    for left, right in H36M17.pairs:
        torch.testing.assert_close(lengths[:, children.index(left)], lengths[:, children.index(right)])
    hips = poses[:, 4] - poses[:, 1]
    heading = torch.atan2(hips[:, 2], hips[:, 0])
    assert heading.cos().mean().abs() < 0.05 and heading.sin().mean().abs() < 0.05  # uniform
    assert (poses[..., 1].amin(dim=-1) > -0.1).all()


def test_a_motion_is_smooth_and_its_bones_are_rigid(sampler: PoseSampler) -> None:
    motion = sampler.motions(20, 120, seeded(5))
    lengths = H36M17.bone_lengths(motion)
    assert (lengths - lengths[:, :1]).abs().max() < 1e-5
    step = motion.diff(dim=1).norm(dim=-1)  # metres a frame
    assert step.max() < 0.5 and step.quantile(0.99) < 0.2
    at_joins = motion[:, 10:110].diff(dim=1, n=2).norm(dim=-1).mean(dim=(0, 2))  # acceleration a frame
    assert at_joins.max() < 3 * at_joins.mean()  # snippets meet without a jerk


@pytest.mark.parametrize("fps", [6.0, 12.0, 24.0, 50.0])
def test_frame_rate_changes_the_sampling_and_not_the_motion(sampler: PoseSampler, fps: float) -> None:
    slow, fast = sampler.motion(9, seeded(6), fps=6.0), sampler.motion(int(8 * fps / 6) + 1, seeded(6), fps=fps)
    assert torch.isclose(slow[0], fast[0], atol=1e-5).all()
    bent = [knee_flexion(m[[0, -1]]) for m in (slow, fast[: int(8 * fps / 6) + 1])]
    torch.testing.assert_close(bent[0][0], bent[1][0], atol=0.1, rtol=0.0)
    if (8 * fps / 6) % 1 == 0:
        torch.testing.assert_close(bent[0][1], bent[1][1], atol=0.1, rtol=0.0)


@pytest.mark.parametrize("count", [1, 2, 3, 16, 17])
def test_short_motions(sampler: PoseSampler, count: int) -> None:
    assert sampler.motion(count, seeded()).shape == (count, 17, 3)


def test_motion_of_a_given_body(sampler: PoseSampler) -> None:
    lengths = sampler.bodies(1, seeded(9))[0]
    got = H36M17.bone_lengths(sampler.motion(5, seeded(), lengths=lengths))
    torch.testing.assert_close(got, lengths.float().expand(5, BONES))


def test_bad_sizes_are_refused(sampler: PoseSampler) -> None:
    with pytest.raises(ItesError, match="n = 0"):
        sampler.poses(0, seeded())
    with pytest.raises(ItesError, match="frames = 0"):
        sampler.motion(0, seeded())
    with pytest.raises(ItesError, match=r"fps = 0\.0"):
        sampler.motion(5, seeded(), fps=0.0)
    with pytest.raises(ItesError, match="at least 1"):
        sampler.archive(sequences=0)


def test_archive(sampled: MocapArchive, sampler: PoseSampler) -> None:
    train, val, test = (sampled.part(s) for s in ("train", "val", "test"))
    assert 35_000 < train.frames + val.frames < 50_000 and test.frames == 6000
    people = [set(p.subject) for p in (train, val, test)]
    assert all(people) and not (people[0] & people[1] or people[0] & people[2] or people[1] & people[2])
    assert set(sampled.kind) == {"sampled"} and sampled.source == "sampler" and len(set(sampled.names)) == len(sampled)
    assert sampled.positions.isfinite().all()
    bodies = {s: sampled.skeleton.bone_lengths(sampled.sequence(i)).mean(0) for i, s in enumerate(sampled.subject)}
    for i, s in enumerate(sampled.subject):  # one person, one body
        assert (sampled.skeleton.bone_lengths(sampled.sequence(i)) - bodies[s]).abs().max() < 1e-4
    small = sampler.archive(sequences=3, frames=5, test_sequences=1, subjects=3, test_subjects=1, seed=2)
    assert small.lengths == (5,) * 4 and small.split == ("train", "train", "train", "test")
    assert small.checksum() == sampler.archive(3, 5, 2, 1, 3, 1).checksum()


def test_archive_takes_seconds(sampler: PoseSampler) -> None:
    start = time.process_time()
    sampler.archive()
    assert time.process_time() - start < 10  # measured: about one


# ---- plausibility, without recordings ---------------------------------------------------------------------


def test_joints_stay_within_their_limits(sampled: MocapArchive) -> None:
    flexion = knee_flexion(sampled.positions)
    assert (flexion < -5).float().mean() < 1e-3 and flexion.min() > -20 and flexion.max() < 165


def test_most_people_stand_and_some_do_not(sampled: MocapArchive) -> None:
    up = uprightness(sampled.positions)
    assert 0.9 < (up > 0.8).float().mean() < 0.99 and up.min() < 0.5
    low = sampled.positions[..., 1].amin(dim=-1)
    assert low.min() > -0.1 and 0.05 < low.median() < 0.15


def test_speeds_are_human(sampled: MocapArchive) -> None:
    middle, fast, fastest = levels(speeds(sampled), 0.5, 0.95, 0.999)
    assert 0.3 < middle < 0.6 and 1.2 < fast < 2.4 and fastest < 6


# ---- likeness to recordings -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cmu(data_dir: Path) -> MocapArchive:
    return load_archive(data_dir / "cmu17.npz")


@pytest.mark.data
def test_embedded_parameters_come_from_the_training_subjects(sampler: PoseSampler, cmu: MocapArchive) -> None:
    assert sampler.provenance["checksum"] == cmu.checksum()
    assert sampler.provenance["subjects"] == sorted(set(cmu.part("train").subject))
    held_out = set(cmu.part("val").subject) | set(cmu.part("test").subject)
    assert not held_out & set(sampler.provenance["subjects"])


@pytest.mark.data
def test_sampled_poses_are_no_copies(sampler: PoseSampler, cmu: MocapArchive) -> None:
    train = cmu.part("train")
    recorded = frames(train)
    recording = torch.cat([torch.full((n,), i) for i, n in enumerate(train.lengths)])
    keep = torch.arange(0, len(recorded), 6)
    mirrored = recorded[keep][:, list(H36M17.mirror)] * torch.tensor([-1.0, 1.0, 1.0])
    base, owner = torch.cat([recorded[keep], mirrored]), recording[keep].repeat(2)
    pick = torch.randint(len(recorded), (250,), generator=seeded(1))
    between = nearest_distances(recorded[pick], base, H36M17, recording[pick, None] == owner)
    drawn = nearest_distances(sampler.poses(250, seeded(2)), base, H36M17)
    q = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95)
    ratio = [d / max(b, 1e-3) for d, b in zip(levels(drawn, *q), levels(between, *q), strict=True)]
    assert min(ratio[:2]) > 1  # nearest draws are farther than the nearest other recordings
    assert all(0.5 < r < 3 for r in ratio[2:]), ratio


@pytest.mark.data
def test_sampled_poses_are_like_recorded_ones(sampled: MocapArchive, cmu: MocapArchive) -> None:
    train = cmu.part("train")
    a, b = frames(train), sampled.positions
    for low, high, q in ((0.5, 2.0, 0.5), (0.7, 1.4, 0.75), (0.7, 1.4, 0.95), (0.7, 1.4, 0.99)):
        ratio = levels(speeds(sampled), q)[0] / levels(speeds(train), q)[0]
        assert low < ratio < high, (q, ratio)
    for q, tolerance in ((0.05, 8), (0.25, 8), (0.5, 8), (0.75, 10), (0.95, 20)):
        assert abs(levels(knee_flexion(a), q)[0] - levels(knee_flexion(b), q)[0]) < tolerance
    shares = [(uprightness(x) < 0.8).float().mean().item() for x in (a, b)]
    assert 0.5 < shares[1] / shares[0] < 2


# ---- storage ----------------------------------------------------------------------------------------------


def test_embedded_file_is_small_and_says_where_it_comes_from(sampler: PoseSampler) -> None:
    assert EMBEDDED.stat().st_size <= 300_000
    assert sampler.provenance["terms"] == TERMS and len(sampler.provenance["checksum"]) == 64
    assert all(t.dtype == torch.float16 for t in load_file(EMBEDDED).values())
    assert PoseSampler.embedded() is sampler


def test_save_and_load(sampler: PoseSampler, tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    sampler.save(path)
    again = PoseSampler.load(path)
    assert torch.equal(again.poses(10, seeded()), sampler.poses(10, seeded()))
    assert again.provenance == sampler.provenance and again.skeleton == sampler.skeleton
    assert load_file(path).keys() == set(STORED) and [p.name for p in tmp_path.iterdir()] == ["s.safetensors"]
    with pytest.raises(ItesError, match="nowhere"):
        sampler.save(tmp_path / "nowhere" / "s.safetensors")


def damaged(tmp_path: Path, changes: dict[str, Tensor | None], metadata: dict[str, str] | None = None) -> Path:
    """A copy of the embedded parameters with some replaced or left out."""
    with safe_open(EMBEDDED, "pt") as file:
        meta = dict(file.metadata()) | (metadata or {})
    tensors = {k: v for k, v in (load_file(EMBEDDED) | changes).items() if v is not None}
    save_file(tensors, tmp_path / "bad.safetensors", meta)
    return tmp_path / "bad.safetensors"


@pytest.mark.parametrize(
    "changes, metadata, match",
    [
        ({"rest": torch.zeros(16, 3)}, None, r"rest: found shape \(16, 3\), expected \(17, 3\)"),
        ({"basis": torch.zeros(288, 4)}, None, r"basis: found shape \(288, 4\)"),
        ({"mean": torch.full((288,), torch.nan)}, None, "mean: holds NaN"),
        ({"noise": torch.zeros(72)}, None, "must be positive"),
        ({"spread": None}, None, "parameters: found"),
        ({"extra": torch.zeros(1)}, None, "parameters: found"),
        ({"factors": torch.zeros(88, 1175)}, None, "factors: found shapes"),
        ({"factors": torch.zeros(())}, None, "factors: found shapes"),
        ({"centres": torch.zeros(88)}, None, "found shape"),
        ({}, {"format": "other"}, "format: found 'other'"),
        ({}, {"skeleton": "octopus"}, "unknown joint set 'octopus'"),
        ({}, {"provenance": "{"}, "Expecting"),
    ],
)
def test_damaged_parameters_are_refused(
    tmp_path: Path, changes: dict[str, Tensor | None], metadata: dict[str, str] | None, match: str
) -> None:
    path = damaged(tmp_path, changes, metadata)
    with pytest.raises(ItesError, match=match) as caught:
        PoseSampler.load(path)
    assert str(path) in str(caught.value)


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ItesError, match="no such file"):
        PoseSampler.load(tmp_path / "absent.safetensors")
    for keep in (0, 5, 1000, 200_000):
        (tmp_path / "cut.safetensors").write_bytes(EMBEDDED.read_bytes()[:keep])
        with pytest.raises(ItesError, match="not a readable safetensors file"):
            PoseSampler.load(tmp_path / "cut.safetensors")


def test_sampler_checks_itself(sampler: PoseSampler) -> None:
    with pytest.raises(ItesError, match=r"body_mean: found shape \(3,\)"):
        replace(sampler, body_mean=torch.zeros(3))


# ---- fitting ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recordings(sampler: PoseSampler) -> MocapArchive:
    """Stands in for recordings: drawn from the sampler itself, with one subject whose numbers would show."""
    archive = sampler.archive(sequences=60, frames=60, test_sequences=6, subjects=12, test_subjects=2, seed=3)
    positions = archive.positions.clone()
    for i, split in enumerate(archive.split):
        if split == "test":
            positions[archive.starts[i] : archive.starts[i] + archive.lengths[i]] *= 3  # giants
    return replace(archive, positions=positions)


def test_fit(recordings: MocapArchive, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    settings = {"dimensions": 20, "full": 12, "components": 4, "rounds": 5}
    fitted = fit_sampler(recordings, 1, **settings)
    assert fitted.provenance["checksum"] == recordings.checksum()
    assert set(fitted.provenance["subjects"]) == set(recordings.part("train").subject)
    poses = fitted.poses(500, seeded())
    train = frames(recordings.part("train"))
    assert abs(H36M17.bone_lengths(poses).mean() / H36M17.bone_lengths(train).mean() - 1) < 0.05  # no giants seen
    assert nearest_distances(poses[:50], train[::5], H36M17).median() < 0.2
    assert torch.equal(fitted.mixture.centres, fit_sampler(recordings, 1, **settings).mixture.centres)
    assert "time" not in json.dumps(fitted.provenance)
    fitted.save(tmp_path / "f.safetensors")
    assert PoseSampler.load(tmp_path / "f.safetensors").motion(30, seeded()).isfinite().all()


def test_fit_needs_enough_recordings(recordings: MocapArchive, tmp_path: Path) -> None:
    with pytest.raises(ItesError, match="too few for 88 components"):
        fit_sampler(recordings.take([0, 1, 2, 3]))
    with pytest.raises(ItesError, match="no such file"):
        fit_sampler_file(str(tmp_path / "absent.npz"), tmp_path / "out.safetensors")


def test_fit_without_scikit_learn(recordings: MocapArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sklearn", "sklearn.mixture", "sklearn.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ItesError, match="needs scikit-learn: pip install"):
        fit_sampler(recordings, dimensions=20, full=12, components=4)


def test_nearest_distances_by_hand(sampler: PoseSampler) -> None:
    poses = sampler.poses(4, seeded())
    c, s = 0.28, 0.96
    turned = poses @ torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]]) + torch.tensor([5.0, 0.0, 1.0])
    assert nearest_distances(turned, poses, H36M17).max() < 1e-5  # place and heading do not count
    lifted = poses.clone()
    lifted[:, 16, 1] += 0.17  # one joint of 17
    expected = torch.full((4,), 0.01)
    torch.testing.assert_close(nearest_distances(lifted, poses, H36M17), expected, atol=1e-5, rtol=0.0)
    others = nearest_distances(poses, poses, H36M17, torch.eye(4, dtype=torch.bool))
    assert others.min() > 0.03
    assert OVERLAP == 2
