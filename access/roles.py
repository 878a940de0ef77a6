"""What each role of operator may do, and which acts take two of them."""

from __future__ import annotations

from access.rules import ROLES

_EVERYBODY = frozenset(ROLES)
_REGISTRARS = frozenset({"administrator", "licensing-officer"})
_ADMINISTRATORS = frozenset({"administrator"})

MAY: dict[str, frozenset[str]] = {
    "access.check": _EVERYBODY,
    "audit.export": _EVERYBODY,
    "audit.read": _EVERYBODY,
    "audit.report": _EVERYBODY,
    "audit.show": _EVERYBODY,
    "gallery.read": _EVERYBODY,
    "moratorium.review": _EVERYBODY,
    "operator.list": _EVERYBODY,
    "tenant.list": _EVERYBODY,
    "tenant.show": _EVERYBODY,
    "access.approve": _REGISTRARS,
    "access.owner": _REGISTRARS,
    "moratorium.declare": _REGISTRARS,
    "moratorium.exempt": _REGISTRARS,
    "moratorium.extend": _REGISTRARS,
    "moratorium.lift": _REGISTRARS,
    "moratorium.shorten": _REGISTRARS,
    "tenant.add": _REGISTRARS,
    "tenant.credential": _REGISTRARS,
    "tenant.reinstate": _REGISTRARS,
    "tenant.revoke": _REGISTRARS,
    "tenant.suspend": _REGISTRARS,
    "tenant.terms": _REGISTRARS,
    "audit.clock": _ADMINISTRATORS,
    "audit.erase": _ADMINISTRATORS,
    "gallery.change": _ADMINISTRATORS,
    "gallery.index": _ADMINISTRATORS,
    "operator.add": _ADMINISTRATORS,
    "operator.credential": _ADMINISTRATORS,
    "operator.remove": _ADMINISTRATORS,
}
"""Act to the roles that may do it. An auditor reads everything and changes nothing."""

PROPOSAL_DAYS = 7
"""How long a proposal waits for its second operator."""


def may(role: str, act: str) -> bool:
    """Whether operators of a role may do an act. Raises KeyError for an act that nobody defined."""
    return role in MAY[act]
