"""Offers that never reached their shoppers: nobody is waited for because of them, and they teach nothing."""

import json

import pytest

from geo_service import outputs
from geo_service.catalogue.documents import Campaign, Capacity, Caps, Fence, Sensor, Store
from geo_service.catalogue.site import Site, encode_document
from geo_service.flow.aftermath import KEPT_MS
from geo_service.flow.entries import Change, Changes, Entry, EntryId, Pings, Readings, Redeemed, Tick, Undelivered
from geo_service.flow.ledger import MemoryLedger
from geo_service.flow.partition import Partition, Rules
from geo_service.pings.batch import PingBatch
from sensors.readings import Reading

T0 = 1_780_740_000_000
NAN = float("nan")
RULES = Rules("strict")
NEAR, INSIDE, AWAY = (45.0018, -6.0), (45.0, -6.0), (45.1, -6.1)


class Run:
    """One partition with a counted store, fed entry by entry; `crashing`: it is dumped and loaded before each."""

    def __init__(self, *, crashing=False, **campaign):
        self.crashing, self.seq, self.ledger, self.values = crashing, 0, MemoryLedger(), {}
        self.partition = Partition(0, 1, self.ledger, RULES)
        store = Store(id="s1", name="One", lat=45, lon=-6, capacity=Capacity(comfort=40, legal=80))
        fence = {"geometry": {"type": "Point", "coordinates": [-6.0, 45.0]}, "store": "s1"}
        site = Site(
            store={"s1": store},
            fence={
                "near": Fence(id="near", role="near", radius_m=300, **fence),
                "shop": Fence(id="shop", role="store", radius_m=50, **fence),
            },
            sensor={"door1": Sensor(id="door1", store="s1")},
            campaign={"bread": Campaign(id="bread", name="Bread", **{"holdout": 0, **campaign})},
        )
        self.feed(
            0, Changes([Change(kind, key, encode_document(document)) for kind, key, document in site.documents()])
        )
        self.feed(1, Readings([Reading(sensor="door1", kind="delta", ins=5, outs=0)]))

    def feed(self, second, body):
        if self.crashing and self.seq:
            self.partition = Partition.load(self.partition.dump(), 0, 1, self.ledger, RULES)
        self.seq += 1
        at_ms = T0 + round(second * 1000)
        step = self.partition.advance(Entry(EntryId(at_ms, self.seq), body))
        self.ledger.commit(step.to_commit, at_ms)
        self.values.update(step.values)
        return step.outputs

    def ping(self, second, device, place=NEAR):
        at_ms = T0 + second * 1000
        said = self.feed(second, Pings(PingBatch.from_rows([(device, at_ms, *place, NAN, NAN, NAN, 0)])))
        return [each for each in said if isinstance(each, outputs.Offer)]

    def offered(self, second, device):
        (offer,) = self.ping(second, device)
        assert offer.decision == "sent"
        return offer.id

    def undelivered(self, second, *offers):
        self.feed(second, Undelivered("s1", list(offers)))

    def in_flight(self):
        return self.partition.pacers._pacers["s1"].in_flight

    def acceptance(self):
        found = self.partition.offering.acceptance.get("bread")
        return (0, 0) if found is None else (found.accepted, found.declined)


@pytest.fixture(params=[False, True], ids=["", "crashing"])
def make(request):
    return lambda **campaign: Run(crashing=request.param, **campaign)


def test_an_offer_that_never_reached_its_shopper_is_in_flight_no_more(make):
    run = make()
    first, _ = run.offered(10, "anna"), run.offered(11, "bert")
    assert run.in_flight() == 2
    run.undelivered(12, first)
    assert run.in_flight() == 1


def test_the_pacing_value_tells_so_within_ten_seconds(make):
    run = make()
    first = run.offered(10, "anna")
    run.feed(30, Tick())
    run.undelivered(31, first)
    run.feed(45, Tick())
    assert json.loads(run.values["pacing:s1"])["in_flight"] == 0


def test_whom_another_offer_has_reached_is_still_waited_for(make):
    run = make()
    first = run.offered(10, "anna")
    run.ping(20, "anna", AWAY)
    second = run.offered(30, "anna")
    run.undelivered(31, second)
    assert run.in_flight() == 1
    run.undelivered(32, first)
    assert run.in_flight() == 0


def test_whom_an_offer_reached_that_is_over_is_still_waited_for(make):
    run = make(expires_s=60)
    run.offered(10, "anna")
    run.ping(20, "anna", AWAY)
    second = run.offered(100, "anna")
    run.undelivered(101, second)
    assert run.in_flight() == 1


def test_it_is_no_offer_that_was_declined(make):
    run = make(expires_s=60)
    first, second = run.offered(10, "anna"), run.offered(11, "bert")
    run.undelivered(12, first)
    run.ping(100, "carl")
    assert run.acceptance() == (0, 1)
    run.undelivered(101, second)
    assert run.acceptance() == (0, 0)


def test_nor_one_that_was_taken_up_by_who_came_anyway(make):
    run = make()
    first = run.offered(10, "anna")
    run.ping(60, "anna", INSIDE)
    assert run.acceptance() == (1, 0)
    run.undelivered(61, first)
    assert run.acceptance() == (0, 0)


def test_a_coupon_that_was_redeemed_did_reach_its_shopper(make):
    run = make()
    first = run.offered(10, "anna")
    what = {
        "campaign": "bread",
        "device": "anna",
        "store": "s1",
        "at": "s1",
        "change": "redeemed",
        "previous": "issued",
    }
    run.feed(20, Redeemed(id="r", offer=first, channel="store", time_ms=T0 + 20_000, **what))
    run.undelivered(21, first)
    assert run.acceptance() == (1, 0)


def test_to_be_told_twice_or_of_offers_that_nobody_knows_changes_nothing(make):
    run = make(expires_s=60)
    first, _ = run.offered(10, "anna"), run.offered(11, "bert")
    for second in (12, 13, 100, 101):
        run.undelivered(second, first, first, "0-1-0-0.0")
    run.ping(102, "carl")
    assert run.in_flight() == 2
    assert run.acceptance() == (0, 1)


def test_to_be_told_late_changes_nothing_either(make):
    run = make(expires_s=60)
    first = run.offered(10, "anna")
    run.ping(100, "bert")
    run.undelivered(101 + KEPT_MS // 1000, first)
    assert run.acceptance()[1] >= 1
    assert run.in_flight() <= 2


def test_what_the_caps_counted_stays_counted(make):
    """Another way may have brought the offer: a back office that hears of offers pushes them itself."""
    run = make(caps=Caps(total=1))
    run.undelivered(11, run.offered(10, "anna"))
    (second,) = run.ping(20, "bert")
    assert (second.decision, second.reason) == ("withheld", "caps: total is used up")
