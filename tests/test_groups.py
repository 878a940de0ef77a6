"""Rates by group: synthetic scores whose true rates, and whose planted bias, are known."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from evaluation.group_pairs import compare_groups, cut_off_at, require_reached
from evaluation.group_report import report_groups
from evaluation.grouping import NOT_STATED, By, Grouping
from evaluation.groups import enough_for, measure_groups, measure_single, one_hot
from evaluation.scores import Compared, Trials
from foundation.errors import InputError

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


MISSED = (0.05, 0.1, 0.2)


def world_of_misses(random):
    """Returns rates of 120 subjects a group with six trials each; some are hard as a whole, as people are."""
    members = np.repeat(np.arange(3), 120)
    true = np.asarray(MISSED)[members]
    hard = random.beta(8 * true, 8 * (1 - true))
    whose = np.repeat(np.arange(360), 6)
    return singly(random.random(len(whose)) < hard[whose], whose, members[whose], 360)


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


def world_of_strangers(random, each=60, listed=False):
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
    assert 0.91 <= against / (3 * worlds)
    assert 0.91 <= ratios / worlds
