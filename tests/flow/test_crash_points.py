"""A crash at any step of the fold changes nothing that anybody hears."""

import msgspec
import pytest

from geo_service.catalogue.documents import Campaign, Capacity, Caps, Fence, Sensor, StockLevel, Store, Trigger
from geo_service.catalogue.site import Site, encode_document
from geo_service.flow.entries import (
    Change,
    Changes,
    Consent,
    Entry,
    EntryId,
    Forget,
    Override,
    Pings,
    Readings,
    Recount,
    Refusal,
    Refusals,
    Tick,
)
from geo_service.flow.folding import Folding
from geo_service.flow.intake import partition_of
from geo_service.flow.ledger import MemoryLedger
from geo_service.flow.log import MemoryLog
from geo_service.flow.partition import Partition, Rules
from geo_service.pings.batch import PingBatch
from sensors.readings import Reading

T0 = 1_780_740_000_000
NAN = float("nan")
SHOPS = {"s1": (45.0, -6.0), "s2": (45.02, -6.0)}
DEVICES = [f"d{number}" for number in range(7)]
TOTAL = 4
FED_AT_ONCE, FOLDED_AT_ONCE, FOLDS_A_CHECKPOINT = 24, 13, 3


def site():
    site = Site()
    for name, (lat, lon) in SHOPS.items():
        comfort = 200 if name == "s1" else 20
        capacity = Capacity(comfort=comfort, legal=comfort + 6)
        site.store[name] = Store(id=name, name=name, lat=lat, lon=lon, capacity=capacity)
        at = {"geometry": {"type": "Point", "coordinates": [lon, lat]}, "store": name, "dwell_s": 40}
        site.fence[f"{name}.near"] = Fence(id=f"{name}.near", role="near", radius_m=300, **at)
        site.fence[f"{name}.shop"] = Fence(id=f"{name}.shop", role="store", radius_m=100, **at)
        site.sensor[f"{name}.door"] = Sensor(id=f"{name}.door", store=name)
        site.stock[f"{name}/bun"] = StockLevel(store=name, sku="bun", on_hand=int(name == "s1"))
    caps = Caps(total=TOTAL, min_gap_s=20)
    stay = Trigger(role="store", type="dwell")
    site.campaign["bread"] = Campaign(id="bread", name="Bread", holdout=0.2, caps=caps)
    site.campaign["bun"] = Campaign(
        id="bun", name="Bun", holdout=0, skus=["bun"], caps=Caps(total=TOTAL - 1), priority=1
    )
    site.campaign["tea"] = Campaign(id="tea", name="Tea", holdout=0, caps=Caps(per_device=1, per_day=5), trigger=stay)
    return site


def pings(second, *moves):
    """Fixes of `(device, shop, metres from its middle)` in one batch."""
    rows = []
    for device, shop, metres in moves:
        lat, lon = SHOPS[shop]
        rows.append((device, T0 + second * 1000, lat + metres / 111_000, lon, 5.0, NAN, NAN, 0))
    return Pings(PingBatch.from_rows(rows))


def delta(shop, ins, outs=0):
    return shop, Readings([Reading(sensor=f"{shop}.door", kind="delta", ins=ins, outs=outs)])


def history():
    """`(second, key that decides the partition or None for all, body)`."""
    smaller = Fence(id="s2.near", role="near", radius_m=150, geometry={"type": "Point", "coordinates": [-6.0, 45.02]})
    yield 0, None, Changes([Change(kind, key, encode_document(document)) for kind, key, document in site().documents()])
    for number, device in enumerate(DEVICES):
        shop = "s2" if number % 3 else "s1"
        yield number, device, pings(number, (device, shop, 900))
        yield number + 10, device, pings(number + 10, (device, shop, 200))
        if number % 2:
            yield number + 20, device, pings(number + 20, (device, shop, 40))
            yield number + 70, device, pings(number + 70, (device, shop, 30))
        yield number + 80, device, pings(number + 80, (device, shop, 900))
        yield number + 90, device, pings(number + 90, (device, shop, 20))
        yield number + 100, device, pings(number + 100, (device, shop, 900), (device, shop, 900))
    for second in range(5, 130, 15):
        yield second, None, Tick()
    for second in range(0, 60, 12):
        yield second, *delta("s1", 6, 1)
        yield second, *delta("s2", 2)
    yield 11, "s1", Override("s1", "pause", "mia", T0 + 40_000)
    yield 63, "s2", Recount("s2", 2)
    yield 64, "d1", Consent("d1", {"offers": False})
    yield 65, "d2", Consent("d2", {"location": False})
    yield 66, None, Changes([Change("fence", "s2.near", encode_document(smaller))])
    yield 67, "d4", Forget("d4")
    yield 68, "s1", Refusals([Refusal("geo/v1/sensor/s1.door", "is not JSON", "s1.door", "s1")])


class CrashError(Exception):
    """kill -9."""


class Fragile:
    """Passes everything on; one of the calls that change something has its effect and does not come back."""

    def __init__(self, crash_at):
        self.calls = 0
        self._crash_at = crash_at

    def around(self, call, *arguments, **more):
        result = call(*arguments, **more)
        self.calls += 1
        if self.calls == self._crash_at:
            raise CrashError
        return result


class FragileServer:
    """A log or ledger behind a `Fragile`."""

    def __init__(self, real, fragile, changing):
        self._real, self._fragile, self._changing = real, fragile, changing

    def __getattr__(self, name):
        attribute = getattr(self._real, name)
        if name in self._changing:
            return lambda *arguments, **more: self._fragile.around(attribute, *arguments, **more)
        return attribute


class InMemory:
    """One run's log and ledger; `log()` is what a new worker opens."""

    def __init__(self, partitions):
        self._log = MemoryLog(partitions)
        self.ledger = MemoryLedger()

    def log(self):
        return self._log.another_worker()

    def feed(self, at_ms, items):
        self._log.now_ms = at_ms
        self._log.append(items)


class Run:
    """A worker that is started again whenever it crashes."""

    def __init__(self, servers, partitions, crash_at=None):
        self._servers = servers
        self._partitions = partitions
        self._fragile = Fragile(crash_at)
        self._rules = Rules("strict")
        self.starts = 0
        self._start()

    def _start(self):
        self.starts += 1
        log = FragileServer(self._servers.log(), self._fragile, {"append", "commit", "acquire", "trim"})
        ledger = FragileServer(self._servers.ledger, self._fragile, {"reserve", "commit", "release"})
        self._log = log
        self._folding = Folding(
            log, ledger, self._rules, partitions=range(self._partitions), checkpoint_s=0, count=lambda *_: None
        )
        self._folds = 0
        try:
            for number in range(self._partitions):
                self._folding._take_over(number)
        except CrashError:
            self._start()

    def fold(self):
        """Fold until nothing is left, however often that takes a new worker."""
        while True:
            try:
                if not self._fold_some():
                    return
            except CrashError:
                self._start()

    def _fold_some(self):
        positions = self._folding._positions
        found = self._log.read(positions, limit=FOLDED_AT_ONCE, wait_s=0)
        for number, entries in found.items():
            self._folding._step(number, entries)
        self._folds += 1
        if self._folds % FOLDS_A_CHECKPOINT == 0:
            self._folding._checkpoint()
        return found

    @property
    def calls(self):
        return self._fragile.calls

    def state(self):
        """What each partition knows in the end."""
        return [self._folding._partitions[number].dump() for number in range(self._partitions)]


def go_through(servers, run, history, partitions, at_once):
    """Feed `(second, key that decides the partition or None for all, body)` in the order of time, folded so many at a time;
    what was heard.
    """
    heard = servers.log().reader("test")
    said = []
    for at, (second, key, body) in enumerate(sorted(history, key=lambda item: item[0])):
        owners = range(partitions) if key is None else [partition_of(key, partitions)]
        servers.feed(T0 + second * 1000 + at, [(owner, body) for owner in owners])
        if at % at_once == 0:
            run.fold()
            said += heard.read(1000, 0)
    run.fold()
    return said + list(heard.read(1000, 0))


def play(servers, partitions, crash_at=None):
    """The whole history, folded as it comes: the run, what was heard of each entry, and what is left in the servers."""
    run = Run(servers, partitions, crash_at)
    said = go_through(servers, run, history(), partitions, FED_AT_ONCE)
    totals = servers.ledger.total(["cap:bread:total", "cap:bun:total"], T0 + 33_000)
    return run, said, (servers.log().current_all(""), totals)


def lines_of(said):
    return [line for _, _, blob in said for line in blob.split(b"\n")]


@pytest.fixture(scope="module", params=[1, 3])
def partitions(request):
    return request.param


@pytest.fixture(scope="module")
def uninterrupted(partitions):
    return play(InMemory(partitions), partitions)


def test_the_history_has_something_of_everything(uninterrupted, partitions):
    _, said, (current, totals) = uninterrupted
    needed = (
        "visit",
        "sensor",
        "dwell",
        "forgotten",
        "fence_changed",
        "sent",
        "held_out",
        "caps: ",
        "stock: ",
        "pacing: ",
    )
    for word in needed:
        assert any(f'"{word}'.encode() in line for line in lines_of(said)), word
    assert "occupancy:s1" in current
    assert totals[0] == TOTAL
    assert partitions > 1 or totals[1] == TOTAL - 1


def test_a_crash_at_any_call_is_heard_by_nobody(uninterrupted, partitions):
    whole, said, rest = uninterrupted
    for crash_at in range(1, whole.calls + 1, partitions):
        run, heard, others = play(InMemory(partitions), partitions, crash_at)
        assert run.starts == 2, crash_at
        assert others[0] == rest[0], crash_at
        if partitions == 1:
            assert heard == said, crash_at
            assert others == rest, crash_at
            assert run.state() == whole.state(), crash_at
        else:
            assert facts(heard) == facts(said), crash_at
            assert_caps_are_kept(heard, others[1])


def facts(said):
    """All but offers: which of several partitions gets the last one of a cap is nobody's promise."""
    return sorted(line for line in lines_of(said) if not line.startswith(b'{"kind":"offer"'))


def assert_caps_are_kept(said, totals):
    offers = [msgspec.json.decode(line) for line in lines_of(said) if line.startswith(b'{"kind":"offer"')]
    assert len({offer["id"] for offer in offers}) == len(offers)
    for campaign, total in zip(("bread", "bun"), totals, strict=True):
        made = [offer for offer in offers if offer["campaign"] == campaign and offer["decision"] != "withheld"]
        assert len(made) == total


def test_an_entry_hands_over_all_its_crossings_at_once():
    """Two changes of one entry make two stays long enough; the second must not be taken for a repeat of the first."""
    number, owner = (partition_of(name, 8) for name in ("d1", "s1"))
    assert number != owner
    run, target = (Partition(which, 8, MemoryLedger(), Rules("strict")) for which in (number, owner))
    documents = [Change(kind, key, encode_document(document)) for kind, key, document in site().documents()]
    for partition in (run, target):
        partition.advance(Entry(EntryId(T0, 0), Changes(documents)))
    run.advance(Entry(EntryId(T0 + 1000, 0), pings(1, ("d1", "s1", 10))))
    fences = [msgspec.structs.replace(site().fence[name], dwell_s=5) for name in ("s1.near", "s1.shop", "s2.shop")]
    changes = Changes([Change("fence", fence.id, encode_document(fence)) for fence in fences])
    step = run.advance(Entry(EntryId(T0 + 20_000, 0), changes))
    ((to, handover),) = step.handovers
    assert to == owner
    assert [(crossing.type, crossing.fence) for crossing in handover.crossings] == [
        ("dwell", "s1.near"),
        ("dwell", "s1.shop"),
    ]
    offers = target.advance(Entry(EntryId(T0 + 20_001, 0), handover)).outputs
    assert [offer.campaign for offer in offers] == ["tea"]
