"""A cluster's job is handed to a job server that is named, never fetched; Beam's own stands in for Flink's."""

import subprocess
import sys

import flinks
import pytest
from apache_beam.options.pipeline_options import PortableOptions
from indexing import no_probes, rows_of

from foundation.errors import InputError
from indexer.gallery import Gallery
from indexer.job import IndexJob
from pipelines.bulk_index import run_job
from pipelines.clusters import cluster_of
from pipelines.flink_rest import ClusterError
from pipelines.job_servers import JOB_SERVER, command_of, job_server
from pipelines.progress import Progress
from pipelines.runners import parse_beam_flags

POOL = ["--environment_type=EXTERNAL", "--environment_config=localhost:50000"]
SERVE = [sys.executable, "-m", "apache_beam.runners.portability.local_job_service_main"]


@pytest.fixture
def command(tmp_path):
    """A command that takes Flink's address and a port, as AFTERFACT_JOB_SERVER may name one."""
    script = tmp_path / "serve"
    script.write_text(f'#!/bin/sh\nexec {" ".join(SERVE)} --port "$2" --staging_dir {tmp_path / "staged"}\n')
    script.chmod(0o755)
    return script


def says(_sentence):
    """Hears what the job server's start has to say."""


def test_a_job_handed_to_a_command_of_the_environment_is_done_and_the_server_is_stopped(
    command, clean_photos, tmp_path, monkeypatch
):
    monkeypatch.setenv(JOB_SERVER, str(command))
    gallery = Gallery(tmp_path / "home", "county")
    job = IndexJob(gallery="county", archive=clean_photos / "S0001", segment_photos=1)
    options = parse_beam_flags(["--runner=FlinkRunner"])
    indexed = run_job(gallery, job, options, Progress(True), lambda run, accounting: None, no_probes)
    assert indexed.accounting.enrolled == len(rows_of(gallery)) == 3
    assert indexed.metrics == {"segments": 3, "ENROLLED": 3}
    assert sum(one["segments"] for one in indexed.done_by) == 3
    left = subprocess.run(["pgrep", "-f", str(tmp_path / "staged")], capture_output=True, text=True, check=False)
    assert left.stdout == ""


def test_a_flag_that_neither_beam_nor_the_job_server_knows_is_refused(command, monkeypatch):
    monkeypatch.setenv(JOB_SERVER, str(command))
    options = parse_beam_flags(["--runner=FlinkRunner", "--number_of_execution_retrys=2"])
    with (
        pytest.raises(InputError, match="Beam knows no flag --number_of_execution_retrys"),
        job_server(options, command_of(options), says),
    ):
        pass


@pytest.mark.parametrize(
    ("given", "flags", "says"),
    [
        ("", [], "no job server: give --job_endpoint=HOST:PORT.*nothing is fetched from the internet"),
        ("/nowhere/server.jar", [], "the job server's jar /nowhere/server.jar does not exist"),
        ("", ["--flink_job_server_jar=/nowhere/own.jar"], "jar /nowhere/own.jar does not exist"),
        ("/nowhere/command --flag", [], "is no address, jar or command of this machine"),
    ],
)
def test_a_job_server_that_is_not_there_is_named_before_anything_starts(given, flags, says, monkeypatch):
    monkeypatch.setenv(JOB_SERVER, given)
    with pytest.raises(InputError, match=says):
        cluster_of(parse_beam_flags(["--runner=FlinkRunner", *flags]))


def test_a_jar_without_java_is_an_error_that_says_so(tmp_path, monkeypatch):
    (tmp_path / "server.jar").write_bytes(b"")
    monkeypatch.setenv(JOB_SERVER, str(tmp_path / "server.jar"))
    options = parse_beam_flags(["--runner=FlinkRunner", "--job_server_java_launcher=no-such-java"])
    with pytest.raises(InputError, match=r"'no-such-java' is not on PATH, .*install a JVM .*or give --job_endpoint"):
        command_of(options)


def test_portable_runner_wants_the_address_of_a_job_server(monkeypatch):
    monkeypatch.delenv(JOB_SERVER, raising=False)
    with pytest.raises(InputError, match="no job server: give --job_endpoint=HOST:PORT"):
        cluster_of(parse_beam_flags(["--runner=PortableRunner", *POOL]))


def test_an_address_of_the_environment_is_the_endpoint_unless_a_flag_names_another(monkeypatch):
    monkeypatch.setenv(JOB_SERVER, "flink.example:8099")
    for flags, endpoint in (([], "flink.example:8099"), (["--job_endpoint=localhost:1"], "localhost:1")):
        options = parse_beam_flags(["--runner=PortableRunner", *POOL, *flags])
        assert command_of(options) is None
        assert options.view_as(PortableOptions).job_endpoint == endpoint


def test_an_endpoint_where_nobody_listens_is_told(monkeypatch):
    monkeypatch.setattr("pipelines.job_servers.ANSWER_SECONDS", 1.0)
    endpoint = f"localhost:{flinks.free_port()}"
    options = parse_beam_flags(["--runner=PortableRunner", f"--job_endpoint={endpoint}", *POOL])
    with (
        pytest.raises(ClusterError, match=f"no job server answers at {endpoint} after 1 s; start one there"),
        job_server(options, command_of(options), says),
    ):
        pass


def test_a_command_that_ends_at_once_is_told_with_its_last_words(tmp_path, monkeypatch):
    script = tmp_path / "serve"
    script.write_text("#!/bin/sh\necho no jars here >&2\nexit 7\n")
    script.chmod(0o755)
    monkeypatch.setenv(JOB_SERVER, str(script))
    options = parse_beam_flags(["--runner=FlinkRunner"])
    with (
        pytest.raises(ClusterError, match=r"ended with exit code 7 \(no jars here\); mend AFTERFACT_JOB_SERVER"),
        job_server(options, command_of(options), says),
    ):
        pass


def test_a_flink_that_does_not_answer_is_told_before_the_archive_is_listed(tmp_path, monkeypatch):
    monkeypatch.setenv(JOB_SERVER, "localhost:1")
    master = f"localhost:{flinks.free_port()}"
    options = parse_beam_flags(["--runner=FlinkRunner", f"--flink_master={master}", *POOL])
    with pytest.raises(ClusterError, match=f"does not answer at http://{master} .*--flink_master=HOST:8081"):
        run_job(Gallery(tmp_path, "county"), None, options, Progress(True), lambda *_: None, no_probes)
    assert list(tmp_path.iterdir()) == []
