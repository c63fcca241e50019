"""Two-stage training: the teacher's step, the student's step, and the loop they share (chapters 3 to 5).

The data are tensors, there is no loader. Batch order and random rotations are functions of
(seed, epoch) and (seed, step) alone, so a run that is killed and resumed continues to bitwise the
same weights as one that was not (on the same machine with the same number of threads).
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from safetensors.torch import save
from torch import Tensor, nn
from tqdm.auto import tqdm

from ites_core.camera import CAMERA_DISTANCE, Normalisation
from ites_core.checkpoint import Run, RunFolder, build_model, camera_pose, provenance
from ites_core.config import StudentConfig, TeacherConfig, TrainingConfig
from ites_core.data import CameraRing, CameraViews, Motion, ViewArchive, make_views
from ites_core.data.noise import NOISE, complete, observe
from ites_core.errors import ItesError
from ites_core.factorisation import mean_body
from ites_core.metrics import p_mpjpe
from ites_core.models import C3DPO, DepthStudent, DictionaryModel, MeanPose, Teacher
from ites_core.objectives import Losses, c3dpo_losses, draw_rotations, student_losses, supervised_losses, teacher_losses

Step = Callable[[Tensor, torch.Generator, float], Losses]  # (batch indices, randomness, epoch) -> losses

LOG_EVERY = 25  # steps between log lines; the only place where the loop waits for the device
VALIDATION_VIEWS = 2048  # held-out views that are scored during training


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
    run, x, _, validation, where = _prepare(archive, config, seed, device)
    model = cast(DictionaryModel, run.model)
    if config.dictionary_start == "mean_body":
        model.start_from(mean_body(complete(x.cpu(), archive.skeleton), archive.skeleton).to(where))

    def step(index: Tensor, generator: torch.Generator, epoch: float) -> Losses:
        rotations = draw_rotations(config, len(index), generator)
        if isinstance(model, C3DPO):
            return c3dpo_losses(model, x[index], rotations, config)
        return teacher_losses(cast(Teacher, model), x[index], rotations, config, epoch)

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
    run, x, _, validation, where = _prepare(archive, config, seed, device, teacher.normalisation)
    weights = save({k: v.detach().cpu().contiguous() for k, v in teacher.model.state_dict().items()})
    run.provenance["teacher_sha256"] = hashlib.sha256(weights).hexdigest()
    student = cast(DepthStudent, run.model)
    teacher.model.to(where).eval()
    with torch.no_grad():
        label = torch.cat([camera_pose(teacher.model, part)[..., 2] for part in x.split(8192)])

    def step(index: Tensor, generator: torch.Generator, epoch: float) -> Losses:
        return student_losses(student, x[index], label[index], draw_rotations(config, len(index), generator), config)

    return _fit(run, step, len(x), validation, where, out, resume, progress)


def train_supervised(
    archive: Motion,
    config: StudentConfig,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    progress: bool = True,
) -> Run:
    """The upper bound: a student that learns the true depths instead of a teacher's. Chapter 4.

    Args:
        archive: recordings with 3D truth.
        config, out, seed, device, resume, progress: as :func:`train_teacher`; the loss is that of distillation.

    Raises:
        ItesError: as :func:`train_teacher`; or nobody measured the truth.
    """
    prepared = _prepare(archive, config, seed, device)
    run, views, where = prepared.run, prepared.views, prepared.device
    if not views.pose.isfinite().all():
        raise ItesError(f"{archive.source}: holds no 3D truth to learn from; train a teacher on it instead")
    run.provenance["labels"] = "truth"
    student = cast(DepthStudent, run.model)
    unit = root_depth(views) / (CAMERA_DISTANCE * run.normalisation.factor)  # metres, of each view
    truth = (views.pose[..., 2] / unit.unsqueeze(-1)).to(where)
    x = prepared.x

    def step(index: Tensor, generator: torch.Generator, epoch: float) -> Losses:
        return supervised_losses(student, x[index], truth[index], config)

    return _fit(run, step, len(x), prepared.validation, where, out, resume, progress)


def untrained(archive: Motion, config: StudentConfig, *, seed: int = 0) -> Run:
    """A baseline that learns nothing by gradient: ``network="zero"`` or ``"mean"``. Chapter 1.

    Args:
        archive: recordings; the mean pose is that of the 3D truth of its ``train`` part.
        config: which of the two.
        seed: of the cameras.
    """
    run, _, views, _, _ = _prepare(archive, config, seed, "cpu")
    if isinstance(run.model, MeanPose):
        run.model.set_mean(views.pose / run.normalisation.metres_per_unit)
    return run


def root_depth(views: CameraViews) -> Tensor:
    """Distance of the root along the optical axis: (M,) metres, from picture and truth of each view.

    A joint at (X, Y, Z) from the root, seen at (u, v) where the root is at (u0, v0), says
    (u - u0, v - v0) Z0 = (X - u Z, Y - v Z): least squares over the joints.
    """
    root = views.skeleton.root
    away = views.image - views.image[:, root : root + 1]
    right_side = views.pose[..., :2] - views.image * views.pose[..., 2:]
    return (away * right_side).sum(dim=(1, 2)) / away.square().sum(dim=(1, 2))


class _Prepared(NamedTuple):
    """What every stage starts from."""

    run: Run  # fresh
    x: Tensor  # (M, N, 2) training input, normalised, on the device
    views: CameraViews  # what x was made from
    validation: CameraViews  # the held-out views
    device: torch.device


def _prepare(
    archive: Motion,
    config: TeacherConfig | StudentConfig,
    seed: int,
    device: str,
    normalisation: Normalisation | None = None,
) -> _Prepared:
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
    noise, keep = NOISE[config.noise], run.takes_missing_joints
    x = normalisation.apply(observe(views.image, archive.skeleton, noise, seed, keep), archive.skeleton)
    seen = observe(validation.image, archive.skeleton, noise, seed, keep)
    return _Prepared(run, x.to(where), views, replace(validation, image=seen), where)


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

    For the reader's eyes only: nothing in training looks at these numbers, which need 3D truth. Without truth (2D
    annotations) there are none.
    """
    if not views.pose.isfinite().all():
        return {}
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
