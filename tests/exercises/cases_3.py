"""Right and wrong answers to the exercises of chapter 3."""

RIGHT: dict = {}
WRONG: dict = {}
