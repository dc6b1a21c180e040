"""Evidence that says something, but little, of how many are inside: carbon dioxide, a motion sensor.

Each becomes a number of people with a large error, and goes through the likelihood of any other reading.
"""

from typing import Final, NamedTuple

OUTSIDE_PPM: Final = 420.0
FULL_PPM: Final = 1100.0
"""Carbon dioxide of a room that holds its comfort capacity: people at light work breathe out 0.0052 l/s, and rooms are
built for some 7.5 l/s of fresh air a head (Persily and de Jonge, *Indoor Air* 27 (2017) 868; ASHRAE 62.1)."""
_PPM_ERROR: Final = 50.0
_RELATIVE: Final = 0.5
"""Air mixes slowly and doors stand open: the number may be off by half."""
_NOBODY_MOVES: Final = 0.25
"""Share of the comfort capacity within which a room may be without any movement where the sensor looks."""


class Hint(NamedTuple):
    """A number of people and its standard error."""

    people: float
    error: float


def from_co2(ppm: float, comfort: int, full_ppm: float = FULL_PPM) -> Hint:
    """People whose breath explains this concentration, in a room that has `full_ppm` at its comfort capacity.

    Raises:
        ValueError: no concentration, or a full room that has no more than fresh air.
    """
    if not 0 < ppm < 100_000:
        raise ValueError(f"{ppm} ppm is no concentration of carbon dioxide in a room")
    if full_ppm <= OUTSIDE_PPM:
        raise ValueError(f"a full room has more than {OUTSIDE_PPM:.0f} ppm, not {full_ppm}")
    a_ppm = comfort / (full_ppm - OUTSIDE_PPM)
    people = max(ppm - OUTSIDE_PPM, 0.0) * a_ppm
    return Hint(people, max(_RELATIVE * people, _PPM_ERROR * a_ppm, 2.0))


def from_stillness(comfort: int) -> Hint:
    """What a motion sensor that sees nothing says: few, probably."""
    return Hint(0.0, max(_NOBODY_MOVES * comfort, 2.0))
