"""Archives that stay in their file: more data than memory (chapter 5).

An ``.npz`` file is a zip of arrays. Where it is not compressed, the positions lie in it as they would in memory, and
the operating system lends them out page by page. What has been read is given back soon, so memory does not grow with
the data.
"""

from __future__ import annotations

import math
import mmap
import os
import struct
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from ites_core.data.archive import (
    MocapArchive,
    _read_npz,
    check_finite,
    described,
    read_header,
    readable,
)
from ites_core.errors import ItesError
from ites_core.files import in_place

MEMBER = "positions.npy"
LENT = 32 << 20  # bytes of pages after which all are given back
CLUSTER = 1 << 16  # bytes that come at once when a single place is read
CHUNK = 1 << 16  # frames that are copied at once


class Pages:
    """A file that is mapped into memory, read-only.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.lent = 0
        self.scattered = False

    def about_to_read(self, size: int, scattered: bool) -> None:
        """Give pages back if many are lent out, and say in which order the next ones are wanted.

        Args:
            size: bytes that will be read.
            scattered: here and there, so that reading ahead is in vain.
        """
        if not hasattr(self.map, "madvise"):  # not on Windows, which manages alone
            return
        if scattered != self.scattered:
            self.map.madvise(mmap.MADV_RANDOM if scattered else mmap.MADV_NORMAL)
            self.scattered = scattered
        self.lent += size
        if self.lent > LENT:
            self.map.madvise(mmap.MADV_DONTNEED)
            self.lent = size


@dataclass(frozen=True)
class MappedArchive(MocapArchive):
    """An archive whose positions are read from its file when they are asked for, and checked then. Chapter 5.

    ``positions`` is read-only and counts as memory when it is used; :meth:`sequence` and :meth:`frames_at` give copies.

    Attributes:
        pages: of the file.
    """

    pages: Pages | None = None

    def sequence(self, index: int) -> Tensor:
        """Joint positions of one sequence, (frames, N, 3), metres.

        Raises:
            ItesError: a coordinate that is not finite.
        """
        start, length = self.starts[index], self.lengths[index]
        return self._read(slice(start, start + length), range(start, start + length), scattered=False)

    def frames_at(self, frames: np.ndarray) -> Tensor:
        """Single frames, anywhere in the file.

        Args:
            frames: (B,) int64, numbers of stored frames.

        Returns:
            (B, N, 3) metres.

        Raises:
            ItesError: a coordinate that is not finite.
        """
        most = LENT // CLUSTER  # at once
        parts = [frames[i : i + most] for i in range(0, max(len(frames), 1), most)]
        return torch.cat([self._read(part, part.tolist(), scattered=True) for part in parts])

    def _read(self, where: slice | np.ndarray, frames: Sequence[int], scattered: bool) -> Tensor:
        assert self.pages is not None
        self.pages.about_to_read(len(frames) * (CLUSTER if scattered else 12 * len(self.skeleton)), scattered)
        found = np.array(self.positions.numpy()[where])
        check_finite(found, frames, self.source)
        return torch.from_numpy(found)


def map_archive(path: str | Path) -> MappedArchive:
    """Open an archive without reading its positions.

    Raises:
        ItesError: the positions are compressed, or stored in another form than float32; else as
            :func:`ites_core.data.archive.load_archive`, but coordinates are checked only when they are read.
    """
    path = Path(path)
    arrays = _read_npz(path, leave_out=MEMBER)
    with readable(path), zipfile.ZipFile(path) as archive, path.open("rb") as file:
        member = _member(archive, path)
        if member.compress_type != zipfile.ZIP_STORED:
            raise ItesError(
                f"{path}: is compressed and cannot be read in place; `ites data unpack {path} --out FILE` writes an "
                "archive that can"
            )
        shape, offset = _locate(file, member, path)
    about = described(arrays, path, shape)
    pages = Pages(path)
    positions = np.frombuffer(pages.map, "<f4", shape[0] * shape[1] * shape[2], offset).reshape(shape)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return MappedArchive(positions=torch.from_numpy(positions), pages=pages, **about)


def unpack(source: str | Path, out: str | Path) -> tuple[int, int]:
    """Copy an archive into one that :func:`map_archive` can open, a piece at a time. Returns sequences and frames.

    Raises:
        ItesError: as :func:`ites_core.data.archive.load_archive`; or ``out`` cannot be written.
    """
    source = Path(source)
    arrays = _read_npz(source, leave_out=MEMBER)
    with readable(source), zipfile.ZipFile(source) as archive:
        member = _member(archive, source)
        with archive.open(member) as stream:
            shape, fortran, dtype = read_header(stream, member.file_size, source, MEMBER)
            about = described(arrays, source, shape)
            if fortran or dtype.kind != "f":
                raise ItesError(
                    f"{source}: {MEMBER}: found {dtype} in order {'F' if fortran else 'C'}, expected floats in C"
                )
            write_frames(out, shape, _pieces(stream, shape, dtype, source), arrays)
    return len(about["names"]), shape[0]


def write_frames(
    out: str | Path, shape: tuple[int, ...], pieces: Iterable[np.ndarray], arrays: Mapping[str, np.ndarray]
) -> None:
    """Write an archive that is not compressed, frame by frame, atomically.

    Args:
        out: the file.
        shape: (F, N, 3) of the positions.
        pieces: arrays (some frames, N, 3), F frames in all.
        arrays: the other fields, as :func:`ites_core.data.archive.fields_of` gives them.

    Raises:
        ItesError: if the file cannot be written.
    """
    out = Path(out)
    with in_place(out) as beside, zipfile.ZipFile(beside, "w") as archive:
        with archive.open(MEMBER, "w", force_zip64=True) as file:
            npy.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
            for piece in pieces:
                file.write(piece.astype("<f4", order="C", copy=False).tobytes())
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                npy.write_array(file, array, allow_pickle=False)


def _member(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    try:
        return archive.getinfo(MEMBER)
    except KeyError:
        found = ", ".join(archive.namelist()) or "nothing"
        raise ItesError(f"{path}: field 'positions' is missing; found {found}") from None


def _locate(file: IO[bytes], member: zipfile.ZipInfo, path: Path) -> tuple[tuple[int, ...], int]:
    """Shape of the positions, and at which byte of the file they begin."""
    file.seek(member.header_offset)
    header = file.read(30)  # of the zip member; its last two numbers say how long the name and an extra field are
    if len(header) < 30 or header[:4] != b"PK\x03\x04" or member.flag_bits & 1:
        raise ItesError(f"{path}: {MEMBER}: not where the file says, or encrypted; fetch the file again")
    file.seek(sum(struct.unpack("<HH", header[26:])), os.SEEK_CUR)
    begin = file.tell()
    shape, fortran, dtype = read_header(file, member.file_size, path, MEMBER)
    if dtype != np.dtype("<f4") or fortran:
        raise ItesError(
            f"{path}: positions: found {dtype}{' in Fortran order' if fortran else ''}, expected float32 row by row; "
            f"`ites data unpack {path} --out FILE` writes that"
        )
    end = file.tell() + 4 * math.prod(shape)
    if end > min(begin + member.file_size, os.fstat(file.fileno()).st_size):
        raise ItesError(f"{path}: positions: header claims shape {shape}, the data is shorter; the file is damaged")
    return shape, file.tell()


def _pieces(stream: IO[bytes], shape: tuple[int, ...], dtype: np.dtype, path: Path) -> Iterator[np.ndarray]:
    """The positions of a member, some frames at a time, checked."""
    frame = shape[1] * shape[2] * dtype.itemsize
    for start in range(0, shape[0], CHUNK):
        count = min(CHUNK, shape[0] - start)
        data = stream.read(count * frame)
        if len(data) < count * frame:
            raise ItesError(f"{path}: positions: ends at frame {start + len(data) // frame}; the file is damaged")
        piece = np.frombuffer(data, dtype).reshape(count, *shape[1:]).astype(np.float32)
        check_finite(piece, range(start, start + count), path)
        yield piece
