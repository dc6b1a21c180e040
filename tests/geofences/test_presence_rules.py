"""The rules of presence, one by one; those that hold in both modes are shown in both."""

import math

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from geo_service.geofences.presence import Presence
from geo_service.pings.batch import PingBatch

from .presence_walks import METRE, NOON, at, brief, circle, send, started

# --- dwell, silence --------------------------------------------------------------------------------------------------


def test_dwell_comes_on_time_without_a_further_ping(mode):
    presence = started(mode, circle(dwell_s=90))
    send(presence, at(0, 0))
    assert presence.next_due_ms() == NOON + 90_000
    assert presence.tick(NOON + 89_000) == []
    [event] = presence.tick(NOON + 90_000)
    assert (event.type, event.time_ms, event.duration_ms) == ("dwell", NOON + 90_000, 90_000)
    assert presence.tick(NOON + 200_000) == []


def test_dwell_fires_once_a_stay_and_again_in_the_next(mode):
    presence = started(mode, circle(dwell_s=60))
    first = send(presence, *(at(30 * turn, 0) for turn in range(5)))
    send(presence, at(150, 500), at(180, 500), at(210, 500))
    second = send(presence, *(at(240 + 30 * turn, 0) for turn in range(5)))
    assert [event[0] for event in first + second] == ["enter", "dwell", "enter", "dwell"]


def test_who_left_in_time_does_not_dwell(mode):
    presence = started(mode, circle(dwell_s=120))
    send(presence, at(0, 0), at(30, 500), at(60, 500))
    assert presence.tick(NOON + 600_000) == []


def test_silence_is_an_exit_at_the_last_seen_time(mode):
    presence = started(mode, circle(silence_s=600))
    send(presence, at(0, 0), at(60, 0))
    assert presence.tick(NOON + 659_000) == []
    [event] = presence.tick(NOON + 660_000)
    assert (event.type, event.reason, event.time_ms, event.duration_ms) == ("exit", "silence", NOON + 60_000, 60_000)
    assert presence.inside("shop") == 0


def test_after_silence_the_next_ping_begins_a_new_stay(mode):
    presence = started(mode, circle(silence_s=600, dwell_s=60))
    send(presence, at(0, 0), at(30, 0))
    assert [event.type for event in presence.tick(NOON + 630_000)] == ["dwell", "exit"]
    assert send(presence, at(700, 0)) == [("enter", "shop", 700, "observed")]
    assert brief(presence.tick(NOON + 760_000)) == [("dwell", "shop", 760, "observed")]


def test_each_fence_has_its_own_silence(mode):
    presence = started(mode, circle("a", silence_s=600), circle("b", silence_s=60))
    send(presence, at(0, 0))
    assert [event.fence for event in presence.tick(NOON + 60_000)] == ["b"]
    assert [event.fence for event in presence.tick(NOON + 600_000)] == ["a"]


# --- order, cross ----------------------------------------------------------------------------------------------------


def test_one_ping_tells_exits_then_crosses_then_enters_then_dwells_each_by_fence_id():
    every = ("enter", "dwell", "exit", "cross")
    here = [circle(name, detect=every) for name in ("y", "b")]
    there = [circle(name, east_m=1000, dwell_s=0, detect=every) for name in ("x", "a")]
    between = circle("m", east_m=500, detect=every)
    presence = started("strict", *here, *there, between)
    send(presence, at(0, 0))
    told = [(kind, fence) for kind, fence, _, _ in send(presence, at(60, 1000))]
    assert told == [
        ("exit", "b"), ("exit", "y"), ("cross", "m"), ("enter", "a"), ("enter", "x"), ("dwell", "a"), ("dwell", "x"),
    ]  # fmt: skip


def test_cross_needs_two_fixes_within_five_minutes_and_is_off_unless_asked_for(mode):
    asked = circle("asked", detect=("cross",))
    presence = started(mode, asked, circle("not"))
    assert send(presence, at(0, -200), at(60, 200)) == [("cross", "asked", 60, "observed")]
    assert send(presence, at(361, -200)) == []
    assert send(presence, at(661, 200)) == [("cross", "asked", 661, "observed")]


def test_what_is_not_asked_for_is_not_told(mode):
    presence = started(mode, circle(detect=("exit",), dwell_s=30))
    told = send(presence, at(0, 0), at(60, 0), at(120, 900), at(150, 900))
    assert [event[0] for event in told] == ["exit"]


# --- what must not matter --------------------------------------------------------------------------------------------

moves = st.lists(
    st.tuples(
        st.sampled_from(["d1", "d2", "d3"]),
        st.sampled_from([0, 1, 20, 30, 30, 30, 90, 310]),
        st.sampled_from([0, 10, 30, 45, 55, 70, 120, 300, 700, 9_000]),
        st.sampled_from([5.0, 12.0, 40.0, 300.0, math.nan]),
    ),
    max_size=30,
)
PLACES = (
    circle("a", dwell_s=45, silence_s=200, detect=("enter", "dwell", "exit", "cross")),
    circle("b", east_m=60, exit_after_s=20, silence_s=120),
    circle("c", radius_m=400, dwell_s=100, hours={"thu": [["20:27", "20:35"]]}),
)


@settings(max_examples=30, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(moves, st.sampled_from(["strict", "steady"]), st.integers(0, 29))
def test_ticks_when_due_equal_ticks_every_second_and_a_dump_changes_nothing(walked, mode, dumped_at):
    lazy, busy = started(mode, *PLACES), started(mode, *PLACES)
    now = NOON
    for number, (device, wait, metres, accuracy) in enumerate(walked):
        told, every = [], []
        for second in range(now // 1000 + 1, (now + wait * 1000) // 1000 + 1):
            due = lazy.next_due_ms()
            if due is not None and due <= second * 1000:
                told += lazy.tick(second * 1000)
            every += busy.tick(second * 1000)
        now += wait * 1000
        ping = PingBatch.from_rows([(device, now, 0.0, 10 + metres * METRE, accuracy, math.nan, math.nan, 0)])
        told += lazy.advance(ping, now + 300).events
        every += busy.advance(ping, now + 300).events
        assert told == every
        if number == dumped_at:
            lazy = Presence.load(lazy.dump(), PLACES)


@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(moves, st.sampled_from(["strict", "steady"]), st.integers(1, 10), st.sets(st.integers(0, 29), max_size=5))
def test_how_pings_are_cut_into_batches_changes_nothing(walked, mode, cut, late):
    rows, now = [], NOON
    for number, (device, wait, metres, accuracy) in enumerate(walked):
        now += wait * 1000
        time = now - 75_000 if number in late else now
        rows.append((device, time, 0.0, 10 + metres * METRE, accuracy, math.nan, math.nan, 0))
    logged = now + 1000
    whole, parts = started(mode, *PLACES), started(mode, *PLACES)
    told = whole.advance(PingBatch.from_rows(rows), logged).events
    pieces = [PingBatch.from_rows(rows[i : i + cut]) for i in range(0, len(rows), cut)]
    assert [event for piece in pieces for event in parts.advance(piece, logged).events] == told
    for device in ("d1", "d2", "d3"):
        assert whole.fences_of(device) == parts.fences_of(device)
    assert whole.tick(logged + 3_600_000) == parts.tick(logged + 3_600_000)


def test_a_dump_of_other_fences_is_refused(mode):
    presence = started(mode, circle())
    with pytest.raises(ValueError, match="other fences"):
        Presence.load(presence.dump(), [circle("another")])
