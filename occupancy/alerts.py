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


def judge(
    raised: frozenset[Kind], estimate: Estimate, *, warn_from: float = WARN_FROM, full_from: float = FULL_FROM
) -> tuple[frozenset[Kind], list[Alert]]:
    """The alerts that stand after this estimate, and those that began or ended with it."""
    if estimate.status == "blind":
        return raised, []
    rules = (
        _Rule("warn", estimate.rate, warn_from, warn_from - ENDS_BELOW),
        _Rule("full", estimate.rate, full_from, full_from - ENDS_BELOW),
        _Rule("legal", estimate.p_over, LEGAL_FROM, LEGAL_ENDS),
    )
    began = [rule.kind for rule in rules if rule.kind not in raised and rule.value >= rule.begins]
    ended = [rule.kind for rule in rules if rule.kind in raised and rule.value < rule.ends]
    if not began and not ended:
        return raised, []
    changed = [Alert(kind, began=True, text=_text(kind, estimate)) for kind in began]
    changed += [Alert(kind, began=False, text=f"Over: {_people(estimate)}.") for kind in ended]
    return (raised | frozenset(began)) - frozenset(ended), changed


def _people(estimate: Estimate) -> str:
    return f"{estimate.mean:.0f} people ({estimate.low:.0f} to {estimate.high:.0f})"


def _text(kind: Kind, estimate: Estimate) -> str:
    if kind == "legal":
        likely = f"{estimate.p_over:.0%} likely above the legal capacity"
        return f"{likely}: {_people(estimate)}. {NOT_LIFE_SAFETY}"
    return f"{'Nearly full' if kind == 'warn' else 'Full'}: {_people(estimate)}."
