"""Other limits of quality for a gallery, from what its rows keep, and that nobody is searched who is not enrolled."""

import dataclasses
import shutil

import faiss
import pytest
from indexing import index_archive, no_probes, rows_of, search_files

import indexer.requalify
from foundation.errors import InputError
from indexer.gallery import FACES, Gallery, GalleryError
from indexer.limits import Limits
from indexer.outcomes import BY_QUALITY, EMBEDDED
from indexer.publish import roll_back
from indexer.requalify import judge_again, new_limits, requalify
from indexer.verify import verify_gallery

WIDE = Limits(min_sharpness=1, min_brightness=10, max_brightness=250)
NARROW = Limits(min_sharpness=130, max_brightness=150)


@pytest.fixture(scope="session")
def _archive(clean_photos, tmp_path_factory):
    """Photos that limits tell apart, two of the same bytes, and some that no limit would enrol."""
    folder = tmp_path_factory.mktemp("judged") / "archive"
    folder.mkdir()
    for path in sorted(clean_photos.glob("S*/*-1.jpg"))[:6]:
        shutil.copy(path, folder)
    for name in ("blurred.jpg", "blown-out.jpg", "dim.jpg", "nobody.jpg", "text.jpg", "two-people.jpg"):
        shutil.copy(clean_photos / "spoiled" / name, folder)
    shutil.copy(folder / "blurred.jpg", folder / "blurred-twin.jpg")
    shutil.copy(folder / "S0001-1.jpg", folder / "A-twin.jpg")
    return folder


@pytest.fixture(scope="session")
def _indexed_with(_archive, tmp_path_factory):
    made = {}

    def home_of(limits):
        if limits not in made:
            made[limits] = tmp_path_factory.mktemp("judged") / "home"
            index_archive(made[limits], _archive, limits=limits)
        return made[limits]

    return home_of


@pytest.fixture
def gallery_with(_indexed_with, tmp_path):
    """Returns a function that gives a gallery of its own, indexed with the limits."""

    def gallery(limits):
        folder = tmp_path / f"home-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(_indexed_with(limits), folder)
        return Gallery(folder, "county")

    return gallery


def with_limits(gallery, limits, known_probes=no_probes):
    return requalify(gallery, lambda version: limits, lambda found: None, known_probes)


def what_is_kept(gallery):
    """Returns the rows but for what names the run that wrote them."""
    return {
        photo: {name: value for name, value in row.items() if name not in ("row", "run")}
        for photo, row in rows_of(gallery).items()
    }


def faces_in_index(gallery):
    return faiss.read_index(str(gallery.version().folder / FACES)).ntotal


def assert_whole(gallery):
    assert [finding for finding in verify_gallery(gallery) if finding.problem] == []


@pytest.mark.parametrize(("first", "then"), [(NARROW, WIDE), (WIDE, NARROW), (Limits(), WIDE), (Limits(), NARROW)])
def test_a_gallery_is_then_as_if_it_had_been_indexed_with_the_new_limits(gallery_with, first, then):
    gallery, expected = gallery_with(first), gallery_with(then)
    found, version = with_limits(gallery, then)
    assert what_is_kept(gallery) == what_is_kept(expected)
    assert search_files(gallery)[0] == search_files(expected)[0]
    assert search_files(gallery)[1].drop("row").equals(search_files(expected)[1].drop("row"))
    about = version.about
    assert about["outcomes"] == found.after == expected.version().about["outcomes"]
    assert (version.number, about["faces"], about["limits"]) == (1, found.after["ENROLLED"], then.of_quality)
    account = about["account"]
    assert (account["requalified"], account["old_limits"], account["limits"]) == (0, first.of_quality, then.of_quality)
    assert (account["before"], account["after"]) == (gallery.version(0).about["outcomes"], about["outcomes"])
    assert sum(found.before.values()) == sum(found.after.values()) == 14
    assert_whole(gallery)


def test_there_and_back_is_where_it_was(gallery_with):
    gallery = gallery_with(Limits())
    before, rows = search_files(gallery), rows_of(gallery)
    with_limits(gallery, NARROW)
    assert rows_of(gallery) != rows
    with_limits(gallery, Limits())
    assert rows_of(gallery) == rows  # ids and all
    assert search_files(gallery)[0] == before[0]


def test_rejected_faces_are_kept_but_in_no_index(gallery_with):
    gallery = gallery_with(NARROW)
    rows = rows_of(gallery)
    embedded = {photo for photo, row in rows.items() if row["embedding"] is not None}
    assert embedded == {photo for photo, row in rows.items() if row["outcome"] in EMBEDDED}
    assert rows["two-people.jpg"]["outcome"] == "MULTIPLE_FACES"
    assert {"two-people.jpg", "blurred.jpg", "blurred-twin.jpg", "dim.jpg"} < embedded
    enrolled = {photo for photo, row in rows.items() if row["outcome"] == "ENROLLED"}
    assert 0 < len(enrolled) < len(embedded) - 4
    assert set(search_files(gallery)[1]["photo"].to_pylist()) == enrolled
    assert faces_in_index(gallery) == len(enrolled)


def test_nobody_with_several_faces_is_enrolled_by_any_limits(gallery_with):
    gallery = gallery_with(NARROW)
    widest = Limits(min_eye_distance=0, max_yaw=99, min_brightness=0, max_brightness=255, min_sharpness=0)
    with_limits(gallery, widest)
    rows = rows_of(gallery)
    assert {row["outcome"] for row in rows.values()}.isdisjoint(BY_QUALITY)
    untouched = ("two-people.jpg", "nobody.jpg", "text.jpg")
    assert [rows[photo]["outcome"] for photo in untouched] == ["MULTIPLE_FACES", "NO_FACE", "UNREADABLE_IMAGE"]
    assert rows["blurred-twin.jpg"]["outcome"] == "ENROLLED"
    assert (rows["blurred.jpg"]["outcome"], rows["blurred.jpg"]["embedding"]) == ("DUPLICATE", None)
    assert faces_in_index(gallery) == 9


def test_what_changes_nothing_is_no_version(gallery_with):
    gallery = gallery_with(Limits())
    asked = []
    found, version = requalify(gallery, lambda version: Limits(), asked.append, no_probes)
    assert (version, found.changes, asked, gallery.version_numbers()) == (None, {}, [], [0])


def test_limits_that_change_no_photo_are_remembered_all_the_same(gallery_with):
    gallery = gallery_with(Limits())
    found, version = with_limits(gallery, Limits(max_yaw=0.99))
    assert (found.changes, version.number, version.limits["max_yaw"]) == ({}, 1, 0.99)
    assert search_files(gallery, 0)[0] == search_files(gallery, 1)[0]
    assert with_limits(gallery, Limits(max_yaw=0.99))[1] is None
    assert_whole(gallery)


def test_a_dry_look_writes_nothing_and_tells_the_same(gallery_with):
    gallery = gallery_with(Limits())
    looked = judge_again(gallery, NARROW, no_probes)
    assert gallery.version_numbers() == [0]
    assert with_limits(gallery, NARROW)[0] == looked


def test_a_refusal_before_publishing_publishes_nothing(gallery_with):
    gallery = gallery_with(Limits())

    def refuse(found):
        raise GalleryError("a moratorium was declared meanwhile")

    with pytest.raises(GalleryError, match="moratorium"):
        requalify(gallery, lambda version: NARROW, refuse, no_probes)
    assert gallery.version_numbers() == [0]
    assert with_limits(gallery, NARROW)[1].number == 1


def test_what_was_a_probe_since_is_not_enrolled_and_forgotten(gallery_with):
    gallery = gallery_with(Limits())
    rows = rows_of(gallery)
    probes = {rows[name]["photo_digest"] for name in ("blurred.jpg", "S0002-1.jpg", "S0001-1.jpg")}
    found, _ = with_limits(gallery, WIDE, lambda digests: digests & probes)
    after = rows_of(gallery)
    for name in ("blurred.jpg", "blurred-twin.jpg"):
        assert (after[name]["outcome"], after[name]["embedding"]) == ("PROBE_PHOTO", None)
        assert after[name]["detail"] == "the ledger knows it as a probe"
    # Who was enrolled before somebody searched with that photo stays so, as in every run; so do their duplicates.
    for name in ("S0002-1.jpg", "A-twin.jpg", "S0001-1.jpg"):
        assert after[name] == rows[name]
    assert found.after["PROBE_PHOTO"] == 2
    with_limits(gallery, Limits())
    assert rows_of(gallery)["blurred.jpg"]["outcome"] == "PROBE_PHOTO"


def test_a_probe_leaves_no_embedding_in_a_run_either(_archive, gallery_with, tmp_path, monkeypatch):
    digest = rows_of(gallery_with(Limits()))["blurred.jpg"]["photo_digest"]
    monkeypatch.setattr("indexing.no_probes", lambda digests: digests & {digest})
    index_archive(tmp_path / "home", _archive)
    for name in ("blurred.jpg", "blurred-twin.jpg"):
        row = rows_of(Gallery(tmp_path / "home", "county"))[name]
        assert (row["outcome"], row["embedding"]) == ("PROBE_PHOTO", None)


def test_a_gallery_of_before_says_what_it_cannot_enrol(_archive, tmp_path, monkeypatch):
    """An older Afterfact kept no embeddings of rejected photos and remembered no limits."""
    gallery = Gallery(tmp_path / "home", "county")
    with monkeypatch.context() as patch:
        patch.setattr("indexer.settled.EMBEDDED", {"ENROLLED"})
        patch.setattr("indexer.limits.Limits.of_quality", None)
        index_archive(gallery.home, _archive)
    assert gallery.version().limits is None
    rows = rows_of(gallery)
    found, version = with_limits(gallery, WIDE)
    assert (found.unknown, found.old, found.changes) == (4, None, {})
    assert version.limits == WIDE.of_quality
    assert rows_of(gallery) == rows
    found, _ = with_limits(gallery, NARROW)
    assert found.after["ENROLLED"] < found.before["ENROLLED"]
    with_limits(gallery, Limits())
    assert rows_of(gallery) == rows
    assert_whole(gallery)


@pytest.mark.parametrize("point", ["indexer.requalify.commit_rows", "indexer.publish.build_index"])
@pytest.mark.parametrize("finisher", ["requalify", "index"])
def test_a_requalification_that_is_cut_short_is_finished(gallery_with, _archive, point, finisher, monkeypatch):
    gallery, undisturbed = gallery_with(Limits()), gallery_with(Limits())
    with_limits(undisturbed, NARROW)

    def die(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(point, die)
        with pytest.raises(KeyboardInterrupt):
            with_limits(gallery, NARROW)
    assert gallery.version_numbers() == [0]
    if finisher == "index":
        assert index_archive(gallery.home, _archive).version is None
    with_limits(gallery, NARROW)
    assert gallery.version_numbers() == [0, 1]
    assert rows_of(gallery) == rows_of(undisturbed)
    assert search_files(gallery)[0] == search_files(undisturbed)[0]
    assert gallery.version().about["account"] == undisturbed.version().about["account"]
    assert_whole(gallery)


def test_nobody_requalifies_while_a_run_is_at_work(gallery_with):
    gallery = gallery_with(Limits())
    with gallery.publisher_lock(), pytest.raises(GalleryError, match="another run is at work on gallery 'county'"):
        with_limits(gallery, NARROW)


def test_a_later_run_keeps_held_photos_and_judges_new_ones_by_its_own_limits(gallery_with, _archive, tmp_path, capsys):
    gallery = gallery_with(Limits())
    with_limits(gallery, NARROW)
    rows = rows_of(gallery)
    assert index_archive(gallery.home, _archive, quiet=False).version is None
    told = capsys.readouterr().err
    assert "held to max_brightness 235 (the gallery's is 150), min_sharpness 2 (the gallery's is 130)" in told
    assert "held photos stay as they are: afterfact gallery requalify makes them one" in told
    assert rows_of(gallery) == rows
    more = tmp_path / "more"
    more.mkdir()
    rejected = next(photo for photo, row in rows.items() if row["outcome"] == "LOW_SHARPNESS" and photo[0] == "S")
    with open(more / "new.jpg", "wb") as stream:
        stream.write((_archive / rejected).read_bytes() + b"other bytes")
    indexed = index_archive(gallery.home, more)
    assert (indexed.accounting.enrolled, indexed.version.limits) == (1, NARROW.of_quality)
    assert indexed.version.about["account"]["limits"] == Limits().of_quality
    found, _ = requalify(gallery, lambda version: new_limits(version.limits, None, {}), lambda found: None, no_probes)
    assert len(found.changes) == 1
    assert rows_of(gallery)["new.jpg"]["outcome"] == "LOW_SHARPNESS"
    index_archive(gallery.home, _archive, limits=NARROW, quiet=False)
    assert "held to" not in capsys.readouterr().err


def test_rolling_back_brings_the_limits_back_too(gallery_with):
    gallery = gallery_with(Limits())
    before = rows_of(gallery)
    with_limits(gallery, NARROW)
    version = roll_back(gallery, 0)
    assert version.limits == Limits().of_quality
    assert rows_of(gallery) == before


def test_photos_of_one_content_that_was_measured_twice_are_each_judged_by_their_own_measures():
    """A duplicate looked at by a later detector may keep a limit that its original does not."""

    def row(location, outcome, of=None):
        return {"location": location, "photo": location, "subject": None, "outcome": outcome, "detail": None} | {
            "duplicate_of": of
        }

    passes, fails = ("ENROLLED", None, None), ("LOW_SHARPNESS", "too low", None)
    judged = [(row("a", "ENROLLED"), fails), (row("b", "DUPLICATE", "a"), passes), (row("c", "SMALL_FACE"), passes)]
    settled = [verdict for _, verdict in indexer.requalify._settle_alike(judged, probe=False)]
    assert settled == [fails, passes, ("DUPLICATE", "the same bytes as b", "b")]


def test_limits_come_from_the_job_or_the_gallery_and_what_is_given_lies_over_them():
    remembered = dataclasses.replace(Limits(), max_yaw=0.3).of_quality
    assert new_limits(remembered, None, {"min_sharpness": 5}) == Limits(max_yaw=0.3, min_sharpness=5)
    assert new_limits(remembered, Limits(max_yaw=0.4, max_bytes=5), {}) == Limits(max_yaw=0.4)
    assert new_limits(None, None, WIDE.of_quality) == WIDE
    with pytest.raises(InputError, match="limit 'max_bytes' cannot change without a look at the photos"):
        new_limits(remembered, None, {"max_bytes": 5})
    with pytest.raises(InputError, match="made before galleries remembered their limits; give a job file's"):
        new_limits(None, None, {"max_yaw": 1})
    with pytest.raises(InputError, match="limit max_yaw is -1"):
        new_limits(remembered, None, {"max_yaw": -1})
