"""Right and wrong answers to the exercises of chapter 2."""

RIGHT: dict = {}
WRONG: dict = {}
