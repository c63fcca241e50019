"""What user-facing code raises: one error type for bad input, and one for Ctrl-C."""


class ItesError(ValueError):
    """Bad input from outside: a file, an option, a tensor of the wrong shape.

    The message is one line that names the place, what was found, what was expected and what to do.
    The command line prints it and exits with status 2; in Python it is an ordinary ``ValueError``.
    """


class Interrupted(KeyboardInterrupt):
    """Somebody stopped a long job; the message is one line that says what is kept and how to go on.

    The command line prints it and exits with status 130. It is no ``Exception``, so that nothing that works through a
    list takes it for a failure of one item.
    """

    def _render_traceback_(self) -> list[str]:
        """What Jupyter shows in place of a traceback."""
        return [f"Interrupted: {self}"]
