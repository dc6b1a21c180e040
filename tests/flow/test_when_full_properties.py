"""Whatever happens around full stores: no cap is broken, no trigger makes two offers, nobody is invited who has left."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geo_service.catalogue.documents import Caps, Trigger, WhenFull
from geo_service.flow.entries import Consent, Forget, Override
from geo_service.flow.intake import partition_of
from geo_service.offers.redirect import moment_of
from geo_service.outputs import Crossing

from .when_full import T0, Town, bread

TOTAL, PER_DEVICE = 6, 2
DEVICES = ("d0", "d1", "d2", "d3")
NEAREST = WhenFull(redirect_m=2500, wait_s=90)
CAPS = Caps(total=TOTAL, per_device=PER_DEVICE)
CAMPAIGNS = (
    bread(caps=CAPS, when_full=NEAREST, holdout=0.3, exclusive="lunch"),
    bread(
        id="cake", name="Cake", when_full=WhenFull(wait_s=200), priority=1, caps=Caps(per_device=1), exclusive="lunch"
    ),
    bread(id="tea", name="Tea", when_full=WhenFull(redirect_m=1500), trigger=Trigger(role="store")),
)

devices, stores = st.sampled_from(DEVICES), st.sampled_from(("s1", "s2", "s3"))
happenings = st.one_of(
    st.tuples(st.just("ping"), devices, stores, st.sampled_from((0, 200, -200, -900))),
    st.tuples(st.just("ping"), devices, stores, st.sampled_from((200, -200))),
    st.tuples(st.just("count"), stores, st.sampled_from(((9, 0), (3, 0), (0, 9), (1, 1)))),
    st.tuples(st.just("recount"), stores, st.sampled_from((0, 3, 12))),
    st.tuples(st.just("override"), stores, st.sampled_from(("pause", "resume", "force"))),
    st.tuples(st.just("consent"), devices, st.booleans()),
    st.tuples(st.just("forget"), devices),
    st.tuples(st.just("tick")),
    st.tuples(st.just("checkpoint")),
    st.tuples(st.just("crash")),
)
histories = st.lists(st.tuples(st.sampled_from((1, 4, 7, 30)), happenings), min_size=5, max_size=45)


def play(town, history):
    """Returns when each person was said to want no offers, or to be forgotten: `(device, ms)`."""
    ended, second = [], 1
    happen = {
        "ping": town.ping,
        "count": lambda at, store, people: town.count(at, store, *people),
        "recount": town.recount,
        "override": lambda at, store, action: town.feed(at, store, Override(store, action, "mia")),
        "consent": lambda at, device, agrees: town.feed(at, device, Consent(device, {"offers": agrees})),
        "forget": lambda at, device: town.feed(at, device, Forget(device)),
        "tick": town.tick,
        "checkpoint": lambda _: town.checkpoint(),
        "crash": lambda _: town.crash(),
    }
    for store in town.site.store:
        town.count(second, store, 9)
    for wait_s, (what, *about) in history:
        for at in (second + wait_s // 2, second + wait_s):
            town.tick(at)
        second += wait_s
        happen[what](second, *about)
        if what == "forget" or (what == "consent" and not about[1]):
            ended.append((about[0], town.now_ms))
    town.until(second + 12)
    return ended


def assert_caps_are_kept(town, made):
    of_bread = [each for each in made if each.campaign == "bread"]
    assert len(of_bread) <= TOTAL
    assert max(Counter(each.device for each in of_bread).values(), default=0) <= PER_DEVICE
    assert max(Counter(each.device for each in made if each.campaign == "cake").values(), default=0) <= 1
    assert town.ledger.total(["cap:bread:total"], town.now_ms) == [len(of_bread)]


def assert_tokens_are_right(town, made):
    """Every invitation took one of the store that it is for, of the minute in which it was made; nothing else did."""
    taken = Counter(
        f"pacing:{each.store}:{round(each.time.timestamp() * 1000) // 60_000}"
        for each in made
        if "capacity" in each.evidence.get("pacing", {})
    )
    minutes = range(T0 // 60_000, town.now_ms // 60_000 + 1)
    counters = [f"pacing:{store}:{minute}" for store in town.site.store for minute in minutes]
    held = dict(zip(counters, town.ledger.total(counters, town.now_ms), strict=True))
    assert {name: n for name, n in held.items() if n} == dict(taken)


def assert_nobody_is_invited_who_has_left(town, made, ended):
    crossings = [each for each in town.said if isinstance(each, Crossing)]
    by_id = {each.id: each for each in crossings}
    for offer in made:
        if "waited_s" not in offer.evidence:
            continue
        trigger = by_id[offer.evidence["crossing"]]
        for later in crossings:
            if later.device != offer.device or not trigger.logged < later.logged < offer.time:
                continue
            assert (later.type, later.fence) != ("exit", trigger.fence)
            assert trigger.role == "store" or (later.role, later.store, later.type) != ("store", offer.store, "enter")
        began, sent = (round(at.timestamp() * 1000) for at in (trigger.logged, offer.time))
        assert not any(device == offer.device and began < at_ms < sent for device, at_ms in ended)


def assert_the_queue_is_of_those_who_are_there(town):
    queue = town.queue()
    assert len(set(queue)) == len(queue)
    for fold in town.folds:
        for waiter in fold.offering.pursuing.waiting.dump()["waiters"]:
            presence = town.folds[partition_of(waiter.device, town.partitions)].devices.presence
            assert waiter.crossing.fence in presence.fences_of(waiter.device)
            assert town.now_ms < waiter.until_ms + 6000
            assert not waiter.away


@pytest.mark.parametrize("partitions", [1, 3])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=histories)
def test_whatever_happens_the_rules_hold(partitions, history):
    town = Town(*CAMPAIGNS, partitions=partitions, comfort=9)
    ended = play(town, history)
    made = [each for each in town.offers if each.decision != "withheld"]
    ids = [each.id for each in town.offers]
    assert len(set(ids)) == len(ids)
    assert max(Counter(moment_of(each.id) for each in made).values(), default=0) <= 1
    assert_caps_are_kept(town, made)
    assert_tokens_are_right(town, made)
    assert_nobody_is_invited_who_has_left(town, made, ended)
    assert_the_queue_is_of_those_who_are_there(town)
    town.crash()
