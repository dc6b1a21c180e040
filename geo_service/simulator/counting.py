"""Sensors that count, and miss: doors send what they saw every ten seconds, a camera sends how many it thinks are inside."""

from typing import Any

from numpy.random import Generator

from geo_service.catalogue.documents import Sensor
from geo_service.errors import InvalidInputError
from geo_service.simulator.agenda import Agenda
from geo_service.simulator.house import House
from geo_service.simulator.messages import Outbox
from geo_service.simulator.premises import Door

_REPORT_MS = 10_000
_HEARTBEAT_MS = 60_000
_LOOK_MS = 20_000
_CAMERA_ERROR = 1.5
_CAMERA_ERROR_SHARE = 0.04


def topic_of(sensor: Sensor) -> str:
    """The topic that a sensor publishes to."""
    return sensor.topic or f"geo/v1/sensor/{sensor.id}"


class DoorSensor:
    """Counts at one or several lines; each crossing is missed with probability `miss`, in either direction."""

    def __init__(
        self, sensor: Sensor, house: House, generator: Generator, agenda: Agenda, outbox: Outbox, *, miss: float
    ) -> None:
        if sensor.format != "native":
            raise InvalidInputError(f"{sensor.id}: format {sensor.format!r}: simulated sensors speak 'native'")
        self.sensor, self._generator, self._agenda, self._outbox = sensor, generator, agenda, outbox
        self._miss = miss
        self._topic = topic_of(sensor)
        self._backward = {name for name, line in sensor.lines.items() if line.in_is == "backward"}
        self._pending: dict[str, list[int]] = {}
        self._sent_ms = 0
        self._seq = 0
        house.watch(self._see)

    def begin(self, now_ms: int) -> None:
        """Start reporting, each sensor at its own beat."""
        self._sent_ms = now_ms
        self._agenda.at(now_ms + int(self._generator.integers(_REPORT_MS)), self._report)

    def _see(self, door: Door, inwards: bool, _: int) -> None:
        if door.sensor != self.sensor.id or self._generator.random() < self._miss:
            return
        forward = inwards != (door.line in self._backward)
        self._pending.setdefault(door.line, [0, 0])[0 if forward else 1] += 1

    def _report(self, now_ms: int) -> None:
        self._agenda.at(now_ms + int(self._generator.integers(_REPORT_MS - 500, _REPORT_MS + 500)), self._report)
        readings = [
            self._reading(now_ms, line, {"kind": "delta", "in": ins, "out": outs})
            for line, (ins, outs) in sorted(self._pending.items())
        ]
        self._pending.clear()
        if not readings and now_ms - self._sent_ms >= _HEARTBEAT_MS:
            readings = [self._reading(now_ms, None, {"kind": "heartbeat"})]
        if readings:
            self._sent_ms = now_ms
            arrives_ms = now_ms + int(self._generator.integers(20, 250))
            self._outbox.send(arrives_ms, self._topic, readings[0] if len(readings) == 1 else readings)

    def _reading(self, now_ms: int, line: str | None, content: dict[str, Any]) -> dict[str, Any]:
        self._seq += 1
        named = {} if line is None else {"line": line}
        return {**named, "time": now_ms / 1000, **content, "seq": self._seq}


class Camera:
    """Looks down on everyone and counts heads: about right, with a standard error that it knows."""

    def __init__(self, sensor: Sensor, house: House, generator: Generator, agenda: Agenda, outbox: Outbox) -> None:
        if sensor.format != "native" or sensor.zone is not None:
            raise InvalidInputError(f"{sensor.id}: a simulated camera speaks 'native' and sees a whole store")
        self._house, self._generator, self._agenda, self._outbox = house, generator, agenda, outbox
        self._topic = topic_of(sensor)
        self._seq = 0

    def begin(self, now_ms: int) -> None:
        """Start looking."""
        self._agenda.at(now_ms + int(self._generator.integers(_LOOK_MS)), self._look)

    def _look(self, now_ms: int) -> None:
        self._agenda.at(now_ms + _LOOK_MS, self._look)
        value = max(0, round(self._generator.normal(self._house.inside, _camera_error(self._house.inside))))
        self._seq += 1
        body = {
            "time": now_ms / 1000,
            "kind": "absolute",
            "value": value,
            "error": _camera_error(value),
            "seq": self._seq,
        }
        self._outbox.send(now_ms + int(self._generator.integers(50, 400)), self._topic, body)


def _camera_error(people: int) -> float:
    return round(_CAMERA_ERROR + _CAMERA_ERROR_SHARE * people, 2)
