"""A segment is done once its whole file is there, and only for the work it was made for."""

import os
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from indexer.embedder import Embedder
from indexer.extractor import FaceExtractor
from indexer.gallery import Gallery
from indexer.job import IndexJob
from indexer.limits import Limits
from indexer.models import installed_model
from indexer.run import (
    WorkerError,
    clear_leftovers,
    discard_run,
    open_run,
    require_same_installation,
    start_run,
    unfinished_runs,
)
from indexer.schema import FOUND
from indexer.segment import (
    DoneBy,
    begin_taking,
    embed_segment,
    extract_segment,
    is_done,
    plan_segments,
    read_found,
    read_segment,
    take_segment,
    write_segment,
)


@pytest.fixture
def archive(clean_photos, tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    for path in sorted(clean_photos.glob("S*/*.jpg"))[:3]:
        shutil.copy(path, folder)
    (folder / "Z.jpg").write_bytes(b"no photo")
    (folder / os.fsdecode(b"\xff.jpg")).write_bytes(b"no photo either")
    return folder


@pytest.fixture
def gallery(tmp_path):
    gallery = Gallery(tmp_path / "home", "county")
    gallery.make_folders()
    return gallery


def start(gallery, archive, **fields):
    return start_run(gallery, IndexJob(gallery="county", archive=archive, segment_photos=2, **fields), workers=1)


def do(reference, run):
    with FaceExtractor(run.root, run.limits) as extractor:
        extracted = extract_segment(read_segment(reference), extractor)
    return extracted, write_segment(embed_segment(extracted, Embedder()))


def test_every_planned_photo_is_in_exactly_one_segment(gallery, archive):
    run = start(gallery, archive)
    references = plan_segments(run)
    assert (run.segments, len(references), run.looked_at) == (3, 3, 5)
    locations = [location for reference in references for location in read_segment(reference).locations]
    assert len(set(locations)) == 5
    assert locations == pq.read_table(run.manifest_path)["location"].to_pylist()


def test_a_written_segment_is_done_and_says_how_its_photos_ended(gallery, archive):
    run = start(gallery, archive)
    first, second, last = plan_segments(run)
    assert not is_done(first)
    extracted, counts = do(first, run)
    assert counts == {"ENROLLED": 2}
    assert is_done(first)
    assert not is_done(second)
    assert all(face.chip.nbytes == 150 * 150 * 3 for one in extracted.extractions for face in one.faces)
    rows = pq.read_table(first.target).to_pylist()
    assert [len(row["embedding"]) for row in rows] == [128, 128]
    assert rows[0]["eye_distance"] > 24
    _, counts = do(last, run)
    assert counts == {"UNREADABLE_IMAGE": 1}
    (row,) = pq.read_table(last.target).to_pylist()
    assert (row["embedding"], row["faces"], row["width"]) == (None, 0, None)


def test_a_segment_says_which_host_and_process_did_it(gallery, archive):
    reference = plan_segments(start(gallery, archive))[0]
    do(reference, open_run(Path(reference.folder)))
    done_by = DoneBy()
    for found in (read_found(reference), read_found(reference, ["outcome"]), FOUND.empty_table()):
        done_by.add(found)
    photos = 2 * read_found(reference).num_rows
    assert done_by.listed() == sorted(
        [
            {"host": socket.gethostname(), "process": os.getpid(), "segments": 2, "photos": photos},
            {"host": "unknown", "process": 0, "segments": 1, "photos": 0},
        ],
        key=lambda one: one["host"],
    )


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"model": replace(installed_model(), landmarks="0" * 64)}, "has not the run's model .*aligns faces otherwise"),
        ({"model": replace(installed_model(), network="0" * 64)}, "has not the run's model .*and is not there"),
        ({"settings_digest": "0" * 64}, "has another detector or limits .* than the run"),
        ({"root": Path("/nowhere/archive")}, "cannot open /nowhere/archive and did nothing; mount it there"),
    ],
)
def test_a_worker_that_would_make_other_segments_refuses(gallery, archive, changed, says):
    run = start(gallery, archive)
    require_same_installation(run, archive)
    with pytest.raises(WorkerError, match=says):
        require_same_installation(replace(run, **changed), archive)


def test_of_every_photo_with_faces_only_the_widest_ones_chip_travels_and_is_embedded(gallery, archive, clean_photos):
    shutil.copy(clean_photos / "spoiled" / "two-people.jpg", archive / "S-two.jpg")
    run = start_run(
        gallery, IndexJob(gallery="county", archive=archive, limits=Limits(min_eye_distance=1000)), workers=1
    )
    (reference,) = plan_segments(run)
    extracted, counts = do(reference, run)
    assert counts == {"SMALL_FACE": 3, "MULTIPLE_FACES": 1, "UNREADABLE_IMAGE": 2}
    sizes = {tuple(face.chip.nbytes for face in one.faces) for one in extracted.extractions}
    assert sizes == {(), (150 * 150 * 3,), (150 * 150 * 3, 0)}
    assert all(
        one.faces[0].detection.width >= face.detection.width for one in extracted.extractions for face in one.faces
    )
    for row in pq.read_table(reference.target).to_pylist():
        assert (row["embedding"] is None) == (row["outcome"] == "UNREADABLE_IMAGE")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_file_that_is_no_segment_is_not_done(gallery, archive, content):
    reference = plan_segments(start(gallery, archive))[0]
    with open(reference.target, "wb") as stream:
        stream.write(content)
    assert not is_done(reference)


def test_a_table_of_other_columns_is_not_done(gallery, archive):
    reference = plan_segments(start(gallery, archive))[0]
    pq.write_table(FOUND.empty_table().drop_columns(["embedding"]), reference.target)
    assert not is_done(reference)


def test_a_run_is_opened_again_as_it_was(gallery, archive):
    run = start(gallery, archive, limits=Limits(max_yaw=0.3))
    assert open_run(run.folder) == run
    assert unfinished_runs(gallery) == [run]
    assert plan_segments(open_run(run.folder)) == plan_segments(run)


def test_segments_of_other_limits_have_other_names(gallery, archive, monkeypatch):
    names = set()
    for limits in (Limits(), Limits(max_yaw=0.3)):
        run = start(gallery, archive, limits=limits)
        names |= {os.path.basename(reference.target) for reference in plan_segments(run)}
    assert len(names) == 6


def test_only_whole_plans_count_and_the_rest_is_cleared(gallery, archive):
    run = start(gallery, archive)
    half = gallery.runs / "20200101T000000000Z-half"
    (half / "segments").mkdir(parents=True)
    (half / "manifest.parquet").write_bytes(b"half")
    assert unfinished_runs(gallery) == [run]
    clear_leftovers(gallery)
    assert not half.exists()
    assert run.folder.exists()
    discard_run(run)
    assert list(gallery.runs.iterdir()) == []


def test_embeddings_stay_with_their_photos(gallery, archive):
    """A rejected photo between two enrolled ones must not shift what comes behind it."""
    names = sorted(path.name for path in archive.glob("S*.jpg"))
    (archive / names[1]).write_bytes(b"no photo")
    run = start_run(gallery, IndexJob(gallery="county", archive=archive, segment_photos=10), workers=1)
    (reference,) = plan_segments(run)
    do(reference, run)
    found = pq.read_table(reference.target).to_pylist()
    rows = dict(zip(pq.read_table(run.manifest_path)["photo"].to_pylist(), found, strict=True))
    with FaceExtractor(run.root, run.limits) as extractor:
        (alone,) = extractor.extract_faces([str(archive / names[2])])
    expected = Embedder().embed_chips(alone.faces[0].chip[None])[0]
    assert np.allclose(rows[names[2]]["embedding"], expected, atol=1e-5)
    assert rows[names[1]]["embedding"] is None


def test_a_segment_is_taken_once_a_call_and_again_by_the_next_call(gallery, archive):
    run = start(gallery, archive)
    first, second, _ = plan_segments(run)
    taken = begin_taking(run, gallery.cache)
    assert [take_segment(one, taken) for one in (first, first, second, first)] == [True, False, True, False]
    assert take_segment(first, begin_taking(run, gallery.cache))
    assert not taken.exists()  # so that what is left of a killed call's workers fails there, and takes nothing of ours
    with pytest.raises(FileNotFoundError):
        take_segment(first, taken)
