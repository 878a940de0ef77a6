"""Moratoria as they really were declared, one file each in configs/moratoria/."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from access.names import LONGEST_TEXT
from access.rules import APART, AUTHORITIES, BARRED
from access.times import read_end, read_moment
from access.vocabulary import Vocabulary, one_of
from foundation.errors import InputError
from foundation.settings import packaged, read_packaged_yaml, refuse_unknown_keys

_NEEDED = ("summary", "authority", "reason", "operations")
_TEXTS = ("summary", "authority", "reason", "link", "from", "until", "for")
_LISTS = ("kinds", "operations", "apart", "exempt_kinds", "exempt_purposes")
_ANY_DAY = "2000-01-01T00:00:00.000000Z"
_FOLDER = "moratoria"


def preset_names() -> list[str]:
    """Returns the names of the presets installed, in order."""
    return sorted(path.stem for path in packaged(_FOLDER).glob("*.yaml"))


def load_preset(name: str, vocabulary: Vocabulary) -> dict[str, Any]:
    """Returns a preset by name. Raises InputError where there is none, or it is not as it should be."""
    one_of(name, preset_names(), "preset")
    return read_preset(read_packaged_yaml(f"{_FOLDER}/{name}.yaml"), f"configs/{_FOLDER}/{name}.yaml", vocabulary)


def read_preset(given: Mapping[str, Any], where: str, vocabulary: Vocabulary) -> dict[str, Any]:
    """Returns a preset's mapping, checked. Raises InputError naming the first thing that is wrong."""
    refuse_unknown_keys(given, {*_TEXTS, *_LISTS, "everyone"}, where)
    for key in _NEEDED:
        if not given.get(key):
            raise InputError(f"{where}: {key} is missing; every preset has {', '.join(_NEEDED)}")
    for key in _TEXTS:
        value = given.get(key)
        if value is not None and (not isinstance(value, str) or not value.strip() or len(value) > LONGEST_TEXT):
            raise InputError(
                f"{where}: {key} is {value!r}; write a text in quotes, of at most {LONGEST_TEXT} characters"
            )
    for key in _LISTS:
        value = given.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise InputError(f"{where}: {key} is {value!r}; write a list such as [police]")
    if given.get("everyone", False) not in (True, False) or bool(given.get("kinds")) == given.get("everyone", False):
        raise InputError(f"{where}: give kinds, or everyone: true")
    if given.get("until") and given.get("for"):
        raise InputError(f"{where}: until and for both name the end; keep one")
    one_of(given["authority"], AUTHORITIES, "authority")
    for operation in given["operations"]:
        one_of(operation, BARRED, "operation")
    for operation in given.get("apart", []):
        one_of(operation, APART, "operation that can stand apart")
    start = read_moment(given.get("from", _ANY_DAY), _ANY_DAY, f"{where}: from")
    read_end(given.get("until"), given.get("for"), start, start)
    vocabulary.expand([*given.get("kinds", []), *given.get("exempt_kinds", [])])
    for purpose in given.get("exempt_purposes", []):
        one_of(purpose, vocabulary.purposes, "purpose")
    return dict(given)
