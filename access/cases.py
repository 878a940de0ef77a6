"""Case numbers: how two spellings of one are told to be the same, and the pattern that a licence can ask for."""

from __future__ import annotations

import re
import unicodedata

from foundation.errors import InputError

_LONGEST_PATTERN = 64
_SIGNS = {"#": r"[0-9]", "@": r"[^\W\d_]", "*": r".*"}


def same_case(case: str) -> str:
    """Returns a case number's letters and digits in plainest form, so that "2026/117 a" and "2026-117A" are one.

    For finding a refused case again, where one too many is held. "2026-1-17" and "2026-11-7" are one as well.
    """
    return "".join(_parts(case)) or _plain(case)


def very_case(case: str) -> str:
    """Returns a case number's runs of digits and of letters in plainest form, so that "2026/117 a" and "2026-117A" are
    one, and "2026-1-17" and "2026-11-7" are two. For leave that was given for one case and serves no other."""
    return "-".join(_parts(case)) or _plain(case)


def _plain(case: str) -> str:
    return unicodedata.normalize("NFKC", case).casefold()


def _parts(case: str) -> list[str]:
    return re.findall(r"\d+|[^\W\d_]+", _plain(case))


def fits_pattern(case: str, pattern: str) -> bool:
    """Whether a case number is as a pattern says: # is a digit, @ a letter, * anything, all else itself."""
    return re.fullmatch("".join(_SIGNS.get(sign, re.escape(sign)) for sign in pattern), case) is not None


def read_pattern(text: str) -> str:
    """Returns a pattern for case numbers.

    Raises InputError where it is empty, longer than 64 characters, or has more than one *, which would take long.
    """
    if not text.strip() or len(text) > _LONGEST_PATTERN or not text.isprintable() or text.count("*") > 1:
        raise InputError(
            f"--case-pattern {text[:80]!r} is none; write 1 to {_LONGEST_PATTERN} characters such as 2026-####, "
            "where # is a digit, @ a letter and * (at most one) anything"
        )
    return text
