"""What pacing of one store learns: who comes, for how long, in what groups, and how far to trust it."""

import msgspec
import numpy as np
import pytest

from occupancy.pacing import MINUTE_MS, Pacer
from occupancy.pacing_parties import COUNT_MINUTES, parties

from .paced_store import T0, WALK_S, pacer


def test_conversion_is_learned_without_taking_those_on_their_way_for_refusals():
    made = pacer(20, capacity=1000)
    for number in range(300):
        made.sent(T0, f"o{number}", WALK_S)
    assert made.verdict(T0 + MINUTE_MS, WALK_S).evidence.conversion == pytest.approx(0.2, abs=0.03)
    for number in range(0, 300, 2):
        made.came(T0 + (6 + number % 9) * MINUTE_MS, f"o{number}")
    assert made.verdict(T0 + 40 * MINUTE_MS, WALK_S).evidence.conversion == pytest.approx(0.45, abs=0.08)


def test_closed_visits_and_counted_arrivals_teach_how_long_people_stay():
    made = pacer(0)
    for minute in range(12 * 60):
        at_ms = T0 + minute * MINUTE_MS
        made.counted(at_ms, 1, 1 if minute >= 50 else 0)
        made.occupied(at_ms, min(minute + 1, 50), 1.0, "live")
        if minute >= 50 and minute % 3 == 0:
            made.visited(at_ms, at_ms - 50 * MINUTE_MS, 50.0)
    made.occupied(T0 + 12 * 60 * MINUTE_MS, 0, 0.1, "live")
    made.advance(T0 + 24 * 60 * MINUTE_MS)
    assert made._stays.mean_minutes == pytest.approx(50, rel=0.25)


def test_z_rises_after_days_with_too_much_overshoot_and_falls_after_days_with_less():
    zs = {}
    for minutes in (0, 5, 30):
        made = pacer(10)
        for day in range(6):
            noon = T0 + day * 86_400_000
            made.occupied(noon, 100, 1.0, "live")
            for number in range(60):
                made.sent(noon, f"{day}-{number}", WALK_S)
                made.came(noon + 5 * MINUTE_MS, f"{day}-{number}")
            made.occupied(noon + 5 * MINUTE_MS, 118, 1.0, "live")
            made.verdict(noon + 5 * MINUTE_MS, WALK_S)
            if minutes:
                made.occupied(noon + 6 * MINUTE_MS, 135, 1.0, "live")
            made.occupied(noon + (6 + minutes) * MINUTE_MS, 60, 1.0, "live")
        zs[minutes] = made.target.z
    assert zs[0] < zs[5] < zs[30]
    assert zs[5] == pytest.approx(2.0, abs=0.3)


def test_who_was_invited_and_comes_while_the_sensors_are_silent_counts_as_overshoot():
    made = pacer(80)
    for number in range(100):
        made.sent(T0, f"o{number}", WALK_S)
        if number < 60:
            made.came(T0 + 5 * MINUTE_MS, f"o{number}")
    made.occupied(T0 + 5 * MINUTE_MS, 135, 9.0, "blind")
    made.occupied(T0 + 15 * MINUTE_MS, 60, 4.0, "live")
    assert made.target.today == pytest.approx(10, abs=0.5)


def test_the_invited_whom_silent_doors_did_not_count_are_reckoned_with_until_the_estimate_is_sure_again():
    made = pacer(60)
    for number in range(40):
        made.sent(T0, f"o{number}", WALK_S)
    made.occupied(T0 + MINUTE_MS, 60, 40.0, "degraded")
    for number in range(20):
        made.came(T0 + 2 * MINUTE_MS, f"o{number}")
    made.occupied(T0 + 3 * MINUTE_MS, 60, 40.0, "degraded")
    assert made.verdict(T0 + 3 * MINUTE_MS, WALK_S).evidence.now == pytest.approx(80, abs=0.1)
    assert made.stands_at(60, 40.0, "degraded")
    made.occupied(T0 + 4 * MINUTE_MS, 60, 10.0, "live")
    assert made.verdict(T0 + 4 * MINUTE_MS, WALK_S).evidence.now == pytest.approx(65, abs=0.3)


def test_the_invited_whom_the_doors_counted_are_not_counted_twice_though_a_sensor_is_silent():
    made = pacer(60)
    for number in range(40):
        made.sent(T0, f"o{number}", WALK_S)
    for minute in range(1, 21):
        made.came(T0 + minute * MINUTE_MS, f"o{minute}")
        made.counted(T0 + minute * MINUTE_MS, 3, 3)
        made.occupied(T0 + minute * MINUTE_MS, 60, 40.0, "degraded")
    assert made.verdict(T0 + 21 * MINUTE_MS, WALK_S).evidence.now == 60


def test_how_large_groups_are_is_learned_from_the_doors_and_widens_what_is_expected():
    sigmas = {}
    for size in (1, 4):
        made = Pacer(1000)
        random = np.random.default_rng(5)
        for day in range(4):
            for minute in range(600):
                at_ms = T0 + day * 86_400_000 + minute * MINUTE_MS
                made.counted(at_ms, size * random.poisson(8 / size), size * random.poisson(8 / size))
                made.occupied(at_ms, 200, 1.0, "live")
        made.advance(T0 + 4 * 86_400_000 + 60 * MINUTE_MS)
        made.occupied(made._state.now_ms, 200, 1.0, "live")
        factors = made._organic.groups, made._stays.parties
        assert factors == (pytest.approx(min(size, 3), rel=0.15), pytest.approx(min(size, 3), rel=0.15))
        sigmas[size] = made.outlook(made._state.now_ms)[2][2]
    assert sigmas[4] > 1.2 * sigmas[1]


def test_counts_before_and_after_a_silence_are_not_compared():
    parties_ = parties(1.5)
    for _ in range(3 * COUNT_MINUTES):
        parties_.minute(2.0)
    parties_.unheard()
    for _ in range(3 * COUNT_MINUTES):
        parties_.minute(50.0)
    assert parties_.squares == 0
    assert parties_.people == pytest.approx(2 * (2 + 50) * COUNT_MINUTES)


def test_a_change_within_a_minute_is_taken_in_as_a_forecast_anew_would():
    made, other = pacer(50), pacer(50)
    for one in (made, other):
        for minute in range(30 * 60):
            one.counted(T0 + minute * MINUTE_MS, 2, 2)
            one.occupied(T0 + minute * MINUTE_MS, 50, 4.0, "live")
        one.sent(T0 + 30 * 60 * MINUTE_MS, "o", WALK_S)
    at_ms = T0 + 30 * 60 * MINUTE_MS + 1000
    made.verdict(at_ms, WALK_S)
    for one in (made, other):
        one.occupied(at_ms + 1000, 71, 9.0, "degraded")
    assert made._state.forecast is not None
    for one, fresh in zip(made.outlook(at_ms + 1000), other.outlook(at_ms + 1000), strict=True):
        assert one == pytest.approx(fresh)


def test_a_dump_from_before_groups_were_learned_is_read():
    made = pacer(50)
    made.verdict(T0, WALK_S)
    _, assumed, state, stays, organic, invited = msgspec.msgpack.decode(made.dump())
    for known, news in ((state["forecast"], ("kept", "variance", "parties", "at_rest")), (stays, ("parties",))):
        for name in news:
            del known[name]
    for name in ("groups", "newest"):
        del organic[name]
    old = Pacer.load(msgspec.msgpack.encode((1, assumed, state, stays, organic, invited)))
    assert old.verdict(T0, WALK_S) == pacer(50).verdict(T0, WALK_S)


def test_overshoot_that_nobody_was_invited_to_is_not_held_against_pacing():
    made = pacer(150)
    made.occupied(T0 + 60 * MINUTE_MS, 150, 1.0, "live")
    assert made.target.today == pytest.approx(0, abs=1e-9)
