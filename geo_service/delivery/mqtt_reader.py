"""Messages from a broker, in batches, each acknowledged only after it was taken.

A batch forms by itself: what has arrived since the last one. A lone message goes at once; under load no batch begins
before `flush_s` after the one before it, so that batches grow and their cost per message falls. The session is persistent:
what comes while we are away, the broker keeps, and what was not acknowledged, it delivers again with `dup` set.
"""

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import structlog
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from geo_service.delivery.mqtt_packets import Message
from geo_service.delivery.mqtt_reception import FastClient, PlainClient, ReceivingClient
from geo_service.delivery.mqtt_url import KEEPALIVE_S, BrokerUrl, make_client
from geo_service.errors import UnreachableError

__all__ = ["Message", "MqttReader", "ReaderCounts"]

_log = structlog.get_logger(__name__)
_FIRST_DELAY_S, _LONGEST_DELAY_S = 1.0, 5.0
_CONNECT_S = 10.0
_POLL_MS = 1000
_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.1, 1.0
# Batches of one small size, time after time, mean that the broker sends no more before it has acknowledgements (mosquitto's
# own default is 20): then there is nothing to wait for.
_SMALL_WINDOW, _MANY_SAME = 64, 3
_CROWD = 256
"""Of so many messages at a time, twice as many at half the rate are cheaper; fewer had better not wait."""
_BROKE = "the connection broke"
_GOODBYE_S = 2.0
_DISCONNECT = b"\xe0\0"
_SESSION_TAKEN_OVER = 0x8E
# Not every broker says that; connections that end right after they began, again and again, say it too.
_SHORT_S, _MANY_SHORT = 5.0, 3


@dataclass
class ReaderCounts:
    """What happened since the start; only the reader's thread writes."""

    messages: int = 0
    refused: int = 0
    batches: int = 0
    connections: int = 0
    retries: int = 0
    """Batches that `on_batch` could not take at first."""


class MqttReader:
    """Reads topics of a broker on a thread of its own, from `start()` to `stop()`.

    `on_batch` gets the messages in the broker's order. When it raises one of `retry_on`, the batch stays
    unacknowledged, reading pauses, and the same batch comes again until it is taken. Any other exception ends the reader:
    `failure` holds it, and `join()` raises it. `on_refused(topic, reason)` hears of what is never handed over: a packet
    over `max_packet_bytes`, a topic that is not text; it is acknowledged so that it does not come back for ever.
    """

    def __init__(
        self,
        url: str,
        *,
        client_id: str,
        topics: Sequence[str],
        on_batch: Callable[[list[Message]], None],
        on_refused: Callable[[str, str], None] | None = None,
        flush_s: float = 0.005,
        max_batch: int = 5000,
        max_packet_bytes: int = 1 << 20,
        qos: Literal[1, 2] = 1,
        keep_session: bool = True,
        retry_on: tuple[type[Exception], ...] = (UnreachableError, ConnectionError, TimeoutError),
        plain: bool = False,
    ) -> None:
        """Prepare; nothing is connected before `start()`.

        Batches are at least `flush_s` apart while many messages come, so that they are worth their while, and half of that
        while there are fewer. `keep_session` False leaves nothing behind at the broker, for one who only listens for a while.
        `plain` reads as paho does even where this paho allows the fast way.

        Raises:
            InvalidInputError: the URL is none.
        """
        self.url = BrokerUrl.parse(url)
        self.client_id = client_id
        self.counts = ReaderCounts()
        self.failure: BaseException | None = None
        self._topics = tuple(topics)
        self._on_batch = on_batch
        self._on_refused = on_refused
        self._flush_s = flush_s
        self._max_batch = max_batch
        self._max_packet_bytes = max_packet_bytes
        self._qos = qos
        self._keep_session = keep_session
        self._retry_on = retry_on
        self._kind = PlainClient if plain or not FastClient.is_supported() else FastClient
        self._client: ReceivingClient | None = None
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._connected = False
        self._taken_over = False
        self._short_in_a_row = 0
        self._same_size = self._last_size = 0
        self._refusal = ""
        self._subscribed: tuple[str, ...] | None = None
        self._asked: dict[int, tuple[str, ...]] = {}
        """Topics asked for, by the message id that the answer will carry."""
        self._handed_over_at = self._opened_at = 0.0
        self._accepted_at: float | None = None
        self._poller = select.poll()
        self._waker: tuple[socket.socket, ...] = ()
        """What is written to the last wakes the poll on the first."""
        self._thread = threading.Thread(target=self._run, name=f"mqtt-{client_id}", daemon=True)

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us and the connection stands."""
        return self._connected

    def start(self) -> None:
        """Connect, subscribe, and read from now on.

        Raises:
            UnreachableError: the broker does not answer, does not want us, or does not grant a topic.
        """
        self._waker = socket.socketpair()
        self._thread.start()
        if not self._ready.wait(_CONNECT_S * 2):
            self.stop()
            raise UnreachableError(str(self.url), "it does not answer the subscription")
        if self.failure is not None:
            self._thread.join()
            raise self.failure

    def set_topics(self, topics: Sequence[str]) -> None:
        """Read these topics from now on; also from other threads, and before `start()`."""
        self._topics = tuple(topics)
        self._wake()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Finish the batch at hand, acknowledge it, and disconnect; the broker keeps the session.

        Raises:
            TimeoutError: `on_batch` did not come back in time.
        """
        self._stopping.set()
        self._wake()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                raise TimeoutError(f"the reader of {self.url} did not stop within {timeout_s} s")

    def join(self, timeout_s: float | None = None) -> None:
        """Wait until the reader has ended, by `stop()` or by a failure, which is raised."""
        self._thread.join(timeout_s)
        if self.failure is not None:
            raise self.failure

    def _wake(self) -> None:
        for end in self._waker[1:]:
            with contextlib.suppress(OSError):  # the thread has ended and closed it
                end.send(b"w")

    # What follows runs on the reader's thread.

    def _run(self) -> None:
        try:
            client = self._connect_first()
            delay_s = _FIRST_DELAY_S
            while not self._stopping.is_set():
                self._serve(client)
                if self._accepted_at is not None:
                    delay_s, self._accepted_at = _FIRST_DELAY_S, None
                self._stopping.wait(delay_s)
                delay_s = min(delay_s * 2, _LONGEST_DELAY_S)
                if not self._stopping.is_set():
                    self._open(client)
        except BaseException as failure:  # noqa: BLE001 - handed to the owner, whatever it is
            self.failure = failure
            if not self._ready.is_set():
                return  # `start()` raises it
            _log.error("mqtt reader ended", broker=str(self.url), error=repr(failure))
        finally:
            self._connected = False
            if self._client is not None:
                self._leave(self._client)
            for end in self._waker:
                end.close()
            self._ready.set()

    def _leave(self, client: ReceivingClient) -> None:
        """Say goodbye and wait until the broker hangs up.

        paho closes at once; what the broker sends meanwhile then meets a closed socket, the kernel resets the connection,
        and the broker loses acknowledgements that it had not read yet.
        """
        sock: Any = client.socket()
        deadline = time.monotonic() + _GOODBYE_S
        try:
            while sock is not None and client.want_write() and time.monotonic() < deadline:
                client.loop_write()
                sock = client.socket()
            if sock is not None:
                sock.settimeout(_GOODBYE_S)
                sock.sendall(_DISCONNECT)
                while time.monotonic() < deadline and sock.recv(65536):
                    pass
        except OSError:
            pass  # it is gone already
        client.disconnect()

    def _connect_first(self) -> ReceivingClient:
        """Connect with the newest version of MQTT that the broker speaks."""
        for version in self.url.versions:
            client = make_client(
                self.url, version, self.client_id, self._kind, keep_session=self._keep_session, manual_ack=True
            )
            client.prepare(max_packet_bytes=self._max_packet_bytes)
            client.on_connect = self._on_connect
            client.on_disconnect = self._on_disconnect
            client.on_subscribe = self._on_subscribe
            self._client = client
            self._open(client)
            while client.socket() is not None and not (self._connected or self._stopping.is_set()):
                self._step(client)
            if self._connected or self._stopping.is_set():
                return client
            if self._refusal not in (_BROKE, "Unsupported protocol version"):
                break
        raise UnreachableError(str(self.url), self._refusal)

    def _open(self, client: ReceivingClient) -> None:
        """Open the connection and ask to be accepted; `_refusal` tells why there is none."""
        self._refusal = ""
        self._opened_at = time.monotonic()
        try:
            client.reconnect()
        except OSError as error:
            self._refusal = str(error)
        self._poller = select.poll()
        self._poller.register(self._waker[0], select.POLLIN)

    def _serve(self, client: ReceivingClient) -> None:
        """Read until the connection is lost or `stop()` is called."""
        while client.socket() is not None and not self._stopping.is_set():
            if self._connected and self._topics is not self._subscribed:
                self._subscribe(client)
            self._step(client)
        if self._stopping.is_set():
            return
        self._connected = False
        if self._taken_over:
            raise UnreachableError(str(self.url), f"another client with the id {self.client_id} took the session over")
        short = self._accepted_at is not None and time.monotonic() - self._accepted_at < _SHORT_S
        self._short_in_a_row = self._short_in_a_row + 1 if short else 0
        hint = f"is there another client with the id {self.client_id}?" if self._short_in_a_row >= _MANY_SHORT else None
        _log.warning("mqtt broker lost", broker=str(self.url), reason=self._refusal, hint=hint)

    def _step(self, client: ReceivingClient) -> None:
        """Wait for bytes, read them, hand them over."""
        flush_s = self._flush_s if self._last_size >= _CROWD else self._flush_s / 2
        early_s = self._handed_over_at + flush_s - time.monotonic()
        if early_s > 0 and self._same_size < _MANY_SAME and not client.want_write():
            self._stopping.wait(early_s)
            readable = True  # or not: then the read finds nothing, and the next step asks
        else:
            readable = self._await_bytes(client)
        if readable and client.socket() is not None:
            client.read(self._max_batch)
            self._hand_over(client)
        client.loop_misc()
        if not self._connected and time.monotonic() - self._opened_at > _CONNECT_S:
            self._refusal = f"no answer within {_CONNECT_S:.0f} s"
            client.disconnect()

    def _await_bytes(self, client: ReceivingClient) -> bool:
        sock = client.socket()
        assert sock is not None
        self._poller.register(sock, select.POLLIN | select.POLLOUT if client.want_write() else select.POLLIN)
        pending = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        ready = dict(self._poller.poll(0 if pending else _POLL_MS))
        if self._waker[0].fileno() in ready:
            self._waker[0].recv(4096)
        event = ready.get(sock.fileno(), 0)
        if event & select.POLLOUT:
            client.loop_write()
        return pending or event & ~select.POLLOUT != 0

    def _hand_over(self, client: ReceivingClient) -> None:
        messages, refused = client.messages, client.refused
        for start in range(0, len(messages), self._max_batch):
            batch = messages[start : start + self._max_batch]
            if not self._until_taken(client, partial(self._on_batch, batch)):
                return
            self.counts.batches += 1
            self.counts.messages += len(batch)
        for topic, reason in refused:
            self.counts.refused += 1
            if self._on_refused is not None and not self._until_taken(client, partial(self._on_refused, topic, reason)):
                return
        if messages:
            same = 1 < len(messages) <= _SMALL_WINDOW and len(messages) == self._last_size
            self._same_size, self._last_size = self._same_size + 1 if same else 0, len(messages)
            self._handed_over_at = time.monotonic()
        messages.clear()
        refused.clear()
        client.acknowledge()

    def _until_taken(self, client: ReceivingClient, hand_over: Callable[[], None]) -> bool:
        """Call until it does not raise one of `retry_on`; False if `stop()` came first."""
        delay_s, pinged_at = _FIRST_RETRY_S, time.monotonic()
        while True:
            try:
                hand_over()
            except self._retry_on as error:
                if delay_s == _FIRST_RETRY_S:
                    _log.warning("mqtt reader pauses", error=str(error))
                self.counts.retries += 1
            else:
                return True
            if self._stopping.wait(delay_s):
                return False
            delay_s = min(delay_s * 2, _LONGEST_RETRY_S)
            if time.monotonic() - pinged_at > KEEPALIVE_S / 2:
                client.ping()
                pinged_at = time.monotonic()

    def _subscribe(self, client: ReceivingClient) -> None:
        topics, before = self._topics, self._subscribed or ()
        self._subscribed = topics
        gone = [topic for topic in before if topic not in topics]
        if gone:
            client.unsubscribe(gone)
        if not topics:
            self._ready.set()
            return
        options = SubscribeOptions(qos=self._qos, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        if client.protocol == MQTTProtocolVersion.MQTTv5:
            _, mid = client.subscribe([(topic, options) for topic in topics])
        else:
            _, mid = client.subscribe([(topic, int(self._qos)) for topic in topics])
        if mid is not None:
            self._asked[mid] = topics

    # paho's callbacks, called while it reads or writes on this thread.

    def _on_connect(
        self, _client: Client, _data: object, flags: ConnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            self._refusal = str(reason)
            return
        assert self._client is not None
        if not flags.session_present:
            self._client.forget_session()
        self.counts.connections += 1
        self._subscribed = None
        self._asked.clear()
        self._accepted_at = time.monotonic()
        self._connected = True

    def _on_disconnect(
        self, _client: Client, _data: object, flags: DisconnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        from_broker = flags.is_disconnect_packet_from_server
        self._refusal = self._refusal or (str(reason) if from_broker else _BROKE)
        self._taken_over = from_broker and reason.value == _SESSION_TAKEN_OVER

    def _on_subscribe(
        self, _client: Client, _data: object, mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        topics = self._asked.pop(mid, ())
        refused = [topic for topic, reason in zip(topics, reasons, strict=True) if reason.is_failure]
        if refused:
            raise UnreachableError(str(self.url), f"it does not grant {', '.join(refused)}")
        self._ready.set()
