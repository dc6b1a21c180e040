"""From what happened at fences to what is told of it."""

from datetime import datetime

from geo_service import outputs
from geo_service.geofences.events import Event
from geo_service.geofences.visits import Visit
from sensors.instants import instant


def crossing_of(crossing_id: str, event: Event, logged: datetime) -> outputs.Crossing:
    """The output of an event."""
    return outputs.Crossing(
        id=crossing_id,
        type=event.type,
        device=event.device,
        fence=event.fence,
        store=event.store,
        role=event.role,
        time=instant(event.time_ms),
        logged=logged,
        lat=event.lat,
        lon=event.lon,
        accuracy_m=event.accuracy_m,
        confidence=round(event.confidence, 4),
        duration_s=None if event.duration_ms is None else event.duration_ms / 1000,
        reason=event.reason,
        mock=event.mock,
    )


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
