"""A town at a real broker: its messages go out as they come, and the offers that come back sway its shoppers."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from geo_service.delivery.mqtt_url import KEEPALIVE_S, BrokerUrl, introduce
from geo_service.errors import UnreachableError
from geo_service.simulator.messages import Message
from geo_service.simulator.plan import built_in, read_plan
from geo_service.simulator.scenario import DAY, Scenario
from geo_service.simulator.town import Town

OFFERS = "geo/v1/device/+/offers"
_STEP_S = 0.1
_MAX_INFLIGHT = 200
_MAX_WAITING = 20_000
"""Messages that a broker has not acknowledged; what comes on top while it is away is dropped, and counted."""
_FAREWELL_S = 3.0


class Traffic(msgspec.Struct):
    """What went over the wire."""

    published: int = 0
    acknowledged: int = 0
    dropped: int = 0
    """Found `_MAX_WAITING` messages before them."""
    reconnects: int = 0
    offers: int = 0
    followed: int = 0
    """Offers that a shopper went for."""
    unreadable: int = 0
    """Messages on an offers topic that are no offer."""


class _Offer(msgspec.Struct):
    store: str
    decision: str = "sent"


_offer = msgspec.json.Decoder(_Offer)


def run(
    broker_url: str,
    *,
    seed: int,
    phones: int,
    speed: float,
    stop: threading.Event,
    site: Path | None = None,
    scenario: Scenario = DAY,
    patience_s: float = 10.0,
    notify: Callable[[str], None] = lambda _: None,
) -> Traffic:
    """Run a town at `mqtt://[user:password@]host[:port]` (or `mqtts://`) until `stop` is set.

    A lost connection is made again for as long as it takes; `notify` is told, one line each time. Time is the real one.

    Raises:
        InvalidInputError: the URL, an argument, or a site that cannot be simulated.
        UnreachableError: no broker answers, or it refuses, for `patience_s` at the start.
    """
    plan = built_in() if site is None else read_plan(site)
    town = Town(seed, plan, start_ms=_now_ms(), phones=phones, speed=speed, scenario=scenario, remembers=False)
    line = _Line(BrokerUrl.parse(broker_url), f"simulator-{os.getpid()}-{seed}", notify)
    line.open(patience_s, stop)
    try:
        last_ms = 0
        while not stop.wait(_STEP_S):
            # A clock that is set back stands still until it is where it was.
            last_ms = max(last_ms, _now_ms())
            for message in town.step(last_ms):
                line.publish(message)
            for device, store in line.take_offers():
                line.traffic.followed += town.receive_offer(device, store, last_ms)
    finally:
        line.close()
    return line.traffic


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class _Line:
    """One MQTT 3.1.1 connection; paho's thread speaks, the caller's thread fills and empties the queues."""

    def __init__(self, broker: BrokerUrl, client_id: str, notify: Callable[[str], None]) -> None:
        self._server, self._notify, self.traffic = str(broker), notify, Traffic()
        self._offers: deque[tuple[str, bytes]] = deque(maxlen=_MAX_WAITING)
        self._connected = threading.Event()
        self._ever_connected = False
        self._trouble = "no answer"
        self._client = client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv311)
        introduce(client, broker)
        client.max_inflight_messages_set(_MAX_INFLIGHT)
        client.max_queued_messages_set(_MAX_WAITING)
        client.reconnect_delay_set(1, 5)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_connect_fail, client.on_publish = self._on_connect_fail, self._on_publish
        client.on_message = self._on_message
        client.connect_async(broker.host, broker.port, KEEPALIVE_S)

    def open(self, patience_s: float, stop: threading.Event) -> None:
        """Connect, or give up."""
        self._client.loop_start()
        until = time.monotonic() + patience_s
        while not self._connected.wait(0.05):
            if stop.is_set():
                return
            if time.monotonic() > until:
                self._client.loop_stop()
                raise UnreachableError(self._server, self._trouble)

    def publish(self, message: Message) -> None:
        """Send, or keep until the broker is back, or drop if too much waits already."""
        sent = self._client.publish(message.topic, message.payload, qos=message.qos, retain=message.retained)
        if sent.rc == mqtt.MQTT_ERR_QUEUE_SIZE:
            self.traffic.dropped += 1
        else:
            self.traffic.published += 1

    def take_offers(self) -> list[tuple[str, str]]:
        """The offers that came since last asked, as (device, store)."""
        taken = []
        while self._offers:
            topic, payload = self._offers.popleft()
            try:
                offer = _offer.decode(payload)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                self.traffic.unreadable += 1
                continue
            if offer.decision == "sent":
                self.traffic.offers += 1
                taken.append((topic.split("/")[3], offer.store))
        return taken

    def close(self) -> None:
        """Wait a moment for what is still to be acknowledged, then say goodbye."""
        until = time.monotonic() + _FAREWELL_S
        while self._connected.is_set() and self.traffic.acknowledged < self.traffic.published:
            if time.monotonic() > until:
                break
            time.sleep(0.02)
        self._client.disconnect()
        self._client.loop_stop()

    # --- on paho's thread -------------------------------------------------------------------------------------------

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._trouble = f"it refuses the connection: {reason}"
            return
        client.subscribe(OFFERS, qos=1)
        if self._ever_connected:
            self.traffic.reconnects += 1
            self._notify(f"connected to {self._server} again")
        self._ever_connected = True
        self._connected.set()

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if self._connected.is_set() and reason.is_failure:
            self._notify(f"lost {self._server}: {reason}; trying again")
        self._connected.clear()

    def _on_connect_fail(self, _client: mqtt.Client, _data: Any) -> None:
        self._trouble = "the connection is refused or times out"

    def _on_publish(self, _client: mqtt.Client, _data: Any, _mid: int, _reason: Any, _properties: Any) -> None:
        self.traffic.acknowledged += 1

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self._offers.append((message.topic, bytes(message.payload)))
