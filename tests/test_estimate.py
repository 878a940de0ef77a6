"""What a job would cost is measured on a few of its own photos."""

import pytest

from indexer.estimate import DISK_A_PHOTO, estimate_work
from indexer.job import IndexJob
from indexer.limits import Limits
from indexer.listing import list_archive
from indexer.schema import LISTED


def test_an_estimate_follows_from_its_own_rate(drawn):
    listing = list_archive(IndexJob(gallery="g", archive=drawn.list_path))
    root = drawn.list_path.parent.resolve()
    one = estimate_work(listing.photos, root, Limits(), 12345, workers=1)
    assert (one.photos, one.bytes, one.disk) == (listing.photos.num_rows, 12345, listing.photos.num_rows * DISK_A_PHOTO)
    assert one.seconds == pytest.approx(one.photos / one.photos_a_second)
    assert one.photos_a_second > 0


def test_no_work_costs_nothing(tmp_path):
    estimate = estimate_work(LISTED.empty_table(), tmp_path, Limits(), 0, workers=2)
    assert (estimate.photos, estimate.seconds, estimate.photos_a_second, estimate.disk) == (0, None, None, 0)


def test_an_archive_of_missing_files_is_no_error(tmp_path):
    (tmp_path / "list.csv").write_text("photo\nnone.jpg\n")
    listing = list_archive(IndexJob(gallery="g", archive=tmp_path / "list.csv"))
    assert estimate_work(listing.photos, tmp_path.resolve(), Limits(), 0, workers=1).photos == 1
