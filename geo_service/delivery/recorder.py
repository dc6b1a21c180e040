"""Live MQTT traffic into a recording."""

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from geo_service.delivery.mqtt_packets import Message
from geo_service.delivery.mqtt_reader import MqttReader
from geo_service.flow.recording import open_bytes, write_line

_SAY_EVERY_S = 10.0


def record_traffic(
    url: str, topics: list[str], path: Path, seconds: float | None, progress: Callable[[str], None]
) -> int:
    """Record until the time has passed or a signal says stop; returns how many messages were written.

    Raises:
        InvalidInputError: the file cannot be written.
        UnreachableError: the broker cannot be reached.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    written = 0
    with open_bytes(path, "wb") as file:

        def write(messages: list[Message]) -> None:
            nonlocal written
            now_ms = time.time_ns() // 1_000_000
            for message in messages:
                line = write_line(now_ms, message.topic, message.payload, retained=message.retained, qos=message.qos)
                file.write(line)
            written += len(messages)

        client_id = f"geo-record-{time.time_ns():x}"
        reader = MqttReader(url, client_id=client_id, topics=topics, on_batch=write, keep_session=False)
        reader.start()
        progress(f"recording {', '.join(topics)}; Ctrl-C ends it")
        deadline = time.monotonic() + seconds if seconds is not None else None
        said_at = time.monotonic()
        while reader.failure is None and not stop.wait(0.1):
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                break
            if now - said_at >= _SAY_EVERY_S:
                said_at = now
                progress(f"{written} messages")
        reader.stop()
        reader.join()
    return written
