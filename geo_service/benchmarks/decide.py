"""`geo-service bench decide`: what a decision costs, from the crossing to the offer's bytes.

A store with campaigns that all answer the same crossing, with audiences, caps, hours, stock and products, paced by the
occupancy to come, and a ledger on a real Redis. A decision is one crossing with all its campaigns. They come as they do in the service: some to an entry of
the log, and one question to the ledger for all of them. CPU is this process's; the store's is told apart.
"""

import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from geo_service import outputs
from geo_service.benchmarks.broker import measure
from geo_service.benchmarks.running import load_average
from geo_service.catalogue.documents import Campaign, Capacity, Caps, Policy, PolicyCaps, Product, StockLevel, Store
from geo_service.catalogue.site import Site
from geo_service.embedded.servers import start_servers
from geo_service.flow.ledger import Ledger, MemoryLedger
from geo_service.flow.offering import Offering
from geo_service.flow.pacers import Pacers
from geo_service.offers.facts import Facts
from geo_service.storage.connection import connect
from geo_service.storage.keys import Keys
from geo_service.storage.redis_ledger import RedisLedger
from geo_service.wiring import tune_interpreter
from occupancy.day import Flows
from sensors.instants import instant

CAMPAIGNS = 3
_PEOPLE = 40_000.0
"""Inside a store so large that pacing, which is asked each time, never says no."""
T0_MS = 1_780_740_000_000
_CATEGORIES = ("bakery", "coffee", "dairy", "fruit", "fish")
_ALL_DAY: dict[str, Any] = {day: [["06:00", "23:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}


def run(*, quick: bool, progress: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Measure.

    Returns:
        `decide_us` (CPU of a decision about `campaigns` campaigns, the ledger on Redis asked for `per_entry` decisions at a time) and `decisions_per_s` (wall
        clock, one after the other); the same for one decision an entry and for the ledger in memory; `store_us`.
    """
    progress = progress or _tell
    with _tuned():
        return _run(4_000 if quick else 40_000, progress)


@contextmanager
def _tuned() -> Iterator[None]:
    """The interpreter as it is in the worker."""
    turn_s, threshold = sys.getswitchinterval(), gc.get_threshold()
    tune_interpreter()
    try:
        yield
    finally:
        sys.setswitchinterval(turn_s)
        gc.set_threshold(*threshold)


def _run(count: int, progress: Callable[[str], None]) -> dict[str, Any]:
    found: dict[str, Any] = {"campaigns": CAMPAIGNS, "decisions": count}
    with TemporaryDirectory() as folder, start_servers(Path(folder), mqtt=False, fsync="everysec") as servers:
        client = connect(servers.redis_url or "")
        for name, per_entry, suffix in (("32 an entry", 32, ""), ("one an entry", 1, "_alone")):
            progress(f"ledger on Redis, {name}")
            ledger = RedisLedger(client, keys=Keys(f"b{per_entry}:"))
            with measure([servers.pids["redis"]]) as store:
                cpu_us, per_s = _measure(ledger, count if per_entry > 1 else count // 4, per_entry)
            found |= {f"decide{suffix}_us": cpu_us, f"decisions{suffix}_per_s": per_s}
            found[f"store{suffix}_us"] = store.us_per(count if per_entry > 1 else count // 4)
        client.close()
    progress("ledger in memory")
    found["decide_memory_us"], found["decisions_memory_per_s"] = _measure(MemoryLedger(), count, 32)
    return found | {"per_entry": 32, "load_average": load_average()}


def _measure(ledger: Ledger, count: int, per_entry: int) -> tuple[float, int]:
    """CPU microseconds of a decision, and decisions a second."""
    where = site()
    offering, pacers = Offering(where, ledger), Pacers(where)
    offering.pace, offering.pace_looking = pacers.pace, pacers.look
    sent = 0
    _decide(offering, pacers, ledger, list(_crossings(-64, 0)))
    entries = [list(_crossings(at, at + per_entry)) for at in range(0, count, per_entry)]
    began, cpu_began = time.perf_counter(), time.process_time()
    for entry in entries:
        sent += _decide(offering, pacers, ledger, entry)
    cpu_s, wall_s = time.process_time() - cpu_began, time.perf_counter() - began
    if not sent:
        raise AssertionError("nothing was sent: this is no measure of a decision")
    decided = sum(map(len, entries))
    return round(cpu_s / decided * 1e6, 1), round(decided / wall_s)


def _decide(offering: Offering, pacers: Pacers, ledger: Ledger, crossings: list[outputs.Crossing]) -> int:
    """As the fold does: decide, encode, and commit what was claimed; how many were sent."""
    now_ms = T0_MS + int(crossings[0].id.rpartition("-")[2].lstrip("-")) // 2
    people = _PEOPLE + now_ms % 7  # no two entries find it as full
    pacers.occupied("s1", people, 10.0, "live", Flows(T0_MS, 100.0 + people, 60.0), now_ms)
    occupancy = _occupancy(people)
    for number, crossing in enumerate(crossings):
        offering.ask(crossing, _facts(number))
    decisions = offering.answer(lambda _store, _now_ms: occupancy, now_ms)
    pacers.decided(decisions.offers, now_ms)
    _ = [outputs.encode(offer) for offer in decisions.offers]
    ledger.commit(decisions.to_commit, now_ms)
    return sum(offer.decision == "sent" for offer in decisions.offers)


def site() -> Site:
    """One store and its campaigns: each with hours, a product, an audience and caps; a policy over all."""
    audience = {
        "rule": "all",
        "of": [
            {"rule": "any", "of": [{"rule": "visits", "at_most": 50}, {"rule": "segment", "any_of": ["members"]}]},
            {"rule": "distance", "at_most_m": 2000},
        ],
    }
    campaigns = [
        Campaign(
            id=f"campaign-{number}",
            name=f"Campaign {number}",
            hours=_ALL_DAY,
            skus=[f"sku-{number}"],
            audience=audience,
            benefit={"type": "percentage", "value": 10 + number},
            margin=200 + 10 * number,
            caps=Caps(per_device=100, per_day=1_000_000, min_gap_s=1, total=10_000_000),
        )
        for number in range(CAMPAIGNS)
    ]
    store = Store(
        id="s1", name="One", lat=45, lon=-6, hours=_ALL_DAY, capacity=Capacity(comfort=100_000, legal=200_000)
    )
    return Site(
        store={"s1": store},
        campaign={campaign.id: campaign for campaign in campaigns},
        policy={"all": Policy(id="all", caps=PolicyCaps(per_device_day=1000))},
        product={
            f"sku-{number}": Product(sku=f"sku-{number}", name=f"Product {number}", category=category)
            for number, category in enumerate(_CATEGORIES)
        },
        stock={
            f"s1/sku-{number}": StockLevel(store="s1", sku=f"sku-{number}", on_hand=50) for number in range(CAMPAIGNS)
        },
    )


def _facts(number: int) -> Facts:
    weights = {category: 1.0 + (number + place) % 7 for place, category in enumerate(_CATEGORIES)}
    return Facts(True, number % 20, number % 5, T0_MS - 86_400_000, T0_MS - 172_800_000, ("members",), weights, "en")


def _crossings(start: int, stop: int) -> Iterator[outputs.Crossing]:
    now = instant(T0_MS + max(start, 0) // 2)
    for number in range(start, stop):
        yield outputs.Crossing(
            id=f"0-{T0_MS}-{number}",
            type="enter",
            device=f"phone-{number % 5000}",
            fence="s1.near",
            store="s1",
            role="near",
            time=now,
            logged=now,
            lat=45.001,
            lon=-6.001,
            accuracy_m=8.0,
            confidence=0.93,
            duration_s=None,
            reason="observed",
        )


def _occupancy(people: float) -> outputs.Occupancy:
    return outputs.Occupancy(
        store="s1",
        zone=None,
        time=instant(T0_MS),
        mean=people,
        low=people - 5,
        high=people + 5,
        rate=0.4,
        p_over=0,
        level="normal",
        status="live",
        in_total=100,
        out_total=60,
    )


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - progress
