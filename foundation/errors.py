"""The one base class of every error Afterfact raises on purpose, and the exit codes they end in."""

from __future__ import annotations

EXIT_DONE = 0
EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3
EXIT_REJECTIONS = 4
EXIT_CHOICE = 5


class AfterfactError(Exception):
    """Something the caller can act on. The message names the value, the limit and the remedy.

    The command line prints the message on one line and ends with `exit_code`.
    """

    exit_code = EXIT_ERROR


class InputError(AfterfactError):
    """A value from outside (flag, job file, list, name) is not what is allowed there."""

    exit_code = EXIT_USAGE


def nearest(value: str, allowed: list[str]) -> str:
    """Returns "; did you mean 'X'?" for the allowed spelling nearest to value, or an empty string."""
    import difflib

    near = difflib.get_close_matches(value, allowed, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
