"""A random order that nobody has to write down (chapter 5)."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from torch import Tensor

ROUNDS = 8


class Permutation:
    """A pseudo-random order of the numbers 0 to M - 1, each place computed when it is asked for. Chapter 5.

    Shuffling writes down all M numbers. A cipher does without: a number is split into two halves, below a and below b,
    and each round adds to one half a keyed hash of the other, which can be undone. So no two numbers become the same
    (Luby and Rackoff 1988). The cipher permutes a b numbers, a few more than M; what lands beyond M is sent through
    again until it lands below (cycle walking, Black and Rogaway 2002).

    Args:
        count: M, at least 1.
        seed, epoch: the order is a function of these and of M.
    """

    def __init__(self, count: int, seed: int, epoch: int) -> None:
        self.count = count
        self.low = math.isqrt(count - 1) + 1  # a
        self.high = -(-count // self.low)  # b
        keys = hashlib.shake_256(repr((count, seed, epoch)).encode()).digest(8 * ROUNDS)
        self.keys = np.frombuffer(keys, dtype="<u8")

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, places: slice) -> Tensor:
        """What stands at some places of the order, as a slice of a tensor gives it: (B,) int64."""
        value = self._encipher(np.arange(*places.indices(self.count), dtype=np.uint64))
        while len(beyond := np.flatnonzero(value >= self.count)):
            value[beyond] = self._encipher(value[beyond])
        return torch.from_numpy(value.astype(np.int64))

    def _encipher(self, value: np.ndarray) -> np.ndarray:
        a, b = np.uint64(self.low), np.uint64(self.high)
        left: np.ndarray = value % a
        right: np.ndarray = value // a
        for i, key in enumerate(self.keys):
            if i % 2:
                left = (left + _hash(right, key) % a) % a
            else:
                right = (right + _hash(left, key) % b) % b
        return right * a + left


def _hash(x: np.ndarray, key: np.uint64) -> np.ndarray:
    """64 well mixed bits of uint64 numbers (the last steps of Steele, Lea and Flood's SplitMix64, 2014)."""
    x = x ^ key
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
