"""What `bench ingest` and `bench latency` share: a worker with servers of its own, a town, and phones that walk through it."""

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from geo_service.benchmarks.load import encode
from geo_service.catalogue.documents import Campaign, Fence, Store
from geo_service.catalogue.site import Kind, Site, read_site, write_site
from geo_service.embedded.processes import Nursery
from geo_service.embedded.servers import find_mosquitto, start_servers
from geo_service.errors import UnreachableError
from geo_service.flow.entries import EntryId
from geo_service.settings import Settings
from geo_service.simulator.blueprint import write
from geo_service.storage.connection import Client, connect
from geo_service.storage.keys import Keys
from geo_service.storage.worker_counts import WorkerCounts
from geo_service.supervision import start

_METRES_PER_DEGREE = 111_200.0
_PACE_MPS = 1.4
_NOISE_M = 5.0
_LOOK_S = 0.02
_PATIENCE_S = 120.0


class Running(NamedTuple):
    """A worker at work."""

    mqtt_url: str
    client: Client
    keys: Keys
    pids: dict[str, int]
    """Process ids by `redis`, `mqtt` and `worker`."""
    site: Site

    def counts(self) -> dict[str, int]:
        """The worker's counters; it tells them once a second."""
        return WorkerCounts(self.client, keys=self.keys).all() or {}

    def await_pings(self, number: int) -> None:
        """Wait until so many pings are in the log, all there is lies behind the checkpoint, and what was said is delivered.

        Raises:
            UnreachableError: that does not come.
        """
        self._await(lambda: self.counts().get("pings", 0) >= number, f"{number} pings in the log")
        newest = EntryId.parse(self.client.xinfo_stream(self.keys("log", partition=0))["last-generated-id"])
        self._await(lambda: self._checkpoint() >= newest, "a checkpoint behind them")
        said = EntryId.parse(self.client.xinfo_stream(self.keys("outputs", partition=0))["last-generated-id"])
        self._await(lambda: self._delivered() >= said, "a delivery of what was said")

    def _delivered(self) -> EntryId:
        return EntryId.parse(self.client.hget(self.keys("readers", partition=0), "mqtt") or b"0-0")

    def _checkpoint(self) -> EntryId:
        position = self.client.hget(self.keys("checkpoint", partition=0), "position")
        return EntryId.parse(position or b"0-0")

    def _await(self, question: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not question():
            if time.monotonic() > deadline:
                raise UnreachableError("the worker", f"no {what} within {_PATIENCE_S:.0f} s; it counts {self.counts()}")
            time.sleep(_LOOK_S)


@contextmanager
def running(extra: Iterable[Store | Fence | Campaign] = ()) -> Iterator[Running]:
    """A mosquitto, a Redis and a worker that serves the town and what is beside it (`extra`), as long as the context lasts."""
    if find_mosquitto() is None:
        raise UnreachableError("mosquitto", "the benchmark measures against it, and it is not installed")
    with tempfile.TemporaryDirectory() as name, start_servers(Path(name), fsync="everysec") as servers:
        folder = Path(name) / "site"
        write(folder)
        site, _ = read_site(folder)
        for document in extra:
            kind: Kind = (
                "store" if isinstance(document, Store) else "fence" if isinstance(document, Fence) else "campaign"
            )
            site.of(kind)[document.id] = document
        write_site(site, folder)
        settings = Settings()
        keys, client = Keys(settings.prefix), connect(str(servers.redis_url))
        nursery = Nursery()
        try:
            urls = ["--redis", str(servers.redis_url), "--mqtt", str(servers.mqtt_url)]
            worker = start(nursery, "worker", ["worker", *urls, "--site", str(folder), "--log-level", "warning"])
            counts = WorkerCounts(client, keys=keys)
            worker.await_ready(lambda: counts.all() is not None)
            yield Running(str(servers.mqtt_url), client, keys, servers.pids | {"worker": worker.pid}, site)
        finally:
            nursery.stop()
            client.close()


class Walkers:
    """Phones that walk through the town from one random place to another, and are seen some metres off."""

    def __init__(self, site: Site, phones: int, seed: int = 1) -> None:
        lat = [store.lat for store in site.store.values()]
        lon = [store.lon for store in site.store.values()]
        self._random = np.random.default_rng(seed)
        self._low, self._high = np.array([min(lat), min(lon)]), np.array([max(lat), max(lon)])
        self._per_degree = _METRES_PER_DEGREE * np.array([1.0, np.cos(np.radians(lat[0]))])
        self.phones = phones
        self._at, self._to = self._places(), self._places()

    def _places(self) -> np.ndarray:
        return self._random.uniform(self._low, self._high, (self.phones, 2))

    def walk(self, seconds: float) -> np.ndarray:
        """Let everybody walk on, and see them: latitude and longitude by phone."""
        way = (self._to - self._at) * self._per_degree
        left = np.hypot(*way.T)
        step = np.minimum(_PACE_MPS * seconds / np.maximum(left, 1e-9), 1.0)
        self._at += (self._to - self._at) * step[:, None]
        arrived = step >= 1.0
        self._to[arrived] = self._places()[arrived]
        return self._at + self._random.normal(0, _NOISE_M, (self.phones, 2)) / self._per_degree

    def singles(self, began_s: float, per_s: int, count: int) -> list[bytes]:
        """PUBLISH packets of one ping each: phone after phone, `per_s` of them a second from `began_s` on."""
        messages = []
        for start_at in range(0, count, self.phones):
            seen = self.walk(self.phones / per_s).round(6).tolist()
            for phone, (lat, lon) in enumerate(seen[: count - start_at]):
                at_s = began_s + (start_at + phone) / per_s
                messages.append((f"geo/v1/ping/w{phone}", _ping(at_s, lat, lon)))
        return encode(messages)

    def hundreds(self, began_s: float, count: int) -> list[bytes]:
        """PUBLISH packets of a hundred pings each: what a phone saved while it was offline, a ping every second."""
        messages = []
        for start_at in range(0, count, self.phones):
            seen = np.stack([self.walk(1.0).round(6) for _ in range(100)], axis=1).tolist()
            first_s = began_s + 100 * (start_at // self.phones)
            for phone, path in enumerate(seen[: count - start_at]):
                pings = b",".join(_ping(first_s + second, lat, lon) for second, (lat, lon) in enumerate(path))
                messages.append((f"geo/v1/ping/offline-{phone}", b"[%s]" % pings))
        return encode(messages)


def _ping(at_s: float, lat: float, lon: float) -> bytes:
    return f'{{"time":{at_s:.3f},"lat":{lat},"lon":{lon},"accuracy_m":8,"speed_mps":1.4}}'.encode()


def load_average() -> float:
    """How many processes wanted a core lately: the others are in the way of whoever measures."""
    return round(os.getloadavg()[0], 2)
