"""Two-stage training: the teacher's step, the student's step, and the loop they share (chapters 3 to 5).

The data are tensors, there is no loader. Batch order and random rotations are functions of
(seed, epoch) and (seed, step) alone, so a run that is killed and resumed continues to bitwise the
same weights as one that was not (on the same machine with the same number of threads).
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save
from torch import Tensor, nn
from tqdm.auto import tqdm

from ites_core import losses
from ites_core.camera import Normalisation, project, random_rotations, rotate
from ites_core.checkpoint import Run, RunFolder, build_model, camera_pose, provenance
from ites_core.config import StudentConfig, TeacherConfig, TrainingConfig
from ites_core.data import CameraRing, CameraViews, Motion, ViewArchive, make_views
from ites_core.errors import ItesError
from ites_core.factorisation import mean_body
from ites_core.metrics import p_mpjpe
from ites_core.models import DepthStudent, Teacher

Losses = dict[str, Tensor]
Step = Callable[[Tensor, torch.Generator, float], Losses]  # (batch indices, randomness, epoch) -> losses

LOG_EVERY = 25  # steps between log lines; the only place where the loop waits for the device
VALIDATION_VIEWS = 2048  # held-out views that are scored during training


def teacher_losses(
    teacher: Teacher, x: Tensor, generator: torch.Generator, config: TeacherConfig, epoch: float = 0.0
) -> Losses:
    """The losses of one batch in stage 1: L_t = lambda_REP L_REP + lambda_RIC L_RIC. Chapter 3.

    Args:
        teacher: F_t, in training mode.
        x: (B, N, 2) normalised 2D poses.
        generator: source of the random rotations.
        config: forms, families and weights of the losses.
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
        views = (len(x), config.rotations_per_pose)
        turned = rotate(canonical.unsqueeze(1), random_rotations(views, generator, config.rotations))
        with frozen_statistics(teacher):
            again = teacher(project(turned).flatten(0, 1)).canonical.unflatten(0, views)
        ric = losses.rotation_invariance(again, canonical, config.loss)
        result |= {"total": result["total"] + config.weight_ric * ric, "ric": ric}
    return result


def student_losses(
    student: DepthStudent, x: Tensor, label: Tensor, generator: torch.Generator, config: StudentConfig
) -> Losses:
    """The losses of one batch in stage 2: L_s = lambda_KD L_KD + lambda_REC L_REC. Chapter 4.

    Args:
        student: F_s, in training mode.
        x: (B, N, 2) normalised 2D poses.
        label: (B, N) depths (R Y)_z of the frozen teacher, relative to the root, units.
        generator: source of the random rotations.
        config: forms, families and weights of the losses.

    Returns:
        ``{"total", "kd", "rec"}``, scalars; a loss of weight 0 is not computed.
    """
    pose = student(x)
    result = {"total": x.new_zeros(())}
    if config.weight_kd > 0:
        kd = losses.distillation(pose[..., 2], label, config.loss)
        result |= {"total": config.weight_kd * kd, "kd": kd}
    if config.weight_rec > 0:
        views = (len(x), config.rotations_per_pose)
        turned = rotate(pose.unsqueeze(1), random_rotations(views, generator, config.rotations))
        with frozen_statistics(student):
            again = student(project(turned).flatten(0, 1)).unflatten(0, views)
        rec = losses.rotation_equivariance(again, turned, config.loss)
        result |= {"total": result["total"] + config.weight_rec * rec, "rec": rec}
    return result


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


def train_teacher(
    archive: Motion,
    config: TeacherConfig,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    progress: bool = True,
) -> Run:
    """Stage 1: learn the dictionary teacher from 2D views of the training subjects. Chapter 3.

    Args:
        archive: recordings; only the ``train`` part is learnt from, ``val`` is scored along the way.
        config: settings, see :func:`ites_core.config.teacher_config`.
        out: run folder to write; None keeps the run in memory.
        seed: of weights, cameras, batches and rotations.
        device: ``auto``, ``cpu`` or ``cuda``.
        resume: continue the run in ``out``.
        progress: show a progress bar.

    Raises:
        ItesError: bad settings, no such device, ``out`` in use, or a loss that is not finite.
    """
    run, x, validation, where = _prepare(archive, config, seed, device)
    teacher = cast(Teacher, run.model)
    if config.dictionary_start == "mean_body":
        teacher.start_from(mean_body(x.cpu(), archive.skeleton).to(where))

    def step(index: Tensor, generator: torch.Generator, epoch: float) -> Losses:
        return teacher_losses(teacher, x[index], generator, config, epoch)

    return _fit(run, step, len(x), validation, where, out, resume, progress)


def train_student(
    archive: Motion,
    teacher: Run,
    config: StudentConfig,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    progress: bool = True,
) -> Run:
    """Stage 2: distil a frozen teacher into a graph-convolution student. Chapter 4.

    The teacher labels every view once, before training: the input is not augmented, so live labels
    would be the same numbers. The student sees input normalised by its teacher's factor.

    Args:
        archive: recordings, as for the teacher.
        teacher: a run of stage 1.
        config, out, seed, device, resume, progress: as :func:`train_teacher`.

    Raises:
        ItesError: as :func:`train_teacher`; or ``teacher`` is not a teacher.
    """
    if teacher.stage != "teacher":
        raise ItesError(
            f"distillation: found a {teacher.stage} run as teacher; expected one that `ites train teacher` made"
        )
    run, x, validation, where = _prepare(archive, config, seed, device, teacher.normalisation)
    weights = save({k: v.detach().cpu().contiguous() for k, v in teacher.model.state_dict().items()})
    run.provenance["teacher_sha256"] = hashlib.sha256(weights).hexdigest()
    student = cast(DepthStudent, run.model)
    teacher.model.to(where).eval()
    with torch.no_grad():
        label = torch.cat([camera_pose(teacher.model, part)[..., 2] for part in x.split(8192)])

    def step(index: Tensor, generator: torch.Generator, epoch: float) -> Losses:
        return student_losses(student, x[index], label[index], generator, config)

    return _fit(run, step, len(x), validation, where, out, resume, progress)


def _prepare(
    archive: Motion,
    config: TeacherConfig | StudentConfig,
    seed: int,
    device: str,
    normalisation: Normalisation | None = None,
) -> tuple[Run, Tensor, CameraViews, torch.device]:
    """A fresh run, its training input (M, N, 2) on the device, and the held-out views."""
    where = pick_device(device)
    ring = CameraRing(cameras=config.cameras)
    views = make_views(archive.part("train"), ring, seed)
    held_out = archive.part("val")
    views_of_frame = 1 if isinstance(held_out, ViewArchive) else ring.cameras
    stride = max(1, held_out.frames * views_of_frame // VALIDATION_VIEWS)
    validation = make_views(held_out, ring, seed, stride)
    normalisation = normalisation or Normalisation.fit(views.image, views.mean_distance, archive.skeleton)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(config, archive.skeleton)
        if config.initialisation == "normal":
            _initialise_as_release(model)
    about = {
        "data": Path(archive.source).name,
        "data_sha256": archive.checksum(),
        **provenance(where),
        "seconds": 0.0,
    }
    run = Run(model.to(where), config, normalisation, archive.skeleton, seed, 0, about)
    return run, normalisation.apply(views.image, archive.skeleton).to(where), validation, where


def _fit(
    run: Run,
    step_losses: Step,
    count: int,
    validation: CameraViews,
    device: torch.device,
    out: str | Path | None,
    resume: bool,
    progress: bool,
) -> Run:
    """The loop of both stages: batches, optimiser, schedule, log, validation, checkpoints."""
    config, model = run.config, run.model
    batch = min(config.batch_size, count)
    steps_per_epoch = count // batch
    total = config.epochs * steps_per_epoch
    total = total if config.max_steps is None else min(total, config.max_steps)
    every = max(1, math.ceil(total / config.validations))
    optimiser = _optimiser(config, model)
    folder = _open_folder(run, optimiser, out, resume)
    started = time.monotonic() - run.provenance["seconds"]
    sums: dict[str, Tensor] = {}
    order = torch.empty(0, dtype=torch.int64)
    bar = tqdm(total=total, initial=run.step, desc=run.stage, unit="step", disable=not progress, mininterval=0.5)
    model.train()
    try:
        while run.step < total:
            epoch, place = divmod(run.step, steps_per_epoch)
            if place == 0 or not len(order):
                order = torch.randperm(count, generator=_generator("cpu", run.seed, 1, epoch)).to(device)
            index = order[place * batch : (place + 1) * batch]
            for group in optimiser.param_groups:
                group["lr"] = _learning_rate(config, run.step, total, steps_per_epoch)
            with torch.autocast(device.type, torch.bfloat16, enabled=config.autocast):
                result = step_losses(index, _generator(device, run.seed, 2, run.step), run.step / steps_per_epoch)
            optimiser.zero_grad(set_to_none=True)
            result["total"].backward()
            if config.clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimiser.step()
            run.step += 1
            bar.update()
            for name, value in result.items():
                sums[name] = sums.get(name, 0.0) + value.detach()
            if run.step % LOG_EVERY == 0 or run.step == total:
                row = _log(run, sums, started, LOG_EVERY if run.step % LOG_EVERY == 0 else run.step % LOG_EVERY)
                bar.set_postfix({k: f"{row[k]:.4f}" for k in result}, refresh=False)
                sums = {}
                if run.step % every < LOG_EVERY or run.step == total:
                    run.log[-1] |= validate(run, validation, device)
                    if folder is not None:
                        folder.write(run, optimiser)
    except KeyboardInterrupt:
        if folder is not None:  # the checkpoint of the last validation stands; say where to go on
            raise ItesError(f"interrupted at step {run.step} of {total}; continue with --resume --out {out}") from None
        raise
    finally:
        bar.close()
    model.eval()
    return run


def _open_folder(run: Run, optimiser: torch.optim.Optimizer, out: str | Path | None, resume: bool) -> RunFolder | None:
    if out is None:
        if resume:
            raise ItesError("resume: name the run folder with --out")
        return None
    folder = RunFolder(out)
    if folder.exists() and not resume:
        raise ItesError(f"{folder.path}: already holds a run; continue it with --resume, or train into another folder")
    if resume:
        folder.resume(run, optimiser)
    else:
        folder.write(run, optimiser)
    return folder


def _log(run: Run, sums: dict[str, Tensor], started: float, steps: int) -> dict[str, Any]:
    """Append the mean losses since the last line, and stop if they are not finite."""
    row: dict[str, Any] = {"step": run.step} | {k: float(v) / steps for k, v in sums.items()}
    run.provenance["seconds"] = row["seconds"] = round(time.monotonic() - started, 2)
    if not all(math.isfinite(row[k]) for k in sums):
        raise ItesError(
            f"{run.stage}: loss is not finite at step {run.step} ({', '.join(f'{k} {row[k]:g}' for k in sums)}); "
            "the last good checkpoint is kept: lower learning_rate or set clip=1.0"
        )
    run.log.append(row)
    return row


@torch.no_grad()
def validate(run: Run, views: CameraViews, device: torch.device) -> dict[str, float]:
    """P-MPJPE in mm on held-out training subjects, without and with the flip oracle. Chapter 3.

    For the reader's eyes only: nothing in training looks at these numbers, which need 3D truth.
    """
    run.model.eval()
    pose = run.lift(views.image)
    run.model.to(device).train()
    free = p_mpjpe(pose, views.pose).mean().item() * 1000
    oracle = p_mpjpe(pose, views.pose, oracle_flip=True).mean().item() * 1000
    return {"val_p_mpjpe": free, "val_p_mpjpe_oracle_flip": oracle}


def pick_device(name: str) -> torch.device:
    """``auto`` (CUDA where there is one), ``cpu`` or ``cuda``.

    Raises:
        ItesError: unknown name, or CUDA asked for where there is none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ItesError(f"device: found {name!r}, expected auto, cpu or cuda") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ItesError(
            "device: cuda asked for, but torch sees no GPU; use --device cpu or install a CUDA build of torch"
        )
    if device.type not in ("cpu", "cuda"):
        raise ItesError(f"device: found {name!r}, expected auto, cpu or cuda")
    return device


def _generator(device: torch.device | str, *key: int) -> torch.Generator:
    """A generator seeded by a key such as (seed, purpose, step): randomness without a state to save."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:6], "big"))


def _optimiser(config: TrainingConfig, model: nn.Module) -> torch.optim.Optimizer:
    if config.optimiser == "adam":
        return torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    return torch.optim.SGD(
        model.parameters(),
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
    )


def _learning_rate(config: TrainingConfig, step: int, total: int, steps_per_epoch: int) -> float:
    if config.schedule == "cosine":
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * step / total))
    if config.schedule == "halving":
        return config.learning_rate * 0.5 ** (step // (config.halve_every * steps_per_epoch))
    return config.learning_rate


def _initialise_as_release(model: nn.Module) -> None:
    """Linear weights N(0, 0.01), batch-norm scales uniform in [0, 1] (paper against code)."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
        elif isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.weight)
