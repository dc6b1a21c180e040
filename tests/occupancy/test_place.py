from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occupancy.place import Place
from occupancy.sources import MINUTE_MS

NOON = 1_750_032_000_000 + 8 * 3_600_000  # a Monday in June 2025, 08:00 UTC


def store(comfort=100, legal=150, **more):
    return Place(comfort, legal, **more)


def busy_store(minutes=60, ins=2, outs=1):
    place = store()
    place.expect(NOON, doors=["door"])
    for minute in range(minutes):
        place.count(NOON + minute * MINUTE_MS, ins, outs, "door")
    return place, NOON + (minutes - 1) * MINUTE_MS


def test_a_place_that_was_never_sensed_is_blind_and_says_the_whole_range():
    place = store()
    place.expect(NOON, doors=["door"])
    answer = place.estimate(NOON)
    assert answer.status == "blind"
    assert (answer.low, answer.high) == pytest.approx((5, 95), abs=0.6)


def test_the_first_word_of_a_door_starts_an_empty_store():
    place = store()
    place.count(NOON, 10, 0, "door")
    answer = place.estimate(NOON)
    assert answer.status == "live"
    assert 10 <= answer.mean < 11
    assert answer.low <= 10 <= answer.high
    assert (answer.in_total, answer.out_total) == (10, 0)


def test_more_leave_than_came_and_nobody_is_the_least_there_can_be():
    place = store()
    for second in range(100):
        place.count(NOON + second * 1000, 0, 3, "door")
    answer = place.estimate(NOON + 100_000)
    assert 0 <= answer.low <= answer.mean <= answer.high <= 1
    assert answer.out_total == 300


def test_a_negative_count_is_refused():
    with pytest.raises(ValueError, match="-1 in"):
        store().count(NOON, -1, 0, "door")


@pytest.mark.parametrize("people", [float("nan"), float("inf"), -1.0])
def test_a_reading_that_is_no_number_of_people_is_refused(people):
    with pytest.raises(ValueError, match="not a number of people"):
        store().observe(NOON, people, counter="camera")


def test_a_recount_pulls_the_estimate_and_keeps_the_totals():
    place, at = busy_store()
    before = place.estimate(at)
    place.recount(at, 20)
    after = place.estimate(at)
    assert abs(after.mean - 20) < 1.5 < abs(before.mean - 20)
    assert after.high - after.low < before.high - before.low
    assert (after.in_total, after.out_total) == (before.in_total, before.out_total)


def test_silence_widens_from_the_first_minute_on_and_ends_blind():
    place, at = busy_store()
    widths = []
    for minutes in range(1, 120, 10):
        answer = place.estimate(at + minutes * MINUTE_MS)
        widths.append(answer.high - answer.low)
    assert all(a <= b for a, b in pairwise(widths))
    assert widths[1] > widths[0] > 0
    assert place.estimate(at + 15 * MINUTE_MS).status == "blind"


def test_however_busy_a_silent_door_was_no_more_are_believed_than_the_place_may_hold():
    place = store()
    for second in range(600):
        place.count(NOON + second * 1000, 6, 6, "door")
    hours = [place.estimate(NOON + hour * 3_600_000) for hour in range(1, 12)]
    assert all(answer.status == "blind" for answer in hours)
    assert max(answer.high for answer in hours) < 250
    assert hours[0].high - hours[0].low > 50


def test_one_of_two_doors_silent_is_degraded():
    place = store()
    for minute in range(60):
        place.count(NOON + minute * MINUTE_MS, 1, 1, "east")
        place.count(NOON + minute * MINUTE_MS + 1, 1, 1, "west")
    assert place.estimate(NOON + 59 * MINUTE_MS + 1).status == "live"
    for minute in range(60, 80):
        place.count(NOON + minute * MINUTE_MS, 1, 1, "east")
    assert place.estimate(NOON + 79 * MINUTE_MS).status == "degraded"
    place.count(NOON + 80 * MINUTE_MS, 0, 0, "west")
    assert place.estimate(NOON + 80 * MINUTE_MS).status == "live"


def test_silence_in_closed_hours_is_no_silence():
    place, at = busy_store()
    place.is_open(at, False)
    answer = place.estimate(at + 600 * MINUTE_MS)
    assert answer.status == "live"
    assert answer.high <= 1


def test_a_closed_store_is_empty_half_an_hour_later():
    place, at = busy_store()
    place.is_open(at, False)
    assert place.estimate(at + 29 * MINUTE_MS).mean > 50
    assert place.estimate(at + 30 * MINUTE_MS).mean < 0.5


def test_a_closed_store_of_which_nothing_was_ever_heard_is_nearly_surely_empty():
    place = store()
    place.expect(NOON, doors=["door"])
    place.is_open(NOON, False)
    answer = place.estimate(NOON + MINUTE_MS)
    assert answer.status == "live"
    assert answer.mean < 0.5
    assert answer.high <= 1
    place.is_open(NOON + 2 * MINUTE_MS, True)
    assert place.estimate(NOON + 2 * MINUTE_MS).status == "blind"


def test_a_store_that_was_blind_when_it_closed_stays_so_until_it_must_be_empty():
    place, at = busy_store()
    place.is_open(at + 60 * MINUTE_MS, False)
    assert place.estimate(at + 89 * MINUTE_MS).status == "blind"
    assert place.estimate(at + 90 * MINUTE_MS).status == "live"


def test_totals_start_again_at_the_local_reset_hour():
    place = store(timezone="Pacific/Auckland", reset_hour=3)
    place.count(NOON, 5, 2, "door")  # 20:00 in Auckland
    assert place.estimate(NOON + 7 * 3_600_000 - 1).in_total == 5
    assert place.estimate(NOON + 7 * 3_600_000).in_total == 0


def test_a_day_on_which_clocks_change_has_its_own_length():
    place = store(timezone="Europe/Helsinki", reset_hour=4)
    spring = 1_743_210_000_000  # 2025-03-29 03:00 in Helsinki; clocks go forward the night after
    place.advance(spring)
    first = place.next_due_ms()
    place.advance(first)
    assert place.next_due_ms() - first == 23 * 3_600_000


def test_flows_are_the_days_counts_as_calibrated_and_moments_are_what_is_shown():
    place, at = busy_store(minutes=60, ins=2, outs=1)
    flows, (mean, variance) = place.flows(at), place.moments(at)
    assert 120 <= flows.came < 135
    assert 60 <= flows.left < 68
    assert mean == place.estimate(at).mean
    assert 0 < variance < 100
    silent = at + 20 * MINUTE_MS
    assert place.moments(silent)[1] > variance
    assert place.flows(silent).came > flows.came
    day_ends = place.next_due_ms()
    while place.flows(day_ends).since_ms == flows.since_ms:
        day_ends = place.next_due_ms()
    assert place.flows(day_ends).came == 0


calls = st.lists(
    st.one_of(
        st.tuples(st.just("count"), st.integers(0, 9), st.integers(0, 9), st.sampled_from(["a", "b"])),
        st.tuples(st.just("observe"), st.floats(0, 300), st.sampled_from([None, 2.0])),
        st.tuples(st.just("recount"), st.integers(0, 300)),
        st.tuples(st.just("open"), st.booleans()),
    ).flatmap(lambda call: st.tuples(st.integers(0, 40 * MINUTE_MS), st.just(call))),
    max_size=25,
)


def play(place, history, *, every_ms=None, start=NOON):
    at = start
    place.advance(start)
    for gap, call in history:
        if every_ms:
            for between in range(at, at + gap, every_ms):
                place.advance(between)
        at += gap
        match call:
            case ("count", ins, outs, door):
                place.count(at, ins, outs, door)
            case ("observe", people, error):
                place.observe(at, people, error, counter="camera")
            case ("recount", people):
                place.recount(at, people)
            case ("open", flag):
                place.is_open(at, flag)
    return at


@settings(max_examples=60, deadline=None)
@given(calls)
def test_whatever_happens_the_answer_is_a_number_of_people(history):
    place = store()
    at = play(place, history)
    answer = place.estimate(at + 60 * MINUTE_MS)
    assert 0 <= answer.low <= answer.mean <= answer.high < 10_000
    assert 0 <= answer.p_over <= 1
    assert answer.rate == answer.mean / 100
    assert len(place.dump()) < 20_000


@settings(max_examples=40, deadline=None)
@given(calls)
def test_advancing_every_seven_seconds_changes_nothing(history):
    lazy, eager = store(), store()
    at = play(lazy, history)
    play(eager, history, every_ms=7_000)
    lazy.advance(at)
    eager.advance(at)
    assert lazy.dump() == eager.dump()


@settings(max_examples=40, deadline=None)
@given(calls, calls)
def test_a_place_from_its_bytes_goes_on_as_if_nothing_had_happened(before, after):
    whole = store()
    at = play(whole, before)
    whole.advance(at)
    again = Place.load(whole.dump())
    assert again.dump() == whole.dump()
    assert again.estimate(at) == whole.estimate(at)
    play(whole, after, start=at)
    play(again, after, start=at)
    assert again.dump() == whole.dump()


@settings(max_examples=40, deadline=None)
@given(calls, st.integers(0, 20), st.integers(1, 20))
def test_more_people_in_never_lowers_the_mean(history, ins, more):
    fewer, rather_more = store(), store()
    at = play(fewer, history)
    play(rather_more, history)
    fewer.count(at, ins, 0, "a")
    rather_more.count(at, ins + more, 0, "a")
    assert rather_more.estimate(at).mean > fewer.estimate(at).mean
