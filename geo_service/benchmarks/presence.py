"""`geo-service bench presence`: what a ping costs from columns to events, what a fence and a device weigh, and the rivals.

CPU time of this process, a ping; the fastest of several passes, as whatever else the machine does only adds to it. A ratio is
the rival's CPU a ping over ours on the same walk, ours measured again right beside it:

- `strtree_ratio_…`: shapely's STRtree, asked with a predicate, in the index's place; `prepared_ratio_…`: the tree for boxes
  and prepared polygons for the rest, the quickest use of shapely known to us (`rivals.py`);
- `postgis_ratio`, `tile38_ratio`: servers that we start (`postgis.py`, `tile38.py`), where they are installed.

`crossings_equal` says whether all that ran told the same enters and exits of the polygons; circles are others' shapes, mostly
64 corners. `batch_1_us` and `batch_64_us` are a ping's cost in such small batches. Memory is weighed as `memory.py` says: a fence by
the growth of the process, a device (two places seen, its id and its stays included) by what Python and numpy keep allocated.
"""

import gc
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from itertools import islice
from typing import Any, cast

import msgspec
import numpy as np

from geo_service.benchmarks.city import Walkers, city, half_side_m
from geo_service.benchmarks.memory import resident, traced
from geo_service.benchmarks.postgis import postgis
from geo_service.benchmarks.rivals import Crossing, Rival, TreeIndex, polygon_of
from geo_service.benchmarks.tile38 import tile38
from geo_service.catalogue.documents import Fence
from geo_service.errors import UnreachableError
from geo_service.flow.entries import Change, Changes, Entry, EntryId, Pings, decode_body, encode_body
from geo_service.flow.ledger import MemoryLedger
from geo_service.flow.partition import Partition, Rules
from geo_service.geofences.presence import Presence
from geo_service.geofences.tables import Mode
from geo_service.outputs import encode
from geo_service.pings.batch import PingBatch

Progress = Callable[[str], None]
_NOW_MS = 1_780_000_000_000
_FENCES = 10_000
_SPARSE = float(np.sqrt(1.75 / 0.1))
"""How much longer the side of the place is in which people walk in the sparse case."""
_SERVERS: dict[str, Callable[[Sequence[Fence]], AbstractContextManager[Rival]]] = {"postgis": postgis, "tile38": tile38}
_KEYS = (
    "strict_dense_8192_us strict_sparse_8192_us strict_dense_1024_us batch_64_us batch_1_us steady_ratio "
    "dense_100k_us dense_1m_us load_1m_s bytes_per_fence bytes_per_device strtree_ratio_10k strtree_ratio_100k "
    "prepared_ratio_10k prepared_ratio_100k tile38_ratio postgis_ratio crossings_equal worker_us"
)
_Batches = Iterable[tuple[int, PingBatch]]


def run(*, quick: bool, progress: Progress | None = None) -> dict[str, Any]:
    """Measure; the quick run leaves out the cities of 100 000 and 1 000 000 fences and has fewer devices.

    Returns:
        The figures by name; null for what was not run, and progress says why.
    """
    progress = progress or _tell
    devices, passes = (30_000, 2) if quick else (200_000, 5)
    found: dict[str, Any] = dict.fromkeys(_KEYS.split())
    fences = list(city(_FENCES))
    _loaded(fences[:2_100], "strict")  # what is paid once, whatever the number of fences
    with resident() as weight:
        strict = _loaded(fences, "strict")
    found["bytes_per_fence"] = round(weight.bytes / _FENCES)
    progress(f"{_FENCES} fences loaded")
    walkers = Walkers(devices, half_side_m(_FENCES))
    with traced() as weight:
        _settle_in(strict, _with_names_of_their_own(walkers))
    found["bytes_per_device"] = round(weight.bytes / devices)
    for key, size in (("strict_dense_8192", 8192), ("strict_dense_1024", 1024), ("batch_64", 64), ("batch_1", 1)):
        found[f"{key}_us"] = _us_per_ping(strict, walkers, size, passes)
        progress(f"{key}_us {found[f'{key}_us']}")
    polygons = [polygon_of(fence) for fence in fences]
    _against_trees(strict, walkers, polygons, passes, found, "10k", progress)
    for name in _SERVERS:
        found[f"{name}_ratio"] = _against_server(name, fences, strict, walkers, progress, passes)
    found["steady_ratio"] = _against_steady(strict, fences, walkers, passes, progress)
    sparse = Walkers(devices, half_side_m(_FENCES) * _SPARSE)
    _settle_in(strict, _twice(sparse))
    found["strict_sparse_8192_us"] = _us_per_ping(strict, sparse, 8192, passes)
    progress(f"strict_sparse_8192_us {found['strict_sparse_8192_us']}")
    del strict
    found["crossings_equal"] = _crossings_equal(fences[: 1_000 if quick else 2_000], progress)
    found["worker_us"] = _worker_us(fences, devices, passes)
    progress(f"worker_us {found['worker_us']}")
    if not quick:
        del fences, polygons
        _large(found, devices, progress)
    return found


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")


def _large(found: dict[str, Any], devices: int, progress: Progress) -> None:
    """The cities that take minutes."""
    for fences, key in ((100_000, "dense_100k_us"), (1_000_000, "dense_1m_us")):
        gc.collect()
        presence = Presence("strict")
        seconds = 0.0
        documents = city(fences)
        while some := list(islice(documents, 1000)):
            began = time.process_time()
            presence.put_fences(some, _NOW_MS)
            seconds += time.process_time() - began
        progress(f"{fences} fences loaded in {seconds:.1f} s")
        walkers = Walkers(devices, half_side_m(fences))
        _settle_in(presence, _twice(walkers))
        found[key] = _us_per_ping(presence, walkers, 8192, 3)
        progress(f"{key} {found[key]}")
        if fences == 100_000:
            _against_trees(presence, walkers, map(polygon_of, city(fences)), 1, found, "100k", progress)
        else:
            found["load_1m_s"] = round(seconds, 1)


def _loaded(fences: Iterable[Fence], mode: Mode) -> Presence:
    presence = Presence(mode)
    for fence in fences:
        presence.put_fence(fence, _NOW_MS)
    presence._tables.index.match(np.zeros(1), np.zeros(1))  # noqa: SLF001 - brings in what was put last
    return presence


def _twice(walkers: Walkers) -> Iterator[tuple[int, PingBatch]]:
    for _ in range(2):
        yield from walkers.walk(8192)


def _with_names_of_their_own(walkers: Walkers) -> Iterator[tuple[int, PingBatch]]:
    """Two places of everybody, the ids as if they came from a decoder: who keeps one, keeps memory."""
    for now_ms, batch in _twice(walkers):
        batch.devices[:] = [name.encode().decode() for name in batch.devices]
        yield now_ms, batch


def _settle_in(presence: Presence, batches: _Batches) -> None:
    """The first enters are no part of what a ping costs later."""
    for now_ms, batch in batches:
        presence.advance(batch, now_ms)


def _in_turns(passes: int, *measures: Callable[[], float]) -> list[float]:
    """The best of several passes of each, one after the other, so that what the machine does meanwhile hits all alike."""
    return [min(figures) for figures in zip(*([measure() for measure in measures] for _ in range(passes)), strict=True)]


def _us_per_ping(presence: Presence, walkers: Walkers, size: int, passes: int = 1) -> float:
    """CPU microseconds a ping, the best of several rounds of everybody, or of a part that is long enough to measure."""
    most = 24 if size >= 1024 else 4000 // size if size > 1 else 1000
    best = np.inf
    for _ in range(passes):
        spent, pings = 0.0, 0
        for now_ms, batch in walkers.walk(size, most=most):
            began = time.process_time()
            presence.advance(batch, now_ms)
            spent += time.process_time() - began
            pings += len(batch)
        best = min(best, spent / pings * 1e6)
    return round(float(best), 3)


def _against_trees(
    presence: Presence,
    walkers: Walkers,
    polygons: Iterable[Any],
    passes: int,
    found: dict[str, Any],
    size: str,
    progress: Progress,
) -> None:
    """How many times cheaper a ping is than with an STRtree in the index's place, in turns on the same walk."""
    tables = presence._tables  # noqa: SLF001 - the benchmark puts a rival in the index's place
    ours = tables.index
    shapes = list(polygons)
    slots = [tables.fences.slot_of[f"f{number}"] for number in range(len(shapes))]

    def with_index(index: Any) -> float:
        tables.index = index
        return _us_per_ping(presence, walkers, 8192)

    for name, prepared in (("strtree", False), ("prepared", True)):
        tree = TreeIndex(slots, shapes, prepared=prepared)
        theirs_us, ours_us = _in_turns(passes, partial(with_index, tree), partial(with_index, ours))
        key = f"{name}_ratio_{size}"
        found[key] = round(theirs_us / ours_us, 2)
        progress(f"{key} {found[key]}: {theirs_us} against {ours_us}")


def _against_steady(strict: Presence, fences: list[Fence], walkers: Walkers, passes: int, progress: Progress) -> float:
    """What a ping costs in steady presence over what it costs in strict."""
    steady = _loaded(fences, "steady")
    _settle_in(steady, _twice(walkers))
    steady_us, strict_us = _in_turns(
        passes, lambda: _us_per_ping(steady, walkers, 8192), lambda: _us_per_ping(strict, walkers, 8192)
    )
    progress(f"steady_ratio {steady_us / strict_us:.2f}: {steady_us} against {strict_us}")
    return round(steady_us / strict_us, 2)


def _against_server(
    name: str, fences: list[Fence], presence: Presence, walkers: Walkers, progress: Progress, passes: int
) -> float | None:
    """The server's CPU over ours; None, and why, where there is none."""
    try:
        with _SERVERS[name](fences) as rival:
            progress(f"{name} has the fences")
            for _, batch in _twice(walkers):
                rival.step(batch)

            def theirs() -> float:
                # The kernel tells CPU in hundredths of a second: too coarse for one batch, fine for a round.
                before, pings = rival.cpu_s(), 0
                for _, batch in walkers.walk(8192, most=24):
                    rival.step(batch)
                    pings += len(batch)
                return (rival.cpu_s() - before) / pings * 1e6

            theirs_us, ours_us = _in_turns(min(passes, 2), theirs, lambda: _us_per_ping(presence, walkers, 8192))
    except UnreachableError as error:
        progress(f"{name}_ratio is not run: {error}")
        return None
    progress(f"{name}_ratio {theirs_us / ours_us:.2f}: {theirs_us:.2f} against {ours_us}")
    return round(theirs_us / ours_us, 2)


def _crossings_equal(fences: list[Fence], progress: Progress) -> bool:
    """Whether all make the same crossings of the polygons, on a walk of 3 000 people."""
    fences = [fence for fence in fences if fence.radius_m is None]
    polygons = [polygon_of(fence) for fence in fences]
    ours = _told(_loaded(fences, "strict"))
    equal = any(ours)
    for prepared in (False, True):
        presence = _loaded(fences, "strict")
        tables = presence._tables  # noqa: SLF001 - as above
        slots = (tables.fences.slot_of[fence.id] for fence in fences)
        tables.index = cast("Any", TreeIndex(slots, polygons, prepared=prepared))
        equal &= _told(presence) == ours
    for name, server in _SERVERS.items():
        try:
            with server(fences) as rival:
                theirs = [set(rival.step(batch)) for _, batch in _short_walk()]
        except UnreachableError:  # was told already
            continue
        differing = sum(map(len, map(set.symmetric_difference, theirs, ours)))
        progress(f"{name}: {differing} of {sum(map(len, ours))} crossings differ")
        equal &= not differing
    return equal


def _short_walk() -> Iterator[tuple[int, PingBatch]]:
    walkers = Walkers(3_000, half_side_m(2_000), seed=2)
    for _ in range(12):
        yield from walkers.walk(1_024)


def _told(presence: Presence) -> list[set[Crossing]]:
    """Enters and exits, batch by batch."""
    steps = (presence.advance(batch, now_ms).events for now_ms, batch in _short_walk())
    return [{Crossing(event.type, event.device, event.fence) for event in events} for events in steps]  # type: ignore[arg-type]  # the city's fences detect nothing else


def _worker_us(fences: list[Fence], devices: int, passes: int) -> float:
    """From an entry's bytes to its outputs' bytes, with a checkpoint every 100 entries; batches of 1 024."""
    partition = Partition(0, 1, MemoryLedger(), Rules(presence="strict"))
    changes = [Change("fence", fence.id, msgspec.json.encode(fence)) for fence in fences]
    partition.advance(Entry(EntryId(_NOW_MS, 0), Changes(changes)))
    walkers = Walkers(devices, half_side_m(len(fences)))
    best = np.inf
    for _ in range(passes + 2):
        entries = [(now_ms, encode_body(Pings(batch))) for now_ms, batch in walkers.walk(1_024)]
        entries = entries if best == np.inf else entries[:100]
        spent, pings = 0.0, 0
        for number, (now_ms, (kind, data)) in enumerate(entries, 1):
            began = time.process_time()
            body = decode_body(kind, data)
            step = partition.advance(Entry(EntryId(now_ms, number), body))
            for output in step.outputs:
                encode(output)
            if number == len(entries):
                partition.dump()
            spent += time.process_time() - began
            pings += len(cast("Pings", body).batch)
        best = min(best, spent / pings * 1e6) if pings else best
    return round(float(best), 3)
