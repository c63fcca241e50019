"""Inputs for a reader: valid ones with a part changed, as hypothesis draws them and as a list of every small change."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.campaigns.fuzz_targets import Target

CUTS = 400  # places at most at which a part is cut off
FLIPS = 48  # first bytes of a part of which every bit is flipped once

WORDS = (
    "", "0", "-1", "1e999", "-1e308", "nan", "NaN", "inf", "1e-320", "9" * 400, "9" * 5000, "18446744073709551616",
    "0x10", "1_0", "true", "null", "é", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "\x00", "\x1b[2J",
    "../../x", "a" * 3000, "{", "}", "[" * 300, '"', ":", "#", "\n", ";", ",", "١", "K", "\u2028", "</script>",
)  # fmt: skip
TREES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3, 17, 25, 2**31, 2**62, 2**63, 2**64, 10**30, 10**400, 0.5, -0.0, 1e308, 1e-320,
    float("nan"), float("inf"), "", "1", "nan", "é", "\ud800", "\x00", "../../x", "/etc/x", "a" * 3000, [], [[]], {},
    [None], [0] * 100, [[0, 0]] * 17, [[1.0, 2.0, 3.0]] * 17, [1, [2]], {"x": 1}, {"x": [1, 2], "y": [1, 2]}, {"": {}},
)  # fmt: skip
SHAPES = (
    (),
    (0,),
    (1,),
    (17, 3),
    (1, 17, 2),
    (2**40,),
    (2**62, 4),
    (2**70,),
    (-1,),
    (1,) * 70,
    (0, 2**64),
    (True, 2.5),
)
TYPES = (
    "<f4", "<f8", ">f8", "<f2", "<i8", "|u1", "<u8", "|b1", "<c16", "<U1", "<U0", "<U99999", "|S3", "|V0", "|V99", "|O",
    "<M8[s]", "<m8", [("a", "<f4")], [("a", "|O")], "<f16", "(3,)<f4", "x", "",
)  # fmt: skip


def deep(opening: str, closing: str, count: int) -> bytes:
    """A value within a value, and so on."""
    return (opening * count + "1" + closing * count).encode()


WHOLE = (
    b"", b"\n", b"\xef\xbb\xbf", b"\xff\xfe", b"null", b"[]", b"{}", b"1", b"[1,2]", b'"\\ud800"', deep("[", "]", 90),
    deep("[", "]", 990), deep("[", "]", 100_000), deep('{"a":', "}", 990), deep('{"a":', "}", 50_000), b"9" * 5000,
    b"\x93NUMPY\x01\x00\x10\x00((((((((((((((((", b"PK\x05\x06" + bytes(18), b"a," * 5000, b'"' * 5000,
    b"-" * 9000 + b"1",
)  # fmt: skip


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    """Inputs of a target: one part is changed, up to three times."""
    return st.one_of([_part(k, name, content) for k, (name, content) in enumerate(target.parts.items())])


def _part(index: int, name: str, content: bytes) -> st.SearchStrategy[bytes]:
    ways = [_bytes(content), st.integers(0, len(WHOLE) - 1).map(WHOLE.__getitem__)]
    suffix = Path(name.rpartition(">")[2]).suffix
    if suffix in (".json", ".ipynb", ".jsonl") and content.lstrip()[:1] in (b"{", b"["):
        ways += [_tree(content.splitlines()[0] if suffix == ".jsonl" else content)] * 3
    if suffix not in (".npy", ".npz", ".zip", ".safetensors", ".mat", ".onnx", ""):
        ways += [_words(content.decode("latin-1"))] * 2
    if content[:6] == b"\x93NUMPY":
        ways += [_npy(content)] * 2
    return st.one_of(ways).map(lambda part: bytes([index]) + part)


@st.composite
def _bytes(draw: Any, content: bytes) -> bytes:
    """Bytes changed, left out, doubled or put in."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        length = draw(st.sampled_from((0, 1, 2, 4, 8, 64, 10**9)))
        new = draw(
            st.one_of(
                st.binary(max_size=8),
                st.sampled_from((b"", b"\xff" * 8, b"\x00" * 8, b"\xff\xff\xff\x7f", content[start : start + 64])),
            )
        )
        content = content[:start] + new + content[start + length :]
    return content


@st.composite
def _words(draw: Any, text: str) -> bytes:
    """Words or lines of a text exchanged for others."""
    for _ in range(draw(st.integers(1, 3))):
        pieces = re.split(draw(st.sampled_from((r"(\s+)", r"(\n)", r"([\s,;:]+)"))), text)
        at = draw(st.integers(0, len(pieces) - 1))
        old = st.sampled_from(pieces)
        pieces[at] = draw(st.one_of(st.sampled_from(WORDS), old, old.map(lambda p: f"{p} {p}"), st.text(max_size=5)))
        text = "".join(pieces)
    return text.encode("utf-8", "surrogatepass")


@st.composite
def _tree(draw: Any, content: bytes) -> bytes:
    """Values or names of a JSON file exchanged for others."""
    tree = json.loads(content)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(tree))
        if not places:
            break
        parent, key = draw(st.sampled_from(places))
        way = draw(st.integers(0, 5))
        if way == 0:
            del parent[key]
        elif way == 1 and isinstance(parent, dict):
            parent[draw(st.sampled_from(("", "x", "keypoints", "\ud800", "data")))] = parent.pop(key)
        elif way == 2 and isinstance(parent, list):
            parent.extend([copy.deepcopy(parent[key])] * draw(st.sampled_from((1, 3, 200))))
        else:
            parent[key] = copy.deepcopy(TREES[draw(st.integers(0, len(TREES) - 1))])
    return json.dumps(tree, ensure_ascii=True).encode()


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Where values stand: container and key."""
    for key in tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield tree, key
        yield from _places(tree[key])


@st.composite
def _npy(draw: Any, content: bytes) -> bytes:
    """Another header before the same numbers, or other numbers behind the same header."""
    end = 10 + int.from_bytes(content[8:10], "little")
    head, data = content[10:end].decode("latin-1"), content[end:]
    shape, descr = re.search(r"\([^)]*\)", head), re.search(r"'descr': ('[^']*'|\[[^\]]*\])", head)
    if shape and draw(st.booleans()):
        head = head.replace(shape[0], repr(draw(st.sampled_from(SHAPES))))
    if descr and draw(st.booleans()):
        head = head.replace(descr[1], repr(draw(st.sampled_from(TYPES))))
    if draw(st.booleans()):
        head = head.replace("False", draw(st.sampled_from(("True", "1", "None", "[]", "(" * 300, "-" * 3000 + "1"))))
    fill = draw(st.sampled_from((None, b"\xff", b"\x00", b"\x7f\xf0", b"\x00\x00\xc0\x7f", b"\x00\xd8\x00\x00")))
    if fill is not None:
        data = (fill * len(data))[: len(data)]
    data = data[: draw(st.sampled_from((None, 0, 1, len(data) // 2)))]
    version, raw = content[6:8], head.encode("latin-1")
    return content[:6] + version + len(raw).to_bytes(2, "little") + raw + data


def small_changes(target: Target) -> Iterator[bytes]:
    """The valid input; every part empty, cut off at every byte (or at CUTS), and with every early bit flipped."""
    for index, content in enumerate(target.parts.values()):
        first = bytes([index])
        yield first + content
        yield from (first + whole for whole in WHOLE)
        for end in range(0, len(content), max(1, len(content) // CUTS)):
            yield first + content[:end]
        for bit in range(8 * min(len(content), FLIPS)):
            changed = bytearray(content)
            changed[bit // 8] ^= 1 << bit % 8
            yield first + bytes(changed)
