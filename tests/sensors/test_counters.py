"""Readings to counts, rule by rule."""

import pytest

from sensors.config import LineConfig, SensorConfig
from sensors.counters import Counted, Counters, Observed
from sensors.readings import Reading

MINUTE = 60_000
START = 1_785_492_000_000
CONFIG = SensorConfig(id="door-1")


class Door:
    """A counter that is fed with readings a minute apart, unless told otherwise."""

    def __init__(self, config=CONFIG):
        self.counters = Counters(config)
        self.now = START

    def take(self, kind="delta", ins=0, outs=0, *, after_ms=MINUTE, **fields):
        self.now += after_ms
        reading = Reading(sensor="door-1", kind=kind, ins=ins, outs=outs, received_ms=self.now, **fields)
        return self.counters.take(reading)

    def count(self, *args, **fields):
        return sum_of(self.take(*args, **fields))

    def total(self, ins, outs=0, **fields):
        return self.count("cumulative", ins, outs, **fields)


def sum_of(counted):
    return sum(one.ins for one in counted), sum(one.outs for one in counted)


def test_a_delta_counts_when_it_arrives():
    door = Door()
    assert door.take(ins=3, outs=1) == [Counted("door", START + MINUTE, 3, 1, None, None, None)]


def test_a_delta_of_nobody_counts_nothing():
    assert Door().take() == []


def test_the_same_sequence_number_again_is_the_same_message():
    door = Door()
    assert [door.count(ins=1, seq=seq) for seq in (1, 2, 2, 1, 3)] == [(1, 0), (1, 0), (0, 0), (0, 0), (1, 0)]


def test_the_same_window_again_is_the_same_message():
    door = Door()
    window = {"from_ms": START, "to_ms": START + MINUTE}
    assert [door.count(ins=2, **window), door.count(ins=2, **window)] == [(2, 0), (0, 0)]


def test_two_deltas_without_any_mark_are_two():
    door = Door()
    assert [door.count(ins=1), door.count(ins=1)] == [(1, 0), (1, 0)]


def test_a_sequence_that_starts_again_counts_when_the_uptime_fell():
    door = Door()
    assert door.count(ins=1, seq=1, uptime_s=60.0) == (1, 0)
    assert door.count(ins=1, seq=1, uptime_s=12.0) == (1, 0)


def test_a_frozen_clock_loses_nobody():
    door = Door()
    counted = [door.count(ins=1, to_ms=START) for _ in range(10)]
    assert sum(ins for ins, _ in counted) == 10


def test_a_wild_clock_changes_no_count_and_dates_no_window():
    door = Door()
    for year_ms in (0, START * 2, -START, START):
        [counted] = door.take(ins=1, to_ms=year_ms)
        assert (counted.ins, counted.backfill) == (1, None)


def test_retained_deltas_count_nothing_and_their_live_copy_still_counts():
    door = Door()
    assert door.count(ins=4, seq=9, retained=True) == (0, 0)
    assert door.count(ins=4, seq=9) == (4, 0)


def test_a_line_that_has_sent_a_trigger_counts_by_triggers_for_ever():
    door = Door()
    assert door.total(100) == (0, 0)
    assert door.count(ins=1, trigger=True) == (1, 0)
    assert door.count(ins=1) == (0, 0)
    assert door.total(101) == (0, 0)
    again = Counters.load(CONFIG, door.counters.dump())
    assert again.take(Reading(sensor="door-1", kind="cumulative", ins=105, received_ms=door.now)) == []


def test_triggers_of_one_line_say_nothing_of_another():
    door = Door()
    door.take(ins=1, trigger=True, line="left")
    assert door.count(ins=2, line="right") == (2, 0)


def test_a_trigger_that_arrives_after_its_period_is_not_counted_again():
    door = Door()
    start, end = door.now, door.now + MINUTE
    assert door.count(ins=2, from_ms=start, to_ms=end) == (2, 0)
    assert door.count(ins=1, to_ms=start + 10_000, trigger=True, after_ms=1_000) == (0, 0)
    assert door.count(ins=1, to_ms=end + 500, trigger=True, after_ms=1_000) == (1, 0)


def test_a_line_that_sends_totals_does_not_count_its_periods_too():
    door = Door()
    assert door.count(ins=2) == (2, 0)
    assert door.total(50) == (0, 0)
    assert [door.count(ins=3), door.total(53)] == [(0, 0), (3, 0)]


def test_periods_count_again_once_totals_have_been_missing_for_a_day():
    door = Door()
    door.total(50)
    assert door.count(ins=3, after_ms=25 * 60 * MINUTE) == (3, 0)
    assert door.total(60) == (0, 0), "the periods have counted some of these ten"
    assert door.total(62) == (2, 0)


def test_the_first_total_is_only_a_base():
    door = Door()
    assert [door.total(8442, 15583), door.total(8445, 15584)] == [(0, 0), (3, 1)]


def test_a_retained_total_is_only_a_base():
    door = Door()
    assert [door.total(100, retained=True), door.total(103)] == [(0, 0), (3, 0)]
    assert [door.total(150, retained=True), door.total(153)] == [(0, 0), (3, 0)]


def test_a_retained_total_from_the_past_does_not_make_the_present_count_again():
    door = Door()
    assert [door.total(500), door.total(40, retained=True), door.total(0, retained=True)] == [(0, 0)] * 3
    assert door.total(502) == (2, 0)


def test_totals_that_a_broker_queued_count_although_the_retained_one_overtook_them():
    door = Door()
    door.total(100)
    assert door.total(130, retained=True) == (0, 0)
    assert [door.total(total) for total in (110, 120, 130, 135)] == [(10, 0), (10, 0), (10, 0), (5, 0)]


@pytest.mark.parametrize("marks", [{}, {"uptime_s": True}, {"seq": True}, {"to_ms": True}])
def test_a_late_total_is_ignored(marks):
    door = Door()

    def fields(number):
        values = {"uptime_s": 5_000.0 + 60 * number, "seq": 40 + number, "to_ms": START + number * MINUTE}
        return {name: values[name] for name in marks}

    counted = [door.total(total, **fields(number)) for number, total in ((0, 100), (2, 110), (1, 104), (3, 112))]
    assert counted == [(0, 0), (10, 0), (0, 0), (2, 0)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {}),
        ({"uptime_s": 90_000.0}, {"uptime_s": 20.0}),
        ({"seq": 900}, {"seq": 1}),
        ({"to_ms": START + MINUTE}, {"to_ms": START + 2 * MINUTE}),
        ({"uptime_s": 90_000.0, "to_ms": START + MINUTE}, {"uptime_s": 20.0, "to_ms": 0}),
    ],
    ids=["nothing more", "uptime", "seq", "clock", "uptime and a clock without battery"],
)
def test_a_restart_counts_the_new_total(before, after):
    door = Door()
    assert door.total(5_000, 4_000, **before) == (0, 0)
    assert door.total(7, 3, **after) == (7, 3)


def test_a_restart_is_known_by_its_uptime_even_when_the_new_total_is_not_small():
    door = Door()
    door.total(1_000, uptime_s=50_000.0)
    assert door.total(400, uptime_s=900.0, after_ms=60 * MINUTE) == (400, 0)


def test_a_total_that_began_later_is_counted_whole_even_where_it_is_higher():
    door = Door()
    door.total(10, from_ms=START)
    assert door.total(25, from_ms=START + 30 * MINUTE, after_ms=60 * MINUTE) == (25, 0)
    assert door.total(12, from_ms=START) == (0, 0), "the last of the old total comes late"
    assert door.total(26, from_ms=START + 30 * MINUTE) == (1, 0)


@pytest.mark.parametrize("modulus", [2**16, 2**32])
def test_a_counter_that_wraps_counts_across_its_end(modulus):
    door = Door()
    assert door.total(modulus - 6, 7) == (0, 0)
    assert door.total(4, 8) == (10, 1)
    assert door.total(modulus - 2, 7) == (0, 0), "a late message from before the end"
    assert door.total(5, 8) == (1, 0)


def test_a_late_message_from_before_a_restart_is_not_a_jump():
    door = Door()
    door.total(5_000)
    assert [door.total(3), door.total(4_998), door.total(4)] == [(3, 0), (0, 0), (1, 0)]


def test_a_restart_to_an_older_total_from_memory_counts_nobody():
    door = Door()
    door.total(5_000, uptime_s=90_000.0)
    assert [door.total(4_990, uptime_s=10.0), door.total(4_992, uptime_s=70.0)] == [(0, 0), (2, 0)]


def test_a_total_that_keeps_growing_below_the_base_is_believed_in_the_end():
    door = Door()
    door.total(1_000)
    counted = [door.total(600 + 10 * number, after_ms=5 * MINUTE) for number in range(6)]
    assert counted == [(0, 0)] * 4 + [(40, 0), (10, 0)]


def test_a_total_that_jumps_beyond_what_a_door_can_pass_is_only_a_base():
    door = Door()
    door.total(10)
    assert [door.total(5_000_000), door.total(5_000_001)] == [(0, 0), (1, 0)]


def test_a_gap_moves_the_present_once_and_is_spread_over_history():
    door = Door()
    door.total(10)
    since = door.now
    [counted] = door.take("cumulative", 250, after_ms=60 * MINUTE)
    assert (counted.at_ms, counted.ins, counted.backfill) == (door.now, 240, (since, door.now))


def test_a_backlog_is_dated_by_the_device_and_counted_on_arrival():
    door = Door()
    window = (START - 60 * MINUTE, START - 59 * MINUTE)
    [counted] = door.take(ins=5, from_ms=window[0], to_ms=window[1])
    assert (counted.at_ms, counted.backfill) == (door.now, window)


def test_a_sensor_mounted_backwards_is_turned_round():
    door = Door(SensorConfig(id="door-1", lines={"left": LineConfig(in_is="backward")}))
    assert door.count(ins=3, outs=1, line="left") == (1, 3)
    assert door.count(ins=3, outs=1, line="right") == (3, 1)
    door.total(100, 50, line="top")
    door.counters.config = SensorConfig(id="door-1", lines={"top": LineConfig(in_is="backward")})
    assert door.total(103, 51, line="top") == (1, 3)


def test_zones_come_from_the_line_or_else_from_the_sensor():
    config = SensorConfig(id="door-1", zone="hall", lines={"stairs": LineConfig(zone="upper", from_zone="hall")})
    door = Door(config)
    [counted] = door.take(ins=1, line="stairs")
    assert (counted.zone, counted.from_zone) == ("upper", "hall")
    [counted] = door.take(ins=1, line="street")
    assert (counted.zone, counted.from_zone) == ("hall", None)


def test_lines_that_the_owner_ignores_count_nothing():
    door = Door(SensorConfig(id="door-1", options={"ignore_lines": ["3"]}))
    assert [door.count(ins=1, line="3"), door.count(ins=1, line="2")] == [(0, 0), (1, 0)]


def test_what_a_camera_sees_passes_as_evidence():
    door = Door(SensorConfig(id="door-1", zone="hall"))
    seen = door.take("absolute", value=41.0, error=3.0)
    assert seen == [Observed("door", door.now, "absolute", 41.0, 3.0, "hall")]
    assert door.take("state", value=1.0, retained=True)[0].kind == "state"
    assert door.take("heartbeat") == []


def test_a_retained_number_of_people_is_evidence_only_while_it_is_fresh():
    door = Door()
    assert door.take("absolute", value=41.0, retained=True) == []
    assert door.take("absolute", value=41.0, retained=True, to_ms=START - 60 * MINUTE) == []
    assert len(door.take("absolute", value=41.0, retained=True, to_ms=door.now)) == 1


def test_endless_new_lines_do_not_fill_the_memory():
    door = Door()
    for number in range(1_000):
        door.take(ins=1, line=f"line-{number}", seq=number)
    assert len(door.counters.dump()) < 100_000
