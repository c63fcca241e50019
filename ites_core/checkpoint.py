"""A training run on disk: settings, weights, resumable state and log (chapter 5).

A run folder holds

* ``run.json``: format version, stage, settings, joint set, 2D normalisation, seed, provenance;
* ``model.safetensors``: the weights, all that a user of the model needs beside run.json;
* ``state.safetensors``: weights, optimiser tensors and step, all that ``--resume`` needs;
* ``log.jsonl``: one JSON object a line.

Every file is written beside its place and moved there, so a reader never sees half of one, and a
kill between two moves leaves a state that resumes to the same weights. Nothing is ever pickled.
While a process trains, ``.lock`` keeps others out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ites_core.camera import Normalisation, at_least_float32
from ites_core.config import StudentConfig, TeacherConfig, validate
from ites_core.errors import ItesError
from ites_core.files import alone, in_place, reason, tidy
from ites_core.models import (
    C3DPO,
    DepthStudent,
    DictionaryModel,
    MeanPose,
    ResFCStudent,
    ResidualMLP,
    SemGCNStudent,
    Student,
    Teacher,
    ZeroDepth,
)
from ites_core.models.resfc import check_image
from ites_core.skeleton import Skeleton, skeleton_named

FORMAT = 1  # raised when a run folder of an older version can no longer be read

# A larger network is refused when it is read: a file of a kilobyte must not take all memory. The paper's largest has
# 7.3 million numbers in 6 blocks.
MAX_BLOCKS, MAX_NUMBERS = 100, 100_000_000

Log = list[dict[str, Any]]


@dataclass
class Run:
    """A trained (or half-trained) network with all that is needed to use it. Chapter 5.

    Attributes:
        model: the network, in eval mode.
        config: its settings.
        normalisation: the 2D normalisation of its training set.
        skeleton: its joint set.
        seed: of weights, batches and rotations.
        step: training steps done.
        provenance: data source and checksum, device, versions, commit, seconds.
        log: the training log, one dict a line.
    """

    model: DictionaryModel | DepthStudent
    config: TeacherConfig | StudentConfig
    normalisation: Normalisation
    skeleton: Skeleton
    seed: int
    step: int = 0
    provenance: dict[str, Any] = field(default_factory=dict)
    log: Log = field(default_factory=list)

    @property
    def stage(self) -> str:
        """``"teacher"`` or ``"student"``."""
        return "teacher" if isinstance(self.model, DictionaryModel) else "student"

    @property
    def takes_missing_joints(self) -> bool:
        """Whether NaN may stand in the input for joints that nobody saw."""
        return isinstance(self.model, C3DPO)

    @torch.no_grad()
    def lift(self, image: Tensor, batch: int | None = None) -> Tensor:
        """Lift 2D poses to 3D: a single pose is enough, the normalisation is the training set's.

        Args:
            image: (..., N, 2) image coordinates for focal length 1, see ``Intrinsics.to_image``; NaN for missing
                joints, if the model takes them.
            batch: poses a forward pass; None for 256, which stay in a processor's cache, or 8192 on a GPU.

        Returns:
            (..., N, 3) root-relative pose in the camera frame, in units (metres: times
            ``normalisation.metres_per_unit``).

        Raises:
            ItesError: wrong shape, NaN or infinite coordinates, or so large ones that the network overflows.
        """
        check_image(image, self.skeleton, self.takes_missing_joints)
        n = len(self.skeleton)
        self.model.eval()
        like = next(self.model.parameters(), torch.empty(0))  # ZeroDepth has none
        batch = batch or (8192 if like.is_cuda else 256)
        flat = self.normalisation.apply(at_least_float32(image.reshape(-1, n, 2)), self.skeleton)
        parts = [camera_pose(self.model, x.to(like)).cpu() for x in flat.split(batch)]
        lifted = torch.cat(parts) if parts else like.new_zeros(0, n, 3, device="cpu")
        if not lifted.isfinite().all():
            far = flat.nan_to_num(posinf=torch.inf).abs().max().item() / self.normalisation.factor
            raise ItesError(
                f"2D input: found a joint {far:.3g} from its root, too far for float32; expected image coordinates for "
                "focal length 1, where people are smaller than 1: see Intrinsics.to_image"
            )
        return lifted.reshape(*image.shape[:-1], 3)


def camera_pose(model: DictionaryModel | DepthStudent, image: Tensor) -> Tensor:
    """Root-relative 3D pose (B, N, 3) in the camera frame from normalised input (B, N, 2), units."""
    pose = model(image).camera if isinstance(model, DictionaryModel) else model(image)
    root = model.skeleton.root
    return pose - pose[:, root : root + 1]


def build_model(config: TeacherConfig | StudentConfig, skeleton: Skeleton) -> DictionaryModel | DepthStudent:
    """The network that a config describes, freshly initialised from torch's global generator."""
    return _teacher(config, skeleton) if isinstance(config, TeacherConfig) else _student(config, skeleton)


def _teacher(config: TeacherConfig, skeleton: Skeleton) -> DictionaryModel:
    if config.network == "c3dpo":
        return C3DPO(skeleton, config.atoms, config.width, config.bottleneck, config.blocks)
    return Teacher(
        skeleton,
        atoms=config.atoms,
        width=config.width,
        bottleneck=config.bottleneck,
        blocks=config.blocks,
        free_root=config.free_root_after is not None,
        features="agcn" if config.network == "agcn" else "resfc",
    )


def _student(config: StudentConfig, skeleton: Skeleton) -> DepthStudent:
    match config.network:
        case "agcn":
            return Student(skeleton, channels=config.channels, blocks=config.blocks, graph=config.graph)
        case "resfc":
            return ResFCStudent(skeleton, width=config.channels, blocks=config.blocks)
        case "semgcn":
            return SemGCNStudent(skeleton, channels=config.channels, blocks=config.blocks)
        case "mlp":
            return ResidualMLP(skeleton, width=config.channels, blocks=config.blocks, dropout=config.dropout)
        case "zero":
            return ZeroDepth(skeleton)
        case "mean":
            return MeanPose(skeleton)


class RunFolder:
    """Reads and writes one run folder; every write is atomic. Chapter 5."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.run_file = self.path / "run.json"
        self.model_file = self.path / "model.safetensors"
        self.state_file = self.path / "state.safetensors"
        self.log_file = self.path / "log.jsonl"

    def exists(self) -> bool:
        """Whether a run was started here."""
        return self.run_file.exists()

    @contextmanager
    def ours(self) -> Iterator[None]:
        """Keep other processes from training here for the length of a block; the folder is made if it is missing.

        Raises:
            ItesError: another process trains here, or the folder cannot be written to.
        """
        self._make()
        with alone(self.path / ".lock", self.path):
            tidy(self.path)
            yield

    def write(self, run: Run, optimiser: torch.optim.Optimizer | None) -> None:
        """Save everything. The log comes first: reading leaves out lines after the saved step, but cannot add any.

        Raises:
            ItesError: if the disk is full or the folder cannot be written; what was there stays.
        """
        weights, step = _tensors(run.model.state_dict()), {"step": str(run.step)}
        go_on = "the last checkpoint is kept: make room, then continue with --resume"
        self._make()
        with in_place(self.run_file, go_on) as file:
            file.write_text(json.dumps(describe(run), indent=1) + "\n", encoding="utf-8")
        with in_place(self.log_file, go_on) as file:
            file.write_text("".join(json.dumps(row) + "\n" for row in run.log), encoding="utf-8")
        if optimiser is not None:
            with in_place(self.state_file, go_on) as file:
                state = {f"model.{k}": v for k, v in weights.items()} | _optimiser_tensors(optimiser)
                file.write_bytes(save(state, step))  # save_file has temporaries of its own: a kill would leave them
        with in_place(self.model_file, go_on) as file:
            file.write_bytes(save(weights, step))

    def _make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ItesError(f"{self.path}: cannot be made ({reason(error)}); choose another folder") from error

    def read(self, device: torch.device | str = "cpu") -> Run:
        """Load the run for use.

        Raises:
            ItesError: no run here, damaged files, another format version, or weights that do not fit.
        """
        run = self._read_description()
        weights, step = self._read_tensors(self.model_file)
        self._load_weights(run.model, weights, self.model_file)
        run.step = step
        run.model.to(device).eval()
        run.log = self._read_log(step)
        return run

    def resume(self, run: Run, optimiser: torch.optim.Optimizer) -> None:
        """Bring a freshly built run and its optimiser to the saved state, in place.

        Raises:
            ItesError: as :meth:`read`; or the folder was started with other settings or data.
        """
        found = self._read_description()
        for what, ours, theirs in (
            ("settings", asdict(run.config), asdict(found.config)),
            ("seed", run.seed, found.seed),
            ("data", run.provenance.get("data_sha256"), found.provenance.get("data_sha256")),
            ("teacher", run.provenance.get("teacher_sha256"), found.provenance.get("teacher_sha256")),
            ("--stream", *(r.provenance.get("streamed", False) for r in (run, found))),  # it has batches of its own
        ):
            if ours != theirs:
                raise ItesError(
                    f"{self.path}: was started with other {what} ({_difference(theirs, ours)}); "
                    "resume with the same ones or train into another folder"
                )
        if not self.state_file.exists():
            return  # killed before the first checkpoint: start again from step 0
        tensors, step = self._read_tensors(self.state_file)
        weights = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
        self._load_weights(run.model, weights, self.state_file)
        _load_optimiser(optimiser, tensors, self.state_file)
        run.step = step
        run.log = self._read_log(step)
        run.provenance["seconds"] = found.provenance.get("seconds", 0.0)

    def agrees(self, step: int) -> bool:
        """Whether the weights are of the state's step: a kill between the two files leaves older ones, or none.

        Raises:
            ItesError: damaged weights.
        """
        return self.model_file.exists() and self._read_tensors(self.model_file)[1] == step

    def expect_run(self) -> None:
        """Raise ItesError where no run was started."""
        if not self.exists():
            raise ItesError(
                f"{self.path}: holds no run (run.json is missing); expected a folder that `ites train` wrote"
            )

    def _read_description(self) -> Run:
        self.expect_run()
        try:
            text = json.loads(self.run_file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ItesError(f"{self.run_file}: not readable ({error}); restore it or train again") from error
        return run_from(text, self.run_file)

    def _read_tensors(self, file: Path) -> tuple[dict[str, Tensor], int]:
        try:
            with safe_open(file, framework="pt") as tensors:
                step = int((tensors.metadata() or {}).get("step", "-1"))
                return {name: tensors.get_tensor(name) for name in tensors.keys()}, step  # noqa: SIM118
        except FileNotFoundError:
            raise ItesError(
                f"{file}: is missing; the run was interrupted before its first checkpoint, use --resume"
            ) from None
        except (SafetensorError, OSError, ValueError, RuntimeError) as error:
            raise ItesError(f"{file}: damaged ({error}); restore it or train again") from error

    @staticmethod
    def _load_weights(model: nn.Module, weights: Mapping[str, Tensor], file: Path) -> None:
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            last = str(error).splitlines()[-1].strip()
            raise ItesError(f"{file}: weights do not fit the settings in run.json ({last})") from error

    def _read_log(self, step: int) -> Log:
        """The log up to a step; lines after it, or a last line cut short, belong to a lost future."""
        rows: Log = []
        if self.log_file.exists():
            try:
                text = self.log_file.read_text(encoding="utf-8", errors="replace")
            except OSError as error:
                raise ItesError(f"{self.log_file}: not readable ({reason(error)}); restore it or delete it") from error
            for line in text.splitlines():
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):
                    break
                if isinstance(row, dict) and isinstance(row.get("step"), int) and row["step"] <= step:
                    rows.append(row)
        return rows


def run_from(text: Any, file: Path) -> Run:
    """A run as :func:`describe` describes it, its network freshly initialised.

    Args:
        text: what was read from JSON.
        file: where it was read from, for messages.

    Raises:
        ItesError: another format version, or a field that is missing or wrong.
    """
    if not isinstance(text, dict) or text.get("format") != FORMAT:
        found = text.get("format") if isinstance(text, dict) else type(text).__name__
        raise ItesError(
            f"{file}: format version {found!r}, this ites_core reads version {FORMAT}; "
            "use the ites_core that wrote it, or train again"
        )
    try:
        kinds: dict[str, type[TeacherConfig] | type[StudentConfig]] = {
            "teacher": TeacherConfig,
            "student": StudentConfig,
        }
        config: TeacherConfig | StudentConfig = validate(kinds[text["stage"]], text["config"])
        skeleton = skeleton_named(text["skeleton"])
        numbers = {k: float(v) for k, v in text["normalisation"].items() if v is not None}
        normalisation = Normalisation(**numbers)
        seed, provenance = int(text["seed"]), dict(text["provenance"])
        _check_size(config, skeleton)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
        raise ItesError(f"{file}: field missing or of the wrong kind ({error})") from error
    return Run(build_model(config, skeleton), config, normalisation, skeleton, seed, 0, provenance)


def _check_size(config: TeacherConfig | StudentConfig, skeleton: Skeleton) -> None:
    """Raise ItesError if the network would be too large for any run of ours; none is built for that."""
    if config.blocks <= MAX_BLOCKS:
        with torch.device("meta"):
            model = build_model(config, skeleton)
        if sum(t.numel() for t in model.state_dict().values()) <= MAX_NUMBERS:
            return
    raise ItesError(f"config: a network of more than {MAX_BLOCKS} blocks or {MAX_NUMBERS:,} numbers")


def describe(run: Run) -> dict[str, Any]:
    """What a run is, as JSON; the weights and the log apart."""
    return {
        "format": FORMAT,
        "stage": run.stage,
        "config": asdict(run.config),
        "skeleton": run.skeleton.name,
        "normalisation": asdict(run.normalisation),
        "seed": run.seed,
        "provenance": run.provenance,
    }


def _tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k: v.detach().cpu().contiguous() for k, v in state.items()}


def _optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimiser.state_dict()["state"]
    return _tensors({f"optimiser.{i}.{k}": v for i, s in state.items() for k, v in s.items() if v is not None})


def _load_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor], file: Path) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    try:
        for name, tensor in tensors.items():
            if name.startswith("optimiser."):
                _, index, key = name.split(".", 2)
                state.setdefault(int(index), {})[key] = tensor
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        raise ItesError(f"{file}: optimiser state does not fit ({error}); train again") from error


def _difference(found: Any, given: Any) -> str:
    if isinstance(found, dict) and isinstance(given, dict):
        return ", ".join(f"{k}: {found.get(k)!r} there, {v!r} now" for k, v in given.items() if found.get(k) != v)
    return f"{str(found)[:12]!r} there, {str(given)[:12]!r} now"
