"""What became of each offer's delivery: noted where it can be asked for, and told to the log where it reached nobody."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from geo_service.flow.entries import Undelivered

Fate = Literal["acknowledged", "unheard", "refused", "expired"]
"""The broker has it; has it, but nobody listens there; does not take it; or it was too late for that."""
REACHED_NOBODY = frozenset(("refused", "expired"))
"""What is unheard may still be pulled, or come another way: a back office that hears of offers may push them itself."""
_AT_ONCE = 500


class Fared(NamedTuple):
    """How one offer's delivery ended."""

    store: str
    fate: Fate


class Offers(Protocol):
    """Where fates are noted."""

    def fared(self, fates: Mapping[str, Fate], at_ms: int) -> Sequence[str]:
        """Note them; returns the offers of which that is news."""
        ...


class Fates:
    """Notes fates. A delivery that is repeated after a crash may be told to the log twice, which changes nothing there."""

    def __init__(self, offers: Offers, append: Callable[[str, Undelivered], object]) -> None:
        """`append(store, entry)` appends to the log where the store is decided about."""
        self._offers = offers
        self._append = append

    def note(self, fared: Mapping[str, Fared], at_ms: int) -> None:
        """What became of these offers, by their ids."""
        news = self._offers.fared({offer_id: each.fate for offer_id, each in fared.items()}, at_ms)
        by_store: dict[str, list[str]] = {}
        for offer_id in news:
            if fared[offer_id].fate in REACHED_NOBODY:
                by_store.setdefault(fared[offer_id].store, []).append(offer_id)
        for store, ids in by_store.items():
            for at in range(0, len(ids), _AT_ONCE):
                self._append(store, Undelivered(store, ids[at : at + _AT_ONCE]))
