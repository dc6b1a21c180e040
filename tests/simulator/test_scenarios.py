"""The demo's script, and shoppers who follow offers."""

import pytest

from geo_service.simulator.scenario import DAY, DEMO, Rhythm
from geo_service.simulator.town import Town

SECOND_MS = 1000
NIGHT_MS = 9 * 3_600_000
CROWDED = "emberoat"


@pytest.mark.parametrize("after_noon_ms", [0, NIGHT_MS + 6 * 3_600_000])
@pytest.mark.parametrize("seed", range(3))
def test_in_the_demo_a_store_runs_full_within_two_minutes_and_empties_again(plan, noon_ms, seed, after_noon_ms):
    start_ms = noon_ms + after_noon_ms
    town = Town(seed, plan, start_ms=start_ms, phones=20, speed=10, scenario=DEMO)
    capacity = plan.site.store[CROWDED].capacity
    inside = []
    for second in range(0, 660, 5):
        town.step(start_ms + second * SECOND_MS)
        inside.append(town.inside()[CROWDED])
    full = [second * 5 for second, people in enumerate(inside) if people >= capacity.legal]
    room = [second * 5 for second, people in enumerate(inside) if people < 0.9 * capacity.comfort]
    assert max(second for second in room if second < full[0]) >= 40, "offers go out before"
    assert 60 <= full[0] <= 120
    assert any(full[0] + 30 < second < 300 for second in room), "and again afterwards"
    assert sum(full[0] <= second < full[0] + 60 for second in full) > 8, "full for a good while"
    assert any(second > 400 for second in full), "and it happens again"


def test_in_the_demo_people_come_by_before_while_and_after_it_is_full(plan, noon_ms):
    town = Town(1, plan, start_ms=noon_ms, phones=300, speed=10, scenario=DEMO)
    enters = [
        (stay.entered_ms - noon_ms) / 1000
        for stay in town.truth(noon_ms + 300 * SECOND_MS).stays
        if stay.fence == f"{CROWDED}.near"
    ]
    assert sum(5 < second < 60 for second in enters) >= 10
    assert sum(85 < second < 150 for second in enters) >= 10
    assert sum(200 < second < 300 for second in enters) >= 10


def test_in_the_demo_stores_live_at_any_hour(plan, noon_ms):
    night_ms = noon_ms + 16 * 3_600_000
    town = Town(1, plan, start_ms=night_ms, phones=300, speed=10, scenario=DEMO)
    town.step(night_ms + 240 * SECOND_MS)
    assert sum(people >= 3 for people in town.inside().values()) >= 3
    assert len(town.people()) > 100


def test_by_day_a_crowd_comes_now_and_then_to_one_store_or_another(plan, noon_ms):
    town = Town(1, plan, start_ms=noon_ms, phones=0, speed=4, scenario=DAY)
    overfull = set()
    for minute in range(240):
        town.step(noon_ms + minute * 60 * SECOND_MS)
        overfull |= {store for store, people in town.inside().items() if people > plan.site.store[store].capacity.legal}
    assert len(overfull) >= 2


def test_nights_are_quiet_and_saturday_noon_is_the_busiest(noon_ms):
    rhythm = Rhythm("Europe/Paris", follows_the_day=True)
    saturday = noon_ms + 86_400_000
    week = {hour: rhythm.at(noon_ms + hour * 3_600_000) for hour in range(168)}
    assert max(week.values()) == rhythm.at(saturday) == 1.0
    assert rhythm.at(noon_ms + 15 * 3_600_000) < 0.05
    assert rhythm.at(saturday + 1_800_000) == pytest.approx((1.0 + 0.92) / 2)


@pytest.fixture
def invited(plan, noon_ms):
    """A town after five minutes, and phones out in the street."""
    town = Town(5, plan, start_ms=noon_ms, phones=60, speed=10, scenario=DEMO)
    now_ms = noon_ms + 300 * SECOND_MS
    truth = town.truth(now_ms)
    return town, now_ms, [device for device, person in truth.people.items() if person.store is None]


def test_about_a_third_of_the_shoppers_follow_an_offer(invited):
    town, now_ms, devices = invited
    followed = [device for device in devices if town.receive_offer(device, "fernhollow", now_ms)]
    assert 0.15 < len(followed) / len(devices) < 0.6
    town.step(now_ms + 240 * SECOND_MS)
    visitors = {
        stay.device
        for stay in town.truth(now_ms + 240 * SECOND_MS).stays
        if stay.fence == "fernhollow.store" and stay.entered_ms > now_ms
    }
    assert len(visitors & set(followed)) > 0.7 * len(followed), "some are still on the way or found it full"


def test_an_offer_moves_nobody_else(plan, noon_ms):
    """Early on, while no store is full; with everyone deaf but one."""
    quiet, swayed = (Town(5, plan, start_ms=noon_ms, phones=30, remembers=False) for _ in range(2))
    now_ms, until_ms = noon_ms + 120 * SECOND_MS, noon_ms + 900 * SECOND_MS
    quiet.step(now_ms)
    swayed.step(now_ms)
    device = next(
        device for device in swayed.people() if any(swayed.receive_offer(device, "tidewick", now_ms) for _ in range(20))
    )
    left, right = quiet.step(until_ms), swayed.step(until_ms)
    name = device.partition(".")[0]

    def others(messages):
        return [m for m in messages if "sensor" not in m.topic and "counter" not in m.topic and name not in m.topic]

    assert left != right
    assert others(left) == others(right)


def test_offers_to_nobody_of_nothing_or_of_a_closed_store_move_nobody(invited):
    town, now_ms, devices = invited
    for _ in range(50):
        assert not town.receive_offer("stranger", "tidewick", now_ms)
        assert not town.receive_offer(devices[0], "nowhere", now_ms)
        assert not town.receive_offer(devices[0], "velvetfox", now_ms), "opens at five"
