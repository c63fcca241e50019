"""The one error type that user-facing code raises for bad input."""


class ItesError(ValueError):
    """Bad input from outside: a file, an option, a tensor of the wrong shape.

    The message is one line that names the place, what was found, what was expected and what to do.
    The command line prints it and exits with status 2; in Python it is an ordinary ``ValueError``.
    """
