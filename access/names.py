"""Names and free text from outside: what is taken, and in what form it is kept."""

from __future__ import annotations

import unicodedata

from foundation.errors import InputError

LONGEST_NAME = 64
LONGEST_TEXT = 500


def tidy(text: str) -> str:
    """Returns text in Unicode's composed form (NFC), so that two spellings of one name are one."""
    return unicodedata.normalize("NFC", text)


def read_name(text: str, what: str) -> str:
    """Returns a name in NFC.

    Raises InputError naming `what` where it is empty, longer than 64 characters, begins or ends with a space,
    or holds a control or invisible character.
    """
    name = _read_text(text, what, LONGEST_NAME)
    if name != name.strip():
        raise InputError(f"{what} {name!r} begins or ends with a space; leave it out")
    return name


def read_reason(text: str, what: str = "--reason") -> str:
    """Returns a reason in NFC. Raises InputError where it is empty, longer than 500 characters, or not one line."""
    return _read_text(text.strip(), what, LONGEST_TEXT)


def name_problem(text: str, longest: int = LONGEST_NAME) -> str | None:
    """Says what keeps text from being a name or a case number ("is empty"), or None."""
    if not text.strip():
        return "is empty"
    if len(text) > longest:
        return f"has {len(text)} characters, allowed are {longest}"
    if not text.isprintable():
        return "holds a control or invisible character"
    return None


def recordable(text: str | None) -> str | None:
    """Returns text as the ledger can hold it: at most 500 characters, and bytes that are no text as escapes.

    What a refused stranger sent is kept, and must neither fill the disk nor keep the refusal from being written.
    """
    if text is None:
        return None
    return text[:LONGEST_TEXT].encode("utf-8", "backslashreplace").decode("utf-8")


def _read_text(text: str, what: str, longest: int) -> str:
    tidied = tidy(text)
    problem = name_problem(tidied, longest)
    if problem:
        raise InputError(f"{what} {recordable(tidied[:80])!r} {problem}")
    return tidied
