"""`afterfact gallery`, as the front door runs it."""

import json
import re
import shutil

import pytest
from conftest import done
from handmade import ledger_of
from indexing import index_archive

import afterfact
from indexer.gallery import Gallery
from indexer.limits import Limits


@pytest.fixture
def gallery(indexed_home, capsys, monkeypatch):
    """Returns a function that runs `afterfact gallery ...` in this process, as the operator: code, output, errors."""
    monkeypatch.setenv("AFTERFACT_CREDENTIAL", indexed_home.operator.read_text().strip())

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            afterfact.main(["--home", str(indexed_home.path), "gallery", *map(str, arguments)])
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return run


def told(run, *arguments):
    code, out, _ = run(*arguments, "--json")
    assert code == 0
    return json.loads(out)


def test_list_show_and_versions_agree(gallery):
    (listed,) = told(gallery, "list")
    shown = told(gallery, "show", "county")
    (version,) = told(gallery, "versions", "county")
    assert listed == version
    assert {name: shown[name] for name in listed} == listed
    assert listed["gallery"] == "county"
    assert shown["outcomes"]["ENROLLED"] == shown["faces"] > 30
    assert shown["account"]["accounting"]["enrolled"] == shown["faces"]


def test_tables_are_for_people(gallery):
    assert "county" in gallery("list")[1]
    shown = gallery("show", "county")[1]
    assert "rejected: NO_FACE" in shown
    assert "dlib_face_recognition_resnet_model_v1" in shown
    assert "run 2" in gallery("versions", "county")[1]


def test_a_home_without_galleries_says_how_to_make_one(gallery, indexed_home):
    shutil.rmtree(indexed_home.path / "galleries")
    assert "No galleries yet; afterfact index makes one." in gallery("list")[1]
    assert told(gallery, "list") == []


def test_a_gallery_without_a_version_is_listed_all_the_same(gallery, indexed_home):
    Gallery(indexed_home.path, "empty").make_folders()
    assert {"gallery": "empty", "version": None} in told(gallery, "list")
    code, _, err = gallery("show", "empty")
    assert code == 1
    assert "has no published version yet" in err


def test_an_unknown_gallery_or_version_is_one_line_with_the_nearest(gallery):
    code, out, err = gallery("show", "conty")
    assert (code, out) == (1, "")
    assert "did you mean 'county'" in err
    assert len(err.splitlines()) == 1
    assert gallery("show", "county", "--version", 9)[0] == 1
    assert gallery("show", "County")[0] == 2


def test_verify_says_what_is_wrong_and_exits_with_one(gallery, indexed_home):
    assert told(gallery, "verify", "county")["problems"] == []
    assert "all right" in gallery("verify", "county")[1]
    faces = Gallery(indexed_home.path, "county").version().folder / "faces.faiss"
    content = bytearray(faces.read_bytes())
    content[-1] ^= 1
    faces.write_bytes(content)
    code, out, _ = gallery("verify", "county")
    assert code == 1
    assert "WRONG  index/0/faces.faiss: is not as it was written" in out
    code, out, _ = gallery("verify", "county", "--json")
    assert code == 1
    assert [one["checked"] for one in json.loads(out)["problems"]] == ["index/0/faces.faiss"]


def entries(home):
    audit = home.run("audit", "show", "--json", credential=home.operator)
    return [one["type"] for one in audit.json()]


def test_rolling_back_needs_an_operator_and_a_reason_and_is_in_the_ledger(gallery, indexed_home, drawn, monkeypatch):
    few = drawn.list_path.parent / "photos" / "S0001"
    index_archive(indexed_home.path, few, limits=Limits(max_yaw=0.54))  # the same photos by another list's names
    assert Gallery(indexed_home.path, "county").version_numbers() == [0, 1]
    monkeypatch.delenv("AFTERFACT_CREDENTIAL", raising=False)
    rollback = ("rollback", "county", 0, "--credential-file")
    assert gallery(*rollback[:3])[0] == 2
    assert gallery(*rollback[:3], "--reason", "test")[0] == 2
    assert gallery(*rollback, indexed_home.sheriff, "--reason", "test")[0] == 3
    assert Gallery(indexed_home.path, "county").version_numbers() == [0, 1]
    before = entries(indexed_home).count("gallery.rolled-back")
    code, out, _ = gallery(*rollback, indexed_home.operator, "--reason", "test", "--json")
    assert (code, json.loads(out)["version"]) == (0, 2)
    assert entries(indexed_home).count("gallery.rolled-back") == before + 1
    versions = gallery("versions", "county", "--credential-file", indexed_home.operator)
    assert "rollback to version 0 from 1" in versions[1]


def test_a_tenant_reads_what_it_was_granted_and_a_blocked_one_nothing(gallery, indexed_home):
    Gallery(indexed_home.path, "state").make_folders()
    as_sheriff = ("--credential-file", indexed_home.sheriff)
    assert [one["gallery"] for one in told(gallery, "list", *as_sheriff)] == ["county"]
    assert gallery("show", "county", *as_sheriff)[0] == 0
    assert gallery("show", "state", *as_sheriff)[0] == 3
    done(indexed_home.run("tenant", "suspend", "Vandan Sheriff", "--reason", "audit", credential=indexed_home.operator))
    for arguments in (("list",), ("show", "county"), ("versions", "county"), ("verify", "county")):
        code, out, err = gallery(*arguments, *as_sheriff)
        assert (code, out) == (3, "")
        assert "is suspended" in err
    assert entries(indexed_home)[:4] == ["read.refused"] * 4


def test_a_rollback_that_cannot_be_is_not_in_the_ledger(gallery, indexed_home):
    before = entries(indexed_home)
    for number, says in ((0, "is the present version"), (7, "has no version 7")):
        code, _, err = gallery(
            *("rollback", "county", number, "--credential-file", indexed_home.operator, "--reason", "test")
        )
        assert code == 1
        assert says in err
    assert entries(indexed_home) == before


def subjects_found(home, probe):
    asked = ("--gallery", "county", "--case", "2026-0117", "--purpose", "robbery", "-k", 50, "--json")
    (lead,) = done(home.run("search", probe, *asked, credential=home.sheriff)).json()
    return lead["faces_searched"], {candidate["subject"] for candidate in lead["candidates"]}


def test_who_is_not_enrolled_any_more_is_not_found_until_they_are_again(gallery, indexed_home, drawn, tmp_path):
    probe = drawn.list_path.parent / "probes" / "S0010.jpg"
    faces, before = subjects_found(indexed_home, probe)
    assert "S0010" in before
    sharper = ("requalify", "county", "--limit", "min_sharpness=80")  # S0010's three photos measure 49 to 67
    dry = told(gallery, *sharper, "--dry-run")
    assert (dry["version"], dry["dry_run"], len(told(gallery, "versions", "county"))) == (None, True, 1)
    made = told(gallery, *sharper)
    assert (made["version"], made["before"], made["after"]) == (1, dry["before"], dry["after"])
    assert (made["old_limits"]["min_sharpness"], made["limits"]["min_sharpness"]) == (2, 80)
    found = subjects_found(indexed_home, probe)
    assert found == (made["after"]["ENROLLED"], before - {"S0010"})
    shown = gallery("show", "county")[1]
    assert f"requalification of version 0, {made['changed']} photos changed" in shown
    assert re.search(r"min_sharpness\s+80", shown)

    again = tmp_path / "job.yaml"
    again.write_text("gallery: county\narchive: not-mounted-today\nlimits:\n  max_bytes: 1000\n")
    code, out, _ = gallery("requalify", "county", "--limits", again)
    assert (code, subjects_found(indexed_home, probe)) == (0, (faces, before))
    assert f"Gallery 'county' is now version 2: {faces} faces" in out
    assert re.search(r"min_sharpness\s+80\s+2\s", out)
    code, out, _ = gallery("requalify", "county")
    assert (code, out.splitlines()[-1]) == (0, "Nothing to change: gallery 'county' stays version 2.")
    answers = [one["body"]["answer"] for one in ledger_of(indexed_home) if one["type"] == "index.answered"]
    assert [(one["requalified"], one["limits"]["min_sharpness"]) for one in answers[:2]] == [(1, "2"), (0, "80")]
    done(indexed_home.run("audit", "verify"))


def test_who_may_not_index_may_not_requalify(gallery, indexed_home):
    sharper = ("requalify", "county", "--limit", "min_sharpness=80")
    as_sheriff = ("--credential-file", indexed_home.sheriff)
    code, out, err = gallery(*sharper, *as_sheriff)
    assert (code, out) == (3, "")
    assert "index" in err
    as_operator = {"credential": indexed_home.operator}
    reason = ("--reason", "until there is a law")
    done(indexed_home.run("access", "owner", "county", "--tenant", "Vandan Sheriff", *reason, **as_operator))
    barred = ("moratorium", "declare", "stop", "--kind", "sheriff", "--operation", "index")
    done(indexed_home.run(*barred, *reason, **as_operator))
    for more in ((), ("--dry-run",)):
        code, out, err = gallery(*sharper, *more)
        assert (code, out) == (3, "")
        assert "moratorium 'stop'" in err
    assert entries(indexed_home)[0] == "index.refused"
    assert Gallery(indexed_home.path, "county").version_numbers() == [0]


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        ("max_bytes=5", "limit 'max_bytes' cannot change without a look at the photos"),
        ("max_yow=1", "limit 'max_yow' cannot change"),
        ("max_yaw", "give NAME=NUMBER"),
        ("max_yaw=-1", "limit max_yaw is -1"),
    ],
)
def test_a_limit_that_cannot_be_is_a_usage_error(gallery, indexed_home, limit, says):
    code, _, err = gallery("requalify", "county", "--limit", limit)
    assert code == 2
    assert says in err
    assert Gallery(indexed_home.path, "county").version_numbers() == [0]


@pytest.mark.parametrize(
    "asked",
    [
        ("index", "--gallery", "few", "--archive", "{photos}", "--workers", 1, "--quiet"),
        ("gallery", "requalify", "few", "--limit", "min_sharpness=1"),
        ("gallery", "reembed", "few", "--mirrored", "--workers", 1, "--quiet"),
    ],
    ids=["index", "requalify", "reembed"],
)
def test_what_is_published_is_no_answer_outstanding(gallery, indexed_home, drawn, asked):
    """A suspension meanwhile would wait for it, and count it as an answer that somebody still holds."""
    photos = drawn.list_path.parent / "photos" / "S0001"
    if asked[0] == "gallery":
        index_archive(indexed_home.path, photos, gallery="few")
    answers = indexed_home.path / "answers"
    shutil.rmtree(answers, ignore_errors=True)
    words = [str(word).format(photos=photos) for word in asked]
    with pytest.raises(SystemExit) as ended:
        afterfact.main(["--home", str(indexed_home.path), *words])
    assert not ended.value.code
    assert list(answers.iterdir()) == []
