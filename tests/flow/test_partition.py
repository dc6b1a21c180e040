"""The fold: the same entries give the same outputs, from the start or from any checkpoint."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geo_service import outputs
from geo_service.catalogue.documents import Campaign, Capacity, Caps, Fence, Sensor, Store
from geo_service.catalogue.site import Site, encode_document
from geo_service.flow.entries import (
    Change,
    Changes,
    Consent,
    Entry,
    EntryId,
    Forget,
    Pings,
    Readings,
    Recount,
    Tick,
)
from geo_service.flow.intake import partition_of
from geo_service.flow.ledger import MemoryLedger
from geo_service.flow.partition import Partition, Rules
from geo_service.pings.batch import PingBatch
from sensors.readings import Reading

T0 = 1_780_740_000_000
NAN = float("nan")
HERE, AWAY = (45.0, -6.0), (45.1, -6.1)
STRICT = Rules("strict")


def site(**campaign: object) -> Site:
    store = Store(id="s1", name="One", lat=45, lon=-6, capacity=Capacity(comfort=10, legal=20))
    fence = {"geometry": {"type": "Point", "coordinates": [-6.0, 45.0]}, "store": "s1", "dwell_s": 60}
    return Site(
        store={"s1": store},
        fence={
            "near": Fence(id="near", role="near", radius_m=300, **fence),
            "shop": Fence(id="shop", role="store", radius_m=100, **fence),
        },
        sensor={"door1": Sensor(id="door1", store="s1")},
        campaign={"bread": Campaign(id="bread", name="Bread", holdout=0, **campaign)},
    )


class Run:
    """One partition, fed entry by entry."""

    def __init__(self, site_: Site, rules: Rules = STRICT, number: int = 0, partitions: int = 1) -> None:
        self.ledger = MemoryLedger()
        self.partition = Partition(number, partitions, self.ledger, rules)
        self.said: list[outputs.AnyOutput] = []
        changes = [Change(kind, key, encode_document(document)) for kind, key, document in site_.documents()]
        self.feed(T0, Changes(changes))

    def feed(self, at_ms: int, body: object, seq: int = 0) -> list[outputs.AnyOutput]:
        step = self.partition.advance(Entry(EntryId(at_ms, seq), body))
        self.ledger.commit(step.to_commit, at_ms)
        self.said += step.outputs
        return step.outputs

    def ping(self, second: int, place: tuple[float, float], device: str = "d1") -> list[outputs.AnyOutput]:
        at_ms = T0 + second * 1000
        row = (device, at_ms, *place, NAN, NAN, NAN, 0)
        return self.feed(at_ms, Pings(PingBatch.from_rows([row])))

    def count(self, second: int, ins: int, outs: int = 0) -> list[outputs.AnyOutput]:
        at_ms = T0 + second * 1000
        return self.feed(at_ms, Readings([Reading(sensor="door1", kind="delta", ins=ins, outs=outs)]))


def kinds(said: list[outputs.AnyOutput]) -> list[str]:
    return [type(output).__name__ for output in said]


def of(kind: type, said: list[outputs.AnyOutput]) -> list:
    return [output for output in said if isinstance(output, kind)]


def test_one_ping_becomes_crossings_and_an_offer():
    run = Run(site())
    run.count(1, 2)
    said = run.ping(10, HERE)
    assert kinds(said) == ["Crossing", "Crossing", "Offer"]
    near, shop, offer = said
    assert (near.type, near.fence, shop.fence) == ("enter", "near", "shop")
    assert (offer.decision, offer.campaign, offer.device, offer.store) == ("sent", "bread", "d1", "s1")
    assert len({near.id, shop.id, offer.id}) == 3


def test_a_stay_that_ends_is_a_visit_with_its_duration():
    run = Run(site())
    run.ping(0, HERE)
    run.ping(150, HERE)
    said = run.ping(200, AWAY)
    visit = of(outputs.Visit, said)[0]
    assert (visit.device, visit.store, visit.duration_s, visit.confirmed) == ("d1", "s1", 200.0, True)


def test_offers_stop_while_the_store_is_full_and_come_back():
    run = Run(site())
    run.count(1, 12)
    assert of(outputs.Offer, run.ping(10, HERE))[0].reason.startswith("pacing: the store is full")
    run.feed(T0 + 20_000, Recount("s1", 2))
    assert of(outputs.Offer, run.ping(30, HERE, "d2"))[0].decision == "sent"


def test_a_recount_is_said_at_once_and_keeps_the_counted_totals():
    run = Run(site())
    run.count(1, 7)
    (said,) = run.feed(T0 + 1_100, Recount("s1", 3))
    assert abs(said.mean - 3) < 1
    assert said.in_total == 7


def test_a_recount_of_a_store_that_is_not_there_is_rejected():
    (said,) = Run(site()).feed(T0 + 1_000, Recount("s9", 3))
    assert (said.topic, said.reason) == ("http:/v1/stores/s9/occupancy/recount", "there is no such store")


def test_occupancy_is_said_at_most_once_a_second_and_never_forgotten():
    run = Run(site())
    assert len(of(outputs.Occupancy, run.count(1, 1))) == 1
    assert run.feed(T0 + 1_300, Readings([Reading(sensor="door1", kind="delta", ins=1)])) == []
    due = run.partition.next_due_ms()
    assert due == T0 + 2_000
    (said,) = of(outputs.Occupancy, run.feed(due, Tick()))
    assert said.in_total == 2


def test_consent_withdrawn_ends_offers_or_location_at_once():
    run = Run(site())
    run.count(1, 1)
    run.feed(T0 + 2_000, Consent("d1", {"offers": False}))
    assert of(outputs.Offer, run.ping(10, HERE))[0].reason.startswith("consent")
    left = run.feed(T0 + 20_000, Consent("d1", {"location": False}))
    assert {crossing.reason for crossing in of(outputs.Crossing, left)} == {"forgotten"}
    assert run.ping(30, HERE) == []


def test_a_forgotten_device_leaves_every_fence_and_is_new_when_it_returns():
    run = Run(site())
    run.ping(0, HERE)
    said = run.feed(T0 + 5_000, Forget("d1"))
    assert [(crossing.type, crossing.reason) for crossing in of(outputs.Crossing, said)] == [("exit", "forgotten")] * 2
    assert of(outputs.Visit, said) == []
    assert b"d1" not in run.partition.dump()
    assert [crossing.type for crossing in of(outputs.Crossing, run.ping(10, HERE))] == ["enter", "enter"]


def test_a_document_that_cannot_be_used_is_rejected_and_the_old_one_stays():
    run = Run(site())
    line = json.dumps({"id": "near", "geometry": {"type": "LineString", "coordinates": []}}).encode()
    (said,) = run.feed(T0 + 1_000, Changes([Change("fence", "near", line)]))
    assert isinstance(said, outputs.Rejected)
    assert said.topic == "fence/near"
    assert {crossing.fence for crossing in of(outputs.Crossing, run.ping(2, HERE))} == {"near", "shop"}


def test_a_fence_removed_under_a_device_is_left():
    run = Run(site())
    run.ping(0, HERE)
    said = run.feed(T0 + 1_000, Changes([Change("fence", "near", None)]))
    assert [(crossing.type, crossing.fence, crossing.reason) for crossing in said] == [
        ("exit", "near", "fence_removed")
    ]


def test_a_sensor_that_falls_silent_is_told_of_once():
    run = Run(site())
    run.count(1, 1)
    said: list[outputs.AnyOutput] = []
    for _ in range(50):
        due = run.partition.next_due_ms()
        assert due is not None
        if due > T0 + 3_600_000:
            break
        said += run.feed(-(-due // 1000) * 1000, Tick())
    assert [(event.id, event.state) for event in of(outputs.Sensor, said)] == [("door1", "silent")]


def test_crossings_of_another_partitions_store_are_handed_over_and_counted_once():
    partitions = 8
    owner = partition_of("s1", partitions)
    device = next(f"d{n}" for n in range(100) if partition_of(f"d{n}", partitions) != owner)
    number = partition_of(device, partitions)
    source, target = Run(site(), number=number, partitions=partitions), Run(site(), number=owner, partitions=partitions)
    target.count(1, 1)
    at_ms = T0 + 10_000
    batch = PingBatch.from_rows([(device, at_ms, *HERE, NAN, NAN, NAN, 0)])
    step = source.partition.advance(Entry(EntryId(at_ms, 0), Pings(batch)))
    assert kinds(step.outputs) == ["Crossing", "Crossing"]
    ((to, handover),) = step.handovers
    assert to == owner
    assert [offer.decision for offer in target.feed(at_ms + 5, handover)] == ["sent"]
    assert target.feed(at_ms + 6, handover) == []


moves = st.lists(
    st.tuples(
        st.sampled_from(["ping", "ping", "ping", "count", "tick", "recount"]),
        st.integers(1, 400),
        st.sampled_from(["d1", "d2", "d3"]),
        st.booleans(),
        st.integers(0, 6),
    ),
    max_size=12,
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(moves, st.integers(0, 12), st.sampled_from(["strict", "steady"]))
def test_from_any_checkpoint_the_fold_goes_on_as_if_nothing_had_happened(history, cut, presence):
    def entries():
        at_ms = T0
        for what, seconds, device, inside, number in history:
            at_ms += seconds * 1000
            place = HERE if inside else AWAY
            if what == "ping":
                yield Entry(EntryId(at_ms, 0), Pings(PingBatch.from_rows([(device, at_ms, *place, 8.0, NAN, NAN, 0)])))
            elif what == "count":
                yield Entry(
                    EntryId(at_ms, 0), Readings([Reading(sensor="door1", kind="delta", ins=number, outs=number // 2)])
                )
            elif what == "tick":
                yield Entry(EntryId(at_ms, 0), Tick())
            else:
                yield Entry(EntryId(at_ms, 0), Recount("s1", number))

    rules = Rules(presence)
    whole, cut_short = Run(site(caps=Caps(total=3)), rules), Run(site(caps=Caps(total=3)), rules)
    for number, entry in enumerate(entries()):
        if number == cut:
            cut_short.partition = Partition.load(cut_short.partition.dump(), 0, 1, cut_short.ledger, rules)
        whole.feed(entry.id.ms, entry.body)
        cut_short.feed(entry.id.ms, entry.body)
    assert [outputs.encode(output) for output in cut_short.said] == [outputs.encode(output) for output in whole.said]
    assert cut_short.partition.dump() == whole.partition.dump()


def test_a_checkpoint_made_under_other_rules_is_refused():
    run = Run(site())
    with pytest.raises(Exception, match="was made under"):
        Partition.load(run.partition.dump(), 0, 1, run.ledger, Rules("steady"))


def test_the_town_folds_without_a_rejected_document():
    from geo_service.catalogue.check import check_site
    from geo_service.catalogue.site import read_site

    town, problems = read_site(Path(__file__).resolve().parents[2] / "fixtures" / "town")
    assert problems + check_site(town) == []
    assert of(outputs.Rejected, Run(town).said) == []


def test_a_sensor_whose_lines_have_names_of_their_own_is_not_missed_at_a_door():
    run = Run(site())
    for minute in range(1, 40):
        reading = Reading(sensor="door1", line="North entrance", kind="delta", ins=1, outs=1)
        said = run.feed(T0 + minute * 60_000, Readings([reading]))
    assert of(outputs.Occupancy, said)[0].status == "live"
