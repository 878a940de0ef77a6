"""The graph is thin: what it adds to the plain functions is that done work is left out, and counted as what it is."""

import os
import shutil

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from indexer.gallery import Gallery
from indexer.job import IndexJob
from indexer.run import start_run
from indexer.segment import plan_segments
from pipelines.runners import make_runner
from pipelines.transforms import IndexSegments


@pytest.fixture
def run(clean_photos, tmp_path):
    """Three segments of one photo each."""
    gallery = Gallery(tmp_path / "home", "county")
    gallery.make_folders()
    shutil.copytree(clean_photos / "S0001", tmp_path / "archive")
    return start_run(gallery, IndexJob(gallery="county", archive=tmp_path / "archive", segment_photos=1), workers=1)


def index(run, references):
    """Runs the graph over the segments and returns its counters."""
    options = PipelineOptions([])
    pipeline = beam.Pipeline(runner=make_runner(options, 1), options=options)
    _ = pipeline | beam.Create(references) | IndexSegments(run, str(run.folder))
    result = pipeline.run()
    result.wait_until_finish()
    return {one.key.metric.name: one.committed for one in result.metrics().query()["counters"]}


def test_a_segment_that_is_done_is_not_done_again(run):
    """A cluster that starts a failed job anew hands out all of them."""
    first, *others = plan_segments(run)
    assert index(run, [first]) == {"segments": 1, "ENROLLED": 1}
    written = os.stat(first.target).st_mtime_ns
    assert index(run, [first, *others]) == {"segments": 2, "ENROLLED": 2}
    assert os.stat(first.target).st_mtime_ns == written
