"""Beam's flags are Beam's own, and a runner that loses data is refused."""

import pytest
from apache_beam.options.pipeline_options import DirectOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from foundation.errors import InputError
from pipelines.runners import make_runner, parse_beam_flags


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
    options = parse_beam_flags(["--runner=PortableRunner", "--job_endpoint=localhost:8099", "--parallelism=4"])
    assert options.view_as(StandardOptions).runner == "PortableRunner"
    assert make_runner(options, 2) == "PortableRunner"


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
