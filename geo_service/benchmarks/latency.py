"""`geo-service bench latency`: from a phone's ping to the offer on that phone, through real servers and a real worker.

Walking phones make the load, at 5 000 pings a second (`--quick` and not). Among them other phones
step in front of a store one at a time; each is timed from the publish of that ping to the receipt of its offer.
"""

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from geo_service.benchmarks.load import Load, from_packets
from geo_service.benchmarks.running import Walkers, load_average, running
from geo_service.catalogue.documents import Campaign, Fence, Store
from geo_service.delivery.mqtt_url import BrokerUrl
from geo_service.errors import UnreachableError

_ARRIVALS_PER_S = 20
_CAMPAIGN, _FENCE = "bench", "bench.near"
_AT = (45.7, -6.4)
"""Ten kilometres from the town: nobody else triggers it."""
_OFFERS = "geo/v1/device/+/offers"


def run(*, quick: bool, per_s: int = 5_000, progress: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Measure.

    Returns:
        `p50_ms`, `p99_ms` and `max_ms` from ping to offer, at `pings_per_s`.

    Raises:
        UnreachableError: an offer did not come.
    """
    progress = progress or _tell
    seconds = 12 if quick else 60
    with running(extra=_documents()) as service:
        progress(f"{per_s} pings a second for {seconds} s")
        phones = Arrivals(service.mqtt_url, seconds * _ARRIVALS_PER_S)
        walkers = Walkers(service.site, phones=4 * per_s)
        count = per_s * seconds
        packets = walkers.singles(time.time() + count / 400_000, per_s, count)
        with Load(service.mqtt_url) as load:
            phones.start()
            report = load.send(from_packets(packets), count=count, per_s=per_s)
            took_ms = phones.finish()
    return {
        "p50_ms": round(float(np.percentile(took_ms, 50)), 1),
        "p99_ms": round(float(np.percentile(took_ms, 99)), 1),
        "max_ms": round(float(took_ms.max()), 1),
        "pings_per_s": round(count / report.seconds),
        "offers": len(took_ms),
        "site": {"stores": len(service.site.store), "fences": len(service.site.fence), "phones": walkers.phones},
        "load_average": load_average(),
    }


def _documents() -> list[Store | Fence | Campaign]:
    """A fence of a store that nothing counts, and an offer for everybody who comes near."""
    lat, lon = _AT
    point = {"type": "Point", "coordinates": [lon, lat]}
    return [
        Store(id="bench", name="Bench", lat=lat, lon=lon),
        Fence(id=_FENCE, geometry=point, radius_m=100, store="bench", role="near"),
        Campaign(id=_CAMPAIGN, name="Bench", stores=["bench"], holdout=0),
    ]


class Arrivals:
    """Phones that come near one after the other, each once, and what time their offer took."""

    def __init__(self, url: str, count: int) -> None:
        self._count = count
        self._sent: dict[str, float] = {}
        self._took: dict[str, float] = {}
        self._all = threading.Event()
        granted = threading.Event()
        broker = BrokerUrl.parse(url)
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._receive
        self._client.on_subscribe = lambda *_: granted.set()
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        self._client.subscribe(_OFFERS, qos=1)
        if not granted.wait(10):
            raise UnreachableError(str(broker), "it does not answer the subscription")
        self._thread = threading.Thread(target=self._arrive, name="arrivals", daemon=True)

    def _receive(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        now = time.perf_counter()
        device = message.topic.split("/")[3]
        if device in self._sent and device not in self._took:
            self._took[device] = now - self._sent[device]
            if len(self._took) == self._count:
                self._all.set()

    def start(self) -> None:
        """Let them come."""
        self._thread.start()

    def _arrive(self) -> None:
        lat, lon = _AT
        next_at = time.perf_counter()
        for number in range(self._count):
            next_at += 1 / _ARRIVALS_PER_S
            time.sleep(max(0.0, next_at - time.perf_counter()))
            device = f"arrival-{number}"
            payload = msgspec.json.encode({"time": time.time(), "lat": lat, "lon": lon, "accuracy_m": 5.0})
            self._sent[device] = time.perf_counter()
            self._client.publish(f"geo/v1/ping/{device}", payload, qos=1)

    def finish(self) -> "np.ndarray[Any, np.dtype[np.float64]]":
        """Milliseconds from ping to offer, by phone.

        Raises:
            UnreachableError: some got none.
        """
        complete = self._all.wait(30)
        self._client.disconnect()
        self._client.loop_stop()
        if not complete:
            raise UnreachableError("the worker", f"{len(self._took)} offers came of {self._count}")
        return np.array(list(self._took.values())) * 1000


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - progress
