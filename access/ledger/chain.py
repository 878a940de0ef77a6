"""One ledger entry: what its digest and its MAC cover, and how entries hang together. Pure; knows no database."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import rfc8785

FIRST_LINK = "0" * 64
"""What the first entry carries where later ones carry the digest of the entry before."""

FORMAT = 2
"""The ledger's format: in the body of its first entry, under every digest, and in the database's own version."""

RULE_TYPES = frozenset(
    {
        "ledger.created",
        "operator.added",
        "operator.removed",
        "operator.recovered",
        "credential.issued",
        "credential.revoked",
        "tenant.added",
        "licence.terms",
        "licence.suspended",
        "licence.reinstated",
        "licence.revoked",
        "gallery.owned",
        "moratorium.declared",
        "moratorium.extended",
        "moratorium.shortened",
        "moratorium.exempted",
        "moratorium.lifted",
        "moratorium.ended",
        "proposal.made",
        "details.erased",
    }
)
"""Entries that the present state of tenants, licences and moratoria is read from.

They belong to the format: each entry names the last of them before it, so a ledger that holds an entry of a type
that becomes one, or ceases to be one, cannot be read any more. A type never written before may be added.
"""

ERASED = "details.erased"
"""The type of the entry that orders details to be erased. Its body's `entries` lists their numbers."""

_DIGEST_LABEL = f"afterfact-entry-{FORMAT}:"
_MAC_LABEL = b"afterfact-mac-%d:" % FORMAT
_DETAILS_LABEL = f"afterfact-details-{FORMAT}:"
_TRACE_LABEL = b"afterfact-trace-%d:" % FORMAT


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry before it has a number, a time and a place in the chain.

    `details` is what may have to be erased one day; the entry itself keeps only a salted commitment to it.
    Both are JSON values without floats: a distance is written as a string, because a float's digits would
    depend on who writes it next.

    `traces` are names by which a later decision finds the entry; they stand in its body. `private_traces` stand
    in its details and go with them. `erases` are the numbers of entries whose details go in the transaction that
    appends this one, whose type then is `details.erased`.
    """

    type: str
    subject: str
    body: Mapping[str, Any]
    details: Mapping[str, Any] | None = None
    traces: tuple[str, ...] = ()
    private_traces: tuple[str, ...] = ()
    erases: tuple[int, ...] = ()

    def full_body(self) -> dict[str, Any]:
        """Returns the body with the traces, and the entries to erase, in it.

        Raises ValueError where the body names others, or erases is given to another type.
        """
        if self.erases and self.type != ERASED:
            raise ValueError(f"a draft of type {self.type!r} erases details; only {ERASED!r} may")
        return _with(_with(self.body, "traces", self.traces), "entries", self.erases)

    def full_details(self) -> dict[str, Any] | None:
        """Returns the details with the private traces in them; None where there are neither.

        Raises ValueError where the details name other traces.
        """
        if self.details is None and not self.private_traces:
            return None
        return _with(self.details or {}, "traces", self.private_traces)


class Entry(NamedTuple):
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
        """The bytes under the digest: a label, then the fields, each text with its length in characters before
        it, so that no two different entries give the same bytes."""
        number, time, type_, subject, body, previous, rule_number, rule_digest, _ = self
        try:
            text = (
                f"{_DIGEST_LABEL}{number},{len(time)}:{time},{len(type_)}:{type_},{len(subject)}:{subject},"
                f"{len(body)}:{body},{len(previous)}:{previous},{rule_number},{len(rule_digest)}:{rule_digest},"
            )
        except TypeError:  # a tampered database hands back what is no text: a wrong digest, not an exception
            text = _DIGEST_LABEL + repr(tuple(self))
        return text.encode("utf-8", "surrogateescape")

    def is_authentic(self, key: bytes) -> bool:
        """Whether the entry was written by a holder of key and not changed since."""
        return is_mac(self.mac, self.digest, key)

    def rule_link(self) -> tuple[int, str]:
        """Number and digest of the last rule entry up to and including this one: what the next entry carries."""
        return (self.number, self.digest) if self.is_rule else (self.rule_number, self.rule_digest)


def mac_of(digest: str, key: bytes) -> str:
    """HMAC-SHA256 of an entry's digest under key, as 64 hexadecimal digits."""
    return hmac.digest(key, _MAC_LABEL + digest.encode("ascii"), "sha256").hex()


def is_mac(mac: str, digest: str, key: bytes) -> bool:
    """Whether mac is the MAC of an entry with this digest."""
    return hmac.compare_digest(str(mac).encode("utf-8", "replace"), mac_of(digest, key).encode("ascii"))


def seal(draft: Draft, body: str, after: Entry | None, time: str, key: bytes) -> Entry:
    """Returns the draft as the entry that follows `after` (None: the first), with its MAC. `body` is its canonical
    text."""
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
    return bare._replace(mac=mac_of(bare.digest, key))


def trace_tag(name: str, key: bytes) -> str:
    """Returns what stands for a trace in the database, 32 hexadecimal digits: without the key it tells no name."""
    return hmac.digest(key, _TRACE_LABEL + name.encode("utf-8"), "sha256").hex()[:32]


def canonical(value: Mapping[str, Any]) -> str:
    """Returns value as canonical JSON text (RFC 8785).

    Raises TypeError for a float: pass distances and shares as strings.
    """
    _refuse_floats(value, "body")
    return rfc8785.dumps(value).decode("utf-8")


def commitment(salt: str, body: str) -> str:
    """SHA-256 over salt and details text, as 64 hexadecimal digits. Without the salt it says nothing."""
    covered = f"{_DETAILS_LABEL}{len(salt)}:{salt},{len(body)}:{body},"
    return hashlib.sha256(covered.encode("utf-8", "surrogateescape")).hexdigest()


def _with(value: Mapping[str, Any], name: str, items: Iterable[Any]) -> dict[str, Any]:
    listed = sorted(set(items))
    if not listed:
        return dict(value)
    if value.get(name, listed) != listed:
        raise ValueError(f"{name} is {value[name]!r} in the draft's text, but the draft names {listed!r}")
    return {**value, name: listed}


def _refuse_floats(value: Any, where: str) -> None:
    if isinstance(value, float):
        raise TypeError(f"{where} is the float {value!r}; the ledger takes distances and shares as strings")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _refuse_floats(inner, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            _refuse_floats(inner, f"{where}[{index}]")
