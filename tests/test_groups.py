"""Rates by group: synthetic scores whose true rates, and whose planted bias, are known."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from evaluation.group_pairs import compare_groups, cut_off_at, require_reached
from evaluation.group_report import report_groups
from evaluation.groups import enough_for, measure_groups, measure_single, one_hot
from evaluation.scores import Compared, Trials
from foundation.errors import InputError
from indexer.grouping import NOT_STATED, Grouping

NAMES = ("A", "B", "C")


def grouped(members, names=NAMES):
    return Grouping(("kind",), tuple(names), np.asarray(members))


def singly(missed, whose, members, subjects, names=NAMES):
    """Returns the rates of trials that have one subject each."""
    measure = measure_single(("M", "says"), missed, whose, one_hot(members, len(names)), subjects)
    return measure_groups(measure, names, seed=1, repeats=200)


def covers(one, truth):
    return one.low <= truth <= one.high


def mean_of(rates):
    return float(np.exp(np.log(rates).mean()))


MISSED = (0.1, 0.2, 0.4)


def world_of_misses(random, each=120, trials=6):
    """Returns the rates of three groups with so many subjects; some are hard as a whole, as people are."""
    members = np.repeat(np.arange(3), each)
    true = np.asarray(MISSED)[members]
    hard = random.beta(8 * true, 8 * (1 - true))
    whose = np.repeat(np.arange(3 * each), trials)
    return singly(random.random(len(whose)) < hard[whose], whose, members[whose], 3 * each)


def test_intervals_contain_the_planted_rates_and_ratios_about_95_times_in_100():
    inside = {"rate": 0, "to_best": 0, "to_mean": 0}
    worlds = 100
    for world in range(worlds):
        made = world_of_misses(np.random.default_rng(world))
        for one, true in zip(made.groups, MISSED, strict=True):
            inside["rate"] += covers(one.rate, true)
            inside["to_mean"] += covers(one.to_mean, true / mean_of(MISSED))
            inside["to_best"] += one.to_best is not None and one.name != "A" and covers(one.to_best, true / MISSED[0])

    assert 0.92 <= inside["rate"] / (3 * worlds) <= 0.98
    assert 0.92 <= inside["to_mean"] / (3 * worlds) <= 0.98
    assert 0.92 <= inside["to_best"] / (2 * worlds) <= 0.98


CENTRES = (0.75, 0.7, 0.65)  # of distances within each group; across groups 0.8
OWN, NOISE, CUT_OFF = 0.02, 0.05, 0.6
SPREAD = float(np.hypot(np.sqrt(2) * OWN, NOISE))
WITHIN = [NormalDist(centre, SPREAD).cdf(CUT_OFF) for centre in CENTRES]
ACROSS = NormalDist(0.8, SPREAD).cdf(CUT_OFF)


def world_of_strangers(random, each=60, listed=True):
    """Returns the rates of all comparisons of each * 3 people, of whom some are near to many."""
    members = np.repeat(np.arange(3), each)
    first, second = np.triu_indices(3 * each, 1)
    near = random.normal(0, OWN, 3 * each)
    centre = np.where(members[first] == members[second], np.asarray(CENTRES)[members[first]], 0.8)
    distances = centre + near[first] + near[second] + random.normal(0, NOISE, len(first))
    kept = distances < 0.7 if listed else np.ones(len(first), dtype=bool)
    wrong = Compared(first[kept], second[kept], distances[kept], np.arange(3 * each) if listed else None)
    none = Compared(np.array([0]), np.array([0]), np.array([np.inf]))
    measures = compare_groups(grouped(members), np.arange(3 * each), none, wrong, CUT_OFF)[:2]
    return [measure_groups(one, NAMES, seed=1, repeats=200) for one in measures]


def test_intervals_of_false_match_rates_contain_the_planted_ones():
    worlds, inside, against, ratios = 60, 0, 0, 0
    everybody = [(59 * one + 240 * ACROSS) / 299 for one in WITHIN]  # of 59 / 2 pairs within and 120 across, a person
    for world in range(worlds):
        within, anybody = world_of_strangers(np.random.default_rng(world))
        inside += sum(covers(one.rate, true) for one, true in zip(within.groups, WITHIN, strict=True))
        against += sum(covers(one.rate, true) for one, true in zip(anybody.groups, everybody, strict=True))
        ratios += within.groups[2].to_mean is not None and covers(
            within.groups[2].to_best, WITHIN[2] / WITHIN[NAMES.index(within.best.name)]
        )

    assert 0.91 <= inside / (3 * worlds) <= 0.99
    assert against / (3 * worlds) >= 0.91
    assert ratios / worlds >= 0.91


def test_rates_and_ratios_are_what_can_be_counted_by_hand():
    members = np.repeat([0, 1], 100)
    missed = np.r_[np.arange(100) < 40, np.arange(100) < 80]

    made = singly(missed, np.arange(200), members, 200, ("A", "B"))

    assert [(one.rate.errors, one.rate.trials, one.rate.value) for one in made.groups] == [
        (40, 100, 0.4),
        (80, 100, 0.8),
    ]
    assert (made.whole.rate.errors, made.whole.rate.trials) == (120, 200)
    assert (made.best.name, made.worst.name) == ("A", "B")
    assert made.worst.to_best.value == pytest.approx(2) and made.worst.to_best.shown
    assert made.worst.to_mean.value == pytest.approx(0.8 / np.sqrt(0.4 * 0.8))


def test_a_pair_across_two_groups_counts_against_everybody_and_within_none():
    # Photos 0, 1 are of A, 2, 3 of B, each of another person; only 0 and 2 are near.
    first, second = np.triu_indices(4, 1)
    distances = np.where((first == 0) & (second == 2), 0.1, 0.9)
    wrong = Compared(first, second, distances, np.arange(4))
    alone = np.arange(4), np.arange(4), np.array([0.1, 0.9, 0.1, np.inf])

    measures = compare_groups(grouped([0, 0, 1, 1], ("A", "B")), np.arange(4), Compared(*alone), wrong, 0.5)
    counted = [[one[0].tolist() for one in measure.count(np.ones((1, 4)))] for measure in measures]

    assert counted[0] == [[0, 0, 1], [1, 1, 6]]  # within A, within B, and all
    assert counted[1] == [[1, 1, 1], [5, 5, 6]]
    assert counted[2] == [[1, 1, 2], [2, 2, 4]]  # a photo without a face is missed


def test_comparisons_that_are_only_counted_give_the_rates_of_all_of_them():
    listed, whole = [world_of_strangers(np.random.default_rng(2), 20, listed) for listed in (True, False)]

    assert listed == whole


def test_listed_pairs_alone_are_the_trials_where_the_subjects_are_not_known():
    wrong = Compared(np.array([0, 0]), np.array([1, 2]), np.array([0.1, 0.9]))
    none = Compared(np.array([0]), np.array([0]), np.array([0.1]))

    within, against, _ = compare_groups(grouped([0, 0, 1], ("A", "B")), np.arange(3), none, wrong, 0.5)

    assert [one.tolist() for one in within.count(np.ones((1, 3)))] == [[[1, 0, 1]], [[1, 0, 2]]]
    assert [one.tolist() for one in against.count(np.ones((1, 3)))] == [[[1, 0, 1]], [[2, 1, 2]]]
    assert within.behind.tolist() == [2, 0, 3]


def test_a_small_group_is_shown_as_too_small_and_is_in_no_ratio():
    members = np.r_[np.zeros(100), np.ones(100), np.full(9, 2)].astype(int)
    made = singly(np.ones(209, dtype=bool), np.arange(209), members, 209)

    assert made.groups[2].lacks == "too small: 9 subjects, 9 errors of 9"
    assert made.groups[2].as_json()["value"] is None and made.groups[2].as_json()["trials"] == 9
    assert [one.name for one in made.told] == ["A", "B"]
    assert made.groups[2].to_best is None


def test_a_group_without_errors_enough_is_told_and_nobody_is_called_worst():
    made = singly(np.arange(200) < 40, np.arange(200), np.repeat([0, 1], 100), 200, ("A", "B"))

    assert made.groups[1].lacks == "too few errors: 0 of 100"
    assert made.worst is None


def test_the_worst_group_is_named_and_what_the_sample_cannot_say():
    members = np.repeat([0, 1], 100)
    near = np.r_[np.arange(100) < 40, np.arange(100) < 80]
    measures = [
        measure_single(("FNMR", "says"), near, np.arange(200), one_hot(members, 2), 200),
        measure_single(("FTE", "says"), np.zeros(200, dtype=bool), np.arange(200), one_hot(members, 2), 200),
    ]

    said = report_groups([(grouped(members, ("A", NOT_STATED)), measures)], 0.5, "as asked", seed=1)

    assert said.summary[0].startswith("By kind, FNMR: worst for 'not stated', 80.00%")
    assert "times the lowest, of 'A'" in said.summary[0]
    assert said.summary[1].startswith("By kind, this sample cannot say which group is worst in FTE")
    assert said.summary[2] == "By kind, 100 of 200 photos state no value."
    assert [one[1] for one in said.sections[0].rows] == ["all photos", "A", "not stated"] * 2
    assert len(said.sections[0].charts) == 2


def test_one_cut_off_is_taken_from_all_trials():
    wrong = Trials.of(np.arange(1, 101) / 100, np.arange(100))

    assert cut_off_at(wrong, 0.1) == 0.11
    assert int((wrong.distances < cut_off_at(wrong, 0.1)).sum()) == 10
    with pytest.raises(InputError, match=r"--at 100% is above what is looked at: 100 of 100"):
        cut_off_at(wrong, 1.0)
    nearest = Trials(np.array([0.1, 0.2]), np.array([0, 1]), np.array([2, 3]), np.ones(10))
    with pytest.raises(InputError, match=r"--at 0.9 accepts more than 4.4% of all .* below 0.200"):
        require_reached(nearest, 0.9)


def test_the_cut_off_chosen_is_the_lowest_that_gives_every_group_thirty_errors():
    assert enough_for(3, (0.01, 0.001), 9_000) == 0.01
    assert enough_for(3, (0.01, 0.001), 90_000) == 0.001
    assert enough_for(3, (0.01, 0.001), 10) == 0.01
