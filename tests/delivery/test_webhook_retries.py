"""When a webhook that failed comes again."""

from hypothesis import given
from hypothesis import strategies as st

from geo_service.delivery.webhook_retries import FIRST_S, GIVEN_UP_MS, LONGEST_S, is_given_up, pause_s

RANDOM = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 1000), RANDOM)
def test_a_pause_is_between_half_and_all_of_the_doubled_first_one(failures, random):
    whole = min(FIRST_S * 2 ** min(failures - 1, 20), LONGEST_S)
    assert whole / 2 <= pause_s(failures, random) <= whole


@given(st.integers(1, 30), RANDOM, st.floats(0, 1e9))
def test_an_endpoint_may_ask_for_more_time_but_not_for_ever(failures, random, wanted):
    assert min(wanted, LONGEST_S) <= pause_s(failures, random, wanted) <= LONGEST_S


def test_a_day_of_failures_takes_some_thirty_tries():
    now_ms = tries = 0
    while not is_given_up(0, now_ms):
        tries += 1
        now_ms += round(pause_s(tries, 0.5) * 1000)
    assert 30 <= tries <= 50
    assert now_ms < GIVEN_UP_MS + LONGEST_S * 1000
