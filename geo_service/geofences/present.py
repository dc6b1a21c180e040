"""Who is in some fences right now, told as if they had just entered: for what must be asked about people who are there."""

from collections.abc import Collection

import numpy as np

from geo_service.geofences.events import Event
from geo_service.geofences.stays import OUT
from geo_service.geofences.tables import Tables
from geo_service.pings.batch import said


def present(tables: Tables, fences: Collection[str], device: str | None, limit: int) -> list[Event]:
    """Stays under way in these fences, of one device or of all, at most `limit` of them, by device and fence.

    Each is an `enter` at the time and place of the device's newest fix.
    """
    slots = [slot for fence in fences if (slot := tables.fences.slot_of.get(fence)) is not None]
    if device is None:
        position, dev = tables.stays.everything()
    else:
        place = tables.devices.place_of.get(device)
        if place is None:
            return []
        places = np.array([place])
        position, owner = tables.stays.of(places)
        dev = places[owner]
    stays = tables.stays
    chosen = np.isin(stays.slot[position], slots) & (stays.enter_ms[position] != OUT)
    position, dev = position[chosen], dev[chosen]
    names, ids = tables.devices.name[dev].tolist(), tables.fences.id[stays.slot[position]].tolist()
    order = sorted(range(len(names)), key=lambda at: (names[at], ids[at]))[:limit]
    belief = tables.belief(position)
    return [
        Event(
            "enter",
            names[at],
            ids[at],
            tables.fences.store[stays.slot[position[at]]],
            tables.fences.role[stays.slot[position[at]]],
            int(tables.devices.fix_ms[dev[at]]),
            float(tables.devices.lat[dev[at]]),
            float(tables.devices.lon[dev[at]]),
            said(tables.devices.accuracy_m[dev[at]]),
            float(belief[at]),
            None,
            "observed",
            bool(tables.devices.mock[dev[at]]),
        )
        for at in order
    ]
