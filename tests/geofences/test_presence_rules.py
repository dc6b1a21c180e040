"""The rules of presence, one by one; those that hold in both modes are shown in both."""

import math
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from geo_service.catalogue.documents import Fence
from geo_service.geofences.due import SWEEP_MS
from geo_service.geofences.presence import Presence
from geo_service.geofences.shapes import ShapeError
from geo_service.pings.batch import PingBatch

NOON = 1_780_000_000_000
METRE = 1 / 111_320
DAY_S = 86_400


@pytest.fixture(params=["strict", "steady"])
def mode(request):
    return request.param


def circle(fence="shop", radius_m=50, east_m=0, **other):
    geometry = {"type": "Point", "coordinates": [10 + east_m * METRE, 0.0]}
    return Fence(id=fence, geometry=geometry, radius_m=radius_m, **other)


def at(seconds, metres, device="d1", accuracy_m=5.0, mock=0):
    return (device, NOON + round(seconds * 1000), 0.0, 10 + metres * METRE, accuracy_m, math.nan, math.nan, mock)


def started(mode, *fences, now_ms=NOON):
    presence = Presence(mode)
    for fence in fences:
        assert presence.put_fence(fence, now_ms) == []
    return presence


def send(presence, *pings, logged_s=None):
    """Each ping by itself, logged when it was sent, or all at once at one time."""
    if logged_s is not None:
        return brief(presence.advance(PingBatch.from_rows(list(pings)), NOON + logged_s * 1000).events)
    return [event for ping in pings for event in brief(presence.advance(PingBatch.from_rows([ping]), ping[1]).events)]


def brief(events):
    return [(event.type, event.fence, (event.time_ms - NOON) / 1000, event.reason) for event in events]


def step(presence, *pings, logged_s=0):
    return presence.advance(PingBatch.from_rows(list(pings)), NOON + logged_s * 1000)


# --- time and order --------------------------------------------------------------------------------------------------


def test_a_late_ping_moves_nothing(mode):
    presence = started(mode, circle())
    send(presence, at(0, 500), at(60, 500))
    made = step(presence, at(30, 0), logged_s=61)
    assert (made.events, made.late.tolist()) == ([], [0])


def test_the_same_device_and_time_again_is_a_duplicate(mode):
    presence = started(mode, circle())
    made = step(presence, at(0, 0), at(0, 500), at(0, 0, "d2"), logged_s=1)
    assert ([event.device for event in made.events], made.duplicate.tolist()) == (["d1", "d2"], [1])


def test_a_clock_two_minutes_ahead_is_believed_and_one_further_ahead_is_not(mode):
    presence = started(mode, circle())
    made = step(presence, at(120, 0), at(121, 0, "d2"), logged_s=0)
    assert brief(made.events) == [("enter", "shop", 120, "observed"), ("enter", "shop", 0, "observed")]
    assert made.skewed.tolist() == [1]


def test_a_clock_that_is_not_believed_still_goes_forward(mode):
    presence = started(mode, circle())
    made = [
        step(presence, at(5000 + second, metres), logged_s=second) for second, metres in ((0, 0), (30, 500), (60, 500))
    ]
    told = [event for part in made for event in brief(part.events)]
    assert told == [("enter", "shop", 0, "observed"), ("exit", "shop", 30, "observed")]
    assert [part.skewed.tolist() for part in made] == [[0], [0], [0]]


def test_a_ping_older_than_a_day_is_refused(mode):
    presence = started(mode, circle())
    made = step(presence, at(-DAY_S, 0), at(-DAY_S - 1, 0, "d2"), logged_s=0)
    assert ([event.device for event in made.events], made.too_old.tolist()) == (["d1"], [1])


def test_a_backlog_replays_as_history(mode):
    presence = started(mode, circle(dwell_s=300))
    pings = [at(-7200 + 60 * minute, 0 if 5 <= minute < 15 else 400) for minute in range(30)]
    assert send(presence, *pings, logged_s=0) == [
        ("enter", "shop", -6900, "observed"),
        ("dwell", "shop", -6600, "observed"),
        ("exit", "shop", -6300, "observed"),
    ]


def test_a_mock_location_is_flagged(mode):
    presence = started(mode, circle())
    made = step(presence, at(0, 0, mock=1), at(0, 0, "d2"))
    assert [event.mock for event in made.events] == [True, False]


# --- leaps -----------------------------------------------------------------------------------------------------------


def test_a_leap_is_held_until_a_second_ping_agrees():
    presence = started("steady", circle(), circle("far", east_m=50_000))
    send(presence, at(0, 0))
    assert step(presence, at(30, 50_000), logged_s=30).held.tolist() == [0]
    assert send(presence, at(60, 10)) == []
    assert step(presence, at(90, 50_000), logged_s=90).held.tolist() == [0]
    again = step(presence, at(120, 50_010), logged_s=120)
    assert (again.held.tolist(), brief(again.events)[-1]) == ([], ("enter", "far", 120, "observed"))


@pytest.mark.parametrize("cut", [1, 2])
def test_a_ping_that_is_held_is_the_newest_one_all_the_same(cut):
    presence = started("steady", circle())
    pings = [at(0, 0), at(20, 50_000)]
    for part in (pings[i : i + cut] for i in range(0, 2, cut)):
        step(presence, *part, logged_s=20)
    assert step(presence, at(10, 500), logged_s=21).late.tolist() == [0]


def test_zero_zero_is_held_until_a_second_ping_agrees():
    gulf = Fence(id="gulf", geometry={"type": "Point", "coordinates": [0, 0]}, radius_m=1000)
    presence = started("steady", circle(), gulf)
    zero = ("d1", NOON, 0.0, 0.0, 5.0, math.nan, math.nan, 0)
    assert step(presence, zero).held.tolist() == [0]
    later = ("d1", NOON + 30_000, *zero[2:])
    assert brief(step(presence, later, logged_s=30).events) == [("enter", "gulf", 30, "observed")]


def test_a_leap_that_bad_accuracy_explains_is_not_held():
    presence = started("steady", circle())
    send(presence, at(0, 0))
    assert step(presence, at(10, 3000, accuracy_m=2500), logged_s=10).held.tolist() == []


def test_strict_takes_every_ping_as_it_is():
    presence = started("strict", circle(), circle("far", east_m=50_000))
    assert send(presence, at(0, 0), at(1, 50_000)) == [
        ("enter", "shop", 0, "observed"),
        ("exit", "shop", 1, "observed"),
        ("enter", "far", 1, "observed"),
    ]


def test_a_walk_over_the_antimeridian_is_no_leap():
    quay = Fence(id="quay", geometry={"type": "Point", "coordinates": [-179.9995, 0]}, radius_m=50)
    presence = started("steady", quay)
    walk = [
        ("d1", NOON + 30_000 * turn, 0.0, lon, 5.0, math.nan, math.nan, 0)
        for turn, lon in enumerate((179.9997, 180, -179.9997))
    ]
    assert [step(presence, ping, logged_s=60).held.tolist() for ping in walk] == [[], [], []]
    assert presence.fences_of("d1") == ["quay"]


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


# --- fences change ---------------------------------------------------------------------------------------------------


def test_a_fence_moved_away_is_left_now_and_entered_at_the_next_ping(mode):
    presence = started(mode, circle())
    send(presence, at(0, 0), at(0, 900, "d2"))
    assert brief(presence.put_fence(circle(east_m=900), NOON + 5_000)) == [("exit", "shop", 5, "fence_changed")]
    assert send(presence, at(30, 0), at(30, 900, "d2")) == [("enter", "shop", 30, "observed")]


def test_a_new_fence_is_entered_at_the_next_ping_of_who_is_in_it(mode):
    presence = started(mode, circle())
    send(presence, at(0, 0))
    assert presence.put_fence(circle("zone"), NOON + 5_000) == []
    assert send(presence, at(30, 0)) == [("enter", "zone", 30, "observed")]


def test_a_fence_whose_new_hours_have_ended_is_left_now_and_entered_when_they_begin(mode):
    presence = started(mode, circle())
    send(presence, at(0, 0))
    soon = (NOON // 60_000 + 2) * 60_000
    begins = datetime.fromtimestamp(soon / 1000, UTC)
    changed = circle(hours={begins.strftime("%a").lower(): [[begins.strftime("%H:%M"), "23:59"]]})
    assert brief(presence.put_fence(changed, NOON + 5_000)) == [("exit", "shop", 5, "fence_changed")]
    assert brief(presence.tick(soon)) == [("enter", "shop", (soon - NOON) / 1000, "observed")]


def test_a_fence_changed_in_all_but_its_shape_keeps_its_stays(mode):
    presence = started(mode, circle(dwell_s=600))
    send(presence, at(0, 0))
    assert presence.put_fence(circle(dwell_s=60, role="store"), NOON + 5_000) == []
    assert brief(presence.tick(NOON + 60_000)) == [("dwell", "shop", 60, "observed")]


def test_a_disabled_fence_is_left_and_entered_again_when_enabled(mode):
    presence = started(mode, circle())
    send(presence, at(0, 0))
    assert brief(presence.put_fence(circle(disabled=True), NOON + 5_000)) == [("exit", "shop", 5, "fence_changed")]
    assert send(presence, at(30, 0)) == []
    assert presence.put_fence(circle(), NOON + 40_000) == []
    assert [event[0] for event in send(presence, at(60, 0))] == ["enter"]


def test_a_removed_fence_is_left(mode):
    presence = started(mode, circle())
    send(presence, at(0, 0))
    assert brief(presence.remove_fence("shop", NOON + 5_000)) == [("exit", "shop", 5, "fence_removed")]
    assert presence.remove_fence("shop", NOON + 6_000) == []


def test_a_fence_that_cannot_be_read_changes_nothing(mode):
    presence = started(mode, circle())
    send(presence, at(0, 0))
    with pytest.raises(ShapeError):
        presence.put_fence(Fence(id="shop", geometry={"type": "Polygon", "coordinates": []}), NOON)
    assert presence.inside("shop") == 1


def test_a_forgotten_device_leaves_and_nothing_is_kept(mode):
    presence = started(mode, circle())
    send(presence, at(0, 0, "somebody"))
    assert brief(presence.forget("somebody", NOON + 5_000)) == [("exit", "shop", 5, "forgotten")]
    assert b"somebody" not in presence.dump()
    assert presence.forget("somebody", NOON + 6_000) == []


def test_a_device_that_is_gone_for_a_day_is_forgotten(mode):
    presence = started(mode, circle())
    send(presence, at(0, 0, "somebody"))
    presence.tick(NOON + 3_600_000)
    assert b"somebody" in presence.dump()
    presence.tick(NOON + DAY_S * 1000 + 3 * SWEEP_MS)
    assert b"somebody" not in presence.dump()


# --- hours -----------------------------------------------------------------------------------------------------------


def instant_s(text):
    """Seconds since noon."""
    return (datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000 - NOON) / 1000


def opened(mode, hours, timezone, begin_s, **other):
    fence = circle(hours=hours, timezone=timezone, silence_s=7200, **other)
    return started(mode, fence, now_ms=NOON + round(begin_s * 1000))


def test_being_inside_when_the_hours_begin_is_an_enter_then_and_when_they_end_an_exit(mode):
    nine, ten = instant_s("2026-06-01T09:00"), instant_s("2026-06-01T10:00")
    presence = opened(mode, {"mon": [["09:00", "10:00"]]}, "UTC", nine - 3600)
    assert send(presence, at(nine - 600, 0), at(nine - 30, 0)) == []
    assert presence.next_due_ms() <= NOON + nine * 1000
    assert brief(presence.tick(NOON + round(nine * 1000))) == [("enter", "shop", nine, "observed")]
    assert presence.inside("shop") == 1
    assert send(presence, at(nine + 3000, 0)) == []
    assert brief(presence.tick(NOON + round(ten * 1000))) == [("exit", "shop", ten, "fence_changed")]
    assert send(presence, at(ten + 60, 0)) == []


def test_hours_may_pass_midnight(mode):
    eight, one = instant_s("2026-06-06T20:00"), instant_s("2026-06-07T01:00")
    presence = opened(mode, {"sat": [["20:00", "01:00"]]}, "UTC", eight - 60)
    assert send(presence, at(eight + 4 * 3600 + 600, 0)) == [("enter", "shop", eight + 4 * 3600 + 600, "observed")]
    assert brief(presence.tick(NOON + round(one * 1000))) == [("exit", "shop", one, "fence_changed")]


@pytest.mark.parametrize(
    ("day", "opens"),
    [("2026-03-28", "07:00"), ("2026-03-29", "06:00"), ("2026-10-24", "06:00"), ("2026-10-25", "07:00")],
)
def test_hours_follow_the_local_clock_when_it_changes(mode, day, opens):
    hours = {name: [["09:00", "12:00"]] for name in ("sat", "sun")}
    begin = instant_s(f"{day}T{opens}")
    presence = opened(mode, hours, "Europe/Helsinki", begin - 600)
    assert send(presence, at(begin - 30, 0)) == []
    assert brief(presence.tick(NOON + round(begin * 1000))) == [("enter", "shop", begin, "observed")]


@pytest.mark.parametrize(("night", "lasts_h"), [("2026-03-28", 7), ("2026-10-24", 9), ("2026-06-06", 8)])
def test_a_night_in_which_the_clock_changes_is_an_hour_shorter_or_longer(mode, night, lasts_h):
    zone = ZoneInfo("Europe/Helsinki")
    begin = (datetime.fromisoformat(f"{night}T20:00").replace(tzinfo=zone).timestamp() * 1000 - NOON) / 1000
    fence = circle(hours={"sat": [["20:00", "04:00"]]}, timezone="Europe/Helsinki", silence_s=DAY_S)
    presence = started(mode, fence, now_ms=NOON + round(begin * 1000))
    assert send(presence, at(begin + 60, 0)) == [("enter", "shop", begin + 60, "observed")]
    ends = begin + lasts_h * 3600
    assert presence.tick(NOON + round(ends * 1000) - 1) == []
    assert brief(presence.tick(NOON + round(ends * 1000))) == [("exit", "shop", ends, "fence_changed")]


def test_a_backlog_is_judged_by_the_hours_of_its_own_time(mode):
    ten, evening = instant_s("2026-06-01T10:00"), instant_s("2026-06-01T20:00")
    presence = opened(mode, {"mon": [["09:00", "18:00"]]}, "UTC", ten - 3600)
    presence.tick(NOON + round(evening * 1000))
    told = send(presence, at(ten, 0), at(ten + 60, 0), at(ten + 120, 900), at(ten + 180, 900), logged_s=round(evening))
    assert [event[0] for event in told] == ["enter", "exit"]


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
