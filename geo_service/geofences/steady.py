"""Steady presence: a fix is a guess with an error, so being inside is a belief.

A fix at signed distance d from a fence's edge (negative inside), from a phone that claims the accuracy a, is inside with
probability Phi(-d / sigma), sigma = max(a, 5 m) / 1.5. A stay begins when that reaches `ENTER`; it ends when it stays at or under
`EXIT` for two fixes, or for `exit_after_s` with no fix that says otherwise.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geo_service.geofences.devices import NEVER
from geo_service.geofences.stays import SteadyStays
from geo_service.geofences.tables import NEW, Pairs, Rows, Tables
from geo_service.geofences.timers import Timer

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

ENTER = 0.6
EXIT = 0.2
UNKNOWN_ACCURACY_M = 15.0
LEAST_ACCURACY_M = 5.0
ACCURACY_TO_SIGMA = 1.5
"""Phones report the radius of about 68 % in the plane, which is 1.5 standard deviations along one axis."""


class Judgement(NamedTuple):
    """What to believe of each pair after a fix."""

    inside: Mask
    belief: Floats
    low_ms: Ints
    keep: Mask


def sigma_m(accuracy_m: NDArray[np.floating]) -> Floats:
    """Standard deviation along one axis, metres; nan and 0 are a phone that did not say."""
    told = np.where(accuracy_m > 0, accuracy_m, UNKNOWN_ACCURACY_M)
    return np.maximum(told, LEAST_ACCURACY_M) / ACCURACY_TO_SIGMA


def normal_cdf(z: Floats) -> Floats:
    """Φ, to 7.5e-8 (Abramowitz and Stegun, Handbook of Mathematical Functions, 26.2.17)."""
    t = 1 / (1 + 0.2316419 * np.abs(z))
    tail = np.exp(-0.5 * z * z) * (0.3989422804014327 * t)
    tail *= 0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429)))
    return np.where(z > 0, 1 - tail, tail)


def judge(
    distance_m: Floats, sigma: Floats, time_ms: Ints, was_in: Mask, low_ms: Ints, exit_after_ms: Ints
) -> Judgement:
    """Judge pairs of a device and a fence after a fix; all arrays of one length."""
    belief = normal_cdf(-distance_m / sigma)
    low = belief <= EXIT
    leaves = was_in & low & (low_ms != NEVER)
    inside = (was_in & ~leaves) | (~was_in & (belief >= ENTER))
    since = np.where(was_in & low, np.where(low_ms == NEVER, time_ms, low_ms), NEVER)
    at_once = inside & low & (exit_after_ms == 0)
    inside &= ~at_once
    return Judgement(inside, belief, since, inside.copy())


class Steady:
    """A batch's fixes, to be weighed against what was believed before, turn by turn."""

    def __init__(self, tables: Tables, _: Rows, logged_ms: int) -> None:
        self._tables = tables
        self._logged_ms = logged_ms

    def follow(self, rows: Rows, _: NDArray[np.intp]) -> tuple[Pairs, Ints, Ints]:
        """Pairs after these rows; then row and position of stays that are over (none: a stay ends by its belief)."""
        tables, stays = self._tables, self._tables.stays
        assert isinstance(stays, SteadyStays)
        sigma = sigma_m(rows.accuracy_m)
        old, old_row = stays.of(rows.dev)
        reach = np.zeros(len(rows.dev))
        reach[old_row] = np.minimum(3 * sigma[old_row], FARTHEST_M)
        near = tables.index.within(rows.lat, rows.lon, reach)
        near_key = np.asarray(near.row, np.int64) << 32 | near.slot
        old_key = old_row << 32 | stays.slot[old]
        key = np.union1d(near_key, old_key)
        row, slot = key >> 32, key & 0xFFFFFFFF
        prev = np.full(len(key), NEW)
        prev[np.searchsorted(key, old_key)] = old
        distance = reach[row]
        distance[np.searchsorted(key, near_key)] = near.distance_m
        known = prev != NEW
        was_in, low_ms = known.copy(), np.full(len(key), NEVER)
        low_ms[known] = stays.low_ms[prev[known]]
        judged = judge(distance, sigma[row], rows.time_ms[row], was_in, low_ms, tables.fences.exit_after_ms[slot])
        doubted = (judged.low_ms != NEVER) & (low_ms == NEVER)
        tables.doubts.add(
            Timer(
                self._logged_ms + tables.fences.exit_after_ms[slot[doubted]],
                rows.dev[row[doubted]],
                slot[doubted],
                judged.low_ms[doubted],
            )
        )
        concerned = judged.keep | known
        extra = {"belief": judged.belief[concerned].astype(np.float32), "low_ms": judged.low_ms[concerned]}
        none = np.empty(0, np.int64)
        return (
            Pairs(
                row[concerned],
                slot[concerned],
                judged.inside[concerned],
                judged.belief[concerned],
                prev[concerned],
                extra,
            ),
            none,
            none,
        )


FARTHEST_M = 300.0
