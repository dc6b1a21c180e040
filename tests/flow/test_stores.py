"""The stores of a partition: what is raised, told beside the documents, and kept of the days."""

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_service import outputs
from geo_service.catalogue.documents import Capacity, Fence, Sensor, Store, ZoneCapacity
from geo_service.catalogue.site import Site, encode_document
from geo_service.flow.diary import day_name, smoothed_name, unpack_day, unpack_smoothed
from geo_service.flow.entries import Change, Changes, Entry, EntryId, Readings, Recount, Refusal, Refusals, Tick
from geo_service.flow.ledger import MemoryLedger
from geo_service.flow.outlook import outlook_name, week_name
from geo_service.flow.partition import Partition, Rules
from sensors.instants import millis
from sensors.readings import Reading

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
DAY = 24 * HOUR
T0 = millis(datetime(2026, 6, 1, 8, tzinfo=UTC))  # a Monday
STEP_MS = 5 * MINUTE
POINT = {"type": "Point", "coordinates": [25.0, 60.0]}


def store(**fields: Any) -> Store:
    fields = {"capacity": Capacity(comfort=10, legal=20)} | fields
    return Store(id="s1", name="One", lat=60, lon=25, **fields)


class Town:
    """One partition with one store, and the values that its steps left behind."""

    def __init__(self, store_: Store | None = None, *sensors: Sensor, fences: tuple[Fence, ...] = ()) -> None:
        self.partition = Partition(0, 1, MemoryLedger(), Rules())
        self.values: dict[str, bytes] = {}
        self.said: list[outputs.AnyOutput] = []
        self.now_ms, self.seq = T0, 0
        site = Site(
            store={"s1": store_ or store()},
            fence={fence.id: fence for fence in fences},
            sensor={sensor.id: sensor for sensor in sensors or (Sensor(id="door", store="s1"),)},
        )
        self.change(*[(kind, key, encode_document(document)) for kind, key, document in site.documents()])

    def change(self, *changes: tuple[str, str, bytes | None]) -> list[outputs.AnyOutput]:
        return self.feed(Changes([Change(*change) for change in changes]))

    def feed(self, body: Any) -> list[outputs.AnyOutput]:
        # A tick at which nothing happens changes nothing, so it must not change an id either.
        self.seq += not isinstance(body, Tick)
        step = self.partition.advance(Entry(EntryId(self.now_ms, 0 if isinstance(body, Tick) else self.seq), body))
        for name, value in step.values.items():
            if value is None:
                self.values.pop(name, None)
            else:
                self.values[name] = value
        self.said += step.outputs
        return step.outputs

    def read(self, at_ms: int, **reading: Any) -> list[outputs.AnyOutput]:
        """A reading, and what is said within a second of it."""
        self.pass_time(at_ms)
        said = self.feed(Readings([Reading(**({"sensor": "door", "kind": "delta"} | reading))]))
        return said + self.pass_time(at_ms + SECOND)

    def pass_time(self, until_ms: int) -> list[outputs.AnyOutput]:
        """Tick at whole seconds when something is due, as a replay does."""
        said = []
        while (due_ms := self.partition.next_due_ms()) is not None and (
            at_ms := -(-due_ms // SECOND) * SECOND
        ) <= until_ms:
            self.now_ms = max(at_ms, self.now_ms)
            said += self.feed(Tick())
        self.now_ms = max(until_ms, self.now_ms)
        return said

    def status(self, sensor: str = "door") -> dict[str, Any]:
        return json.loads(self.values[f"status:{sensor}"])

    def reload(self) -> None:
        self.partition = Partition.load(self.partition.dump(), 0, 1, MemoryLedger(), Rules())


def of(kind: type, said: list[outputs.AnyOutput]) -> list[Any]:
    return [output for output in said if isinstance(output, kind)]


def alerts(said: list[outputs.AnyOutput]) -> list[tuple[str, str]]:
    return [(alert.alert, alert.state) for alert in of(outputs.Alert, said)]


# --- sensors -----------------------------------------------------------------------------------------------------------


def test_a_new_sensor_has_a_status_before_it_ever_spoke():
    assert Town().status() == {
        "state": "live",
        "since": "2026-06-01T08:00:00Z",
        "details": [],
        "last_message": None,
        "day": "2026-06-01",
        "in_today": 0,
        "out_today": 0,
        "battery": None,
        "tamper": None,
    }


def test_a_status_follows_its_sensor_but_not_more_often_than_every_ten_seconds():
    town = Town()
    town.pass_time(T0 + MINUTE)
    told = []
    for second in range(30):
        town.values.pop("status:door", None)
        town.read(T0 + MINUTE + second * SECOND, ins=1, battery=0.8, tamper=False)
        if "status:door" in town.values:
            told.append((second, town.status()["in_today"]))
    assert told == [(0, 1), (9, 10), (19, 20), (29, 30)]
    town.pass_time(T0 + MINUTE + 30 * SECOND)
    last = town.status()
    assert (last["in_today"], last["last_message"], last["battery"], last["tamper"]) == (
        30,
        "2026-06-01T08:01:29Z",
        0.8,
        False,
    )


def test_a_trouble_is_in_the_status_at_once_with_what_to_do():
    town = Town()
    town.read(T0 + SECOND, ins=1)
    town.read(T0 + 2 * SECOND, ins=1, battery=0.1)
    assert town.status()["details"] == ["its battery is at 10 %; replace it"]
    town.feed(Refusals([Refusal("t", "no figures", "door", "s1")]))
    refused = town.status()
    assert refused["state"] == "rejected"
    assert refused["details"][0].startswith("its messages are refused (no figures)")
    assert len(refused["details"]) == 2


def test_counts_of_the_day_begin_anew_at_the_stores_reset_hour():
    town = Town(store(reset_hour=9))
    town.read(T0 + 30 * MINUTE, ins=5)
    town.pass_time(T0 + 31 * MINUTE)
    assert (town.status()["day"], town.status()["in_today"]) == ("2026-05-31", 5)
    town.read(T0 + 61 * MINUTE, ins=1)
    assert (town.status()["day"], town.status()["in_today"]) == ("2026-06-01", 1)
    assert of(outputs.Occupancy, town.said)[-1].in_total == 1


def test_a_removed_sensor_leaves_no_status():
    town = Town()
    town.change(("sensor", "door", None))
    assert "status:door" not in town.values


# --- alerts ------------------------------------------------------------------------------------------------------------


def test_alerts_are_raised_once_and_cleared_once_each_under_an_id_of_its_own():
    town = Town()
    for minute, (ins, outs) in enumerate([(7, 0), (1, 0), (1, 0), (4, 0), (12, 0), (0, 4), (0, 21)]):
        town.read(T0 + minute * MINUTE + MINUTE, ins=ins, outs=outs)
    assert alerts(town.said) == [
        ("warn", "raised"),
        ("full", "raised"),
        ("legal", "raised"),
        ("warn", "cleared"),
        ("full", "cleared"),
        ("legal", "cleared"),
    ]
    said = of(outputs.Alert, town.said)
    assert len({alert.id for alert in said}) == len(said)
    legal = [alert for alert in said if alert.alert == "legal"]
    assert legal[0].since == legal[1].since == legal[0].time
    assert legal[0].detail.endswith("Operational estimate, not life-safety.")
    assert legal[0].p_over > 0.1


def test_a_store_says_itself_where_nearly_full_begins():
    town = Town(store(capacity=Capacity(comfort=10, legal=20, warn=0.5, full=0.6)))
    town.read(T0 + MINUTE, ins=5)
    assert alerts(town.said) == [("warn", "raised")]
    town.read(T0 + 2 * MINUTE, ins=1)
    assert alerts(town.said) == [("warn", "raised"), ("full", "raised")]


def test_a_store_without_a_capacity_is_never_full():
    town = Town(store(capacity=None))
    town.read(T0 + MINUTE, ins=500)
    assert alerts(town.said) == []


def test_a_zone_has_the_capacity_that_its_fence_says():
    hall = Fence(
        id="s1.hall", geometry=POINT, radius_m=20, store="s1", role="zone", capacity=ZoneCapacity(comfort=4, warn=0.7)
    )
    town = Town(store(), Sensor(id="door", store="s1", zone="hall"), fences=(hall,))
    town.read(T0 + MINUTE, ins=3)
    alert, *more = of(outputs.Alert, town.said)
    assert (alert.zone, alert.alert, more) == ("hall", "warn", [])
    assert of(outputs.Occupancy, town.said)[-1].rate == pytest.approx(0.75, abs=0.1)
    bigger = msgspec.structs.replace(hall, capacity=ZoneCapacity(comfort=30))
    town.pass_time(T0 + 2 * MINUTE)
    town.now_ms += 2 * SECOND
    said = town.change(("fence", "s1.hall", encode_document(bigger)))
    assert alerts(said) == [("warn", "cleared")]


def test_a_store_of_five_thousand_is_counted_to_the_last():
    town = Town(store(capacity=Capacity(comfort=5000, legal=6000)))
    town.read(T0 + MINUTE, ins=4700)
    town.read(T0 + 2 * MINUTE, ins=300)
    last = of(outputs.Occupancy, town.said)[-1]
    assert 4800 < last.low < last.mean < last.high < 5600
    assert ("full", "raised") in alerts(town.said)


def test_doors_that_do_not_add_up_at_night_raise_an_alert_in_the_morning():
    hours = {day: [["09:00", "21:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
    town = Town(store(hours=hours, capacity=Capacity(comfort=200, legal=400)))
    for day in range(12):
        for hour in range(10):
            at_ms = T0 + day * DAY + HOUR + hour * HOUR
            outs = 30 if day != 9 else 3
            town.read(at_ms + 10 * MINUTE, ins=30)
            town.read(at_ms + 50 * MINUTE, outs=outs)
    town.pass_time(T0 + 12 * DAY)
    (alert,) = [alert for alert in of(outputs.Alert, town.said) if alert.alert == "doors"]
    assert (alert.state, alert.time.date().isoformat()) == ("raised", "2026-06-11")
    assert "in an empty store" in alert.detail


# --- weak evidence -----------------------------------------------------------------------------------------------------


def test_movement_and_air_are_evidence_of_people_where_no_door_counts():
    town = Town(store(), Sensor(id="pir", store="s1", role="presence"), Sensor(id="air", store="s1", role="co2"))
    still = of(outputs.Occupancy, town.read(T0 + MINUTE, sensor="pir", kind="state", value=0.0))[-1]
    assert still.mean < 3
    moved = of(outputs.Occupancy, town.read(T0 + 20 * MINUTE, sensor="pir", kind="state", value=1.0))[-1]
    assert moved.mean > still.mean
    full = of(outputs.Occupancy, town.read(T0 + 40 * MINUTE, sensor="air", kind="absolute", value=1100.0))[-1]
    assert full.mean > 5
    assert full.status != "blind"


def test_a_measure_that_no_room_has_is_refused_with_its_reason():
    town = Town(store(), Sensor(id="air", store="s1", role="co2"))
    (event,) = of(outputs.Sensor, town.read(T0 + MINUTE, sensor="air", kind="absolute", value=0.0))
    assert (event.id, event.state) == ("air", "rejected")
    assert "no concentration" in event.detail


def test_a_door_contact_says_nothing_of_how_many_are_inside():
    shutter = Sensor(id="shutter", store="s1", role="presence", options={"contact": True})
    town = Town(store(), Sensor(id="zigbee", store="s1", role="presence"), shutter)
    town.read(T0 + MINUTE, sensor="zigbee", line="contact", kind="state", value=0.0)
    town.read(T0 + 2 * MINUTE, sensor="shutter", line="input:0", kind="state", value=0.0)
    town.read(T0 + 3 * MINUTE, sensor="shutter", line="occupancy", kind="state", value=1.0)
    assert {(said.status, said.mean) for said in of(outputs.Occupancy, town.said)} == {("blind", 5.0)}


# --- what is kept ------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("broken", [{"timezone": "Mars/Base"}, {"hours": {"mon": [["25:00", "26:00"]]}}])
def test_a_store_whose_clock_is_none_is_rejected_and_the_old_one_goes_on(broken):
    town = Town()
    town.read(T0 + MINUTE, ins=3)
    (refused,) = town.change(("store", "s1", encode_document(store(**broken))))
    assert (refused.topic, type(refused)) == ("store/s1", outputs.Rejected)
    assert of(outputs.Occupancy, town.read(T0 + 2 * MINUTE, ins=1))[-1].in_total == 4


moves = st.lists(
    st.tuples(
        st.sampled_from(["count", "count", "tick", "recount", "camera", "still", "moved", "refused"]),
        st.integers(1, 3_000),
        st.integers(0, 9),
    ),
    max_size=25,
)


@settings(max_examples=20)
@given(moves, st.integers(0, 25))
def test_values_and_alerts_are_the_same_from_any_checkpoint_on(history, cut):
    sensors = (
        Sensor(id="door", store="s1", lines={"door": {"zone": "hall"}}),
        Sensor(id="pir", store="s1", role="presence"),
        Sensor(id="eye", store="s1", role="camera"),
    )
    whole, cut_short = Town(store(), *sensors), Town(store(), *sensors)
    for number, (what, seconds, people) in enumerate(history):
        if number == cut:
            cut_short.reload()
        for town in (whole, cut_short):
            town.pass_time(town.now_ms + seconds * SECOND)
            if what == "tick":
                town.feed(Tick())
            elif what == "recount":
                town.feed(Recount("s1", people, by="ada"))
            elif what == "refused":
                town.feed(Refusals([Refusal("t", "why", "door", "s1")]))
            else:
                reading = {
                    "count": {"sensor": "door", "kind": "delta", "ins": people, "outs": people // 2},
                    "camera": {"sensor": "eye", "kind": "absolute", "value": float(people)},
                    "still": {"sensor": "pir", "kind": "state", "value": 0.0},
                    "moved": {"sensor": "pir", "kind": "state", "value": 1.0},
                }[what]
                town.feed(Readings([Reading(**reading)]))
    assert [outputs.encode(said) for said in cut_short.said] == [outputs.encode(said) for said in whole.said]
    assert cut_short.values == whole.values
    assert cut_short.partition.dump() == whole.partition.dump()
