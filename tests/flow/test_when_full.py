"""A store is full: the shopper is sent to another one with room; and what a partition keeps of those who wait."""

import msgspec
import pytest

from geo_service import outputs
from geo_service.catalogue.documents import Caps, StockLevel, Trigger, WhenFull
from geo_service.catalogue.site import encode_document
from geo_service.flow import waiting
from geo_service.flow.entries import Change, Changes, Entry, EntryId, Forget, Override, Redeemed, Traits
from geo_service.flow.intake import partition_of
from geo_service.flow.partition import Partition
from geo_service.offers.holdout import is_held_out
from geo_service.people.state import kept_in_state
from geo_service.people.traces import Trace

from .when_full import (
    BOTH,
    FULL,
    REDIRECT,
    STORES,
    STRICT,
    T0,
    WAIT,
    Town,
    as_json,
    bread,
    brief,
    full,
    offers,
    site_of,
)


def test_the_stores_of_these_tests_lie_in_different_partitions():
    assert len({partition_of(store, 3) for store in ("s1", "s2", "s3")}) > 1


# --- another store ---------------------------------------------------------------------------------------------------


def test_a_shopper_is_sent_to_the_nearest_store_that_has_room(partitions):
    town = Town(bread(when_full=REDIRECT), partitions=partitions)
    full(town, "s1")
    first, second = map(as_json, offers(town.ping(10, "anna", "s1")))
    assert (first["store"], first["decision"]) == ("s1", "withheld")
    assert first["reason"].startswith("pacing: the store is full")
    assert first["evidence"]["then"] == {"redirect": ["s2", "s3"]}
    assert (second["store"], second["decision"]) == ("s2", "sent")
    assert second["reason"] == f"admitted: redirected from Store s1 ({first['reason'].removeprefix('pacing: ')})"
    assert second["evidence"]["redirected_from"] == {
        "store": "s1",
        "name": "Store s1",
        "offer": first["id"],
        "reason": first["reason"].removeprefix("pacing: "),
        "metres": pytest.approx(912, abs=3),
    }
    assert second["id"] != first["id"]
    assert second["evidence"]["crossing"] == first["evidence"]["crossing"]
    assert second["evidence"]["pacing"]["eta_s"] == pytest.approx(120 + 912 * 1.3 / 1.2, abs=5)


def test_it_goes_on_from_store_to_store_until_one_has_room(partitions):
    town = Town(bread(when_full=REDIRECT), partitions=partitions)
    full(town, "s1", "s2")
    assert brief(town.ping(10, "anna", "s1")) == [
        ("s1", "withheld", "pacing"),
        ("s2", "withheld", "pacing"),
        ("s3", "sent", "admitted"),
    ]


def test_no_more_than_three_are_asked_and_none_out_of_reach(partitions):
    town = Town(bread(when_full=WhenFull(redirect_m=50_000)), partitions=partitions, stores=tuple(STORES))
    full(town, *STORES)
    assert [store for store, *_ in brief(town.ping(10, "anna", "s1"))] == ["s1", "s2", "s3", "s4"]
    near = Town(bread(when_full=WhenFull(redirect_m=800)), partitions=partitions)
    full(near, "s1")
    (only,) = offers(near.ping(10, "anna", "s1"))
    assert only.evidence["then"] == {"redirect": []}


def test_every_question_is_asked_anew_for_the_other_store(partitions):
    site = site_of(bread(when_full=REDIRECT, skus=["rye"], caps=Caps(per_store=1)), stores=tuple(STORES))
    site.store["s2"] = msgspec.structs.replace(site.store["s2"], hours={"mon": [["09:00", "09:01"]]})
    site.stock["s3/rye"] = StockLevel(store="s3", sku="rye", on_hand=0)
    town = Town(partitions=partitions, site=site)
    full(town, "s1")
    town.change(
        5, "campaign", "bread", bread(when_full=WhenFull(redirect_m=4000), skus=["rye"], caps=Caps(per_store=1))
    )
    assert brief(town.ping(10, "anna", "s1")) == [
        ("s1", "withheld", "pacing"),
        ("s2", "withheld", "hours"),
        ("s3", "withheld", "stock"),
        ("s4", "sent", "admitted"),
    ]
    assert brief(town.ping(20, "bert", "s1"))[-1] == ("s4", "withheld", "caps")


def test_she_is_looked_at_as_the_other_store_knows_her(partitions):
    known = {"rule": "visits", "at_least": 1, "where": "here"}
    strangers = bread(
        when_full=REDIRECT, audience={"rule": "any", "of": [known, {"rule": "segment", "any_of": ["vip"]}]}
    )
    town = Town(strangers, partitions=partitions)
    full(town)
    town.feed(2, "anna", Traits("anna", ["vip"]))
    for at, metres in ((10, 0), (200, 900)):
        town.ping(at, "anna", "s2", metres)
    town.feed(210, "anna", Traits("anna", []))
    town.count(220, "s1", FULL)
    town.feed(
        230, None, Changes([Change("campaign", "bread", encode_document(bread(when_full=REDIRECT, audience=known)))])
    )
    # At the first store she is a stranger, so nothing but pacing is what stops somebody whom it knows.
    assert brief(town.ping(240, "anna", "s1")) == [("s1", "withheld", "audience")]
    anybody = {"rule": "visits", "at_least": 1, "where": "anywhere"}
    town.change(250, "campaign", "bread", bread(when_full=REDIRECT, audience=anybody))
    town.ping(260, "anna", "s1", 900)
    sent = offers(town.ping(270, "anna", "s1"))[-1]
    assert (sent.store, sent.decision, sent.evidence["person"]["visits_here"]) == ("s2", "sent", 1)


def test_the_same_people_are_held_out_wherever_they_are_sent(partitions):
    town = Town(bread(when_full=REDIRECT, holdout=0.5), partitions=partitions, comfort=200)
    town.count(1, "s1", 300)
    town.count(1, "s2", 2)
    for number in range(20):
        last = offers(town.ping(10 + number, f"d{number}", "s1"))[-1]
        assert (last.store, last.decision) == ("s2", "held_out" if is_held_out(f"d{number}", "bread", 0.5) else "sent")


def test_nobody_is_sent_on_for_another_reason_than_pacing(partitions):
    town = Town(bread(caps=Caps(total=0)), partitions=partitions)
    full(town, "s1")
    assert brief(town.ping(10, "anna", "s1")) == [("s1", "withheld", "caps")]
    assert town.queue() == []


def test_nobody_is_sent_on_who_gets_another_offer_of_the_same_moment(partitions):
    inside = Trigger(role="store")
    town = Town(
        bread(trigger=inside),
        bread(id="tea", name="Tea", trigger=inside, when_full=None, priority=-1),
        partitions=partitions,
    )
    town.count(1, "s1", 2)
    assert [(each.campaign, each.decision) for each in offers(town.ping(10, "anna", "s1", 0))] == [
        ("bread", "sent"),
        ("tea", "withheld"),
    ]
    full(town, "s1", second=20)
    town.feed(21, "s1", Override("s1", "pause", "mia"))
    said = offers(town.ping(30, "bert", "s1", 0))
    assert [(each.campaign, each.store, each.decision) for each in said][-1] == ("bread", "s2", "sent")


def test_of_several_campaigns_the_first_in_rank_goes_on(partitions):
    town = Town(
        bread(when_full=REDIRECT), bread(id="cake", name="Cake", priority=5, when_full=REDIRECT), partitions=partitions
    )
    full(town, "s1")
    said = offers(town.ping(10, "anna", "s1"))
    assert [(each.campaign, each.store, each.decision) for each in said] == [
        ("cake", "s1", "withheld"),
        ("bread", "s1", "withheld"),
        ("cake", "s2", "sent"),
    ]


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_whoever_waits_is_in_the_checkpoint_is_told_and_is_gone_when_she_is_erased():
    town = Town(bread(), partitions=3)
    full(town, "s1", "s2", "s3")
    town.ping(10, "anna-7f3a", "s1")
    owner = partition_of("s1", 3)
    assert partition_of("anna-7f3a", 3) != owner
    told = kept_in_state(town.folds[owner].dump(), Trace("anna-7f3a"))
    (waits,) = [each["holds"] for each in told if each["part"] == "offering.waiting.waiters"]
    assert (waits["campaign"], waits["crossing"]["fence"]) == ("bread", "s1.near")
    for number, fold in enumerate(town.folds):
        again = Partition.load(fold.dump(), number, 3, town.ledger, STRICT)
        assert again.dump() == fold.dump()
    # An erasure is told to every partition, whether it knows her or not.
    town.feed(20, None, Forget("anna-7f3a"))
    for fold in town.folds:
        assert b"anna-7f3a" not in fold.dump()


def test_an_old_checkpoint_has_an_empty_queue():
    town = Town(bread())
    state = msgspec.msgpack.decode(town.folds[0].dump())
    del state["offering"]["waiting"]
    again = Partition.load(msgspec.msgpack.encode(state), 0, 1, town.ledger, STRICT)
    assert again.dump() == town.folds[0].dump()


def test_a_handover_that_comes_again_asks_nobody_twice():
    town = Town(bread(when_full=REDIRECT), partitions=3)
    full(town, "s1")
    before = len(offers(town.ping(10, "anna", "s1")))
    assert before == 2
    handed = [
        (number, entry.body)
        for number, log in enumerate(town.logs)
        for entry in log
        if type(entry.body).__name__ == "Handover"
    ]
    assert handed
    for number, body in handed:
        assert town.folds[number].advance(Entry(EntryId(T0 + 12_000, 999), body))[:3] == ([], [], [])


def test_a_replay_ticks_for_those_who_wait():
    town = Town(bread(when_full=WAIT))
    full(town, "s1")
    town.ping(10, "anna", "s1")
    assert town.folds[0].offering.next_due_ms() == T0 + 10_000 + waiting.ASKED_EVERY_MS
    assert town.folds[0].next_due_ms() <= T0 + 10_000 + waiting.ASKED_EVERY_MS


def test_a_coupon_that_came_after_a_wait_is_redeemed_like_any_other():
    town = Town(bread(when_full=WAIT, benefit={"type": "percentage", "value": 10}))
    full(town, "s1")
    town.ping(10, "anna", "s1")
    (sent,) = offers([*town.recount(20, "s1", 3), *town.until(30)])
    assert sent.code
    body = Redeemed("x", sent.id, "bread", "anna", "s1", "s1", "redeemed", "issued", "store", town.now_ms)
    assert [type(each) for each in town.feed(40, "s1", body)] == [outputs.Redemption]
    assert town.folds[0].offering.acceptance["bread"].accepted == 1


def test_a_campaign_without_the_option_keeps_nobody():
    town = Town(bread(when_full=None), partitions=3)
    full(town, "s1")
    (only,) = offers(town.ping(10, "anna", "s1"))
    assert "then" not in only.evidence
    assert town.queue() == []
    assert not any(fold.offering.pursuing.has_queue("s1") for fold in town.folds)


def test_a_site_with_both_for_a_trigger_that_leaves_nobody_is_refused():
    town = Town(bread())
    said = town.change(5, "campaign", "bread", bread(when_full=BOTH, trigger=Trigger(role="near", type="exit")))
    assert [each.reason for each in said if isinstance(each, outputs.Rejected)] == [
        "when_full.wait_s: a trigger of type 'exit' leaves nobody in the fence who could wait"
    ]
