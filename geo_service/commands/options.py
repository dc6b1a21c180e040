"""Options that several commands share."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from geo_service.settings import Settings, read_settings

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)

REDIS = [
    click.option("--redis", metavar="URL", help="Redis or Valkey [GEO_REDIS]."),
    click.option("--prefix", help="What every Redis key begins with [GEO_PREFIX, geo:]."),
    click.option("--partitions", type=int, help="Partitions of the log, fixed at its first start [GEO_PARTITIONS, 1]."),
]
RULES = [
    click.option("--mqtt", metavar="URL", help="MQTT broker [GEO_MQTT]."),
    click.option("--presence", type=click.Choice(["strict", "steady"]), help="Geofence rule [GEO_PRESENCE, steady]."),
    click.option("--home-assistant", metavar="PREFIX", help="Announce stores to Home Assistant [GEO_HOME_ASSISTANT]."),
]
CONSENT = [click.option("--consent", help="Purposes assumed to be agreed to [GEO_CONSENT, location,offers].")]
LISTEN = [
    click.option("--host", help="Address to listen on [GEO_HOST, 127.0.0.1]."),
    click.option("--port", type=int, help="Port of API and dashboard, 0 for a free one [GEO_PORT, 8080]."),
]
LOGGING = [
    click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="[GEO_LOG_LEVEL, info]")
]


@contextmanager
def stopped_by_signal(seconds: float | None = None) -> Iterator[threading.Event]:
    """An event that SIGINT, SIGTERM or the time sets."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    timer = threading.Timer(seconds, stop.set) if seconds is not None else None
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        yield stop
    finally:
        if timer is not None:
            timer.cancel()


def options(*groups: list[Any]) -> Callable[[Any], Any]:
    """Apply groups of options to a command, in the order in which `--help` lists them."""

    def apply(command: Any) -> Any:
        for option in reversed([option for group in groups for option in group]):
            command = option(command)
        return command

    return apply


def begin(given: dict[str, Any]) -> Settings:
    """Settings from options and environment, and logging as they say."""
    from geo_service.logging import set_up_logging

    settings = read_settings(os.environ, given)
    set_up_logging(settings.log_level)
    return settings
