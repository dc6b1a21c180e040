"""How wrong phones are about where they are: error models with a name, for benchmarks that compare geofence rules.

Each makes errors for `pings` consecutive fixes of `phones` phones, and the accuracy that each fix claims. A claimed
accuracy of a metres means that two fixes of three lie within a: 1.51 standard deviations along one axis.

| model | errors | claims |
|---|---|---|
| `white` | each fix anew, 12 m | the truth, give or take a fifth |
| `slow` | as large, but 0.9 of each error stays in the next fix (Gauss-Markov, as usual for satellite positions) | the same |
| `urban` | 15 m, 0.7 stays; one fix in ten is thrown 30 to 150 m off by a reflection, for one or two fixes | of those, seven in ten claim to be as good as ever |
| `mixed` | every phone has its own accuracy around 15 m, 0.5 stays; one fix in ten is a network's, 50 to 500 m; one in fifty lies | the truth but for the lies |
| `phones` | as large as claimed | drawn as nine phones claimed it over years: median 30 m, one in twenty over 1.7 km |
"""

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RADIUS_PER_SIGMA: Final = 1.51
"""The radius that holds 68 % of a two-dimensional Gaussian, in standard deviations of one axis: sqrt(-2 ln 0.32)."""

# Claimed accuracy of 8 965 raw locations of Android phones in e-mission's public test data (BSD-3): shares and metres.
_SHARES: Final = (0.0, 0.01, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99, 1.0)
_CLAIMED_M: Final = (3.0, 3.9, 5.0, 5.0, 10.7, 30.0, 78.0, 1000.0, 1700.0, 2950.0, 3500.0)
_CLAIMS_ALIKE: Final = 0.72
"""Correlation of the logarithms of two consecutive claims in the same data."""


class Errors(NamedTuple):
    """Metres, each (pings, phones)."""

    east: Floats
    north: Floats
    accuracy: Floats


def white(random: Generator, pings: int, phones: int) -> Errors:
    """Every fix errs anew."""
    return _scaled(random.normal(size=(2, pings, phones)), 12.0, _claims(random, 12.0, 0.2, pings, phones))


def slow(random: Generator, pings: int, phones: int) -> Errors:
    """Errors that change slowly, so that consecutive fixes agree on the wrong place."""
    return _scaled(_remembered(random, 0.9, (2, pings, phones)), 12.0, _claims(random, 12.0, 0.2, pings, phones))


def urban(random: Generator, pings: int, phones: int) -> Errors:
    """Between high walls: reflections throw fixes far off, and mostly the phone does not know."""
    made = _scaled(_remembered(random, 0.7, (2, pings, phones)), 15.0, _claims(random, 15.0, 0.3, pings, phones))
    return _thrown(random, made, begins=0.06, goes_on=0.4, lies=0.7)


def mixed(random: Generator, pings: int, phones: int) -> Errors:
    """A high street's usual mix of good phones, poor phones, network fixes and a few lies."""
    own = 15.0 * random.lognormal(0.0, 0.5, phones) * random.lognormal(0.0, 0.2, (pings, phones))
    coarse = random.random((pings, phones)) < 0.1
    claims = np.where(coarse, np.exp(random.uniform(math.log(50), math.log(500), (pings, phones))), own)
    made = _scaled(_remembered(random, 0.5, (2, pings, phones)), claims, claims)
    return _thrown(random, made, begins=0.02, goes_on=0.0, lies=1.0)


def phones(random: Generator, pings: int, phones: int) -> Errors:
    """Honest, but as vague as real phones are when nothing asks them for more."""
    rank = _remembered(random, _CLAIMS_ALIKE, (1, pings, phones))[0]
    share = 0.5 * (1 + np.vectorize(math.erf)(rank / math.sqrt(2)))
    claims = np.exp(np.interp(share, _SHARES, np.log(_CLAIMED_M)))
    return _scaled(random.normal(size=(2, pings, phones)), claims, claims)


MODELS: Final[dict[str, Callable[[Generator, int, int], Errors]]] = {
    "white": white,
    "slow": slow,
    "urban": urban,
    "mixed": mixed,
    "phones": phones,
}
"""By name."""


def _scaled(unit: Floats, radius_m: Floats | float, claims: Floats) -> Errors:
    east, north = unit * (np.asarray(radius_m) / RADIUS_PER_SIGMA)
    return Errors(east, north, claims)


def _claims(random: Generator, radius_m: float, spread: float, pings: int, phones: int) -> Floats:
    return radius_m * random.lognormal(0.0, spread, (pings, phones))


def _remembered(random: Generator, stays: float, shape: tuple[int, int, int]) -> Floats:
    """Standard normal along the second axis, each keeping `stays` of the one before."""
    unit = random.normal(size=shape)
    for ping in range(1, shape[1]):
        unit[:, ping] = stays * unit[:, ping - 1] + math.sqrt(1 - stays * stays) * unit[:, ping]
    return unit


def _thrown(random: Generator, made: Errors, *, begins: float, goes_on: float, lies: float) -> Errors:
    """Add spells in which a phone is 30 to 150 m off, in one direction."""
    pings, phones = made.east.shape
    away, bearing = random.uniform(30, 150, (pings, phones)), random.uniform(0, 2 * np.pi, (pings, phones))
    chance, honest = random.random((pings, phones)), random.random((pings, phones)) >= lies
    thrown = np.zeros((pings, phones), np.bool_)
    thrown[0] = chance[0] < begins
    for ping in range(1, pings):
        thrown[ping] = chance[ping] < np.where(thrown[ping - 1], goes_on, begins)
        again = thrown[ping] & thrown[ping - 1]
        away[ping] = np.where(again, away[ping - 1], away[ping])
        bearing[ping] = np.where(again, bearing[ping - 1], bearing[ping])
    return Errors(
        made.east + np.where(thrown, away * np.cos(bearing), 0.0),
        made.north + np.where(thrown, away * np.sin(bearing), 0.0),
        np.where(thrown & honest, away, made.accuracy),
    )
