"""Error rates: synthetic scores whose true rates are known."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from evaluation.measured import percent, told_accuracy
from evaluation.rates import OUT_OF_REACH, Rate, curve, fold_accuracy, not_within, rates_at
from evaluation.scores import Resampling, Trials
from foundation.errors import InputError

MATED, OTHERS = NormalDist(0.4, 0.1), NormalDist(0.65, 0.05)


def alone(distances, first=0):
    """Returns trials of one subject each."""
    return Trials.of(np.asarray(distances, dtype=np.float64), np.arange(first, first + len(distances)))


def test_a_rate_is_what_can_be_counted_by_hand():
    right, wrong = alone([0.1, 0.2, 0.3, 0.55, np.inf]), alone([0.5, 0.6, 0.7, 0.8], 5)

    (rate,) = rates_at(right, wrong, [0.25], Resampling(9, 1))

    # One wrong trial in four is accepted below 0.6; of the right ones the infinite one is missed.
    assert (rate.threshold, rate.accepted, rate.wrong) == (0.6, 1, 4)
    assert (rate.errors, rate.trials, rate.value) == (1, 5, pytest.approx(0.2))


def test_without_a_false_acceptance_allowed_the_nearest_wrong_trial_is_the_threshold():
    (rate,) = rates_at(alone([0.1, 0.5, 0.6]), alone([0.5, 0.9], 3), [0.01], Resampling(5, 1))

    assert (rate.threshold, rate.accepted, rate.errors) == (0.5, 0, 2)


def test_equal_distances_are_refused_together_rather_than_pass_the_limit():
    (rate,) = rates_at(alone([0.1, 0.5]), alone([0.5, 0.5, 0.5, 0.9], 2), [0.5], Resampling(6, 1))

    assert (rate.threshold, rate.accepted, rate.errors) == (0.5, 0, 1)


def test_known_rates_are_found_within_sampling():
    random = np.random.default_rng(3)
    right, wrong = alone(random.normal(0.4, 0.1, 20_000)), alone(random.normal(0.65, 0.05, 20_000), 20_000)

    for target, rate in zip((0.1, 0.01), rates_at(right, wrong, (0.1, 0.01), Resampling(40_000, 1, 20)), strict=True):
        truth = 1 - MATED.cdf(OTHERS.inv_cdf(target))
        assert rate.value == pytest.approx(truth, rel=0.1)
        assert rate.lacks is None


@pytest.mark.parametrize("value", [np.nan])
def test_a_score_that_is_no_number_is_refused_and_told_where(value):
    with pytest.raises(InputError, match=r"1 of 3 scores are no number \(NaN\), the first is number 2"):
        rates_at(alone([0.1, value, 0.3]), alone([0.5], 3), [0.1], Resampling(4, 1))


def test_few_errors_are_told_and_no_digits():
    few = Rate(29, 1000, 0.029, 0.02, 0.04)
    enough = Rate(30, 1000, 0.03, 0.02, 0.04)
    badly_set = Rate(500, 1000, 0.5, 0.4, 0.6, threshold=0.5, accepted=3, wrong=1000)

    assert few.as_json() == {
        **{"value": None, "interval": None, "lacks": "too few errors: 29 of 1,000"},
        **{"errors": 29, "trials": 1000},
    }
    assert enough.as_json()["value"] == 0.03
    assert badly_set.as_json()["lacks"] == "too few errors: 3 false of 1,000 set the threshold"


def test_ranks_are_counted_by_hand():
    ranks = np.array([1, 1, 2, 7, OUT_OF_REACH])

    first, second, seventh = not_within(ranks, np.arange(5), (1, 2, 7), Resampling(5, 1))

    assert [one.errors for one in (first, second, seventh)] == [3, 2, 1]
    assert first.value == pytest.approx(0.6)


def test_accuracy_takes_each_folds_threshold_from_the_others():
    # In fold 0 the classes part at 0.5, in fold 1 at 0.3: each is told by the other's threshold.
    distances = np.array([0.4, 0.45, 0.6, 0.7, 0.1, 0.2, 0.4, 0.41])
    same = np.array([True, True, False, False] * 2)
    folds = np.repeat([0, 1], 4)

    accuracy = fold_accuracy(alone(distances), same, folds, Resampling(8, 1))

    assert accuracy.thresholds == [0.2, 0.45]
    assert accuracy.folds == [0.5, 0.5]
    assert (accuracy.wrong.errors, accuracy.wrong.trials) == (4, 8)


def test_of_uneven_folds_page_and_json_tell_the_same_accuracy_which_lies_in_its_interval():
    random = np.random.default_rng(1)
    folds = np.repeat(np.arange(10), [900] + [20] * 9)  # a large fold of hard pairs, small ones of easy pairs
    same = random.random(len(folds)) < 0.5
    distances = np.where(same, 0.4, 0.8) + random.normal(0, np.where(folds == 0, 0.25, 0.02))

    accuracy = fold_accuracy(alone(distances), same, folds, Resampling(len(folds), 1))

    told, ends = accuracy.as_json()["value"], accuracy.as_json()["interval"]
    assert told == pytest.approx(np.mean(accuracy.folds), abs=1e-6)
    assert ends[0] < told < ends[1]
    assert told_accuracy(accuracy) == (percent(told), f"{percent(ends[0])} to {percent(ends[1])}")


def test_equal_folds_have_the_accuracy_and_the_interval_of_all_pairs_together():
    random = np.random.default_rng(2)
    same = np.tile([True, False], 300)
    distances = np.where(same, 0.4, 0.6) + random.normal(0, 0.1, 600)

    accuracy = fold_accuracy(alone(distances), same, np.repeat(np.arange(6), 100), Resampling(600, 1))

    wrong = np.zeros(600)
    wrong[: accuracy.wrong.errors] = 1
    assert accuracy.wrong.value == wrong.mean() == pytest.approx(1 - np.mean(accuracy.folds))


def test_a_pair_without_a_score_is_an_error_whatever_it_is():
    distances = np.array([0.1, np.inf, 0.9, np.inf] * 2)
    same = np.array([True, True, False, False] * 2)

    accuracy = fold_accuracy(alone(distances), same, np.repeat([0, 1], 4), Resampling(8, 1))

    assert accuracy.folds == [0.5, 0.5]


def test_a_det_curve_goes_from_few_false_acceptances_to_all():
    points = curve(alone([0.1, 0.5, 0.9]), alone([0.4, 0.6, 0.8, 1.0], 3))

    assert points == [pytest.approx(one) for one in [(0.25, 2 / 3), (0.5, 1 / 3), (0.75, 1 / 3), (1.0, 0.0)]]


def covered(made, truth, worlds):
    """Returns the share of synthetic worlds whose interval contains the truth."""
    inside = 0
    for world in range(worlds):
        rate = made(np.random.default_rng(world))
        inside += rate.low <= truth <= rate.high
    return inside / worlds


def test_intervals_contain_the_true_miss_rate_of_searches_about_95_times_in_100():
    truth = 1 - MATED.cdf(OTHERS.inv_cdf(0.1))

    def world(random):
        right, wrong = alone(random.normal(0.4, 0.1, 400)), alone(random.normal(0.65, 0.05, 400), 400)
        return rates_at(right, wrong, [0.1], Resampling(800, 1, 200))[0]

    assert 0.91 <= covered(world, truth, 120) <= 0.985


def test_intervals_cover_subjects_who_are_hard_as_a_whole():
    """Pairs of one subject are alike: counted as independent, the interval would be half as wide as it has to be."""
    truth = 1 - NormalDist(0.4, np.hypot(0.08, 0.04)).cdf(0.5)
    wrong = Trials.of(np.full(100, 0.5), np.arange(100))  # none may be accepted: the threshold is 0.5

    def world(random):
        subjects = np.repeat(np.arange(100), 8)
        distances = random.normal(0.4, 0.08, 100)[subjects] + random.normal(0, 0.04, 800)
        return rates_at(Trials.of(distances, subjects), wrong, [0.001], Resampling(100, 1, 200))[0]

    assert 0.9 <= covered(world, truth, 120) <= 0.985


def test_intervals_contain_the_true_false_match_threshold_among_all_comparisons():
    """What every subject adds to all its comparisons is what makes them alike; both subjects are resampled."""
    truth = 1 - MATED.cdf(NormalDist(0.65, np.sqrt(2 * 0.03**2 + 0.03**2)).inv_cdf(0.05))

    def world(random):
        first, second = np.triu_indices(60, 1)
        near = random.normal(0, 0.03, 60)
        wrong = Trials(0.65 + near[first] + near[second] + random.normal(0, 0.03, len(first)), first, second)
        right = alone(random.normal(0.4, 0.1, 60))
        return rates_at(right, wrong, [0.05], Resampling(60, 1, 200))[0]

    assert 0.88 <= covered(world, truth, 120) <= 0.99


def test_comparisons_that_are_only_counted_set_the_same_threshold_as_all_of_them():
    random = np.random.default_rng(5)
    subjects = np.repeat(np.arange(40), 3)
    first, second = np.triu_indices(len(subjects), 1)
    apart = subjects[first] != subjects[second]
    first, second = first[apart], second[apart]
    distances = random.normal(0.7, 0.1, len(first))
    whole = Trials(distances, subjects[first], subjects[second])
    near = distances < np.quantile(distances, 0.2)
    listed = Trials(distances[near], subjects[first][near], subjects[second][near], np.full(40, 3.0))
    right = Trials.of(random.normal(0.5, 0.1, 120), subjects)

    assert listed.count == whole.count
    assert rates_at(right, listed, [0.01], Resampling(40, 1)) == rates_at(right, whole, [0.01], Resampling(40, 1))
