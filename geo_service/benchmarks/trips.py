"""How wrong the time of arrival is, on 805 real stretches of six minutes, walked or driven by couriers.

Each stretch (Amazon Science, GOAL, CC BY 4.0) is taken as a trip to where it ends. The predicted rest is compared with what
it really took, one to five minutes before; the running ratio learns from the stretches before, never from the one at hand.
Beside it stand the same without the ratio, and what everybody tries first: the distance left over the last minute's speed.
Couriers stop at doors and walk to and fro, a third of their time, which nobody can foresee: the errors are an upper bound.
"""

import csv
import gzip
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from geo_service.errors import InvalidInputError
from geo_service.geofences.trips import Track, Trips
from geo_service.pings.batch import PingBatch

METRE = 1 / 111_320
AHEAD_S = (60, 120, 180, 240, 300)
_EVERY = 3
"""A ping every 15 s, not every 5."""
_DATA = Path(__file__).resolve().parents[3] / "shared/data/gps/goal_delivery_walk_drive.csv.gz"
_SHORTEST_M = 150.0
"""A stretch that ends where it began is no trip."""
GOAL_M = 40.0
"""There is anywhere so near its end."""

SLOWEST_MPS = 0.3
"""Who stands still would never arrive, by the last minute's speed alone."""

Stretch = list[tuple[float, float, float]]


class Errors(NamedTuple):
    """By how many seconds each prediction was off."""

    corrected_s: float
    plain_s: float
    naive_s: float


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")


def run(*, quick: bool, progress: Callable[[str], None] = _tell, data: Path = _DATA) -> dict[str, Any]:
    """Predict; the quick run takes every fifth stretch.

    Returns:
        By mode: `trips`, and by minutes ahead the median absolute error in seconds: `median_error_s` of what the service tells,
        `without_ratio_s` of the same before the running ratio, `naive_s` of distance over recent speed.

    Raises:
        InvalidInputError: the data is not there.
    """
    if not data.exists():
        raise InvalidInputError(f"{data.name} is not there: the benchmark of trips needs real ones", field="data")
    stretches = [each for each in read(data).items() if _far(each[1][1])]
    if quick:
        stretches = stretches[::5]
    trips = Trips()
    errors: dict[str, dict[int, list[Errors]]] = defaultdict(lambda: defaultdict(list))
    counts: dict[str, int] = defaultdict(int)
    for number, (name, (said, fixes)) in enumerate(stretches):
        counts[said] += 1
        for ahead_s, error in follow(trips, name, fixes):
            errors[said][ahead_s].append(error)
        if number % 200 == 199:
            progress(f"{number + 1} stretches")
    return {
        "modes": {
            mode: {
                "trips": counts[mode],
                "median_error_s": {str(at // 60): _median(found, 0) for at, found in sorted(by.items())},
                "without_ratio_s": {str(at // 60): _median(found, 1) for at, found in sorted(by.items())},
                "naive_s": {str(at // 60): _median(found, 2) for at, found in sorted(by.items())},
            }
            for mode, by in errors.items()
        },
        "ratio": {mode: round(ratio, 2) for mode, ratio in trips.ratio.items()},
    }


def _median(found: list[Errors], which: int) -> float:
    return round(statistics.median(each[which] for each in found), 1)


def _far(fixes: Stretch) -> bool:
    return float(np.hypot(fixes[-1][1] - fixes[0][1], fixes[-1][2] - fixes[0][2])) >= _SHORTEST_M


def read(path: Path) -> dict[str, tuple[str, Stretch]]:
    """Stretches by name: how it was travelled, and (seconds, x, y) in metres."""
    stretches: dict[str, tuple[str, Stretch]] = {}
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            when = datetime.fromisoformat(row["timestamp"][:26] + "+00:00").timestamp()
            _, fixes = stretches.setdefault(row["traj"], (row["groundtruth"], []))
            fixes.append((when, float(row["x"]), float(row["y"])))
    return stretches


def follow(trips: Trips, name: str, fixes: Stretch) -> list[tuple[int, Errors]]:
    """Travel one stretch until the goal is reached: errors by full minutes really left, in seconds."""
    began = fixes[0][0]
    goal_x, goal_y = fixes[-1][1:]
    arrived = next(when for when, x, y in fixes if np.hypot(x - goal_x, y - goal_y) <= GOAL_M)
    trip = trips.begin(name, name, "goal", (goal_y * METRE, goal_x * METRE, GOAL_M), 0)
    trips.on_my_way(name, 0)
    unsaid, plain_flag = np.full(1, np.nan), np.zeros(1, np.uint8)
    found, waits = [], list(AHEAD_S)
    for when, x, y in fixes[::_EVERY]:
        left_s = arrived - when
        if left_s <= 0:
            break
        time_ms, lat, lon = np.array([round((when - began) * 1000) + 1]), np.array([y * METRE]), np.array([x * METRE])
        trips.advance(PingBatch([name], time_ms, lat, lon, unsaid, unsaid, unsaid, plain_flag))
        while waits and left_s < waits[-1] - _EVERY * 5:
            waits.pop()
        if waits and left_s <= waits[-1]:
            plain_s = trip.track.left_ms() / 1000
            said_s = (plain_s * trips.ratio[trip.track.mode], plain_s, _naive_s(trip.track))
            found.append((waits.pop(), Errors(*(abs(each_s - left_s) for each_s in said_s))))
    end_ms = round((arrived - began) * 1000) + 1
    trips.here(name, end_ms)
    trips.complete(name, end_ms)
    return found


def _naive_s(track: Track) -> float:
    """The distance left over the speed over the ground of the last minute, as far as there is one."""
    fixes = track.fixes
    seconds = (fixes[-1][0] - fixes[0][0]) / 1000
    metres = sum(step_m for _, _, step_m in fixes[1:])
    return fixes[-1][1] / max(metres / seconds if seconds else 0.0, SLOWEST_MPS)
