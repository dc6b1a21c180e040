"""How large the groups are in which people come and go, as the variance of their number over its mean: 1 for single people.

Half the mean square of the difference between one count and the next is the variance of a count, whatever slow change there
is beside it (von Neumann, *Annals of Mathematical Statistics* 12 (1941) 367). Five minutes are a count: doors that report
less often tell nothing about groups, which is why there are bounds.
"""

from typing import Final

import msgspec

COUNT_MINUTES: Final = 5
_PRIOR_PEOPLE: Final = 500.0
"""People that the first assumption is worth."""
_KEPT_A_DAY: Final = 0.9
_BOUNDS: Final = (1.0, 3.0)
_MANY: Final = 20.0
_LEAST_SHARE: Final = 0.25


class Parties(msgspec.Struct):
    """Variance over mean, learned day by day."""

    assumed: float
    factor: float
    """In use."""
    people: float = 0.0
    squares: float = 0.0
    """Of the counts of the past days, fading: how many, and half the squares of the differences."""
    count: float = 0.0
    minutes: int = 0
    """Of the count under way."""
    last: float | None = None

    def minute(self, people: float) -> None:
        """So many in one minute; minutes follow each other until `unheard`."""
        self.count += people
        self.minutes += 1
        if self.minutes == COUNT_MINUTES:
            if self.last is not None and not _opened_or_closed(self.last, self.count):
                self.squares += (self.count - self.last) ** 2 / 2
                self.people += (self.count + self.last) / 2
            self.last, self.count, self.minutes = self.count, 0.0, 0

    def unheard(self) -> None:
        """A minute of which nothing is known."""
        self.last, self.count, self.minutes = None, 0.0, 0

    def end_day(self) -> None:
        """Take up what was learned, and forget a little."""
        people = max(self.people, 0.0)
        found = (self.assumed * _PRIOR_PEOPLE + self.squares) / (_PRIOR_PEOPLE + people)
        self.factor = min(max(found, _BOUNDS[0]), _BOUNDS[1])
        self.people, self.squares = people * _KEPT_A_DAY, self.squares * _KEPT_A_DAY


def _opened_or_closed(one: float, other: float) -> bool:
    """Whether no chance makes two counts differ so much."""
    return max(one, other) >= _MANY and min(one, other) < _LEAST_SHARE * max(one, other)


def parties(assumed: float) -> Parties:
    """Nothing known yet."""
    return Parties(assumed, assumed)
