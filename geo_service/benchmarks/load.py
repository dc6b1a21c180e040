"""Load: messages to a broker at a steady rate, at little cost to the machine that broker and service share with it.

What is due is written in one piece per tick, and acknowledgements are only counted: MQTT 3.1.1, QoS 1, plain TCP. As a
process of its own, so that it shares no interpreter with what is measured: `python -m geo_service.benchmarks.load …`.
"""

import argparse
import json
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle
from typing import NamedTuple, Self

from geo_service.delivery.mqtt_packets import encode_length, encode_publish
from geo_service.delivery.mqtt_url import BrokerUrl
from geo_service.errors import UnreachableError

_MOST_MIDS = 65535
_PUBACK_BYTES = 4
_MOST_AT_ONCE = 1000
_TICK_S = 0.005
_SHORTEST_TICK_S = 0.001


class Report(NamedTuple):
    """What became of a load."""

    sent: int
    acknowledged: int
    seconds: float
    """From the first write to the last acknowledgement, or to the end of patience."""
    late_s: float
    """By how much the sender fell behind its schedule at worst, as it waited for the broker or for a core."""
    cpu_s: float
    """Of the sender."""


def encode(messages: Iterable[tuple[str, bytes]]) -> list[bytes]:
    """PUBLISH packets of `(topic, payload)`, numbered from 1 and again from 1 after 65535."""
    return [
        encode_publish(topic.encode(), payload, qos=1, retain=False, mid=number % _MOST_MIDS + 1, version_5=False)
        for number, (topic, payload) in enumerate(messages)
    ]


def from_packets(packets: Sequence[bytes]) -> Callable[[int, int], bytes]:
    """The source of a load that is encoded already."""
    return lambda start, stop: b"".join(packets[start:stop])


class Load:
    """Connections to a broker that send at a given rate; a context manager."""

    def __init__(self, url: str, *, connections: int = 4, window: int = 20_000) -> None:
        """Connect.

        `window` is how many messages may wait for their acknowledgement; the load falls behind when it is full.

        Raises:
            UnreachableError: the broker does not accept.
        """
        broker = BrokerUrl.parse(url)
        self._window = window
        self._answer_bytes = 0
        self._connections: list[socket.socket] = []
        for number in range(connections):
            try:
                connection = socket.create_connection((broker.host, broker.port), timeout=10)
                self._connections.append(connection)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.sendall(_connect(f"load-{time.time_ns():x}-{number}"))
                answer = connection.recv(4)
                connection.settimeout(None)
            except OSError as error:
                raise UnreachableError(str(broker), str(error)) from error
            if answer != b"\x20\x02\x00\x00":
                raise UnreachableError(str(broker), f"it answered {answer.hex()} to CONNECT")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections:
            connection.close()

    def send(
        self, source: Callable[[int, int], bytes], *, count: int, per_s: float = float("inf"), patience_s: float = 10.0
    ) -> Report:
        """Send messages 0 to `count`, `per_s` of them a second, and wait up to `patience_s` for what is unacknowledged.

        `source(start, stop)` gives the packets of these messages in one piece, when they are due; message ids must not
        come again within the window.
        """
        targets = cycle(self._connections)
        tick_s = max(_SHORTEST_TICK_S, min(_TICK_S, 1 / per_s)) if per_s < 1 / _TICK_S else _TICK_S
        answered_before, cpu_before, late_s, sent = self._answer_bytes, time.thread_time(), 0.0, 0
        began = tick_at = time.perf_counter()
        while sent < count:
            self._count_answers()
            waiting = sent - (self._answer_bytes - answered_before) // _PUBACK_BYTES
            elapsed_s = time.perf_counter() - began
            due = count if per_s == float("inf") else min(count, int(elapsed_s * per_s) + 1)
            stop = min(due, sent + self._window - waiting, sent + _MOST_AT_ONCE)
            if stop > sent:
                late_s = max(late_s, elapsed_s - sent / per_s)
                next(targets).sendall(source(sent, stop))
                sent = stop
            if sent == due or waiting >= self._window:
                tick_at += tick_s
                time.sleep(max(0.0, tick_at - time.perf_counter()))
        deadline = time.perf_counter() + patience_s
        while (acknowledged := (self._answer_bytes - answered_before) // _PUBACK_BYTES) < sent:
            if time.perf_counter() > deadline:
                break
            time.sleep(_TICK_S)
            self._count_answers()
        return Report(
            sent, acknowledged, time.perf_counter() - began, max(0.0, late_s), time.thread_time() - cpu_before
        )

    def _count_answers(self) -> None:
        for connection in self._connections:
            try:
                answers = connection.recv(1 << 18, socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
            if not answers:
                raise ConnectionResetError("the broker closed a connection of the load")
            self._answer_bytes += len(answers)


def _connect(client_id: str) -> bytes:
    """CONNECT of MQTT 3.1.1: clean session, no keepalive."""
    body = b"\0\4MQTT\4\2\0\0" + len(client_id).to_bytes(2, "big") + client_id.encode()
    return b"\x10" + encode_length(len(body)) + body


def main() -> None:
    """Send pings of made-up phones and print the report as JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--mqtt", required=True)
    parser.add_argument("--topic", default="geo/v1/ping")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--per-s", type=float, default=20_000)
    parser.add_argument("--phones", type=int, default=5_000)
    options = parser.parse_args()
    began = time.time()
    packets = encode(
        (
            f"{options.topic}/load-{number % options.phones}",
            b'{"time":%.3f,"lat":52.52,"lon":13.405,"accuracy_m":8,"speed_mps":1.2}'
            % (began + number // options.phones),
        )
        for number in range(options.count)
    )
    with Load(options.mqtt) as load:
        report = load.send(from_packets(packets), count=options.count, per_s=options.per_s)
    print(json.dumps(report._asdict()))  # noqa: T201 - the command's output


if __name__ == "__main__":
    main()
