"""paho clients that hand over messages in batches.

paho keeps connecting, TLS, keepalive and the session. Its own reading costs four `recv` and a `select` per message, twice
what the broker itself spends; `FastClient` reads 64 KiB at a time and acknowledges a batch in one write. It leans on
private names of paho 2.1 and 2.2 (`is_supported`, held by a contract test); `PlainClient` needs public ones only.
"""

import select
import ssl
from abc import ABC, abstractmethod
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from geo_service.delivery.mqtt_packets import MalformedError, Message, PacketSplitter, pack_acknowledgements

_READ_BYTES = 65536
_MOST_BYTES = 4 << 20
"""Read at most this much before it is handed over."""
_PUBACK, _PINGREQ = 0x40, 0xC0
_PRIVATE_NAMES = (
    "_in_packet",
    "_loop_rc_handle",
    "_packet_handle",
    "_packet_queue",
)
_IN_PACKET_KEYS = {"command", "remaining_length", "packet", "pos"}


class ReceivingClient(Client, ABC):
    """A paho client whose owner reads, empties `messages` and `refused`, and then acknowledges, all from one thread."""

    messages: list[Message]
    refused: list[tuple[str, str]]
    """`(topic, reason)`"""

    @abstractmethod
    def prepare(self, *, max_packet_bytes: int) -> None:
        """Set the bound, once, before the first connection."""

    @abstractmethod
    def read(self, limit: int) -> None:
        """Read what has come, about `limit` messages at most; a lost connection leaves `socket()` None."""

    @abstractmethod
    def acknowledge(self) -> None:
        """Acknowledge everything that was read."""

    @abstractmethod
    def forget_session(self) -> None:
        """The broker began a new session."""

    @abstractmethod
    def ping(self) -> None:
        """Tell the broker that we live, though we do not read."""


class FastClient(ReceivingClient):
    """Reads in large pieces and splits PUBLISH packets itself; everything else goes to paho."""

    @staticmethod
    def is_supported() -> bool:
        """Whether this paho has the private names that are needed."""
        client: Any = Client(CallbackAPIVersion.VERSION2)
        return all(hasattr(client, name) for name in _PRIVATE_NAMES) and set(client._in_packet) >= _IN_PACKET_KEYS  # noqa: SLF001 - the point of the question

    def prepare(self, *, max_packet_bytes: int) -> None:
        """Make the splitter, for this version of MQTT."""
        self._splitter = PacketSplitter(
            max_packet_bytes=max_packet_bytes, version_5=self.protocol == MQTTProtocolVersion.MQTTv5
        )
        self.messages = self._splitter.messages
        self.refused = self._splitter.refused

    def reconnect(self) -> MQTTErrorCode:
        """Connect anew; half a packet of the old connection is worth nothing."""
        self._splitter.restart()
        return super().reconnect()

    def forget_session(self) -> None:
        """Take message ids of QoS 2 as new."""
        self._splitter.forget_session()

    def read(self, limit: int) -> None:
        """Read until nothing is left, or `limit` messages or `_MOST_BYTES` are held."""
        sock = self.socket()
        taken = 0
        while sock is not None and len(self.messages) < limit and taken < _MOST_BYTES:
            try:
                chunk = sock.recv(_READ_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            except OSError:
                chunk = b""
            if not chunk:
                self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
                return
            taken += len(chunk)
            try:
                self._splitter.feed(chunk)
            except MalformedError:
                self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_PROTOCOL)
                return
            if self._splitter.others:
                self._pass_on()
            if len(chunk) < _READ_BYTES and not isinstance(sock, ssl.SSLSocket):
                break
            sock = self.socket()

    def _pass_on(self) -> None:
        """Let paho handle what is not about received messages."""
        others = list(self._splitter.others)
        self._splitter.others.clear()
        for command, body in others:
            packet: Any = {**self._in_packet, "command": command, "remaining_length": len(body), "pos": 0}
            self._in_packet = packet | {"packet": bytearray(body)}
            result = self._packet_handle()
            if result:
                self._loop_rc_handle(result)
            if self.socket() is None:
                return

    def acknowledge(self) -> None:
        """Acknowledge everything that was read, in one write."""
        acknowledgements = self._splitter.acknowledgements
        if acknowledgements and self.socket() is not None:
            self._packet_queue(_PUBACK, pack_acknowledgements(acknowledgements), 0, 1)
        acknowledgements.clear()

    def ping(self) -> None:
        """Send PINGREQ."""
        # Not `_send_pingreq`: that starts the clock for an answer, which nobody reads now.
        if self.socket() is not None:
            self._packet_queue(_PINGREQ, bytes((_PINGREQ, 0)), 0, 0)


class PlainClient(ReceivingClient):
    """Reads as paho does, one message at a time; paho holds a message of any size before it can be refused here."""

    def prepare(self, *, max_packet_bytes: int) -> None:
        """Let paho call `_take`."""
        self._max_payload_bytes = max_packet_bytes
        self._unacknowledged: list[tuple[int, int]] = []
        self.messages = []
        self.refused = []
        self.on_message = self._take

    def reconnect(self) -> MQTTErrorCode:
        """Connect anew; the broker will deliver again what was not acknowledged."""
        for waiting in (self.messages, self.refused, self._unacknowledged):
            waiting.clear()
        return super().reconnect()

    def forget_session(self) -> None:
        """Nothing to do: paho forgets by itself."""

    def _take(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        if message.qos:
            self._unacknowledged.append((message.mid, message.qos))
        try:
            topic = message.topic
        except UnicodeDecodeError:
            self.refused.append((repr(message), "topic is not UTF-8"))
            return
        if len(message.payload) > self._max_payload_bytes:
            reason = f"too large: {len(message.payload)} bytes, {self._max_payload_bytes} are taken"
            self.refused.append((topic, reason))
            return
        self.messages.append(
            Message(topic, bytes(message.payload), message.qos, message.retain, message.dup, message.mid)
        )

    def read(self, limit: int) -> None:
        """Let paho read packet by packet while bytes are there."""
        poller = select.poll()
        taken = 0
        while (sock := self.socket()) is not None and len(self.messages) < limit and taken < _MOST_BYTES:
            poller.register(sock, select.POLLIN)
            pending = sock.pending() if isinstance(sock, ssl.SSLSocket) else 0
            if not pending and not poller.poll(0):
                return
            before = len(self.messages)
            self.loop_read()
            taken += sum(len(message.payload) for message in self.messages[before:])
            if self.socket() is not sock:
                return

    def acknowledge(self) -> None:
        """Acknowledge everything that was read, one by one."""
        for mid, qos in self._unacknowledged:
            if self.socket() is None:
                break
            self.ack(mid, qos)
        self._unacknowledged.clear()

    def ping(self) -> None:
        """Do nothing: paho offers no way; a pause longer than the keepalive ends the connection, and the broker delivers again."""
