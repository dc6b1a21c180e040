"""`geo-service bench ingest`: CPU of each process for a ping, from the broker to the checkpoint, and pings in hundreds.

Real processes: mosquitto, Redis, and a worker as `geo-service worker` starts it. CPU time is read from /proc, so that what
else the machine does matters little. Redis is told apart (`store_us_per_ping`), as the broker is.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

from geo_service.benchmarks.broker import measure
from geo_service.benchmarks.load import Load, from_packets
from geo_service.benchmarks.running import Running, Walkers, load_average, running

PER_S = 20_000
PHONES = 20_000
_TOLD_S = 1.5
"""A worker tells its counters once a second."""


def run(*, quick: bool, progress: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Measure.

    Returns:
        `ours_us_per_ping` (the worker), `broker_us_per_ping`, `store_us_per_ping` at `single_pings_per_s`;
        `batch100_pings_per_s` in messages of a hundred, until the last of them lies behind a checkpoint
        (`batch100_acknowledged_per_s`: until the broker has acknowledged it), and the three costs of such a ping.
    """
    progress = progress or _tell
    seconds, hundreds = (6, 5_000) if quick else (30, 30_000)
    with running() as service:
        walkers = Walkers(service.site, PHONES)
        found: dict[str, Any] = {
            "site": {"stores": len(service.site.store), "fences": len(service.site.fence), "phones": PHONES}
        }
        # Everybody is seen once before, so that what is measured is not the first time of everything.
        done = _singles(service, walkers, PHONES, PER_S // 2)["sent"]
        time.sleep(_TOLD_S)
        progress(f"{PER_S} single pings a second for {seconds} s")
        before = service.counts()
        single = _singles(service, walkers, PER_S * seconds, PER_S, already=done)
        done += single.pop("sent")
        time.sleep(_TOLD_S)
        after = service.counts()
        crossings = after.get("crossing", 0) - before.get("crossing", 0)
        found |= single | {"crossings_per_s": round(crossings / seconds, 1)}
        progress(f"{hundreds} messages of a hundred pings")
        found |= _hundreds(service, walkers, hundreds, already=done)
    return found | {"load_average": load_average()}


def _singles(service: Running, walkers: Walkers, count: int, per_s: int, already: int = 0) -> dict[str, Any]:
    packets = walkers.singles(time.time() + count / 400_000, per_s, count)
    pids = service.pids
    with (
        Load(service.mqtt_url) as load,
        measure([pids["worker"]]) as ours,
        measure([pids["mqtt"]]) as broker,
        measure([pids["redis"]]) as store,
    ):
        report = load.send(from_packets(packets), count=count, per_s=per_s)
        service.await_pings(already + count)
    return {
        "sent": count,
        "ours_us_per_ping": ours.us_per(count),
        "broker_us_per_ping": broker.us_per(count),
        "store_us_per_ping": store.us_per(count),
        "single_pings_per_s": round(count / report.seconds),
        "late_s": round(report.late_s, 3),
    }


def _hundreds(service: Running, walkers: Walkers, messages: int, already: int) -> dict[str, Any]:
    packets = walkers.hundreds(time.time() - 600, messages)
    pids, pings = service.pids, 100 * messages
    with (
        Load(service.mqtt_url, window=400) as load,
        measure([pids["worker"]]) as ours,
        measure([pids["mqtt"]]) as broker,
        measure([pids["redis"]]) as store,
    ):
        report = load.send(from_packets(packets), count=messages)
        service.await_pings(already + pings)
    return {
        "batch100_pings_per_s": round(pings / ours.wall_s),
        "batch100_acknowledged_per_s": round(pings / report.seconds),
        "batch100_ours_us_per_ping": ours.us_per(pings),
        "batch100_broker_us_per_ping": broker.us_per(pings),
        "batch100_store_us_per_ping": store.us_per(pings),
    }


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - progress
