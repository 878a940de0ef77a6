"""`afterfact evaluate calibrate` and `afterfact gallery duplicates`: what they tell, and to whom."""

import json

import numpy as np
import pytest
from conftest import done, make_home
from handmade import label, ledger_of, write_version

from indexer.calibration import read_calibration
from indexer.gallery import CALIBRATION, Gallery
from indexer.near_pairs import nearest_pairs, pieces
from indexer.nearest_wrong import PIECE
from indexer.verify import verify_gallery

ASKED = ("--case", "EVAL-1", "--purpose", "testing")
PEOPLE = 400


@pytest.fixture(scope="module")
def _made(tmp_path_factory):
    """A home whose gallery of 400 subjects, two faces each, was never calibrated, and a tester who may evaluate."""
    home = make_home(tmp_path_factory.mktemp("evaluated"))
    tester = home.path.parent / "tester.credential"
    add = ("tenant", "add", "Tester", "--kind", "research", "--gallery", "county", "--may", "evaluate")
    done(home.run(*add, "--person", "A. Kim", "--save-credential", tester, credential=home.operator))
    draw = np.random.default_rng(8)
    faces = np.repeat(draw.normal(0, 0.12, (PEOPLE, 128)), 2, axis=0) + draw.normal(0, 0.02, (2 * PEOPLE, 128))
    faces[700] = faces[100] + 0.001  # two records of one person, perhaps
    subjects = [label(row, subject=f"S{row // 2:04d}", encounter=str(row % 2)) for row in range(2 * PEOPLE)]
    write_version(home.path, faces, subjects, outcomes={}, subjects=PEOPLE, account={}, table_files={})
    return home, tester


@pytest.fixture
def evaluated(_made):
    home, tester = _made
    (home.path / "galleries/county/index/0" / CALIBRATION).unlink(missing_ok=True)
    return home, tester


def test_a_version_without_calibration_gets_one_and_keeps_it(evaluated):
    home, tester = evaluated
    first = done(home.run("evaluate", "calibrate", "county", *ASKED, "--json", credential=tester)).json()
    path = Gallery(home.path, "county").version().folder / CALIBRATION
    kept = path.read_bytes()
    second = done(home.run("evaluate", "calibrate", "county", *ASKED, "--json", credential=tester)).json()

    assert path.read_bytes() == kept
    assert {**first, "entry": 0, "head": ""} == {**second, "entry": 0, "head": ""}
    assert (first["faces"], first["subjects"], first["probes"], first["version"]) == (2 * PEOPLE, PEOPLE, PEOPLE, 0)
    made = read_calibration(Gallery(home.path, "county").version())
    for level in first["levels"]:
        assert float(level["fpir"]) == pytest.approx(made.rate(float(level["distance"])).found, abs=1e-6)
        assert float(level["fpir"]) < float(level["at_10_times_at_most"])
    assert [level["says"].split(" people")[0] for level in first["levels"]] == ["3 in 10"]
    entry = next(one for one in ledger_of(home) if one["number"] == second["entry"])
    assert (entry["type"], entry["subject"]) == ("evaluate.answered", "Tester")
    assert entry["body"]["answer"] == {
        "outcome": "CALIBRATED",
        "gallery_version": 0,
        "calibration": made.about["seal"],
    }


def test_the_table_says_what_was_sampled_and_by_which_rule_it_grows(evaluated):
    home, tester = evaluated
    told = done(home.run("evaluate", "calibrate", "county", *ASKED, credential=tester)).out

    assert f"{PEOPLE} of its {2 * PEOPLE} faces were searched, one a subject, each without its own subject." in told
    assert "3 in 10" in told
    assert "Grown by 1 - (1 - FPIR) ^ times" in told
    assert "Ledger entry" in told


def test_calibrating_needs_a_licence_to_evaluate_and_a_moratorium_on_search_bars_it(evaluated, tmp_path):
    home, tester = evaluated
    refused = home.run("evaluate", "calibrate", "county", *ASKED, credential=home.sheriff)
    assert refused.code == 3
    assert "operation 'evaluate' is not granted to 'Vandan Sheriff'" in refused.err
    assert home.run("evaluate", "calibrate", "county", *ASKED, credential=home.operator).code == 3
    assert home.run("evaluate", "calibrate", "county", "--case", "E", credential=tester).code == 2

    declare = ("moratorium", "declare", "pause", "--kind", "research", "--reason", "until there is a law")
    lift = ("moratorium", "lift", "pause", "--reason", "law")
    done(home.run(*declare, credential=home.operator))
    barred = home.run("evaluate", "calibrate", "county", *ASKED, credential=tester)
    assert barred.code == 3
    assert "moratorium 'pause' bars research from evaluate" in barred.err
    assert not (home.path / "galleries/county/index/0" / CALIBRATION).exists()
    second = tmp_path / "second.credential"
    done(home.run("operator", "add", "B. Bell", "--role", "administrator", "--save-credential", second,
                  credential=home.operator))  # fmt: skip
    proposed = done(home.run(*lift, "--json", credential=home.operator)).json()["proposal"]
    done(home.run("moratorium", "lift", "pause", "--approve", proposed, credential=second))


# Duplicates


def test_near_faces_of_different_subjects_are_told_as_pairs_and_recorded(evaluated):
    home, _ = evaluated
    asked = ("gallery", "duplicates", "county", "--case", "AUDIT-1", "--purpose", "testing", "-k", 3)
    told = done(home.run(*asked, "--json", credential=home.sheriff)).json()
    first, *others = told["pairs"]

    assert [face["subject"] for face in first["faces"]] == ["S0050", "S0350"]
    assert [face["photo"] for face in first["faces"]] == ["00100.jpg", "00700.jpg"]
    assert first["distance"] == f"{0.001 * 128**0.5:.4f}"
    assert len(others) == 2 and float(others[0]["distance"]) > 0.5
    entry = next(one for one in ledger_of(home) if one["number"] == told["entry"])
    assert entry["type"] == "search.answered"
    assert entry["body"]["answer"] == {"outcome": "DUPLICATES", "gallery_version": 0, "k": 3, "pairs": 3}
    assert entry["details"]["answer"]["pairs"][0]["subjects"] == ["S0050", "S0350"]
    assert "S0050" not in json.dumps(entry["body"])  # it may have to be erased

    shown = done(home.run(*asked, credential=home.sheriff)).out
    assert "no proof that they are of one person" in shown
    assert f"Compared all {2 * PEOPLE} faces" in shown


def test_duplicates_are_gated_as_a_search(evaluated):
    home, tester = evaluated
    for credential, more, says in (
        (home.operator, (), "operators hold no licence and may not search"),
        (tester, (), "operation 'search' is not granted to 'Tester'"),
        (home.sheriff, ("-k", 51), "allows 50; lower -k"),
        (home.sheriff, ("-k", 1), "one has 2 at least"),
    ):
        refused = home.run("gallery", "duplicates", "county", *ASKED, *more, credential=credential)
        assert (refused.code, refused.out) == (3, "")
        assert says in refused.err


@pytest.mark.parametrize("count", [0, 1, 5, PIECE + 30])
def test_pairs_are_those_that_comparing_one_by_one_finds(count):
    draw = np.random.default_rng(count)
    faces = draw.normal(0, 0.12, (count, 8)).astype(np.float32)
    subjects = draw.integers(-1, max(count // 5, 2), count)
    who = [("unnamed", row) if one < 0 else ("named", one) for row, one in enumerate(subjects.tolist())]
    apart = np.sqrt(((faces[:, None].astype(float) - faces[None].astype(float)) ** 2).sum(axis=2))
    nearest = {}
    for one, other in zip(*np.triu_indices(count, 1), strict=True):
        pair = frozenset((who[one], who[other]))
        if len(pair) == 2 and any(sort == "named" for sort, _ in pair):
            nearest[pair] = min(nearest.get(pair, (np.inf,)), (apart[one, other], one, other))
    seen = []

    found = nearest_pairs(faces, subjects, 20, seen.append)

    by_hand = sorted(nearest.values())[:20]
    assert [pair[1:] for pair in found] == [pair[1:] for pair in by_hand]
    assert [pair[0] for pair in found] == pytest.approx([pair[0] for pair in by_hand])
    assert seen == list(range(1, pieces(count) + 1))


def test_a_calibration_made_later_is_verified_too(indexed_home):
    gallery = Gallery(indexed_home.path, "county")
    path = gallery.version().folder / CALIBRATION
    path.write_text(path.read_text().replace("0.", "1.", 1))

    wrong = {one.checked for one in verify_gallery(gallery) if one.problem}

    assert wrong == {f"index/0/{CALIBRATION}", "version 0: calibration"}
