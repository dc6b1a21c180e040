"""Which of several offers: the one with the highest expected value, with a little exploration.

    expected value = affinity * margin * acceptance / crowding

Acceptance is not known but learned: of each campaign a Beta distribution of the share of its offers that people took up.
The choice draws one value from each and takes the best product: Thompson sampling (Thompson 1933; Chapelle & Li, "An
empirical evaluation of Thompson sampling", NIPS 2011), which tries a campaign as often as it may still turn out best.

The draw is a function of the crossing's id and the campaign's, so a log that is folded again draws the same. It is made of
two gamma variates (Marsaglia & Tsang, "A simple method for generating gamma variables", ACM TOMS 26, 2000) whose normals are
Box and Muller's; the uniforms are a hash's bits, because to seed a generator would cost more than all the rest.
"""

import math
import struct
from hashlib import blake2b
from math import cos, log, sqrt

import msgspec

PRIOR_ACCEPTED, PRIOR_DECLINED = 1.0, 9.0
"""A new campaign counts as if one of ten offers had been taken up: hopeful enough to be tried, soon forgotten."""
NEUTRAL_MARGIN = 100
"""Minor units, of campaigns that say nothing of what they earn."""


class Acceptance(msgspec.Struct, array_like=True):
    """How offers of one campaign fared; without the prior."""

    accepted: int = 0
    declined: int = 0

    @property
    def mean(self) -> float:
        """The expected share, 0 to 1."""
        accepted, declined = self.accepted + PRIOR_ACCEPTED, self.declined + PRIOR_DECLINED
        return accepted / (accepted + declined)

    def draw(self, crossing: str, campaign: str) -> float:
        """One draw of the share: the same for the same crossing and campaign."""
        seed = f"{crossing}\n{campaign}"
        one, two, three, four, five, six = _uniforms(seed, 0)
        accepted = _gamma(self.accepted + PRIOR_ACCEPTED, one, two, three, seed, 1)
        declined = _gamma(self.declined + PRIOR_DECLINED, four, five, six, seed, 101)
        return accepted / (accepted + declined)


_UNPACK = struct.Struct(">3Q8x3Q8x").unpack
_TWO_PI = 2 * math.pi
_STEP = 2.0**-52


def _uniforms(seed: str, turn: int) -> list[float]:
    """Six numbers above 0 and below 1: bits of a hash."""
    bits = _UNPACK(blake2b(f"{seed}\n{turn}".encode()).digest())
    return [((each >> 12) + 0.5) * _STEP for each in bits]


def _gamma(shape: float, one: float, two: float, three: float, seed: str, turn: int) -> float:
    """A gamma variate of a shape of 1 or more and scale 1, of three uniforms; one try in thirty needs others."""
    d = shape - 1 / 3
    c = 1 / sqrt(9 * d)
    while True:
        normal = sqrt(-2 * log(one)) * cos(_TWO_PI * two)
        v = (1 + c * normal) ** 3
        if v > 0 and log(three) < 0.5 * normal * normal + d - d * v + d * log(v):
            return d * v
        one, two, three, *_ = _uniforms(seed, turn)
        turn += 1


class Worth(msgspec.Struct, frozen=True):
    """What one campaign was worth at one crossing, and why; it stands in the evidence."""

    expected: float
    affinity: float
    margin: int
    acceptance: float
    crowding: float


def crowding_of(rate: float | None) -> float:
    """How much a full store takes off the worth of an invitation: 1 where it is empty (or nothing measures it), 2 at its
    comfort capacity.
    """
    return 1.0 + min(max(rate or 0.0, 0.0), 2.0)


def worth(affinity: float, margin: int, acceptance: float, crowding: float) -> Worth:
    """The expected value of an offer, in minor units, and what it is made of."""
    expected = affinity * margin * acceptance / crowding
    return Worth(round(expected, 4), round(affinity, 4), margin, round(acceptance, 4), round(crowding, 4))
