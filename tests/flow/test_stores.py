"""The stores of a partition: what their sensors tell, what is raised, and that a checkpoint changes none of it."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_service import outputs
from geo_service.catalogue.documents import Capacity, Fence, Sensor, ZoneCapacity
from geo_service.catalogue.site import encode_document
from geo_service.flow.entries import Readings, Recount, Refusal, Refusals, Tick
from sensors.readings import Reading

from .one_store import DAY, HOUR, MINUTE, POINT, SECOND, T0, Town, alerts, of, store

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


# --- whatever comes --------------------------------------------------------------------------------------------------


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
