"""Files are whole or not there."""

import hashlib
import os
import stat

import pytest

from foundation.files import digest_bytes, digest_file, sync_tree, write_whole


def test_a_written_file_is_whole_and_alone(tmp_path):
    path = tmp_path / "plan.json"
    write_whole(path, b"first")
    write_whole(path, b"second")
    assert path.read_bytes() == b"second"
    assert os.listdir(tmp_path) == ["plan.json"]


def test_the_mode_is_as_asked(tmp_path):
    write_whole(tmp_path / "secret", b"", mode=0o600)
    write_whole(tmp_path / "open", b"")
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o644


def test_a_disk_that_refuses_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "plan.json"
    write_whole(path, b"old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["plan.json"]


def test_a_long_name_is_no_hindrance(tmp_path):
    path = tmp_path / ("x" * 250)
    write_whole(path, b"x")
    assert path.read_bytes() == b"x"


def test_digests_are_sha_256(tmp_path):
    content = bytes(range(256)) * 20_000
    (tmp_path / "x").write_bytes(content)
    assert digest_file(tmp_path / "x") == digest_bytes(content) == hashlib.sha256(content).hexdigest()


def test_a_tree_is_synced_without_being_changed(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x").write_bytes(b"x")
    sync_tree(tmp_path)
    assert (tmp_path / "a" / "b" / "x").read_bytes() == b"x"
