"""Stores on a line, some of them full, in as many partitions as a test wants: every entry is folded at once, handovers too."""

import json
from collections import deque

from geo_service import outputs
from geo_service.catalogue.documents import Campaign, Capacity, Fence, Sensor, Store, Trigger, WhenFull
from geo_service.catalogue.site import Site, encode_document
from geo_service.flow.entries import Change, Changes, Entry, EntryId, Pings, Readings, Recount, Tick
from geo_service.flow.intake import partition_of
from geo_service.flow.ledger import MemoryLedger
from geo_service.flow.partition import Partition, Rules
from geo_service.pings.batch import PingBatch
from sensors.readings import Reading

T0 = 1_780_740_000_000
NAN = float("nan")
STRICT = Rules("strict")
STORES = {"s1": 45.0, "s2": 45.01, "s3": 45.02, "s4": 45.03, "s5": 45.04}
"""Latitudes: a good kilometre from each to the next."""
LON = -6.0
FULL = 60
BOTH = WhenFull(redirect_m=2500, wait_s=1800)
WAIT = WhenFull(wait_s=1800)
REDIRECT = WhenFull(redirect_m=2500)


def bread(**changes):
    known = {"id": "bread", "name": "Bread", "holdout": 0, "trigger": Trigger(role="near"), "when_full": BOTH}
    return Campaign(**(known | changes))


def site_of(*campaigns, stores=("s1", "s2", "s3"), comfort=40):
    site = Site(campaign={campaign.id: campaign for campaign in campaigns})
    for name in stores:
        lat = STORES[name]
        capacity = Capacity(comfort=comfort, legal=2 * comfort)
        site.store[name] = Store(id=name, name=f"Store {name}", lat=lat, lon=LON, capacity=capacity)
        at = {"geometry": {"type": "Point", "coordinates": [LON, lat]}, "store": name, "silence_s": 600}
        site.fence[f"{name}.near"] = Fence(id=f"{name}.near", role="near", radius_m=300, **at)
        site.fence[f"{name}.shop"] = Fence(id=f"{name}.shop", role="store", radius_m=50, **at)
        site.sensor[f"{name}.door"] = Sensor(id=f"{name}.door", store=name)
    return site


class Town:
    """Partitions that share a ledger; `said` is all they said, in the order of folding."""

    def __init__(self, *campaigns, partitions=1, site=None, **options):
        self.site = site or site_of(*campaigns, **options)
        self.partitions = partitions
        self.ledger = MemoryLedger()
        self.folds = [Partition(number, partitions, self.ledger, STRICT) for number in range(partitions)]
        self.logs = [[] for _ in range(partitions)]
        self.waiting = deque()
        self.said = []
        self.steps = {}
        self.counts = {}
        self.now_ms = T0
        self.checkpoints = [(fold.dump(), 0) for fold in self.folds]
        changes = [Change(kind, key, encode_document(document)) for kind, key, document in self.site.documents()]
        self.feed(0, None, Changes(changes))

    # --- the log -----------------------------------------------------------------------------------------------------

    def feed(self, second, key, body):
        """One entry at this second, to the partition of a key or (None) to all; what was said of it and what follows."""
        self.now_ms = max(self.now_ms, T0 + round(second * 1000))
        owners = range(self.partitions) if key is None else [partition_of(key, self.partitions)]
        for owner in owners:
            self._append(owner, body)
        before = len(self.said)
        while self.waiting:
            number, entry = self.waiting.popleft()
            self._fold(number, entry)
        return self.said[before:]

    def _append(self, number, body):
        log = self.logs[number]
        entry = Entry(EntryId(self.now_ms, len(log)), body)
        log.append(entry)
        self.waiting.append((number, entry))

    def _fold(self, number, entry):
        step = self.folds[number].advance(entry)
        for name, n in step.counts.items():
            self.counts[name] = self.counts.get(name, 0) + n
        self.said += step.outputs
        self.steps[number, entry.id] = [outputs.encode(each) for each in step.outputs]
        for owner, body in step.handovers:
            self._append(owner, body)
        self.ledger.commit(step.to_commit, entry.id.ms)

    def checkpoint(self):
        """Each partition is saved as it is."""
        self.checkpoints = [(fold.dump(), len(log)) for fold, log in zip(self.folds, self.logs, strict=True)]

    def crash(self):
        """Each partition goes on from its checkpoint: what is folded again says the same, and handovers are no news."""
        again = []
        for number, (dumped, position) in enumerate(self.checkpoints):
            fold = Partition.load(dumped, number, self.partitions, self.ledger, STRICT)
            for entry in self.logs[number][position:]:
                step = fold.advance(entry)
                assert [outputs.encode(each) for each in step.outputs] == self.steps[number, entry.id]
                again += step.handovers
                self.ledger.commit(step.to_commit, entry.id.ms)
            assert fold.dump() == self.folds[number].dump()
            self.folds[number] = fold
        for owner, body in again:
            self._append(owner, body)
        while self.waiting:
            number, entry = self.waiting.popleft()
            step = self.folds[number].advance(entry)
            assert (step.outputs, step.handovers) == ([], [])
        self.checkpoint()

    # --- what happens ------------------------------------------------------------------------------------------------

    def ping(self, second, device, store, metres=200):
        """A phone so many metres north of a store."""
        at_ms = T0 + round(second * 1000)
        row = (device, at_ms, STORES[store] + metres / 111_200, LON, NAN, NAN, NAN, 0)
        return self.feed(second, device, Pings(PingBatch.from_rows([row])))

    def count(self, second, store, ins, outs=0):
        """The door counts."""
        return self.feed(second, store, Readings([Reading(sensor=f"{store}.door", kind="delta", ins=ins, outs=outs)]))

    def recount(self, second, store, people):
        """Somebody counts by eye."""
        return self.feed(second, store, Recount(store, people))

    def tick(self, second):
        return self.feed(second, None, Tick())

    def until(self, second, step=1):
        """Time passes, a tick a second."""
        said = []
        began = round((self.now_ms - T0) / 1000)
        for at in range(began + step, second + 1, step):
            said += self.tick(at)
        return said

    def change(self, second, kind, key, document):
        body = None if document is None else encode_document(document)
        return self.feed(second, None, Changes([Change(kind, key, body)]))

    # --- what is told ------------------------------------------------------------------------------------------------

    @property
    def offers(self):
        return offers(self.said)

    def queue(self):
        """`(store, device, campaign)` of everybody who waits, anywhere."""
        return [
            (each.crossing.store, each.device, each.campaign)
            for fold in self.folds
            for each in fold.offering.pursuing.waiting.dump()["waiters"]
        ]


def offers(said):
    return [each for each in said if isinstance(each, outputs.Offer)]


def brief(said):
    """`(store, decision, question or "")` of each decision."""
    return [(each.store, each.decision, each.reason.partition(":")[0]) for each in offers(said)]


def as_json(offer):
    return json.loads(outputs.encode(offer))


def full(town, *stores, second=1):
    """These stores are full; in the others there are two people."""
    for store in stores:
        town.count(second, store, FULL)
    for store in town.site.store.keys() - set(stores):
        town.count(second, store, 2)
