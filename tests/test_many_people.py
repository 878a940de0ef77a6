"""Own probes against a tenant's gallery: many people, in every group, and no row that tells whose it is."""

from __future__ import annotations

import re

import pytest
from conftest import done
from handmade import ledger_of

from access.gate import Request
from evaluation import many_people
from evaluation.many_people import FEWEST, require_many
from evaluation.samples import Sample
from evaluation.session import EvaluationSession
from evaluation.split import given_split
from foundation.errors import InputError
from foundation.files import digest_file
from indexer.embedder_file import given_embedder
from indexer.grouping import By


def probes_of(mated=FEWEST, others=FEWEST, columns=lambda number: {}):
    """Returns a split of own probes, one a person, and a digest for each."""
    gallery = [Sample(f"g{number}", "", f"S{number}", columns={"mark": "x"}) for number in range(mated)]
    probes = [Sample(f"p{number}", "", f"S{number}", columns=columns(number)) for number in range(mated)]
    strangers = [Sample(f"n{number}", "", columns={"mark": "x"}) for number in range(others)]
    split = given_split(gallery, probes, strangers, "the lists", outside=False)
    return split, [f"{number:064x}" for number in range(mated + others)]


def test_thirty_people_of_each_kind_are_enough():
    split, digests = probes_of()
    require_many("county", split, digests, [True] * len(digests), None)


@pytest.mark.parametrize(
    ("lost", "says"), [(3, "29 people who are enrolled"), (FEWEST + 3, "29 people who are not enrolled")]
)
def test_who_has_no_face_is_not_counted(lost, says):
    split, digests = probes_of()
    with pytest.raises(InputError, match=says):
        require_many("county", split, digests, [place != lost for place in range(len(digests))], None)


def test_one_photo_under_thirty_names_is_refused():
    split, digests = probes_of()
    with pytest.raises(InputError, match="probe p29 is the same file as probe p28"):
        require_many("county", split, [*digests[:29], digests[28], *digests[30:]], [True] * len(digests), None)


def test_a_group_of_one_person_would_be_a_search_for_that_person():
    split, digests = probes_of(2 * FEWEST, columns=lambda number: {"mark": "suspect" if number == 7 else "x"})
    groups = By.read("mark").groups([one.columns for one in split.samples], "the lists")

    with pytest.raises(InputError, match="1 people of group 'suspect' by mark who are enrolled"):
        require_many("county", split, digests, [True] * len(digests), groups)


def test_the_ledger_keeps_which_photos_were_probes_and_no_row_tells_whose_it_is(
    indexed_home, drawn, tmp_path, monkeypatch
):
    monkeypatch.setattr(many_people, "FEWEST", 3)  # the drawn gallery has twelve people
    add = ("tenant", "add", "Lab", "--kind", "research", "--gallery", "county", "--may", "evaluate")
    lab = tmp_path / "lab.credential"
    done(indexed_home.run(*add, "--person", "K", "--save-credential", lab, credential=indexed_home.operator))
    photos = sorted(drawn.list_path.parent.glob("photos/S*/*-1.jpg"))[:8]
    paths = [tmp_path / photo.name for photo in photos]
    for path, photo in zip(paths, photos, strict=True):
        path.write_bytes(photo.read_bytes() + b"other bytes than those enrolled")
    probes = [Sample(path.name, str(path), path.name[:5], columns={"mark": path.name}) for path in paths[:4]]
    strangers = [Sample(path.name, str(path)) for path in paths[4:]]
    request = Request("evaluate", "", "testing", "test-1")
    session = EvaluationSession(
        indexed_home.path, lab.read_text().strip(), request, 1, given_embedder(None, False), "cpu", quiet=True
    )

    evaluation = session.gallery_with_probes("county", probes, strangers)
    session.handed_out()

    assert evaluation.measured.result["searches"] == {"mated": 4, "non_mated": 4}
    assert tuple(evaluation.measured.columns) == many_people.TOLD
    rows = evaluation.measured.scores
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)  # pseudonyms, drawn anew each time
    assert not re.search(r"S00\d\d|\.jpg", repr(rows))
    entry = ledger_of(indexed_home, limit=1)[0]
    assert entry["body"]["answer"]["scores"] == 8
    told = [f"(stranger {place})" for place in range(1, 5)]
    assert entry["details"]["answer"]["probes"] == [
        [digest_file(path), subject]
        for path, subject in zip(paths, [*(one.subject for one in probes), *told], strict=True)
    ]
