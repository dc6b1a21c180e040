"""A store is full: the shopper waits her turn, and is invited, told that there was no room, or waits no longer."""

import msgspec
import pytest

from geo_service.catalogue.documents import Trigger, WhenFull
from geo_service.flow import waiting
from geo_service.flow.entries import Consent, Forget, Override, Pings, Traits
from geo_service.pings.batch import PingBatch

from .when_full import LON, NAN, STORES, T0, WAIT, Town, as_json, bread, brief, full, offers, site_of


def test_who_waits_is_invited_when_there_is_room(partitions):
    town = Town(bread(when_full=WAIT), partitions=partitions)
    full(town, "s1")
    (first,) = map(as_json, offers(town.ping(10, "anna", "s1")))
    assert first["evidence"]["then"] == {"wait_until": "2026-06-06T10:30:10Z"}
    assert offers(town.until(600)) == []
    town.recount(601, "s1", 5)
    (sent,) = map(as_json, offers(town.until(610)))
    assert (sent["store"], sent["decision"], sent["device"]) == ("s1", "sent", "anna")
    assert sent["reason"].startswith(f"admitted: waited {sent['evidence']['waited_s']} s (the store is full")
    assert sent["evidence"]["waited_s"] in range(591, 597)
    assert sent["evidence"]["waited_for"]["offer"] == first["id"]
    assert sent["evidence"]["crossing"] == first["evidence"]["crossing"]
    assert sent["id"] != first["id"]
    assert town.queue() == []
    assert offers(town.until(2000, 7)) == []


def test_where_no_other_store_has_room_she_waits(partitions):
    town = Town(bread(), partitions=partitions)
    full(town, "s1", "s2", "s3")
    said = offers(town.ping(10, "anna", "s1"))
    assert brief(said) == [(store, "withheld", "pacing") for store in ("s1", "s2", "s3")]
    assert said[0].evidence["then"].keys() == {"redirect", "wait_until"}
    assert town.queue() == [("s1", "anna", "bread")]
    town.recount(20, "s2", 3)  # that was then
    assert brief([*town.recount(20, "s1", 3), *town.until(30)]) == [("s1", "sent", "admitted")]


def test_who_was_sent_to_another_store_does_not_wait_as_well(partitions):
    town = Town(bread(), partitions=partitions)
    full(town, "s1")
    assert brief(town.ping(10, "anna", "s1")) == [("s1", "withheld", "pacing"), ("s2", "sent", "admitted")]
    assert town.queue() == []


def test_first_come_first_served_within_priority(partitions):
    town = Town(bread(when_full=WAIT), bread(id="cake", name="Cake", priority=3, when_full=WAIT), partitions=partitions)
    full(town, "s1")
    town.change(5, "campaign", "cake", bread(id="cake", name="Cake", priority=3, when_full=WAIT, state="paused"))
    for number in range(3):
        town.ping(10 + number, f"d{number}", "s1")
    town.change(20, "campaign", "cake", bread(id="cake", name="Cake", priority=3, when_full=WAIT))
    town.ping(30, "late", "s1")
    said = offers([*town.feed(40, "s1", Override("s1", "force", "mia")), *town.until(50)])
    assert [(each.device, each.campaign) for each in said] == [
        ("late", "cake"),
        ("d0", "bread"),
        ("d1", "bread"),
        ("d2", "bread"),
    ]


def test_they_are_asked_before_somebody_new_is_invited(partitions):
    town = Town(bread(when_full=WAIT), partitions=partitions)
    full(town, "s1")
    town.ping(10, "anna", "s1")
    town.until(20)
    town.feed(20.5, "s1", Override("s1", "ceiling", "mia", ceiling=500))
    town.recount(20.6, "s1", 5)
    said = offers(town.ping(21.6, "bert", "s1"))
    assert [(each.device, each.decision) for each in said] == [("anna", "sent"), ("bert", "sent")]


def test_she_waits_no_longer_than_the_campaign_says_and_that_is_told(partitions):
    town = Town(bread(when_full=WhenFull(wait_s=60)), partitions=partitions)
    full(town, "s1")
    first = offers(town.ping(10, "anna", "s1"))[0]
    (last,) = offers(town.until(200))
    assert (last.decision, last.reason) == ("withheld", "pacing: there was no room within 60 s")
    assert (last.evidence["waited_s"], last.evidence["waited_for"]["offer"]) == (60, first.id)
    town.recount(201, "s1", 3)
    assert offers(town.until(220)) == []


def test_whatever_else_says_no_at_the_second_asking_is_the_last_word(partitions):
    town = Town(bread(when_full=WAIT), partitions=partitions)
    full(town, "s1")
    town.ping(10, "anna", "s1")
    paused = town.change(20, "campaign", "bread", bread(when_full=WAIT, state="paused"))
    (last,) = offers([*paused, *town.until(40)])
    assert (last.decision, last.reason) == ("withheld", "live: the campaign is paused")
    assert town.queue() == []


def test_the_queue_has_an_end_and_who_finds_it_full_is_counted(partitions, monkeypatch):
    monkeypatch.setattr(waiting, "MOST", 3)
    town = Town(bread(when_full=WAIT), partitions=partitions)
    full(town, "s1")
    for number in range(5):
        (last,) = offers(town.ping(10 + number, f"d{number}", "s1"))
    assert last.evidence["then"] == {"wait": "as many as may wait for this store do already"}
    assert len(town.queue()) == 3
    assert town.counts["waiting_refused"] == 2


def test_she_takes_one_place_for_a_campaign_however_often_it_is_triggered(partitions):
    site = site_of(bread(when_full=WAIT))
    wider = msgspec.structs.replace(site.fence["s1.near"], id="s1.wide", radius_m=500)
    site.fence["s1.wide"] = wider
    town = Town(partitions=partitions, site=site)
    full(town, "s1")
    town.ping(10, "anna", "s1")
    assert town.queue() == [("s1", "anna", "bread")]


def leaves(town):
    town.ping(20, "anna", "s1", -900)


def falls_silent(town):
    town.until(700)


def is_forgotten(town):
    town.feed(20, "anna", Forget("anna"))


def wants_no_offers(town):
    town.feed(20, "anna", Consent("anna", {"offers": False}))


def is_not_to_be_located(town):
    town.feed(20, "anna", Consent("anna", {"location": False}))


def loses_the_fence(town):
    town.change(20, "fence", "s1.near", None)


def loses_the_fence_to_another_store(town):
    town.change(20, "fence", "s1.near", msgspec.structs.replace(town.site.fence["s1.near"], store="s2"))


def loses_ground(town):
    town.change(20, "fence", "s1.near", msgspec.structs.replace(town.site.fence["s1.near"], radius_m=100))


def stands_in_a_fence_that_is_switched_off(town):
    town.change(20, "fence", "s1.near", msgspec.structs.replace(town.site.fence["s1.near"], disabled=True))


def stands_in_a_fence_that_tells_no_exits(town):
    town.change(20, "fence", "s1.near", msgspec.structs.replace(town.site.fence["s1.near"], detect=("enter",)))


def comes_in_by_herself(town):
    town.ping(20, "anna", "s1", 10)


def is_waiting_for_what_is_gone(town):
    town.change(20, "campaign", "bread", None)


def is_waiting_for_what_nobody_waits_for(town):
    town.change(20, "campaign", "bread", bread(when_full=None))


def is_waiting_at_a_store_that_left_the_campaign(town):
    town.change(20, "campaign", "bread", bread(when_full=WAIT, stores=["s2"]))


def is_waiting_at_a_store_that_is_gone(town):
    town.change(20, "store", "s1", None)


ENDS = [
    leaves,
    falls_silent,
    is_forgotten,
    wants_no_offers,
    is_not_to_be_located,
    loses_the_fence,
    loses_the_fence_to_another_store,
    loses_ground,
    stands_in_a_fence_that_is_switched_off,
    stands_in_a_fence_that_tells_no_exits,
    comes_in_by_herself,
    is_waiting_for_what_is_gone,
    is_waiting_for_what_nobody_waits_for,
    is_waiting_at_a_store_that_left_the_campaign,
    is_waiting_at_a_store_that_is_gone,
]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_she_waits_no_longer_when_she(partitions, end):
    town = Town(bread(when_full=WAIT), partitions=partitions)
    full(town, "s1")
    town.ping(10, "anna", "s1")
    assert town.queue() == [("s1", "anna", "bread")]
    end(town)
    assert town.queue() == []
    if "s1" in town.folds[0].site.store:
        town.recount(720, "s1", 3)
    assert offers(town.until(740)) == []


def test_who_has_another_offer_that_excludes_it_waits_no_longer(partitions):
    town = Town(
        bread(when_full=WAIT, exclusive="lunch", stores=["s1"]),
        bread(id="soup", name="Soup", when_full=None, exclusive="lunch", stores=["s2"]),
        bread(id="tea", name="Tea", trigger=Trigger(role="store"), when_full=None, stores=["s1"]),
        partitions=partitions,
    )
    full(town, "s1")
    town.ping(10, "anna", "s1")
    around = msgspec.structs.replace(town.site.fence["s2.near"], radius_m=5000)
    town.change(15, "fence", "s2.near", around)
    assert ("soup", "sent") in [(each.campaign, each.decision) for each in offers(town.ping(20, "anna", "s1", 201))]
    last = offers([*town.recount(30, "s1", 3), *town.until(60)])
    assert [(each.decision, each.reason) for each in last] in (
        [],
        [("withheld", "caps: an offer that excludes this one is still good")],
    )
    assert town.queue() == []


def test_who_enters_and_leaves_within_one_entry_is_not_taken_in(partitions):
    town = Town(bread(), partitions=partitions)
    full(town, "s1")
    rows = [
        ("anna", T0 + at * 1000, STORES["s1"] + metres / 111_200, LON, NAN, NAN, NAN, 0)
        for at, metres in ((10, 200), (40, -900))
    ]
    said = town.feed(45, "anna", Pings(PingBatch.from_rows(rows)))
    assert brief(said) == [("s1", "withheld", "pacing")]
    assert town.queue() == []


def test_the_newest_that_the_store_has_heard_of_her_counts(partitions):
    members = {"rule": "segment", "any_of": ["member"]}
    town = Town(bread(when_full=WAIT), partitions=partitions)
    full(town, "s1")
    town.ping(10, "anna", "s1")
    town.feed(11, "anna", Traits("anna", ["member"]))
    zone = msgspec.structs.replace(town.site.fence["s1.shop"], id="s1.corner", role="zone", radius_m=150)
    town.change(12, "fence", "s1.corner", zone)
    town.ping(13, "anna", "s1", 140)
    town.change(14, "campaign", "bread", bread(when_full=WAIT, audience=members))
    (sent,) = offers([*town.recount(30, "s1", 3), *town.until(40)])
    assert (sent.decision, sent.evidence["person"]["segments"]) == ("sent", ("member",))
    assert sent.evidence["pacing"]["eta_s"] == pytest.approx(120 + 140 * 1.3 / 1.2, abs=3)


def test_who_waits_for_the_end_of_a_pause_inside_is_invited_though_it_is_full(partitions):
    town = Town(bread(when_full=WAIT, trigger=Trigger(role="store")), partitions=partitions)
    full(town, "s1")
    town.feed(5, "s1", Override("s1", "pause", "mia"))
    assert brief(town.ping(10, "anna", "s1", 10)) == [("s1", "withheld", "pacing")]
    resumed = town.feed(20, "s1", Override("s1", "resume", "mia"))
    assert brief([*resumed, *town.until(30)]) == [("s1", "sent", "admitted")]


def test_more_than_ten_who_wait_are_all_asked_in_the_end(partitions):
    town = Town(bread(when_full=WAIT), partitions=partitions, comfort=500)
    full(town, "s1")
    town.count(5, "s1", 600)
    for number in range(25):
        town.ping(10 + number, f"d{number:02}", "s1")
    sent = offers([*town.feed(40, "s1", Override("s1", "force", "mia")), *town.until(50)])
    assert [each.device for each in sent] == [f"d{number:02}" for number in range(25)]
    assert max([each.time for each in sent].count(at) for at in {each.time for each in sent}) == waiting.AT_ONCE
