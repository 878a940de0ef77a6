"""A job whose workers have fallen silent ends, and says so."""

import os
import threading
import time

import pytest
from indexing import index_archive

from indexer.gallery import Gallery
from pipelines.heartbeat import Heartbeat, Watch
from pipelines.running import PipelineError


def test_silence_is_counted_from_the_last_sign_whatever_the_clock_says(tmp_path):
    watch = Watch(tmp_path)
    assert watch.silence() < 5
    time.sleep(0.2)
    assert watch.silence() >= 0.2
    Heartbeat(tmp_path).beat()
    assert watch.silence() < 0.2
    time.sleep(0.2)
    (sign,) = tmp_path.iterdir()
    os.utime(sign, (0, 0))  # a clock that went back by decades
    assert watch.silence() < 0.2
    time.sleep(0.2)
    Heartbeat(tmp_path).beat()  # of another worker
    assert len(list(tmp_path.iterdir())) == 2
    assert watch.silence() < 0.2


def test_a_job_that_nothing_moves_in_ends_and_the_next_finishes(clean_photos, tmp_path, monkeypatch):
    released = threading.Event()

    def never(segment, *_):
        released.wait(60)
        return segment

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.transforms.extract_segment", never)
        patch.setattr("pipelines.running.longest_seconds", lambda limits: 1.0)
        patch.setattr("pipelines.running.SLACK_SECONDS", 1.0)
        with pytest.raises(PipelineError, match=r"no photo was done for 2 s; .*run the same command again"):
            index_archive(tmp_path / "home", clean_photos / "S0001")
        released.set()
    assert Gallery(tmp_path / "home", "county").version_numbers() == []
    assert index_archive(tmp_path / "home", clean_photos / "S0001").version is not None
