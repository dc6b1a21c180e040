"""MQTT packets as they come off a socket: bytes in, messages and their acknowledgements out. Pure; no socket here.

MQTT 3.1.1 (OASIS, 2014) section 3.3 and MQTT 5.0 (OASIS, 2019) section 3.3 define PUBLISH; sections 3.4 to 3.7 its answers.
"""

import struct
from collections.abc import Callable
from typing import Any

import msgspec

_PUBLISH = 0x30
_PLAIN_PUBLISH = 0x32
"""QoS 1, not retained, first delivery."""
_PUBREL = 0x62
_LAYOUT_BYTES = 5
"""Command, length (one or two bytes) and the topic's length: they fix where topic, message id and payload are."""
_MOST_LAYOUTS = 8192
_MOST_NAMES = 65536
_CUT_SHORT = "a PUBLISH ends within its own head"
_MOST_LENGTH_BYTES = 4
# An acknowledgement is four bytes: its command, the length 2, and the message id. One integer each, packed in one go.
_PUBACK = 0x4002_0000
_PUBREC = 0x5002_0000
_PUBCOMP = 0x7002_0000


class Message(msgspec.Struct, frozen=True, gc=False):
    """One PUBLISH that a broker delivered."""

    topic: str
    payload: bytes
    qos: int
    retained: bool
    dup: bool
    """The broker delivered this `mid` before and had no acknowledgement of it."""
    mid: int
    """The broker's message id, 1 to 65535, used again once acknowledged; 0 at QoS 0."""


class MalformedError(Exception):
    """The peer does not speak MQTT: the connection is of no further use."""


def pack_acknowledgements(acknowledgements: list[int]) -> bytes:
    """All acknowledgements as the bytes of one write."""
    return struct.pack(f">{len(acknowledgements)}I", *acknowledgements)


def encode_publish(
    topic: bytes, payload: bytes, *, qos: int, retain: bool, mid: int, version_5: bool, expires_s: int | None = None
) -> bytes:
    """One PUBLISH packet; `expires_s` says how long it is worth delivering, which MQTT 3.1.1 cannot say."""
    head = len(topic).to_bytes(2, "big") + topic
    if qos:
        head += mid.to_bytes(2, "big")
    if version_5:
        head += b"\0" if expires_s is None else b"\5\2" + expires_s.to_bytes(4, "big")
    return bytes((_PUBLISH | qos << 1 | retain,)) + encode_length(len(head) + len(payload)) + head + payload


def encode_length(length: int) -> bytes:
    """A variable byte integer (MQTT 5.0, 1.5.5)."""
    if length < 128:
        return bytes((length,))
    encoded = bytearray()
    while length > 127:
        encoded.append(length & 127 | 128)
        length >>= 7
    encoded.append(length)
    return bytes(encoded)


class PacketSplitter:
    """Cuts a byte stream into packets.

    `feed` fills `messages`, `refused`, `acknowledgements` (for all of them, to be sent once they are safe) and `others`
    (packets that are not about received messages). The owner empties the lists. A packet over `max_packet_bytes` is
    never held: its head is read, the rest runs past, and it ends in `refused`. So memory stays under
    `max_packet_bytes` plus what was fed and not yet taken.
    """

    def __init__(self, *, max_packet_bytes: int, version_5: bool) -> None:
        self.max_packet_bytes = max_packet_bytes
        self.version_5 = version_5
        self.messages: list[Message] = []
        self.refused: list[tuple[str, str]] = []
        """`(topic, reason)`"""
        self.acknowledgements: list[int] = []
        self.others: list[tuple[int, bytes]] = []
        """`(first byte, bytes after the length)`"""
        self._unreleased: set[int] = set()
        """Message ids of QoS 2 that were handed over and that the broker has not released yet."""
        self._names: dict[bytes, str] = {}
        """Topics seen: looking one up is cheaper than decoding it, and the text keeps its hash for whoever routes by it."""
        self._layouts: dict[bytes, tuple[Callable[[bytes, int], tuple[Any, ...]], int]] = {}
        """By the first bytes of a packet: what takes it apart, and its length in bytes."""
        self._chunks: list[bytes] = []
        self._held = 0
        self._needed = 0
        self._skipping = 0

    def restart(self) -> None:
        """Begin on a new connection: half a packet and what the broker will deliver again are forgotten."""
        self.messages.clear()
        self.refused.clear()
        self.acknowledgements.clear()
        self.others.clear()
        self._chunks.clear()
        self._held = self._needed = self._skipping = 0

    def forget_session(self) -> None:
        """The broker has no session of ours: message ids of QoS 2 mean nothing any more."""
        self._unreleased.clear()

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            MalformedError: they are not MQTT.
        """
        if self._skipping:
            if len(chunk) <= self._skipping:
                self._skipping -= len(chunk)
                return
            chunk = chunk[self._skipping :]
            self._skipping = 0
        if self._chunks:
            self._chunks.append(chunk)
            self._held += len(chunk)
            if self._held < self._needed:
                return
            chunk = b"".join(self._chunks)
            self._chunks.clear()
        used = self._split(chunk)
        if used < len(chunk):
            self._chunks.append(chunk[used:])
            self._held = len(chunk) - used

    def _split(self, data: bytes) -> int:
        """Split every whole packet; return how many bytes were used up (all of them while skipping).

        The loop holds the one packet that comes in thousands, a first delivery at QoS 1, and few byte codes: the first
        bytes of such a packet give its layout, and one call takes it apart. `_take` knows all of MQTT.
        """
        position, end = 0, len(data)
        layouts, names, version_5 = self._layouts, self._names, self.version_5
        add_message, acknowledge = self.messages.append, self.acknowledgements.append
        while position < end:
            layout = layouts.get(data[position : position + _LAYOUT_BYTES])
            if layout is not None and position + layout[1] <= end:
                topic, mid, payload = layout[0](data, position)
                name = names.get(topic)
                if name is not None and not (version_5 and payload[0]):
                    acknowledge(_PUBACK | mid)
                    add_message(Message(name, payload[1:] if version_5 else payload, 1, False, False, mid))
                    position += layout[1]
                    continue
            position, more = self._take(data, position, end)
            if not more:
                break
        return position

    def _take(self, data: bytes, position: int, end: int) -> tuple[int, bool]:
        """Take any one packet; return where the next begins, and False if more bytes are needed to go on."""
        length, start = _read_length(data, position + 1)
        stop = start + length
        if start < 0:
            self._needed = end - position + 1
            return position, False
        if stop - position > self.max_packet_bytes:
            if not self._refuse_oversized(data, position, start, stop):
                return position, False
            self._skipping = max(0, stop - end)
            return min(stop, end), not self._skipping
        if stop > end:
            self._needed = stop - position
            return position, False
        head, body = data[position], data[start:stop]
        if head & 0xF0 == _PUBLISH:
            self._take_publish(head, body)
            if head == _PLAIN_PUBLISH:
                self._learn_layout(data[position:stop], start - position)
        elif head == _PUBREL:
            self._take_release(body)
        else:
            self.others.append((head, body))
        return stop, True

    def _take_publish(self, head: int, body: bytes) -> None:
        qos = head >> 1 & 3
        topic_end = 2 + int.from_bytes(body[:2], "big")
        payload = topic_end + (2 if qos else 0)
        if len(body) < max(payload, 2) or qos == 3:
            raise MalformedError(_CUT_SHORT)
        mid = int.from_bytes(body[topic_end:payload], "big")
        if self.version_5:
            properties, payload = _read_length(body, payload)
            payload += properties
            if not 0 <= payload - properties <= payload <= len(body):
                raise MalformedError(_CUT_SHORT)
        if qos == 1:
            self.acknowledgements.append(_PUBACK | mid)
        elif qos == 2:
            self.acknowledgements.append(_PUBREC | mid)
            if mid in self._unreleased:
                return
            self._unreleased.add(mid)
        topic = body[2:topic_end]
        try:
            name = topic.decode()
        except UnicodeDecodeError:
            self.refused.append((topic.decode("utf-8", "replace"), "topic is not UTF-8"))
            return
        if len(self._names) >= _MOST_NAMES:
            self._names.clear()
        self._names[topic] = name
        self.messages.append(Message(name, body[payload:], qos, head & 1 == 1, head & 8 == 8, mid))

    def _learn_layout(self, packet: bytes, start: int) -> None:
        """Remember how a plain PUBLISH with the same first bytes is laid out."""
        topic_bytes = int.from_bytes(packet[start : start + 2], "big")
        rest = len(packet) - start - 2 - topic_bytes - 2
        if start > _LAYOUT_BYTES - 2 or rest < (1 if self.version_5 else 0):
            return
        if len(self._layouts) >= _MOST_LAYOUTS:
            self._layouts.clear()
        layout = struct.Struct(f">{start + 2}x{topic_bytes}sH{rest}s")
        self._layouts[packet[:_LAYOUT_BYTES]] = layout.unpack_from, len(packet)

    def _take_release(self, body: bytes) -> None:
        if len(body) < 2:
            raise MalformedError("a PUBREL without a message id")
        mid = int.from_bytes(body[:2], "big")
        self._unreleased.discard(mid)
        self.acknowledgements.append(_PUBCOMP | mid)

    def _refuse_oversized(self, data: bytes, position: int, start: int, stop: int) -> bool:
        """Note the packet as refused; False while its head has not arrived."""
        head = data[position]
        if head & 0xF0 != _PUBLISH:
            raise MalformedError(f"a packet 0x{head:02x} of {stop - start} bytes")
        qos = head >> 1 & 3
        if len(data) < start + 2:
            self._needed = start + 2 - position
            return False
        topic_end = start + 2 + (data[start] << 8 | data[start + 1])
        if topic_end + 2 > stop or qos == 3:
            raise MalformedError(_CUT_SHORT)
        if len(data) < topic_end + 2:
            self._needed = topic_end + 2 - position
            return False
        mid = data[topic_end] << 8 | data[topic_end + 1]
        if qos:
            self.acknowledgements.append((_PUBACK if qos == 1 else _PUBREC) | mid)
        if qos == 2:
            self._unreleased.add(mid)
        topic = data[start + 2 : topic_end].decode("utf-8", "replace")
        self.refused.append((topic, f"too large: {stop - start} bytes, {self.max_packet_bytes} are taken"))
        return True


def _read_length(data: bytes, position: int) -> tuple[int, int]:
    """A variable byte integer (MQTT 5.0, 1.5.5) and where it ends; the end is -1 where `data` stops within it."""
    length = 0
    for place, byte in enumerate(data[position : position + _MOST_LENGTH_BYTES]):
        length |= (byte & 127) << 7 * place
        if byte < 128:
            return length, position + place + 1
    if position + _MOST_LENGTH_BYTES <= len(data):
        raise MalformedError("a length of more than four bytes")
    return 0, -1
