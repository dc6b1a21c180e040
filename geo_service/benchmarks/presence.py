"""`geo-service bench presence`: what a ping costs from columns to events, and what a fence and a device weigh.

CPU time of this process, a ping; the fastest of several passes, as whatever else the machine does only adds to it. The rival
is shapely's STRtree (`query(points, predicate="intersects")`, which for points is `covers`), put in the index's place with
everything else the same; circles are polygons of 64 corners there, so only the polygons' crossings can be compared, and are.
"""

import gc
import resource
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import shapely

from geo_service.benchmarks.city import Walkers, city, half_side_m
from geo_service.catalogue.documents import Fence
from geo_service.flow.entries import Change, Changes, Entry, EntryId, Pings, decode_body, encode_body
from geo_service.flow.ledger import MemoryLedger
from geo_service.flow.partition import Partition, Rules
from geo_service.geofences.earth import Floats
from geo_service.geofences.events import Event
from geo_service.geofences.index import Pairs
from geo_service.geofences.presence import Presence
from geo_service.geofences.shapes import Polygons, Shape, read_shape
from geo_service.geofences.tables import Mode
from geo_service.outputs import encode

_NOW_MS = 1_780_000_000_000
_SPARSE = np.sqrt(1.75 / 0.1)
"""How much longer the side of the place is in which people walk in the sparse case."""


def run(*, quick: bool, progress: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Measure; the quick run leaves out the cities of 100 000 and 1 000 000 fences and has fewer devices."""
    progress = progress or _tell
    devices = 30_000 if quick else 200_000
    passes = 2 if quick else 5
    names = (
        "strict_dense_8192_us strict_sparse_8192_us strict_dense_1024_us steady_ratio dense_100k_us dense_1m_us load_1m_s "
        "bytes_per_fence bytes_per_device strtree_ratio_10k strtree_ratio_100k tile38_ratio postgis_ratio crossings_equal "
        "worker_us"
    )
    found: dict[str, Any] = dict.fromkeys(names.split())
    fences = list(city(10_000))
    _loaded(fences[:2_100], "strict")  # what is paid once, whatever the number of fences
    before = _resident()
    strict = _loaded(fences, "strict")
    found["bytes_per_fence"] = round((_resident() - before) / len(fences))
    progress("loaded")
    half = half_side_m(len(fences))
    before = _resident()
    walkers = Walkers(devices, half)
    # A walker's place, goal and speed weigh 40 bytes; what is left is what the service keeps of a device, its id included.
    _settle_in(strict, walkers)
    found["bytes_per_device"] = round((_resident() - before) / devices - 40)
    found["strict_dense_8192_us"] = _us_per_ping(strict, walkers, 8192, passes)
    found["strict_dense_1024_us"] = _us_per_ping(strict, walkers, 1024, passes)
    progress(f"strict {found['strict_dense_8192_us']}")
    found["strtree_ratio_10k"] = _against_strtree(strict, walkers, passes)
    sparse = Walkers(devices, half * float(_SPARSE))
    fresh = _loaded(fences, "strict")
    _settle_in(fresh, sparse)
    found["strict_sparse_8192_us"] = _us_per_ping(fresh, sparse, 8192, passes)
    steady = _loaded(fences, "steady")
    _settle_in(steady, walkers)
    found["steady_ratio"] = round(_us_per_ping(steady, walkers, 8192, passes) / found["strict_dense_8192_us"], 2)
    progress(f"steady {found['steady_ratio']}")
    found["crossings_equal"] = _crossings_equal(fences[:2_000])
    found["worker_us"] = _worker_us(fences, devices, passes)
    progress(f"worker {found['worker_us']}")
    if not quick:
        del strict, fresh, steady, fences
        _large(found, devices, progress)
    return found


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")


def _large(found: dict[str, Any], devices: int, progress: Callable[[str], None]) -> None:
    """The cities that take minutes."""
    for fences, key in ((100_000, "dense_100k_us"), (1_000_000, "dense_1m_us")):
        gc.collect()
        presence = Presence("strict")
        seconds = 0.0
        documents: list[Fence] = []
        for number, fence in enumerate(city(fences), 1):
            documents.append(fence)
            if len(documents) == 1000 or number == fences:
                began = time.process_time()
                for document in documents:
                    presence.put_fence(document, _NOW_MS)
                seconds += time.process_time() - began
                documents.clear()
        progress(f"{fences} fences loaded in {seconds:.1f} s")
        walkers = Walkers(devices, half_side_m(fences))
        _settle_in(presence, walkers)
        found[key] = _us_per_ping(presence, walkers, 8192, 3)
        progress(f"{fences} fences: {found[key]} µs")
        if fences == 100_000:
            found["strtree_ratio_100k"] = _against_strtree(presence, walkers, 1)
        else:
            found["load_1m_s"] = round(seconds, 1)


def _loaded(fences: Iterable[Fence], mode: Mode) -> Presence:
    presence = Presence(mode)
    for fence in fences:
        presence.put_fence(fence, _NOW_MS)
    presence._tables.index.match(np.zeros(1), np.zeros(1))  # noqa: SLF001 - brings in what was put last
    return presence


def _settle_in(presence: Presence, walkers: Walkers) -> None:
    """Let everybody be seen twice: the first enters are no part of what a ping costs later."""
    for _ in range(2):
        for now_ms, batch in walkers.walk(8192):
            presence.advance(batch, now_ms)


def _us_per_ping(presence: Presence, walkers: Walkers, size: int, passes: int) -> float:
    """CPU microseconds a ping, the best of several rounds of everybody."""
    best = np.inf
    for _ in range(passes):
        spent, pings = 0.0, 0
        for now_ms, batch in walkers.walk(size, most=24):
            began = time.process_time()
            presence.advance(batch, now_ms)
            spent += time.process_time() - began
            pings += len(batch)
        best = min(best, spent / pings * 1e6)
    return round(float(best), 3)


class _TreeIndex:
    """An STRtree in the place of the index."""

    def __init__(self, shapes: dict[int, Shape]) -> None:
        self._slots = np.array(list(shapes), np.int32)
        self._tree = shapely.STRtree([_polygon(shape) for shape in shapes.values()])

    def match(self, lat: Floats, lon: Floats) -> Pairs:
        rows, found = self._tree.query(shapely.points(lon, lat), predicate="intersects")
        key = np.sort(rows << 32 | self._slots[found])
        return Pairs(key >> 32, (key & 0xFFFFFFFF).astype(np.int32))


def _polygon(shape: Shape) -> shapely.Geometry:
    """The shape for the tree; a circle as 64 corners."""
    geometry = shape.geometry
    return geometry if isinstance(shape, Polygons) else shapely.Polygon(shapely.get_coordinates(geometry)[::4])


def _shapes_of(presence: Presence, documents: Iterable[Fence]) -> dict[int, Shape]:
    slots = presence._tables.fences.slot_of  # noqa: SLF001 - the benchmark puts a rival in the index's place
    return {slots[fence.id]: read_shape(fence)[0] for fence in documents}


def _against_strtree(presence: Presence, walkers: Walkers, passes: int) -> float:
    """How many times cheaper a ping is than with an STRtree, in turns on the same walk."""
    tables = presence._tables  # noqa: SLF001 - as above
    ours = tables.index
    tree = _TreeIndex(_shapes_of(presence, city(len(tables.fences.slot_of))))
    tables.index = cast("Any", tree)
    theirs_us = _us_per_ping(presence, walkers, 8192, passes)
    tables.index = ours
    ours_us = _us_per_ping(presence, walkers, 8192, passes)
    return round(theirs_us / ours_us, 2)


def _crossings_equal(fences: list[Fence]) -> bool:
    """Whether both make the same events of the polygons, on a walk of 3 000 people."""
    fences = [fence for fence in fences if fence.radius_m is None]

    def told(rival: bool) -> list[Event]:
        presence = _loaded(fences, "strict")
        if rival:
            tables = presence._tables  # noqa: SLF001 - as above
            tables.index = cast("Any", _TreeIndex(_shapes_of(presence, fences)))
        walkers = Walkers(3_000, half_side_m(2_000), seed=2)
        return [
            event
            for _ in range(12)
            for now_ms, batch in walkers.walk(1_024)
            for event in presence.advance(batch, now_ms).events
        ]

    ours = told(rival=False)
    return len(ours) > 0 and ours == told(rival=True)


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


def _resident() -> int:
    """Bytes of memory that this process has now."""
    gc.collect()
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    except OSError:  # not Linux: the most it ever had
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
