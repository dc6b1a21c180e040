"""ESPHome over MQTT: `<node>/binary_sensor/<name>/state`, `<node>/sensor/<name>/state`, and the Roode people counter.

Roode publishes each crossing as the text `Entry` or `Exit`, and its own running number of people. That number drifts, is
cut at zero and can be set by hand; a sensor with the role `door` counts by the texts, any other is read by its number.
"""

from sensors.errors import ReadingError
from sensors.formats.body import text_body
from sensors.formats.fields import MAX_DELTA, flag, name_of, number, shown
from sensors.formats.message import Decoder, Message
from sensors.formats.zigbee2mqtt import availability
from sensors.readings import Reading

_CROSSINGS = {"entry": (1, 0), "exit": (0, 1)}
_QUIET = frozenset({"unknown", "unavailable", "nan", "none", ""})


def read(payload: bytes, message: Message) -> list[Reading]:
    """One state of one entity, by topic."""
    parts = message.topic.split("/")
    if parts[-1] == "status":
        return availability(payload, message)
    if parts[-1] != "state" or len(parts) < 4:
        raise ReadingError("its topic must end in <component>/<name>/state")
    component, line = parts[-3], name_of(parts[-2], "the topic's name")
    text = text_body(payload)
    if text.lower() in _QUIET:
        return message.heartbeat()
    if component == "binary_sensor":
        return [message.reading(line=line, kind="state", value=float(flag(text, line)))]
    if component == "text_sensor":
        crossing = _CROSSINGS.get(text.lower())
        if crossing is None:
            return message.heartbeat()
        return [message.reading(line=line, kind="delta", ins=crossing[0], outs=crossing[1], trigger=True)]
    if component in {"sensor", "number"}:
        value = number(text, line)
        if value < 0 or value > MAX_DELTA:
            raise ReadingError(f"{line}: {shown(text)} is no number of people")
        if message.config.role == "door":
            return message.heartbeat()
        return [message.reading(line=line, kind="absolute", value=value)]
    raise ReadingError(f"{shown(component)} is not an ESPHome component that tells of people")


DECODER = Decoder("esphome", read)
