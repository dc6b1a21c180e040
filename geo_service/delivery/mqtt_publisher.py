"""Messages to a broker, in batches: `publish` returns when the broker has acknowledged every one of them.

No thread: a batch is written and its acknowledgements are read where `publish` is called. A batch that meets a lost
connection goes on over a new one, from the first message that nobody acknowledged: at least once, in order.
"""

import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import structlog
from paho.mqtt.client import Client, ConnectFlags
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from geo_service.delivery.mqtt_packets import MalformedError, PacketSplitter, encode_publish
from geo_service.delivery.mqtt_url import BrokerUrl, make_client
from geo_service.errors import InvalidInputError, UnreachableError

_log = structlog.get_logger(__name__)
_PUBACK, _DISCONNECT = 0x40, 0xE0
_CONNECT_S = 10.0
_STEP_S = 0.5
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.1, 5.0
_LONGEST_TOPIC = 65535
_LONGEST_EXPIRY_S = 0xFFFF_FFFF
_NOT_IN_TOPICS = re.compile("[+#\0\ud800-\udfff]")
_MOST_ANSWER_BYTES = 65536
_WRITE_BYTES = 65536
_NOBODY_LISTENS, _REFUSED = 0x10, 0x80
"""Reason codes of MQTT 5: no matching subscribers; from here on, not taken."""
Missed = Literal["unheard", "refused"]
"""Nobody listens to the topic, or the broker does not take the message; only MQTT 5 tells either."""


class Outgoing(NamedTuple):
    """A message to be published."""

    topic: str
    payload: bytes
    retain: bool = False
    expires_s: int | None = None
    """Seconds after which the broker need not deliver it any more (MQTT 5; 3.1.1 knows no such thing)."""
    qos: Literal[0, 1] = 1


class MqttPublisher:
    """Publishes to one broker; connects when first needed, and again when the connection is lost.

    At most `window` messages wait for their acknowledgement at a time, or fewer if the broker wants that.
    """

    def __init__(
        self,
        url: str,
        client_id: str,
        *,
        window: int = 1000,
        answer_s: float = 10.0,
        patience_s: float = 30.0,
        stop: threading.Event | None = None,
    ) -> None:
        """Prepare; nothing is connected yet. Once `stop` is set, `publish` waits for nothing any more.

        `answer_s` is how long the broker may take for an acknowledgement before the connection counts as lost,
        `patience_s` how long `publish` tries to get a new one.

        Raises:
            InvalidInputError: the URL is none.
        """
        self.url = BrokerUrl.parse(url)
        self.client_id = client_id
        self._window = window
        self._answer_s = answer_s
        self._patience_s = patience_s
        self._versions = self.url.versions
        self._client: Client | None = None
        self._splitter = PacketSplitter(max_packet_bytes=_MOST_ANSWER_BYTES, version_5=False)
        self._poller = select.poll()
        self._room = window
        self._accepted = False
        self._refusal = ""
        self._mid = 0
        self._closing = stop or threading.Event()
        self._lock = threading.Lock()

    def connect(self) -> None:
        """Connect now rather than with the first message.

        Raises:
            UnreachableError: the broker does not answer or does not want us.
        """
        with self._lock:
            self._connect()

    def publish(self, messages: Sequence[Outgoing]) -> dict[int, Missed]:
        """Publish in order; returns once the broker has answered all of QoS 1, with what will reach nobody, by place.

        A message that the broker does not take keeps none of the others: to try again would change nothing.

        Raises:
            UnreachableError: no connection for `patience_s`, or `close()` was called.
            InvalidInputError: a message cannot be one of MQTT.
        """
        for message in messages:
            _require_publishable(message)
        left = list(enumerate(messages))
        missed: dict[int, Missed] = {}
        delay_s, losing_since = _FIRST_DELAY_S, None
        with self._lock:
            while left:
                before = len(left)
                try:
                    if self._client is None:
                        self._connect()
                    self._send(left, missed)
                except (OSError, MalformedError, UnreachableError) as error:
                    self._drop()
                    now = time.monotonic()
                    if losing_since is None or len(left) < before:
                        losing_since, delay_s = now, _FIRST_DELAY_S
                    if now - losing_since > self._patience_s:
                        raise UnreachableError(str(self.url), str(error)) from error
                    _log.warning("mqtt publisher connects again", broker=str(self.url), reason=str(error))
                    if self._closing.wait(delay_s):
                        raise UnreachableError(str(self.url), "the publisher was closed") from error
                    delay_s = min(delay_s * 2, _LONGEST_DELAY_S)
        refused = [place for place, how in missed.items() if how == "refused"]
        if refused:
            topic = messages[refused[0]].topic
            _log.warning("the broker refuses messages", broker=str(self.url), messages=len(refused), first_topic=topic)
        return missed

    def close(self) -> None:
        """Disconnect; a `publish` under way in another thread raises. Also after a failure, and twice."""
        self._closing.set()
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            sock = client.socket()
            if sock is not None:  # it could not even say goodbye
                sock.close()

    def _connect(self) -> None:
        for version in self._versions:
            self._accepted, self._refusal, self._room = False, "", self._window
            client = make_client(self.url, version, self.client_id, Client, keep_session=False, keepalive_s=0)
            client.on_connect = self._on_connect
            try:
                client.reconnect()
            except OSError as error:
                raise UnreachableError(str(self.url), str(error)) from error
            self._await_answer(client)
            if self._accepted:
                self._versions = (version,)
                self._client = client
                self._splitter = PacketSplitter(max_packet_bytes=_MOST_ANSWER_BYTES, version_5=False)
                self._take_over(client)
                return
            client.disconnect()
            if self._refusal not in ("", "Unsupported protocol version"):
                break
        raise UnreachableError(str(self.url), self._refusal or "it closed the connection instead of accepting it")

    def _await_answer(self, client: Client) -> None:
        poller = select.poll()
        deadline = time.monotonic() + _CONNECT_S
        while not (self._accepted or self._refusal) and (sock := client.socket()) is not None:
            poller.register(sock, select.POLLIN | (select.POLLOUT if client.want_write() else 0))
            events = sum(event for _, event in poller.poll(_STEP_S * 1000))
            if events & select.POLLOUT:
                client.loop_write()
            if events & ~select.POLLOUT:
                client.loop_read()
            if time.monotonic() > deadline:
                self._refusal = f"no answer within {_CONNECT_S:.0f} s"

    def _on_connect(
        self, _client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, properties: Any
    ) -> None:
        if reason.is_failure:
            self._refusal = str(reason)
            return
        self._accepted = True
        self._room = min(self._window, getattr(properties, "ReceiveMaximum", self._window))

    def _take_over(self, client: Client) -> None:
        """Use the socket ourselves from now on, and let the kernel watch it while it is idle, as no thread of ours does."""
        sock: Any = client.socket()
        sock.settimeout(self._answer_s)
        self._poller = select.poll()
        self._poller.register(sock, select.POLLIN)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)

    def _send(self, left: list[tuple[int, Outgoing]], missed: dict[int, Missed]) -> None:
        """Send and await; whatever happens, `left` is then what has not been answered."""
        assert self._client is not None
        sock: Any = self._client.socket()
        version_5 = self._client.protocol == MQTTProtocolVersion.MQTTv5
        waiting: dict[int, tuple[int, Outgoing]] = {}
        position = 0
        progress_at = time.monotonic()
        try:
            while position < len(left) or waiting:
                packets = bytearray()
                while position < len(left) and len(waiting) < self._room and len(packets) < _WRITE_BYTES:
                    message = left[position][1]
                    mid = self._next_mid(waiting) if message.qos else 0
                    packets += _encode(message, mid, version_5=version_5)
                    if message.qos:
                        waiting[mid] = left[position]
                    position += 1
                if packets:
                    sock.sendall(packets)
                if waiting:
                    done = self._read_acknowledgements(sock, waiting, missed)
                    now = time.monotonic()
                    progress_at = now if done else progress_at
                    if now - progress_at > self._answer_s:
                        raise TimeoutError(f"no acknowledgement within {self._answer_s:.0f} s")
        finally:
            left[:] = [*waiting.values(), *left[position:]]

    def _next_mid(self, waiting: Mapping[int, object]) -> int:
        self._mid = self._mid % 65535 + 1
        while self._mid in waiting:
            self._mid = self._mid % 65535 + 1
        return self._mid

    def _read_acknowledgements(
        self, sock: Any, waiting: dict[int, tuple[int, Outgoing]], missed: dict[int, Missed]
    ) -> int:
        """Take what has come out of `waiting`; how many."""
        if self._closing.is_set():
            raise UnreachableError(str(self.url), "the publisher was closed")
        pending = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        if not pending and not self._poller.poll(_STEP_S * 1000):
            return 0
        chunk = sock.recv(_WRITE_BYTES)
        if not chunk:
            raise ConnectionResetError("the broker closed the connection")
        self._splitter.feed(chunk)
        others, done = list(self._splitter.others), 0
        self._splitter.others.clear()
        for command, body in others:
            if command == _PUBACK:
                answered = waiting.pop(int.from_bytes(body[:2], "big"), None)
                done += answered is not None
                reason = body[2] if len(body) > 2 else 0
                if answered is not None and (reason == _NOBODY_LISTENS or reason >= _REFUSED):
                    missed[answered[0]] = "refused" if reason >= _REFUSED else "unheard"
            elif command == _DISCONNECT:
                raise ConnectionResetError(f"the broker disconnects, reason 0x{body[0] if body else 0:02x}")
        return done


def _encode(message: Outgoing, mid: int, *, version_5: bool) -> bytes:
    return encode_publish(
        message.topic.encode(),
        message.payload,
        qos=message.qos,
        retain=message.retain,
        mid=mid,
        version_5=version_5,
        expires_s=message.expires_s,
    )


def _require_publishable(message: Outgoing) -> None:
    topic = message.topic.encode(errors="replace")
    if not 0 < len(topic) <= _LONGEST_TOPIC or _NOT_IN_TOPICS.search(message.topic):
        raise InvalidInputError(f"{message.topic!r} is no topic to publish to", field="topic")
    if message.expires_s is not None and not 0 <= message.expires_s <= _LONGEST_EXPIRY_S:
        raise InvalidInputError(f"{message.expires_s} is no number of seconds for MQTT", field="expires_s")
