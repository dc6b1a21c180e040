"""Strict presence: inside is where the shape says so, at every ping."""

import numpy as np
from numpy.typing import NDArray

from geo_service.geofences.tables import NEW, Ints, Lost, Pairs, Rows, Tables


def follow(tables: Tables, rows: Rows) -> tuple[Pairs, Lost]:
    """Pairs after these pings, and stays that ended with a device's first one here."""
    stays = tables.stays
    found = tables.index.match(rows.lat, rows.lon)
    row, slot = np.asarray(found.row, np.int64), found.slot.astype(np.int64)
    old, owner = stays.of(rows.dev[rows.first])
    old_row = rows.first[owner]
    prev, lost = compare(row << 32 | slot, old_row << 32 | stays.slot[old], old)
    inside = np.ones(len(row), np.bool_)
    old = old[lost]
    over = Lost(old_row[lost], stays.slot[old].astype(np.int64), stays.enter_ms[old])
    return Pairs(row, slot, inside, inside, np.ones(len(row)), prev, rows.time_ms[row], {}), over


def compare(key: Ints, old_key: Ints, old: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Find each key among the old ones, both ascending: its element of `old` or NEW; and which old ones are no more."""
    prev = np.full(len(key), NEW)
    if not len(key):
        return prev, np.ones(len(old), np.bool_)
    at = key.searchsorted(old_key)
    at[at == len(key)] = 0
    hit = key[at] == old_key
    prev[at[hit]] = old[hit]
    return prev, ~hit
