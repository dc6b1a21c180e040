"""Which of several offers: the one with the highest expected value, with a little exploration.

    expected value = affinity * margin * acceptance / crowding

Acceptance is not known but learned: of each campaign a Beta distribution of the share of its offers that people took up.
The choice draws one value from each and takes the best product: Thompson sampling (Thompson 1933; Chapelle & Li, "An
empirical evaluation of Thompson sampling", NIPS 2011), which tries a campaign as often as it may still turn out best.

The draw is a function of the crossing's id and the campaign's, so a log that is folded again draws the same.
"""

import random
from collections.abc import Iterable
from hashlib import blake2b

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
        seed = blake2b(f"{crossing}\n{campaign}".encode(), digest_size=8).digest()
        source = random.Random(int.from_bytes(seed, "big"))  # noqa: S311 - no secret: it must be the same again
        return source.betavariate(self.accepted + PRIOR_ACCEPTED, self.declined + PRIOR_DECLINED)


class Worth(msgspec.Struct, frozen=True):
    """What one campaign was worth at one crossing, and why; it stands in the evidence."""

    expected: float
    affinity: float
    margin: int
    acceptance: float
    crowding: float


def crowding_of(rates: Iterable[float]) -> float:
    """How much a full store takes off the worth of an invitation: 1 where it is empty, 2 at its comfort capacity."""
    return 1.0 + min(max(rates, default=0.0), 2.0)


def worth(affinity: float, margin: int, acceptance: float, crowding: float) -> Worth:
    """The expected value of an offer, in minor units, and what it is made of."""
    expected = affinity * margin * acceptance / crowding
    return Worth(round(expected, 4), round(affinity, 4), margin, round(acceptance, 4), round(crowding, 4))
