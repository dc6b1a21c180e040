"""When a manager should look: a place nearly full, full, or perhaps above its legal capacity.

Each alert begins and ends once, with room between, so that a number that trembles does not ring twice. While nothing can
be said of the place (`blind`) none begins and none ends.
"""

from typing import Final, Literal, NamedTuple

from occupancy.estimate import Estimate

Kind = Literal["warn", "full", "legal"]

WARN_FROM: Final = 0.80
"""Of the comfort capacity; the same for `FULL_FROM`."""
FULL_FROM: Final = 0.95
ENDS_BELOW: Final = 0.05
"""How far below its threshold the rate must fall for an alert to end."""
LEGAL_FROM: Final = 0.10
"""Probability of more people than the law allows."""
LEGAL_ENDS: Final = 0.02
NOT_LIFE_SAFETY: Final = "Operational estimate, not life-safety."


class Alert(NamedTuple):
    """An alert that begins (`began`) or ends."""

    kind: Kind
    began: bool
    text: str
    """What a manager reads."""


class _Rule(NamedTuple):
    kind: Kind
    value: float
    begins: float
    ends: float
    text: str


def judge(
    raised: frozenset[Kind], estimate: Estimate, *, warn_from: float = WARN_FROM, full_from: float = FULL_FROM
) -> tuple[frozenset[Kind], list[Alert]]:
    """The alerts that stand after this estimate, and those that began or ended with it."""
    if estimate.status == "blind":
        return raised, []
    range_ = f"{estimate.mean:.0f} people ({estimate.low:.0f} to {estimate.high:.0f})"
    rules = (
        _Rule("warn", estimate.rate, warn_from, warn_from - ENDS_BELOW, f"Nearly full: {range_}."),
        _Rule("full", estimate.rate, full_from, full_from - ENDS_BELOW, f"Full: {range_}."),
        _Rule(
            "legal",
            estimate.p_over,
            LEGAL_FROM,
            LEGAL_ENDS,
            f"{estimate.p_over:.0%} likely above the legal capacity: {range_}. {NOT_LIFE_SAFETY}",
        ),
    )
    standing, changed = set(raised), []
    for rule in rules:
        if rule.kind not in standing and rule.value >= rule.begins:
            standing.add(rule.kind)
            changed.append(Alert(rule.kind, began=True, text=rule.text))
        elif rule.kind in standing and rule.value < rule.ends:
            standing.remove(rule.kind)
            changed.append(Alert(rule.kind, began=False, text=f"Over: {range_}."))
    return frozenset(standing), changed
