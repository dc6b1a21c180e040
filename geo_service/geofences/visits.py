"""Visits: what a stay in a store's own fence amounts to.

A visit is a closed stay in a fence of role `store`; it is confirmed when it was long enough, and a stay of more than half
a day is none (a phone left in a drawer, somebody who works there). Staff make no visits, nor does a device that is being
forgotten.

A late ping moves nothing, but it may lengthen the record of its device's last closed visit: when it was within the fence,
and not longer after the visit's end than a device may be away or silent without ending a stay. So a phone that had no
connection in the shop, and was taken for gone, gets the time that its backlog tells of.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

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


class Closed(msgspec.Struct):
    """A closed visit whose record may still be lengthened."""

    visit: Visit
    slack_ms: int
    """A ping so long after its end may belong to it."""
    closed_ms: int
    """When it was closed, by the log's clock."""
    id: str = ""
    """Under which it was told."""
    counted: bool = False
    """It was confirmed, and counted as such."""


def _nobody(_: str) -> bool:
    return False


@dataclass(frozen=True)
class Visits:
    """The rule for visits; its numbers belong beside any figure that was made with it."""

    confirmed_after_ms: int = 120_000
    longest_ms: int = 43_200_000
    recent_ms: int = 7_200_000
    """So long after it was closed, by the log's clock, a visit's record may be lengthened."""
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

    def lengthen(self, closed: Closed, time_ms: int, now_ms: int) -> Visit | None:
        """The visit, had it lasted until a late ping of this time; None if the ping cannot belong to it."""
        visit = closed.visit
        if now_ms > closed.closed_ms + self.recent_ms or not 0 < time_ms - visit.left_ms <= closed.slack_ms:
            return None
        duration_ms = time_ms - visit.entered_ms
        if duration_ms > self.longest_ms:
            return None
        confirmed = duration_ms >= self.confirmed_after_ms
        return visit._replace(left_ms=time_ms, duration_ms=duration_ms, confirmed=confirmed)
