"""What a distance means by group: planted groups, leads that warn, and how it is carried from version to version."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import done
from handmade import label, ledger_of, write_version
from indexing import rows_of

from access.gate import Gate, Request
from afterfact import main
from indexer.calibrating_groups import calibrate_groups
from indexer.calibration_groups import FACTOR, GroupCalibration, read_groups
from indexer.gallery import CALIBRATION, CALIBRATION_GROUPS, Gallery, write_sealed
from indexer.grouping import By
from indexer.verify import verify_gallery
from search.report import render_lead_sheet
from search.session import SearchSession

EACH = 120


def planted(random, version=0, more=()):
    """Returns faces of four groups and their calibration: people of group A are near to one another, others are not."""
    spread = np.repeat([0.03, 0.09, 0.09, 0.09], EACH)[:, None]
    faces = np.repeat(random.normal(0, 1, (4, 128)), EACH, axis=0) + random.normal(0, 1, (4 * EACH, 128)) * spread
    columns = [{"camera": name} for name in np.repeat(list("ABCD"), EACH)]
    faces = np.vstack([faces, *more]).astype(np.float32)
    columns += [{"camera": "A"}] * len(more)
    groups = By.read("camera").groups(columns, "gallery 'county'")
    return faces, calibrate_groups(faces, np.arange(len(faces)), groups, "county", version)


def test_a_group_whose_people_are_near_to_one_another_is_told_beside_the_mean():
    _, about = planted(np.random.default_rng(1))
    made = GroupCalibration(about)

    (grouping,) = made.groupings
    rates, mean = made.rates(grouping, 0.6)

    assert [(one.errors, one.probes) for one in rates] == [(EACH, EACH), (0, EACH), (0, EACH), (0, EACH)]
    assert mean == pytest.approx(0.25)
    (above,) = made.above_mean(0, 0.6)
    assert (above.by, above.group, above.times) == ("camera", "A", pytest.approx(4))
    assert made.above_mean(EACH, 0.6) == []  # a face of B
    assert made.above_mean(0, 2.0) == []  # there everybody has a wrong neighbour


def test_nothing_is_told_of_a_group_by_too_few_errors():
    _, about = planted(np.random.default_rng(1))
    made = GroupCalibration(about)
    (grouping,) = made.groupings
    near = sorted(float(one) for one in grouping["distances"][0].split())

    assert made.above_mean(0, near[20]) == []  # counted twice each, as A is near B where B is near A
    assert made.above_mean(0, near[-1]) != []


def test_no_mean_is_made_of_groups_too_small_to_tell():
    faces = np.random.default_rng(2).normal(0, 0.03, (60, 128)).astype(np.float32)
    groups = By.read("camera").groups([{"camera": "A"}] * 50 + [{"camera": "B"}] * 10, "gallery 'county'")
    made = GroupCalibration(calibrate_groups(faces, np.arange(60), groups, "county", 0))

    assert made.rates(made.groupings[0], 1.0)[1] == 0.0
    assert made.above_mean(0, 1.0) == []


@pytest.fixture(scope="module")
def probe(drawn):
    return drawn.list_path.parent / "probes" / "S0004.jpg"


def test_a_lead_warns_where_its_candidates_group_is_above_the_mean(indexed_home, probe):
    gallery = Gallery(indexed_home.path, "county")
    (known,) = [row for row in rows_of(gallery).values() if row["photo"].endswith("S0004-1.jpg")]
    number, near = gallery.version().number + 1, np.random.default_rng(3).normal(0, 0.01, (EACH, 128))
    faces, about = planted(np.random.default_rng(4), number, np.asarray(known["embedding"]) + near)
    write_version(indexed_home.path, faces, [label(row) for row in range(len(faces))], number)
    sealed = write_sealed(gallery.index / str(number) / CALIBRATION_GROUPS, about)
    request = Request("search", "county", "robbery", "2026-0117")

    with SearchSession(indexed_home.path, indexed_home.sheriff.read_text().strip(), request) as session:
        lead = session.search(probe, k=3)

    (warning,) = lead.warnings
    assert lead.as_json()["warnings"] == [warning]
    assert warning.startswith("Warning for rank 1, 2, 3: the gallery's list states 'A' as camera.")
    assert f"times the mean of groups (warned of above {FACTOR} times)" in warning
    assert [one["groups_above_mean"][0]["group"] for one in lead.as_json()["candidates"]] == ["A"] * 3
    sheet = render_lead_sheet(lead, None, [None] * 3)
    assert 'role="note">Warning for rank 1, 2, 3: the gallery&#39;s list states &#39;A&#39; as camera' in sheet
    assert ledger_of(indexed_home, limit=1)[0]["body"]["answer"]["calibration_groups"] == sealed["seal"]


@pytest.fixture
def tester(indexed_home):
    """The credential of a tenant that may evaluate, and not search."""
    path = indexed_home.path.parent / "tester.credential"
    add = ("tenant", "add", "Tester", "--kind", "research", "--gallery", "county", "--may", "evaluate")
    done(indexed_home.run(*add, "--person", "A. Kim", "--save-credential", path, credential=indexed_home.operator))
    return path


@pytest.fixture
def calibrate(indexed_home, tester):
    asked = ("evaluate", "calibrate", "county", "--case", "EVAL-1", "--purpose", "testing")
    return lambda *by: indexed_home.run(*asked, *by, credential=tester)


def test_groups_are_asked_for_carried_to_the_next_version_and_ended(indexed_home, calibrate):
    gallery = Gallery(indexed_home.path, "county")

    refused = calibrate("--by", "dispositon")
    assert (refused.code, read_groups(gallery.version())) == (2, None)
    assert "gallery 'county' has no such column; did you mean 'disposition'?" in refused.err

    told = done(calibrate("--by", "disposition")).out
    made = read_groups(gallery.version())
    assert made.about["by"] == ["disposition"]
    assert len(made.groupings[0]["codes"]) == made.about["faces"] * made.groupings[0]["code_width"]
    assert f"A lead warns where its candidate's group is above {FACTOR} times" in told
    answer = ledger_of(indexed_home, limit=1)[0]["body"]["answer"]
    assert (answer["by"], answer["calibration_groups"]) == (["disposition"], made.about["seal"])

    stricter = ("gallery", "requalify", "county", "--limit", "min_sharpness=8")
    done(indexed_home.run(*stricter, credential=indexed_home.operator))
    carried = read_groups(gallery.version())
    assert carried.about["version"] > made.about["version"]
    assert carried.about["faces"] == gallery.version().about["faces"]
    assert not [one for one in verify_gallery(gallery) if one.problem]
    done(calibrate())
    assert read_groups(gallery.version()).about == carried.about

    # A list that no longer states the column does not keep a version from being published.
    gone = {name: value for name, value in carried.about.items() if name != "seal"} | {"by": ["camera"]}
    write_sealed(gallery.version().folder / CALIBRATION_GROUPS, gone)
    done(indexed_home.run(*stricter[:-1], "min_sharpness=9", credential=indexed_home.operator))
    assert "has no such column" in read_groups(gallery.version()).about["lacks"]
    assert "No groups: --by 'camera': gallery 'county' has no such column" in done(calibrate()).out

    done(calibrate("--by", "none"))
    assert read_groups(gallery.version()) is None


def test_the_entry_tells_who_sets_groups_or_ends_them_from_who_reads_them(indexed_home, calibrate):
    set_by = []
    for by in (("--by", "disposition"), (), ("--by", "none"), ()):
        done(calibrate(*by))
        set_by.append(ledger_of(indexed_home, limit=1)[0]["body"]["answer"].get("by"))

    assert set_by == [["disposition"], None, "none", None]


@pytest.mark.parametrize("by", ["none", "disposition"])
def test_a_moratorium_declared_meanwhile_leaves_groups_and_calibration_as_they_were(
    indexed_home, calibrate, tester, by, monkeypatch
):
    folder = Gallery(indexed_home.path, "county").version().folder
    if by == "none":
        done(calibrate("--by", "disposition"))
    before = (folder / CALIBRATION_GROUPS).exists()
    (folder / CALIBRATION).unlink()
    answer = Gate.answer

    def forbidden_first(*given):
        declare = ("moratorium", "declare", "pause", "--everyone", "--operation", "evaluate", "--reason", "no law")
        done(indexed_home.run(*declare, credential=indexed_home.operator))
        return answer(*given)

    monkeypatch.setattr(Gate, "answer", forbidden_first)
    monkeypatch.setenv("AFTERFACT_CREDENTIAL", tester.read_text().strip())
    asked = ["evaluate", "calibrate", "county", "--by", by, "--case", "EVAL-2", "--purpose", "testing"]
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(indexed_home.path), *asked])

    assert ended.value.code == 3
    assert ledger_of(indexed_home, limit=1)[0]["type"] == "evaluate.refused"
    assert (folder / CALIBRATION_GROUPS).exists() is before
    assert not (folder / CALIBRATION).exists()


def test_groups_are_not_set_while_a_run_publishes_and_may_be_read(indexed_home, calibrate):
    gallery = Gallery(indexed_home.path, "county")
    done(calibrate("--by", "disposition"))

    with gallery.only_publisher():
        refused = calibrate("--by", "none")
        done(calibrate())

    assert refused.code != 0
    assert "another run is at work on gallery 'county'; wait for it to end" in refused.err
    assert read_groups(gallery.version()) is not None
