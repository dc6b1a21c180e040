"""What a checkpoint keeps of a person: read from its bytes, without waking the fold up."""

from typing import Any

import msgspec
import numpy as np

from geo_service.geofences.devices import NEVER, Devices
from geo_service.geofences.stays import OUT, Stays, SteadyStays
from geo_service.people.traces import Trace, plain
from geo_service.pings.batch import said
from sensors.instants import instant

_ABOUT_NOBODY = ("version", "now_ms", "rules", "site", "stores", "pacers", "handed")
_OFFERS_ABOUT_NOBODY = ("acceptance", "open", "over", "redeemed")
"""Campaigns, and offers by their ids, with fingerprints of those whom they went to."""


def kept_in_state(state: bytes, trace: Trace) -> list[dict[str, Any]]:
    """Every part of a partition's checkpoint that is about the person; [] where there is none.

    Presence keeps columns, so what it holds of a device is gathered here. What is kept by device is looked up; parts that
    name stores, fences and campaigns are about nobody, whatever those are called. Everything else is found by its mention.
    """
    if not trace.may_be_in(state):
        return []
    whole = msgspec.msgpack.decode(state)
    for part in _ABOUT_NOBODY:
        whole.pop(part, None)
    for part in _OFFERS_ABOUT_NOBODY:
        whole.get("offering", {}).pop(part, None)
    devices = whole.pop("devices", {})
    packed = devices.pop("presence", None)
    by_device = {f"devices.{part}": kept for part, kept in devices.items()}
    by_device["profiles.of"] = whole.pop("profiles", {}).get("of", {})
    found = [
        {"part": part, "holds": plain(kept[trace.person])} for part, kept in by_device.items() if trace.person in kept
    ]
    found += [{"part": path, "holds": value} for path, value in trace.excerpts(whole)]
    if packed is not None:
        presence = msgspec.msgpack.decode(packed)
        if (position := _position(presence, trace.person)) is not None:
            found.append({"part": "presence", "holds": position})
    return found


def _position(presence: dict[str, Any], person: str) -> dict[str, Any] | None:
    devices = Devices()
    devices.restore(presence["devices"])
    place = devices.place_of.get(person)
    if place is None:
        return None
    stays = SteadyStays(devices) if presence["mode"] == "steady" else Stays(devices)
    stays.restore(presence["stays"])
    fence_of = {slot: fence for fence, slot in presence["slots"].items()}
    position, _ = stays.of(np.array([place]))
    return {
        "last_ping": _time(devices.newest_ms[place]),
        "last_position": _time(devices.fix_ms[place]),
        "lat": said(devices.lat[place]),
        "lon": said(devices.lon[place]),
        "accuracy_m": said(devices.accuracy_m[place]),
        "fences": [
            {"fence": fence_of.get(int(stays.slot[at])), "since": _time(stays.enter_ms[at])}
            for at in position.tolist()
            if stays.enter_ms[at] != OUT
        ],
    }


def _time(at_ms: np.int64) -> str | None:
    return None if at_ms == NEVER else instant(int(at_ms)).isoformat()
