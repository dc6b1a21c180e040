"""Steady presence: a fix is a guess with an error, so being inside is a belief that each fix moves.

For each device and fence near it, a Bayes filter with two states, inside and outside (the forward algorithm of a hidden
Markov model: Rabiner, *A tutorial on hidden Markov models*, Proc. IEEE 77 (1989), eq. 19-20), kept as odds:

```
odds of inside ──people come and go──► prior odds ──times likelihood ratio of the fix──► odds
                 COME, GO per time                  Phi(z) / (1 - Phi(z)), z = -d / sigma, to the power of `gain`
```

d is the signed distance to the edge (negative inside), sigma = max(accuracy, 5 m) / 1.5. With no memory and no prior this
is the single-fix rule P(inside) = Phi(-d / sigma). What the filter adds, and why (`bench jitter` measures each):

- *Errors of a receiver change slowly*, so a fix soon after another says little new. Its log-likelihood counts only by
  gain = 1 - exp(-dt / 44 s); a fix after a long gap counts in full. Without this, a minute of 1 Hz fixes that share one
  reflection would be sixty witnesses.
- *Some fixes lie*: at street level a reflection throws a fix 100 m off while the phone claims 10 m. So no single fix
  moves the odds by more than e^3.3 inwards or e^4.2 outwards.
- *A fix worse than the fence is large tells nothing and moves nothing*: people coming and going is weighed by
  1 / (1 + (sigma / 3 half-widths)^2), or a phone that knows only its cell would drift into every fence around.
- *Hysteresis*: in at a belief of 0.6; out at 0.03, or when it has been under 0.24 for `exit_after_s`,
  whether or not another fix came. Either way the stay ended with the first fix since which it was under 0.24. Leaving
  sooner breaks stays between high walls in two; leaving later runs one stay into the next.

The numbers are those that did best on the town's walks under white, slowly changing, and urban errors and under the
accuracies of real phones; the belief is calibrated there as it stands, so it is the event's confidence.
"""

import math
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from geo_service.geofences.devices import NEVER
from geo_service.geofences.earth import metres_per_degree
from geo_service.geofences.shapes import Circle, Shape

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


def odds(probability: float) -> float:
    """Of a probability p: p / (1 - p)."""
    return probability / (1 - probability)


ENTER, DOUBT, LEAVE = 0.6, 0.24, 0.03
"""Beliefs at which a stay begins, is doubted, and ends."""
FOLLOWED = 0.2
"""A pair outside with a lesser belief is forgotten: the next fix begins anew."""
FOLLOWED_S = 29.0
"""After a shorter gap a lesser belief is followed, too: of many fixes a second each one says little, and all of them much."""
UNKNOWN_ACCURACY_M = 15.0
LEAST_ACCURACY_M = 5.0
ACCURACY_TO_SIGMA = 1.5
"""Phones report the radius of about 68 % in the plane, which is 1.5 standard deviations along one axis."""
MEMORY_S = 44.0
COME_S, MOST_COME = 23.0, 0.464
"""How fast somebody outside may have come in since the last fix, and the most that a long gap makes likely."""
GO_S = 520.0
MOST_INWARDS, MOST_OUTWARDS = 3.3, 4.2
HALF_WIDTHS = 3.0
REACH_SIGMAS, DEPTH_SIGMAS = 1.1, 3.0
"""Beyond so many standard deviations outside, a fix leaves a pair below FOLLOWED; so far inside it counts as deep."""
FAR_SIGMAS = 6.0
"""A pair that was followed need not be measured farther out: such a fix says as much against it as a fix can."""
FARTHEST_M = 50.0
"""A fix so bad that it may be of any fence within this distance is not asked about others."""


_COME = 1 - math.exp(-FOLLOWED_S / COME_S)
Number = TypeVar("Number", float, Floats)
"""One value or a column of them: the rule is written once."""


class Gap(NamedTuple, Generic[Number]):
    """What the time since the last fix says."""

    come: Number
    """Probability of having come in."""
    go: Number
    gain: Number
    """How much of what the fix says is news."""


class Evidence(NamedTuple, Generic[Number]):
    """What to make of a fix and a fence, whatever was believed before."""

    come: Number
    """Probability of having come in since the last fix, for who was outside."""
    go: Number
    """And of having left, for who was inside."""
    ratio: Number
    """How much likelier the fix is from inside than from outside, discounted for what the last fix already said."""


class Belief(NamedTuple):
    """What to believe of each pair after a fix."""

    inside: Mask
    odds: Floats
    low_ms: Ints
    left_ms: Ints


def sigma_m(accuracy_m: NDArray[np.floating]) -> Floats:
    """Standard deviation along one axis, metres; nan and 0 are a phone that did not say."""
    told = np.where(accuracy_m > 0, accuracy_m, UNKNOWN_ACCURACY_M)
    return np.asarray(np.maximum(told, LEAST_ACCURACY_M) / ACCURACY_TO_SIGMA, np.float64)


def log_odds(z: Number) -> Number:
    """ln(Phi(z) / (1 - Phi(z))), good to 2 % for |z| < 3, the most that is asked of it (Page, Applied Statistics 26 (1977) 75)."""
    return z * (1.5976 + 0.070565 * z * z)


def half_width_m(shape: Shape) -> float:
    """Half the side of the square that is as large as the shape, metres."""
    if isinstance(shape, Circle):
        return shape.radius_m * math.sqrt(math.pi) / 2
    west, south, _, north = shape.bounds
    lon_m, lat_m = metres_per_degree(np.array([(south + north) / 2]))
    x, y = shape.positions.T - np.array([[west], [south]])
    # Rings are closed, so that the step from one ring to the next adds nothing: its end is not this ring's edge.
    cross = x[:-1] * y[1:] - x[1:] * y[:-1]
    cross[shape.ring_starts[1:-1] - 1] = 0
    area = np.abs(np.add.reduceat(cross, shape.ring_starts[:-1])) / 2
    area[1:] *= -1
    area[shape.polygon_starts[:-1]] = np.abs(area[shape.polygon_starts[:-1]])
    return math.sqrt(max(float(area.sum()) * float(lon_m[0] * lat_m[0]), 1.0)) / 2


def gap(dt_s: Number) -> Gap[Number]:
    """Of a gap in seconds."""
    come: Number = 1 - np.exp(-dt_s / COME_S)
    go: Number = 1 - np.exp(-dt_s / GO_S)
    gain: Number = 1 - np.exp(-dt_s / MEMORY_S)
    return Gap(come, go, gain)


def evidence(since: Gap[Number], sigma: Number, half_m: Number, distance_m: Number) -> Evidence[Number]:
    """Of a fix's gap and standard deviation, half the fence's width, and how far outside its edge the fix is."""
    wide = sigma / (HALF_WIDTHS * half_m)
    share = 1 / (1 + wide * wide)
    said = since.gain * log_odds(-distance_m / sigma)
    ratio: Number = np.exp(np.minimum(np.maximum(said, -MOST_OUTWARDS), MOST_INWARDS))
    return Evidence(share * MOST_COME * since.come, share * since.go, ratio)


def followed_odds(since: Gap[Number]) -> Number:
    """The odds down to which somebody outside is followed after a gap: half of what coming in within it makes of nothing."""
    least: Number = odds(FOLLOWED) * np.minimum(since.come / _COME, 1.0)
    return least


def weigh(before: Number, found: Evidence[Number]) -> Number:
    """Odds after a fix: first people come and go, then the fix is looked at."""
    come, go, ratio = found
    return (before * (1 - go) + come) / (before * go + (1 - come)) * ratio


def judge(after: Floats, was_in: Mask, low_ms: Ints, time_ms: Ints, exit_after_ms: Ints) -> Belief:
    """Decide by the odds after a fix; all arrays of one length. `left_ms` is when those who left were first seen outside."""
    low = was_in & (after <= odds(DOUBT))
    since = np.where(low, np.where(low_ms == NEVER, time_ms, low_ms), NEVER)
    lasted = low & (time_ms - np.where(low, since, time_ms) >= exit_after_ms)
    inside = np.where(was_in, ~lasted & (after > odds(LEAVE)), after >= odds(ENTER))
    return Belief(inside, after, np.where(inside, since, NEVER), np.where(low, since, time_ms))
