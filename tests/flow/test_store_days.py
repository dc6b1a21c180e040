"""What is kept of a store's days, and told of the hours and weeks to come."""

import json
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from geo_service import outputs
from geo_service.catalogue.documents import Capacity, Fence, Sensor
from geo_service.catalogue.site import encode_document
from geo_service.flow.diary import day_name, smoothed_name, unpack_day, unpack_smoothed
from geo_service.flow.entries import Recount, Tick
from geo_service.flow.outlook import outlook_name, week_name
from sensors.instants import millis

from .one_store import DAY, HOUR, MINUTE, POINT, STEP_MS, T0, Town, of, store


def day(town: Town, on: str = "2026-06-01", zone: str = "") -> tuple[Any, Any]:
    return unpack_day(town.values[day_name("s1", zone, on)])


def test_every_five_minutes_are_kept_as_they_were_said_with_the_counts_within():
    town = Town()
    town.read(T0 + MINUTE, ins=4)
    town.read(T0 + 6 * MINUTE, ins=3, outs=1)
    town.pass_time(T0 + 15 * MINUTE)
    steps, recounts = day(town)
    assert [(step.starts_ms - T0, step.ins, step.outs) for step in steps] == [
        (0, 4, 0),
        (STEP_MS, 3, 1),
        (2 * STEP_MS, 0, 0),
    ]
    assert [round(step.mean) for step in steps] == [4, 6, 7]
    assert recounts == []


def test_a_count_by_eye_is_kept_with_who_and_what_was_shown():
    town = Town()
    town.read(T0 + MINUTE, ins=9)
    town.pass_time(T0 + 2 * MINUTE)
    town.feed(Recount("s1", 5, by="ada"))
    (counted,) = day(town)[1]
    assert (counted.at_ms, counted.people, counted.by) == (T0 + 2 * MINUTE, 5, "ada")
    assert counted.mean == pytest.approx(9, abs=1)
    town.pass_time(T0 + 10 * MINUTE)
    assert day(town)[0][0].ins == 9


def test_a_count_of_a_zone_that_nobody_named_is_rejected():
    shelf = Fence(id="s1.shelf", geometry=POINT, radius_m=20, store="s1", role="zone")
    town = Town(store(), Sensor(id="door", store="s1", lines={"in": {"from_zone": "lobby"}}), fences=(shelf,))
    for zone in ("lobby", "shelf", "s1.shelf"):
        assert of(outputs.Occupancy, town.feed(Recount("s1", 2, zone=zone)))[0].zone == zone
    (refused,) = town.feed(Recount("s1", 2, zone="attic"))
    assert "no zone 'attic'" in refused.reason


def test_the_days_change_at_the_reset_hour_and_the_evening_smooths_the_day():
    hours = {day: [["09:00", "21:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
    town = Town(store(hours=hours, timezone="Europe/Helsinki"))
    for hour in range(9):
        town.read(T0 + hour * HOUR + 10 * MINUTE, ins=8, outs=0)
        town.read(T0 + hour * HOUR + 50 * MINUTE, ins=0, outs=7)
    town.pass_time(T0 + DAY)
    steps, _ = day(town)
    reset_ms = millis(datetime(2026, 6, 2, 4, tzinfo=ZoneInfo("Europe/Helsinki")))
    assert (steps[-1].starts_ms + STEP_MS, sum(step.ins for step in steps)) == (reset_ms, 72)
    assert day(town, "2026-06-02")[0][0].starts_ms == reset_ms
    smoothed = unpack_smoothed(town.values[smoothed_name("s1", "", "2026-06-01")])
    assert smoothed.mean[-1] < 1
    last_counted = [step for step in steps if step.outs][-1]
    assert last_counted.mean > smoothed.mean[(last_counted.starts_ms - smoothed.starts_ms) // STEP_MS] + 3


def test_a_moved_reset_hour_overwrites_no_day():
    town = Town(store(reset_hour=7))
    town.read(T0 + MINUTE, ins=3)
    town.pass_time(T0 + HOUR)
    town.change(("store", "s1", encode_document(store(reset_hour=12))))
    town.read(T0 + 5 * HOUR, ins=2)
    town.pass_time(T0 + 3 * DAY)
    everything = [step for name in town.values if name.startswith("day:") for step in unpack_day(town.values[name])[0]]
    starts = sorted(step.starts_ms for step in everything)
    assert starts == [T0 + n * STEP_MS for n in range(len(starts))]
    assert len(starts) == 3 * DAY // STEP_MS
    assert sum(step.ins for step in everything) == 5


def test_days_are_kept_for_thirteen_months_and_no_longer():
    town = Town()
    town.read(T0 + MINUTE, ins=1)
    for days in range(0, 410, 2):
        town.now_ms = T0 + days * DAY
        town.feed(Tick())
    kept = sorted(name.rpartition("/")[2] for name in town.values if name.startswith("day:"))
    assert len(kept) == 401
    assert kept[0] > "2026-06-01"
    assert not [name for name in town.values if name.startswith("smoothed:") and name.rpartition("/")[2] < kept[0]]


def test_a_removed_store_leaves_no_value_behind():
    town = Town(store(), Sensor(id="door", store="s1", lines={"door": {"zone": "hall"}}))
    town.read(T0 + MINUTE, ins=9)
    town.pass_time(T0 + DAY)
    town.change(("sensor", "door", None), ("store", "s1", None))
    town.pass_time(T0 + 2 * DAY)
    assert town.values == {}
    assert town.partition.next_due_ms() is None


def test_the_next_hours_and_the_typical_week_are_told_once_they_are_known():
    hours = {day: [["09:00", "21:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
    town = Town(store(hours=hours, capacity=Capacity(comfort=80, legal=100)))
    town.read(T0 + HOUR + MINUTE, ins=0)
    town.pass_time(T0 + HOUR + 6 * MINUTE)
    assert json.loads(town.values[outlook_name("s1", "")])["hours"] == []
    for days in range(9):
        for hour in range(1, 13):
            at_ms = T0 + days * DAY + hour * HOUR
            town.read(at_ms + 10 * MINUTE, ins=10 + hour)
            town.read(at_ms + 40 * MINUTE, outs=10 + hour)
    outlook = json.loads(town.values[outlook_name("s1", "")])
    assert [len(outlook["hours"]), outlook["time"][:10]] == [4, "2026-06-09"]
    for hour in outlook["hours"]:
        assert hour["low"] <= hour["mean"] <= hour["high"]
    week = json.loads(town.values[week_name("s1", "")])
    assert len(week) > 100
    assert week[0]["time"] >= "2026-06-08T00:00:00Z"


def test_nobody_is_expected_after_an_early_close_that_only_the_calendar_knows():
    hours = {day: [["09:00", "21:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
    capacity = Capacity(comfort=80, legal=100)
    town = Town(store(hours=hours, capacity=capacity))
    for days in range(9):
        for hour in range(1, 13 if days < 8 else 3):
            at_ms = T0 + days * DAY + hour * HOUR
            town.read(at_ms + 10 * MINUTE, ins=10 + hour)
            town.read(at_ms + 40 * MINUTE, outs=10 + hour)
    usual = json.loads(town.values[outlook_name("s1", "")])["hours"]
    early = hours | {"exceptions": {"2026-06-09": [["09:00", "13:00"]]}}
    town.change(("store", "s1", encode_document(store(hours=early, capacity=capacity))))
    town.pass_time(town.now_ms + 10 * MINUTE)
    outlook = json.loads(town.values[outlook_name("s1", "")])["hours"]
    assert len(usual) == len(outlook) == 4
    assert usual[-1]["mean"] > 1
    assert outlook[-1]["mean"] < 0.5


def test_a_closed_date_empties_the_store_and_teaches_no_weekday():
    closed = {"mon": [["06:00", "22:00"]], "exceptions": {"2026-06-01/2026-06-08": []}}
    town = Town(store(hours=closed))
    assert of(outputs.Occupancy, town.said)[-1].status == "live"
    assert of(outputs.Occupancy, town.said)[-1].mean < 1
    town.pass_time(T0 + 15 * DAY)
    assert [said.time.date().isoformat() for said in of(outputs.Occupancy, town.said) if said.status == "blind"][
        :1
    ] == ["2026-06-15"]
