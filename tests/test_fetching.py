"""Photos in a store: fetched ahead, each ends as its own outcome, and what is the store's fault is no photo's."""

from __future__ import annotations

import io
import tarfile
import threading
import time
import zipfile
import zlib
from pathlib import Path

import pytest
from object_stores import BUSY, EXPIRED, refusal

from foundation.files import digest_bytes
from foundation.object_store import open_store
from foundation.store_errors import StoreRefused, StoreUnavailable
from indexer import fetching
from indexer.containers import ArchiveError
from indexer.extraction import extract_faces
from indexer.extractor import FaceExtractor
from indexer.fetching import FETCHED_AHEAD, Fetcher
from indexer.job import IndexJob
from indexer.limits import Limits
from indexer.listing import list_archive
from indexer.locations import Member, photo_at
from indexer.outcomes import Outcome, Rejection
from indexer.ranged import READ_AHEAD

DENIED = 403, refusal("AccessDenied", "Access Denied")


@pytest.fixture
def root(s3):
    return f"{s3.new_bucket()}/photos"


@pytest.fixture
def quick(monkeypatch):
    """A client that gives up soon. Asked for before the first request."""
    monkeypatch.setattr("foundation.object_store.ATTEMPTS", 2)


def put(root, **contents):
    for name, content in contents.items():
        open_store(root).write(f"{name}.jpg", content)
    return [f"{root}/{name}.jpg" for name in contents]


def outcome_of(content):
    return content.outcome if isinstance(content, Rejection) else content


def fetched(root, photos, **limits):
    fetcher = Fetcher(root, Limits(**limits))
    try:
        return [outcome_of(content) for _, content in fetcher.each(photos)]
    finally:
        fetcher.close()


def test_each_photo_has_its_bytes_or_its_own_reason(root):
    photos = put(root, a=b"one", large=b"x" * 101, empty=b"", limit=b"x" * 100)
    others = [f"{root}/gone.jpg", f"{root}/../photos/a.jpg", f"{root}/./a.jpg", f"{root}//a.jpg", f"{root}x/a.jpg"]
    bucket = root.rpartition("/")[0]
    assert fetched(root, [*photos, *others, f"{bucket}/a.jpg"], max_bytes=100) == [
        b"one",
        Outcome.IMAGE_TOO_LARGE,
        b"",
        b"x" * 100,
        Outcome.MISSING_FILE,
        Outcome.OUTSIDE_ARCHIVE,
        Outcome.UNREADABLE_FILE,
        Outcome.OUTSIDE_ARCHIVE,
        Outcome.OUTSIDE_ARCHIVE,
        Outcome.OUTSIDE_ARCHIVE,
    ]
    assert fetched(None, [f"{root}//a.jpg", photos[0]]) == [Outcome.UNREADABLE_FILE, b"one"]


def test_what_is_too_large_is_not_fetched(s3, proxy):
    photos = put(f"{s3.new_bucket()}/photos", a=b"x" * 101)
    proxy.asked.clear()
    fetched(None, photos, max_bytes=100)
    assert [asked.method for asked in proxy.asked] == ["HEAD"]


def test_photos_are_asked_for_side_by_side_and_come_in_order(s3, proxy):
    photos = put(f"{s3.new_bucket()}/p", **{f"n{number}": str(number).encode() for number in range(24)})
    at_once, most, lock = 0, 0, threading.Lock()

    def slow(asked):
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.1)
        with lock:
            at_once -= 1

    proxy.answer = slow
    assert fetched(None, photos) == [str(number).encode() for number in range(24)]
    assert FETCHED_AHEAD / 2 < most <= FETCHED_AHEAD


def test_few_large_photos_are_held_at_a_time(s3, proxy, monkeypatch):
    monkeypatch.setattr(fetching, "HELD_BYTES", 1000)
    photos = put(f"{s3.new_bucket()}/p", **{f"n{number}": b"x" * 900 for number in range(40)})
    proxy.asked.clear()
    fetcher, asked_for = Fetcher(None, Limits()), []
    for _ in fetcher.each(photos):
        time.sleep(0.05)
        asked_for.append(sum(asked.method == "GET" for asked in proxy.asked))
    fetcher.close()
    assert asked_for[-1] == 40
    assert asked_for[15] < 32  # without the limit 16 more would be there


def test_a_refused_object_is_a_photos_and_a_refused_store_is_not(s3, proxy, quick):
    root = f"{s3.new_bucket()}/photos"
    photos = put(root, a=b"one", b=b"two", c=b"three")
    proxy.answer = lambda asked: DENIED if "/b.jpg" in asked.path else None
    assert fetched(root, photos) == [b"one", Outcome.UNREADABLE_FILE, b"three"]
    for all_refused in (DENIED, EXPIRED):
        proxy.answer = lambda _asked, answer=all_refused: answer
        with pytest.raises(StoreRefused, match="credentials are read from"):
            fetched(root, photos)


def test_refusals_without_an_end_are_the_stores(s3, proxy, monkeypatch):
    monkeypatch.setattr(fetching, "REFUSED_IN_A_ROW", 3)
    root = f"{s3.new_bucket()}/photos"
    photos = put(root, a=b"one")
    proxy.answer = lambda asked: DENIED if "/no" in asked.path else None
    refused = [f"{root}/no{number}.jpg" for number in range(3)]
    assert fetched(root, [*refused[:2], *photos, *refused[:2]]).count(Outcome.UNREADABLE_FILE) == 4
    with pytest.raises(StoreRefused, match=r"^3 photos in a row: .*no2"):
        fetched(root, refused)


def test_a_busy_store_is_asked_again_and_one_that_is_down_ends_it(s3, proxy, quick):
    photos = put(f"{s3.new_bucket()}/photos", a=b"one")
    answers = iter([BUSY])
    proxy.answer = lambda _asked: next(answers, None)
    assert fetched(None, photos) == [b"one"]
    proxy.answer = lambda _asked: BUSY
    with pytest.raises(StoreUnavailable, match="the store does not answer"):
        fetched(None, photos)


def test_a_photo_from_a_store_is_what_it_is_from_a_disk(root, clean_photos):
    one = sorted(clean_photos.glob("S*/*.jpg"))[0]
    here = extract_faces(str(one), None, Limits())
    photos = put(root, a=one.read_bytes(), b=b"no photo", c=one.read_bytes())
    with FaceExtractor(root, Limits()) as extractor:
        extractions = list(extractor.extract_faces([*photos, f"{root}/gone.jpg"]))
        assert list(extractor.digest_each([photos[1], f"{root}/gone.jpg"])) == [digest_bytes(b"no photo"), ""]
        box = here.faces[0].detection
        asked = (photos[0], (box.left, box.top, box.right, box.bottom), here.digest)
        shown, other, gone = extractor.crop_faces([asked, (photos[1], *asked[1:]), (f"{root}/x.jpg", *asked[1:])])
    assert [one.outcome.value for one in extractions] == ["ENROLLED", "UNREADABLE_IMAGE", "ENROLLED", "MISSING_FILE"]
    assert extractions[0].digest == here.digest
    assert extractions[0].faces[0].quality == here.faces[0].quality
    assert (shown[:2], other, gone) == (b"\xff\xd8", None, None)


def test_pictures_of_a_store_that_fails_are_missing_and_not_waited_for_twice(s3, proxy, quick):
    photos = put(f"{s3.new_bucket()}/photos", a=b"one", b=b"two")
    proxy.answer = lambda _asked: BUSY
    with FaceExtractor(None, Limits()) as extractor:
        faces = [(photo, (0, 0, 9, 9), "0" * 64) for photo in photos]
        assert list(extractor.crop_faces(faces)) == [None, None]
        assert "the store does not answer" in str(extractor.store_error)
        proxy.asked.clear()
        assert list(extractor.crop_faces(faces)) == [None, None]
    assert proxy.asked == []


def test_a_photo_that_crashes_the_decoder_is_handed_over_again(root, clean_photos, monkeypatch):
    from test_extractor import CRASHING

    monkeypatch.syspath_prepend(CRASHING)
    one = sorted(clean_photos.glob("S*/*.jpg"))[0].read_bytes()
    photos = put(root, a=one, b=one + b"CRASH", c=one)
    with FaceExtractor(root, Limits()) as extractor:
        extractions = list(extractor.extract_faces([photos[0], f"{root}/gone.jpg", *photos[1:]]))
    assert [one.outcome.value for one in extractions] == ["ENROLLED", "MISSING_FILE", "DECODER_CRASH", "ENROLLED"]
    assert extractions[2].digest == digest_bytes(one + b"CRASH")


def test_a_slow_network_is_no_decoders_fault(s3, proxy, clean_photos):
    one = sorted(clean_photos.glob("S*/*.jpg"))[0].read_bytes()
    photos = put(f"{s3.new_bucket()}/photos", a=one, b=one)
    proxy.answer = lambda asked: time.sleep(3)
    with FaceExtractor(None, Limits(decode_seconds=2.5)) as extractor:
        assert [found.outcome.value for found in extractor.extract_faces(photos)] == ["ENROLLED"] * 2


def test_helpers_know_no_credentials(root, monkeypatch):
    monkeypatch.setenv("AFTERFACT_CREDENTIAL", "secret")
    with FaceExtractor(root, Limits()) as extractor:
        list(extractor.extract_faces([f"{root}/gone.jpg"]))
        extractor.start()
        told, ends = Path(f"/proc/{extractor._helper._process.pid}/environ"), time.monotonic() + 60
        while not (environment := told.read_bytes()) and time.monotonic() < ends:
            time.sleep(0.01)  # it has none before its program is loaded
    assert b"PYTHONPATH" in environment
    assert b"AWS_" not in environment and b"AFTERFACT_CREDENTIAL" not in environment


def zipped(members, method):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as target:
        for name, content in members.items():
            target.writestr(name, content)
    return stream.getvalue()


def tarred(members):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as target:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            target.addfile(info, io.BytesIO(content))
    return stream.getvalue()


PACKERS = {
    "stored.zip": lambda members: zipped(members, zipfile.ZIP_STORED),
    "deflated.zip": lambda members: zipped(members, zipfile.ZIP_DEFLATED),
    "photos.tar": tarred,
}
MEMBERS = {"S1/a.jpg": b"one" * 500, "S1/" + "n" * 180 + ".PNG": b"two" * 700, "notes.txt": b"x", "top.webp": b"z" * 9}


@pytest.fixture(params=sorted(PACKERS))
def container(request, root):
    """Returns a function that packs members into an object and returns its URL, for every kind of container."""

    def pack(members):
        open_store(root).write(request.param, PACKERS[request.param](members))
        return f"{root}/{request.param}"

    return pack


def members_of(url):
    rows = list_archive(IndexJob(gallery="g", archive=url)).photos.to_pylist()
    return {row["photo"]: photo_at(row["location"], row["place"]) for row in rows}


def digests(members, root=None):
    with FaceExtractor(root, Limits()) as extractor:
        return list(extractor.digest_each(members))


def test_members_are_listed_and_read_by_ranges(container, root, s3, monkeypatch):
    from object_stores import Proxy

    photos = {name: content for name, content in MEMBERS.items() if name != "notes.txt"}
    proxy = Proxy(s3.port)
    url = container(MEMBERS)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.environment(proxy.port)["AWS_ENDPOINT_URL"])
    members = members_of(url)
    assert list(members) == list(photos)
    assert all(member.container == url for member in members.values())
    assert len(proxy.asked) <= 6
    proxy.asked.clear()
    assert digests(members.values(), root) == [digest_bytes(content) for content in photos.values()]
    assert sorted(asked.method for asked in proxy.asked) == ["GET", "GET", "GET", "HEAD"]  # opened once, a range each
    proxy.close()


def test_members_keep_their_checks(container, root):
    """Of a zip, the name and the content's checksum; of a tar, the checksum of the member's headers."""
    url = container(MEMBERS)
    members = members_of(url)
    container({"S9/x.jpg": b"none" * 500, **MEMBERS})
    assert set(digests(members.values())) == {""}
    with FaceExtractor(None, Limits(max_bytes=10)) as extractor:
        outcomes = [one.outcome.value for one in extractor.extract_faces(members.values())]
    assert outcomes == ["IMAGE_TOO_LARGE", "IMAGE_TOO_LARGE", "MISSING_FILE"]
    outside = Member(url, "../a.jpg", members["S1/a.jpg"].place)
    assert fetched(root, [outside, members["S1/a.jpg"]._replace(place="is encrypted")]) == [
        Outcome.OUTSIDE_ARCHIVE,
        Outcome.UNREADABLE_FILE,
    ]
    assert fetched(f"{root}/sub", [members["S1/a.jpg"]]) == [Outcome.OUTSIDE_ARCHIVE]
    open_store(root).delete(url.rpartition("/")[2])
    assert fetched(root, [members["S1/a.jpg"]]) == [Outcome.MISSING_FILE]


def test_a_container_that_is_not_whole_is_refused(container, root):
    url = container(MEMBERS)
    name = url.rpartition("/")[2]
    content = open_store(root).read(name)
    open_store(root).write(name, content[: len(content) // 2 // 512 * 512 - 100])
    with pytest.raises(ArchiveError, match=r"is not a whole (zip|tar) file"):
        members_of(url)


def test_a_container_larger_than_what_is_read_ahead_is_listed_whole(root):
    """Its members lie across the borders of what one request brings."""
    members = {f"{number}.jpg": zlib.crc32(b"%d" % number).to_bytes(4) * 200_000 for number in range(25)}
    for name in ("photos.tar", "stored.zip"):
        content = PACKERS[name](members)
        assert len(content) > 2 * READ_AHEAD
        open_store(root).write(name, content)
        found = members_of(f"{root}/{name}")
        assert list(found) == list(members)
        assert digests(found.values()) == [digest_bytes(one) for one in members.values()]
