"""What the town sends, in the order in which a broker would get it."""

import heapq
from typing import Any, NamedTuple

import msgspec

encode = msgspec.json.Encoder().encode


class Message(NamedTuple):
    """One MQTT message."""

    time_ms: int
    """When it reaches the broker."""
    topic: str
    payload: bytes
    qos: int = 1
    retained: bool = False


class Outbox:
    """Messages on their way: what is sent now arrives after a moment, so they leave here in another order."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, Message]] = []
        self._number = 0

    def send(self, time_ms: int, topic: str, body: Any) -> None:
        """Send a body as JSON, to arrive at `time_ms`."""
        heapq.heappush(self._waiting, (time_ms, self._number, Message(time_ms, topic, encode(body))))
        self._number += 1

    def arrived(self, now_ms: int) -> list[Message]:
        """Take what has arrived by now, in order."""
        messages = []
        while self._waiting and self._waiting[0][0] <= now_ms:
            messages.append(heapq.heappop(self._waiting)[2])
        return messages
