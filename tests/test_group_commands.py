"""`--by` as its users meet it: groups of lists, of pairs and of a gallery, and columns that are refused before work."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from conftest import Home, done, make_home

CASE = ("--case", "test-1")
KINDS = ("A", "B", "")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A data home without galleries, which these tests share."""
    return make_home(tmp_path_factory.mktemp("grouping"))


def licensed(home: Home) -> Path:
    credential = home.path.parent / "lab.credential"
    add = ("tenant", "add", "Lab", "--kind", "research", "--gallery", "county", "--may", "evaluate")
    done(home.run(*add, "--person", "T. Ester", "--save-credential", credential, credential=home.operator))
    return credential


@pytest.fixture(scope="module")
def lab(home: Home) -> Path:
    """The credential of a tenant that may evaluate there."""
    return licensed(home)


@pytest.fixture(scope="module")
def faces(clean_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 12 drawn subjects with 3 photos each, and a list that states kinds of them."""
    folder = tmp_path_factory.mktemp("kinds") / "faces"
    shutil.copytree(clean_photos, folder, ignore=shutil.ignore_patterns("spoiled"))
    subjects = sorted(one for one in folder.iterdir() if one.is_dir())
    rows = [
        (photo.relative_to(folder).as_posix(), subject.name, KINDS[number % 3], 20 + number)
        for number, subject in enumerate(subjects)
        for photo in sorted(subject.iterdir())
    ]
    write(folder.parent / "list.csv", ("photo", "subject", "kind", "age"), rows)
    return folder


def write(path: Path, head: tuple, rows: list) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([head, *rows])
    return path


@pytest.fixture(scope="module")
def pairs(faces: Path) -> Path:
    """pairs.txt's kind of list, with no columns: one pair of each drawn person, and one with the next."""
    subjects = sorted(one for one in faces.iterdir() if one.is_dir())
    photos = [sorted(one.relative_to(faces).as_posix() for one in subject.iterdir()) for subject in subjects]
    rows = []
    for number, own in enumerate(photos):
        other = (number + 1) % len(photos)
        rows.append((own[0], own[1], 1, subjects[number].name, subjects[number].name))
        rows.append((own[0], photos[other][1], 0, subjects[number].name, subjects[other].name))
    return write(faces.parent / "pairs.csv", ("photo_a", "photo_b", "same", "subject_a", "subject_b"), rows)


def test_a_list_is_searched_by_group_and_small_groups_are_shown(home, lab, faces, tmp_path):
    asked = (
        "evaluate",
        "search",
        faces.parent / "list.csv",
        "--root",
        faces,
        "--by",
        "kind,age:6",
        "--at",
        "0.4",
        *CASE,
    )
    told = done(home.run(*asked, "--out", tmp_path / "out", credential=lab)).out
    groups = json.loads((tmp_path / "out" / "results.json").read_text())["groups"]

    assert (groups["cut_off"], groups["chosen"]) == (0.4, "as it was asked for")
    assert [one["by"] for one in groups["groupings"]] == [["kind"], ["age:6"], ["kind", "age:6"]]
    measures = {one["measure"]: one for one in groups["groupings"][0]["measures"]}
    assert list(measures) == ["FTE", "FPIR", "FNIR", "FMR within the group", "FMR against everybody", "FNMR"]
    for one in measures.values():
        assert [each["group"] for each in one["groups"]] == ["A", "B", "not stated"]
        assert {each["value"] for each in one["groups"]} == {None}
    within = measures["FMR within the group"]
    assert all(each["lacks"].startswith("too small: 4 subjects, ") for each in within["groups"])
    assert "By kind, this sample cannot say which group is worst in FTE, FPIR, FNIR" in told
    assert "By kind, 12 of 36 photos state no value." in told
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<h2>By kind and age:6</h2>" in page
    assert page.count('aria-label="FMR within the group by kind, with 95% intervals') == 1
    assert "nobody&#39;s group is guessed from a face" in page


@pytest.mark.parametrize("key", ["photo", "subject"])
def test_pairs_take_their_groups_from_a_list_about_photos_or_subjects(home, lab, faces, pairs, tmp_path, key):
    with (faces.parent / "list.csv").open(newline="", encoding="utf-8") as stream:
        known = {row[key]: row["kind"] for row in csv.DictReader(stream)}
    about = write(tmp_path / "about.csv", (key, "kind"), list(known.items()))
    asked = ("evaluate", "verification", pairs, "--root", faces, "--about", about, "--by", "kind", *CASE, "--json")

    groups = done(home.run(*asked, "--out", tmp_path / "out", credential=lab)).json()["groups"]

    measures = {one["measure"]: one for one in groups["groupings"][0]["measures"]}
    assert [(one["group"], one["trials"]) for one in measures["FNMR"]["groups"]] == [
        ("A", 4),
        ("B", 4),
        ("not stated", 4),
    ]
    assert measures["FTE"]["all"]["trials"] == 24
    assert groups["chosen"].startswith("where FMR over all is 1%, chosen by how many trials there are; only ")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--by", "knid"), "--by 'knid': the list has no such column; did you mean 'kind'? (columns: age, kind)"),
        (("--by", "sort"), "the list has no such column (columns: age, kind)"),
        (("--at", "0.4"), "--at 0.4 goes with --by"),
        (("--by", "kind", "--at", "near"), "--at is 'near'; give a rate such as 0.1%, or a distance such as 0.45"),
        (("--by", "age"), "12 values there"),
    ],
)
def test_columns_that_cannot_be_are_refused_before_work_begins(home, lab, faces, tmp_path, more, says):
    listed = faces.parent / "list.csv"
    if "12 values" in says:  # each of one photo
        lines = listed.read_text("utf-8").splitlines()
        listed = tmp_path / "list.csv"
        listed.write_text("\n".join([lines[0], *lines[1::3], *(one.rsplit(",", 1)[0] + "," for one in lines[2::3])]))
    asked = home.run("evaluate", "search", listed, "--root", faces, *CASE, *more, credential=lab)

    assert asked.code == 2
    assert says in asked.err
    assert "embedding" not in asked.err


@pytest.mark.parametrize(
    ("head", "row", "says"),
    [
        (("fotos", "kind"), ("a", "A"), "has neither a column 'photo' nor 'subject'; did you mean 'fotos'?"),
        (("subject", "kind"), ("Nobody", "A"), "says nothing of any of the 24 photos"),
    ],
)
def test_a_list_about_nobody_is_refused(home, lab, faces, pairs, tmp_path, head, row, says):
    about = write(tmp_path / "about.csv", head, [row])
    told = home.run("evaluate", "verification", pairs, "--root", faces, "--about", about, *CASE, credential=lab)

    assert told.code == 2
    assert says in told.err


def test_a_list_that_says_two_things_of_one_photo_is_refused(home, lab, faces, pairs, tmp_path):
    about = write(tmp_path / "about.csv", ("subject", "kind"), [("S1", "A"), ("S1", "B")])
    told = home.run("evaluate", "verification", pairs, "--root", faces, "--about", about, *CASE, credential=lab)

    assert told.code == 2
    assert "says two things of subject 'S1'" in told.err


def test_a_gallery_is_told_by_group_with_its_failures_to_enrol(indexed_home, tmp_path):
    asked = ("evaluate", "search", "--gallery", "county", "--by", "disposition", "--at", "0.5", *CASE)
    told = done(indexed_home.run(*asked, "--out", tmp_path / "out", credential=licensed(indexed_home)))
    results = json.loads((tmp_path / "out" / "results.json").read_text())

    (grouping,) = results["groups"]["groupings"]
    enrol = grouping["measures"][0]
    assert enrol["measure"] == "FTE"
    assert enrol["all"]["trials"] > results["gallery"]["faces"]  # those that were rejected are counted, too
    assert enrol["all"]["errors"] > 0
    assert "S0004" not in told.out + (tmp_path / "out" / "report.html").read_text()
