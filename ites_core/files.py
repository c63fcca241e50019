"""Files that nobody ever meets half-written, and folders that one process at a time writes to (chapter 5)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ites_core.errors import ItesError


@contextmanager
def in_place(file: Path, otherwise: str = "make room, or choose another folder") -> Iterator[Path]:
    """A path beside a file to write to; what stands there at the end of the block is moved to the file.

    Whatever goes wrong, even a power cut, the file is the old one or the new one. What a killed process leaves behind
    is hidden and has its number in its name: two processes never write to the same one.

    Args:
        file: where the content shall stand.
        otherwise: what the message says to do if it cannot be written.

    Raises:
        ItesError: no such folder, a folder that is read-only, a full disk; the file is what it was.
    """
    temporary = file.parent / f".{os.getpid()}.{file.name}"  # keeps the suffix, by which some writers choose the format
    try:
        yield temporary
        with temporary.open("r+b") as written:
            os.fsync(written.fileno())  # before the move, or a power cut leaves an empty file of that name
        temporary.replace(file)
    except OSError as error:
        raise ItesError(f"{file}: cannot be written ({reason(error)}); {otherwise}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def reason(error: BaseException) -> str:
    """What the operating system says, without its number and path, which the message has elsewhere."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def tidy(folder: Path) -> None:
    """Delete what killed processes left of :func:`in_place`; for a folder that is ours alone, see :func:`alone`."""
    for left in folder.glob(".*"):
        if left.name.split(".")[1].isdigit() and left.is_file():
            left.unlink(missing_ok=True)


@contextmanager
def alone(lock: Path, what: Path) -> Iterator[None]:
    """Keep other processes away for the length of a block.

    The operating system holds the lock and takes it back when the process ends, however it ends: a file that a killed
    process leaves behind locks nobody out.

    Args:
        lock: file to lock; its folder exists. It holds the number of the process, for the message.
        what: what it protects, for the message.

    Raises:
        ItesError: another process (or another part of this one) is at work here, or the folder cannot be written to.
    """
    held = FileLock(lock, timeout=0)
    try:
        held.acquire()
    except Timeout:
        with suppress(OSError):
            if number := lock.read_text(encoding="ascii", errors="replace").strip():
                raise ItesError(f"{what}: in use by process {number}; wait until it ends, or stop it") from None
        raise ItesError(f"{what}: in use by another process; wait until it ends, or stop it") from None
    except (OSError, NotImplementedError) as error:
        raise ItesError(f"{what}: cannot be written ({reason(error)}); choose another folder") from error
    try:
        with suppress(OSError):  # a full disk, or Windows, where a locked file is not written to by its name
            lock.write_text(f"{os.getpid()}\n", encoding="ascii")
        yield
    finally:
        with suppress(OSError):
            lock.unlink(missing_ok=True)  # while it is held: who comes next finds none, or sees that it is gone
        held.release()
