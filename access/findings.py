"""What one rule says to a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from access.names import recordable


@dataclass(frozen=True)
class Finding:
    """What one rule said. `rule` is its sort ("licence", "moratorium", ...); `name` names a moratorium.

    "holds" is a refusal that an approver's entry ends; "exempts" tells why a moratorium does not refuse.
    """

    rule: str
    effect: Literal["refuses", "holds", "allows", "exempts"]
    text: str
    name: str | None = None


def allows(rule: str, text: str) -> Finding:
    """Returns a finding that speaks for the request."""
    return Finding(rule, "allows", text)


def refuses(rule: str, text: str) -> Finding:
    """Returns a finding that speaks against the request."""
    return Finding(rule, "refuses", text)


def holds(rule: str, text: str) -> Finding:
    """Returns a finding that holds the request for an approver."""
    return Finding(rule, "holds", text)


def quoted(text: str) -> str:
    """Returns at most 100 characters of a text from outside, quoted, as one line."""
    return repr(recordable(text[:100]))
