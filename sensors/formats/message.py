"""One message on its way through a decoder."""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from sensors.config import SensorConfig
from sensors.errors import ReadingError
from sensors.readings import Reading

MAX_PAYLOAD_BYTES = 1_048_576
"""A body above this is refused unread: the largest real one, a day of history, is a tenth of it."""
MAX_READINGS = 1_000
"""The most readings one message may hold."""


class Message(NamedTuple):
    """What a format may know of a message beside its bytes."""

    topic: str
    config: SensorConfig
    received_ms: int

    def reading(self, **fields: Any) -> Reading:
        """A reading of this sensor."""
        return Reading(sensor=self.config.id, received_ms=self.received_ms, **fields)

    def heartbeat(self, **fields: Any) -> list[Reading]:
        """The sensor speaks, and says nothing to count."""
        return [self.reading(kind="heartbeat", **fields)]

    def option(self, name: str) -> Any:
        """A setting of the format, None where the sensor has none."""
        return self.config.options.get(name)

    def is_configured(self, line: str) -> bool:
        """Whether the owner named this line."""
        return line in self.config.lines


Read = Callable[[bytes, Message], list[Reading]]
"""A format: the readings of a payload. Raises `ReadingError` and nothing else, whatever the bytes are."""


def _nothing(options: dict[str, Any]) -> list[str]:  # noqa: ARG001 - the shape of a check
    return []


class Decoder(NamedTuple):
    """One format under its name, with the guards that all share."""

    format: str
    read: Read
    heartbeat_s: float | None = None
    """How often such a sensor speaks at the least when nothing happens, where its make says so."""
    own_problems: Callable[[dict[str, Any]], list[str]] = _nothing
    """What is wrong with the options that only this format has."""

    def problems(self, options: dict[str, Any]) -> list[str]:
        """What is wrong with a sensor's options, for the check of a site; empty where nothing is."""
        return [*_common_problems(options), *self.own_problems(options)]

    def decode(
        self, payload: bytes, topic: str, config: SensorConfig, *, received_ms: int = 0, retained: bool = False
    ) -> list[Reading]:
        """The readings of one message, in the order in which they count; empty where it says nothing to count.

        Args:
            payload: the bytes as they came.
            topic: the MQTT topic, or `http:<path>`.
            config: the sensor's description.
            received_ms: when it arrived, milliseconds since the epoch; times relative to now hang on it.
            retained: the broker had kept the message; it may be of any age.

        Raises:
            ReadingError: the payload cannot be used, and why; nothing else, whatever the bytes are.
        """
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise ReadingError(f"is {len(payload)} bytes long; at most {MAX_PAYLOAD_BYTES} are read")
        try:
            readings = self.read(payload, Message(topic, config, received_ms))
        except RecursionError as error:
            raise ReadingError("is nested too deeply") from error
        if len(readings) > MAX_READINGS:
            raise ReadingError(f"holds {len(readings)} readings; at most {MAX_READINGS} are taken")
        if retained or config.options:
            return [_adapt(reading, config, retained=retained) for reading in readings]
        return readings


def _adapt(reading: Reading, config: SensorConfig, *, retained: bool) -> Reading:
    """The options that every format has: `aliases` for lines, `invert_states`, and the `error` of people counted."""
    changes: dict[str, Any] = {}
    if retained:
        changes["retained"] = True
    aliases, inverted, error = (config.options.get(name) for name in ("aliases", "invert_states", "error"))
    if isinstance(aliases, dict) and isinstance(aliases.get(reading.line), str):
        changes["line"] = aliases[reading.line]
    if reading.kind == "state" and isinstance(inverted, list) and reading.line in inverted:
        changes["value"] = 1.0 - (reading.value or 0.0)
    if reading.kind == "absolute" and reading.error is None and not _common_problems({"error": error}):
        changes["error"] = None if error is None else float(error)
    return msgspec.structs.replace(reading, **changes) if changes else reading


def _common_problems(options: dict[str, Any]) -> list[str]:
    found = []
    aliases, error = options.get("aliases"), options.get("error")
    if aliases is not None and not (
        isinstance(aliases, dict) and all(isinstance(name, str) and 0 < len(name) <= 64 for name in aliases.values())
    ):
        found.append('options.aliases: must be an object of names, such as {"Line 0": "north"}')
    for name in ("invert_states", "ignore_lines"):
        lines = options.get(name)
        if lines is not None and not (isinstance(lines, list) and all(isinstance(line, str) for line in lines)):
            found.append(f"options.{name}: must be a list of lines")
    for name, value in (("error", error), ("heartbeat_s", options.get("heartbeat_s"))):
        usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1e9
        if value is not None and not usable:
            found.append(f"options.{name}: must be a number above zero")
    return found
