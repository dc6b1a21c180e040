"""From outputs to MQTT: which topic each goes to, for whom, and for how long. Pure; `mqtt_publisher.py` sends.

An output is encoded once, when the entry was folded; here only its head is read, and the same bytes go out.
"""

from datetime import datetime

import msgspec

from geo_service.delivery.mqtt_publisher import Outgoing
from sensors.instants import millis


class Head(msgspec.Struct):
    """What routing needs of an output's JSON."""

    kind: str
    store: str | None = None
    zone: str | None = None
    device: str | None = None
    decision: str | None = None
    expires: datetime | None = None
    id: str | None = None


_head = msgspec.json.Decoder(Head)
head_of = _head.decode


def outgoing(line: bytes, now_ms: int) -> Outgoing | None:
    """The MQTT message of one output; None for what nobody subscribes to, or an offer whose time is over."""
    head = _head.decode(line)
    if head.kind == "occupancy":
        topic = f"geo/v1/store/{head.store}/occupancy"
        return Outgoing(f"{topic}/{head.zone}" if head.zone else topic, line, retain=True)
    if head.kind in {"crossing", "visit", "redemption", "sensor", "alert"} and head.store:
        return Outgoing(f"geo/v1/store/{head.store}/{head.kind}", line)
    if head.kind == "offer" and head.decision == "sent" and head.expires is not None:
        left_s = (millis(head.expires) - now_ms) // 1000
        if left_s <= 0:
            return None
        return Outgoing(f"geo/v1/device/{head.device}/offers", line, expires_s=left_s)
    return None
