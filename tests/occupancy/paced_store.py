"""One paced store of so many people, and how many it lets in."""

from occupancy.pacing import Pacer

T0 = 1_772_442_000_000
"""Monday 2026-03-02 09:00 UTC."""
WALK_S = 600.0


def pacer(people=50.0, capacity=120, **settings_):
    made = Pacer(capacity, **settings_)
    made.occupied(T0, people, 4.0, "live")
    return made


def admitted(made, at_ms, most=500):
    """How many are invited one after the other until somebody is not."""
    for number in range(most):
        if not made.verdict(at_ms, WALK_S).admit:
            return number
        made.sent(at_ms, f"{at_ms}-{number}", WALK_S)
    return most
