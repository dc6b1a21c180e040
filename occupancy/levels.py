"""Levels of a place, with hysteresis: a number that trembles around a threshold must not make a door sign flicker."""

from typing import Final

from occupancy.estimate import Level

LEVELS: Final[tuple[Level, ...]] = ("quiet", "normal", "busy", "full")
RISES_AT: Final = (0.40, 0.75, 0.95)
"""The rate (mean / comfort capacity) from which a place is normal, busy, full."""
HYSTERESIS: Final = 0.05
"""How far below the threshold the rate must fall before the level does: a full place is busy again below 0.90."""


def next_level(level: Level, rate: float) -> Level:
    """The level at this rate, coming from `level`."""
    index = LEVELS.index(level)
    while index < len(RISES_AT) and rate >= RISES_AT[index]:
        index += 1
    while index > 0 and rate < RISES_AT[index - 1] - HYSTERESIS:
        index -= 1
    return LEVELS[index]
