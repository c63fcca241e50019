"""The mocap archive: many recordings of 3D joints in one npz file without pickles (chapter 1).

An archive holds ``positions`` float32 (frames, N, 3) in metres, right-handed, y up. Sequence i is
``positions[starts[i] : starts[i] + lengths[i]]``; per sequence it names the recording, subject,
action, frame rate, kind of source and split.
"""

from __future__ import annotations

import hashlib
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from ites_core.errors import ItesError
from ites_core.files import in_place
from ites_core.skeleton import H36M17, SKELETONS, Skeleton

Split = Literal["train", "val", "test", "all"]

TEXT_FIELDS = ("names", "subject", "action", "kind", "split")
HOLD_OUT = 0.1  # at most this share of the training frames is held out for validation
MAX_BYTES = 4 << 30  # an archive that unpacks to more is refused
DEFLATE_LIMIT = 1100  # no honest deflate stream expands further (its bound is 1032:1)
PACKED_BY = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # bzip2 would pack a gigabyte into a kilobyte

# What reading a zip file, and the header of an array in it, can raise if they are damaged.
ZIP_DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError,
)  # fmt: skip
HEADER_DAMAGE = (
    ValueError, TypeError, KeyError, IndexError, SyntaxError, OverflowError, MemoryError, RecursionError,
    tokenize.TokenError,
)  # fmt: skip


@dataclass(frozen=True)
class MocapArchive:
    """Recordings of one joint set, validated (chapter 1).

    Attributes:
        positions: (F, N, 3) float32, metres, world frame, y up.
        starts, lengths: first frame and number of frames of each sequence.
        names, subject, action, kind, split: one string a sequence.
        fps: frames a second of each sequence.
        skeleton: the joint set.
        source: where the archive came from, for messages and provenance.
    """

    positions: Tensor
    starts: tuple[int, ...]
    lengths: tuple[int, ...]
    names: tuple[str, ...]
    subject: tuple[str, ...]
    action: tuple[str, ...]
    kind: tuple[str, ...]
    split: tuple[str, ...]
    fps: tuple[float, ...]
    skeleton: Skeleton = H36M17
    source: str = "memory"

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def frames(self) -> int:
        """Total number of frames in the archive's sequences."""
        return sum(self.lengths)

    def sequence(self, index: int) -> Tensor:
        """Joint positions of one sequence, (frames, N, 3), metres."""
        start = self.starts[index]
        return self.positions[start : start + self.lengths[index]]

    def checksum(self) -> str:
        """SHA-256 over the sequences' names and coordinates, for provenance."""
        digest = hashlib.sha256()
        for i, name in enumerate(self.names):
            digest.update(name.encode())
            digest.update(self.sequence(i).contiguous().numpy().tobytes())
        return digest.hexdigest()

    def take(self, indices: Sequence[int]) -> MocapArchive:
        """The archive restricted to some sequences; positions are shared, not copied."""
        pick = list(indices)
        fields: dict[str, Any] = {
            name: tuple(getattr(self, name)[i] for i in pick) for name in ("starts", "lengths", "fps", *TEXT_FIELDS)
        }
        return replace(self, **fields)

    def part(self, split: Split) -> MocapArchive:
        """One split: ``test`` as stored, ``train`` and ``val`` by holding out training subjects.

        Validation never touches test subjects: whole training subjects (whole sequences where there
        are fewer than three subjects) are held out, in an order fixed by a hash of their names, up to
        a tenth of the training frames.

        Raises:
            ItesError: if the split is empty.
        """
        if split == "all":
            return self
        return self.take(choose_split(split, self.split, self.subject, self.names, self.lengths, self.source))


def held_out(train: Sequence[int], subject: Sequence[str], names: Sequence[str], lengths: Sequence[int]) -> set[int]:
    """Sequences that validation takes from the training part: whole subjects, at most a tenth of the frames.

    Args:
        train: indices of the training sequences.
        subject, names, lengths: of all sequences.

    Returns:
        Indices out of ``train``, in an order fixed by a hash of the subjects' names (the sequences' where there are
        fewer than three subjects).
    """
    group = subject if len({subject[i] for i in train}) >= 3 else names
    members: dict[str, list[int]] = {}
    for i in train:
        members.setdefault(group[i], []).append(i)
    budget = HOLD_OUT * sum(lengths[i] for i in train)
    chosen: set[int] = set()
    for name in sorted(members, key=lambda n: (zlib.crc32(n.encode()), n)):
        cost = sum(lengths[i] for i in members[name])
        if cost <= budget:
            chosen.update(members[name])
            budget -= cost
    if not chosen and len(members) > 1:  # every group is larger than a tenth: give up the smallest
        smallest = min(members, key=lambda n: (sum(lengths[i] for i in members[n]), n))
        chosen.update(members[smallest])
    return chosen


def choose_split(
    wanted: Split,
    split: Sequence[str],
    subject: Sequence[str],
    names: Sequence[str],
    lengths: Sequence[int],
    source: str,
) -> list[int]:
    """Indices of the sequences of one split, see :meth:`MocapArchive.part`.

    Raises:
        ItesError: if the split is empty.
    """
    if wanted == "all":
        return list(range(len(split)))
    if wanted == "test":
        chosen = [i for i, s in enumerate(split) if s == "test"]
    else:
        train = [i for i, s in enumerate(split) if s == "train"]
        kept_back = held_out(train, subject, names, lengths)
        chosen = [i for i in train if (i in kept_back) == (wanted == "val")]
    if not chosen:
        found = ", ".join(sorted(set(split))) or "none"
        raise ItesError(
            f"{source}: split {wanted!r} holds no sequence (splits in the file: {found}); "
            "choose another split or another file"
        )
    return chosen


def save_archive(archive: MocapArchive, path: str | Path) -> None:
    """Write an archive as a compressed npz, atomically.

    Raises:
        ItesError: if the file cannot be written (no such folder, read-only, disk full).
    """
    path = Path(path)
    positions = torch.cat([archive.sequence(i) for i in range(len(archive))]).numpy().astype(np.float32)
    with in_place(path) as beside, beside.open("wb") as file:
        np.savez_compressed(file, positions=positions, **fields_of(archive))  # type: ignore[arg-type]


def fields_of(archive: MocapArchive) -> dict[str, np.ndarray]:
    """The arrays that stand beside the positions in a file, whose sequences follow each other."""
    texts = {f: np.array(getattr(archive, f)) for f in TEXT_FIELDS}
    return {
        "starts": np.cumsum([0, *archive.lengths[:-1]], dtype=np.int64),
        "lengths": np.array(archive.lengths, dtype=np.int64),
        "fps": np.array(archive.fps, dtype=np.float32),
        "joints": np.array(archive.skeleton.joints),
        "parents": np.array(archive.skeleton.parents, dtype=np.int64),
        "units": np.array("m"),
        "up_axis": np.array("y"),
        **texts,
    }


def load_archive(path: str | Path) -> MocapArchive:
    """Read and validate a mocap archive; no pickle is ever loaded.

    Raises:
        ItesError: missing, truncated or oversized file, object arrays, missing or inconsistent
            fields, unknown joint set, NaN or infinite coordinates. The message names file and place.
    """
    path = Path(path)
    arrays = _read_npz(path)
    positions = _field(arrays, path, "positions", "f", 3)
    about = described(arrays, path, positions.shape)
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
        positions = positions.astype(np.float32, copy=False)
    check_finite(positions, range(len(positions)), path)
    return MocapArchive(positions=torch.from_numpy(positions), **about)


def check_finite(positions: np.ndarray, frames: Sequence[int], source: str | Path) -> None:
    """Raise ItesError unless all coordinates (F, N, 3) are finite; ``frames`` are their numbers in the source."""
    if not np.isfinite(positions).all():
        frame = frames[int(np.argwhere(~np.isfinite(positions))[0][0])]
        raise ItesError(f"{source}: positions: NaN or infinite coordinate at frame {frame}; repair or drop the frame")


def described(arrays: dict[str, np.ndarray], path: Path, shape: tuple[int, ...]) -> dict[str, Any]:
    """All that an archive says of its positions, checked: the other fields of :class:`MocapArchive`.

    Args:
        arrays: of the file, by name.
        path: of the file.
        shape: of its positions.

    Raises:
        ItesError: as :func:`load_archive`.
    """
    joints = tuple(str(j) for j in _field(arrays, path, "joints", "U", 1))
    skeleton = next((s for s in SKELETONS.values() if s.joints == joints), None)
    if skeleton is None:
        raise ItesError(
            f"{path}: joints: found {len(joints)} joints ({', '.join(joints[:4])}, ...), expected one of "
            + ", ".join(f"{s.name} ({len(s)} joints)" for s in SKELETONS.values())
        )
    if len(shape) != 3 or shape[1:] != (len(skeleton), 3):
        raise ItesError(f"{path}: positions: found shape {shape}, expected (frames, {len(skeleton)}, 3)")
    if tuple(_field(arrays, path, "parents", "iu", 1).tolist()) != skeleton.parents:
        raise ItesError(f"{path}: parents: differ from those of joint set {skeleton.name}")
    for name, expected in (("units", "m"), ("up_axis", "y")):
        found = str(_field(arrays, path, name, "U", 0))
        if found != expected:
            raise ItesError(f"{path}: {name}: found {found!r}, expected {expected!r}; convert the archive")
    starts = _field(arrays, path, "starts", "iu", 1)
    lengths = _field(arrays, path, "lengths", "iu", 1)
    fps = _field(arrays, path, "fps", "f", 1)
    texts = {f: tuple(str(t) for t in _field(arrays, path, f, "U", 1)) for f in TEXT_FIELDS}
    sizes = {"starts": len(starts), "lengths": len(lengths), "fps": len(fps)} | {f: len(t) for f, t in texts.items()}
    if len(set(sizes.values())) != 1:
        raise ItesError(f"{path}: per-sequence fields have different lengths: {sizes}")
    if len(starts) == 0:
        raise ItesError(f"{path}: the archive holds no sequence")
    for i, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):  # Python integers
        if start < 0 or length < 1 or start + length > shape[0]:
            raise ItesError(
                f"{path}: sequence {i}: frames {start} to {start + length} are not within the {shape[0]} stored"
            )
    if not (np.isfinite(fps).all() and (fps > 0).all()):
        raise ItesError(f"{path}: fps: expected positive numbers")
    return {
        "starts": tuple(starts.tolist()),
        "lengths": tuple(lengths.tolist()),
        "fps": tuple(fps.tolist()),
        "skeleton": skeleton,
        "source": str(path),
        **texts,
    }


def _read_npz(path: Path, leave_out: str = "") -> dict[str, np.ndarray]:
    """All members of an npz but one as arrays, refusing objects, lies about size and damaged files."""
    with readable(path), zipfile.ZipFile(path) as archive:
        arrays = {}
        for member in members(archive, path, leave_out):
            with archive.open(member) as stream:
                name = member.filename.removesuffix(".npy")
                arrays[name] = _read_npy(stream, member.file_size, path, name)
        return arrays


def members(archive: zipfile.ZipFile, path: Path, leave_out: str = "") -> list[zipfile.ZipInfo]:
    """The members of an npz but one, after a look at what they claim: a small file must not take much memory.

    Raises:
        ItesError: they unpack to more than MAX_BYTES, share bytes, are packed otherwise than numpy does, or claim to
            be larger than deflate can have made them.
    """
    everything = archive.infolist()
    if sum(m.compress_size for m in everything) > path.stat().st_size:
        raise ItesError(f"{path}: its members are larger than the file, so they share bytes; refused")
    for member in everything:
        if member.compress_type not in PACKED_BY:
            raise ItesError(
                f"{path}: {member.filename}: packed by method {member.compress_type}, expected numpy's, 0 or 8; refused"
            )
        if member.file_size > DEFLATE_LIMIT * max(member.compress_size, 1):
            raise ItesError(f"{path}: {member.filename}: declares an impossible size; refused")
    wanted = [m for m in everything if m.filename != leave_out]
    if sum(m.file_size for m in wanted) > MAX_BYTES:
        raise ItesError(
            f"{path}: unpacks to more than {MAX_BYTES >> 30} GiB; refused; "
            "to train on it, `ites data unpack` it and add --stream"
        )
    return wanted


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """What can go wrong with an npz file, as one clear error.

    Raises:
        ItesError: no such file, a folder, a damaged or truncated file.
    """
    try:
        yield
    except ItesError:
        raise
    except FileNotFoundError:
        raise ItesError(f"{path}: no such file; expected a mocap archive (.npz), see `ites data info --help`") from None
    except IsADirectoryError:
        raise ItesError(f"{path}: is a folder; expected a mocap archive (.npz)") from None
    except ZIP_DAMAGE as error:
        raise ItesError(f"{path}: not a readable npz file ({error}); it may be truncated, fetch it again") from error


def _read_npy(stream: IO[bytes], size: int, path: Path, name: str) -> np.ndarray:
    """One npy member whose header agrees with its size, so that a small file cannot claim much memory."""
    shape, fortran, dtype = read_header(stream, size, path, name)
    count = math.prod(shape)
    try:
        data = np.frombuffer(stream.read(count * dtype.itemsize), dtype=dtype, count=count).copy()
        array = data.reshape(shape, order="F" if fortran else "C")
    except (ValueError, OverflowError) as error:
        raise ItesError(f"{path}: {name}: not a readable array ({error}); fetch the file again") from error
    if dtype.kind == "U":
        codes = data.view(f"{dtype.str[0]}u4")
        if ((codes > 0x10FFFF) | (codes >> 11 == 0xD800 >> 11)).any():
            raise ItesError(f"{path}: {name}: holds text that is no Unicode; fetch the file again")
    return array


def read_header(
    stream: IO[bytes], size: int, path: Path, name: str, objects: bool = False
) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, Fortran order and type that an npy member claims; the stream then stands at its data.

    Args:
        stream: at the start of the member.
        size: bytes of the member.
        path, name: for messages.
        objects: let arrays of Python objects pass, for a reader that never runs them.

    Raises:
        ItesError: no npy header, Python objects, or a claim to more than the member has.
    """
    try:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except HEADER_DAMAGE as error:
        raise ItesError(f"{path}: {name}: not a readable array ({error}); fetch the file again") from error
    if dtype.hasobject and objects:
        return shape, fortran, dtype
    if dtype.hasobject:
        raise ItesError(f"{path}: {name}: holds Python objects (a pickle); only plain arrays are read")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > size:
        raise ItesError(f"{path}: {name}: header claims shape {shape}, the data is shorter; the file is damaged")
    return shape, fortran, dtype


def is_unicode(texts: Iterable[str]) -> bool:
    """Whether texts can be written to a file; JSON and pickles may hold halves of characters, which cannot."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True


def _field(arrays: dict[str, np.ndarray], path: Path, name: str, kinds: str, ndim: int) -> np.ndarray:
    """The named array, checked for kind of number (numpy's one-letter codes) and number of axes."""
    if name not in arrays:
        raise ItesError(f"{path}: field {name!r} is missing; found {', '.join(sorted(arrays)) or 'nothing'}")
    array = arrays[name]
    if array.dtype.kind not in kinds or array.ndim != ndim:
        raise ItesError(
            f"{path}: {name}: found {array.dtype} with {array.ndim} axes, expected kind {kinds!r} with {ndim}"
        )
    return array
