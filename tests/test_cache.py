"""Templates kept between evaluations: whole or not at all, and only for their owner."""

from __future__ import annotations

import stat

import numpy as np

from evaluation.cache import Cache, Template, forget

FACE = Template("ENROLLED", 1, (1, 2, 3, 4), np.arange(128, dtype=np.float32))
NONE = Template("NO_FACE")


def test_templates_come_back_as_they_were(tmp_path):
    cache = Cache(tmp_path, "m" * 64, "archive")
    cache.add({"a" * 64: FACE, "b" * 64: NONE, "": FACE})

    kept = cache.read()

    assert set(kept) == {"a" * 64, "b" * 64}  # what could not be read has no digest, and is not kept
    assert (kept["a" * 64].box, kept["a" * 64].outcome) == (FACE.box, "ENROLLED")
    assert kept["a" * 64].embedding.tobytes() == FACE.embedding.tobytes()
    assert (kept["b" * 64].embedding, kept["b" * 64].faces) == (None, 0)


def test_another_model_and_another_way_of_looking_know_nothing_of_them(tmp_path):
    Cache(tmp_path, "m" * 64, "archive").add({"a" * 64: FACE})

    assert Cache(tmp_path, "n" * 64, "archive").read() == {}
    assert Cache(tmp_path, "m" * 64, "probe").read() == {}


def test_nobody_else_may_read_them(tmp_path):
    Cache(tmp_path, "m" * 64, "archive").add({"a" * 64: FACE})

    modes = {stat.S_IMODE(one.stat().st_mode) for one in (tmp_path / "evaluation").rglob("*") if one.is_dir()}
    assert modes == {0o700}
    assert {stat.S_IMODE(one.stat().st_mode) for one in tmp_path.rglob("*.npz")} == {0o600}


def test_a_damaged_file_is_passed_over_and_forgotten_with_the_others(tmp_path):
    cache = Cache(tmp_path, "m" * 64, "archive")
    cache.add({"a" * 64: FACE})
    (damaged,) = tmp_path.rglob("*.npz")
    damaged.write_bytes(damaged.read_bytes()[:500])
    cache.add({"b" * 64: NONE})

    assert set(cache.read()) == {"b" * 64}
    assert forget(tmp_path) == 1
    assert not (tmp_path / "evaluation").exists()
    assert forget(tmp_path) == 0
