"""The kinds of tenant, the purposes of a query and its grounds, from configs/kinds.yaml, purposes.yaml, bases.yaml."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from foundation.errors import InputError, nearest
from foundation.settings import read_packaged_yaml, refuse_unknown_keys

_WORD = re.compile(r"[a-z]+(-[a-z]+)*")


@dataclass(frozen=True)
class Vocabulary:
    """The words rules are written in. `kinds`, `purposes` and `bases` give each word's sentence."""

    kinds: Mapping[str, str]
    groups: Mapping[str, frozenset[str]]
    purposes: Mapping[str, str]
    bases: Mapping[str, str]

    def expand(self, named: Iterable[str]) -> frozenset[str]:
        """Returns the kinds that kinds and groups of kinds name. Raises InputError for an unknown one."""
        covered: set[str] = set()
        for name in named:
            if name in self.groups:
                covered |= self.groups[name]
            else:
                covered.add(one_of(name, [*self.kinds, *self.groups], "kind"))
        return frozenset(covered)


def one_of(value: str, allowed: Iterable[str], what: str) -> str:
    """Returns value where it is allowed; else raises InputError with what is allowed and the nearest spelling."""
    known = sorted(allowed)
    if value not in known:
        raise InputError(f"unknown {what} {value!r}{nearest(value, known)} (known: {', '.join(known)})")
    return value


@functools.cache
def load_vocabulary() -> Vocabulary:
    """Returns the installed vocabulary. Raises InputError where a file is not as it should be."""
    return read_vocabulary(*(read_packaged_yaml(f"{name}.yaml") for name in ("kinds", "purposes", "bases")))


def read_vocabulary(
    kinds_file: Mapping[str, Any], purposes_file: Mapping[str, Any], bases_file: Mapping[str, Any]
) -> Vocabulary:
    """Returns the vocabulary three mappings describe. Raises InputError naming the first thing that is wrong."""
    refuse_unknown_keys(kinds_file, ["kinds", "groups"], "configs/kinds.yaml")
    refuse_unknown_keys(purposes_file, ["purposes"], "configs/purposes.yaml")
    refuse_unknown_keys(bases_file, ["bases"], "configs/bases.yaml")
    kinds = _sentences(kinds_file.get("kinds"), "configs/kinds.yaml, kinds")
    groups: dict[str, frozenset[str]] = {}
    for name, members in _mapping(kinds_file.get("groups"), "configs/kinds.yaml, groups").items():
        where = f"configs/kinds.yaml, group {name!r}"
        if not isinstance(name, str) or not _WORD.fullmatch(name) or name in kinds:
            raise InputError(f"{where}: a group is lower-case words joined by hyphens, and no kind's name")
        if not isinstance(members, list) or not members or not all(isinstance(member, str) for member in members):
            raise InputError(f"{where} is not a list of kinds or of groups above it")
        unknown = [member for member in members if member not in kinds and member not in groups]
        if unknown:
            known = [*kinds, *groups]
            raise InputError(f"{where} names {unknown[0]!r}, no kind and no group above it{nearest(unknown[0], known)}")
        groups[name] = frozenset().union(*(groups.get(member, {member}) for member in members))
    return Vocabulary(
        kinds,
        groups,
        _sentences(purposes_file.get("purposes"), "configs/purposes.yaml, purposes"),
        _sentences(bases_file.get("bases"), "configs/bases.yaml, bases"),
    )


def _sentences(value: Any, where: str) -> dict[str, str]:
    words = _mapping(value, where)
    for word, sentence in words.items():
        if not isinstance(word, str) or not _WORD.fullmatch(word):
            raise InputError(f"{where}: {word!r} is not lower-case words joined by hyphens")
        if not isinstance(sentence, str) or not sentence.strip():
            raise InputError(f"{where}: {word!r} has no sentence that says what it is")
    return words


def _mapping(value: Any, where: str) -> dict[Any, Any]:
    if not isinstance(value, dict) or not value:
        raise InputError(f"{where} is not a list of 'word: ...' lines")
    return value
