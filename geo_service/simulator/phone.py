"""A shopper's phone: fixes with errors, at uneven intervals, with gaps, sent in the format of its app."""

import math
from collections.abc import Callable
from typing import Any, Final

from numpy.random import Generator

from geo_service.simulator.messages import Outbox
from geo_service.simulator.plane import Plane, Point
from geo_service.simulator.scenario import Pace

ACCURACY_M: Final = 8.0
"""Two fixes of three lie within this radius of the truth, under the sky: what phones mean by accuracy."""
INDOORS: Final = 1.5
"""How many times worse a fix is under a roof."""
_RADIUS_PER_SIGMA = 1.51
# The radius that holds 68 % of a two-dimensional Gaussian, in standard deviations of one axis: sqrt(-2 ln 0.32).
_MEMORY_MS = 40_000
"""Errors of a receiver change slowly (multipath): their correlation falls to 1/e in this time."""
_OUTLIERS = 0.01
_HONEST_OUTLIERS = 0.5
"""Share of the outliers whose phone knows that they are bad."""
MOST_METRES_OFF: Final = 150.0
_GAPS_OUTDOORS, _GAPS_INDOORS = 0.002, 0.008
_GAP_MS, _GAP_SPREAD = 150_000, 0.6
_KEPT = 0.5
"""Share of the gaps in which the phone has no network but keeps its fixes; in the others it has no fix."""
_MOST_KEPT = 400
_SHORTEST_S, _LONGEST_S = 15.0, 60.0

Track = Callable[[int], tuple[Point, float, float, bool]]
"""Where the shopper truly is at a time: the point, m/s, the heading in degrees, and whether under a roof."""


class Phone:
    """One phone. The native app and OwnTracks differ in names, units and in what they can say, not in what they know."""

    def __init__(self, number: int, generator: Generator, outbox: Outbox, plane: Plane, *, pace: Pace) -> None:
        """The `number` names it; every second phone runs OwnTracks."""
        self._generator, self._outbox, self._plane, self._pace = generator, outbox, plane, pace
        self.owntracks = number % 2 == 1
        if self.owntracks:
            self.device = f"walker{number:04d}.phone"
            self._topic = f"owntracks/walker{number:04d}/phone"
        else:
            self.device = f"phone{number:04d}"
            self._topic = f"geo/v1/ping/{self.device}"
        self._interval_ms = pace.between_pings(generator.uniform(_SHORTEST_S, _LONGEST_S) * 1000)
        self.awake = False
        """Whether a next fix is due; the town's to say."""
        self._error = generator.normal(0.0, 1.0, 2).tolist()
        self._fixed_ms = 0
        self._battery = generator.uniform(0.3, 1.0)
        self._seq = 0
        self._gap_until_ms = 0
        self._keeps = False
        self._kept: list[dict[str, Any]] = []

    def first_wait_ms(self) -> int:
        """The time to the first fix after leaving home."""
        return round(self._interval_ms * self._generator.uniform(0.0, 0.5))

    def wait_ms(self) -> int:
        """The time to the next fix."""
        return max(1000, round(self._interval_ms * self._generator.uniform(0.85, 1.15)))

    def fix(self, now_ms: int, track: Track) -> None:
        """Take a fix and send it, unless the phone is in a gap."""
        time_ms = now_ms - now_ms % 1000 if self.owntracks else now_ms
        point, speed, heading, indoors = track(time_ms)
        body = self._body(time_ms, point, speed, heading, indoors)
        if now_ms < self._gap_until_ms:
            if self._keeps and len(self._kept) < _MOST_KEPT:
                self._kept.append(body)
            return
        arrives_ms = now_ms + int(self._generator.integers(80, 600))
        self._send_kept(arrives_ms)
        self._outbox.send(arrives_ms, self._topic, body)
        if self._generator.random() < (_GAPS_INDOORS if indoors else _GAPS_OUTDOORS):
            length_ms = self._pace.between_pings(_GAP_MS * self._generator.lognormal(0.0, _GAP_SPREAD))
            self._gap_until_ms, self._keeps = now_ms + round(length_ms), bool(self._generator.random() < _KEPT)

    def _send_kept(self, now_ms: int) -> None:
        """Send what waited for the network: the native app in one list, OwnTracks one by one."""
        if not self._kept:
            return
        for body in self._kept if self.owntracks else [self._kept]:
            self._outbox.send(now_ms, self._topic, body)
        self._kept = []

    def _body(self, time_ms: int, point: Point, speed: float, heading: float, indoors: bool) -> dict[str, Any]:
        (east, north), accuracy = self._noise(time_ms, indoors)
        lon, lat = self._plane.degrees(point[0] + east, point[1] + north)
        self._seq += 1
        self._battery = max(0.05, self._battery - 0.0002)
        if speed > 0:
            speed = max(0.1, speed + self._generator.normal(0.0, 0.15))
            heading = (heading + self._generator.normal(0.0, 8.0)) % 360
        if self.owntracks:
            return self._owntracks(time_ms, lat, lon, accuracy, speed, heading)
        moving = {"speed_mps": round(speed, 2), "heading_deg": round(heading, 1)} if speed > 0 else {"speed_mps": 0.0}
        return {
            "device": self.device,
            "time": time_ms / 1000,
            "lat": round(lat, 7),
            "lon": round(lon, 7),
            "accuracy_m": round(accuracy, 1),
            **moving,
            "battery": round(self._battery, 2),
            "seq": self._seq,
        }

    def _owntracks(
        self, time_ms: int, lat: float, lon: float, accuracy: float, speed: float, heading: float
    ) -> dict[str, Any]:
        """As the app writes it: whole numbers, km/h, and no field for a zero."""
        rounded = {"acc": round(accuracy), "vel": round(speed * 3.6), "cog": round(heading) % 360 if speed > 0 else 0}
        return {
            "_type": "location",
            "tid": self.device[-8:-6],
            "tst": time_ms // 1000,
            "lat": round(lat, 6),
            "lon": round(lon, 6),
            **{name: value for name, value in rounded.items() if value},
            "batt": round(self._battery * 100),
            "conn": "m",
            "t": "p",
        }

    def _noise(self, time_ms: int, indoors: bool) -> tuple[Point, float]:
        """The error in metres east and north, and the radius that the phone states.

        A first-order autoregressive error (Gauss-Markov process, as usual for GPS positions) with rare outliers.
        """
        memory = math.exp(-max(time_ms - self._fixed_ms, 0) / self._pace.between_pings(_MEMORY_MS))
        fresh = self._generator.normal(0.0, math.sqrt(1 - memory * memory), 2)
        self._error = [memory * old + float(new) for old, new in zip(self._error, fresh, strict=True)]
        self._fixed_ms = time_ms
        radius = ACCURACY_M * (INDOORS if indoors else 1.0)
        stated = float(radius * self._generator.lognormal(0.0, 0.15))
        if self._generator.random() < _OUTLIERS:
            away = float(self._generator.uniform(40.0, MOST_METRES_OFF))
            bearing = float(self._generator.uniform(0.0, 2 * math.pi))
            known = self._generator.random() < _HONEST_OUTLIERS
            return (away * math.cos(bearing), away * math.sin(bearing)), away if known else stated
        sigma = radius / _RADIUS_PER_SIGMA
        return (sigma * self._error[0], sigma * self._error[1]), stated
