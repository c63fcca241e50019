"""Reading the npz files of the field that hold pickled dictionaries, without running a pickle (chapter 5).

``numpy.savez(file, positions_3d={...})`` stores a pickle, and a pickle is a small program: ``numpy.load`` with
``allow_pickle=True`` lets whoever wrote the file run anything here. The files only hold dictionaries, lists and arrays,
so this module steps through the pickle itself. It knows the instructions that build those and five names of numpy,
which it never imports: it builds the arrays with its own checks. Every other name and instruction is refused.
"""

from __future__ import annotations

import pickletools
import re
import zipfile
from collections.abc import Callable
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ites_core.data.archive import HEADER_DAMAGE, ZIP_DAMAGE, _read_npy, members, read_header
from ites_core.errors import ItesError

MAX_STEPS = 1_000_000  # instructions in one pickle: Human3.6M needs some tens of thousands
MAX_DEPTH = 64  # containers within containers
PLAIN_TYPE = re.compile(r"b1|[iu][1248]|f[248]|c(8|16)|[SU][0-9]{1,6}|O8?")

# numpy 1 and numpy 2 name the same functions differently.
NAMES = {
    "numpy.core.multiarray _reconstruct": "array",
    "numpy._core.multiarray _reconstruct": "array",
    "numpy.core.multiarray scalar": "scalar",
    "numpy._core.multiarray scalar": "scalar",
    "numpy.core.numeric _frombuffer": "frombuffer",
    "numpy._core.numeric _frombuffer": "frombuffer",
    "numpy ndarray": "ndarray",
    "numpy dtype": "dtype",
    "_codecs encode": "latin1",  # how Python 3 writes bytes in protocol 2,
    "__builtin__ bytes": "empty",  # and no bytes
}


class _Name:
    """One of the admitted names, standing on the stack instead of what it names."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


class _Pending:
    """An array or dtype between the instruction that creates it and the one that fills it."""

    def __init__(self, kind: str, code: str = "") -> None:
        self.kind, self.code = kind, code
        self.memo: list[int] = []  # where the pickle has noted it for later use


class _Refused(Exception):  # noqa: N818 - never leaves the module
    """The pickle does what it may not; becomes an ItesError that names file and member."""


def load_pickled_npz(path: str | Path) -> dict[str, Any]:
    """The members of an npz file, also where they are pickled dictionaries, lists and arrays. Chapter 5.

    Reads pickle protocols 2 to 5 as numpy 1 and numpy 2 write them; byte strings of Python 2 become ``str`` (latin-1).
    Nothing in the file is executed, whatever it holds.

    Args:
        path: an npz file.

    Returns:
        Member name to value: an array, or what an object array without axes holds (``dict``, ``list``, ...). Arrays
        may be read-only, and share memory with the file's bytes.

    Raises:
        ItesError: missing, damaged or oversized file; a pickle that asks for any other name than those in
            :data:`NAMES` (it is quoted), does anything but build plain data, or claims more than the file holds.

    Source: the pickle protocols 2 to 5 as Python's ``pickletools`` documents them.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            values = {}
            for member in members(archive, path):
                name = member.filename.removesuffix(".npy")
                values[name] = _read_member(archive.read(member), path, name)
            return values
    except ItesError:
        raise
    except FileNotFoundError:
        raise ItesError(f"{path}: no such file; `ites data list` says how to get the data sets") from None
    except IsADirectoryError:
        raise ItesError(f"{path}: is a folder; expected an npz file") from None
    except ZIP_DAMAGE as error:
        raise ItesError(f"{path}: not a readable npz file ({error}); it may be truncated, fetch it again") from error


def _read_member(raw: bytes, path: Path, name: str) -> Any:
    """One npy member: a plain array, or the object array that its pickle describes."""
    stream = BytesIO(raw)
    shape, _, dtype = read_header(stream, len(raw), path, name, objects=True)
    if not dtype.hasobject:
        return _read_npy(BytesIO(raw), len(raw), path, name)
    try:
        value = _Machine(stream, len(raw)).run()
    except _Refused as error:
        raise ItesError(f"{path}: {name}: refused: {error}; fetch the file from its source") from error
    except HEADER_DAMAGE as error:
        raise ItesError(f"{path}: {name}: damaged pickle ({error!r:.80}); fetch the file again") from error
    if not isinstance(value, np.ndarray) or value.dtype != dtype or value.shape != shape:
        raise ItesError(f"{path}: {name}: the pickle holds something else than its header says; fetch the file again")
    return value.item() if value.ndim == 0 else value


class _Machine:
    """Steps through one pickle: a stack, the marks on it, and a memo of what is used again."""

    def __init__(self, stream: BytesIO, size: int) -> None:
        self.stream = stream
        self.budget = 4 * size + 65536  # bytes that may be built beyond those that the pickle spells out
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.depth: dict[int, int] = {}  # id of a container: how deeply it nests
        self.kept: list[Any] = []  # keeps those ids from being used again
        self.placed: set[int] = set()  # containers that stand in another one, hence are complete
        self.pending = 0

    def run(self) -> Any:
        steps: dict[str, Callable[[Any], None]] = {
            **dict.fromkeys(("PROTO", "FRAME"), lambda arg: None),
            **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"), self.push),
            **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), self.push),
            **dict.fromkeys(("BINSTRING", "SHORT_BINSTRING"), self.push),  # Python 2; decoded as latin-1
            **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"), self.push),
            "NONE": lambda arg: self.push(None),
            "NEWTRUE": lambda arg: self.push(True),
            "NEWFALSE": lambda arg: self.push(False),
            "EMPTY_DICT": lambda arg: self.container({}, ()),
            "EMPTY_LIST": lambda arg: self.container([], ()),
            "EMPTY_TUPLE": lambda arg: self.push(()),
            "MARK": lambda arg: self.marks.append(len(self.stack)),
            "TUPLE": lambda arg: self.make_tuple(self.since_mark()),
            "TUPLE1": lambda arg: self.make_tuple(self.pop(1)),
            "TUPLE2": lambda arg: self.make_tuple(self.pop(2)),
            "TUPLE3": lambda arg: self.make_tuple(self.pop(3)),
            "APPEND": lambda arg: self.extend(self.pop(1)),
            "APPENDS": lambda arg: self.extend(self.since_mark()),
            "SETITEM": lambda arg: self.set_items(self.pop(2)),
            "SETITEMS": lambda arg: self.set_items(self.since_mark()),
            **dict.fromkeys(("BINPUT", "LONG_BINPUT"), self.remember),
            "MEMOIZE": lambda arg: self.remember(len(self.memo)),
            **dict.fromkeys(("BINGET", "LONG_BINGET"), self.recall),
            "GLOBAL": self.name,
            "STACK_GLOBAL": lambda arg: self.stack_name(*self.pop(2)),
            "REDUCE": lambda arg: self.reduce(*self.pop(2)),
            "BUILD": lambda arg: self.build(*self.pop(2)),
        }
        for count, (opcode, arg, _) in enumerate(pickletools.genops(self.stream)):
            if count >= MAX_STEPS:
                raise _Refused(f"pickle of more than {MAX_STEPS} instructions")
            if opcode.name == "STOP":
                break
            if opcode.name not in steps:
                raise _Refused(f"pickle instruction {opcode.name}, which plain data does not need")
            steps[opcode.name](arg)
        (value,) = self.stack
        if self.marks or self.pending:
            raise _Refused("pickle that ends before all is built")
        return value

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self, count: int) -> list[Any]:
        if len(self.stack) - (self.marks[-1] if self.marks else 0) < count:
            raise _Refused("pickle that takes more than it has put down")
        taken = self.stack[-count:]
        del self.stack[-count:]
        return taken

    def since_mark(self) -> list[Any]:
        taken = self.stack[self.marks[-1] :]
        del self.stack[self.marks.pop() :]
        return taken

    def container(self, value: Any, items: list[Any] | tuple[Any, ...]) -> None:
        """Put a container on the stack, knowing how deeply it nests."""
        self.kept.append(value)
        self.nest(value, items)
        self.push(value)

    def nest(self, value: Any, items: list[Any] | tuple[Any, ...]) -> None:
        deepest = max((self.depth.get(id(item), 0) for item in items), default=0) + 1
        self.depth[id(value)] = max(deepest, self.depth.get(id(value), 0))
        self.placed.update(id(item) for item in items if id(item) in self.depth)
        if deepest > MAX_DEPTH:
            raise _Refused(f"data nested more than {MAX_DEPTH} deep")
        if id(value) in self.placed:  # else depth would be wrong, and a list could hold itself
            raise _Refused("pickled data that changes after it was put into other data")

    def spend(self, size: int) -> None:
        """A pickle may name one value many times; copies of it must not outgrow the file."""
        self.budget -= size
        if self.budget < 0:
            raise _Refused("pickle that builds far more than the file holds")

    def make_tuple(self, items: list[Any]) -> None:
        self.container(tuple(items), items)

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise _Refused(f"pickle that appends to {type(target).__name__}")
        self.nest(target, items)
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        target, keys, values = self.stack[-1], items[::2], items[1::2]
        if type(target) is not dict or len(keys) != len(values) or not all(map(_is_key, keys)):
            raise _Refused("pickled dictionary whose keys are neither text nor whole numbers")
        self.nest(target, values)
        target.update(zip(keys, values, strict=True))

    def remember(self, key: int) -> None:
        value = self.stack[-1]
        self.memo[key] = value
        if isinstance(value, _Pending):
            value.memo.append(key)

    def recall(self, key: int) -> None:
        if isinstance(self.memo[key], _Pending):
            raise _Refused("pickled array that holds itself")
        self.push(self.memo[key])

    def stack_name(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise _Refused("pickle asks for a name that is no text")
        self.name(f"{module} {name}")

    def name(self, name: str) -> None:
        if name not in NAMES:
            raise _Refused(f"pickle asks for {name.replace(' ', '.')!r:.80}, which is no plain data")
        self.push(_Name(NAMES[name]))

    def reduce(self, function: Any, args: Any) -> None:
        """Call of one of the admitted names."""
        kind = function.kind if isinstance(function, _Name) else None
        if kind == "array" and isinstance(args[0], _Name) and args[0].kind == "ndarray":
            self.begin(_Pending("array"))
        elif kind == "dtype":
            if type(args[0]) is not str or not PLAIN_TYPE.fullmatch(args[0]):
                raise _Refused("pickled array of structured type; expected plain numbers, text or objects")
            self.begin(_Pending("dtype", args[0]))
        elif kind == "scalar":
            dtype, data = args
            self.push(self.array((), dtype, data, "C")[()])
        elif kind == "frombuffer":
            data, dtype, shape, order = args
            self.push(self.array(shape, dtype, data, order))
        elif kind == "latin1" and args[1] == "latin1" and isinstance(args[0], str):
            self.spend(len(args[0]))
            self.push(args[0].encode("latin1"))
        elif kind == "empty" and type(args) is tuple and not args:
            self.push(b"")
        else:
            raise _Refused("pickle calls what is no function of numpy")

    def begin(self, value: _Pending) -> None:
        self.pending += 1
        self.push(value)

    def build(self, target: Any, state: Any) -> None:
        """Second half of an array or dtype: its contents."""
        if not isinstance(target, _Pending):
            raise _Refused(f"pickle that sets the state of {type(target).__name__}")
        value: Any
        if target.kind == "dtype":
            if state[1] not in ("<", ">", "|", "=") or state[2:5] != (None, None, None):
                raise _Refused("pickled array of structured type; expected plain numbers, text or objects")
            value = np.dtype(state[1].replace("|", "") + target.code)
        else:
            _, shape, dtype, fortran, data = state
            value = self.array(shape, dtype, data, "F" if fortran else "C")
            if value.dtype.hasobject:
                self.kept.append(value)
                self.nest(value, data)
        self.pending -= 1
        for key in target.memo:
            self.memo[key] = value
        self.push(value)

    def array(self, shape: Any, dtype: Any, data: Any, order: Any) -> np.ndarray:
        """The array of that shape and type, from exactly as many bytes (or objects) as it needs."""
        if not isinstance(dtype, np.dtype) or order not in ("C", "F"):
            raise _Refused("pickled array without a type")
        if (
            type(shape) is not tuple
            or len(shape) > 32
            or any(type(n) is not int or not 0 <= n < 1 << 62 for n in shape)
        ):
            raise _Refused("pickled array of impossible shape")
        count = prod(shape)
        if isinstance(data, str):  # Python 2
            self.spend(len(data))
            data = data.encode("latin1")
        if dtype.hasobject:
            return self.objects(shape, data, order)
        if not isinstance(data, bytes | bytearray) or len(data) != count * dtype.itemsize:
            raise _Refused(f"pickled array of shape {shape!r:.80} and type {dtype} with other contents")
        return np.frombuffer(data, dtype=dtype, count=count).reshape(shape, order=order)

    def objects(self, shape: tuple[int, ...], items: Any, order: Any) -> np.ndarray:
        """The array of objects of that shape."""
        count = prod(shape)
        if type(items) is not list or len(items) != count:
            raise _Refused(f"pickled array of shape {shape!r:.80} with another number of objects")
        self.spend(8 * count)
        flat = np.empty(count, dtype=object)
        for i, item in enumerate(items):  # `flat[:] = items` would look into the items
            flat[i] = item
        return flat.reshape(shape, order=order)


def _is_key(key: Any) -> bool:
    """Text, or a whole number of 32 bits: larger ones can be chosen so that a dictionary takes hours to fill."""
    return type(key) is str or (type(key) is int and abs(key) < 1 << 31)
