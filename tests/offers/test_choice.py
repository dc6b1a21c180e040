"""Which offer, at what worth: interests, what was learned of acceptance, and a little exploration."""

from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_service.offers.affinity import HALF_LIFE_MS, PRIOR_SHARE, affinity, faded
from geo_service.offers.choice import Acceptance, crowding_of, worth


def test_interest_halves_in_a_half_life():
    assert faded(8.0, 0) == 8.0
    assert faded(8.0, HALF_LIFE_MS) == 4.0
    assert faded(8.0, 3 * HALF_LIFE_MS) == 1.0
    assert faded(8.0, -5) == 8.0


def test_of_somebody_unknown_everything_is_as_likely():
    assert affinity({}, ["bakery"]) == affinity({"coffee": 9.0}, []) == PRIOR_SHARE


def test_affinity_is_the_share_of_interest_drawn_towards_the_prior():
    weights = {"bakery": 5.0, "coffee": 5.0}
    assert affinity(weights, ["bakery"]) == pytest.approx((5 * 0.2 + 5) / 15)
    assert affinity(weights, ["bakery", "coffee"]) == pytest.approx((5 * 0.2 + 10) / 15)
    assert affinity(weights, ["fish"]) == pytest.approx(1 / 15)


@given(
    st.dictionaries(st.sampled_from("abcd"), st.floats(0.01, 1e6)),
    st.lists(st.sampled_from("abcdef"), max_size=3),
    st.floats(0, 1e6),
)
def test_affinity_stays_between_nothing_and_all_and_grows_with_interest(weights, wanted, more):
    before = affinity(weights, wanted)
    assert 0 <= before <= 1
    if wanted:
        grown = weights | {wanted[0]: weights.get(wanted[0], 0) + more}
        assert affinity(grown, wanted) >= before - 1e-9 or not weights


def test_the_same_crossing_draws_the_same_and_another_another():
    fared = Acceptance(3, 20)
    assert fared.draw("0-1-0", "bread") == fared.draw("0-1-0", "bread")
    assert len({fared.draw(f"0-{number}-0", "bread") for number in range(50)}) == 50
    assert fared.draw("0-1-0", "bread") != fared.draw("0-1-0", "cake")


@pytest.mark.parametrize(("accepted", "declined"), [(0, 0), (3, 40), (200, 50), (0, 5000)])
def test_draws_are_a_beta_distribution_of_what_was_seen(accepted, declined):
    """Mean and variance of Beta(a, b): a / (a + b) and ab / ((a + b)² (a + b + 1))."""
    fared = Acceptance(accepted, declined)
    draws = [fared.draw(f"0-{number}-7", "bread") for number in range(20_000)]
    a, b = accepted + 1.0, declined + 9.0
    variance = a * b / ((a + b) ** 2 * (a + b + 1))
    assert all(0 < draw < 1 for draw in draws)
    assert fmean(draws) == pytest.approx(fared.mean, abs=5 * (variance / len(draws)) ** 0.5)
    spread = fmean((draw - fared.mean) ** 2 for draw in draws)
    assert spread == pytest.approx(variance, rel=0.1)


def test_a_campaign_nobody_has_tried_is_tried_and_one_that_nobody_takes_up_is_left():
    new, poor, good = Acceptance(), Acceptance(0, 2000), Acceptance(300, 700)
    crossings = [f"0-{number}-1" for number in range(2000)]
    wins = [new.draw(crossing, "new") > good.draw(crossing, "good") for crossing in crossings]
    assert 0.01 < fmean(wins) < 0.2
    assert not any(poor.draw(crossing, "poor") > good.draw(crossing, "good") for crossing in crossings)


def test_worth_grows_with_what_is_wanted_and_shrinks_with_the_crowd():
    quiet = worth(0.5, 400, 0.2, crowding_of(0.0))
    assert quiet.expected == pytest.approx(40)
    assert worth(0.5, 400, 0.2, crowding_of(1.0)).expected == pytest.approx(20)
    assert crowding_of(None) == 1.0
    assert crowding_of(9.0) == 3.0
