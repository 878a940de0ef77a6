"""init, tenant, moratorium, operator and access on the command line: round trips, exit codes, one-line errors."""

from __future__ import annotations

import json
import shlex
import stat
from pathlib import Path

import pytest
from officials import Shell, forged, open_shell
from rulebook import SEARCH

from access.gate import Gate, Refused
from access.ledger.ledger import Ledger
from access.presets import preset_names
from foundation.errors import EXIT_ERROR, EXIT_REFUSED, EXIT_USAGE

LAW = ("--reason", "the law is in force")
SOON = "2031-01-01T00:00Z"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return open_shell(tmp_path)


@pytest.fixture
def sheriff(shell: Shell) -> str:
    return shell.tenant("Sheriff", "sheriff")


@pytest.fixture
def second(shell: Shell) -> str:
    return shell.operator("B. Bell")


def ask(shell: Shell, credential: str) -> str:
    """Asks and answers a search; returns the outcome."""
    gate = Gate.open(shell.home)
    try:
        gate.answer(gate.ask(credential, SEARCH), {"k": 20})
    except Refused as refused:
        return refused.decision.outcome
    finally:
        gate.handed_out()
    return "allowed"


# init


def test_init_makes_a_closed_home_and_says_whom_it_stops(tmp_path: Path) -> None:
    home, saved = tmp_path / "new" / "home", tmp_path / "operator.txt"
    shell = Shell(home, "none")
    out = shell.done("init", "--operator", "A. Clerk", "--save-credential", saved).out
    assert "not against someone who can write the data home" in out
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.iterdir()}
    assert all(mode == (0o700 if (home / name).is_dir() else 0o600) for name, mode in modes.items()), modes
    assert {"galleries", "ledger.key", "ledger.mark", "ledger.sqlite"} <= set(modes)


def test_init_prints_the_credential_once_where_it_is_not_saved(tmp_path: Path) -> None:
    told = Shell(tmp_path / "home", "none").json("init", "--operator", "A. Clerk")
    assert Shell(tmp_path / "home", told["credential"]).json("operator", "list")[0]["name"] == "A. Clerk"


def test_init_for_another_authority(tmp_path: Path) -> None:
    text = Shell(tmp_path / "home", "none").json("init", "--operator", "Judge", "--authority", "court")["credential"]
    assert Shell(tmp_path / "home", text).json("operator", "list")[0]["authority"] == "court"


def test_init_refuses_a_home_that_is_there_and_saves_no_credential(shell: Shell, tmp_path: Path) -> None:
    saved = tmp_path / "operator.txt"
    code, error = shell.fails("init", "--save-credential", saved)
    assert (code, f"{shell.home} is a data home already" in error) == (EXIT_USAGE, True)
    assert not saved.exists()


def test_init_refuses_a_folder_that_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, error = Shell(tmp_path, "none").fails("init")
    assert (code, "not an empty folder" in error) == (EXIT_USAGE, True)


def test_init_overwrites_no_saved_credential_and_then_makes_no_home(tmp_path: Path) -> None:
    saved = tmp_path / "operator.txt"
    saved.write_text("mine")
    code, error = Shell(tmp_path / "home", "none").fails("init", "--save-credential", saved)
    assert (code, "exists already; name a new file" in error) == (EXIT_USAGE, True)
    assert (saved.read_text(), (tmp_path / "home").exists()) == ("mine", False)


def test_init_takes_no_password_in_an_address(tmp_path: Path) -> None:
    code, error = Shell(tmp_path / "home", "none").fails("init", "--ledger", "postgresql://a:hunter2@host/ledger")
    assert (code, "hunter2" in error, "password" in error) == (EXIT_USAGE, False, True)
    assert list(tmp_path.iterdir()) == []


# The round trip


def test_from_registration_to_the_audit(shell: Shell, second: str, tmp_path: Path) -> None:
    saved = tmp_path / "sheriff.txt"
    shell.done("tenant", "add", "Sheriff", "--kind", "sheriff", "--gallery", "county", "--save-credential", saved)
    rescue = shell.tenant("Find Them", "anti-trafficking-organisation")
    declared = shell.json(
        *("moratorium", "declare", "june-2020", "--kind", "law-enforcement", "--for", "1y", "--reason", "law"),
        *("--kind", "anti-trafficking-organisation", "--exempt-tenant", "Find Them"),
    )
    assert (declared["state"], declared["outstanding"]) == ("in force", 0)
    states = {one["name"]: one for one in shell.json("tenant", "list")}
    assert states["Sheriff"]["barred_by"] == ["june-2020"]
    assert states["Find Them"]["barred_by"] == []
    assert (ask(shell, saved.read_text().strip()), ask(shell, rescue)) == ("refused", "held")
    number = shell.json("moratorium", "lift", "june-2020", *LAW)["proposal"]
    shell.done("moratorium", "lift", "june-2020", "--approve", number, credential=second)
    assert shell.json("moratorium", "list")[0]["state"] == "lifted"
    assert ask(shell, saved.read_text().strip()) == "allowed"
    assert shell.json("audit", "verify")["intact"] is True


def test_a_moratorium_is_shown_to_people_and_machines(shell: Shell) -> None:
    shell.done("moratorium", "declare", "june", "--kind", "law-enforcement", "--reason", "law", "--until", SOON)
    told = shell.json("moratorium", "show", "june")
    assert (told["named"], told["authority"], told["until"]) == (
        ["law-enforcement"],
        "vendor",
        "2031-01-01T00:00:00.000000Z",
    )
    assert "sheriff" in told["kinds"]
    out = shell.done("moratorium", "show", "june").out
    assert "until: 2031-01-01 00:00 UTC" in out
    assert "june" in shell.done("moratorium", "list").out


def test_extend_shorten_and_exempt(shell: Shell, sheriff: str, second: str) -> None:
    shell.done("moratorium", "declare", "june", "--kind", "police", "--reason", "law", "--for", "1y")
    shell.done("moratorium", "extend", "june", "--reason", "until further notice")
    assert shell.json("moratorium", "show", "june")["until"] is None
    for change in (("shorten", "--until", SOON), ("exempt", "--tenant", "Sheriff")):
        number = shell.json("moratorium", change[0], "june", *change[1:], *LAW)["proposal"]
        approved = shell.json("moratorium", change[0], "june", "--approve", number, credential=second)
        assert (approved["entry"], approved["proposal"]) == (number + 1, None)
    told = shell.json("moratorium", "show", "june")
    assert (told["until"], told["exempt_tenants"]) == ("2031-01-01T00:00:00.000000Z", ["Sheriff"])
    assert ask(shell, sheriff) == "allowed"


def test_what_is_proposed_is_told_with_the_command_that_approves_it(shell: Shell) -> None:
    shell.done("moratorium", "declare", "june", "--everyone", "--reason", "law")
    out = shell.done("moratorium", "lift", "june", *LAW).out
    assert "nothing has changed yet" in out
    assert f"within 7 days: afterfact moratorium lift june --approve {shell.head}" in out
    assert shell.json("moratorium", "show", "june")["state"] == "in force"


def test_the_command_that_is_told_works_for_names_with_spaces(shell: Shell, second: str) -> None:
    shell.done("moratorium", "declare", "june of 2020", "--everyone", "--reason", "law")
    out = shell.done("moratorium", "lift", "june of 2020", *LAW).out
    command = shlex.split(out.strip().rpartition("within 7 days: afterfact ")[2])
    shell.done(*command, credential=second)
    assert shell.json("moratorium", "show", "june of 2020")["state"] == "lifted"


def test_a_tenants_life(shell: Shell) -> None:
    shell.tenant("Sheriff", "sheriff", "--may", "index", "--for", "1y")
    shell.done("tenant", "terms", "Sheriff", "--gallery", "county", "--gallery", "cold-cases", "--reason", "agreement")
    made = shell.json("tenant", "credential", "Sheriff", "--person", "D. Ito")
    shell.done("tenant", "credential", "Sheriff", "--revoke", made["credential_id"], "--reason", "left the office")
    for act in ("suspend", "reinstate", "revoke"):
        assert "ledger entry" in shell.done("tenant", act, "Sheriff", "--reason", "because").out
    shown = shell.json("tenant", "show", "Sheriff")
    assert shown["licence"] == "revoked"
    assert (shown["terms"]["galleries"], shown["terms"]["operations"]) == (["cold-cases", "county"], ["index"])
    assert [one["revoked_why"] for one in shown["credentials"]] == [None, "left the office"]
    assert [one["what"] for one in shown["changes"]] == ["active", "terms", "suspended", "active", "revoked"]
    assert "secret" not in json.dumps(shown)
    assert "D. Ito" in shell.done("tenant", "show", "Sheriff").out


def test_registering_anew_takes_two_and_issues_the_credential_to_the_second(
    shell: Shell, sheriff: str, second: str, tmp_path: Path
) -> None:
    shell.done("tenant", "revoke", "Sheriff", "--reason", "searched without a case")
    anew = ("tenant", "add", "Sheriff II", "--kind", "sheriff", "--gallery", "county", "--formerly", "Sheriff")
    proposed = shell.json(*anew)
    assert set(proposed) == {"entry", "proposal"}
    saved = tmp_path / "anew.txt"
    shell.done(
        *("tenant", "add", "Sheriff II", "--approve", proposed["proposal"], "--save-credential", saved),
        credential=second,
    )
    assert ask(shell, saved.read_text().strip()) == "allowed"
    assert shell.json("tenant", "show", "Sheriff II")["formerly"] == "Sheriff"


def test_operators_come_and_go(shell: Shell, second: str) -> None:
    proposed = shell.json("operator", "add", "Judge", "--role", "licensing-officer", "--authority", "court")
    judge = shell.json("operator", "add", "Judge", "--approve", proposed["proposal"], credential=second)["credential"]
    made = shell.json("operator", "credential", "Judge", "--reason", "a second desk")
    shell.done("operator", "credential", "Judge", "--revoke", made["credential_id"], "--reason", "lost")
    listed = {one["name"]: one for one in shell.json("operator", "list", credential=judge)}
    assert (listed["Judge"]["authority"], listed["Judge"]["role"]) == ("court", "licensing-officer")
    assert len(listed["Judge"]["credentials"]) == 1
    shell.done("operator", "remove", "Judge", "--reason", "left the bench")
    assert shell.fails("operator", "list", credential=judge)[0] == EXIT_REFUSED
    assert "court" in shell.done("operator", "list").out


def test_rotating_ones_own_credential(shell: Shell, sheriff: str, tmp_path: Path) -> None:
    saved = tmp_path / "new.txt"
    shell.done("access", "rotate", "--save-credential", saved, credential=sheriff)
    assert ask(shell, saved.read_text().strip()) == "allowed"
    assert ask(shell, sheriff) == "refused"


def test_rotating_with_a_wrong_credential_leaves_no_file(shell: Shell, sheriff: str, tmp_path: Path) -> None:
    saved = tmp_path / "new.txt"
    assert shell.fails("access", "rotate", "--save-credential", saved, credential=forged(sheriff))[0] == EXIT_REFUSED
    assert not saved.exists()


def test_recovering_takes_nobodys_credential(shell: Shell, tmp_path: Path) -> None:
    saved = tmp_path / "clerk.txt"
    recovering = ("operator", "recover", "New Clerk", "--reason", "the only clerk died", "--save-credential", saved)
    shell.done(*recovering, credential="nothing")
    assert len(shell.json("operator", "list", credential=saved.read_text().strip())) == 2


def test_approving_a_query(shell: Shell, sheriff: str, second: str) -> None:
    terms = ("--kind", "police", "--exempt-purpose", "robbery", "--reason", "law")
    shell.done("moratorium", "declare", "terms", *terms)
    assert ask(shell, sheriff) == "held"
    leave = ("access", "approve", "--tenant", "Sheriff", "--case", SEARCH.case, "--purpose", "robbery")
    entry = shell.json(*leave, "--reason", "report 88", credential=second)["entry"]
    assert entry == shell.head
    assert ask(shell, sheriff) == "allowed"


def test_naming_a_gallerys_owner(shell: Shell, sheriff: str) -> None:
    rescue = shell.tenant("Find Them", "anti-trafficking-organisation")
    owner = ("access", "owner", "county", "--tenant", "Sheriff", "--reason", "agreement")
    assert f"ledger entry {shell.head + 1}" in shell.done(*owner).out
    shell.done("tenant", "suspend", "Sheriff", "--reason", "audit overdue")
    assert ask(shell, rescue) == "refused"


def test_suspending_and_declaring_tell_that_nothing_is_outstanding(shell: Shell, sheriff: str) -> None:
    ask(shell, sheriff)
    told = shell.json("tenant", "suspend", "Sheriff", "--reason", "audit overdue")
    assert (told["entry"], told["outstanding"]) == (shell.head, 0)
    declared = shell.done("moratorium", "declare", "june", "--everyone", "--reason", "law").out
    assert "Every answer allowed before it has been handed out." in declared


# Presets


def test_the_presets_are_listed_with_what_they_were(shell: Shell) -> None:
    assert sorted(shell.json("moratorium", "presets")) == preset_names()
    out = shell.done("moratorium", "presets").out
    assert all(name in out for name in preset_names())


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_can_be_declared_by_name(shell: Shell, name: str) -> None:
    told = shell.json("moratorium", "declare", "m", "--preset", name)
    assert (told["preset"], bool(told["reason"])) == (name, True)


def test_a_preset_that_begins_now_keeps_its_length_from_now(shell: Shell) -> None:
    told = shell.json("moratorium", "declare", "june", "--preset", "amazon-statement-2020", "--from", "now")
    assert told["state"] == "in force"
    assert told["from"] == told["declared"]
    assert (int(told["until"][:4]), told["until"][4:]) == (int(told["from"][:4]) + 1, told["from"][4:])


def test_a_preset_of_its_own_day_lies_where_it_lay(shell: Shell) -> None:
    told = shell.json("moratorium", "declare", "june", "--preset", "amazon-statement-2020")
    assert (told["from"][:10], told["until"][:10], told["state"]) == ("2020-06-10", "2021-06-10", "ended")


def test_a_presets_exemption_is_given_at_the_declaration(shell: Shell) -> None:
    shell.tenant("Find Them", "anti-trafficking-organisation")
    preset = ("--preset", "amazon-statement-2020", "--from", "now", "--exempt-tenant", "Find Them")
    assert shell.json("moratorium", "declare", "june", *preset)["exempt_tenants"] == ["Find Them"]


@pytest.mark.parametrize(
    "own", [("--kind", "police"), ("--everyone",), ("--operation", "index"), ("--authority", "court")]
)
def test_a_preset_is_not_bent(shell: Shell, own: tuple[str, ...]) -> None:
    code, error = shell.fails("moratorium", "declare", "june", "--preset", "aclu-2020", *own)
    assert (code, f"--preset aclu-2020 sets {own[0]} itself" in error) == (EXIT_USAGE, True)


# Bad values


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("tenant add X --kind sherif --gallery c", "unknown kind 'sherif'; did you mean 'sheriff'?"),
        ("tenant add X --kind sheriff --gallery c --may serch", "unknown operation 'serch'; did you mean 'search'?"),
        ("tenant add X --kind sheriff --gallery c --purpose robery", "unknown purpose 'robery'; did you mean"),
        ("tenant add X --kind sheriff --gallery c --until 2027-01-01", "--until '2027-01-01' names no time zone"),
        ("tenant add X --kind sheriff --gallery c --for 1m", "--for '1m' is no duration"),
        ("tenant add X --kind sheriff --gallery c --from 2020-01-01T00:00Z", "lies before now"),
        ("tenant add X --kind sheriff --gallery c --largest-k 51", "--largest-k is 51; give 2 to 50"),
        ("tenant add X --kind sheriff --gallery c --must-state base", "did you mean 'basis'?"),
        ("tenant add X --kind sheriff", "give --gallery"),
        ("tenant add X --gallery c", "--kind is missing"),
        ("tenant add X --kind sheriff --gallery c --approver", "give --person"),
        ("tenant add X --kind sheriff --gallery c --formerly Nobody", "unknown tenant 'Nobody'"),
        ("tenant suspend Sherif --reason x", "unknown tenant 'Sherif'; did you mean 'Sheriff'?"),
        ("tenant suspend Sheriff", "Missing option '--reason'"),
        ("tenant credential Sheriff --revoke 00", "--revoke needs --reason"),
        ("tenant credential Sheriff --revoke 00 --reason x", "the 16 digits between its two dots"),
        ("tenant credential Sheriff --revoke 0000000000000000 --reason x", "no valid credential 0000000000000000"),
        ("tenant reinstate Sheriff --reason x", "is active; there is nothing to reinstate"),
        ("tenant terms Sheriff --reason x", "nothing to change"),
        ("tenant list --at 2027-01-01", "--at '2027-01-01' names no time zone"),
        ("tenant list --credential-file /nonexistent", "cannot be read"),
        ("moratorium lift jun --reason x", "unknown moratorium 'jun'"),
        ("moratorium lift june", "--reason is missing"),
        ("moratorium lift june --reason x --approve 4", "leave out --reason"),
        ("moratorium lift june --approve 4", "--approve 4 is no proposal of moratorium.lift for 'june'"),
        ("moratorium exempt june --reason x", "--tenant, --kind or --purpose is missing"),
        ("moratorium exempt june --tenant Sherif --reason x", "did you mean 'Sheriff'?"),
        ("moratorium shorten june --until 2020-01-01T00:00Z --reason x", "does not lie between now and the end"),
        ("moratorium declare m --kind police --reason x --from yesterday", "'yesterday' is no ISO 8601"),
        ("moratorium declare m --kind police --reason x --from 2026-06-10T00:00", "names no time zone"),
        ("moratorium declare m --kind police --reason x --until 99999-01-01T00:00Z", "is no ISO 8601"),
        ("moratorium declare m --kind police --reason x --for 9999y", "ends after the year 9999"),
        ("moratorium declare m --kind police", "--reason is missing"),
        ("moratorium declare m --reason x", "give --kind, --tenant or --everyone"),
        ("moratorium declare m --preset amazon-2020", "unknown preset 'amazon-2020'"),
        ("moratorium declare m --kind police --reason x --authority cort", "'cort' is not one of 'vendor', 'court'"),
        ("moratorium declare m --kind police --reason x --link ftp://x", "is no http or https address"),
        ("moratorium show jun", "did you mean 'june'?"),
        ("moratorium review jun", "did you mean 'june'?"),
        ("operator add X --role admin", "unknown role 'admin'"),
        ("operator add X", "--role is missing"),
        ("operator remove Nobody --reason x", "unknown operator 'Nobody'"),
        ("operator credential Nobody --reason x", "unknown operator 'Nobody'"),
        ("access check --tenant Sherif", "did you mean 'Sheriff'?"),
        ("access check --tenant Sheriff --at 2027-01-01", "names no time zone"),
        ("access approve --tenant Sheriff --case 1 --purpose robery --reason x", "did you mean 'robbery'?"),
        ("access owner county --tenant Sherif --reason x", "did you mean 'Sheriff'?"),
        ("access approve --tenant Sheriff --case 1 --purpose robbery --reason x --for 1m", "'1m' is no duration"),
        ("audit show --limit 0", "0 is not in the range"),
        ("audit report --year 99999", "99999 is not in the range"),
    ],
)
def test_a_wrong_value_gets_one_line_and_leaves_no_entry(shell: Shell, sheriff: str, arguments: str, says: str) -> None:
    shell.done("moratorium", "declare", "june", "--kind", "police", "--reason", "law")
    before = shell.head
    code, error = shell.fails(*arguments.split())
    assert (code, says in error) == (EXIT_USAGE, True), error
    assert shell.head == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("tenant", "add", "\udcff", "--kind", "sheriff", "--gallery", "c"),
        ("tenant", "add", "X", "--kind", "\udcff", "--gallery", "c"),
        ("tenant", "suspend", "X\udcff", "--reason", "x"),
        ("tenant", "suspend", "Sheriff", "--reason", "x\udcff"),
        ("tenant", "terms", "Sheriff", "--case-pattern", "\udcff", "--reason", "x"),
        ("moratorium", "declare", "m\n", "--everyone", "--reason", "x"),
        ("moratorium", "declare", "m", "--everyone", "--reason", "x\x1b[2J"),
        ("moratorium", "declare", "m", "--everyone", "--reason", "x" * 501),
        ("moratorium", "declare", "m", "--everyone", "--reason", "x", "--from", "\udcff"),
        ("access", "check", "--tenant", "\udcff"),
        ("access", "approve", "--tenant", "Sheriff", "--case", "\udcff", "--purpose", "robbery", "--reason", "x"),
        ("operator", "recover", "\x00", "--reason", "x"),
    ],
)
def test_bytes_that_are_no_text_are_a_wrong_value_like_any_other(
    shell: Shell, sheriff: str, arguments: tuple[str, ...]
) -> None:
    before = shell.head
    code, error = shell.fails(*arguments)
    assert (code, shell.head) == (EXIT_USAGE, before)
    assert error.isascii() or error.isprintable() or error.rstrip("\n").isprintable()


def test_a_check_of_bytes_that_are_no_text_is_a_refusal(shell: Shell, sheriff: str) -> None:
    finished = shell.run("access", "check", "--tenant", "Sheriff", "--purpose", "robbery", "--case", "\udcff")
    assert (finished.code, "control or invisible" in " ".join(finished.out.split())) == (EXIT_REFUSED, True)


def test_names_are_one_in_either_unicode_form(shell: Shell) -> None:
    shell.tenant("Jose\u0301", "research")
    assert shell.json("tenant", "show", "Jos\u00e9")["name"] == "Jos\u00e9"
    assert shell.fails("tenant", "add", "JOSE\u0301", "--kind", "research", "--gallery", "c")[0] == EXIT_USAGE
    shell.done("moratorium", "declare", "e\u0301te\u0301", "--tenant", "Jose\u0301", "--reason", "law")
    assert shell.json("moratorium", "show", "\u00e9t\u00e9")["tenants"] == ["Jos\u00e9"]


@pytest.mark.parametrize(
    "more",
    [
        ("tenant", "add", "Sheriff II", "--largest-k", "5"),
        ("tenant", "add", "Sheriff II", "--kind", "research"),
        ("operator", "add", "Judge", "--role", "auditor"),
    ],
)
def test_who_approves_does_not_change_the_terms(shell: Shell, second: str, more: tuple[str, ...]) -> None:
    shell.tenant("Sheriff", "sheriff")
    shell.done("tenant", "revoke", "Sheriff", "--reason", "x")
    anew = ("--kind", "sheriff", "--gallery", "county", "--formerly", "Sheriff")
    other = ("--role", "licensing-officer", "--authority", "court")
    number = shell.json(*more[:3], *(anew if more[0] == "tenant" else other))["proposal"]
    code, error = shell.fails(*more, "--approve", number, credential=second)
    assert (code, f"leave out {more[3]}" in error) == (EXIT_USAGE, True)


def test_revoking_an_operators_credential_saves_none(shell: Shell, second: str, tmp_path: Path) -> None:
    saved = tmp_path / "new.txt"
    revoking = ("operator", "credential", "B. Bell", "--revoke", second.split(".")[1], "--reason", "lost")
    assert shell.fails(*revoking, "--save-credential", saved)[0] == EXIT_USAGE
    assert not saved.exists()


# Refusals


@pytest.mark.parametrize(
    "arguments",
    [
        *("tenant list", "tenant show Sheriff", "audit show", "operator list", "tenant suspend Sheriff --reason x"),
        *("moratorium declare m --everyone --reason x", "access check --tenant Sheriff", "audit clock --confirm"),
        *("operator add X --role auditor", "access owner county --tenant Sheriff --reason x"),
    ],
)
def test_a_tenant_is_refused_with_3_and_an_entry(shell: Shell, sheriff: str, arguments: str) -> None:
    before = shell.head
    code, error = shell.fails(*arguments.split(), credential=sheriff)
    assert (code, "is for operators of this archive" in error) == (EXIT_REFUSED, True)
    assert [one.entry.type for one in Ledger(shell.home).recent(9, after=before)] == ["registry.refused"]


@pytest.mark.parametrize("arguments", ["tenant list", "moratorium declare m --everyone --reason x", "access rotate"])
def test_a_stranger_is_refused_with_3_and_told_nothing(shell: Shell, sheriff: str, arguments: str) -> None:
    code, error = shell.fails(*arguments.split(), credential=forged(sheriff))
    assert (code, "the credential is not known here" in error) == (EXIT_REFUSED, True)
    assert "Sheriff" not in error


def test_without_a_credential_one_line_says_how_to_give_it(shell: Shell) -> None:
    code, error = shell.fails("audit", "show", credential=" ")
    assert (code, "set AFTERFACT_CREDENTIAL or give --credential-file FILE" in error) == (EXIT_USAGE, True)


def test_moratoria_are_public_and_so_is_whether_the_ledger_is_whole(shell: Shell) -> None:
    for public in (("moratorium", "list"), ("moratorium", "presets"), ("audit", "verify"), ("audit", "head")):
        shell.done(*public, credential=" ")


def test_an_absent_home_says_what_to_run(tmp_path: Path) -> None:
    code, error = Shell(tmp_path / "none", "x").fails("audit", "verify")
    assert (code, "run 'afterfact init'" in error) == (EXIT_ERROR, True)
