"""Checks for the book's exercises: one module a chapter, ``chapter0`` to ``chapter9``.

    from ites_core.exercises import chapter1 as check
    check.lift(my_function)

A right answer prints one line; a wrong one raises :class:`NotYet` with a hint at the likely mistake.
"""

from ites_core.exercises import (
    chapter0,
    chapter1,
    chapter2,
    chapter3,
    chapter4,
    chapter5,
    chapter6,
    chapter7,
    chapter9,
)
from ites_core.exercises.base import EXERCISES, Exercise, NotYet

__all__ = [
    "EXERCISES",
    "Exercise",
    "NotYet",
    "chapter0",
    "chapter1",
    "chapter2",
    "chapter3",
    "chapter4",
    "chapter5",
    "chapter6",
    "chapter7",
    "chapter9",
]
