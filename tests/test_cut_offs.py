"""What a search says of its distances: how often chance gives one, lists that chance gives, and cut-offs that mark."""

import dataclasses
import re

import numpy as np
import pytest
from conftest import done
from handmade import files_in, label, ledger_of, write_version
from indexing import rows_of

from access.fpir import read_fpir
from access.gate import Request
from foundation.errors import InputError
from indexer.calibrating import write_calibration
from indexer.calibration import read_calibration
from indexer.gallery import Gallery
from search.report import render_lead_sheet
from search.session import SearchSession

STRANGERS = 200
NEAR = "fewer than 1 in 33 people not in this gallery get one this close"
FAR = "nearly all people not in this gallery get one this close"


@pytest.fixture(scope="module")
def probe(drawn):
    return drawn.list_path.parent / "probes" / "S0004.jpg"


@pytest.fixture
def calibrated_home(indexed_home):
    """A home whose newest version holds the probe's subject among strangers, nearer to each other than to it."""
    gallery = Gallery(indexed_home.path, "county")
    (known,) = [row for row in rows_of(gallery).values() if row["photo"].endswith("S0004-1.jpg")]
    strangers = np.random.default_rng(4).normal(0, 0.06, (STRANGERS, 128))
    labels = [label(row, subject=f"P{row:04d}") for row in range(STRANGERS)] + [label(STRANGERS, subject="S0004")]
    number = gallery.version().number + 1
    write_version(indexed_home.path, np.vstack([strangers, known["embedding"]]), labels, number)
    write_calibration(gallery.index / str(number), files_in(gallery.index / str(number)), 128, "county", number)
    return indexed_home


@pytest.fixture
def session(calibrated_home):
    request = Request("search", "county", "robbery", "2026-0117")
    with SearchSession(calibrated_home.path, calibrated_home.sheriff.read_text().strip(), request) as opened:
        yield opened


def test_beside_each_distance_stands_how_often_chance_gives_it(calibrated_home, session, probe):
    lead = session.search(probe, k=3)

    assert [one.subject for one in lead.candidates][:1] == ["S0004"]
    assert [one.rate.sentence for one in lead.candidates] == [NEAR, FAR, FAR]
    assert not lead.is_chance
    assert lead.remarks[0] == f"Rank 1: {NEAR}."
    assert f"seen with {STRANGERS + 1} of its own faces" in lead.remarks[-1]
    told = lead.as_json()
    assert [one["by_chance"]["says"] for one in told["candidates"]] == [NEAR, FAR, FAR]
    assert (told["sampled"], told["cut_off"], told["is_chance"]) == (STRANGERS + 1, None, False)
    answer = ledger_of(calibrated_home, limit=1)[0]["body"]["answer"]
    made = read_calibration(Gallery(calibrated_home.path, "county").version())
    assert answer["calibration"] == made.about["seal"]
    assert [one.rate for one in lead.candidates] == [made.rate(one.distance) for one in lead.candidates]


def test_a_list_that_chance_gives_is_marked(session, probe):
    found = session.search(probe, k=3)
    lead = dataclasses.replace(found, candidates=found.candidates[1:])

    assert lead.is_chance
    assert lead.as_json()["is_chance"]
    assert lead.remarks[0].startswith("Even rank 1 is no nearer than chance gives: ")
    sheet = render_lead_sheet(lead, None, [None] * len(lead.candidates))
    assert 'class="notice" role="note">Even rank 1 is no nearer than chance gives' in sheet


def test_the_sheet_carries_every_rate_and_the_marks(session, probe):
    lead = session.search(probe, k=4, cut_off="0.05")
    sheet = " ".join(re.sub(r"<[^>]+>", " ", render_lead_sheet(lead, None, [None] * 4)).split())

    assert sheet.count("by chance: nearly all; beyond the cut-off") == 3
    assert sheet.count("by chance: fewer than 1 in 33") == 1
    assert "3 of 4 candidates lie beyond the cut-off, FPIR 0.05; none is left out." in sheet


@pytest.mark.parametrize(("cut_off", "marked"), [("0.05", 2), ("0.001", 3), ("0.9", 2), (None, 0)])
def test_a_cut_off_marks_and_never_shortens(calibrated_home, session, probe, cut_off, marked):
    """A sample of 201 cannot tell that anything is rarer than 1 in 1,000: then everything lies beyond it."""
    lead = session.search(probe, k=3, cut_off=cut_off)

    assert len(lead.candidates) == 3
    assert sum(one.beyond(lead.cut_off) for one in lead.candidates) == marked
    answer = ledger_of(calibrated_home, limit=1)[0]["body"]["answer"]
    assert (answer["cut_off"], answer["beyond_cut_off"], answer["candidates"]) == (cut_off, marked, 3)
    assert sum(one["beyond_cut_off"] for one in lead.as_json()["candidates"]) == marked


def test_a_licences_cut_off_holds_where_it_is_the_stricter_one(calibrated_home, session, probe):
    terms = ("tenant", "terms", "Vandan Sheriff", "--mark-fpir", "0.010", "--reason", "policy 12")
    done(calibrated_home.run(*terms, credential=calibrated_home.operator))

    assert session.search(probe, k=2).cut_off == "0.01"
    assert session.search(probe, k=2, cut_off="0.2").cut_off == "0.01"
    assert session.search(probe, k=2, cut_off="0.001").cut_off == "0.001"


@pytest.mark.parametrize("cut_off", ["0", "1", "0%", "100%", "%", "0,1%", "nan", "-0.1"])
def test_a_cut_off_that_is_no_share_is_refused_before_anything_is_asked(session, probe, cut_off):
    with pytest.raises(InputError, match=r"--cut-off is .*; give a share above 0 and below 1, say 0\.01"):
        session.search(probe, cut_off=cut_off)


@pytest.mark.parametrize(("given", "read"), [("1%", "0.01"), ("10%", "0.1"), ("0.05%", "0.0005"), ("99.9%", "0.999")])
def test_a_cut_off_may_be_a_percentage(given, read):
    assert read_fpir(given, "--cut-off") == read_fpir(read, "--cut-off") == read


def test_a_version_without_calibration_says_so_and_marks_everything_under_a_cut_off(indexed_home, probe):
    number = Gallery(indexed_home.path, "county").version().number + 1
    write_version(indexed_home.path, np.zeros((3, 128)), number=number)
    asked = ("search", probe, "--gallery", "county", "--case", "2026-0117", "--purpose", "robbery")

    plain = done(indexed_home.run(*asked, "-k", 3, credential=indexed_home.sheriff)).out
    (told,) = done(
        indexed_home.run(*asked, "-k", 3, "--cut-off", "0.5", "--json", credential=indexed_home.sheriff)
    ).json()

    assert f"is not known: version {number} is not calibrated (afterfact evaluate calibrate does it)" in plain
    assert plain.count("not known") == 4
    assert [(one["by_chance"], one["beyond_cut_off"]) for one in told["candidates"]] == [(None, True)] * 3


def test_the_table_tells_each_rate_and_the_sentence_of_rank_1(calibrated_home, probe):
    asked = ("search", probe, "--gallery", "county", "--case", "2026-0117", "--purpose", "robbery", "--cut-off", "0.05")
    found = done(calibrated_home.run(*asked, "-k", 3, credential=calibrated_home.sheriff)).out

    assert re.search(r"^\s*1\s+0\.\d{4}\s+< 1 in 33\s+S0004 ", found, re.MULTILINE)
    assert len(re.findall(r"nearly all, beyond", found)) == 2
    assert f"Rank 1: {NEAR}." in found
    assert "2 of 3 candidates lie beyond the cut-off, FPIR 0.05; none is left out." in found
    assert not re.search(r"\bmatch|\bhit\b|% ?certain", found, re.IGNORECASE)
