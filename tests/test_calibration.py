"""What a distance means: a sample searched without its own subjects, its rates in words, and galleries that grow."""

import math
import re

import numpy as np
import pytest
from handmade import files_in, label, write_version
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer import calibrating
from indexer.calibrating import calibrate, foretell, open_faces, write_calibration
from indexer.calibration import Calibration, Rate, grown, read_calibration, upper_limit
from indexer.embedder import Embedder
from indexer.extractor import FaceExtractor
from indexer.gallery import CALIBRATION, Gallery, GalleryError, write_sealed
from indexer.limits import Limits
from indexer.nearest_wrong import PIECE, UNNAMED, nearest_wrong, sample_faces


def on_a_line(*places):
    """Returns embeddings whose distances are the differences of the places."""
    faces = np.zeros((len(places), 128), np.float32)
    faces[:, 0] = places
    return faces


def calibrated(faces, subjects, version=0):
    return Calibration(calibrate(faces, np.asarray(subjects), "county", version))


def nearest_by_hand(faces, subjects, row):
    """Returns a face's distance to the nearest one of another subject, one by one."""
    others = [one for one in range(len(faces)) if one != row and (subjects[one] != subjects[row] or subjects[one] < 0)]
    return min((math.dist(faces[row], faces[one]) for one in others), default=math.inf)


def rates_by_hand(faces, subjects):
    """Returns the nearest wrong distance of every named subject's one face."""
    return [nearest_by_hand(faces, subjects, row) for row in range(len(faces)) if subjects[row] >= 0]


# The sample, and the nearest wrong neighbour


def test_the_nearest_wrong_neighbour_is_never_of_the_probes_own_subject():
    faces = on_a_line(0.0, 0.01, 1.0, 1.02, 3.0)
    subjects = np.array([0, 0, 1, 1, 2])

    found = nearest_wrong(faces, subjects, np.array([0, 3, 4]))

    assert found == pytest.approx([1.0, 1.01, 1.98], abs=1e-6)


def test_a_photo_without_a_subject_is_compared_and_is_no_probe():
    faces = on_a_line(0.0, 0.25, 1.0, 1.5)
    subjects = np.array([0, UNNAMED, UNNAMED, 1])

    probes = sample_faces(subjects, 10, seed=1)

    assert probes.tolist() == [0, 3]
    assert nearest_wrong(faces, subjects, probes) == pytest.approx([0.25, 0.5])


def test_one_face_a_subject_is_sampled_each_as_likely_and_the_same_for_a_seed():
    subjects = np.repeat(np.arange(40), 5)
    drawn = [sample_faces(subjects, 10, seed) for seed in range(400)]

    assert all(len(set(subjects[rows])) == len(rows) == 10 for rows in drawn)
    times = np.bincount(np.concatenate(drawn), minlength=200)
    assert (times > 0).all() and times.max() < 50  # 20 are expected of each face
    assert sample_faces(subjects, 10, 7).tolist() == sample_faces(subjects, 10, 7).tolist()


@pytest.mark.parametrize("count", [PIECE - 1, PIECE, 2 * PIECE + 1])
def test_pieces_are_put_together_as_if_there_were_one(count):
    draw = np.random.default_rng(count)
    faces = draw.normal(0, 0.12, (count, 128)).astype(np.float32)
    subjects = draw.integers(-1, count // 3, count)
    probes = sample_faces(subjects, 25, 0)

    by_hand = [nearest_by_hand(faces.astype(float), subjects, row) for row in probes]

    assert nearest_wrong(faces, subjects, probes) == pytest.approx(by_hand, abs=2e-6)


def test_nobody_else_is_endlessly_far():
    assert nearest_wrong(on_a_line(0.0, 0.1), np.array([0, 0]), np.array([1])).tolist() == [math.inf]


# Rates and their words


@pytest.mark.parametrize(
    ("errors", "probes", "share"),
    [
        (250, 10_000, "1 in 40"),
        (30, 10_000, "1 in 330"),
        (29, 10_000, "fewer than 1 in 250"),
        (0, 10_000, "fewer than 1 in 3,300"),
        (3_000, 10_000, "3 in 10"),
        (2_500, 10_000, "1 in 4"),
        (7_400, 10_000, "7 in 10"),
        (9_499, 10_000, "9 in 10"),
        (9_500, 10_000, "nearly all"),
        (10_000, 10_000, "nearly all"),
        (0, 30, "fewer than 1 in 10"),
        (0, 29, "too few to tell"),
        (20, 30, "too few to tell"),
        (2, 2, "too few to tell"),
        (0, 0, "too few to tell"),
    ],
)
def test_a_rate_is_told_in_words_and_never_as_none(errors, probes, share):
    assert Rate(errors, probes).share == share


def test_a_rate_is_a_sentence():
    assert Rate(250, 10_000).sentence == "1 in 40 people not in this gallery get one this close"
    assert Rate(0, 2).sentence.startswith("too few subjects to tell how often people not in this gallery")
    assert Rate(250, 10_000).as_json() == {
        **{"errors": 250, "probes": 10_000, "fpir": "0.025000", "fpir_at_most": None},
        "says": "1 in 40 people not in this gallery get one this close",
    }
    assert (Rate(3, 1_000).as_json()["fpir"], Rate(3, 1_000).as_json()["fpir_at_most"]) == (None, "0.007735")
    assert (Rate(3, 10).as_json()["fpir"], Rate(3, 10).as_json()["fpir_at_most"]) == (None, None)


@pytest.mark.parametrize(("errors", "probes"), [(0, 30), (0, 10_000), (5, 100), (29, 10_000), (29, 31)])
def test_the_upper_limit_is_where_so_few_errors_come_one_time_in_twenty(errors, probes):
    limit = upper_limit(errors, probes)
    ways = [math.lgamma(probes + 1) - math.lgamma(one + 1) - math.lgamma(probes - one + 1) for one in range(errors + 1)]
    chances = [
        math.exp(way + one * math.log(limit) + (probes - one) * math.log1p(-limit)) for one, way in enumerate(ways)
    ]

    assert sum(chances) == pytest.approx(0.05, abs=1e-6)


@given(
    people=st.lists(st.tuples(st.integers(-1, 45), st.integers(0, 4_000)), min_size=32, max_size=80),
    distance=st.integers(0, 4_000),
)
@settings(max_examples=150, deadline=None)
def test_the_sentence_for_a_distance_agrees_with_counting_by_hand(people, distance):
    """Every subject has one face here, so that the sample is all of them; places are whole, so that many are equal."""
    seen: set[int] = set()
    subjects = [-1 if who in seen or seen.add(who) else who for who, _ in people]
    named = sorted({one for one in subjects if one >= 0})
    subjects = [named.index(one) if one >= 0 else -1 for one in subjects]
    faces = on_a_line(*(place / 1_000 for _, place in people))

    rate = calibrated(faces, subjects).rate(distance / 1_000)

    by_hand = rates_by_hand([(one / 1_000,) for _, one in people], subjects)
    errors = sum(one <= distance / 1_000 + 1e-5 for one in by_hand)
    assert (rate.errors, rate.probes) == (errors, len(by_hand))
    if found := re.fullmatch(r"1 in (\d+) people .*", rate.sentence):
        assert int(found[1]) == round(len(by_hand) / errors)
    if found := re.fullmatch(r"fewer than 1 in (\d+) people .*", rate.sentence):
        assert errors / len(by_hand) < 1 / int(found[1])
    if rate.sentence.startswith("nearly all"):
        assert errors >= 0.95 * len(by_hand)


def test_more_distance_is_never_rarer():
    draw = np.random.default_rng(3)
    made = calibrated(draw.normal(0, 0.12, (700, 128)).astype(np.float32), np.arange(700))
    rates = [made.rate(distance) for distance in np.linspace(0.5, 2.5, 60)]

    assert [one.errors for one in rates] == sorted(one.errors for one in rates)
    assert [one.surely for one in rates if one.supported] == sorted(one.surely for one in rates if one.supported)
    assert not rates[0].is_chance and rates[-1].is_chance
    assert rates[0].share.startswith("fewer than 1 in ")


def test_of_a_near_pair_both_err_and_it_is_one_error():
    """Thirty errors of fifteen pairs are fifteen: with all subjects as probes A is near B where B is near A."""
    everyone = calibrated(on_a_line(*range(100)), np.arange(100))

    assert everyone.weight == 2
    assert (Rate(58, 1_000, 2).supported, Rate(60, 1_000, 2).supported) == (False, True)
    assert Rate(0, 1_000, 2).at_most == pytest.approx(Rate(0, 500).at_most)


def test_the_truth_lies_below_the_upper_limit_nineteen_times_in_twenty():
    """Galleries of one law: 60 people at random on a ring; newcomers fall near one with the share that is near."""
    draw, held = np.random.default_rng(11), []
    for _ in range(400):
        places = np.sort(draw.random(60))
        near = 0.0004
        angles = 2 * np.pi * places
        faces = np.zeros((60, 128), np.float32)
        faces[:, 0], faces[:, 1] = np.cos(angles), np.sin(angles)
        gaps = np.diff(np.append(places, places[0] + 1))
        truth = float(np.minimum(gaps, 2 * near).sum())
        rate = calibrated(faces, np.arange(60)).rate(2 * math.sin(math.pi * near))
        held.append(truth <= rate.at_most)

    assert np.mean(held) >= 0.95


# Growth


def test_where_all_probes_are_alike_the_rule_foretells_ten_times_the_size():
    """On a sphere nobody has more neighbours than others."""
    draw = np.random.default_rng(5)

    def sphere(count):
        drawn = np.pad(draw.normal(size=(count, 6)), ((0, 0), (0, 122)))
        return (drawn / np.linalg.norm(drawn, axis=1)[:, None]).astype(np.float32)

    gallery, strangers = sphere(6_000), sphere(3_000)
    for near in (0.15, 0.2, 0.25):
        apart = np.sqrt(np.maximum(2 - 2 * strangers @ gallery.T, 0))
        tenth, whole = (apart[:, :600].min(axis=1) <= near).mean(), (apart.min(axis=1) <= near).mean()
        assert grown(tenth, 10) == pytest.approx(whole, rel=0.25)


def test_where_some_have_more_neighbours_the_rule_errs_to_the_safe_side_and_the_gallery_shows_it():
    """In a cloud those in its middle have many."""
    faces = np.pad(np.random.default_rng(6).normal(size=(4_000, 3)), ((0, 0), (0, 125))).astype(np.float32)
    subjects = np.arange(4_000)
    made = calibrated(faces, subjects)
    distances = [made.distance_at(share) for share in (0.1, 0.3, 0.5)]

    for distance, tenth in zip(distances, foretell(faces, subjects, made, distances), strict=True):
        here = made.rate(distance)
        assert here.found * 0.95 <= tenth.found < 3 * here.found
        assert made.rate(distance, times=10).found > here.found


def test_growth_never_leaves_the_scale():
    assert (grown(0, 10), grown(1, 10)) == (0, 1)
    assert grown(0.01, 10) == pytest.approx(1 - 0.99**10)
    assert grown(1e-12, 10) == pytest.approx(1e-11)


# The file


def handmade(home, faces, subjects):
    labels = [label(row, subject=None if who < 0 else f"S{who}") for row, who in enumerate(subjects)]
    gallery = write_version(home, faces, labels)
    write_calibration(gallery.index / "0", files_in(gallery.index / "0"), 128, "county", 0)
    return gallery


def test_only_numbers_are_kept_and_the_same_each_time(tmp_path):
    draw = np.random.default_rng(2)
    gallery = handmade(tmp_path, draw.normal(0, 0.12, (90, 128)), draw.integers(-1, 50, 90))
    path = gallery.index / "0" / CALIBRATION
    before, made = path.read_bytes(), read_calibration(gallery.version())
    write_calibration(path.parent, files_in(path.parent), 128, "county", 0)

    assert path.read_bytes() == before
    assert set(made.about) == {
        *("format", "gallery", "version", "faces", "subjects", "without_subject", "probes", "seed", "width"),
        *("distances", "seal"),
    }
    assert re.fullmatch(r"[0-9. ]+", made.about["distances"])
    assert (made.about["faces"], made.probes) == (90, made.about["subjects"])


def test_more_subjects_than_probes_are_sampled_by_the_versions_number(tmp_path, monkeypatch):
    monkeypatch.setattr(calibrating, "PROBES", 40)
    faces = np.random.default_rng(2).normal(0, 0.12, (300, 128)).astype(np.float32)
    zero, again, one = (calibrated(faces, np.arange(300), version) for version in (0, 0, 1))

    assert zero.about == again.about
    assert zero.about["distances"] != one.about["distances"]
    assert (zero.probes, zero.weight) == (40, pytest.approx(1 + 39 / 299))


def test_far_and_near_distances_are_found_whatever_their_length():
    made = calibrated(on_a_line(*(one**3 for one in range(60))), np.arange(60))

    assert made.about["width"] == len("10267.000000")
    assert made.rate(1.0).errors == 2
    assert made.rate(0.999).errors == 0
    assert made.rate(1e9).errors == 60
    assert made.distance_at(1.0) == 59**3 - 58**3
    assert made.distance_at(0.001) == 1.0


@pytest.mark.parametrize("subjects", [[], [0], [0, 0, 0], [-1, -1, -1], [0, 1]])
def test_tiny_galleries_are_calibrated_and_tell_that_they_are_too_small(tmp_path, subjects):
    gallery = handmade(tmp_path, np.zeros((len(subjects), 128), np.float32), subjects)
    rate = read_calibration(gallery.version()).rate(0.5)

    assert rate.share == "too few to tell"
    assert not rate.is_chance


def test_a_version_without_one_opens(tmp_path):
    assert read_calibration(write_version(tmp_path, np.zeros((2, 128))).version()) is None


def test_a_calibration_of_another_version_or_changed_is_refused(tmp_path):
    gallery = handmade(tmp_path, on_a_line(*range(40)), np.arange(40))
    path = gallery.index / "0" / CALIBRATION
    whole = path.read_text()
    path.write_text(whole.replace('"probes": 40', '"probes": 39'))
    with pytest.raises(GalleryError, match=r"calibration\.json is not as it was written"):
        read_calibration(gallery.version())
    content = {**read_calibration_text(whole), "faces": 41}
    write_sealed(path, content)
    with pytest.raises(GalleryError, match="is not the calibration of this version; restore it from a backup"):
        read_calibration(gallery.version())


def read_calibration_text(text):
    import json

    return {name: value for name, value in json.loads(text).items() if name != "seal"}


def test_faces_that_are_not_those_of_the_labels_are_not_calibrated(tmp_path):
    gallery = write_version(tmp_path, np.zeros((3, 128)), [label(0), label(1)])
    with pytest.raises(GalleryError, match=r"does not hold the 2 faces of its labels; run afterfact gallery verify"):
        open_faces(files_in(gallery.index / "0"), 128)


def test_publishing_calibrates_and_every_version_has_its_own(indexed_home):
    gallery = Gallery(indexed_home.path, "county")
    version = gallery.version()
    made = read_calibration(version)

    assert CALIBRATION in version.about["files"]
    assert (made.about["subjects"], made.about["faces"]) == (version.about["subjects"], version.about["faces"])
    assert made.probes == version.about["subjects"]


def test_on_real_faces_a_tenth_foretells_the_whole_and_errs_to_the_safe_side(real_photos):
    """The rule is for probes that are all alike. Real ones are not, so that it foretells rather too much."""
    folders = sorted(one for one in real_photos("lfw").iterdir() if one.is_dir())[:500]
    photos = [min(one.glob("*.jpg")) for one in folders]
    with FaceExtractor(None, Limits()) as extractor:
        found = [one.embedded_face for one in extractor.extract_faces(map(str, photos))]
    faces = Embedder().embed_chips(np.stack([one.chip for one in found if one is not None]))
    made = calibrated(faces, np.arange(len(faces)))
    distance = made.distance_at(0.4)

    foretold = [
        foretell(faces, np.arange(len(faces)), Calibration({**made.about, "seed": seed}), [distance])[0].found
        for seed in range(20)
    ]

    assert 0.8 * 0.4 < np.mean(foretold) < 2.2 * 0.4
