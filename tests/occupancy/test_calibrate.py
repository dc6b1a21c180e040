import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occupancy.calibrate import Calibration, Factors


def close(calibration, counted, *, unseen=0.0, unseen_variance=0.0, end_variance=0.0):
    return calibration.close(counted, unseen=unseen, unseen_variance=unseen_variance, end_variance=end_variance)


def nights(calibration, count, *, miss_in, miss_out, people=1000, seed=1, uncounted=0.0):
    """Everybody comes in by `in` or `out` alike, and leaves; `uncounted` of them by a door that nobody counts."""
    random = np.random.default_rng(seed)
    answers = []
    for _ in range(count):
        came = int(random.poisson(people))
        left = came - int(random.binomial(came, uncounted))
        ins, outs = int(random.binomial(came, 1 - miss_in)), int(random.binomial(left, 1 - miss_out))
        share = random.uniform(0.4, 0.6, 2)
        one = int(ins * share[0]), int(outs * share[1])
        answers.append(close(calibration, {"one": one, "two": (ins - one[0], outs - one[1])}))
    return answers


@pytest.mark.parametrize(("miss_in", "miss_out"), [(0.02, 0.02), (0.08, 0.02), (0.11, 0.165)])
def test_a_month_of_nights_tells_what_the_doors_miss(miss_in, miss_out):
    factors = []
    for seed in range(6):
        calibration = Calibration()
        nights(calibration, 30, miss_in=miss_in, miss_out=miss_out, seed=seed)
        assert not calibration.uncalibrated
        factors += [calibration.factors(door) for door in ("one", "two")]
    more, fewer = np.mean(factors, axis=0)
    assert more / fewer == pytest.approx((1 - miss_out) / (1 - miss_in), abs=0.01)
    assert (more + fewer) / 2 == pytest.approx((1 / (1 - miss_in) + 1 / (1 - miss_out)) / 2, abs=0.05)


def test_a_residual_beyond_five_standard_errors_teaches_nothing_and_alerts():
    calibration = Calibration()
    nights(calibration, 10, miss_in=0.05, miss_out=0.05)
    before = calibration.factors("one"), calibration.factors("two")
    night = close(calibration, {"one": (900, 100), "two": (500, 480)})
    assert not night.taught
    assert "people in an empty store" in night.alert
    assert (calibration.factors("one"), calibration.factors("two")) == before


def test_an_exit_that_nobody_counts_makes_the_place_uncalibrated_within_a_fortnight():
    calibration = Calibration()
    answers = nights(calibration, 14, miss_in=0.05, miss_out=0.05, uncounted=0.5)
    assert calibration.uncalibrated
    assert "nobody counts" in answers[-1].alert
    assert calibration.factors("one")[0] == 1.0


def test_days_that_do_not_add_up_make_it_uncalibrated_though_the_balance_is_even():
    calibration, random = Calibration(), np.random.default_rng(2)
    for _ in range(21):
        astray = int(random.normal(0, 40))
        close(calibration, {"one": (300 + astray, 300 - astray)})
    assert calibration.uncalibrated


def test_it_is_calibrated_again_once_the_exit_is_shut():
    calibration = Calibration()
    nights(calibration, 14, miss_in=0.05, miss_out=0.05, uncounted=0.5)
    answers = nights(calibration, 60, miss_in=0.05, miss_out=0.05, seed=3)
    assert not calibration.uncalibrated
    assert answers[-1].alert is None


def test_a_night_after_a_quiet_day_teaches_nothing():
    calibration = Calibration()
    night = close(calibration, {"one": (12, 3)})
    assert not night.taught
    assert night.alert is None
    assert calibration.nights == 0


def test_people_who_passed_a_silent_door_are_part_of_the_sum():
    with_guess, without = Calibration(), Calibration()
    told = close(with_guess, {"one": (500, 400)}, unseen=-100.0, unseen_variance=900.0)
    silent = close(without, {"one": (500, 400)})
    assert abs(told.residual) < 10 < abs(silent.residual)


def test_a_new_door_starts_from_the_prior_and_a_gone_one_is_forgotten():
    calibration = Calibration()
    nights(calibration, 5, miss_in=0.1, miss_out=0.0)
    assert calibration.factors("three") == pytest.approx((calibration.scale,) * 2)
    close(calibration, {"three": (500, 500)})
    assert calibration.doors == ["three"]


def test_the_spread_behind_a_count_grows_with_what_the_door_misses():
    good, bad = Calibration(), Calibration()
    nights(good, 30, miss_in=0.01, miss_out=0.01)
    nights(bad, 30, miss_in=0.15, miss_out=0.15)
    assert Factors(good).weigh("one", 100, 0)[2] < Factors(bad).weigh("one", 100, 0)[2] / 4


def test_the_balance_of_doors_is_known_better_than_that_of_any_one_of_them():
    calibration = Calibration()
    random = np.random.default_rng(4)
    for _ in range(20):
        came = int(random.poisson(1000))
        close(calibration, {"front": (came * 9 // 10, came * 2 // 10), "back": (came // 10, came * 8 // 10)})
    even = Calibration(calibration.doors, calibration.logs, calibration.covariance, nights=20)
    assert calibration.shares == pytest.approx([0.1, 0.8, 0.9, 0.2], abs=0.05)
    assert calibration.imbalance_variance() < even.imbalance_variance() / 2


counts = st.dictionaries(
    st.sampled_from("abcdefghij"), st.tuples(st.integers(0, 5000), st.integers(0, 5000)), min_size=1
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(counts, st.floats(0, 500), st.floats(0, 2000)), max_size=20))
def test_whatever_the_nights_say_the_factors_stay_within_their_bounds(history):
    calibration = Calibration()
    for counted, unseen_variance, end_variance in history:
        night = close(calibration, counted, unseen_variance=unseen_variance, end_variance=end_variance)
        assert np.isfinite(night.residual)
        assert night.sigma > 0
        for door in "abcdefghij":
            assert all(0.85 <= factor <= 1.5 for factor in calibration.factors(door))
    assert 0 < calibration.miss <= 0.25
    assert calibration.imbalance_variance() > 0
