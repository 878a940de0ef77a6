"""A cut-off by which candidates are marked: a false positive identification rate, kept as text, as the ledger has no
floats."""

from __future__ import annotations

import re
from decimal import Decimal

from foundation.errors import InputError


def is_fpir(text: object) -> bool:
    """Whether it is a share above 0 and below 1, in plain digits."""
    return isinstance(text, str) and bool(re.fullmatch(r"0\.[0-9]{1,9}", text)) and float(text) > 0


def read_fpir(text: str, what: str) -> str:
    """Returns the share that is written there, of 1 or as a percentage. Raises InputError. what: the option, for its
    message."""
    given = text.strip()
    if re.fullmatch(r"[0-9]{1,2}(\.[0-9]{1,7})?%", given):
        given = f"{Decimal(given[:-1]).scaleb(-2):f}"
    if not is_fpir(given):
        raise InputError(f"{what} is {text!r}; give a share above 0 and below 1, say 0.01 or 1%")
    return given.rstrip("0")


def strictest_fpir(*shares: str | None) -> str | None:
    """Returns the smallest of the shares; None where there is none."""
    return min((share for share in shares if share is not None), key=float, default=None)
