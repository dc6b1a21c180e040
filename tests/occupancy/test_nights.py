"""Nights: who locks up, days of odd length, a reset hour that is moved, a door propped open, zones that close with the store."""

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from occupancy.place import Place
from occupancy.sources import MINUTE_MS

HOUR_MS = 60 * MINUTE_MS
ZONE = ZoneInfo("Europe/Helsinki")


def local(*when):
    return int(datetime(*when, tzinfo=ZONE).timestamp() * 1000)


def day(place, midnight, *, visitors=200, staff=0, late_minutes=0, locks_up=True):
    """Open from 9 to 21; visitors stay an hour; staff come at 8 and leave so long after closing."""
    place.count(midnight + 8 * HOUR_MS, staff, 0, "door")
    place.is_open(midnight + 9 * HOUR_MS, True)
    for minute in range(9 * 60, 21 * 60):
        ins = visitors // 600 + (minute % 600 < visitors % 600) if minute < 19 * 60 else 0
        outs = visitors // 600 + ((minute - 60) % 600 < visitors % 600) if 10 * 60 <= minute < 20 * 60 else 0
        place.count(midnight + minute * MINUTE_MS, ins, outs, "door")
    place.is_open(midnight + 21 * HOUR_MS, False)
    if staff and locks_up:
        place.count(midnight + 21 * HOUR_MS + late_minutes * MINUTE_MS, 0, staff, "door")


def test_staff_who_lock_up_late_every_night_are_known_after_a_while():
    place = Place(100, 150, timezone=ZONE.key)
    for date in range(6, 20):
        day(place, local(2025, 1, date), staff=8, late_minutes=90)
    midnight = local(2025, 1, 20)
    day(place, midnight, staff=8, late_minutes=90, locks_up=False)
    closes = midnight + 21 * HOUR_MS
    still = place.estimate(closes + 31 * MINUTE_MS)
    assert 4 < still.mean < 9
    place.count(closes + 90 * MINUTE_MS, 0, 8, "door")
    assert place.estimate(closes + 91 * MINUTE_MS).mean < 2.5
    assert place.estimate(midnight + 29 * HOUR_MS).mean < 0.5


@pytest.mark.parametrize(("date", "hours"), [((2025, 3, 29), 23), ((2025, 10, 25), 25), ((2025, 6, 10), 24)])
def test_a_day_lasts_as_long_as_the_local_clock_says_and_its_history_too(date, hours):
    place = Place(100, 150, timezone=ZONE.key)
    starts = local(*date, 4)
    place.advance(starts - 1)
    place.advance(starts)
    ends = next(due for due in iter(lambda: dues(place), None) if due >= starts + 20 * HOUR_MS)
    assert ends - starts == hours * HOUR_MS
    place = Place(100, 150, timezone=ZONE.key)
    for at_ms in range(starts, starts + hours * HOUR_MS, 5 * MINUTE_MS):
        place.count(at_ms, 1, 1, "door")
    place.advance(starts + hours * HOUR_MS + 31 * MINUTE_MS)
    assert place.history.starts_ms == starts
    assert len(place.history.mean) == hours * 12


def dues(place):
    due = place.next_due_ms()
    place.advance(due)
    return due


@pytest.mark.parametrize("hour", [0, 3, 5, 12, 23])
def test_the_reset_hour_may_be_moved_at_any_time_and_no_count_is_lost(hour):
    place = Place(100, 150, timezone=ZONE.key)
    noon = local(2025, 1, 6, 11, 30)
    place.count(noon, 30, 10, "door")
    place.configure(noon, comfort=100, legal=150, timezone=ZONE.key, reset_hour=hour)
    ends = local(2025, 1, 6 if hour > 11 else 7, hour)
    assert place.estimate(ends - 1).in_total == 30
    assert place.estimate(ends).in_total == 0
    assert place.estimate(ends + 3 * HOUR_MS).mean > 5  # it never closed: whoever was there may be there still


def test_a_day_of_two_days_is_kept_whole_though_its_last_hours_lie_together():
    place = Place(100, 150, timezone=ZONE.key, reset_hour=3)
    start = local(2025, 1, 7, 3)
    place.count(start, 0, 0, "door")
    place.configure(start + 23 * HOUR_MS, comfort=100, legal=150, timezone=ZONE.key, reset_hour=23)
    for hour in range(23, 44):
        place.count(start + hour * HOUR_MS - 1, 10, 10, "door")
    assert place.flows(start + 44 * HOUR_MS - 1).came >= 210
    assert place.estimate(start + 44 * HOUR_MS).in_total == 0
    assert len(place.dump()) < 20_000


def test_a_propped_door_alerts_the_morning_after_and_does_not_spoil_the_calibration():
    place = Place(100, 150, timezone=ZONE.key)
    for date in range(6, 16):
        day(place, local(2025, 1, date), visitors=400)
    place.advance(local(2025, 1, 16, 5))
    assert place.night.alert is None
    midnight = local(2025, 1, 16)
    day(place, midnight, visitors=400)
    place.count(midnight + 21 * HOUR_MS + MINUTE_MS, 180, 0, "door")  # a curtain in the draught
    place.advance(local(2025, 1, 17, 5))
    assert not place.night.taught
    assert "people in an empty store" in place.night.alert
    day(place, local(2025, 1, 17), visitors=400)
    place.advance(local(2025, 1, 18, 5))
    assert place.night.alert is None
    assert place.estimate(local(2025, 1, 18, 5)).status == "live"


def test_an_exit_that_nobody_counts_is_found_out_within_a_fortnight():
    place = Place(100, 150, timezone=ZONE.key)
    for date in range(6, 20):
        midnight = local(2025, 1, date)
        place.is_open(midnight + 9 * HOUR_MS, True)
        for minute in range(9 * 60, 21 * 60):
            place.count(midnight + minute * MINUTE_MS, 1, minute % 2, "front")
        place.is_open(midnight + 21 * HOUR_MS, False)
    answer = place.estimate(local(2025, 1, 20, 10))
    assert answer.status == "uncalibrated"
    assert answer.mean < 1


def test_zones_follow_the_people_between_them_and_sum_up_to_the_store():
    """A street door leads to the hall, an inner line from the hall to the café; both miss one in twenty, each way."""
    random = np.random.default_rng(8)
    store, hall, cafe = (Place(comfort, None, timezone=ZONE.key) for comfort in (100, 60, 40))
    errors = []
    for date in range(6, 16):
        midnight = local(2025, 1, date)
        moves = crossings(random)
        for place in (store, hall, cafe):
            place.is_open(midnight + 9 * HOUR_MS, True)
        truth = np.zeros(2)
        for minute in range(9 * 60, 21 * 60):
            at_ms = midnight + (minute + 1) * MINUTE_MS
            came, left, to_cafe, back = (int(count) for count in moves[:, minute])
            truth += (came - left - to_cafe + back, to_cafe - back)
            ins, outs, there, here = (int(random.binomial(n, 0.95)) for n in (came, left, to_cafe, back))
            store.count(at_ms, ins, outs, "street")
            hall.count(at_ms, ins, outs, "street")
            hall.count(at_ms, here, there, "arch")
            cafe.count(at_ms, there, here, "arch")
            if date > 12:
                means = [place.estimate(at_ms).mean for place in (store, hall, cafe)]
                errors.append(
                    [means[0] - truth.sum(), means[1] - truth[0], means[2] - truth[1], means[0] - means[1] - means[2]]
                )
        for place in (store, hall, cafe):
            place.is_open(midnight + 21 * HOUR_MS, False)
    rmse = np.sqrt(np.mean(np.square(errors), axis=0))
    assert rmse[0] < 6
    assert rmse[1] < 7
    assert rmse[2] < 4
    assert rmse[3] < 6


def crossings(random, visitors=400):
    """Shape (4, 1440): who comes, leaves, goes to the café and returns, each minute; everybody has left by 21:00."""
    comes = random.uniform(9 * 60, 20 * 60, visitors)
    hall, cafe = random.exponential(15, visitors), random.exponential(20, visitors)
    goes = random.random(visitors) < 0.5
    there = np.minimum(comes + hall, 20.7 * 60)
    back = np.minimum(there + cafe, 20.8 * 60)
    leaves = np.minimum(np.where(goes, back + 5, comes + hall), 20.9 * 60)
    lists = (comes, leaves, there[goes], back[goes])
    return np.stack([np.bincount(when.astype(int), minlength=1440) for when in lists])
