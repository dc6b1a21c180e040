"""Visits: what a stay in a store's own fence amounts to.

A visit is a closed stay in a fence of role `store`; it is confirmed when it was long enough, and a stay of more than half
a day is none (a phone left in a drawer, somebody who works there). Staff make no visits, nor does a device that is being
forgotten.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from geo_service.geofences.events import Event


class Visit(NamedTuple):
    """A closed stay in a store; times and durations are milliseconds."""

    device: str
    store: str
    fence: str
    entered_ms: int
    left_ms: int
    duration_ms: int
    confirmed: bool


def _nobody(_: str) -> bool:
    return False


@dataclass(frozen=True)
class Visits:
    """The rule for visits; its numbers belong beside any figure that was made with it."""

    confirmed_after_ms: int = 120_000
    longest_ms: int = 43_200_000
    is_staff: Callable[[str], bool] = _nobody

    def take(self, event: Event) -> Visit | None:
        """The visit that this event closes, None where it closes none."""
        if event.type != "exit" or event.role != "store" or event.store is None or event.duration_ms is None:
            return None
        if event.reason == "forgotten" or event.duration_ms > self.longest_ms or self.is_staff(event.device):
            return None
        return Visit(
            event.device,
            event.store,
            event.fence,
            event.time_ms - event.duration_ms,
            event.time_ms,
            event.duration_ms,
            event.duration_ms >= self.confirmed_after_ms,
        )
