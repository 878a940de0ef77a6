"""Acts on moratoria: declare, extend, shorten, exempt, lift. Each is a new entry; none is ever edited."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from access.acts.desk import Desk, moratorium_named, new_name, tenant_named
from access.ledger.chain import Draft, Entry
from access.names import read_name, read_reason, recordable
from access.replay import declared
from access.rules import APART, AUTHORITIES, BARRED, Moratorium, Rules
from access.times import read_end, read_moment, shown
from access.vocabulary import Vocabulary, one_of
from foundation.errors import InputError


@dataclass(frozen=True)
class MoratoriumTerms:
    """A moratorium as an operator or a preset words it. Times are ISO 8601 with a zone, or "now"; `duration` is 1y,
    30d, 12h.

    `kinds` and `exempt_kinds` may name groups. No operation named means search; no end named means until further
    notice.
    """

    name: str
    reason: str
    kinds: Sequence[str] = ()
    tenants: Sequence[str] = ()
    everyone: bool = False
    start: str = "now"
    until: str | None = None
    duration: str | None = None
    operations: Sequence[str] = ()
    apart: Sequence[str] = ()
    exempt_tenants: Sequence[str] = ()
    exempt_kinds: Sequence[str] = ()
    exempt_purposes: Sequence[str] = ()
    link: str | None = None
    authority: str = "vendor"
    preset: str | None = None

    def body(self, vocabulary: Vocabulary, rules: Rules, now: str) -> dict[str, Any]:
        """Returns the entry's body. Raises InputError for a value that is not allowed."""
        if self.everyone == bool(self.kinds or self.tenants):
            raise InputError("a moratorium covers kinds or tenants, or everyone; give --kind, --tenant or --everyone")
        start = read_moment(self.start, now, "--from")
        wanted = self.operations or ("search",)
        return {
            "authority": one_of(self.authority, AUTHORITIES, "authority"),
            "preset": self.preset,
            "reason": read_reason(self.reason),
            "link": _link(self.link),
            "from": start,
            "until": read_end(self.until, self.duration, start, now),
            "named": sorted(set(self.kinds)),
            "kinds": sorted(vocabulary.expand(self.kinds)),
            "tenants": sorted({tenant_named(rules, one).name for one in self.tenants}),
            "everyone": self.everyone,
            "operations": sorted({one_of(one, BARRED, "operation") for one in wanted}),
            "apart": sorted({one_of(one, APART, "operation that can stand apart") for one in self.apart}),
            "exempt_tenants": sorted({tenant_named(rules, one).name for one in self.exempt_tenants}),
            "exempt_kinds": sorted(vocabulary.expand(self.exempt_kinds)),
            "exempt_purposes": sorted({one_of(one, vocabulary.purposes, "purpose") for one in self.exempt_purposes}),
        }

    def as_declared(self, vocabulary: Vocabulary, rules: Rules, now: str) -> Moratorium:
        """Returns the moratorium that this would be, declared now. Raises InputError as body does."""
        return declared(
            new_name(self.name, "moratorium name", rules.moratoria), now, 0, self.body(vocabulary, rules, now)
        )


@dataclass(frozen=True)
class Exemption:
    """Whom and what a standing moratorium is to let go on."""

    tenants: Sequence[str] = ()
    kinds: Sequence[str] = ()
    purposes: Sequence[str] = ()


class Moratoria(Desk):
    """What an operator does to moratoria. Whoever registers may declare one for any authority; only operators of that
    authority change it, and two of them where it is loosened."""

    def declare(self, terms: MoratoriumTerms) -> Entry:
        """Declares a moratorium. It binds every decision recorded after its entry; past answers stay as they are."""

        def drafts(rules: Rules, now: str) -> list[Draft]:
            name = new_name(terms.name, "moratorium name", rules.moratoria)
            return [Draft("moratorium.declared", name, terms.body(self.gate.vocabulary, rules, now))]

        return self.act("moratorium.declare", drafts)

    def extend(self, name: str, reason: str, *, until: str | None = None, duration: str | None = None) -> Entry:
        """Moves the end of a moratorium to a later one, or to further notice where none is given."""
        why = read_reason(reason)

        def drafts(rules: Rules, now: str) -> list[Draft]:
            known = _unfinished(rules, name, now)
            end = read_end(until, duration, known.until or known.start, now)
            if known.until is None or (end is not None and end <= known.until):
                raise InputError(f"moratorium {known.name!r} lasts until {shown(known.until)}; give a later end")
            return [Draft("moratorium.extended", known.name, {"until": end, "why": why})]

        return self.act("moratorium.extend", drafts, authority=_authority(name))

    def shorten(self, name: str, until: str, reason: str) -> Entry:
        """Proposes an earlier end, which lies ahead."""

        def terms(_rules: Rules, now: str) -> dict[str, Any]:
            return {"until": read_moment(until, now, "--until")}

        return self._propose("moratorium.shorten", name, terms, reason, _shortened(name))

    def exempt(self, name: str, exemption: Exemption, reason: str) -> Entry:
        """Proposes to let tenants, kinds or purposes go on under a standing moratorium."""
        vocabulary = self.gate.vocabulary

        def terms(rules: Rules, _now: str) -> dict[str, Any]:
            return {
                "tenants": sorted({tenant_named(rules, one).name for one in exemption.tenants}),
                "kinds": sorted(vocabulary.expand(exemption.kinds)),
                "purposes": sorted({one_of(one, vocabulary.purposes, "purpose") for one in exemption.purposes}),
            }

        if exemption == Exemption():
            raise InputError("nothing to exempt; give --tenant, --kind or --purpose")
        return self._propose("moratorium.exempt", name, terms, reason, _exempted(name))

    def lift(self, name: str, reason: str) -> Entry:
        """Proposes to lift a moratorium that is upcoming or in force."""
        return self._propose("moratorium.lift", name, lambda _rules, _now: {}, reason, _lifted(name))

    def approve_change(self, act: str, name: str, number: int) -> Entry:
        """Approves what another operator proposed with shorten, exempt or lift."""
        drafts = {"moratorium.shorten": _shortened, "moratorium.exempt": _exempted, "moratorium.lift": _lifted}[act]
        subject = read_name(name, "moratorium")
        return self.approve(act, subject, number, drafts(name), authority=_authority(name))

    def _propose(
        self, act: str, name: str, terms: Callable[[Rules, str], Mapping[str, Any]], reason: str, drafts: Any
    ) -> Entry:
        return self.propose(act, read_name(name, "moratorium"), terms, reason, drafts, authority=_authority(name))


def with_preset(preset: Mapping[str, Any], terms: MoratoriumTerms, start: str | None) -> MoratoriumTerms:
    """Returns terms with a preset's in the place of those that the operator left out; exemptions add up.

    Whoever names another start keeps the preset's length, unless they name an end; a preset's own end goes with its
    own start only.
    """
    times: dict[str, Any] = {"start": start or preset.get("from", "now")}
    if terms.until is None and terms.duration is None:
        times |= {"until": None if start else preset.get("until"), "duration": preset.get("for")}
    return replace(
        terms,
        reason=terms.reason or preset["reason"],
        link=terms.link or preset.get("link"),
        authority=preset["authority"],
        kinds=preset.get("kinds", ()),
        everyone=preset.get("everyone", False),
        operations=preset["operations"],
        apart=preset.get("apart", ()),
        exempt_kinds=[*preset.get("exempt_kinds", ()), *terms.exempt_kinds],
        exempt_purposes=[*preset.get("exempt_purposes", ()), *terms.exempt_purposes],
        **times,
    )


def _authority(name: str) -> Callable[[Rules], str]:
    return lambda rules: moratorium_named(rules, name).authority


def _unfinished(rules: Rules, name: str, now: str) -> Moratorium:
    known = moratorium_named(rules, name)
    state = known.state(now)
    if state in ("ended", "lifted"):
        raise InputError(f"moratorium {known.name!r} is {state} already; declare another one")
    return known


def _shortened(name: str) -> Any:
    def drafts(rules: Rules, now: str, terms: Mapping[str, Any], why: str) -> list[Draft]:
        known, end = _unfinished(rules, name, now), terms["until"]
        if end < now or end <= known.start or (known.until is not None and end >= known.until):
            raise InputError(
                f"--until {shown(end)} does not lie between now and the end of {known.name!r}, {shown(known.until)}"
            )
        return [Draft("moratorium.shortened", known.name, {"until": end, "why": why})]

    return drafts


def _exempted(name: str) -> Any:
    def drafts(rules: Rules, now: str, terms: Mapping[str, Any], why: str) -> list[Draft]:
        known = _unfinished(rules, name, now)
        return [Draft("moratorium.exempted", known.name, {**terms, "why": why})]

    return drafts


def _lifted(name: str) -> Any:
    def drafts(rules: Rules, now: str, _terms: Mapping[str, Any], why: str) -> list[Draft]:
        return [Draft("moratorium.lifted", _unfinished(rules, name, now).name, {"why": why})]

    return drafts


def _link(text: str | None) -> str | None:
    if text is None:
        return None
    if not re.fullmatch(r"https?://[^\s\"'<>]{1,490}", text) or not text.isprintable():
        raise InputError(f"--link {recordable(text[:80])!r} is no http or https address")
    return text
