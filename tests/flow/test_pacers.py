"""Pacing in the fold: what is told to the pacers, what they answer, and what a crash or another partition changes (nothing)."""

import json

import pytest

from geo_service import outputs
from geo_service.catalogue.documents import Campaign, Capacity, Fence, Sensor, Store, Trigger
from geo_service.catalogue.site import Site, encode_document
from geo_service.flow.entries import Change, Changes, Entry, EntryId, Override, Pings, Readings, Recount, Tick
from geo_service.flow.intake import Intake, Message, SensorDirectory, nothing_taken
from geo_service.flow.ledger import MemoryLedger
from geo_service.flow.pacers import Pacers, eta_of
from geo_service.flow.partition import Partition, Rules
from geo_service.pings.batch import PingBatch
from sensors.readings import Reading

T0 = 1_780_740_000_000
NAN = float("nan")
STRICT = Rules("strict")
NEAR, INSIDE, AWAY = (45.0018, -6.0), (45.0, -6.0), (45.1, -6.1)


def site(comfort=40, **campaign):
    store = Store(id="s1", name="One", lat=45, lon=-6, capacity=Capacity(comfort=comfort, legal=2 * comfort))
    fence = {"geometry": {"type": "Point", "coordinates": [-6.0, 45.0]}, "store": "s1"}
    return Site(
        store={"s1": store},
        fence={
            "near": Fence(id="near", role="near", radius_m=300, **fence),
            "shop": Fence(id="shop", role="store", radius_m=50, **fence),
        },
        sensor={"door1": Sensor(id="door1", store="s1")},
        campaign={"bread": Campaign(id="bread", name="Bread", **{"holdout": 0, **campaign})},
    )


class Run:
    """One partition, fed entry by entry."""

    def __init__(self, site_, ledger=None):
        self.ledger = ledger or MemoryLedger()
        self.partition = Partition(0, 1, self.ledger, STRICT)
        self.values = {}
        self.seq = 0
        changes = [Change(kind, key, encode_document(document)) for kind, key, document in site_.documents()]
        self.feed(T0, Changes(changes))

    def feed(self, at_ms, body):
        self.seq += 1
        step = self.partition.advance(Entry(EntryId(at_ms, self.seq), body))
        self.ledger.commit(step.to_commit, at_ms)
        self.values.update(step.values)
        return step.outputs

    def pings(self, second, place, *devices):
        at_ms = T0 + second * 1000
        return self.feed(at_ms, Pings(PingBatch.from_rows([(d, at_ms, *place, NAN, NAN, NAN, 0) for d in devices])))

    def count(self, second, ins, outs=0):
        at_ms = T0 + second * 1000
        return self.feed(at_ms, Readings([Reading(sensor="door1", kind="delta", ins=ins, outs=outs)]))

    def pacing(self):
        return json.loads(self.values["pacing:s1"])


def offers(said):
    return [output for output in said if isinstance(output, outputs.Offer)]


def shoppers(count, first=0):
    return [f"d{number}" for number in range(first, first + count)]


def test_promotions_are_held_by_those_who_are_on_their_way_though_the_store_is_half_empty():
    run = Run(site())
    run.count(1, 8)
    said = [offer for number in range(60) for offer in offers(run.pings(10 + number, NEAR, f"d{number}"))]
    sent = [offer for offer in said if offer.decision == "sent"]
    assert 0 < len(sent) < 60
    last = said[-1]
    assert (last.decision, last.evidence["occupancy"]["mean"]) == ("withheld", pytest.approx(8, abs=1))
    assert last.reason.startswith("pacing: would be ")
    assert " of 40 people at " in last.reason
    assert last.evidence["pacing"]["in_flight"] == len(sent)
    assert last.evidence["pacing"]["capacity"] == 40


def test_crossings_of_one_entry_never_invite_more_than_there_is_room_for():
    one_by_one, at_once = Run(site(25)), Run(site(25))
    for run in (one_by_one, at_once):
        run.count(1, 8)
    single = [offer for d in shoppers(80) for offer in offers(one_by_one.pings(10, NEAR, d))]
    together = offers(at_once.pings(10, NEAR, *shoppers(80)))
    sent = [sum(offer.decision == "sent" for offer in said) for said in (single, together)]
    assert 0 < sent[1] <= sent[0] < 80
    assert sent[0] - sent[1] <= 1
    assert any(offer.reason.startswith("pacing: as many as may come are invited") for offer in together)


def test_an_entry_folded_again_after_a_crash_decides_the_same_and_takes_no_token_twice():
    run = Run(site(25))
    run.count(1, 8)
    before = run.partition.dump()
    first = offers(run.pings(10, NEAR, *shoppers(50)))
    again = Run(site(25), run.ledger)
    again.partition = Partition.load(before, 0, 1, run.ledger, STRICT)
    again.seq = run.seq - 1
    second = offers(again.pings(10, NEAR, *shoppers(50)))
    assert [outputs.encode(offer) for offer in second] == [outputs.encode(offer) for offer in first]
    assert offers(run.pings(12, NEAR, "late"))[0].decision == offers(again.pings(12, NEAR, "late"))[0].decision


def test_a_checkpoint_in_the_middle_changes_no_output():
    plain, restarted = Run(site()), Run(site())
    for run in (plain, restarted):
        said = []
        for minute in range(40):
            if run is restarted and minute % 7 == 3:
                run.partition = Partition.load(run.partition.dump(), 0, 1, run.ledger, STRICT)
            said += run.count(minute * 60 + 5, 2, 1)
            said += run.pings(minute * 60 + 10, NEAR, f"d{minute}")
            said += run.pings(minute * 60 + 20, INSIDE, f"d{minute - 6}")
            said += run.pings(minute * 60 + 30, AWAY, f"d{minute - 20}")
            said += run.feed(T0 + minute * 60_000 + 40_000, Tick())
        run.said = [outputs.encode(output) for output in said]
    assert plain.said == restarted.said
    assert plain.partition.pacers.dump() == restarted.partition.pacers.dump()


def test_who_comes_in_is_no_longer_in_flight_and_teaches_the_conversion():
    run = Run(site(200))
    run.count(1, 8)
    run.pings(10, NEAR, *shoppers(30))
    run.pings(300, INSIDE, *shoppers(20))
    run.count(330, 20)
    assert run.pacing()["in_flight"] == 10
    run.count(1800, 1)
    assert run.pacing()["evidence"]["conversion"] > 0.3


def test_who_appears_inside_is_not_waited_for():
    run = Run(site())
    run.count(1, 2)
    run.pings(10, INSIDE, "d1")
    run.count(30, 1)
    assert run.pacing()["in_flight"] == 0


def test_somebody_who_is_inside_gets_her_offer_though_the_store_is_full_unless_it_is_paused():
    run = Run(site(trigger=Trigger(role="store")))
    run.count(1, 60)
    assert offers(run.pings(10, INSIDE, "d1"))[0].decision == "sent"
    run.feed(T0 + 20_000, Override("s1", "pause", "mia"))
    assert offers(run.pings(30, INSIDE, "d2"))[0].reason == "pacing: paused by mia"


def test_a_manager_pauses_resumes_forces_and_every_word_is_kept():
    run = Run(site())
    run.count(1, 2)
    run.feed(T0 + 2000, Override("s1", "pause", "mia", T0 + 600_000))
    assert offers(run.pings(10, NEAR, "d1"))[0].reason.startswith("pacing: paused by mia until ")
    run.feed(T0 + 20_000, Override("s1", "resume", "mia"))
    assert offers(run.pings(30, NEAR, "d2"))[0].decision == "sent"
    run.count(40, 90)
    assert offers(run.pings(50, NEAR, "d3"))[0].reason.startswith("pacing: the store is full")
    run.feed(T0 + 60_000, Override("s1", "force", "ola"))
    forced = offers(run.pings(70, NEAR, "d4"))[0]
    assert (forced.decision, forced.evidence["pacing"]["verdict"]) == ("sent", "forced on by ola")
    told = run.pacing()
    assert [(word["action"], word["by"]) for word in told["overrides"]] == [
        ("force", "ola"),
        ("resume", "mia"),
        ("pause", "mia"),
    ]
    assert (told["override"]["action"], told["override"]["since"]) == ("force", told["overrides"][0]["since"])


def test_an_override_of_a_store_that_is_not_there_is_said_to_be_rejected():
    said = Run(site()).feed(T0 + 1000, Override("nowhere", "pause", "mia"))
    assert [(type(output).__name__, output.topic) for output in said] == [
        ("Rejected", "http:/v1/stores/nowhere/pacing")
    ]


def test_a_store_promises_the_minutes_that_its_document_says_and_another_number_from_the_change_on():
    run = Run(site())
    run.count(1, 2)
    assert run.pacing()["target_minutes"] == 5
    store = {"id": "s1", "name": "One", "lat": 45, "lon": -6, "capacity": {"comfort": 40, "legal": 80}}
    changed = json.dumps(store | {"pacing": {"overshoot_minutes": 2.5}}).encode()
    run.feed(T0 + 20_000, Changes([Change("store", "s1", changed)]))
    run.feed(T0 + 31_000, Tick())
    assert run.pacing()["target_minutes"] == 2.5
    restarted = Pacers.load(run.partition.pacers.dump(), run.partition.site)
    assert restarted.dump() == run.partition.pacers.dump()


def test_a_count_by_eye_lets_promotions_go_on_at_once():
    run = Run(site())
    run.count(1, 45)
    assert offers(run.pings(10, NEAR, "d1"))[0].decision == "withheld"
    run.feed(T0 + 20_000, Recount("s1", 5))
    assert offers(run.pings(30, NEAR, "d2"))[0].decision == "sent"


def test_held_out_shoppers_are_admitted_first_and_not_waited_for():
    run = Run(site(holdout=1))
    run.count(1, 2)
    said = offers(run.pings(10, NEAR, *shoppers(3)))
    assert {offer.decision for offer in said} == {"held_out"}
    assert "pacing" in said[0].evidence
    run.count(30, 1)
    assert run.pacing()["in_flight"] == 0


def test_a_store_without_sensors_is_not_paced_and_a_removed_one_leaves_no_value():
    bare = site()
    bare.sensor.clear()
    run = Run(bare)
    assert offers(run.pings(10, NEAR, "d1"))[0].evidence.get("pacing") is None
    run = Run(site())
    run.count(1, 2)
    assert run.values["pacing:s1"] is not None
    run.feed(T0 + 5000, Changes([Change("sensor", "door1", None), Change("store", "s1", None)]))
    assert run.values["pacing:s1"] is None


def test_the_way_is_longer_than_the_crow_flies():
    store = site().store["s1"]
    run = Run(site())
    crossing = next(o for o in run.pings(10, NEAR, "d1") if isinstance(o, outputs.Crossing))
    assert eta_of(crossing, store) == pytest.approx(120 + 200 * 1.3 / 1.2, rel=0.02)


def test_an_old_checkpoint_without_pacing_is_read():
    assert Pacers.load({}, site()).dump() == Pacers(site()).dump()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"action": "stop", "by": "m"}, "action"),
        ({"action": "ceiling", "by": "m"}, "ceiling"),
        ({"action": "pause", "by": "m", "ceiling": 4}, "ceiling"),
        ({"action": "ceiling", "by": "m", "ceiling": -1}, "ceiling"),
        ({"action": "pause", "by": "m", "until": "soon"}, "until"),
        ({"action": "pause"}, "by"),
    ],
)
def test_what_is_no_decision_is_refused_at_the_border(body, reason):
    taken = nothing_taken()
    intake = Intake(SensorDirectory({}, {}))
    problems = intake.take(Message("http:/v1/stores/s1/pacing", json.dumps(body).encode(), T0), taken)
    assert taken.others == []
    assert reason in f"{problems[0].field} {problems[0].reason}"


def test_a_decision_over_http_is_an_entry_with_its_times():
    taken = nothing_taken()
    body = {"action": "ceiling", "ceiling": 80, "by": "mia", "until": "2026-06-06T12:00:00Z"}
    Intake(SensorDirectory({}, {})).take(Message("http:/v1/stores/s1/pacing", json.dumps(body).encode(), T0), taken)
    assert taken.others == [("s1", Override("s1", "ceiling", "mia", 1_780_747_200_000, 80))]
