"""What a batch costs: the losses of teacher, student, C3DPO and the supervised baseline (chapters 3 and 4)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ites_core import losses
from ites_core.camera import full_precision, project, random_rotations, rotate
from ites_core.config import StudentConfig, TeacherConfig
from ites_core.models import C3DPO, DepthStudent, DictionaryModel, Teacher
from ites_core.models.c3dpo import visible
from ites_core.priors import BodyPriors, knee_loss

Losses = dict[str, Tensor]


class Objective(nn.Module):
    """A network together with what it is trained for: from a batch to its losses (chapter 5).

    As one module it can be compiled, recorded, spread over processes or stacked with others of its kind.

    Args:
        network: the teacher or the student.
        config: form and weights of the losses.
        truth: the targets of a batch are measured depths, not a teacher's.
        priors: for a student whose settings weigh them.
    """

    def __init__(
        self,
        network: DictionaryModel | DepthStudent,
        config: TeacherConfig | StudentConfig,
        truth: bool = False,
        priors: BodyPriors | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.truth = truth
        self.priors = priors

    def forward(self, batch: tuple[Tensor, ...], rotations: Tensor, epoch: float = 0.0) -> Losses:
        """The losses of one batch.

        Args:
            batch: ``(x,)`` for a teacher, or a student that has none; ``(x, depth labels)`` for a student.
            rotations: of :func:`draw_rotations`.
            epoch: passes over the data so far.
        """
        network, config = self.network, self.config
        if isinstance(config, StudentConfig):
            assert isinstance(network, DepthStudent)
            x, *labels = batch
            if self.truth:
                return supervised_losses(network, x, labels[0], config)
            return student_losses(network, x, labels[0] if labels else None, rotations, config, self.priors)
        (x,) = batch
        if isinstance(network, C3DPO):
            return c3dpo_losses(network, x, rotations, config)
        assert isinstance(network, Teacher)
        return teacher_losses(network, x, rotations, config, epoch)


def weights_of(config: TeacherConfig | StudentConfig) -> dict[str, float]:
    """The weight of each loss, by the loss's name."""
    if isinstance(config, TeacherConfig):
        return {"rep": config.weight_rep, "ric": config.weight_ric}
    return {
        "kd": config.weight_kd,
        "rec": config.weight_rec,
        "bones": config.weight_bones,
        "knees": config.weight_knees,
        "density": config.weight_density,
    }


def draw_rotations(config: TeacherConfig | StudentConfig, count: int, generator: torch.Generator) -> Tensor:
    """All the randomness of one training step: the rotations of the cycle, for ``count`` poses. Chapter 3.

    The losses below take them as a tensor, so that they are functions of what goes in: the same whether they are
    called, recorded as a graph or run for several networks at once.

    Args:
        config: family and number of the rotations.
        count: B, poses of the batch.
        generator: source of the randomness; the result lives on its device.

    Returns:
        (B, V, 3, 3) for the cycle with V rotated views of each pose, and one more that stays upright where a density
        judges it; for C3DPO (B, 2, 3, 3), a turn in the picture and a turn in space.
    """
    if config.network == "c3dpo":
        turns = [random_rotations(count, generator, family) for family in ("in_plane", config.rotations)]
        return torch.stack(turns, dim=1)
    shape = (count, config.rotations_per_pose)
    rotations = random_rotations(shape, generator, config.rotations)
    if isinstance(config, StudentConfig) and config.free_rotations:
        free = torch.rand(*shape, 1, 1, generator=generator, device=rotations.device) < config.free_rotations
        rotations = torch.where(free, random_rotations(shape, generator, "haar"), rotations)
    if isinstance(config, StudentConfig) and config.weight_density:
        rotations = torch.cat([rotations, random_rotations((count, 1), generator, config.rotations)], dim=1)
    return rotations


def teacher_losses(teacher: Teacher, x: Tensor, rotations: Tensor, config: TeacherConfig, epoch: float = 0.0) -> Losses:
    """The losses of one batch in stage 1: L_t = lambda_REP L_REP + lambda_RIC L_RIC. Chapter 3.

    Args:
        teacher: F_t, in training mode.
        x: (B, N, 2) normalised 2D poses.
        rotations: (B, V, 3, 3) of :func:`draw_rotations`.
        config: form and weights of the losses.
        epoch: for ``free_root_after``.

    Returns:
        ``{"total", "rep", "ric"}``, scalars; a loss of weight 0 is not computed.
    """
    estimate = teacher(x)
    rep = losses.reprojection(project(estimate.camera), x, config.loss)
    result = {"total": config.weight_rep * rep, "rep": rep}
    if config.weight_ric > 0:
        canonical = estimate.canonical
        if teacher.free_root and epoch < (config.free_root_after or 0):
            root = teacher.skeleton.root
            canonical = canonical - canonical[:, root : root + 1]
        turned = rotate(canonical.unsqueeze(1), rotations)
        with frozen_statistics(teacher):
            again = teacher(project(turned).flatten(0, 1)).canonical.unflatten(0, rotations.shape[:2])
        ric = losses.rotation_invariance(again, canonical, config.loss)
        result |= {"total": result["total"] + config.weight_ric * ric, "ric": ric}
    return result


def student_losses(
    student: DepthStudent,
    x: Tensor,
    label: Tensor | None,
    rotations: Tensor,
    config: StudentConfig,
    priors: BodyPriors | None = None,
) -> Losses:
    """The losses of one batch in stage 2: L_s = lambda_KD L_KD + lambda_REC L_REC. Chapter 4.

    The paper has no other losses; chapter 9 has three more.

    Args:
        student: F_s, in training mode.
        x: (B, N, 2) normalised 2D poses.
        label: (B, N) depths (R Y)_z of the frozen teacher, relative to the root, units; None for ``weight_kd=0``.
        rotations: (B, V, 3, 3) of :func:`draw_rotations`.
        config: form and weights of the losses.
        priors: bones and density, for weights above 0.

    Returns:
        ``{"total", "kd", "rec", "bones", "knees", "density"}``, scalars; a loss of weight 0 is not computed.
    """
    pose = student(x)
    turns = rotations[:, : config.rotations_per_pose]
    result = {"total": x.new_zeros(())}
    if config.weight_kd > 0:
        assert label is not None
        kd = losses.distillation(pose[..., 2], label, config.loss)
        result |= {"total": config.weight_kd * kd, "kd": kd}
    if config.weight_rec > 0:
        turned = rotate(pose.unsqueeze(1), turns)
        with frozen_statistics(student):
            again = student(project(turned).flatten(0, 1)).unflatten(0, turns.shape[:2])
        rec = losses.rotation_equivariance(again, turned, config.loss)
        result |= {"total": result["total"] + config.weight_rec * rec, "rec": rec}
    if priors is not None and config.weight_bones > 0:
        bones = priors.bone_loss(pose)
        result |= {"total": result["total"] + config.weight_bones * bones, "bones": bones}
    if config.weight_knees > 0:
        knees = knee_loss(pose, student.skeleton)
        result |= {"total": result["total"] + config.weight_knees * knees, "knees": knees}
    if priors is not None and config.weight_density > 0:
        density = priors.density_loss(project(rotate(pose, rotations[:, -1])))
        result |= {"total": result["total"] + config.weight_density * density, "density": density}
    return result


def c3dpo_losses(model: C3DPO, x: Tensor, rotations: Tensor, config: TeacherConfig) -> Losses:
    """The losses of one batch of C3DPO: reprojection and canonicalisation (Novotny et al. 2019, Section 4).

    Every pose is first turned in the picture by a random angle: under an orthographic camera it is a view as good.
    Joints that nobody saw (NaN) do not count.

    Args:
        model: both networks, in training mode.
        x: (B, N, 2) normalised 2D poses.
        rotations: (B, 2, 3, 3) of :func:`draw_rotations`.
        config: form and weights of the losses; ``weight_rep`` and ``weight_ric`` weigh the two.

    Returns:
        ``{"total", "rep", "ric"}``, scalars.
    """
    in_picture, in_space = rotations.unbind(dim=1)
    with full_precision(x):
        x = x @ in_picture[..., :2, :2].mT
    estimate = model(x)
    seen = visible(x)
    observed = model.scaled(x).where(seen.unsqueeze(-1), 0.0)
    rep = losses.reprojection(estimate.camera[..., :2], observed, config.loss, seen)
    turned = rotate(estimate.canonical, in_space)
    ric = losses.joint_error(model.canonicalise(turned), estimate.canonical, config.loss)
    return {"total": config.weight_rep * rep + config.weight_ric * ric, "rep": rep, "ric": ric}


def supervised_losses(student: DepthStudent, x: Tensor, truth: Tensor, config: StudentConfig) -> Losses:
    """The loss of one batch with true depths: L_KD, Eq. 6, with the truth for a teacher. Chapter 4.

    Args:
        student: in training mode.
        x: (B, N, 2) normalised 2D poses.
        truth: (B, N) measured depths relative to the root, units.
        config: form of the loss.

    Returns:
        ``{"total", "kd"}``, scalars.
    """
    kd = losses.distillation(student.depth(x), truth, config.loss)
    return {"total": kd, "kd": kd}


@contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Batch normalisation normalises by the batch, as in training, but keeps its running statistics.

    The cycle feeds rotated bodies, many upside down. Mixed into the running statistics they would
    make evaluation differ from training; only real input may set them.
    """
    layers = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
