"""`bench mqtt`: what it costs to read one message from a broker, beside what it costs the broker, in one run."""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from geo_service.benchmarks.broker import measure
from geo_service.delivery.mqtt_packets import Message
from geo_service.delivery.mqtt_reader import MqttReader
from geo_service.embedded.servers import start_servers
from geo_service.errors import UnreachableError

_TOPIC = "bench/ping"


def run(*, quick: bool, progress: Callable[[str], None] = lambda _: None) -> dict[str, object]:
    """Read single pings at QoS 1, fast and as paho does it.

    Returns:
        `reader_us_per_message`, `plain_us_per_message` and `broker_us_per_message` are CPU microseconds at `per_s` messages a
        second; `batch` is how many came at a time.

    Raises:
        UnreachableError: messages were lost.
    """
    per_s, seconds = 20_000, 2 if quick else 10
    results: dict[str, object] = {"per_s": per_s, "seconds": seconds}
    with tempfile.TemporaryDirectory() as folder, start_servers(Path(folder), redis=False) as servers:
        assert servers.mqtt_url is not None
        for name, plain, rate in (("reader", False, per_s), ("plain", True, per_s // 4)):
            progress(f"{name}: {rate} messages/s for {seconds} s")
            figures = _read(servers.mqtt_url, servers.pids["mqtt"], plain=plain, per_s=rate, count=rate * seconds)
            results[f"{name}_us_per_message"] = figures["ours"]
            if not plain:
                results |= {"broker_us_per_message": figures["broker"], "batch": figures["batch"]}
    return results


def _read(url: str, broker: int, *, plain: bool, per_s: int, count: int) -> dict[str, float]:
    arrived = 0
    everything = threading.Event()

    def take(batch: list[Message]) -> None:
        nonlocal arrived
        arrived += len(batch)
        if arrived >= count:
            everything.set()

    reader = MqttReader(url, client_id=f"bench-{plain}", topics=[f"{_TOPIC}/#"], on_batch=take, plain=plain)
    reader.start()
    load = [sys.executable, "-m", "geo_service.benchmarks.load", "--mqtt", url, "--topic", _TOPIC]
    with measure([broker]) as theirs:
        before_s = time.process_time()
        report = subprocess.run([*load, f"--count={count}", f"--per-s={per_s}"], capture_output=True, check=True)  # noqa: S603
        complete = everything.wait(30)
        ours_s = time.process_time() - before_s
    reader.stop()
    if not complete:
        sent = msgspec.json.decode(report.stdout)["acknowledged"]
        raise UnreachableError(url, f"{count} messages were sent, {sent} acknowledged, {arrived} delivered")
    return {
        "ours": round(ours_s / count * 1e6, 3),
        "broker": theirs.us_per(count),
        "batch": round(count / reader.counts.batches, 1),
    }
