"""The one way to candidates, called from Python: decisions and entries around everything, and no way around them."""

import json
import os
import shutil
import threading
from collections import Counter

import numpy as np
import pytest
from conftest import done
from handmade import label, ledger_of, reseal, write_version
from indexing import index_archive
from networks import by_hand, other_embedder

from access.gate import Gate, Permit, Refused, Request
from foundation.errors import EXIT_CHOICE, EXIT_REFUSED, InputError
from indexer.embedder import Embedder
from indexer.embedder_file import read_embedder
from indexer.extraction import extract_faces
from indexer.extractor import FaceExtractor
from indexer.gallery import Gallery, GalleryError
from indexer.helper_process import HelperError
from indexer.limits import Limits
from indexer.models import ModelError, installed_model, models_folder
from search import looking
from search import session as session_module
from search.lead import Lead
from search.session import FaceChoiceNeeded, ProbeError, SearchSession


@pytest.fixture
def probe(drawn):
    return drawn.list_path.parent / "probes" / "S0004.jpg"


@pytest.fixture
def spoiled(clean_photos):
    return clean_photos / "spoiled"


@pytest.fixture
def open_session():
    """Opens sessions that are closed at the test's end."""
    opened = []

    def open_one(home, credential=None, **asked):
        request = {"operation": "search", "gallery": "county", "purpose": "robbery", "case": "2026-0117", **asked}
        text = (credential or home.sheriff).read_text().strip()
        opened.append(SearchSession(home.path, text, Request(**request)))
        return opened[-1]

    yield open_one
    for one in opened:
        one.__exit__()


def declare(home, *more):
    done(home.run("moratorium", "declare", "pause", "--kind", "sheriff", "--reason", "until there is a law", *more,
                  credential=home.operator))  # fmt: skip


def searches(home):
    """Returns how many ledger entries there are of searches, by type and outcome."""
    found = [one for one in ledger_of(home) if one["type"].startswith("search.")]
    return Counter((one["type"], one["body"].get("answer", {}).get("outcome")) for one in found)


@pytest.fixture
def photos_read(monkeypatch):
    """Lists what is asked of helper processes, the only place where a session's photos are read."""
    asked = []
    real = FaceExtractor.begin

    def begin(self, paths, probe=False):
        asked.extend(paths)
        return real(self, paths, probe)

    monkeypatch.setattr(FaceExtractor, "begin", begin)
    return asked


def test_the_probes_subject_is_at_rank_1_and_the_lead_is_the_ledgers_entry(indexed_home, open_session, probe):
    lead = open_session(indexed_home).search(probe)
    entry = ledger_of(indexed_home, limit=1)[0]

    assert lead.candidates[0].subject == "S0004"
    assert (lead.entry, lead.head, lead.time) == (entry["number"], entry["head"], entry["time"])
    answer = entry["body"]["answer"]
    assert (answer["outcome"], answer["k"], answer["by"]) == ("CANDIDATES", 20, "subject")
    assert answer["gallery_version"] == lead.version
    assert answer["faces_searched"] == lead.faces_searched
    assert answer["candidates"] == len(lead.candidates)
    assert answer["model"] == lead.model["digest"]
    recorded = entry["details"]["answer"]
    assert entry["details"]["probe"] == lead.probe.digest
    told = lead.as_json()["candidates"]
    assert [(one["rank"], one["subject"], one["distance"]) for one in recorded["candidates"]] == [
        (one["rank"], one["subject"], one["distance"]) for one in told
    ]
    assert entry["details"]["case"] == lead.case == "2026-0117"
    done(indexed_home.run("audit", "verify"))


def test_the_same_probe_gives_the_same_list(indexed_home, open_session, probe):
    session = open_session(indexed_home)

    assert session.search(probe, k=50, by="encounter").candidates == session.search(probe, 50, "encounter").candidates


def test_every_search_of_a_session_is_an_entry_of_its_own(indexed_home, open_session, probe, spoiled):
    session = open_session(indexed_home)
    session.search(probe)
    session.search(probe)
    for name, error in (("nobody.jpg", ProbeError), ("two-people.jpg", FaceChoiceNeeded), ("text.jpg", ProbeError)):
        with pytest.raises(error):
            session.search(spoiled / name)
    with pytest.raises(InputError, match="--face is 9"):
        session.search(spoiled / "two-people.jpg", face=9)
    session.search(spoiled / "two-people.jpg", face=2)

    assert searches(indexed_home) == {
        ("search.answered", "CANDIDATES"): 3,
        ("search.answered", "NO_FACE"): 1,
        ("search.answered", "MULTIPLE_FACES"): 1,
        ("search.answered", "UNREADABLE_IMAGE"): 1,
        ("search.answered", "FACE_NOT_THERE"): 1,
    }


def test_several_faces_are_numbered_and_the_investigators_choice_is_searched(indexed_home, open_session, spoiled):
    session = open_session(indexed_home)
    with pytest.raises(FaceChoiceNeeded, match="shows 2 faces; see the numbered picture") as needed:
        session.search(spoiled / "two-people.jpg")
    boxes = [session.search(spoiled / "two-people.jpg", face=number).probe.box for number in (1, 2)]

    assert needed.value.exit_code == EXIT_CHOICE
    assert (needed.value.faces, needed.value.numbered[:3]) == (2, b"\xff\xd8\xff")
    assert boxes[0] != boxes[1]


@pytest.mark.parametrize("asked", [{"k": 1}, {"k": 51}, {"k": 0}, {"by": "photo"}])
def test_a_wrong_list_is_refused_before_anything_is_read(indexed_home, open_session, photos_read, probe, asked):
    with pytest.raises(InputError):
        open_session(indexed_home).search(probe, **asked)

    assert photos_read == []
    assert not searches(indexed_home)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"purpose": "immigration-status"}, "unknown purpose 'immigration-status'"),
        ({"purpose": None}, "no purpose is given"),
        ({"case": None}, "no case number"),
        ({"case": "  "}, "the case number is empty"),
        ({"case": "a\x1b[2Jb"}, "control or invisible character"),
        ({"case": "a\u202eb"}, "control or invisible character"),
        ({"case": "9" * 65}, "has 65 characters"),
        ({"gallery": "state"}, "gallery 'state' is not granted"),
        ({"gallery": "../../county"}, "is not granted"),
        ({"operator": "Somebody Else"}, "--operator names 'Somebody Else'"),
    ],
)
def test_what_is_not_allowed_is_refused_before_the_photo_is_read(
    indexed_home, open_session, photos_read, probe, asked, says
):
    with pytest.raises(Refused, match=says) as refused:
        open_session(indexed_home, **asked).search(probe)
    entry = ledger_of(indexed_home, limit=1)[0]

    assert photos_read == []
    assert refused.value.exit_code == EXIT_REFUSED
    assert entry["type"].endswith(".refused")
    assert (refused.value.receipt.number, refused.value.receipt.head) == (entry["number"], entry["head"])


@pytest.mark.parametrize("operation", ["index", "look"])
def test_a_session_asks_for_nothing_but_a_search(indexed_home, open_session, operation):
    """An operator may index without a licence, a purpose or a case: that leave must not open a search."""
    with pytest.raises(InputError, match=f"asks for a search, and the request is for {operation!r}"):
        open_session(indexed_home, credential=indexed_home.operator, operation=operation)


def test_an_operator_may_not_search(indexed_home, open_session, photos_read, probe):
    with pytest.raises(Refused, match="operators hold no licence and may not search"):
        open_session(indexed_home, credential=indexed_home.operator).search(probe)
    assert photos_read == []


def test_a_refused_probe_that_is_no_file_is_not_even_opened_and_an_allowed_one_is(indexed_home, open_session, tmp_path):
    """The probe is a pipe: whoever opens its other end for writing waits until somebody opens it for reading."""
    pipe, opened = tmp_path / "probe.jpg", threading.Event()
    os.mkfifo(pipe)

    def writer():
        with open(pipe, "wb"):
            opened.set()

    waiting = threading.Thread(target=writer, daemon=True)
    waiting.start()
    with pytest.raises(Refused):
        open_session(indexed_home, purpose="protest").search(pipe)
    assert not opened.is_set()

    with pytest.raises(ProbeError, match="UNREADABLE_FILE"):
        open_session(indexed_home, case="2026-0118").search(pipe)
    waiting.join(timeout=20)
    assert opened.is_set()


def test_a_moratorium_declared_while_the_photo_is_looked_at_refuses(indexed_home, open_session, monkeypatch, probe):
    real = FaceExtractor.begin

    def begin(self, path, probe=False):
        declare(indexed_home)
        return real(self, path, probe)

    monkeypatch.setattr(FaceExtractor, "begin", begin)
    session = open_session(indexed_home)
    with pytest.raises(Refused, match="until there is a law"):
        session.search(probe)

    assert searches(indexed_home) == {("search.refused", None): 1}


def test_a_moratorium_binds_the_next_probe_of_an_open_session(indexed_home, open_session, photos_read, probe):
    session = open_session(indexed_home)
    session.search(probe)
    declare(indexed_home)
    with pytest.raises(Refused):
        session.search(probe)

    assert len(photos_read) == 1


def test_an_exempt_organisation_goes_on(indexed_home, open_session, probe):
    declare(indexed_home, "--kind", "anti-trafficking-organisation", "--exempt-tenant", "Find Them")

    lead = open_session(indexed_home, credential=indexed_home.rescue, purpose="human-trafficking").search(probe)

    assert (lead.tenant, lead.candidates[0].subject) == ("Find Them", "S0004")
    with pytest.raises(Refused):
        open_session(indexed_home).search(probe)


def test_without_a_ledger_entry_there_is_no_lead(indexed_home, open_session, monkeypatch, probe):
    def full_disk(*_):
        raise OSError("no space left")

    session = open_session(indexed_home)
    monkeypatch.setattr(Gate, "answer", full_disk)
    with pytest.raises(OSError, match="no space left"):
        session.search(probe)

    assert not searches(indexed_home)


def test_a_permit_cannot_be_made_by_hand():
    with pytest.raises(TypeError, match=r"comes from Gate\.ask"):
        Permit(object(), Request("search", "county"), None)


def test_a_version_published_meanwhile_is_searched_next(indexed_home, open_session, probe):
    session = open_session(indexed_home)
    before = session.search(probe)
    vectors = np.random.default_rng(1).normal(0, 0.1, (3, 128))
    write_version(indexed_home.path, vectors, number=before.version + 1)

    after = session.search(probe)

    assert (after.version, after.faces_searched, len(after.candidates)) == (before.version + 1, 3, 3)
    assert ledger_of(indexed_home, limit=1)[0]["body"]["answer"]["gallery_version"] == after.version


@pytest.mark.parametrize("damage", [{"model": {"digest": "0" * 64}}, {"faces": 1}, {"format": 1}])
def test_a_gallery_that_does_not_fit_is_refused_before_the_photo_is_read(
    indexed_home, open_session, photos_read, probe, damage
):
    reseal(Gallery(indexed_home.path, "county").version().folder, **damage)

    with pytest.raises(GalleryError):
        open_session(indexed_home).search(probe)
    assert photos_read == []


def test_a_broken_version_published_meanwhile_is_refused_and_the_older_not_used(indexed_home, open_session, probe):
    session = open_session(indexed_home)
    number = session.search(probe).version + 1
    write_version(indexed_home.path, np.zeros((3, 128)), number=number, model={"digest": "0" * 64})

    with pytest.raises(GalleryError, match="distances mean nothing"):
        session.search(probe)


def test_an_empty_gallery_gives_a_recorded_empty_lead(home, open_session, probe):
    write_version(home.path, np.empty((0, 128)), [])

    lead = open_session(home).search(probe)

    assert (lead.candidates, lead.faces_searched) == ([], 0)
    assert searches(home) == {("search.answered", "CANDIDATES"): 1}


def test_a_failed_search_leaves_nothing_that_the_next_probe_could_be_answered_with(
    indexed_home, open_session, monkeypatch, probe, drawn
):
    """The helper is at work on the first probe when the embedder fails; its answer must not become the second's."""
    real = looking.Embedder

    def absent(*_, **__):
        raise ModelError("the network is gone")

    session = open_session(indexed_home)
    monkeypatch.setattr(looking, "Embedder", absent)
    with pytest.raises(ModelError):
        session.search(probe)
    monkeypatch.setattr(looking, "Embedder", real)

    assert session.search(drawn.list_path.parent / "probes" / "S0007.jpg").candidates[0].subject == "S0007"


def test_a_crop_is_made_only_of_the_photo_that_was_indexed(indexed_home, open_session, probe, tmp_path):
    session = open_session(indexed_home)
    lead = session.search(probe)
    copy = tmp_path / "probe.jpg"
    copy.write_bytes(probe.read_bytes())

    assert session.crop(lead.candidates[0])[:3] == b"\xff\xd8\xff"
    assert session.crop_probe(copy, lead.probe)[:3] == b"\xff\xd8\xff"
    copy.write_bytes((probe.parent / "S0001.jpg").read_bytes())
    assert session.crop_probe(copy, lead.probe) is None
    copy.unlink()
    assert session.crop_probe(copy, lead.probe) is None


def test_a_lead_for_machines_is_json_with_distances_as_texts(indexed_home, open_session, probe):
    lead = open_session(indexed_home).search(probe, k=2)
    told = json.loads(json.dumps(lead.as_json()))

    assert isinstance(lead, Lead)
    assert told["outcome"] == "CANDIDATES"
    assert [len(one["distance"].split(".")[1]) for one in told["candidates"]] == [4, 4]
    assert told["probe"]["name"] == "S0004.jpg"


def test_labels_by_hand_reach_the_lead_unchanged(home, open_session, probe):
    hostile = "<b>\x1b[31m\u202ecar\n"
    write_version(home.path, np.zeros((1, 128)), [label(0, subject=hostile, taken=None, disposition=None)])

    one = open_session(home).search(probe).candidates[0]

    assert (one.subject, one.taken, one.disposition) == (hostile, None, None)


def test_a_probe_is_embedded_as_its_gallery_was(home, open_session, clean_photos, probe, tmp_path):
    """Plain or mirrored is the gallery's to say; a distance between the two would mean nothing."""
    archive = tmp_path / "one"
    archive.mkdir()
    enrolled = next(clean_photos.glob("S0004/*.jpg"))
    shutil.copy(enrolled, archive)
    index_archive(home.path, archive, mirrored=True)
    (found,) = open_session(home).search(probe, k=2).candidates

    def chip(path, **asked):
        return extract_faces(path, None, Limits(), **asked).faces[0].chip[None]

    both, plain = Embedder(mirrored=True), Embedder()
    held = both.embed_chips(chip(enrolled))
    assert found.distance == pytest.approx(np.linalg.norm(both.embed_chips(chip(probe, probe=True)) - held), abs=1e-5)
    assert abs(found.distance - np.linalg.norm(plain.embed_chips(chip(probe, probe=True)) - held)) > 1e-3


@pytest.fixture
def few_ahead(monkeypatch):
    """Windows of two probes, so that a handful is many."""
    monkeypatch.setattr(session_module, "WINDOW", 2)


def probes_of(drawn, count):
    """Returns so many probes of the drawn archive, round and round."""
    there = sorted((drawn.list_path.parent / "probes").glob("*.jpg"))
    return [there[number % len(there)] for number in range(count)]


def test_many_probes_are_answered_in_order_each_as_it_is_alone(indexed_home, open_session, drawn, spoiled):
    """More than MANY, so that several helpers look at them, and more than two windows."""
    probes = [*probes_of(drawn, 30), spoiled / "nobody.jpg", spoiled / "two-people.jpg", *probes_of(drawn, 8)]
    session = open_session(indexed_home)

    together = list(session.search_each(probes, k=5))
    alone = [open_session(indexed_home).search(probe, k=5) for probe in probes[:12]]

    assert [one.entry for one in together if isinstance(one, Lead)] == sorted(
        one["number"]
        for one in ledger_of(indexed_home, limit=60)
        if one["body"].get("answer", {}).get("outcome") == "CANDIDATES"
    )[:38]
    assert [type(one) for one in together[30:32]] == [ProbeError, FaceChoiceNeeded]
    for number, one in enumerate([*together[:30], *together[32:]]):
        assert (one.probe, one.candidates) == (alone[number % 30 % 12].probe, alone[number % 30 % 12].candidates)


def test_each_probe_is_decided_on_before_it_is_decoded_and_few_are_ahead(
    indexed_home, open_session, monkeypatch, few_ahead, drawn
):
    events = []

    def watched(owner, name, real):
        def told(self, first, *rest, **more):
            result = real(self, first, *rest, **more)
            events.append((name, result))
            return result

        monkeypatch.setattr(owner, name, told)

    watched(Gate, "ask", Gate.ask)
    watched(Gate, "answer", Gate.answer)
    real = FaceExtractor.begin

    def begin(self, paths, probe):
        events.extend(("begin", path) for path in paths)
        return real(self, paths, probe)

    monkeypatch.setattr(FaceExtractor, "begin", begin)
    probes = probes_of(drawn, 9)

    for number, _ in enumerate(open_session(indexed_home).search_each(probes), start=1):
        names = [name for name, _ in events]
        assert names.count("answer") == number  # none is recorded before the one before it was taken
        assert names.count("ask") <= number + 3
    names = [name for name, _ in events]
    for number in range(1, 10):
        before = names[: [index for index, name in enumerate(names) if name == "begin"][number - 1]]
        assert before.count("ask") >= number
    assert (names.count("ask"), names.count("begin"), names.count("answer")) == (9, 9, 9)


def test_a_moratorium_of_another_process_stops_every_probe_that_is_not_answered(
    indexed_home, open_session, photos_read, few_ahead, drawn
):
    session = open_session(indexed_home)
    answers = session.search_each(probes_of(drawn, 12))
    leads = [next(answers) for _ in range(3)]
    session.handed_out()
    declare(indexed_home)
    with pytest.raises(Refused, match="until there is a law") as refused:
        next(answers)

    assert len(leads) == 3
    assert searches(indexed_home) == {("search.answered", "CANDIDATES"): 3, ("search.refused", None): 1}
    assert refused.value.receipt.number == ledger_of(indexed_home, limit=1)[0]["number"]
    assert len(photos_read) <= 6
    assert list(answers) == []


def test_a_moratorium_between_two_windows_is_told_with_both_its_refusals(
    indexed_home, open_session, photos_read, few_ahead, drawn
):
    """The next probes are asked about before those allowed earlier are answered: either is refused, and no other."""
    session = open_session(indexed_home)
    answers = session.search_each(probes_of(drawn, 12))
    for _ in range(2):
        next(answers)
    session.handed_out()
    declare(indexed_home)
    with pytest.raises(Refused) as refused:
        next(answers)
    ahead, recorded = (one["number"] for one in reversed(ledger_of(indexed_home, limit=2)))

    assert searches(indexed_home) == {("search.answered", "CANDIDATES"): 2, ("search.refused", None): 2}
    assert refused.value.receipt.number == recorded
    assert str(refused.value).endswith(f"a later probe was refused as well (ledger entry {ahead})")
    assert len(photos_read) == 4


def test_probes_before_a_refused_one_are_answered_and_those_after_it_are_not_asked_about(
    indexed_home, open_session, photos_read, few_ahead, drawn
):
    """One probe was refused to the sheriff, and is held when another organisation comes with it."""
    probes = probes_of(drawn, 7)
    declare(indexed_home)
    with pytest.raises(Refused):
        open_session(indexed_home, case="2026-0555").search(probes[4])
    session = open_session(indexed_home, credential=indexed_home.rescue, purpose="human-trafficking")
    answers, leads = session.search_each(probes), []
    with pytest.raises(Refused, match="held for an approver"):
        for answer in answers:
            leads.append(answer)

    assert [lead.probe.name for lead in leads] == [probe.name for probe in probes[:4]]
    assert sorted(photos_read) == sorted(str(probe) for probe in probes[:4])
    assert searches(indexed_home)["search.answered", "CANDIDATES"] == 4


def test_the_days_last_query_is_the_last_answer(indexed_home, open_session, drawn):
    """Probes are asked about ahead, while those before them are not counted yet: the second decision counts them."""
    done(indexed_home.run("tenant", "terms", "Vandan Sheriff", "--queries-a-day", 3, "--reason", "policy",
                          credential=indexed_home.operator))  # fmt: skip
    leads = []
    with pytest.raises(Refused, match="allows 3 a day"):
        for answer in open_session(indexed_home).search_each(probes_of(drawn, 8)):
            leads.append(answer)

    assert len(leads) == 3
    assert searches(indexed_home) == {("search.answered", "CANDIDATES"): 3, ("search.refused", None): 1}


def test_an_answer_is_in_flight_until_it_is_handed_out(indexed_home, open_session, few_ahead, drawn):
    session, other = open_session(indexed_home), Gate.open(indexed_home.path)
    for _ in session.search_each(probes_of(drawn, 6)):
        assert other.outstanding(0) == 1
        session.handed_out()
        assert other.outstanding(0) == 0


def test_a_version_published_in_the_middle_is_searched_by_the_probes_after(
    indexed_home, open_session, few_ahead, drawn
):
    answers = open_session(indexed_home).search_each(probes_of(drawn, 6))
    before = [next(answers) for _ in range(2)]
    write_version(indexed_home.path, np.random.default_rng(1).normal(0, 0.1, (3, 128)), number=before[0].version + 1)

    assert [(one.version - before[0].version, one.faces_searched) for one in answers] == [(1, 3)] * 4


def test_probes_embedded_for_a_version_are_embedded_anew_for_one_that_mirrors(
    indexed_home, open_session, few_ahead, drawn
):
    probes = probes_of(drawn, 4)
    answers = open_session(indexed_home).search_each(probes)
    number = [next(answers) for _ in range(2)][1].version + 1  # the third and fourth may be embedded by now, plainly
    held = np.zeros((2, 128), np.float32)
    write_version(indexed_home.path, held, number=number, model=installed_model(mirrored=True).as_json())
    chips = [extract_faces(probe, None, Limits(), probe=True).faces[0].chip[None] for probe in probes[2:]]

    distances = [answer.candidates[0].distance for answer in answers]

    both = Embedder(mirrored=True)
    assert distances == pytest.approx([np.linalg.norm(both.embed_chips(chip)) for chip in chips], abs=1e-6)


def test_probes_looked_at_for_a_version_are_looked_at_anew_for_one_of_another_model(
    indexed_home, open_session, few_ahead, drawn, tmp_path
):
    probes, given = probes_of(drawn, 4), read_embedder(other_embedder(tmp_path / "other"))
    given.keep(indexed_home.path)
    answers = open_session(indexed_home).search_each(probes)
    number = [next(answers) for _ in range(2)][1].version + 1
    held = np.eye(2, 48, dtype=np.float32)
    write_version(indexed_home.path, held, number=number, model=given.model.as_json())

    distances = [answer.candidates[0].distance for answer in answers]

    for probe, distance in zip(probes[2:], distances, strict=True):
        (face,) = extract_faces(probe, None, Limits(), probe=True, alignment=given.model.chips).faces
        expected = np.linalg.norm(by_hand(given.file, face.chip[None]) - held, axis=1).min()
        assert distance == pytest.approx(expected, abs=1e-5)


def test_a_broken_version_published_in_the_middle_ends_the_search(indexed_home, open_session, few_ahead, drawn):
    answers = open_session(indexed_home).search_each(probes_of(drawn, 6))
    next(answers)
    number = next(answers).version + 1
    write_version(indexed_home.path, np.zeros((3, 128)), number=number, model={"digest": "0" * 64})

    with pytest.raises(GalleryError, match="distances mean nothing"):
        next(answers)


def test_a_probe_changed_after_its_decision_ends_the_search_behind_those_before_it(
    indexed_home, open_session, monkeypatch, drawn, tmp_path
):
    probes = [tmp_path / one.name for one in probes_of(drawn, 5)]
    for copy, source in zip(probes, probes_of(drawn, 5), strict=True):
        copy.write_bytes(source.read_bytes())
    real = FaceExtractor.begin

    def begin(self, paths, probe=False):
        if str(probes[3]) in paths:
            probes[3].write_bytes(probes[0].read_bytes())
        return real(self, paths, probe)

    monkeypatch.setattr(FaceExtractor, "begin", begin)
    leads = []
    with pytest.raises(InputError, match="changed after it was decided on"):
        for answer in open_session(indexed_home).search_each(probes):
            leads.append(answer.probe.name)

    assert leads == [one.name for one in probes[:3]]
    assert searches(indexed_home) == {("search.answered", "CANDIDATES"): 3}


def test_probes_that_were_only_asked_about_leave_nothing_when_the_search_is_left(
    indexed_home, open_session, few_ahead, drawn
):
    session = open_session(indexed_home)
    answers = session.search_each(probes_of(drawn, 12))
    first = next(answers)
    answers.close()
    second = session.search(probes_of(drawn, 12)[7])

    assert searches(indexed_home) == {("search.answered", "CANDIDATES"): 2}
    assert (second.entry, second.candidates[0].subject) == (first.entry + 1, probes_of(drawn, 12)[7].stem)


def test_probes_that_nobody_looks_at_yet_are_given_up_when_the_looker_is_closed(indexed_home, drawn):
    looker = looking.Looker(None, models_folder(indexed_home.path))
    looker.expect(1)
    looked = [looker.begin(probe, None, installed_model()) for probe in probes_of(drawn, 40)]
    looker.close()

    assert all(one.done() for one in looked)
    assert looked[-1].cancelled()


def test_a_helper_that_cannot_start_again_does_not_take_the_answers_before_it(
    indexed_home, open_session, monkeypatch, drawn
):
    probes, real = probes_of(drawn, 5), FaceExtractor.begin

    def begin(self, paths, probe=False):
        for path, extraction in zip(paths, real(self, paths, probe), strict=True):
            if path == str(probes[3]):
                raise HelperError("no processes left")
            yield extraction

    monkeypatch.setattr(FaceExtractor, "begin", begin)
    leads = []
    with pytest.raises(HelperError):
        for answer in open_session(indexed_home).search_each(probes):
            leads.append(answer)

    assert len(leads) == 3
