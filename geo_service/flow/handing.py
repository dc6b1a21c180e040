"""What one partition tells another through that one's log: exactly once, whatever crashes in between.

One handover an entry and owner; those of one partition come in order, so whatever is not newer was there before.
"""

from collections.abc import Iterable, Mapping
from typing import Self

from geo_service.flow.entries import Body, EntryId, Handover, Pursuit
from geo_service.flow.intake import partition_of
from geo_service.offers.facts import Facts
from geo_service.outputs import Crossing


class Handing:
    """The handovers of one partition."""

    def __init__(self, number: int, partitions: int) -> None:
        self._number = number
        self._partitions = partitions
        self._seen: dict[int, EntryId] = {}
        self._away: dict[int, Handover] = {}

    def owns(self, store: str) -> bool:
        """Whether this store is decided about here."""
        return partition_of(store, self._partitions) == self._number

    def crossing(self, crossing: Crossing, facts: Facts | None) -> None:
        """Have a crossing answered where its store is decided about."""
        handover = self._to(crossing.store or "")
        handover.crossings.append(crossing)
        handover.facts.append(facts)

    def _to(self, store: str) -> Handover:
        owner = partition_of(store, self._partitions)
        handover = self._away.get(owner)
        if handover is None:
            handover = self._away[owner] = Handover(self._number, "", [], [], [])
        return handover

    def take(self, entry: EntryId, pursuits: Iterable[Pursuit]) -> list[tuple[int, Body]]:
        """What this entry came to for others, with those who are sent on: a second handover of one entry would be taken for
        a repeat.
        """
        for pursuit in pursuits:
            self._to(pursuit.goes_to).pursuits.append(pursuit)
        away, self._away = self._away, {}
        return [
            (owner, Handover(self._number, str(entry), each.crossings, each.facts, each.pursuits))
            for owner, each in away.items()
        ]

    def is_new(self, handover: Handover) -> bool:
        """Whether it was not there before; from now on it was."""
        entry = EntryId.parse(handover.entry)
        if entry <= self._seen.get(handover.source, EntryId(0, 0)):
            return False
        self._seen[handover.source] = entry
        return True

    def dump(self) -> dict[str, str]:
        """The newest handover of each partition."""
        return {str(source): str(entry) for source, entry in self._seen.items()}

    @classmethod
    def load(cls, dumped: Mapping[str, str], number: int, partitions: int) -> Self:
        """What `dump` wrote."""
        handing = cls(number, partitions)
        handing._seen = {int(source): EntryId.parse(entry) for source, entry in dumped.items()}
        return handing
