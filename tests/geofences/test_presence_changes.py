"""Presence while fences change, open and close, and devices are forgotten, in both modes."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from geo_service.catalogue.documents import Fence
from geo_service.geofences.due import SWEEP_MS
from geo_service.geofences.shapes import ShapeError

from .presence_walks import DAY_S, NOON, at, brief, circle, send, started

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
