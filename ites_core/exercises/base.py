"""What the exercises' checks share: the register, the error a wrong answer gets, and the comparison that explains it.

A check is a function of the reader's answer, which is a value or a function. It knows the right result and also what
the likely mistakes would give; if the answer is one of those, the message says which mistake it looks like.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

Difficulty = Literal["easy", "medium", "hard"]
Check = Callable[[Any], None]


class NotYet(AssertionError):  # noqa: N818 (it is no fault of the program, and readers see the name)
    """An answer that is not right yet. Notebooks show its message alone, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        """What IPython prints instead of a traceback."""
        return [f"Not yet. {self}"]


@dataclass(frozen=True)
class Exercise:
    """One exercise of the book.

    Attributes:
        number: chapter and place, such as ``"1.2"``.
        title: a few words.
        difficulty, minutes: for a reader who has worked through the chapter.
        check: the check; call it with the answer.
    """

    number: str
    title: str
    difficulty: Difficulty
    minutes: int
    check: Check

    @property
    def heading(self) -> str:
        """The line that opens the exercise in its chapter."""
        return f"Exercise {self.number} · {self.title} ({self.difficulty}, {self.minutes} minutes)"


EXERCISES: dict[str, Exercise] = {}


def exercise(number: str, title: str, difficulty: Difficulty, minutes: int) -> Callable[[Check], Check]:
    """Register a check. Around it: a blank answer is named as such, and success is printed."""

    def register(check: Check) -> Check:
        @functools.wraps(check)
        def checked(answer: Any) -> None:
            if answer is None or answer is Ellipsis:
                raise NotYet(f"Exercise {number} is still blank: replace the dots by your answer and run its cell.")
            check(answer)
            print(f"Exercise {number}: correct.")

        if number in EXERCISES:
            raise ValueError(f"two exercises have the number {number}")
        EXERCISES[number] = Exercise(number, title, difficulty, minutes, checked)
        return checked

    return register


def call(answer: Callable[..., Any], *arguments: Any) -> Any:
    """Call the reader's function; a blank body and an exception become :class:`NotYet`."""
    if not callable(answer):
        raise NotYet(f"Hand over the function itself, not a {type(answer).__name__}: write its name without brackets.")
    try:
        result = answer(*arguments)
    except Exception as error:
        raise NotYet(f"Your function raised {type(error).__name__}: {error}") from error
    if result is None or result is Ellipsis:
        raise NotYet("Your function returns nothing yet: is it still blank, or is a `return` missing?")
    return result


def call_on_copy(answer: Callable[..., Any], given: Tensor, *arguments: Any) -> Any:
    """:func:`call`, with a tensor first that the reader's function must leave as it is."""
    copy = given.clone()
    result = call(answer, copy, *arguments)
    if not torch.equal(copy, given):
        raise NotYet("Your function changes the tensor that it was given. Work on a copy.")
    return result


def compare(found: Any, expected: Any, mistakes: Mapping[str, Any] | None = None, *, atol: float = 1e-4) -> None:
    """Accept ``found`` if it is close to ``expected``; otherwise say what it looks like.

    Args:
        found: the reader's number or tensor.
        expected: the right one, which decides the shape.
        mistakes: message -> what that mistake would give. The first that fits is reported.
        atol: largest difference of an element that still counts as equal.

    Raises:
        NotYet: wrong kind, shape, dtype or value.
    """
    want = _tensor(expected)
    try:
        have = _tensor(found)
    except (TypeError, ValueError, RuntimeError):
        kind = type(found).__name__
        raise NotYet(f"Expected a {'number' if want.ndim == 0 else 'tensor'}, found a {kind}.") from None
    for message, value in (mistakes or {}).items():
        wrong = _tensor(value)
        if wrong.shape == have.shape and not _close(wrong, want, atol) and _close(have, wrong, atol):
            raise NotYet(message)
    if have.shape != want.shape:
        raise NotYet(f"The shape is {tuple(have.shape)}, expected {tuple(want.shape)}.")
    if not torch.isfinite(have).all():
        raise NotYet("There are NaN or infinite values in the result: look for a division by zero or a missing mask.")
    if not _close(have, want, atol):
        if want.ndim == 0:
            raise NotYet(f"Found {have.item():.5g}, which is not the right number.")
        gap = (have - want).abs().max().item()
        raise NotYet(f"The shape is right, the values are not: the largest difference is {gap:.3g}.")


def choose(found: Any, right: str, explain: Mapping[str, str]) -> None:
    """Accept the letter or word ``right``; for another choice give its explanation.

    Raises:
        NotYet: another choice, or none of those offered.
    """
    word = str(found).strip().lower()
    if word == right.lower():
        return
    offered = {key.lower(): text for key, text in explain.items()}
    if word in offered:
        raise NotYet(offered[word])
    raise NotYet(f"Found {found!r}; choose one of {', '.join(sorted({right.lower(), *offered}))}.")


def _tensor(value: Any) -> Tensor:
    tensor = value if isinstance(value, Tensor) else torch.as_tensor(value)
    return tensor.detach().cpu().double()


def _close(a: Tensor, b: Tensor, atol: float) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=atol, equal_nan=True)
