"""From what happened at fences to what is told of it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from geo_service import outputs
from geo_service.geofences.events import Event
from geo_service.geofences.visits import Visit
from sensors.instants import EPOCH, instant

_MILLISECOND = timedelta(milliseconds=1)


def crossings_of(events: Sequence[Event], logged: datetime, prefix: str, first: int) -> list[outputs.Crossing]:
    """The outputs of events; the first has the id `{prefix}{first}`, and so on."""
    # One expression, without a call an event: there may be thousands to an entry.
    return [
        outputs.Crossing(
            id=f"{prefix}{number}",
            type=event.type,
            device=event.device,
            fence=event.fence,
            store=event.store,
            role=event.role,
            time=EPOCH + event.time_ms * _MILLISECOND,
            logged=logged,
            lat=event.lat,
            lon=event.lon,
            accuracy_m=event.accuracy_m,
            confidence=round(event.confidence, 4),
            duration_s=None if event.duration_ms is None else event.duration_ms / 1000,
            reason=event.reason,
            mock=event.mock,
        )
        for number, event in enumerate(events, first)
    ]


def visit_of(visit_id: str, visit: Visit) -> outputs.Visit:
    """The output of a visit."""
    return outputs.Visit(
        id=visit_id,
        device=visit.device,
        store=visit.store,
        entered=instant(visit.entered_ms),
        left=instant(visit.left_ms),
        duration_s=visit.duration_ms / 1000,
        confirmed=visit.confirmed,
    )
