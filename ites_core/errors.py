"""What user-facing code raises: one error type for bad input, and one for Ctrl-C."""

MOST = 2000  # characters of a message


class ItesError(ValueError):
    """Bad input from outside: a file, an option, a tensor of the wrong shape.

    The message is one line that names the place, what was found, what was expected and what to do.
    The command line prints it and exits with status 2; in Python it is an ordinary ``ValueError``.
    """

    def __init__(self, message: str) -> None:
        super().__init__(_printable(message))


class Interrupted(KeyboardInterrupt):
    """Somebody stopped a long job; the message is one line that says what is kept and how to go on.

    The command line prints it and exits with status 130. It is no ``Exception``, so that nothing that works through a
    list takes it for a failure of one item.
    """

    def _render_traceback_(self) -> list[str]:
        """What Jupyter shows in place of a traceback."""
        return [f"Interrupted: {self}"]


def _printable(text: str) -> str:
    """A message in one line, whatever it quotes: no control codes that would reach a terminal, no endless names."""
    if len(text) > MOST:
        text = f"{text[: MOST * 3 // 4]} ... {text[-MOST // 5 :]}"
    text = " ".join(text.splitlines())
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
