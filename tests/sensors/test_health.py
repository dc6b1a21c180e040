"""Sensor health: one event when a trouble begins, one when it ends."""

from bisect import bisect_right

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensors.config import SensorConfig
from sensors.counters import Counters
from sensors.errors import ReadingError
from sensors.health import HealthEvent, HealthWatch
from sensors.readings import Reading

SECOND = 1_000
MINUTE = 60_000
HOUR = 60 * MINUTE
START = 1_785_492_000_000


class Open:
    """Open from each first to each second instant, milliseconds after START."""

    def __init__(self, *spans):
        self.edges = [START + edge for span in spans for edge in span]

    def is_open(self, at_ms):
        return bisect_right(self.edges, at_ms) % 2 == 1

    def next_change(self, at_ms):
        later = [edge for edge in self.edges if edge > at_ms]
        return min([*later, at_ms + 9 * 24 * HOUR])


class Shop:
    """Sensors of one store, their counters and their watch."""

    def __init__(self, *configs, hours=None, heartbeat_s=None):
        self.watch = HealthWatch()
        self.counters = {config.id: Counters(config) for config in configs}
        for config in configs:
            self.watch.configure(config, "store-1", START, hours=hours, heartbeat_s=heartbeat_s)

    def send(self, at_ms, sensor="a", kind="delta", ins=0, **fields):
        reading = Reading(sensor=sensor, kind=kind, ins=ins, received_ms=at_ms, **fields)
        return self.watch.heard(sensor, [reading], self.counters[sensor].take(reading), at_ms)


def door(name="a", **fields):
    return SensorConfig(id=name, **fields)


def states(events):
    return [event.state for event in events]


def test_a_sensor_is_silent_after_fifteen_minutes_and_live_at_its_next_word():
    shop = Shop(door())
    assert shop.send(START + MINUTE) == []
    assert shop.watch.tick(START + 16 * MINUTE - 1) == []
    assert shop.watch.tick(START + 16 * MINUTE) == [
        HealthEvent("a", "silent", START + 16 * MINUTE, "no message for 15 min; check its power and network")
    ]
    assert shop.watch.tick(START + 3 * HOUR) == []
    assert shop.send(START + 3 * HOUR) == [HealthEvent("a", "live", START + 3 * HOUR, "it is heard again, after 2 h")]


def test_a_sensor_that_was_never_heard_is_silent_too():
    assert Shop(door()).watch.tick(START + HOUR)[0].detail == "never heard in 15 min; check its power and network"


def test_silence_counts_only_while_the_store_is_open():
    shop = Shop(door(), hours=Open((0, HOUR), (10 * HOUR, 12 * HOUR)))
    shop.send(START + 50 * MINUTE)
    assert shop.watch.tick(START + 10 * HOUR + 15 * MINUTE - 1) == []
    [event] = shop.watch.tick(START + 11 * HOUR)
    assert (event.state, event.since_ms) == ("silent", START + 10 * HOUR + 15 * MINUTE)


def test_a_store_that_does_not_open_again_has_no_silent_sensor():
    shop = Shop(door(), hours=Open((0, HOUR)))
    shop.send(START + 50 * MINUTE)
    assert shop.watch.tick(START + 900 * 24 * HOUR) == []
    assert shop.watch.next_due_ms() is None


def test_two_missed_heartbeats_are_silence_at_any_hour():
    shop = Shop(door(), hours=Open())
    for beat in range(4):
        shop.send(START + beat * 30 * SECOND, kind="heartbeat")
    assert shop.watch.tick(START + 90 * SECOND + 62 * SECOND) == []
    [event] = shop.watch.tick(START + 90 * SECOND + 63 * SECOND)
    assert event.state == "silent"


def test_heartbeats_at_odd_moments_are_not_a_rhythm():
    shop = Shop(door())
    at_ms = START
    for pause in (30, 700, 31, 800, 29, 400, 90):
        at_ms += pause * SECOND
        assert shop.send(at_ms, kind="heartbeat") == []
        assert shop.send(at_ms, kind="heartbeat") == [], "twice in one message"
    assert shop.watch.tick(at_ms + 15 * MINUTE - 1) == []
    assert states(shop.watch.tick(at_ms + 15 * MINUTE)) == ["silent"]


def test_an_outage_and_a_lost_heartbeat_teach_no_other_rhythm():
    shop = Shop(door())
    at_ms = START
    for pause in (60, 60, 60, 60, 120, 60, 3 * 3600, 60):
        at_ms += pause * SECOND
        shop.send(at_ms, kind="heartbeat")
    assert states(shop.watch.tick(at_ms + 126 * SECOND)) == ["silent"]


def test_a_rare_heartbeat_replaces_the_fifteen_minutes():
    shop = Shop(door(), heartbeat_s=12.5 * 3600)
    shop.send(START)
    assert shop.watch.tick(START + 26 * HOUR) == []
    assert states(shop.watch.tick(START + 27 * HOUR)) == ["silent"]


def test_the_owner_may_say_how_often_a_sensor_speaks():
    shop = Shop(door(options={"heartbeat_s": 60}), heartbeat_s=3_600)
    shop.send(START)
    assert states(shop.watch.tick(START + 3 * MINUTE)) == ["silent"]


def test_refusals_begin_with_the_first_and_end_with_the_first_good_message():
    shop = Shop(door())
    [event] = shop.watch.refused("a", "is not JSON", START + SECOND)
    assert (event.state, event.detail) == (
        "rejected", "its messages are refused (is not JSON); check its format and topic",
    )  # fmt: skip
    assert shop.watch.refused("a", "is not JSON", START + 2 * SECOND) == []
    assert states(shop.send(START + 3 * SECOND)) == ["live"]


def test_a_sensor_that_is_refused_on_and_off_stays_rejected_until_it_is_good_for_a_while():
    shop = Shop(door())
    events = []
    for second in range(0, 600, 2):
        events += shop.watch.refused("a", "is not JSON", START + second * SECOND)
        events += shop.send(START + (second + 1) * SECOND)
    assert states(events) == ["rejected", "live", "rejected", "live", "rejected"]
    assert shop.send(START + 15 * MINUTE) == []
    assert states(shop.send(START + 21 * MINUTE)) == ["live"]


def test_a_clock_that_runs_ahead_is_skewed_at_once():
    shop = Shop(door())
    [event] = shop.send(START, to_ms=START + 2 * HOUR)
    assert event.state == "skewed"
    assert event.detail == "its clock is 2 h ahead; its counts still count; set its time server and timezone"
    assert states(shop.send(START + MINUTE, to_ms=START + MINUTE)) == ["live"]


def test_a_frozen_clock_is_skewed_once_it_stays_behind():
    shop = Shop(door())
    events = [event for minute in range(40) for event in shop.send(START + minute * MINUTE, to_ms=START)]
    assert states(events) == ["skewed"]
    assert events[0].since_ms == START + 26 * MINUTE


def test_a_backlog_is_not_a_wrong_clock():
    shop = Shop(door())
    for minute in range(200):
        assert shop.send(START + minute, to_ms=START - 2 * HOUR + minute * 36 * SECOND) == []


def test_retained_messages_say_nothing_about_the_clock():
    assert Shop(door()).send(START, kind="cumulative", to_ms=START + 5 * HOUR, retained=True) == []


def test_a_door_that_sees_nobody_while_its_neighbour_counts_is_stuck():
    shop = Shop(door("a"), door("b"))
    events = []
    for minute in range(40):
        events += shop.send(START + minute * MINUTE, "a", ins=20)
        events += shop.send(START + minute * MINUTE, "b", kind="heartbeat")
    [event] = events
    assert (event.sensor, event.state) == ("b", "stuck")
    assert "it saw nobody while its store's other doors counted" in event.detail
    assert states(shop.send(START + 40 * MINUTE, "b", ins=1)) == ["live"]


def test_a_door_that_few_people_use_is_given_longer():
    shop = Shop(door("a"), door("b"))
    for minute in range(300):
        assert shop.send(START + minute * MINUTE, "a", ins=10) == []
        assert shop.send(START + minute * MINUTE, "b", ins=1 if minute % 10 == 0 else 0) == []


def test_a_camera_whose_number_never_changes_is_stuck_and_counts_for_nobody():
    shop = Shop(door("a"), SensorConfig(id="cam", role="camera"))
    events = []
    for minute in range(200):
        events += shop.send(START + minute * MINUTE, "a", ins=10)
        events += shop.send(START + minute * MINUTE, "cam", kind="absolute", value=7.0)
    assert [(event.sensor, event.state) for event in events] == [("cam", "stuck")]


def test_an_hours_worth_of_people_at_once_does_not_make_a_neighbour_stuck():
    shop = Shop(door("a"), door("b"))
    for hour in range(12):
        at_ms = START + hour * HOUR
        for sensor, offset in (("a", 0), ("b", 20 * MINUTE)):
            window = {"from_ms": at_ms + offset - HOUR, "to_ms": at_ms + offset}
            told = shop.send(at_ms + offset, sensor, ins=300, **window)
            assert "stuck" not in states(told)
    stuck = [
        event
        for hour in (13, 14, 15)
        for event in shop.send(
            START + hour * HOUR, "a", ins=300, from_ms=START + (hour - 1) * HOUR, to_ms=START + hour * HOUR
        )
        + shop.send(START + hour * HOUR, "b")
    ]
    assert ("b", "stuck") in [(event.sensor, event.state) for event in stuck]


def test_what_others_counted_while_a_sensor_was_away_does_not_make_it_stuck():
    shop = Shop(door("a"), door("b"))
    for minute in range(20):
        shop.send(START + minute * MINUTE, "a", ins=10)
    assert states(shop.watch.tick(START + 20 * MINUTE)) == ["silent"]
    assert states(shop.send(START + 20 * MINUTE, "b", kind="heartbeat")) == ["live"]


def test_the_worst_of_several_troubles_is_the_state_that_remains():
    shop = Shop(door())
    shop.send(START, to_ms=START + HOUR)
    shop.watch.tick(START + HOUR)
    assert shop.watch.status("a", START + HOUR).state == "silent"
    assert states(shop.send(START + HOUR)) == ["skewed"]


def test_a_low_battery_and_a_touched_sensor_are_told_without_another_state():
    shop = Shop(door())
    told = [event for level in (0.5, 0.1, 0.12, 0.2, 0.9) for event in shop.send(START, battery=level)]
    assert [(event.state, event.detail) for event in told] == [
        ("live", "its battery is at 10 %; replace it"), ("live", "its battery is well again, after 0 s"),
    ]  # fmt: skip
    told = [event for tamper in (False, True, True, False) for event in shop.send(START, tamper=tamper)]
    assert [event.detail.split(";")[0] for event in told] == [
        "somebody covers, turns or opens it", "nobody touches it any more, after 0 s",
    ]  # fmt: skip


def test_status_shows_the_last_message_and_the_counts_of_the_local_day():
    shop = Shop(door(timezone="Pacific/Auckland"))
    shop.send(START, ins=3, battery=0.8)  # 22:00 in Auckland
    shop.send(START + HOUR, ins=2)
    status = shop.watch.status("a", START + HOUR)
    assert (status.heard_ms, status.ins_today, status.state, status.battery) == (START + HOUR, 5, "live", 0.8)
    assert shop.watch.status("a", START + 3 * HOUR).ins_today == 0
    shop.send(START + 3 * HOUR, ins=1)
    assert shop.watch.status("a", START + 3 * HOUR).ins_today == 1
    assert shop.watch.status("nobody", START) is None


def test_a_removed_sensor_is_forgotten():
    shop = Shop(door("a"), door("b"))
    shop.watch.remove("b")
    assert [event.sensor for event in shop.watch.tick(START + HOUR)] == ["a"]
    assert shop.watch.heard("b", [], [], START) == []
    assert shop.watch.refused("b", "is not JSON", START) == []


def test_a_timezone_that_does_not_exist_is_refused():
    with pytest.raises(ReadingError, match="unknown timezone 'Mars/Olympus'"):
        Shop(door(timezone="Mars/Olympus"))


steps = st.lists(
    st.tuples(
        st.integers(1, 40 * MINUTE),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["count", "beat", "bad", "nobody", "ahead", "stale"]),
    ),
    max_size=40,
)
openings = st.lists(st.integers(0, 12 * HOUR), unique=True, max_size=6).map(
    lambda edges: Open(*zip(*[iter(sorted(edges))] * 2, strict=False))
)


def run(plan, hours, tick_until, reload_at=-1):
    """The events of a plan, with ticks as `tick_until(watch, before, now)` makes them."""
    shop = Shop(door("a"), door("b"), hours=hours)
    events, now = [], START
    for number, (pause, sensor, what) in enumerate(plan):
        if number == reload_at:
            shop.watch = HealthWatch.load(shop.watch.dump())
            for name in ("a", "b"):
                shop.watch.configure(door(name), "store-1", now, hours=hours)
        events += tick_until(shop.watch, now, now + pause)
        now += pause
        if what == "bad":
            events += shop.watch.refused(sensor, "is not JSON", now)
        elif what == "beat":
            events += shop.send(now, sensor, kind="heartbeat")
        else:
            to_ms = {"ahead": now + HOUR, "stale": START - HOUR}.get(what, now)
            events += shop.send(now, sensor, ins=30 * (what == "count"), to_ms=to_ms)
    return events


def each_second(watch, before, now):
    return [event for at_ms in range(before - before % SECOND + SECOND, now + 1, SECOND) for event in watch.tick(at_ms)]


def when_due(watch, before, now):
    events = []
    while (due := watch.next_due_ms()) is not None and due <= now:
        told = watch.tick(max(due, before))
        assert all(event.since_ms == due for event in told), "told at the moment it is due, not a tick later"
        events += told
    return events


def never(watch, before, now):
    return []


def sorted_events(events):
    return sorted(events, key=lambda event: (event.since_ms, event.sensor))


@given(plan=steps, hours=st.none() | openings, reload_at=st.integers(-1, 40))
@settings(max_examples=40, deadline=None)
def test_ticking_only_when_due_equals_ticking_every_second(plan, hours, reload_at):
    truth = sorted_events(run(plan, hours, when_due))
    assert sorted_events(run(plan, hours, each_second)) == truth
    assert sorted_events(run(plan, hours, when_due, reload_at)) == truth


@given(plan=steps, hours=st.none() | openings)
@settings(max_examples=100, deadline=None)
def test_every_trouble_begins_and_ends_in_turn(plan, hours):
    for sensor in ("a", "b"):
        shown = [event for event in run(plan, hours, when_due) if event.sensor == sensor]
        for name, end in (
            ("rejected", "its messages can be read"),
            ("silent", "it is heard"),
            ("skewed", "its clock is r"),
        ):
            turns = [event.state == name for event in shown if event.detail.startswith(end) or begins(event, name)]
            assert turns == [number % 2 == 0 for number in range(len(turns))]


def begins(event, name):
    words = {"rejected": "its messages are refused", "silent": ("no message", "never"), "skewed": "its clock is "}
    return event.state == name and event.detail.startswith(words[name]) and "right again" not in event.detail
