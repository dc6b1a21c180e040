"""Affinity: what a person has shown interest in, weighted by what they did and faded with time.

An action of weight w on a category adds w; what was there fades exponentially, so that the newest counts most and nothing
is ever recomputed (Ding & Li, "Time weight collaborative filtering", CIKM 2005: the time function exp(-λt), with
λ = ln 2 / half-life). The half-life of 14 days and the weights are ours to start with: a purchase says more than a basket,
a basket more than a look.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Literal

Deed = Literal["viewed", "searched", "listed", "cart", "bought"]

WEIGHTS: Mapping[Deed, float] = {"viewed": 1.0, "searched": 1.0, "listed": 2.0, "cart": 3.0, "bought": 5.0}
HALF_LIFE_MS = 14 * 86_400_000
PRIOR_SHARE = 0.2
"""Affinity of a person of whom nothing is known, to anything."""
PRIOR_WEIGHT = 5.0
"""As much evidence as one purchase moves it half of the way."""
GONE = 0.01
"""A weight that has faded below this is forgotten: after four months without a purchase, say."""


def faded(weight: float, elapsed_ms: int) -> float:
    """What is left of a weight after a time (0 or more ms)."""
    return weight * math.exp2(-max(elapsed_ms, 0) / HALF_LIFE_MS)


def affinity(weights: Mapping[str, float], categories: Iterable[str]) -> float:
    """How much of a person's interest these categories have, 0 to 1, drawn towards `PRIOR_SHARE` where little is known.

    Additive smoothing: (prior weight * prior share + weight of the categories) / (prior weight + all weight).
    """
    wanted = frozenset(categories)
    if not wanted or not weights:
        return PRIOR_SHARE
    matching = sum(weights[category] for category in sorted(wanted) if category in weights)
    return (PRIOR_WEIGHT * PRIOR_SHARE + matching) / (PRIOR_WEIGHT + sum(weights.values()))
