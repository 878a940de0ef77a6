"""Beam's flags are Beam's own, and a runner that loses data is refused."""

import threading
import time
from functools import partial

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import DirectOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from foundation.errors import InputError
from indexer.segment import SegmentReference
from pipelines.runners import is_local, make_runner, parse_beam_flags
from pipelines.transforms import TakeSegments


@pytest.mark.parametrize(
    ("runner", "why"),
    [
        ("DaskRunner", "loses data"),
        ("DirectRunner", "changes engine silently"),
        ("BundleBasedDirectRunner", "not made for work of this size"),
        ("InteractiveRunner", "notebooks"),
    ],
)
@pytest.mark.parametrize("form", ["--runner={}", "--runner {}"])
def test_runners_that_cannot_be_trusted_are_refused_with_the_reason(runner, why, form):
    with pytest.raises(InputError, match=f"runner {runner} is refused: .*{why}.*; use FnApiRunner"):
        parse_beam_flags(form.format(runner).split())


@pytest.mark.parametrize("runner", ["NoSuchRunner", "no.such.module.Runner"])
def test_a_runner_that_is_not_there_is_named(runner):
    with pytest.raises(InputError, match=f"Beam has no runner '{runner}' here"):
        parse_beam_flags([f"--runner={runner}"])


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--direct_num_wrokers=2"], "knows no flag --direct_num_wrokers; did you mean 'direct_num_workers'"),
        (["--no_such_flag"], "knows no flag --no_such_flag"),
        (["loose"], "'loose' is no flag"),
        (["--direct_num_workers=2", "loose"], "'loose' is no flag"),
        (["--direct_num_workers=many"], "malformed"),
        (["--direct_running_mode=fast"], "malformed"),
    ],
)
def test_unknown_flags_are_refused_by_name(flags, says, capsys):
    with pytest.raises(InputError, match=says):
        parse_beam_flags(flags)


def test_a_job_servers_own_flags_are_passed_on():
    environment = ["--environment_type=EXTERNAL", "--environment_config=localhost:50000"]
    flags = ["--runner=PortableRunner", "--job_endpoint=localhost:8099", "--parallelism=4", "--its_own=1"]
    options = parse_beam_flags([*flags, *environment])
    assert options.view_as(StandardOptions).runner == "PortableRunner"
    assert make_runner(options, 2) == "PortableRunner"


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--flink_master=flink:8081"], "environment_type is not given, and Beam would start .* no Afterfact; give"),
        (["--job_endpoint=localhost:8099"], "environment_type is not given"),
        (["--flink_master=flink:8081", "--environment_type=LOOPBACK"], "would stop each other's worker"),
        (["--flink_master=flink:8081", "--environment_type=EXTERNAL"], "is EXTERNAL without environment_config"),
        (["--flink_master=flink:8081", "--environment_type=DOCKER"], "is DOCKER without environment_config"),
        (["--flink_master=flink:8081", "--flink_version=0.9"], "malformed"),
        (["loose"], "'loose' is no flag"),
    ],
)
def test_a_cluster_that_would_work_without_afterfact_is_refused(flags, says):
    with pytest.raises(InputError, match=says):
        parse_beam_flags(["--runner=FlinkRunner", *flags])


def test_a_flink_inside_the_job_server_needs_no_environment():
    assert not is_local(parse_beam_flags(["--runner=FlinkRunner"]))
    assert not is_local(parse_beam_flags(["--runner=FlinkRunner", "--flink_master=[local]"]))


def test_flags_of_the_process_are_not_beams(monkeypatch):
    """Beam reads sys.argv where it is given no flags."""
    monkeypatch.setattr("sys.argv", ["afterfact", "index", "--runner=DaskRunner", "--no_such_flag"])
    assert parse_beam_flags([]).view_as(StandardOptions).runner is None


def test_the_local_runner_is_named_and_has_as_many_workers_as_asked():
    options = parse_beam_flags([])
    assert isinstance(make_runner(options, 3), FnApiRunner)
    assert options.view_as(DirectOptions).direct_num_workers == 3
    given = parse_beam_flags(["--direct_running_mode=multi_processing", "--direct_num_workers=2"])
    make_runner(given, 3)
    assert given.view_as(DirectOptions).direct_num_workers == 2


def note_worker(reference, folder):
    """Writes who did a segment; whoever has the first waits for all others."""
    (folder / f"{reference.number}.done").write_text(str(threading.get_ident()))
    ends = time.monotonic() + 60
    while reference.number == 0 and len(list(folder.glob("*.done"))) < 12:
        assert time.monotonic() < ends, "the other worker took no more segments"
        time.sleep(0.01)


def test_segments_go_to_whichever_worker_comes_free(tmp_path):
    """A worker that is held up by its first segment leaves all others to its neighbour."""
    references = [SegmentReference(str(tmp_path), number, "") for number in range(12)]
    (tmp_path / "taken").mkdir()
    options = parse_beam_flags([])
    with beam.Pipeline(runner=make_runner(options, 2), options=options) as pipeline:
        _ = pipeline | TakeSegments(references, 2, tmp_path / "taken") | beam.Map(partial(note_worker, folder=tmp_path))
    workers = [(tmp_path / f"{number}.done").read_text() for number in range(12)]
    assert workers.count(workers[0]) == 1
    assert len(set(workers)) == 2
