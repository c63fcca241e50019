"""ites_core.camera: projection and its inverse, rotations in value and gradient, cameras, normalisation."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch import Tensor

from ites_core.camera import (
    CAMERA_DISTANCE,
    H36M_LIKE,
    Intrinsics,
    Normalisation,
    look_at,
    picture_size,
    project,
    random_rotations,
    rotate,
    rotation_from_vector,
    unproject,
)
from ites_core.errors import ItesError
from ites_core.skeleton import H36M17

FAMILIES = ["haar", "axis_angle", "vertical", "in_plane"]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def cross_matrix(v: Tensor) -> Tensor:
    x, y, z = v.unbind(-1)
    o = torch.zeros_like(x)
    return torch.stack([o, -z, y, z, o, -x, -y, x, o], dim=-1).unflatten(-1, (3, 3))


def angles(rotations: Tensor) -> Tensor:
    """Rotation angle in degrees, (..., 3, 3) to (...)."""
    trace = rotations.double().diagonal(dim1=-2, dim2=-1).sum(-1)
    return ((trace - 1) / 2).clamp(-1, 1).acos().rad2deg()


# ---- projection -------------------------------------------------------------------------------------------


def test_project_by_hand():
    points = torch.tensor([[0.0, 0, 0], [1, 2, 0], [1, 2, 5], [1, 2, -4.5], [1, 2, -100]])
    expected = torch.tensor([[0, 0], [0.2, 0.4], [0.1, 0.2], [1, 2], [1, 2]])  # z = 5, 5, 10, then clamped at 1
    torch.testing.assert_close(project(points), expected)


def test_unproject_by_hand():
    image = torch.tensor([[0.2, 0.4], [0.1, 0.2], [1, 2]])
    depth = torch.tensor([0.0, 5, -100])
    torch.testing.assert_close(unproject(image, depth), torch.tensor([[1.0, 2, 0], [1, 2, 5], [1, 2, -100]]))


@settings(max_examples=50, deadline=None)
@given(
    u=st.floats(-2, 2),
    v=st.floats(-2, 2),
    depth=st.floats(-50, 50),
    distance=st.floats(1, 10),
    min_depth=st.floats(0.1, 2),
)
def test_project_undoes_unproject_also_in_the_clamp(u, v, depth, distance, min_depth):
    image = torch.tensor([[u, v]], dtype=torch.float64)
    d = torch.tensor([depth], dtype=torch.float64)
    again = project(unproject(image, d, distance, min_depth), distance, min_depth)
    torch.testing.assert_close(again, image, atol=1e-12, rtol=1e-12)


def test_unproject_undoes_project_in_front_of_the_clamp_and_behind():
    points = 3 * normal(5, 17, 3)
    assert (points[..., 2] < -4).any(), "some joints should be clamped"
    torch.testing.assert_close(unproject(project(points), points[..., 2]), points)


def test_clamped_joints_pass_no_gradient_to_their_depth():
    points = torch.tensor([[1.0, 2.0, -4.5], [1.0, 2.0, 0.0]], dtype=torch.float64, requires_grad=True)
    project(points).sum().backward()
    assert points.grad is not None
    assert points.grad[0, 2] == 0 and points.grad[1, 2] != 0
    torch.testing.assert_close(points.grad[:, 0], torch.tensor([1.0, 0.2], dtype=torch.float64))


def test_projection_gradients():
    points = normal(4, 3).requires_grad_()
    assert torch.autograd.gradcheck(project, points)
    image, depth = normal(4, 2).requires_grad_(), normal(4).requires_grad_()
    assert torch.autograd.gradcheck(unproject, (image, depth))


# ---- Rodrigues --------------------------------------------------------------------------------------------

ANGLES = [
    0.0,
    1e-12,
    1e-8,
    1e-4,
    0.3,
    2.0,
    math.pi - 1e-6,
    math.pi,
    math.pi + 1e-6,
    2 * math.pi - 1e-8,
    2 * math.pi,
    9,
]


def vectors(angle: float) -> Tensor:
    """Rotation vectors of that angle about random axes and the three coordinate axes."""
    axes = torch.cat([normal(5, 3), torch.eye(3, dtype=torch.float64)])
    return angle * axes / axes.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("angle", ANGLES)
def test_rodrigues_equals_the_exponential_and_scipy(angle):
    v = vectors(angle)
    got = rotation_from_vector(v)
    torch.testing.assert_close(got, torch.linalg.matrix_exp(cross_matrix(v)), atol=1e-13, rtol=0)
    scipy = torch.from_numpy(Rotation.from_rotvec(v.numpy()).as_matrix())
    torch.testing.assert_close(got, scipy, atol=1e-13, rtol=0)
    torch.testing.assert_close(rotation_from_vector(v.float()).double(), got, atol=2e-6, rtol=0)


@pytest.mark.parametrize("angle", ANGLES)
def test_rodrigues_gradient(angle):
    assert torch.autograd.gradcheck(rotation_from_vector, vectors(angle).requires_grad_(), atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("size", [0.0, 1e-42, 1e-30, 1e-22, 1e-16, 1e-8, 1e-6, 1e-4, 1e-3, 1e-2])
def test_rodrigues_gradient_near_zero_is_the_cross_product(size, dtype):
    """dR/dv = [e_i]_x + O(|v|), also where the quotients' derivatives cancel badly or underflow."""
    v = (size * torch.tensor([0.6, -0.64, 0.48], dtype=torch.float64)).to(dtype)
    jacobian = torch.autograd.functional.jacobian(rotation_from_vector, v)  # (3, 3, 3): row, column, component
    generators = torch.stack([cross_matrix(e) for e in torch.eye(3, dtype=dtype)], dim=-1)
    assert jacobian.isfinite().all()
    torch.testing.assert_close(jacobian, generators, atol=1e-6 + 2 * size, rtol=0)


def test_rotate_acts_on_column_vectors():
    quarter = rotation_from_vector(torch.tensor([0.0, 0.0, math.pi / 2]))  # x to y
    torch.testing.assert_close(rotate(torch.eye(3), quarter), torch.tensor([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]))
    points, r = normal(7, 17, 3), rotation_from_vector(normal(7, 3, seed=1))
    expected = torch.einsum("bij,bnj->bni", r, points)
    torch.testing.assert_close(rotate(points, r), expected)
    torch.testing.assert_close(rotate(rotate(points, r), r.mT), points)
    torch.testing.assert_close(rotate(points, r[0]), torch.einsum("ij,bnj->bni", r[0], points))


# ---- random rotations -------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_random_rotations_are_rotations(family):
    r = random_rotations(2000, seeded(), family)
    assert r.shape == (2000, 3, 3) and r.dtype == torch.float32
    torch.testing.assert_close(r @ r.mT, torch.eye(3).expand_as(r), atol=2e-6, rtol=0)
    torch.testing.assert_close(torch.linalg.det(r), torch.ones(2000), atol=2e-6, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_random_rotations_follow_the_generator_alone(family):
    torch.manual_seed(1)
    first = random_rotations((4, 5), seeded(7), family)
    torch.manual_seed(2)
    assert first.shape == (4, 5, 3, 3)
    assert torch.equal(first, random_rotations((4, 5), seeded(7), family))
    assert not torch.equal(first, random_rotations((4, 5), seeded(8), family))
    assert random_rotations((), seeded(), family).shape == (3, 3)
    g = seeded(7)
    assert not torch.equal(random_rotations(3, g, family), random_rotations(3, g, family))


def test_haar_statistics():
    """Angle density (1 - cos a) / pi: mean pi/2 + 2/pi; the image of any axis is uniform on the sphere."""
    n = 200_000
    r = random_rotations(n, seeded(), "haar")
    a = angles(r)
    assert a.mean().item() == pytest.approx(math.degrees(math.pi / 2 + 2 / math.pi), abs=0.3)  # 126.5
    assert (a < 30).double().mean().item() == pytest.approx((math.pi / 6 - 0.5) / math.pi, abs=0.001)  # 0.0075
    for axis in range(3):
        image = r[..., axis].double()  # where the axis goes
        assert image.mean(0).abs().max() < 0.01
        torch.testing.assert_close(image.T @ image / n, torch.eye(3).double() / 3, atol=0.005, rtol=0)
        # Archimedes: each coordinate of a uniform point on the sphere is uniform in [-1, 1]
        for coordinate in image.T:
            histogram = torch.histc(coordinate, bins=10, min=-1, max=1) / n
            torch.testing.assert_close(histogram, torch.full_like(histogram, 0.1), atol=0.005, rtol=0)


def test_haar_is_invariant_under_multiplication():
    r = random_rotations(100_000, seeded(), "haar").double()
    fixed = rotation_from_vector(torch.tensor([0.4, -1.0, 2.0], dtype=torch.float64))
    for moved in (fixed @ r, r @ fixed):
        assert angles(moved).mean().item() == pytest.approx(126.5, abs=0.5)


def test_axis_angle_statistics():
    """The release's family: the angle is uniform in [0, 180] degrees, so small rotations are common."""
    r = random_rotations(200_000, seeded(), "axis_angle")
    a = angles(r)
    assert a.mean().item() == pytest.approx(90, abs=0.5)
    assert (a < 30).double().mean().item() == pytest.approx(1 / 6, abs=0.005)  # 0.167
    skew = torch.stack([r[:, 2, 1] - r[:, 1, 2], r[:, 0, 2] - r[:, 2, 0], r[:, 1, 0] - r[:, 0, 1]], -1).double()
    axis = skew / skew.norm(dim=-1, keepdim=True)
    assert axis.mean(0).abs().max() < 0.01
    torch.testing.assert_close(axis.T @ axis / len(axis), torch.eye(3).double() / 3, atol=0.005, rtol=0)


def test_vertical_keeps_y_and_covers_the_circle():
    r = random_rotations(100_000, seeded(), "vertical")
    y = torch.tensor([0.0, 1.0, 0.0]).expand(len(r), 3)
    torch.testing.assert_close(r[..., 1], y)
    torch.testing.assert_close(r[:, 1, :], y)
    turn = torch.atan2(r[:, 0, 2], r[:, 0, 0])
    histogram = torch.histc(turn, bins=12, min=-math.pi, max=math.pi) / len(r)
    torch.testing.assert_close(histogram, torch.full_like(histogram, 1 / 12), atol=0.005, rtol=0)


def test_unknown_family_is_named():
    with pytest.raises(ItesError, match="unknown rotation family 'uniform': expected one of haar, axis_angle, vert"):
        random_rotations(3, seeded(), "uniform")  # type: ignore[arg-type]


# ---- look_at ----------------------------------------------------------------------------------------------


def test_look_at_by_hand():
    """World z up; the camera stands at -y and looks along +y: right is x, down is -z, forward is y."""
    r = look_at(torch.tensor([0.0, -4, 1]), torch.tensor([0.0, 0, 1]), torch.tensor([0.0, 0, 1]))
    torch.testing.assert_close(r, torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]))


def test_look_at_geometry():
    eye, target = 4 * normal(50, 3), normal(50, 3, seed=1)
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    r = look_at(eye, target, up)
    assert r.shape == (50, 3, 3)
    torch.testing.assert_close(r @ r.mT, torch.eye(3).double().expand_as(r))
    torch.testing.assert_close(torch.linalg.det(r), torch.ones(50).double())
    seen = rotate((target - eye)[:, None], r)[:, 0]
    torch.testing.assert_close(seen[:, :2], torch.zeros(50, 2).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(seen[:, 2], (target - eye).norm(dim=-1))
    upright = rotate(up.expand(50, 1, 3), r)[:, 0]
    torch.testing.assert_close(upright[:, 0], torch.zeros(50).double(), atol=1e-12, rtol=0)
    assert (upright[:, 1] < 0).all()  # y points down in the image
    # the length of 'up' does not matter
    torch.testing.assert_close(look_at(eye, target, 1e-9 * up), r)


@pytest.mark.parametrize(
    ("eye", "target"),
    [([1.0, 2, 3], [1.0, 2, 3]), ([0.0, 0, 5], [0.0, 0, 0]), ([0.0, 0, -5], [0.0, 0, 1])],
    ids=["on its target", "looks down", "looks up"],
)
def test_look_at_rejects_degenerate_views(eye, target):
    good = torch.tensor([1.0, 0, 0])
    eyes = torch.stack([good, torch.tensor(eye)])
    targets = torch.stack([-good, torch.tensor(target)])
    with pytest.raises(ItesError, match="look_at: the camera sits on its target or looks along 'up'"):
        look_at(eyes, targets, torch.tensor([0.0, 0, 1]))


# ---- intrinsics -------------------------------------------------------------------------------------------


def test_intrinsics_by_hand():
    camera = Intrinsics(fx=1000, fy=500, cx=320, cy=240)
    points = torch.tensor([[0.0, 0, 2], [1, 1, 2]])
    torch.testing.assert_close(camera.to_pixels(points), torch.tensor([[320.0, 240], [820, 490]]))


def test_intrinsics_round_trip():
    points = normal(3, 17, 3) + torch.tensor([0.0, 0.0, 5.0])
    points[..., 2].clamp_(min=1)
    image = H36M_LIKE.to_image(H36M_LIKE.to_pixels(points))
    torch.testing.assert_close(image, points[..., :2] / points[..., 2:])
    torch.testing.assert_close(H36M_LIKE.to_pixels(1000 * points), H36M_LIKE.to_pixels(points))  # any unit
    field = 2 * math.degrees(math.atan(500 / H36M_LIKE.fx))
    assert field == pytest.approx(47, abs=0.5)


# ---- normalisation ----------------------------------------------------------------------------------------


def span(image: Tensor) -> Tensor:
    return (image[..., H36M17.head, :] - image[..., H36M17.root, :]).norm(dim=-1)


def test_normalisation_brings_the_mean_span_to_one_fifth():
    image = normal(100, 17, 2)
    normalisation = Normalisation.fit(image, mean_distance=4.0)
    ready = normalisation.apply(image)
    assert span(ready).mean().item() == pytest.approx(1 / CAMERA_DISTANCE)
    assert (ready[:, H36M17.root] == 0).all()
    torch.testing.assert_close(Normalisation.fit(image[:, :, :] + 3.0, 4.0).apply(image + 3.0), ready)


def test_normalisation_scales_a_single_pose_by_the_training_factor():
    image = normal(100, 17, 2)
    normalisation = Normalisation.fit(image, mean_distance=4.0)
    torch.testing.assert_close(normalisation.apply(image[3]), normalisation.apply(image)[3])
    twice = normalisation.apply(2 * image[3])  # nothing is renormalised by the pose itself
    torch.testing.assert_close(twice, 2 * normalisation.apply(image[3]))


def test_metres_per_unit():
    """A 0.6 m body (hip to head), flat and 4 m away, is one unit tall at five units: 0.6 m per unit."""
    pose = torch.zeros(1, 17, 3)
    pose[0, H36M17.head, 1] = -0.6
    image = (pose + torch.tensor([0.0, 0.0, 4.0]))[..., :2] / 4.0
    normalisation = Normalisation.fit(image, mean_distance=4.0)
    assert normalisation.metres_per_unit == pytest.approx(0.6)
    torch.testing.assert_close(normalisation.apply(image), project(pose / normalisation.metres_per_unit))


def test_normalisation_rejects_collapsed_poses():
    with pytest.raises(ItesError, match="hip and head coincide"):
        Normalisation.fit(torch.ones(5, 17, 2), mean_distance=4.0)
    with pytest.raises(ItesError):
        Normalisation.fit(torch.ones(0, 17, 2), mean_distance=4.0)  # mean of nothing
    with pytest.raises(ItesError):
        Normalisation.fit(torch.full((5, 17, 2), float("nan")), mean_distance=4.0)


def test_pictures_of_one_size_bring_every_input_to_it() -> None:
    image = torch.randn(50, 17, 2, generator=torch.Generator().manual_seed(0))
    image = (image - image[:, :1]) / picture_size(image - image[:, :1])[:, None, None]
    normalisation = Normalisation.fit(image, mean_distance=5.0, sized=True)
    assert normalisation.size is not None
    ready = normalisation.apply(image)
    torch.testing.assert_close(ready, Normalisation.fit(image, mean_distance=5.0).apply(image))
    torch.testing.assert_close(normalisation.apply(7 * image + 2), ready, atol=1e-5, rtol=1e-5)
    gone = image.clone()
    gone[:, 5] = torch.nan
    seen = normalisation.apply(gone)
    assert seen[:, 5].isnan().all()
    torch.testing.assert_close(picture_size(seen), torch.full((50,), normalisation.size))
    assert not normalisation.apply(torch.ones(1, 17, 2)).any(), "a person in one point stays there"
    with pytest.raises(ItesError, match=r"and size -1\.0, expected positive numbers"):
        Normalisation(1.0, 1.0, -1.0)
