"""Alerts of a place: which stand, which begin and end with an estimate or with what the night said of the doors."""

from typing import Literal

import msgspec

from geo_service import outputs
from geo_service.catalogue.documents import ZoneCapacity
from occupancy import alerts
from occupancy.calibrate import Night
from occupancy.estimate import Estimate
from sensors.instants import instant, millis


class Raised(msgspec.Struct, frozen=True):
    """The alerts of one place that stand."""

    since_ms: dict[outputs.AlertKind, int] = {}
    night: Night | None = None
    """The last night that was looked at."""


def alert_name(store: str, zone: str, kind: outputs.AlertKind) -> str:
    """The current value of an alert that stands; zone "" is the store as a whole."""
    return f"alert:{store}/{zone}/{kind}"


def judged(
    raised: Raised,
    occupancy: outputs.Occupancy,
    estimate: Estimate,
    night: Night | None,
    capacity: ZoneCapacity | None,
) -> tuple[Raised, list[outputs.Alert]]:
    """What stands now, and what was raised or cleared. `occupancy` is the estimate as it is said.

    Without a capacity nobody has said what full is. The ids of the alerts are the caller's to give.
    """
    changes: list[tuple[outputs.AlertKind, bool, str]] = []
    if capacity is not None:
        standing = frozenset(kind for kind in raised.since_ms if kind != "doors")
        _, judgements = alerts.judge(standing, estimate, warn_from=capacity.warn, full_from=capacity.full)
        changes += [(alert.kind, alert.began, alert.text) for alert in judgements]
    else:
        gone = [kind for kind in raised.since_ms if kind != "doors"]
        changes += [(kind, False, "Nobody says a capacity any more.") for kind in gone]
    if night is not None and night != raised.night:
        if night.alert is not None and "doors" not in raised.since_ms:
            changes.append(("doors", True, night.alert))
        elif night.alert is None and "doors" in raised.since_ms:
            changes.append(("doors", False, "Nothing was odd about the doors last night."))
    if not changes and night == raised.night:
        return raised, []
    now_ms, since_ms = millis(occupancy.time), dict(raised.since_ms)
    said = []
    for kind, began, text in changes:
        since = since_ms.setdefault(kind, now_ms) if began else since_ms.pop(kind)
        said.append(_alert(occupancy, kind, "raised" if began else "cleared", since, text))
    return Raised(since_ms, night), said


def _alert(
    occupancy: outputs.Occupancy, kind: outputs.AlertKind, state: Literal["raised", "cleared"], since_ms: int, text: str
) -> outputs.Alert:
    return outputs.Alert(
        id="",
        store=occupancy.store,
        zone=occupancy.zone,
        alert=kind,
        state=state,
        time=occupancy.time,
        since=instant(since_ms),
        detail=text,
        mean=occupancy.mean,
        low=occupancy.low,
        high=occupancy.high,
        rate=occupancy.rate,
        p_over=occupancy.p_over,
    )
