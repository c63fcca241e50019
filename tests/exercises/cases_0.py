"""Right and wrong answers to the exercises of chapter 0."""

RIGHT: dict = {}
WRONG: dict = {}
