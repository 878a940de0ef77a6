"""One ledger entry: what its digest and its MAC cover, and how entries hang together. Pure; knows no database."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import rfc8785

FIRST_LINK = "0" * 64
"""What the first entry carries where later ones carry the digest of the entry before."""

FORMAT = 1
"""The ledger's format, in the body of its first entry and in every digest."""

RULE_TYPES = frozenset(
    {
        "ledger.created",
        "operator.added",
        "credential.issued",
        "credential.revoked",
        "tenant.added",
        "tenant.granted",
        "licence.suspended",
        "licence.reinstated",
        "licence.revoked",
        "moratorium.declared",
        "moratorium.lifted",
    }
)
"""Entries that the present state of tenants, licences and moratoria is read from."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry before it has a number, a time and a place in the chain.

    `details` is what may have to be erased one day; the entry itself keeps only a salted commitment to it.
    Both are JSON values without floats: a distance is written as a string, because a float's digits would
    depend on who writes it next.
    """

    type: str
    subject: str
    body: Mapping[str, Any]
    details: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it lies in the ledger. `body` is canonical JSON text (RFC 8785) and never re-serialised.

    `previous` is the digest of the entry before; `rule_number` and `rule_digest` name the last rule entry
    before this one. Rule entries so form a chain of their own, and reading only them shows whether one is gone.
    """

    number: int
    time: str
    type: str
    subject: str
    body: str
    previous: str
    rule_number: int
    rule_digest: str
    mac: str

    @property
    def digest(self) -> str:
        """SHA-256 of everything but the MAC, as 64 hexadecimal digits. The digest of the last entry is the head."""
        return hashlib.sha256(self.covered()).hexdigest()

    @property
    def is_rule(self) -> bool:
        """Whether the present state is read from this entry."""
        return self.type in RULE_TYPES

    def covered(self) -> bytes:
        """The bytes under the digest and the MAC: a label, then the fields as netstrings, so that no two
        different entries give the same bytes."""
        fields = (
            str(self.number),
            self.time,
            self.type,
            self.subject,
            self.body,
            self.previous,
            str(self.rule_number),
            self.rule_digest,
        )
        return b"afterfact-entry-%d:" % FORMAT + _netstrings(*fields)

    def mac_under(self, key: bytes) -> str:
        """HMAC-SHA256 of the covered bytes under key, as 64 hexadecimal digits."""
        return hmac.digest(key, self.covered(), "sha256").hex()

    def is_authentic(self, key: bytes) -> bool:
        """Whether the entry was written by a holder of key and not changed since."""
        return hmac.compare_digest(str(self.mac).encode("utf-8", "replace"), self.mac_under(key).encode())

    def rule_link(self) -> tuple[int, str]:
        """Number and digest of the last rule entry up to and including this one: what the next entry carries."""
        return (self.number, self.digest) if self.is_rule else (self.rule_number, self.rule_digest)


def seal(draft: Draft, body: str, after: Entry | None, time: str, key: bytes) -> Entry:
    """Returns the draft as the entry that follows `after` (None: the first), with its MAC."""
    rule_number, rule_digest = after.rule_link() if after else (0, FIRST_LINK)
    bare = Entry(
        number=after.number + 1 if after else 1,
        time=time,
        type=draft.type,
        subject=draft.subject,
        body=body,
        previous=after.digest if after else FIRST_LINK,
        rule_number=rule_number,
        rule_digest=rule_digest,
        mac="",
    )
    return Entry(**{name: getattr(bare, name) for name in bare.__slots__ if name != "mac"}, mac=bare.mac_under(key))


def canonical(value: Mapping[str, Any]) -> str:
    """Returns value as canonical JSON text (RFC 8785).

    Raises TypeError for a float: pass distances and shares as strings.
    """
    _refuse_floats(value, "body")
    return rfc8785.dumps(value).decode("utf-8")


def commitment(salt: str, body: str) -> str:
    """SHA-256 over salt and details text, as 64 hexadecimal digits. Without the salt it says nothing."""
    return hashlib.sha256(b"afterfact-details-%d:" % FORMAT + _netstrings(salt, body)).hexdigest()


def _netstrings(*fields: str) -> bytes:
    # str and surrogateescape: what a tampered database hands back must give a wrong digest, not an exception.
    encoded = [str(field).encode("utf-8", "surrogateescape") for field in fields]
    return b"".join(b"%d:%s," % (len(field), field) for field in encoded)


def _refuse_floats(value: Any, where: str) -> None:
    if isinstance(value, float):
        raise TypeError(f"{where} is the float {value!r}; the ledger takes distances and shares as strings")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _refuse_floats(inner, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            _refuse_floats(inner, f"{where}[{index}]")
