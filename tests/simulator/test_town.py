"""What must be true of a simulated town: determinism, physics, and a truth that adds up."""

import math
from collections import defaultdict
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_service.errors import InvalidInputError
from geo_service.pings import native, owntracks
from geo_service.simulator.phone import ACCURACY_M, INDOORS, MOST_METRES_OFF
from geo_service.simulator.plane import Disc
from geo_service.simulator.scenario import DAY, DEMO, Pace
from geo_service.simulator.town import Town
from geo_service.simulator.truth import Truth
from sensors.config import SensorConfig
from sensors.formats import decoder

MINUTE_MS = 60_000
BRISKEST_MPS = 15.0
"""Nobody moves faster, at whatever pace."""


def settle(plan, noon_ms, **options):
    return Town(**{"seed": 3, "site": plan, "start_ms": noon_ms, "phones": 60, **options})


def rows_of(message):
    """The pings of a message, as the service decodes them; none for a sensor's."""
    if message.topic.startswith(native.TOPIC):
        rows, refused = native.decode(message.payload, message.topic.removeprefix(native.TOPIC))
        assert refused == []
        return rows
    return owntracks.decode(message.payload, owntracks.device_of(message.topic)) if "owntracks" in message.topic else []


class Look(NamedTuple):
    """The town at one instant."""

    time_ms: int
    people: dict
    inside: dict


class Hour(NamedTuple):
    """What came of one hour."""

    looks: list
    messages: list
    halfway: Truth
    end: Truth


@pytest.fixture(scope="module")
def hour(plan, noon_ms):
    """An hour at noon, looked at every 20 s, with all its messages."""
    town, looks, messages, halfway = settle(plan, noon_ms, phones=80), [], [], None
    end_ms = noon_ms + 60 * MINUTE_MS
    for now_ms in range(noon_ms, end_ms + 1, 20_000):
        messages += town.step(now_ms)
        looks.append(Look(now_ms, town.people(), town.inside()))
        if now_ms == noon_ms + 30 * MINUTE_MS:
            halfway = town.truth(now_ms)
    return Hour(looks, messages, halfway, town.truth(end_ms))


def beside(shape, point):
    """Whether a point is outside of a shape's bounds: quick."""
    west, south, east, north = shape.box
    return not (west <= point[0] <= east and south <= point[1] <= north)


# --- determinism ----------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(plan, noon_ms):
    until_ms = noon_ms + 20 * MINUTE_MS
    messages = settle(plan, noon_ms).step(until_ms)
    assert len(messages) > 500
    assert messages == settle(plan, noon_ms).step(until_ms)
    assert messages != settle(plan, noon_ms, seed=4).step(until_ms)


@given(st.lists(st.integers(1, 240_000), max_size=3), st.sampled_from([DAY, DEMO]))
@settings(max_examples=6, deadline=None)
def test_it_does_not_matter_how_often_one_looks(plan, noon_ms, pauses, scenario):
    until_ms = noon_ms + 3 * 240_000
    at_once = settle(plan, noon_ms, phones=10, scenario=scenario).step(until_ms)
    town, now_ms, bit_by_bit = settle(plan, noon_ms, phones=10, scenario=scenario), noon_ms, []
    for pause in pauses:
        now_ms += pause
        town.truth(now_ms)
        bit_by_bit += town.step(now_ms)
    assert bit_by_bit + town.step(until_ms) == at_once


def test_messages_come_in_the_order_of_their_time_and_not_before_it(plan, noon_ms):
    town = settle(plan, noon_ms)
    last_ms = noon_ms
    for now_ms in range(noon_ms, noon_ms + 10 * MINUTE_MS, 7000):
        for message in town.step(now_ms):
            assert last_ms <= message.time_ms <= now_ms
            last_ms = message.time_ms


def test_more_phones_change_nothing_about_the_ones_there_were(plan, noon_ms):
    def pings(phones):
        messages = settle(plan, noon_ms, phones=phones, scenario=DAY).step(noon_ms + 15 * MINUTE_MS)
        return [m for m in messages if "phone0003" in m.topic or "walker0007" in m.topic]

    assert len(pings(10)) > 10
    assert pings(10) == pings(40)


def test_time_does_not_go_back(plan, noon_ms):
    town = settle(plan, noon_ms, phones=0)
    town.step(noon_ms + 1000)
    with pytest.raises(ValueError, match="time goes forward"):
        town.step(noon_ms)


@pytest.mark.parametrize(
    "wrong", [{"seed": -1}, {"phones": -1}, {"phones": 100_001}, {"speed": 0}, {"speed": math.nan}]
)
def test_numbers_out_of_range_are_refused(plan, noon_ms, wrong):
    with pytest.raises(InvalidInputError, match="must be"):
        settle(plan, noon_ms, **wrong)


# --- physics --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("speed", [1, 10, 60])
def test_nobody_teleports(plan, noon_ms, speed):
    town = settle(plan, noon_ms, speed=speed)
    before = {}
    for now_ms in range(noon_ms, noon_ms + 4 * MINUTE_MS, 2000):
        town.step(now_ms)
        people = town.people()
        where = {device: plan.plane.metres(person.lon, person.lat) for device, person in people.items()}
        for device, point in where.items():
            # Even through home: who leaves and comes out again does so by the same end of the street.
            if device in before:
                assert math.dist(before[device], point) <= BRISKEST_MPS * 2 + 0.01
        before.update(where)


def test_people_keep_out_of_houses_until_they_come_in_by_the_door(hour, plan):
    seen_inside = 0
    for look in hour.looks:
        for person in look.people.values():
            point = plan.plane.metres(person.lon, person.lat)
            for store, premises in plan.premises.items():
                if not beside(premises.outline, point) and premises.outline.distance_to_edge(*point) > 0.05:
                    assert premises.outline.contains(*point) == (person.store == store)
                elif beside(premises.outline, point):
                    assert person.store != store
            seen_inside += person.store is not None
    assert seen_inside > 100


def test_fixes_lie_about_eight_metres_off_with_a_few_outliers_and_say_how_good_they_are(hour, plan, noon_ms):
    fixes = [row for message in hour.messages for row in rows_of(message)]
    at = defaultdict(list)
    for device, time_ms, lat, lon, accuracy, *_ in fixes:
        at[time_ms].append((device, plan.plane.metres(lon, lat), accuracy))
    errors, stated = [], []
    replayed = settle(plan, noon_ms, phones=80)
    for time_ms in sorted(time_ms for time_ms in at if 0 <= time_ms - noon_ms < 25 * MINUTE_MS):
        replayed.step(time_ms)
        people = replayed.people()
        for device, point, accuracy in at[time_ms]:
            if device in people:
                truly = plan.plane.metres(people[device].lon, people[device].lat)
                errors.append((math.dist(point, truly), people[device].store is not None))
                stated.append(accuracy)
    assert len(errors) > 1000
    outdoors = sorted(error for error, indoors in errors if not indoors)
    indoors = sorted(error for error, indoors in errors if indoors)
    assert 0.8 * ACCURACY_M < outdoors[round(0.68 * len(outdoors))] < 1.2 * ACCURACY_M
    assert 0.8 * ACCURACY_M * INDOORS < indoors[round(0.68 * len(indoors))] < 1.2 * ACCURACY_M * INDOORS
    far = [error for error, _ in errors if error > 40]
    assert 0.004 < len(far) / len(errors) < 0.02
    # OwnTracks says whole seconds, in which one walks a metre and a half.
    assert max(far) <= MOST_METRES_OFF + 2
    assert sorted(stated)[len(stated) // 4] > 0.75 * ACCURACY_M
    assert any(accuracy > 40 for accuracy in stated), "some outliers are known to the phone"


def test_phones_ping_every_15_to_60_s_with_gaps_and_send_what_waited_late(hour):
    times = defaultdict(list)
    for message in hour.messages:
        for row in rows_of(message):
            times[row[0]].append((row[1], message.time_ms))
    pauses = sorted(after[0] - before[0] for fixes in times.values() for before, after in pairwise(fixes))
    assert pauses[0] > 11_000, "15 s less a little jitter"
    assert pauses[round(0.97 * len(pauses))] < 70_000
    assert pauses[-1] > 90_000, "a gap"
    delays = [arrived - taken for fixes in times.values() for taken, arrived in fixes]
    assert min(delays) > 0
    assert max(delays) > 60_000, "a backlog"


def test_half_of_the_phones_speak_owntracks(hour):
    apps = {message.topic for message in hour.messages if message.topic.startswith(("owntracks/", "geo/v1/ping/"))}
    owners = [topic for topic in apps if topic.startswith("owntracks/")]
    assert abs(len(owners) - len(apps) / 2) < 10
    assert all(message.qos == 1 and not message.retained for message in hour.messages)


# --- a truth that adds up -------------------------------------------------------------------------------------------


def test_inside_is_ins_minus_outs_and_never_below_nobody(hour, plan):
    for truth in (hour.halfway, hour.end):
        for store, inside in truth.inside.items():
            lines = [truth.doors[door.sensor][door.line] for door in plan.premises[store].doors]
            assert inside == sum(ins for ins, _ in lines) - sum(outs for _, outs in lines) >= 0
            assert inside >= sum(person.store == store for person in truth.people.values())
    assert sum(hour.end.inside.values()) > 200
    assert min(people for look in hour.looks for people in look.inside.values()) == 0


def test_stays_are_where_the_positions_say(hour, plan):
    """Every stay against the positions at every step: inside from its first instant to its last, and at no other time."""
    shapes = {fence.id: fence.shape for fence in plan.fences}
    stays = defaultdict(list)
    for stay in hour.end.stays:
        assert stay.left_ms is None or stay.entered_ms <= stay.left_ms
        stays[stay.device, stay.fence].append(stay)
    compared = 0
    for look in hour.looks[::3]:
        for device, person in look.people.items():
            point = plan.plane.metres(person.lon, person.lat)
            for fence, shape in shapes.items():
                mine = stays.get((device, fence), [])
                if beside(shape, point):
                    assert not any(lasts(stay, look.time_ms) for stay in mine)
                elif far_from_the_edge(shape, point):
                    within = any(lasts(stay, look.time_ms) for stay in mine)
                    assert within == shape.contains(*point), (device, fence, look.time_ms)
                    compared += within
    assert compared > 1000


def lasts(stay, now_ms):
    return stay.entered_ms <= now_ms < (stay.left_ms or now_ms + 1)


def far_from_the_edge(shape, point):
    if isinstance(shape, Disc):
        return abs(math.dist(point, (shape.x, shape.y)) - shape.radius) > 0.1
    return shape.distance_to_edge(*point) > 0.1


def test_a_stay_that_lasts_has_no_end_yet_and_gets_it_later(hour):
    earlier, later = hour.halfway, hour.end
    ends = {(stay.device, stay.fence, stay.entered_ms): stay.left_ms for stay in later.stays}
    lasting = [stay for stay in earlier.stays if stay.left_ms is None]
    assert lasting
    for stay in earlier.stays:
        end_ms = ends[stay.device, stay.fence, stay.entered_ms]
        if stay.left_ms is None:
            assert end_ms is None or end_ms > earlier.time_ms
        else:
            assert stay.left_ms == end_ms <= earlier.time_ms


def test_a_town_that_need_not_remember_says_the_same_but_for_the_stays(plan, noon_ms):
    now_ms = noon_ms + 10 * MINUTE_MS
    forgetful = settle(plan, noon_ms, remembers=False).truth(now_ms)
    known = settle(plan, noon_ms).truth(now_ms)
    assert forgetful.stays == []
    assert known.stays
    assert (forgetful.people, forgetful.inside, forgetful.doors) == (known.people, known.inside, known.doors)


def test_a_store_fills_no_more_once_closed_and_is_soon_empty(plan, noon_ms):
    """The hardware store closes at 19:00, seven hours after noon."""
    closes_ms = noon_ms + 7 * 60 * MINUTE_MS
    town = settle(plan, closes_ms - 10 * MINUTE_MS, speed=10)
    town.step(closes_ms - 1)
    before = town.truth(closes_ms - 1)
    assert before.inside["brasswick"] > 10
    town.step(closes_ms + 5 * MINUTE_MS)
    after = town.truth(closes_ms + 5 * MINUTE_MS)
    assert after.inside["brasswick"] == 0
    assert [ins for ins, _ in after.doors["brasswick-door"].values()] == [
        ins for ins, _ in before.doors["brasswick-door"].values()
    ]


# --- sensors --------------------------------------------------------------------------------------------------------


def counted(plan, messages):
    """Ins and outs by sensor and line, read as the service reads them."""
    sums = defaultdict(lambda: [0, 0])
    by_topic = {sensor.topic or f"geo/v1/sensor/{sensor.id}": sensor for sensor in plan.sensors}
    for message in messages:
        sensor = by_topic.get(message.topic)
        if sensor is None:
            continue
        for reading in decoder("native").decode(message.payload, message.topic, SensorConfig(id=sensor.id)):
            if reading.kind == "delta":
                ins, outs = reading.ins, reading.outs
                if reading.line in sensor.lines and sensor.lines[reading.line].in_is == "backward":
                    ins, outs = outs, ins
                sums[sensor.id, reading.line][0] += ins
                sums[sensor.id, reading.line][1] += outs
    return sums


@pytest.mark.parametrize("miss", [0.05, 0.3])
def test_doors_miss_people_at_the_given_rate_in_both_directions(plan, noon_ms, miss):
    town = settle(plan, noon_ms, phones=0, miss=miss, speed=20)
    messages = town.step(noon_ms + 30 * MINUTE_MS)
    sums = counted(plan, messages)
    for direction in (0, 1):
        true = sum(
            line[direction] for lines in town.truth(noon_ms + 30 * MINUTE_MS).doors.values() for line in lines.values()
        )
        seen = sum(pair[direction] for pair in sums.values())
        assert true > 1500
        assert abs(seen - true * (1 - miss)) < 4.5 * math.sqrt(true * miss * (1 - miss)) + 20, (
            "and 10 s of reports to come"
        )


def test_a_line_mounted_backward_counts_the_other_way_round(plan, noon_ms):
    """In the first half hour more people come than go, by every line: after `in_is` is applied that is what was counted."""
    until_ms = noon_ms + 30 * MINUTE_MS
    town = settle(plan, noon_ms, phones=0, miss=0.0)
    messages, truth = town.step(until_ms + 11_000), town.truth(until_ms + 11_000)
    sums = counted(plan, messages)
    for sensor, line in [
        ("saltvane-doors", "tollgate-row"),
        ("saltvane-doors", "lantern-street"),
        ("pixelmoor-west", "door"),
    ]:
        ins, outs = truth.doors[sensor][line]
        assert ins > outs
        assert abs(sums[sensor, line][0] - ins) <= 4
        assert abs(sums[sensor, line][1] - outs) <= 4


def test_an_idle_sensor_sends_a_heartbeat_a_minute(plan, noon_ms):
    night_ms = noon_ms + 14 * 60 * MINUTE_MS
    messages = settle(plan, night_ms, phones=0).step(night_ms + 60 * MINUTE_MS)
    beats = [message for message in messages if message.topic == "geo/v1/sensor/lumenfold-men"]
    assert 48 <= len(beats) <= 60
    assert all(b'"heartbeat"' in message.payload for message in beats)


def test_the_camera_is_about_right_and_knows_how_right(plan, noon_ms):
    town = settle(plan, noon_ms, phones=0, scenario=DEMO, speed=10)
    scores = []
    for now_ms in range(noon_ms, noon_ms + 60 * MINUTE_MS, 1000):
        for message in town.step(now_ms):
            if message.topic == "geo/v1/sensor/tidewick-ceiling":
                (reading,) = decoder("native").decode(message.payload, message.topic, SensorConfig(id="x"))
                scores.append((reading.value - town.inside()["tidewick"]) / reading.error)
    assert len(scores) == 180
    assert abs(sum(scores) / len(scores)) < 0.5
    assert 0.6 < math.sqrt(sum(score * score for score in scores) / len(scores)) < 1.5


def test_the_pace_shortens_stays_more_than_it_quickens_steps():
    pace = Pace(60)
    assert pace.minutes_ms(20) == 20_000
    assert pace.walking(1.6) < BRISKEST_MPS
    assert pace.driving(8) < BRISKEST_MPS
    assert pace.between_pings(60_000) == 15_000
    assert Pace(0.5).between_pings(60_000) == 60_000
