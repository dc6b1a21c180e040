"""What a late ping says of a visit that was closed before it came (the rule is in `visits.py`)."""

import math

import numpy as np

from geo_service.geofences.alone import covering
from geo_service.geofences.leaps import Fix
from geo_service.geofences.stays import OUT
from geo_service.geofences.steady import ENTER, log_odds, odds, sigma_m
from geo_service.geofences.tables import Tables
from geo_service.outputs import Reason


def slack_ms(tables: Tables, fence_id: str, reason: Reason) -> int:
    """How long a device may be away from a fence, or silent, before its stay ends for this reason; 0 for any other."""
    slot = tables.fences.slot_of.get(fence_id)
    if slot is None or reason not in ("observed", "silence"):
        return 0
    return int((tables.fences.exit_after_ms if reason == "observed" else tables.fences.silence_ms)[slot])


def was_within(tables: Tables, fence_id: str, device: str, fix: Fix, logged_ms: int) -> bool:
    """Whether a fix, by itself, says that its device was in a fence that was open then, before the stay under way now."""
    slot, place = tables.fences.slot_of.get(fence_id), tables.devices.place_of.get(device)
    if slot is None or place is None or not tables.fences.is_open(slot, fix.time_ms, logged_ms):
        return False
    at = int(tables.stays.find(np.array([place]), np.array([slot]))[0])
    if at >= 0 and OUT < tables.stays.enter_ms[at] <= fix.time_ms:
        return False
    if tables.mode == "strict":
        return slot in covering(tables.index, fix.lat, fix.lon)
    away_m = tables.index.distances(np.array([slot], np.int32), np.array([fix.lat]), np.array([fix.lon]))
    return bool(log_odds(-away_m / sigma_m(np.array([fix.accuracy_m])))[0] >= math.log(odds(ENTER)))
