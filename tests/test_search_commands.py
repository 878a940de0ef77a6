"""`afterfact search` as an investigator runs it: exit codes, what is printed, and what is in the ledger by then."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import done
from handmade import NOTICE, ledger_of, reseal
from PIL import Image

from indexer.gallery import Gallery


@pytest.fixture
def probe(drawn):
    return drawn.list_path.parent / "probes" / "S0004.jpg"


@pytest.fixture
def spoiled(clean_photos):
    return clean_photos / "spoiled"


@pytest.fixture
def search(indexed_home, tmp_path, monkeypatch):
    """Runs the command in tmp_path, as the sheriff's investigator unless told otherwise."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, case="2026-0117", purpose="robbery", gallery="county", credential=None, **environment):
        asked = ("--case", case, "--purpose", purpose, "--gallery", gallery)
        return indexed_home.run(
            "search", *arguments, *asked, credential=credential or indexed_home.sheriff, **environment
        )

    return run


def test_candidates_are_printed_with_the_entry_that_stands_for_them(search, indexed_home, probe):
    found = done(search(probe, "-k", 2))
    number, head, _ = done(indexed_home.run("audit", "head")).out.split()

    lines = found.out.splitlines()
    assert re.search(r"^\s*1\s+0\.\d{4}\s+too few to tell\s+S0004 ", found.out, re.MULTILINE)
    assert f"Ledger entry {number}, head {head}" in lines
    assert NOTICE in lines[-1]
    assert len([line for line in lines if "photos/S" in line]) == 2
    assert "for D. Ito of Vandan Sheriff" in lines[0]
    done(indexed_home.run("audit", "verify"))


def test_the_json_holds_everything_and_distances_as_texts(search, probe):
    (told,) = done(search(probe, "--json", "-k", 3)).json()

    assert set(told) == {
        *("file", "outcome", "report", "notice", "probe", "candidates", "by", "gallery", "version", "published"),
        *("faces_searched", "model", "tenant", "kind", "person", "case", "purpose", "time", "entry", "head"),
        *("beneficiary", "basis", "distances", "sampled", "cut_off", "is_chance", "remarks", "warnings"),
    }
    assert set(told["candidates"][0]) == {
        *("rank", "distance", "subject", "encounter", "taken", "disposition", "photo", "photo_digest"),
        *("row", "location", "place", "box", "by_chance", "beyond_cut_off", "groups_above_mean"),
    }
    assert [one["rank"] for one in told["candidates"]] == [1, 2, 3]
    assert all(re.fullmatch(r"\d\.\d{4}", one["distance"]) for one in told["candidates"])
    assert told["file"] == str(probe)
    assert (told["outcome"], told["report"]) == ("CANDIDATES", None)


@pytest.mark.parametrize("k", ["1", "51", "0"])
def test_a_list_of_another_length_is_a_usage_error(search, probe, k):
    refused = search(probe, "-k", k)

    assert (refused.code, refused.out) == (2, "")
    assert f"-k is {k}; a candidate list has 2 to 50 lines" in refused.err


def test_50_by_encounter_is_the_whole_of_a_small_gallery(search, indexed_home, probe):
    (told,) = done(search(probe, "-k", 50, "--by", "encounter", "--json")).json()

    assert len(told["candidates"]) == min(50, told["faces_searched"]) > 12
    assert [one["subject"] for one in told["candidates"]].count("S0004") == 3


def test_no_face_is_an_error_with_an_entry(search, indexed_home, spoiled):
    ended = search(spoiled / "nobody.jpg")

    assert (ended.code, ended.out) == (1, "")
    entry = ledger_of(indexed_home, limit=1)[0]
    assert "NO_FACE, no face was found" in ended.err
    assert f"ledger entry {entry['number']}" in ended.err
    assert entry["body"]["answer"]["outcome"] == "NO_FACE"


def test_several_faces_need_a_choice(search, tmp_path, spoiled):
    ended = search(spoiled / "two-people.jpg")

    assert (ended.code, ended.out) == (5, "")
    (written,) = tmp_path.glob("two-people-faces-*.jpg")
    assert f"numbered picture written to {written.name}" in ended.err
    with Image.open(written) as picture:
        assert picture.format == "JPEG"
    assert written.stat().st_mode & 0o777 == 0o600
    for number in (0, 9):
        refused = search(spoiled / "two-people.jpg", "--face", number)
        assert (refused.code, refused.out) == (2, "")
        assert f"--face is {number}" in refused.err
        assert "give a number from 1 to 2 (ledger entry " in refused.err


def test_which_of_several_faces_was_searched_is_told_everywhere(search, indexed_home, tmp_path, spoiled):
    boxes = []
    for number in (1, 2):
        found = done(search(spoiled / "two-people.jpg", "--face", number, "--report", f"{number}.html"))
        assert f"two-people.jpg, face {number} of 2, case" in found.out
        newest = ("--type", "search.answered", "--limit", 1, "--details", "--json")
        (entry,) = done(indexed_home.run("audit", "show", *newest, credential=indexed_home.operator)).json()
        assert (entry["body"]["answer"]["face"], entry["body"]["answer"]["faces_in_probe"]) == (number, 2)
        boxes.append(entry["details"]["answer"]["face_box"])
        sheet = (tmp_path / f"{number}.html").read_text(encoding="utf-8")
        assert f"2 faces found, of which face {number} was searched" in sheet
        (check,) = re.findall(r"<code>afterfact (audit show --entry \d+)</code> must tell the head", sheet)
        shown = done(indexed_home.run(*check.split(), credential=indexed_home.operator)).out
        assert shown.splitlines()[-1] == f"Head: {entry['head']}"
        assert entry["head"] in sheet
    assert boxes[0] != boxes[1]


@pytest.mark.parametrize(
    ("report", "probes", "says"),
    [
        ("there.html", 1, "exists already"),
        ("nowhere/lead.html", 1, "there is no folder nowhere"),
        ("there.html", 2, "there.html is a file, and there are several probes"),
        ("there.html/leads", 2, "nothing can be written in there.html"),
    ],
)
def test_where_the_lead_sheet_cannot_go_nothing_is_asked(search, indexed_home, tmp_path, probe, report, probes, says):
    (tmp_path / "there.html").write_text("another case's")
    before = done(indexed_home.run("audit", "head")).out
    refused = search(*[probe] * probes, "--report", report)
    assert (refused.code, refused.out) == (2, "")
    assert says in refused.err
    assert done(indexed_home.run("audit", "head")).out == before
    assert (tmp_path / "there.html").read_text() == "another case's"


def test_a_sheet_of_another_home_is_not_written_over_in_a_folder_either(search, indexed_home, tmp_path, probe):
    entry = int(done(indexed_home.run("audit", "head")).out.split()[0]) + 1
    there = tmp_path / f"lead-{entry}-{probe.stem}.html"
    there.write_text("another home's")

    (told,) = done(search(probe, "-k", 2, "--json", "--report", ".")).json()

    assert there.read_text() == "another home's"
    assert told["report"] == f"lead-{entry}-{probe.stem}-2.html"
    assert f"entry {entry}" in (tmp_path / told["report"]).read_text(encoding="utf-8")


def test_a_folder_is_one_entry_a_probe_and_the_worst_exit_code(search, indexed_home, tmp_path, probe, spoiled):
    folder = tmp_path / "probes"
    folder.mkdir()
    for number, source in enumerate((probe, spoiled / "nobody.jpg", spoiled / "two-people.jpg", probe)):
        (folder / f"{number}.jpg").write_bytes(source.read_bytes())
    (folder / "notes.txt").write_text("no photo")
    (folder / "4-gone.jpg").symlink_to(folder / "nowhere")
    before = int(done(indexed_home.run("audit", "head")).out.split()[0])

    ended = search(folder, "--json", "--report", "leads")

    assert ended.code == 5
    told = ended.json()
    assert [one["outcome"] for one in told] == [
        *("CANDIDATES", "NO_FACE", "MULTIPLE_FACES", "CANDIDATES", "MISSING_FILE")
    ]
    assert [one["entry"] for one in told] == list(range(before + 1, before + 6))
    entries = {one["number"]: one["head"] for one in ledger_of(indexed_home)}
    assert all(entries[one["entry"]] == one["head"] for one in told)
    assert {path.name for path in (tmp_path / "leads").iterdir()} == {
        *(f"lead-{before + 1}-0.html", f"lead-{before + 4}-3.html")
    }


def test_answers_recorded_before_an_error_are_still_shown(search, indexed_home, tmp_path, probe):
    entry = int(done(indexed_home.run("audit", "head")).out.split()[0]) + 1
    (tmp_path / "leads" / f"lead-{entry}-{probe.stem}.html").mkdir(parents=True)  # where the sheet should be

    ended = search(probe, probe, "--json", "--report", "leads")

    assert ended.code == 1
    assert [(one["outcome"], one["report"]) for one in ended.json()] == [("CANDIDATES", None)]
    assert f"lead sheet leads/lead-{entry}-{probe.stem}.html cannot be written (Is a directory)" in ended.err


@pytest.mark.parametrize("reason", ["suspended", "moratorium", "operator", "stranger", "purpose"])
def test_a_refusal_names_no_candidate_and_is_an_entry(search, indexed_home, tmp_path, probe, reason):
    asked, operator = {}, indexed_home.operator
    if reason == "suspended":
        done(indexed_home.run("tenant", "suspend", "Vandan Sheriff", "--reason", "audit", credential=operator))
    elif reason == "moratorium":
        terms = ("--kind", "sheriff", "--for", "1y", "--reason", "until there is a law")
        done(indexed_home.run("moratorium", "declare", "pause", *terms, credential=operator))
    elif reason == "operator":
        asked = {"credential": operator}
    elif reason == "stranger":
        (tmp_path / "stranger").write_text("af1.0123456789abcdef." + "x" * 43)
        asked = {"credential": tmp_path / "stranger"}
    else:
        asked = {reason: "protest-2020 \u202e"}

    ended = search(probe, "--json", "--report", "lead.html", **asked)

    assert (ended.code, ended.out) == (3, "")
    assert not re.search(r"S\d{4}\b|Traceback", ended.err)
    assert not (tmp_path / "lead.html").exists()
    assert "\u202e" not in ended.err
    entry = ledger_of(indexed_home, limit=1)[0]
    assert entry["type"] == ("credentials.refused" if reason == "stranger" else "search.refused")
    assert f"(ledger entry {entry['number']})" in ended.err


def test_a_gallery_of_another_model_is_an_error_without_candidates(search, indexed_home, probe):
    reseal(Gallery(indexed_home.path, "county").version().folder, model={"digest": "0" * 64})

    ended = search(probe)

    assert (ended.code, ended.out) == (1, "")
    assert "their distances mean nothing to each other" in ended.err


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gone.jpg", "does not exist"),
        ("-", "does not exist"),
        ("x" * 300 + ".jpg", "cannot be looked at"),
        ("empty", "holds no photo"),
    ],
)
def test_a_probe_that_is_not_there_is_a_usage_error(search, tmp_path, name, says):
    (tmp_path / "empty").mkdir()

    ended = search(name)

    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err
    assert "Traceback" not in ended.err


def test_a_linked_probe_is_searched(search, tmp_path, probe):
    (tmp_path / "link.jpg").symlink_to(probe)

    assert done(search("link.jpg", "-k", 2, "--json")).json()[0]["candidates"][0]["subject"] == "S0004"


@pytest.mark.parametrize("name", ["\x1b[31mred\x07\n.jpg", "no-utf8-\udcff.jpg", 'it\'s <b>"x"<b> \u202e😀.jpg'])
def test_a_strange_file_name_neither_draws_nor_crashes(search, tmp_path, probe, spoiled, name):
    path = tmp_path / name
    environment = {"PYTHONIOENCODING": "utf-8:strict", "PYTHONUTF8": "1"}
    path.write_bytes(probe.read_bytes())
    table = done(search(path.name, "-k", 2, **environment))
    told = done(search(path.name, "-k", 2, "--json", "--report", tmp_path, **environment)).json()
    path.write_bytes((spoiled / "two-people.jpg").read_bytes())
    choice = search(path.name, **environment)

    assert told[0]["candidates"][0]["subject"] == "S0004"
    assert choice.code == 5
    assert len(list(tmp_path.glob("*-faces-*.jpg"))) == 1
    for text in (table.out, table.err, choice.err):
        assert not set(text) & {"\x1b", "\x07", "\u202e", "\udcff"}
    (sheet,) = (path.read_text("utf-8") for path in tmp_path.glob("lead-*.html"))
    assert not set(sheet) & {"\x1b", "\x07", "\u202e"}
    assert "<b>" not in sheet


@pytest.mark.parametrize("option", ["--report", "--numbered"])
def test_the_probe_is_never_written_over(search, indexed_home, tmp_path, probe, option):
    evidence = tmp_path / "evidence.jpg"
    evidence.write_bytes(probe.read_bytes())
    (tmp_path / "link.jpg").symlink_to(evidence)

    ended = search(evidence, option, "link.jpg")

    assert (ended.code, ended.out) == (2, "")
    assert "is a probe, and would be overwritten" in ended.err
    assert evidence.read_bytes() == probe.read_bytes()


@pytest.mark.parametrize("option", ["--face=1", "--numbered=x.jpg"])
def test_what_belongs_to_one_probe_is_refused_with_several(search, probe, option):
    ended = search(probe, probe, option)

    assert ended.code == 2
    assert "--face and --numbered go with one probe" in ended.err


def test_code_that_lies_beside_the_evidence_is_not_run(indexed_home, tmp_path, probe):
    """Evidence comes on sticks: a module of a library's name in the folder must not reach the decoder's process."""
    for name in ("PIL", "numpy", "json", "dlib", "foundation"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w').close()\n")
    program = Path(sys.executable).with_name("afterfact")
    asked = ("--gallery", "county", "--case", "1", "--purpose", "robbery", "--credential-file", indexed_home.sheriff)

    command = [program, "--home", indexed_home.path, "search", probe, "-k", "2", *asked]
    ended = subprocess.run(command, cwd=tmp_path, timeout=120, check=False)

    assert (ended.returncode, (tmp_path / "ran").exists()) == (0, False)


@pytest.fixture
def many_probes(drawn, tmp_path):
    """A folder of 60 probes, whose answers no pipe holds unread: a search waits in it until it is read on."""
    there = sorted((drawn.list_path.parent / "probes").glob("*.jpg"))
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number:02d}.jpg").symlink_to(there[number % len(there)])
    return folder


@contextlib.contextmanager
def searching(home, probes, *flags):
    """A search in a process of its own, whose output is read by nobody yet."""
    command = [sys.executable, "-m", "afterfact", "--home", home.path, "search", probes, "-k", "50", *flags]
    asked = ("--gallery", "county", "--case", "2026-0117", "--purpose", "robbery", "--by", "encounter")
    with subprocess.Popen(
        [*command, *asked, "--credential-file", home.sheriff],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("AFTERFACT_")},
    ) as process:
        yield process
        process.kill()


@pytest.fixture
def begun_search(indexed_home, many_probes):
    """A search at work: its first answer has been read, and no more than that."""
    with searching(indexed_home, many_probes) as process:
        while not process.stdout.readline().startswith("Ledger entry"):
            assert process.poll() is None
        yield process


def answered(home):
    return sum(one["type"] == "search.answered" for one in ledger_of(home, limit=100))


def test_a_moratorium_stops_a_search_that_another_process_is_in_the_middle_of(indexed_home, begun_search):
    terms = ("--kind", "sheriff", "--for", "1y", "--reason", "until there is a law")
    done(indexed_home.run("moratorium", "declare", "pause", *terms, credential=indexed_home.operator))
    out, err = begun_search.communicate(timeout=120)

    assert begun_search.returncode == 3
    assert "until there is a law" in err.splitlines()[-1]
    shown = 1 + out.count("Ledger entry")
    assert shown == answered(indexed_home) < 60
    numbers = [one["number"] for one in ledger_of(indexed_home, limit=100) if one["type"] == "search.answered"]
    (declared,) = (one["number"] for one in ledger_of(indexed_home, 100) if one["type"] == "moratorium.declared")
    assert max(numbers) < declared


def test_json_that_nobody_has_read_is_not_handed_out(indexed_home, many_probes):
    terms = ("--kind", "sheriff", "--for", "1y", "--reason", "until there is a law")
    with searching(indexed_home, many_probes, "--json") as process:
        while answered(indexed_home) < 60:
            assert process.poll() is None
        time.sleep(1)  # by now it waits for its reader
        told = done(indexed_home.run("moratorium", "declare", "pause", *terms, credential=indexed_home.operator))
        out, _ = process.communicate(timeout=120)

    assert "Every answer allowed before it has been handed out" not in told.out
    assert len(json.loads(out)) == 60


def test_ctrl_c_says_how_many_probes_were_answered(indexed_home, begun_search):
    begun_search.send_signal(signal.SIGINT)
    out, err = begun_search.communicate(timeout=120)

    assert begun_search.returncode == 130
    count = int(re.search(r"interrupted; (\d+) of 60 probes were answered", err)[1])
    assert count == answered(indexed_home) == 1 + out.count("Ledger entry") < 60
    assert "Traceback" not in err
    done(indexed_home.run("audit", "verify"))


def test_long_searches_tell_how_far_they_are_and_never_among_the_answers(search, many_probes):
    told = done(search(many_probes, "--json", "-k", 2))

    assert [Path(one["file"]).name for one in told.json()] == [f"{number:02d}.jpg" for number in range(60)]
    assert re.search(r"^afterfact search: 60 of 60 probes, [0-9.]+ probes/s, 0 min 00 s left$", told.err, re.MULTILINE)
