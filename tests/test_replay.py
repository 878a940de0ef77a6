"""From rule entries to the present state: what each leads to, and that whatever is not understood stops everything."""

from __future__ import annotations

from typing import Any

import pytest
from rulebook import BY, EVERYTHING, WHY, at_hour, chain

from access.ledger.chain import RULE_TYPES
from access.ledger.errors import LedgerUnreadable
from access.replay import read_terms, rules_from

Draft = tuple[str, str, dict[str, Any]]

TERMS = EVERYTHING.as_json()
NEW = {"kind": "sheriff", "formerly": None, "from": at_hour(2), "terms": TERMS, **WHY}
ADDED: Draft = ("tenant.added", "Sheriff", NEW)
JUNE = {
    "authority": "court",
    "preset": None,
    "reason": "law",
    "link": None,
    "from": at_hour(4),
    "until": at_hour(8),
    "named": ["police"],
    "kinds": ["sheriff"],
    "tenants": [],
    "everyone": False,
    "operations": ["search"],
    "apart": ["evaluate"],
    "exempt_tenants": [],
    "exempt_kinds": [],
    "exempt_purposes": [],
    "by": BY,
}
DECLARED: Draft = ("moratorium.declared", "june", JUNE)
CREDENTIAL = {
    "credential": "ab" * 8,
    "role": "operator",
    "person": "clerk",
    "approver": False,
    "until": None,
    "secret_sha256": "5" * 64,
    **WHY,
}


def licence(what: str, hour: int, **more: Any) -> Draft:
    return (f"licence.{what}", "Sheriff", {"from": at_hour(hour), **WHY, **more})


def about_june(what: str, **more: Any) -> Draft:
    return (f"moratorium.{what}", "june", {**WHY, **more})


def states(*drafts: Draft) -> str:
    found = rules_from(chain(*drafts)).tenants["Sheriff"].licence
    standings = [found.at(at_hour(hour)) for hour in range(1, 10)]
    return "".join(one.state[0] if one else "-" for one in standings)


def test_a_licence_is_read_with_every_change_and_its_date() -> None:
    assert states(ADDED) == "-aaaaaaaa"
    assert states(ADDED, licence("suspended", 5)) == "-aaasssss"
    assert states(ADDED, licence("suspended", 4), licence("reinstated", 7, until=None)) == "-aasssaaa"
    assert states(ADDED, licence("revoked", 6), licence("suspended", 4)) == "-aassrrrr"


def test_new_terms_and_a_new_end_are_read() -> None:
    narrow = licence("terms", 4, terms={**TERMS, "galleries": [], "until": at_hour(6)})
    found = rules_from(chain(ADDED, narrow, licence("reinstated", 5, until=at_hour(9)))).tenants["Sheriff"].licence
    seen = [found.at(at_hour(hour)) for hour in (3, 4, 5)]
    assert [(sorted(one.terms.galleries), one.terms.until) for one in seen if one] == [
        (["county"], None),
        ([], at_hour(6)),
        ([], at_hour(9)),
    ]


def test_every_change_keeps_who_made_it_when_and_why() -> None:
    made = rules_from(chain(ADDED, licence("suspended", 7))).tenants["Sheriff"].licence.changes[1]
    assert (made.what, made.effective, made.entry, made.made) == ("suspended", at_hour(7), 4, at_hour(3))
    assert (made.by, made.why) == ("clerk", "because")


def test_the_state_is_known_as_it_was_at_any_moment() -> None:
    entries = chain(ADDED, licence("suspended", 3), DECLARED, about_june("lifted"))
    assert "Sheriff" not in rules_from(entries, at=at_hour(1)).tenants
    assert len(rules_from(entries, at=at_hour(2)).tenants["Sheriff"].licence.changes) == 1
    assert len(rules_from(entries, at=at_hour(3)).tenants["Sheriff"].licence.changes) == 2
    assert rules_from(entries, at=at_hour(4)).moratoria["june"].lifted is None
    assert rules_from(entries, at=at_hour(5)).moratoria["june"].lifted == at_hour(5)


def test_a_moratorium_is_read_with_what_changed_since() -> None:
    exempted = about_june("exempted", tenants=["Sheriff"], kinds=["prosecutor"], purposes=["homicide"])
    june = rules_from(chain(ADDED, DECLARED, about_june("extended", until=None), exempted)).moratoria["june"]
    assert (june.authority, june.start, june.until, june.entry) == ("court", at_hour(4), None, 4)
    assert (june.exempt_tenants, june.exempt_kinds, june.exempt_purposes) == (
        {"Sheriff"},
        {"prosecutor"},
        {"homicide"},
    )
    assert rules_from(chain(DECLARED, about_june("shortened", until=at_hour(5)))).moratoria["june"].until == at_hour(5)
    ended = ("moratorium.ended", "june", {"until": at_hour(8)})
    assert rules_from(chain(DECLARED, ended)).moratoria["june"].end_told


def test_operators_come_with_role_and_authority_and_go() -> None:
    judge = ("operator.added", "judge", {"role": "auditor", "authority": "court", **WHY})
    rules = rules_from(chain(judge, ("operator.removed", "clerk", WHY)))
    assert rules.operator("clerk") is None
    known = rules.operator("judge")
    assert known is not None
    assert (known.role, known.authority) == ("auditor", "court")


def test_a_proposal_is_done_by_the_entry_that_names_it() -> None:
    proposed = ("proposal.made", "june", {"act": "moratorium.lift", "terms": {}, **WHY})
    lifted = ("moratorium.lifted", "june", {**WHY, "by": {**BY, "proposal": 4, "proposed_by": "clerk"}})
    assert rules_from(chain(DECLARED, proposed)).proposals[4].done is None
    assert rules_from(chain(DECLARED, proposed, lifted)).proposals[4].done == 5


def test_a_gallery_belongs_to_the_last_owner_named() -> None:
    police = ("tenant.added", "Police", NEW)
    owned = [("gallery.owned", "county", {"owner": owner, **WHY}) for owner in ("Sheriff", "Police")]
    assert rules_from(chain(ADDED, police, *owned)).owners == {"county": "Police"}


def test_terms_are_read_as_they_were_written() -> None:
    assert read_terms(TERMS) == EVERYTHING


def test_digests_of_secrets_stay_out_of_repr() -> None:
    rules = rules_from(chain(("credential.issued", "clerk", CREDENTIAL)))
    assert "ab" * 8 in rules.credentials
    assert "5555" not in repr(rules)


EACH: dict[str, Draft] = {
    "ledger.created": ("ledger.created", "ledger", {"format": 2}),
    "operator.added": ("operator.added", "judge", {"role": "auditor", "authority": "court", **WHY}),
    "operator.recovered": ("operator.recovered", "heir", {"role": "administrator", "authority": "vendor", **WHY}),
    "operator.removed": ("operator.removed", "clerk", dict(WHY)),
    "credential.issued": ("credential.issued", "clerk", CREDENTIAL),
    "credential.revoked": ("credential.revoked", "clerk", {"credential": "cd" * 8, **WHY}),
    "tenant.added": ("tenant.added", "Police", NEW),
    "licence.terms": licence("terms", 5, terms=TERMS),
    "licence.suspended": licence("suspended", 5),
    "licence.reinstated": licence("reinstated", 5, until=None),
    "licence.revoked": licence("revoked", 5),
    "gallery.owned": ("gallery.owned", "county", {"owner": "Sheriff", **WHY}),
    "moratorium.declared": ("moratorium.declared", "july", JUNE),
    "moratorium.extended": about_june("extended", until=None),
    "moratorium.shortened": about_june("shortened", until=at_hour(5)),
    "moratorium.exempted": about_june("exempted", tenants=[], kinds=[], purposes=[]),
    "moratorium.lifted": about_june("lifted"),
    "moratorium.ended": ("moratorium.ended", "june", {"until": at_hour(8)}),
    "proposal.made": ("proposal.made", "june", {"act": "moratorium.lift", "terms": {}, **WHY}),
    "details.erased": ("details.erased", "ledger", {"entries": [1], "authority": "court", "dated": "x", **WHY}),
}
BEFORE: list[Draft] = [ADDED, DECLARED, ("credential.issued", "clerk", {**CREDENTIAL, "credential": "cd" * 8})]


def test_every_type_of_rule_entry_is_tried_here() -> None:
    assert set(EACH) == RULE_TYPES


@pytest.mark.parametrize("type_", sorted(EACH))
def test_each_type_is_understood_whole_and_with_a_field_more_or_less_not_at_all(type_: str) -> None:
    _, subject, body = EACH[type_]
    rules_from(chain(*BEFORE, (type_, subject, body)))
    wrong = [{**body, "newer": 1}, *({name: one for name, one in body.items() if name != left} for left in body)]
    for odd in wrong:
        with pytest.raises(LedgerUnreadable, match=rf"entry 6 \({type_}\) is not understood"):
            rules_from(chain(*BEFORE, (type_, subject, odd)))


def changed(type_: str, **fields: Any) -> Draft:
    _, subject, body = EACH[type_]
    return (type_, subject, {**body, **fields})


@pytest.mark.parametrize(
    ("draft", "says"),
    [
        (("tenant.promoted", "Sheriff", dict(WHY)), "tenant.promoted"),
        (("ledger.created", "ledger", {"format": 3}), "format 3"),
        (changed("operator.added", role="king"), "king"),
        (changed("operator.added", authority="mob"), "mob"),
        (changed("operator.recovered", role="king"), "king"),
        (changed("credential.issued", role="robot"), "robot"),
        (changed("tenant.added", terms={**TERMS, "operations": ["clone"]}), "clone"),
        (changed("tenant.added", terms={**TERMS, "must_state": ["mood"]}), "mood"),
        (changed("tenant.added", terms={**TERMS, "newer": 1}), "newer"),
        (changed("tenant.added", terms={name: TERMS[name] for name in TERMS if name != "until"}), "until"),
        (changed("tenant.added", terms=None), "NoneType"),
        (changed("tenant.added", formerly="Nobody"), "Nobody"),
        (changed("licence.terms", terms={**TERMS, "operations": ["clone"]}), "clone"),
        (changed("moratorium.declared", authority="mob"), "mob"),
        (changed("moratorium.declared", operations=["breathe"]), "breathe"),
        (changed("moratorium.declared", apart=["breathe"]), "breathe"),
        (changed("gallery.owned", owner="Nobody"), "Nobody"),
        (changed("moratorium.lifted", by={**BY, "proposal": 99}), "99"),
        (("credential.issued", "Nobody", CREDENTIAL), "unknown holder 'Nobody'"),
        (("credential.issued", "clerk", {**CREDENTIAL, "role": "tenant"}), "unknown holder 'clerk'"),
        (("credential.revoked", "clerk", {"credential": "ff" * 8, **WHY}), "ffff"),
        (("licence.suspended", "Nobody", {"from": at_hour(5), **WHY}), "Nobody"),
        (("moratorium.lifted", "july", dict(WHY)), "july"),
        (("operator.removed", "nobody", dict(WHY)), "nobody"),
    ],
)
def test_an_unknown_word_name_or_format_stops_everything(draft: Draft, says: str) -> None:
    with pytest.raises(LedgerUnreadable, match=f"entry 6 .*{says}"):
        rules_from(chain(*BEFORE, draft))


@pytest.mark.parametrize(
    "draft",
    [
        ADDED,
        DECLARED,
        ("credential.issued", "clerk", {**CREDENTIAL, "credential": "cd" * 8}),
        ("operator.added", "clerk", {"role": "auditor", "authority": "vendor", **WHY}),
        ("operator.recovered", "clerk", {"role": "administrator", "authority": "vendor", **WHY}),
    ],
)
def test_a_name_given_a_second_time_stops_everything(draft: Draft) -> None:
    with pytest.raises(LedgerUnreadable, match=r"entry 6 .*a second time"):
        rules_from(chain(*BEFORE, draft))


@pytest.mark.parametrize("what", ["suspended", "reinstated", "revoked", "terms"])
def test_a_change_after_a_revocation_stops_everything(what: str) -> None:
    more = {"reinstated": {"until": None}, "terms": {"terms": TERMS}}.get(what, {})
    for hour in (5, 6):
        with pytest.raises(LedgerUnreadable, match=r"entry 5 .*never comes back"):
            rules_from(chain(ADDED, licence("revoked", 5), licence(what, hour, **more)))


def test_a_body_that_is_no_json_stops_everything() -> None:
    *good, last = chain(ADDED)
    for body in ("", "{", "[]", "null", '"text"'):
        with pytest.raises(LedgerUnreadable, match="entry 3"):
            rules_from([*good, last._replace(body=body)])


def test_the_error_says_that_nothing_is_answered_and_what_to_do() -> None:
    with pytest.raises(LedgerUnreadable) as caught:
        rules_from(chain(("tenant.promoted", "Sheriff", dict(WHY))))
    assert "nothing is answered: use the version that wrote it or a newer one" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_licence_from_before_there_were_cut_offs_has_none() -> None:
    older = {name: value for name, value in TERMS.items() if name != "mark_fpir"}

    assert read_terms(older) == read_terms({**TERMS, "mark_fpir": None})


@pytest.mark.parametrize("share", ["1", "0", "0.0", "-0.1", "1e-3", "a tenth", 0.01, ["0.01"]])
def test_a_cut_off_that_is_no_share_is_not_understood(share: object) -> None:
    with pytest.raises(ValueError, match="share"):
        read_terms({**TERMS, "mark_fpir": share})
