"""Two-stage training: what the teacher, the student and the supervised baseline learn from (chapters 3 to 5).

The data are tensors, there is no loader; those of a :class:`~ites_core.data.mapped.MappedArchive` stay in their file,
and each batch is made when its turn comes. :mod:`ites_core.loop` holds the loop that all stages share.
"""

from __future__ import annotations

import copy
import hashlib
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, cast

import torch
from safetensors.torch import save
from torch import Tensor, nn

from ites_core.camera import CAMERA_DISTANCE, Normalisation, unproject
from ites_core.checkpoint import Run, build_model, camera_pose
from ites_core.config import StudentConfig, TeacherConfig
from ites_core.data import CameraRing, CameraViews, Motion, ViewArchive, make_views
from ites_core.data.mapped import MappedArchive
from ites_core.data.noise import NOISE, complete, observe
from ites_core.data.streamed import LabelledViews, StreamedViews
from ites_core.density import fit_density
from ites_core.distributed import join_team, own_device
from ites_core.errors import ItesError
from ites_core.factorisation import mean_body
from ites_core.loop import Task, TensorData, fit
from ites_core.models import DictionaryModel, MeanPose
from ites_core.objectives import Objective
from ites_core.priors import BodyPriors, mirrored, pictured_bones, typical_bones
from ites_core.provenance import provenance
from ites_core.skeleton import Skeleton
from ites_core.step import Speed

VALIDATION_VIEWS = 2048  # held-out views that are scored during training
SAMPLE = 1 << 16  # views that stand for all where those are streamed: normalisation, first body, priors


def train_teacher(
    archive: Motion,
    config: TeacherConfig,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    progress: bool = True,
    speed: Speed = "auto",
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
        speed: see :class:`ites_core.step.TrainingStep`.

    Raises:
        ItesError: bad settings, no such device, ``out`` in use, or a loss that is not finite.
    """
    task = teacher_task(archive, config, seed=seed, device=device)
    return fit(task, out, resume=resume, progress=progress, speed=speed, team=join_team(task.device))


def teacher_task(archive: Motion, config: TeacherConfig, *, seed: int = 0, device: str = "auto") -> Task:
    """What :func:`train_teacher` trains, before its first step."""
    run, x, _, validation, where, stream = _prepare(archive, config, seed, device)
    model = cast(DictionaryModel, run.model)
    if config.dictionary_start == "mean_body":
        model.start_from(mean_body(complete(x.cpu(), archive.skeleton), archive.skeleton).to(where))
    return Task(run, Objective(model, config), stream or TensorData((x,)), validation, where)


def train_student(
    archive: Motion,
    teacher: Run | None,
    config: StudentConfig,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    progress: bool = True,
    speed: Speed = "auto",
) -> Run:
    """Stage 2: distil a frozen teacher into a graph-convolution student, chapter 4; or learn without one, chapter 9.

    The teacher labels every view once, before training: the input is not augmented, so live labels
    would be the same numbers. (Where the data stay in their file, there are live labels.) The student sees input
    normalised by its teacher's factor.

    Args:
        archive: recordings, as for the teacher.
        teacher: a run of stage 1; None for settings that ask for none.
        config, out, seed, device, resume, progress, speed: as :func:`train_teacher`.

    Raises:
        ItesError: as :func:`train_teacher`; or ``teacher`` is not a teacher, or is needed and missing.
    """
    task = student_task(archive, teacher, config, seed=seed, device=device, progress=progress)
    return fit(task, out, resume=resume, progress=progress, speed=speed, team=join_team(task.device))


def student_task(
    archive: Motion,
    teacher: Run | None,
    config: StudentConfig,
    *,
    seed: int = 0,
    device: str = "auto",
    progress: bool = False,
) -> Task:
    """What :func:`train_student` trains, before its first step; what its priors need is learnt here."""
    if teacher is None:
        if config.weight_kd or (config.weight_bones and config.bones == "teacher"):
            raise ItesError(
                "student: found no teacher, but settings that learn from one (weight_kd above 0, or bones=teacher); "
                "name one that `ites train teacher` made by --teacher, or take the preset beyond, which needs none"
            )
    elif teacher.stage != "teacher":
        raise ItesError(
            f"distillation: found a {teacher.stage} run as teacher; expected one that `ites train teacher` made"
        )
    normalisation = teacher.normalisation if teacher else None
    run, x, _, validation, where, stream = _prepare(archive, config, seed, device, normalisation)
    if teacher:
        weights = save({k: v.detach().cpu().contiguous() for k, v in teacher.model.state_dict().items()})
        run.provenance["teacher_sha256"] = hashlib.sha256(weights).hexdigest()
        teacher.model.to(where).eval()
    started = time.monotonic()

    def label(x: Tensor) -> list[tuple[Tensor, ...]]:
        """Each picture with its depths, and on request each mirror image with its own; without a teacher no depths."""
        pictures = [x, mirrored(x, archive.skeleton)] if config.mirror_pictures else [x]
        if teacher is None:
            return [(picture,) for picture in pictures]
        depths = [_labels(teacher, picture) for picture in pictures]
        if config.mirror_pictures:
            mirror = list(archive.skeleton.mirror)
            both = (depths[0] + depths[1][:, mirror]) / 2
            depths = [both, both[:, mirror]]
        return list(zip(pictures, depths, strict=True))

    sides = label(x)
    tensors = tuple(torch.cat(part) for part in zip(*sides, strict=True))
    priors = _priors(tensors, config, archive.skeleton, seed, progress)
    data = LabelledViews(stream, label, len(sides)) if stream else TensorData(tensors)
    task = Task(run, Objective(run.model, config, priors=priors), data, validation, where)
    if priors is not None and config.weight_bones and config.bones == "student":
        priors.bones = _bones_of_a_first_student(task, tensors[0], progress)
    run.provenance["seconds"] = time.monotonic() - started
    return task


@torch.no_grad()
def _labels(teacher: Run, x: Tensor) -> Tensor:
    """Depths (M, N) of a teacher for normalised 2D poses (M, N, 2), units."""
    return torch.cat([camera_pose(teacher.model, part)[..., 2] for part in x.split(8192)])


def _bones_of_a_first_student(task: Task, x: Tensor, progress: bool) -> Tensor:
    """Median proportions of a student that is trained as ``task`` says, but briefly; the task stays as it is."""
    config = cast(StudentConfig, task.run.config)
    short = replace(config, max_steps=config.bones_steps, validations=1)
    first = replace(task.run, model=copy.deepcopy(task.run.model), config=short, provenance={"seconds": 0.0}, log=[])
    objective = Objective(first.model, short, priors=task.objective.priors)
    fit(replace(task, run=first, objective=objective), progress=progress)
    with torch.no_grad():
        poses = torch.cat([camera_pose(first.model, part) for part in x.split(8192)])
    return typical_bones(poses, task.run.skeleton)


def _priors(
    data: tuple[Tensor, ...], config: StudentConfig, skeleton: Skeleton, seed: int, progress: bool
) -> BodyPriors | None:
    """The priors that a student's settings weigh, learnt from its pictures and, if there are any, depth labels."""
    if not (config.weight_bones or config.weight_density):
        return None
    x, bones = data[0], None
    if config.weight_bones:
        taught = config.bones == "teacher"
        bones = typical_bones(unproject(x, data[1]), skeleton) if taught else pictured_bones(x, skeleton)
    density = fit_density(x, seed, config.density_steps, progress=progress) if config.weight_density else None
    return BodyPriors(bones, density, skeleton, config.batch_size, seed).to(x.device)


def train_supervised(
    archive: Motion,
    config: StudentConfig,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    progress: bool = True,
    speed: Speed = "auto",
) -> Run:
    """The upper bound: a student that learns the true depths instead of a teacher's. Chapter 4.

    Args:
        archive: recordings with 3D truth.
        config, out, seed, device, resume, progress, speed: as :func:`train_teacher`; the loss is that of distillation.

    Raises:
        ItesError: as :func:`train_teacher`; or nobody measured the truth.
    """
    task = supervised_task(archive, config, seed=seed, device=device)
    return fit(task, out, resume=resume, progress=progress, speed=speed, team=join_team(task.device))


def supervised_task(archive: Motion, config: StudentConfig, *, seed: int = 0, device: str = "auto") -> Task:
    """What :func:`train_supervised` trains, before its first step."""
    if isinstance(archive, MappedArchive):
        raise ItesError(f"{archive.source}: the supervised baseline needs its data in memory; read it with load_motion")
    run, x, views, validation, where, _ = _prepare(archive, config, seed, device)
    if not views.pose.isfinite().all():
        raise ItesError(f"{archive.source}: holds no 3D truth to learn from; train a teacher on it instead")
    run.provenance["labels"] = "truth"
    unit = root_depth(views) / (CAMERA_DISTANCE * run.normalisation.factor)  # metres, of each view
    truth = (views.pose[..., 2] / unit.unsqueeze(-1)).to(where)
    return Task(run, Objective(run.model, config, truth=True), TensorData((x, truth)), validation, where)


def untrained(archive: Motion, config: StudentConfig, *, seed: int = 0) -> Run:
    """A baseline that learns nothing by gradient: ``network="zero"`` or ``"mean"``. Chapter 1.

    Args:
        archive: recordings; the mean pose is that of the 3D truth of its ``train`` part.
        config: which of the two.
        seed: of the cameras.
    """
    run, _, views, *_ = _prepare(archive, config, seed, "cpu")
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
    x: Tensor  # (M, N, 2) training input, normalised, on the device; of streamed views a sample
    views: CameraViews  # what x was made from
    validation: CameraViews  # the held-out views
    device: torch.device
    stream: StreamedViews | None  # the training input, where it stays in its file


def _prepare(
    archive: Motion,
    config: TeacherConfig | StudentConfig,
    seed: int,
    device: str,
    normalisation: Normalisation | None = None,
) -> _Prepared:
    where = pick_device(device)
    ring = CameraRing(cameras=config.cameras)
    train = archive.part("train")
    stream = StreamedViews.film(train, ring, seed, where) if isinstance(train, MappedArchive) else None
    if stream and config.noise != "none":
        raise ItesError(
            f"{archive.source}: noise={config.noise} is drawn for all views at once; train without --stream"
        )
    views = stream.sample(SAMPLE) if stream else make_views(train, ring, seed)
    held_out = archive.part("val")
    views_of_frame = 1 if isinstance(held_out, ViewArchive) else ring.cameras
    stride = max(1, held_out.frames * views_of_frame // VALIDATION_VIEWS)
    validation = make_views(held_out, ring, seed, stride)
    normalisation = normalisation or Normalisation.fit(views.image, views.mean_distance, archive.skeleton, views.sized)
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
    if stream:
        about |= {"streamed": True, "sample": len(views)}
    run = Run(model.to(where), config, normalisation, archive.skeleton, seed, 0, about)
    noise, keep = NOISE[config.noise], run.takes_missing_joints
    x = normalisation.apply(observe(views.image, archive.skeleton, noise, seed, keep), archive.skeleton)
    seen = observe(validation.image, archive.skeleton, noise, seed, keep)
    stream = stream.normalised(normalisation) if stream else None
    return _Prepared(run, x.to(where), views, replace(validation, image=seen), where, stream)


def pick_device(name: str) -> torch.device:
    """``auto`` (CUDA where there is one), ``cpu`` or ``cuda``; of several processes each takes a GPU of its own.

    Raises:
        ItesError: unknown name, CUDA asked for where there is none, or fewer GPUs than processes.
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
    return own_device(device)


def _initialise_as_release(model: nn.Module) -> None:
    """Linear weights N(0, 0.01), batch-norm scales uniform in [0, 1] (paper against code)."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
        elif isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.weight)
