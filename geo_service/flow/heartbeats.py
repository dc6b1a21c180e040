"""Thinning of signs of life at the border: some makes push a frame many times a second in which nothing happened.

One in ten seconds says as much of a sensor's health, and the log stays one of things that happened. Whatever counts,
sees, or tells of a battery or a hand on the sensor always passes.
"""

from sensors.readings import Reading

EVERY_MS = 10_000


class Heartbeats:
    """When each sensor's last sign of life was let through. Forgetting all of it does no harm."""

    def __init__(self) -> None:
        self._passed_ms: dict[str, int] = {}

    def thinned(self, readings: list[Reading], received_ms: int) -> list[Reading]:
        """The readings of one message that are to be logged."""
        if not readings or any(_says_something(reading) for reading in readings):
            return readings
        sensor = readings[0].sensor
        since_ms = received_ms - self._passed_ms.get(sensor, -EVERY_MS)
        if 0 <= since_ms < EVERY_MS:  # a clock that went back must not silence it
            return []
        self._passed_ms[sensor] = received_ms
        return readings


def _says_something(reading: Reading) -> bool:
    return reading.kind != "heartbeat" or reading.battery is not None or reading.tamper is not None
