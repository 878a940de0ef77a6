"""`afterfact index` on a real Flink makes the gallery that the local runner makes, whoever is killed meanwhile.

N photos are drawn (default 2,000). Skipped, with the reason, where Java, Flink or a job server is absent.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import flinks
import numpy as np
import pytest
from conftest import make_home
from indexing import rows_anywhere
from killing import settled, start_index
from object_stores import running_s3_server, upload

from demo.archive import draw_archive
from indexer.gallery import Gallery, read_sealed
from indexer.models import network_file
from indexer.verify import verify_gallery
from pipelines.job_servers import command_of, job_server
from pipelines.runners import parse_beam_flags

PHOTOS = int(os.environ.get("N") or 2000)
ENCOUNTERS = 4
SEGMENT_PHOTOS = max(8, PHOTOS // 40)
LIMIT_SECONDS = 900.0 + PHOTOS / 5  # no command may take longer: the watch ends a silent job after 600
ENDED = {"FINISHED", "CANCELED", "FAILED"}

pytestmark = pytest.mark.skipif(bool(flinks.why_not()), reason=flinks.why_not() or "all is there")


@pytest.fixture(scope="module", autouse=True)
def told_to_stop():
    """Lets the commands hear Ctrl-C, which a shell turns off in what it starts in the background; and whoever ends the
    tests with SIGTERM leaves nothing running."""
    signs = (signal.SIGINT, signal.SIGTERM)
    usual = [signal.signal(sign, signal.default_int_handler) for sign in signs]
    yield
    for sign, handler in zip(signs, usual, strict=True):
        signal.signal(sign, handler)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flink-archive") / "archive"
    subjects = -(-PHOTOS // ENCOUNTERS)
    return draw_archive(folder, subjects=subjects, encounters=ENCOUNTERS, seed=11, with_spoiled=True).list_path


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return make_home(tmp_path_factory.mktemp("flink-home"))


@pytest.fixture(scope="module")
def by_local_runner(home, archive):
    """The gallery that two local workers make."""
    end(start(home, archive, "local", "--workers", 2))
    return Gallery(home.path, "local")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A JobManager, two TaskManagers, and a job server that runs for all of the tests."""
    with flinks.running_flink(tmp_path_factory.mktemp("flink") / "two", 2) as cluster:
        if not cluster.namespaces:
            print("no network namespaces can be made here: both TaskManagers share one pool of workers")
        yield cluster


@pytest.fixture(scope="module")
def handed_over(cluster):
    """Beam's flags for the cluster by way of a job server that runs already."""
    options = parse_beam_flags(cluster.flags)
    with job_server(options, command_of(options), print):
        endpoint = f"--job_endpoint={options.get_all_options()['job_endpoint']}"
        yield ["--runner=PortableRunner", endpoint, *cluster.flags[1:]]


def start(home, archive, gallery, *flags, **environment):
    given = ("--gallery", gallery, "--segment-photos", SEGMENT_PHOTOS, "--json")
    return start_index(home, archive, *given, *flags, **environment)


def end(process, code=0):
    """Waits for a command, within the limit, and returns what it printed and what it said."""
    try:
        out, err = process.communicate(timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == code, f"exit {process.returncode}\n{out}\n{err}"
    return (json.loads(out) if code == 0 else None), err


def segments_done(home, gallery):
    return len(list(Gallery(home.path, gallery).runs.glob("*/segments/[!.]*.parquet")))


def wait_for_segments(home, gallery, count, process):
    flinks.wait_for(
        lambda: segments_done(home, gallery) >= count or process.poll() is not None, LIMIT_SECONDS, "segments"
    )
    assert process.poll() is None, process.communicate()


def hold(cluster):
    """Stops the workers where they are, so that a job of any size is under way when what comes next comes.

    Returns a function that lets them go on once Flink is cancelling the job: a worker that cannot answer holds that up.
    """
    held = list(cluster.workers())
    for worker in held:
        os.kill(worker, signal.SIGSTOP)

    def release():
        try:
            flinks.wait_for(lambda: "RUNNING" not in {job["state"] for job in cluster.jobs()}, 300, "the job's end")
        finally:
            for worker in held:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGCONT)

    return release


def assert_same(gallery, other):
    """Sees that two galleries hold the same rows, vectors within the last bits, and that nothing is left over."""
    ours, theirs = settled(gallery), settled(other)
    assert ours.keys() == theirs.keys()
    by_digest = {row["photo_digest"]: row for row in theirs.values()}
    for location, row in ours.items():
        expected = theirs[location]
        vectors = [one.pop("embedding") for one in (row, dict(expected))]
        assert {**row, "embedding": None} == {**expected, "embedding": None}
        assert row["photo_digest"] in by_digest
        assert (vectors[0] is None) == (vectors[1] is None)
        assert vectors[0] is None or np.allclose(*vectors, rtol=0, atol=1e-6)
    assert gallery.version().about["outcomes"] == other.version().about["outcomes"]
    assert list(gallery.runs.iterdir()) == []
    assert [finding for finding in verify_gallery(gallery) if finding.problem] == []


def account_of(gallery):
    (path,) = gallery.accounts.glob("*.json")
    return read_sealed(path)


def assert_accounted(told, gallery, other):
    accounting = account_of(gallery)["accounting"]
    assert told["accounting"] == accounting == account_of(other)["accounting"]
    parts = ("enrolled", "rejected_total", "duplicates", "held", "updated", "suppressed")
    assert accounting["planned"] == sum(accounting[part] for part in parts) >= PHOTOS


def test_two_task_managers_share_the_work_and_make_the_local_runners_gallery(cluster, home, archive, by_local_runner):
    gallery = Gallery(home.path, "two")
    told, err = end(start(home, archive, "two", "--", *cluster.flags))
    assert_accounted(told, gallery, by_local_runner)
    assert_same(gallery, by_local_runner)
    segments = -(-told["accounting"]["planned"] // SEGMENT_PHOTOS)
    workers = account_of(gallery)["done_by"]
    assert workers == told["done_by"]
    assert len({(one["host"], one["process"]) for one in workers}) == 2
    if cluster.namespaces:
        assert {one["host"] for one in workers} == {host.name for host in cluster.hosts}
    shares = [one["segments"] for one in workers]
    assert sum(shares) == segments
    assert min(shares) >= segments // 2 - 1
    counted = account_of(gallery)["metrics"]
    assert counted == told["metrics"]
    assert counted.pop("segments") == segments
    assert sum(counted.values()) == sum(one["photos"] for one in workers)
    assert "photos/s" in err
    assert {job["state"] for job in cluster.jobs()} == {"FINISHED"}


def test_a_worker_killed_half_way_costs_no_photo(cluster, handed_over, home, archive, by_local_runner):
    gallery = Gallery(home.path, "killed")
    process = start(home, archive, "killed", "--", *handed_over)
    wait_for_segments(home, "killed", PHOTOS // SEGMENT_PHOTOS // 2, process)
    victim = next(iter(cluster.workers()))
    os.kill(victim, signal.SIGKILL)
    out, err = process.communicate(timeout=LIMIT_SECONDS)
    if process.returncode:  # Flink gave up: what is done is kept, and the same command goes on
        assert "what is done is kept" in err
        told, _ = end(start(home, archive, "killed", "--", *handed_over))
    else:
        told = json.loads(out)
        assert len(told["done_by"]) > 2, "Flink started a worker in the place of the one that was killed"
    assert_accounted(told, gallery, by_local_runner)
    assert_same(gallery, by_local_runner)


def test_told_to_stop_the_command_ends_the_clusters_job_and_the_next_goes_on(
    cluster, handed_over, home, archive, by_local_runner
):
    gallery = Gallery(home.path, "stopped")
    done = 0
    for sign in (signal.SIGINT, signal.SIGTERM):
        process = start(home, archive, "stopped", "--", *handed_over)
        wait_for_segments(home, "stopped", done + 1, process)
        release = hold(cluster)
        process.send_signal(sign)
        release()
        _, err = end(process, code=130)
        done = segments_done(home, "stopped")
        assert "CANCELED" in err
        assert f"interrupted with {done} of" in err
        assert {job["state"] for job in cluster.jobs()} <= ENDED
    told, err = end(start(home, archive, "stopped", "--", *handed_over))
    assert told["resumed"]
    assert f"{done} of " in err
    assert_accounted(told, gallery, by_local_runner)
    assert_same(gallery, by_local_runner)


def test_a_command_killed_hard_leaves_a_job_that_the_next_ends_first(
    cluster, handed_over, home, archive, by_local_runner
):
    gallery = Gallery(home.path, "left")
    process = start(home, archive, "left", "--", *handed_over)
    wait_for_segments(home, "left", 2, process)
    release = hold(cluster)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert "RUNNING" in {job["state"] for job in cluster.jobs()}
    following = start(home, archive, "left", "--", *handed_over)
    release()
    _, err = end(following)
    assert "left on the cluster, is ended" in err
    assert_same(gallery, by_local_runner)


def test_a_worker_of_another_model_refuses_and_writes_nothing(cluster, handed_over, home, archive, tmp_path):
    """Its weights are another file, as they would be in an image that was built from other pins."""
    models = tmp_path / "face_recognition_models" / "models"
    models.mkdir(parents=True)
    (models.parent / "__init__.py").touch()
    for path in network_file().parent.iterdir():
        shutil.copy(path, models)
    with open(models / network_file().name, "ab") as stream:
        stream.write(b"\0")
    port, started = flinks.POOL_PORT + 1, []
    for number, host in enumerate(cluster.hosts if cluster.namespaces else cluster.hosts[:1]):
        port = port if cluster.namespaces else flinks.free_port()
        pool = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"]
        found = os.pathsep.join((str(tmp_path), str(flinks.HOUSE)))
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        cluster.start(f"pool-other-{number}", pool, host, PATH=path, PYTHONPATH=found)
        started.append(f"pool-other-{number}")
    time.sleep(5)
    other = [one for one in handed_over if not one.startswith("--environment_config")]
    process = start(home, archive, "other", "--", *other, f"--environment_config=localhost:{port}")
    _, err = end(process, code=1)
    for name in started:
        cluster.stop(name)
    assert "has not the run's model" in err
    assert "install the same Afterfact there" in err
    assert segments_done(home, "other") == 0
    assert Gallery(home.path, "other").version_numbers() == []


def test_archive_run_and_gallery_in_a_store_need_no_shared_disk(cluster, tmp_path, monkeypatch):
    """Workers get nothing but the store's address and credentials: neither archive nor data home is theirs to open."""
    drawn = draw_archive(
        tmp_path / "archive", subjects=PHOTOS // 16, encounters=ENCOUNTERS, seed=12, with_spoiled=False
    )
    for folder in ("alone", "stored"):
        (tmp_path / folder).mkdir()
    alone = make_home(tmp_path / "alone")
    end(start(alone, drawn.list_path, "county", "--workers", 2))
    with running_s3_server(cluster.rest.rpartition(":")[0]) as server, monkeypatch.context() as patched:
        for name, value in server.environment().items():
            patched.setenv(name, value)
        restart_pools(cluster)
        bucket = server.new_bucket()
        stored = make_home(tmp_path / "stored", "--galleries", f"{bucket}/galleries")
        url = upload(tmp_path / "archive", f"{bucket}/archive")
        shutil.rmtree(tmp_path / "archive")
        told, _ = end(start(stored, f"{url}/{drawn.list_path.name}", "county", "--", *cluster.flags))
        ours, theirs = (rows_anywhere(Gallery(one.path, "county")) for one in (stored, alone))
    restart_pools(cluster)
    assert len({(one["host"], one["process"]) for one in told["done_by"]}) == 2
    assert told["accounting"]["enrolled"] > PHOTOS // 8
    assert ours.keys() == theirs.keys()
    for photo, row in ours.items():
        vectors = [one.pop("embedding") for one in (row, theirs[photo])]
        assert row == theirs[photo]
        assert vectors == [None, None] or np.allclose(*vectors, rtol=0, atol=1e-6)


def restart_pools(cluster):
    """Starts the pools of workers anew, in this test's environment."""
    pools = range(len(cluster.hosts) if cluster.namespaces else 1)
    for number in pools:
        cluster.stop(f"pool-{number}")
        flinks.start_pool(cluster, number)
    time.sleep(5)


def test_one_task_manager_makes_the_same_gallery(home, archive, by_local_runner, tmp_path):
    gallery = Gallery(home.path, "one")
    with flinks.running_flink(tmp_path / "one", 1) as cluster:
        told, _ = end(start(home, archive, "one", "--", *cluster.flags))
    assert_accounted(told, gallery, by_local_runner)
    assert_same(gallery, by_local_runner)
    assert len(told["done_by"]) == 1
