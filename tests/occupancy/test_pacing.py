"""Pacing of one store: what is admitted, why, and what a restart changes (nothing)."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occupancy.pacing import BLIND_MS, MINUTE_MS, SLACK_MS, Pacer
from occupancy.pacing_stays import HORIZONS
from occupancy.pacing_words import Commitment, Override

from .paced_store import T0, WALK_S, admitted, pacer

# --- what is admitted ------------------------------------------------------------------------------------------------


def test_a_store_that_nothing_measures_is_not_paced():
    verdict = Pacer(120).verdict(T0, WALK_S)
    assert verdict.admit
    assert verdict.reason == "nothing measures how full this store is"


def test_invitations_stop_long_before_the_store_is_full_because_the_invited_are_on_their_way():
    made = pacer(50)
    invited = admitted(made, T0)
    assert 0 < invited < 500
    verdict = made.verdict(T0, WALK_S)
    assert verdict.evidence.now == 50
    assert verdict.reason.startswith("would be ")
    assert verdict.reason.endswith(f"of 120 people at 09:{verdict.evidence.minutes:02}")


def test_the_rule_is_mean_plus_z_sigma_at_every_horizon_at_which_she_could_be_there():
    made = pacer(70)
    made.counted(T0, 30, 10)
    admitted(made, T0)
    evidence = made.verdict(T0, WALK_S).evidence
    assert evidence.mean + evidence.z * evidence.sigma > 120
    assert evidence.room == 0
    parts = evidence.stayers + evidence.arrivals + evidence.invited + evidence.committed
    assert evidence.mean - parts == pytest.approx(evidence.mean - made.outlook(T0)[HORIZONS.index(evidence.minutes)][1])


@given(people=st.floats(0, 130), waiting=st.integers(0, 60), eta=st.sampled_from([120.0, 600.0, 1500.0]))
@settings(max_examples=40)
def test_the_room_that_is_stated_is_the_room_that_there_is(people, waiting, eta):
    made = pacer(people)
    for number in range(waiting):
        made.sent(T0, f"w{number}", eta)
    verdict = made.verdict(T0, eta)
    room = verdict.evidence.room if verdict.admit else 0
    for number in range(min(room, 80)):
        assert made.verdict(T0, eta).admit
        made.sent(T0, f"r{number}", eta)
    if room < 80:
        assert not made.verdict(T0, eta).admit


def test_more_people_now_leave_less_room():
    rooms = [pacer(people).verdict(T0, WALK_S).evidence.room for people in (10, 40, 70, 90)]
    assert rooms == sorted(rooms, reverse=True)
    assert rooms[0] > rooms[-1]


def test_an_uncertain_occupancy_leaves_less_room_and_a_degraded_one_still_less():
    rooms = []
    for variance, status in ((1.0, "live"), (100.0, "live"), (100.0, "degraded")):
        made = Pacer(120)
        made.occupied(T0, 60, variance, status)
        rooms.append(made.verdict(T0, WALK_S).evidence.room)
    assert rooms[0] > rooms[1] > rooms[2]


def test_who_has_come_is_not_waited_for_any_more():
    made = pacer(60)
    for number in range(100):
        made.sent(T0, f"o{number}", WALK_S)
    before = made.outlook(T0)[1][1]
    assert all(made.came(T0 + 5 * MINUTE_MS, f"o{number}") for number in range(0, 100, 2))
    assert not made.came(T0 + 5 * MINUTE_MS, "o0")
    assert made.in_flight == 50
    made.undelivered(T0 + 5 * MINUTE_MS, "o1")
    assert made.in_flight == 49
    made.advance(T0 + 121 * MINUTE_MS)
    assert made.in_flight == 0
    assert before > pacer(60).outlook(T0)[1][1]


def test_commitments_take_room_when_they_are_due():
    free = pacer(60)
    busy = pacer(60)
    busy.commit(T0, [Commitment(T0 + 10 * MINUTE_MS, 30.0, 20.0)])
    ahead = {minutes: mean for minutes, mean, _ in busy.outlook(T0)}
    usual = {minutes: mean for minutes, mean, _ in free.outlook(T0)}
    assert ahead[5] == usual[5]
    assert ahead[10] == pytest.approx(usual[10] + 30, abs=1.5)
    assert usual[45] < ahead[45] < usual[45] + 15
    assert busy.verdict(T0, WALK_S).evidence.room < free.verdict(T0, WALK_S).evidence.room


# --- hold, blindness, managers -----------------------------------------------------------------------------------------


def test_a_store_at_its_capacity_is_held_until_it_has_had_room_for_two_minutes():
    made = pacer(118)
    assert made.verdict(T0, WALK_S).reason == "the store is full (118 ± 2 of 120 people)"
    made.occupied(T0 + MINUTE_MS, 40, 4.0, "live")
    calm = made.verdict(T0 + 2 * MINUTE_MS, WALK_S)
    assert (calm.admit, calm.reason) == (False, "the store was full until a moment ago (40 ± 2 of 120 people)")
    made.occupied(T0 + 2 * MINUTE_MS, 112, 4.0, "live")
    made.occupied(T0 + 3 * MINUTE_MS, 40, 4.0, "live")
    assert not made.verdict(T0 + 3 * MINUTE_MS + SLACK_MS - 1, WALK_S).admit
    assert made.verdict(T0 + 3 * MINUTE_MS + SLACK_MS, WALK_S).admit


def test_a_count_by_eye_ends_a_hold_at_once_and_forgets_what_far_off_doors_counted():
    made = pacer(118)
    made.counted(T0, 110, 0)
    made.occupied(T0 + MINUTE_MS, 118, 9.0, "live")
    assert not made.verdict(T0 + MINUTE_MS, WALK_S).admit
    made.recounted(T0 + MINUTE_MS, 20)
    made.occupied(T0 + MINUTE_MS, 20, 1.0, "live")
    assert made.verdict(T0 + MINUTE_MS, WALK_S).admit


def test_a_store_that_has_been_blind_for_ten_minutes_invites_nobody():
    made = pacer(20)
    made.occupied(T0 + MINUTE_MS, 20, 30.0, "blind")
    assert made.verdict(T0 + MINUTE_MS + BLIND_MS - 1, WALK_S).admit
    verdict = made.verdict(T0 + MINUTE_MS + BLIND_MS, WALK_S)
    assert (verdict.admit, verdict.reason) == (False, "how full the store is has not been known since 09:01")
    made.occupied(T0 + 12 * MINUTE_MS, 20, 4.0, "live")
    assert made.verdict(T0 + 12 * MINUTE_MS, WALK_S).admit


def test_a_store_whose_sensors_have_not_spoken_yet_invites_nobody():
    made = Pacer(120)
    made.occupied(T0, 60, 1000.0, "blind")
    verdict = made.verdict(T0, WALK_S)
    assert (verdict.admit, verdict.reason) == (False, "nothing has counted this store yet")
    made.occupied(T0 + MINUTE_MS, 10, 4.0, "live")
    assert made.verdict(T0 + MINUTE_MS, WALK_S).admit


def test_a_manager_pauses_until_a_time_and_resumes():
    made = pacer(10)
    made.override(T0, Override("pause", "mia", T0, T0 + 30 * MINUTE_MS))
    assert made.verdict(T0, WALK_S).reason == "paused by mia until 09:30"
    assert made.verdict(T0 + 30 * MINUTE_MS, WALK_S).admit
    made.override(T0 + 31 * MINUTE_MS, Override("pause", "mia", T0))
    assert made.verdict(T0 + 32 * MINUTE_MS, WALK_S).reason == "paused by mia"
    made.override(T0 + 33 * MINUTE_MS, Override("resume", "mia", T0))
    assert made.verdict(T0 + 33 * MINUTE_MS, WALK_S).admit


def test_a_manager_forces_a_full_store_open_and_sets_a_ceiling():
    made = pacer(119)
    made.override(T0, Override("force", "ola", T0))
    assert made.verdict(T0, WALK_S).reason == "forced on by ola"
    calm = pacer(60)
    assert calm.verdict(T0, WALK_S).admit
    calm.override(T0, Override("ceiling", "ola", T0, T0 + 60 * MINUTE_MS, 60))
    verdict = calm.verdict(T0, WALK_S)
    assert (verdict.admit, verdict.evidence.capacity) == (False, 60)
    with pytest.raises(ValueError, match="ceiling"):
        calm.override(T0, Override("ceiling", "ola", T0))


# --- time and restarts ---------------------------------------------------------------------------------------------------

EVENTS = st.lists(
    st.tuples(
        st.integers(1_000, 400_000),
        st.sampled_from(["occupied", "counted", "verdict", "came", "visited", "blind", "override", "night"]),
        st.integers(0, 130),
    ),
    min_size=1,
    max_size=40,
)


def told(made, events, *, restart_at=None, looks=False):  # noqa: C901 - one case a thing that may happen
    """Every verdict of a pacer that lives through the events."""
    at_ms, said = T0, []
    for number, (later, what, value) in enumerate(events):
        at_ms += later
        if number == restart_at:
            made = Pacer.load(made.dump())
        if looks:
            made.advance(at_ms - 500)
            made.outlook(at_ms - 400)
            made.preview(at_ms - 300, WALK_S)
        match what:
            case "occupied":
                made.occupied(at_ms, value, 1 + value / 10, "live")
            case "blind":
                made.occupied(at_ms, value, 50, "blind")
            case "counted":
                made.counted(at_ms, value % 7, value % 5)
            case "came":
                made.came(at_ms, f"o{value % 10}")
            case "visited":
                made.visited(at_ms, at_ms - value * MINUTE_MS, float(value))
            case "override":
                made.override(at_ms, Override("ceiling", "m", at_ms, at_ms + 900_000, value))
            case "night":
                at_ms += 8 * 3_600_000
                made.advance(at_ms)
        verdict = made.verdict(at_ms, 60.0 + value * 10)
        said.append(verdict)
        if verdict.admit:
            made.sent(at_ms, f"o{number}", 60.0 + value * 10)
    return said, made.dump()


@given(events=EVENTS, data=st.data())
@settings(max_examples=40)
def test_a_restart_changes_nothing_to_the_bit(events, data):
    restart_at = data.draw(st.integers(0, len(events) - 1))
    assert told(pacer(), events) == told(pacer(), events, restart_at=restart_at)


@given(events=EVENTS)
@settings(max_examples=30)
def test_looking_leaves_no_trace(events):
    assert told(pacer(), events)[0] == told(pacer(), events, looks=True)[0]


def test_a_change_of_capacity_and_timezone_takes_effect_at_once():
    made = pacer(60)
    made.configure(T0, 62, "Europe/Helsinki")
    verdict = made.verdict(T0, WALK_S)
    assert not verdict.admit
    assert " of 62 people at 11:" in verdict.reason or verdict.reason.startswith("the store is full")


def test_every_figure_of_the_evidence_is_finite_and_encodes():
    evidence = pacer(90).verdict(T0, WALK_S).evidence.as_dict()
    assert all(math.isfinite(value) for value in evidence.values())
    assert evidence["capacity"] == 120
