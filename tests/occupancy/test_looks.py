"""Whoever looks at the inside: counts by eye, cameras, carbon dioxide, movement."""

import pytest

from occupancy.place import Place
from occupancy.sources import MINUTE_MS
from occupancy.weak import from_co2, from_stillness

NOON = 1_750_032_000_000 + 8 * 3_600_000  # a Monday in June 2025, 08:00 UTC


def place_with_a_door(people=40, minutes=20):
    place = Place(100, 150)
    place.expect(NOON, doors=["door"])
    for minute in range(minutes):
        place.count(NOON + minute * MINUTE_MS, people // minutes, 0, "door")
    return place, NOON + (minutes - 1) * MINUTE_MS


def test_a_count_by_eye_is_kept_with_who_and_when_and_what_was_shown_before():
    place, at = place_with_a_door()
    shown = place.estimate(at)
    place.recount(at, 33, by="ann")
    (kept,) = place.recounts
    assert (kept.at_ms, kept.people, kept.by) == (at, 33, "ann")
    assert (kept.mean, kept.low, kept.high) == pytest.approx((shown.mean, shown.low, shown.high))
    assert place.estimate(at).in_total == shown.in_total == 40
    assert Place.load(place.dump()).recounts == [kept]


def test_the_last_twenty_counts_by_eye_are_kept():
    place, at = place_with_a_door()
    for minute in range(30):
        place.recount(at + minute * MINUTE_MS, minute)
    assert [kept.people for kept in place.recounts] == list(range(10, 30))


def test_bad_air_moves_the_estimate_a_little_and_a_count_by_eye_much_more():
    place, at = place_with_a_door()
    by_air, by_eye = Place.load(place.dump()), Place.load(place.dump())
    by_air.hint(at, *from_co2(1200.0, 100), source="air")
    by_eye.recount(at, from_co2(1200.0, 100).people)
    before = place.estimate(at).mean
    assert before < by_air.estimate(at).mean < before + 20 < by_eye.estimate(at).mean


def test_the_same_air_again_and_again_is_not_new_evidence():
    once, at = place_with_a_door()
    often = Place.load(once.dump())
    for place, every_s in ((once, 900), (often, 10)):
        for second in range(0, 900, 10):
            place.heard(at + second * 1000, "door")
            if second % every_s == 0:
                place.hint(at + second * 1000, 90.0, 45.0, source="air")
    later = at + 890_000
    assert 0 < often.estimate(later).mean - once.estimate(later).mean < 2


def test_air_keeps_a_place_whose_door_is_silent_from_being_blind():
    place, at = place_with_a_door()
    later = at + 30 * MINUTE_MS
    assert place.estimate(later).status == "blind"
    place.hint(later, *from_co2(700.0, 100), source="air")
    assert place.estimate(later).status == "degraded"
    assert place.estimate(later + 16 * MINUTE_MS).status == "blind"


def test_movement_says_that_somebody_is_there_and_stillness_that_few_are():
    place = Place(100, 150)
    place.advance(NOON)
    place.recount(NOON, 0)
    assert place.estimate(NOON).mean < 1
    place.moved(NOON, source="pir")
    somebody = place.estimate(NOON)
    assert somebody.mean > 1
    place.hint(NOON + 60 * MINUTE_MS, *from_stillness(100), source="pir")
    assert place.estimate(NOON + 60 * MINUTE_MS).mean < 40


def test_movement_in_a_store_that_is_thought_empty_raises_it_though_it_was_certain():
    place = Place(100, 150)
    place.count(NOON, 0, 0, "door")
    assert place.estimate(NOON).mean == 0
    place.moved(NOON, source="pir")
    place.moved(NOON + 60 * MINUTE_MS, source="pir")
    assert place.estimate(NOON + 60 * MINUTE_MS).mean > 0.001


@pytest.mark.parametrize("people", [float("nan"), float("inf"), -1.0])
def test_a_hint_or_a_count_by_eye_that_is_no_number_of_people_is_refused_and_changes_nothing(people):
    place, at = place_with_a_door()
    before = place.dump()
    with pytest.raises(ValueError, match="not a number of people"):
        place.hint(at, people, 5.0, source="air")
    with pytest.raises(ValueError, match="not a number of people"):
        place.recount(at, people)
    with pytest.raises(ValueError, match="not a standard error"):
        place.hint(at, 5.0, float("nan"), source="air")
    assert place.dump() == before
