"""``ites bench``: training steps, lifting, metrics and views, each beside its reference and the machine's limit.

Two things are timed in turn, A B A B, and their ratio is taken pair by pair: when the machine slows down for a while,
it slows down both. What counts is the median of the ratios.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from statistics import median
from typing import Any

import numpy as np
import torch
from scipy.spatial import procrustes
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ites_core.bench.reference import ReferenceStudent, ReferenceTeacher, reference_step
from ites_core.camera import look_at, rotate
from ites_core.checkpoint import build_model
from ites_core.config import StudentConfig, TeacherConfig, student_config, teacher_config
from ites_core.data import CameraRing, MocapArchive, make_views
from ites_core.data.sampler import PoseSampler
from ites_core.data.views import place_cameras
from ites_core.metrics import p_mpjpe
from ites_core.models.linear import linear
from ites_core.objectives import Objective, draw_rotations
from ites_core.provenance import processor, provenance
from ites_core.skeleton import H36M17
from ites_core.step import Speed, TrainingStep, compiled_blocks, make_optimiser

Work = Callable[[], int]  # does something, returns how many poses it did it to
Product = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        what: measured how.
        rate: poses a second, median.
        reference: poses a second of the reference, measured in turn with it; None where there is none.
        ratio: median of the ratios, pair by pair.
        limit: share of the measured matrix-product rate in the precision that is used; None where no product dominates.
        flop: floating-point operations a pose, of the matrix products.
        memory: largest allocation on the GPU, MiB; None on a processor.
    """

    what: str
    rate: float
    reference: float | None = None
    ratio: float | None = None
    limit: float | None = None
    flop: float | None = None
    memory: float | None = None


def rate(work: Work, device: torch.device, seconds: float = 1.0) -> float:
    """Poses a second of some work, over at least ``seconds`` and one call."""
    _wait(device)
    started, done = time.perf_counter(), 0
    while True:
        done += work()
        if time.perf_counter() - started >= seconds:
            break
    _wait(device)
    return done / (time.perf_counter() - started)


def compare(
    what: str,
    work: Work,
    reference: Work | None,
    device: torch.device,
    *,
    seconds: float,
    pairs: int = 5,
    flop: float | None = None,
    machine: float | None = None,
) -> Figure:
    """Time some work, in turn with its reference where there is one.

    Args:
        what: name of the line.
        work, reference: what is timed.
        device: to wait for.
        seconds: of each measurement.
        pairs: measurements of each.
        flop: operations a pose.
        machine: the machine's matrix-product rate, operations a second.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for once in (work, reference):  # the first call loads and chooses
        if once is not None:
            once()
    mine: list[float] = []
    theirs: list[float] = []
    for _ in range(pairs):
        mine.append(rate(work, device, seconds))
        if reference is not None:
            theirs.append(rate(reference, device, seconds))
    ours = median(mine)
    return Figure(
        what,
        ours,
        median(theirs) if theirs else None,
        median(a / b for a, b in zip(mine, theirs, strict=True)) if theirs else None,
        ours * flop / machine if flop and machine else None,
        flop,
        torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else None,
    )


def matrix_rate(device: torch.device, dtype: torch.dtype, product: Product = linear) -> float:
    """Operations a second of one large matrix product on random data, the best of several: the machine's limit.

    Args:
        device: where.
        dtype: of the factors.
        product: who multiplies; what the layers use, or for comparison ``torch.mm``.
    """
    n = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))

    def multiply() -> int:
        product(a, b)
        return 1

    multiply()
    return max(rate(multiply, device, 0.5) for _ in range(3)) * 2 * n**3


def flop_of_step(config: TeacherConfig | StudentConfig) -> float:
    """Operations a pose of one training step, counted by torch in the matrix products."""
    few = replace(config, batch_size=8, autocast=False)
    objective = Objective(build_model(few, H36M17), few).train()
    batch = (0.1 * torch.randn(8, len(H36M17), 2), torch.zeros(8, len(H36M17)))
    with FlopCounterMode(display=False) as counter:
        rotations = draw_rotations(few, 8, torch.Generator().manual_seed(0))
        objective(batch if isinstance(config, StudentConfig) else batch[:1], rotations)["total"].backward()
    return counter.get_total_flops() / 8


def training_step(config: TeacherConfig | StudentConfig, images: Tensor, device: torch.device, speed: Speed) -> Work:
    """One step of the package's own loop on random batches."""
    model = build_model(config, H36M17).to(device).train()
    labels = torch.zeros(len(images), len(H36M17), device=device)
    x = images.to(device)
    parameters = list(model.parameters())
    step = TrainingStep(
        Objective(model, config),
        parameters,
        make_optimiser(config, parameters, device),
        config,
        [0],
        lambda generators: draw_rotations(config, config.batch_size, generators[0]),
        device,
        speed,
        compiled_blocks(model) if speed == "compiled" else (),
    )
    number = 0

    def work() -> int:
        nonlocal number
        index = torch.randint(len(x), (config.batch_size,), device=device)
        batch = (x[index], labels[index]) if isinstance(config, StudentConfig) else (x[index],)
        step(batch, number, 0.0, config.learning_rate)
        number += 1
        return config.batch_size

    for _ in range(5):  # warm up, compile, record
        work()
    return work


def training_figures(device: torch.device, seconds: float, speeds: tuple[Speed, ...]) -> list[Figure]:
    """Both stages at the paper's size, batch 128 as in the paper, and on a GPU a batch that fills it."""
    images = sampled_images()
    machine = {kind: matrix_rate(device, kind) for kind in (torch.float32, torch.bfloat16)}
    figures = [
        Figure("matrix product, float32, torch.mm", 0.0, flop=matrix_rate(device, torch.float32, torch.mm)),
        Figure("matrix product, float32", 0.0, flop=machine[torch.float32]),
        Figure("matrix product, bfloat16", 0.0, flop=machine[torch.bfloat16]),
    ]
    for stage, config in (
        ("teacher", teacher_config("paper", rotations_per_pose=4)),
        ("student", student_config("paper")),
    ):
        flop = flop_of_step(config)
        _, reference = reference_step(config, images, torch.zeros(len(images), len(H36M17)), device)
        for batch in (128, 4096) if device.type == "cuda" else (128,):
            for autocast in (False, True):
                for speed in speeds:
                    mine = replace(config, batch_size=batch, autocast=autocast)
                    precision = "bfloat16" if autocast else "float32"
                    figures.append(
                        compare(
                            f"{stage} step, batch {batch}, {precision}, {speed}",
                            training_step(mine, images, device, speed),
                            reference,
                            device,
                            seconds=seconds,
                            flop=flop,
                            machine=machine[torch.bfloat16 if autocast else torch.float32],
                        )
                    )
    return figures


@torch.no_grad()
def lifting_figures(device: torch.device, seconds: float) -> list[Figure]:
    """The student at the paper's size, float32: 1,024 poses a pass, and one."""
    config = student_config("paper")
    model = build_model(config, H36M17).to(device).eval()
    reference = ReferenceStudent(config).to(device).eval()
    figures = []
    for batch in (1024, 1):
        x = sampled_images()[:batch].to(device)
        with FlopCounterMode(display=False) as counter:
            model(x)
        flop = counter.get_total_flops() / batch
        works = [_lifting(network, x) for network in (model, reference)]
        figures.append(compare(f"student lifts, batch {batch}", works[0], works[1], device, seconds=seconds, flop=flop))
    return figures


def _lifting(network: torch.nn.Module, x: Tensor) -> Work:
    def work() -> int:
        with torch.no_grad():
            network(x).cpu()
        return len(x)

    return work


def other_figures(seconds: float) -> list[Figure]:
    """P-MPJPE beside scipy's Procrustes, pose by pose; views beside a loop over frames. On the processor."""
    cpu = torch.device("cpu")
    poses = torch.randn(2, 4096, 17, 3, generator=torch.Generator().manual_seed(0))

    def all_at_once() -> int:
        p_mpjpe(poses[0], poses[1])
        return poses.shape[1]

    def one_by_one() -> int:
        for a, b in zip(poses[0, :64].numpy(), poses[1, :64].numpy(), strict=True):
            ours, theirs, _ = procrustes(b, a)
            np.linalg.norm(ours - theirs, axis=-1).mean()
        return 64

    archive = PoseSampler.embedded().archive()
    views = 4 * archive.frames

    def film() -> int:
        return len(make_views(archive))

    def film_frame_by_frame() -> int:
        name, ring = archive.names[0], CameraRing()
        motion = archive.sequence(0)[:64]
        eyes, _ = place_cameras(archive.sequence(0)[:, 0], ring, name, 0)
        for eye in eyes:
            for pose in motion:
                turned = rotate(pose - eye, look_at(eye, motion[0, 0], torch.tensor([0.0, 1.0, 0.0])))
                _ = turned[:, :2] / turned[:, 2:]
        return len(eyes) * len(motion)

    return [
        compare("P-MPJPE", all_at_once, one_by_one, cpu, seconds=seconds),
        compare(f"views, {views} at once", film, film_frame_by_frame, cpu, seconds=seconds),
    ]


def growth(device: torch.device, seconds: float) -> dict[str, list[tuple[int, float]]]:
    """Milliseconds against size: a teacher's step against batch and K, lifting against poses and joints."""
    images = sampled_images()
    small = teacher_config("small")
    curves: dict[str, list[tuple[int, float]]] = {"batch": [], "atoms": [], "poses": [], "joints": []}
    for batch in (32, 64, 128, 256, 512, 1024):
        work = training_step(replace(small, batch_size=batch), images, device, "auto")
        curves["batch"].append((batch, 1000 * batch / rate(work, device, seconds)))
    for atoms in (2, 6, 12, 24, 48, 96):
        work = training_step(replace(small, atoms=atoms), images, device, "auto")
        curves["atoms"].append((atoms, 1000 * small.batch_size / rate(work, device, seconds)))
    network = build_model(student_config("small"), H36M17).to(device).eval()
    for poses in (1, 8, 64, 512, 4096):
        x = images[:1].expand(poses, -1, -1).contiguous().to(device)
        curves["poses"].append((poses, 1000 * poses / rate(_lifting(network, x), device, seconds)))
    for joints in (9, 17, 25, 33, 65):
        chain = chain_of(joints)
        network = build_model(student_config("small"), chain).to(device).eval()
        x = 0.1 * torch.randn(256, joints, 2, device=device)
        curves["joints"].append((joints, 1000 * 256 / rate(_lifting(network, x), device, seconds)))
    return curves


def chain_of(joints: int) -> Any:
    """A joint set of any size: a trunk from which limbs of four joints hang."""
    from ites_core.skeleton import Skeleton

    parents = [-1, *(0 if j % 4 == 1 else j - 1 for j in range(1, joints))]
    return Skeleton(f"chain{joints}", tuple(f"j{j}" for j in range(joints)), tuple(parents), (), joints - 1)


def sampled_images(count: int = 16384) -> Tensor:
    """Normalised 2D poses of the embedded sampler: (M, N, 2)."""
    from ites_core.camera import Normalisation

    archive: MocapArchive = PoseSampler.embedded().archive()
    views = make_views(archive)
    normal = Normalisation.fit(views.image, views.mean_distance, H36M17)
    return normal.apply(views.image, H36M17)[:count]


def sizes() -> dict[str, int]:
    """Parameters of the networks, and of the references beside them."""
    t, s = teacher_config("paper"), student_config("paper")
    networks = {
        "teacher": build_model(t, H36M17),
        "teacher, reference": ReferenceTeacher(t),
        "student": build_model(s, H36M17),
        "student, reference": ReferenceStudent(s),
    }
    return {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()}


def about(device: torch.device) -> dict[str, Any]:
    """Where the figures come from."""
    return provenance(device) | {
        "processor": processor(),
        "date": date.today().isoformat(),
        "threads": torch.get_num_threads(),
        "peak_resident_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
