"""Putting one entry into the ledger, with its details and traces, and taking out the details that it erases."""

from __future__ import annotations

import json
import secrets

from access.ledger.chain import Draft, Entry, canonical, commitment, seal, trace_tag
from access.ledger.reading import Reader
from access.ledger.store import Session

_INSERT = f"INSERT INTO entries VALUES ({', '.join('?' * len(Entry._fields))})"


def insert(session: Session, reader: Reader, key: bytes, draft: Draft, after: Entry | None, now: str) -> Entry:
    """Inserts a draft as the entry that follows `after`, in a transaction that holds the ledger's lock.

    Raises ValueError for a draft that contradicts itself or erases what never was there, TypeError for floats.
    """
    body, details, salt = draft.full_body(), draft.full_details(), secrets.token_hex(16)
    text = canonical(details) if details is not None else None
    if text is not None:
        body["details"] = commitment(salt, text)
    entry = seal(draft, canonical(body), after, now, key)
    session.run(_INSERT, entry)
    if text is not None:
        session.run("INSERT INTO details VALUES (?, ?, ?)", (entry.number, salt, text))
    names = (*body.get("traces", ()), *(details or {}).get("traces", ()))
    tags = sorted({trace_tag(name, key) for name in names})
    session.run_each("INSERT INTO traces VALUES (?, ?)", [(tag, entry.number) for tag in tags])
    for number in draft.erases:
        _erase(session, reader, key, number)
    return entry


def _erase(session: Session, reader: Reader, key: bytes, number: int) -> None:
    entry, details = reader.recorded(session, number)
    body = json.loads(entry.body)
    if "details" not in body:
        raise ValueError(f"entry {number} has no details to erase")
    private = set((details or {}).get("traces", ())) - set(body.get("traces", ()))
    session.run("DELETE FROM details WHERE entry = ?", (number,))
    for name in sorted(private):
        session.run("DELETE FROM traces WHERE tag = ? AND entry = ?", (trace_tag(name, key), number))
