"""Entities that Home Assistant shows: a state topic with `ON` and `OFF`, or with a number of people.

The discovery document says which words mean on and off and where in a JSON body the state is; they go into the
options `payload_on`, `payload_off` and `path`.
"""

from typing import Any

from sensors.errors import ReadingError
from sensors.formats.body import json_body, text_body
from sensors.formats.fields import MAX_DELTA, flag, number, shown
from sensors.formats.json_path import JsonPath
from sensors.formats.message import Decoder, Message
from sensors.readings import Reading

_QUIET = frozenset({"unknown", "unavailable", "none", ""})


def read(payload: bytes, message: Message) -> list[Reading]:
    """One state; `unavailable` and `unknown` say nothing, not even that the sensor lives."""
    value = _value(payload, message)
    if isinstance(value, str) and value.strip().lower() in _QUIET:
        return []
    words = {message.option("payload_on"): True, message.option("payload_off"): False} if _has_words(message) else {}
    if isinstance(value, str) and value in words:
        return _state(message, on=words[value])
    if message.config.role in {"camera", "co2"}:
        people = number(value, "the state")
        if people < 0 or people > MAX_DELTA:
            raise ReadingError(f"the state: {shown(value)} is no number of people")
        return [message.reading(kind="absolute", value=people)]
    if isinstance(value, str) and value.lower() in {"online", "offline"}:
        return message.heartbeat() if value.lower() == "online" else []
    return _state(message, on=flag(value, "the state"))


def _value(payload: bytes, message: Message) -> Any:
    path = message.option("path")
    if path is None:
        return text_body(payload)
    value = JsonPath.parse(path, "options.path").find(json_body(payload))
    if value is None:
        raise ReadingError(f"nothing at {path}")
    return value


def _has_words(message: Message) -> bool:
    return isinstance(message.option("payload_on"), str) and isinstance(message.option("payload_off"), str)


def _state(message: Message, *, on: bool) -> list[Reading]:
    return [message.reading(kind="state", value=float(on))]


def problems(options: dict[str, Any]) -> list[str]:
    """What is wrong with the options."""
    if options.get("path") is None:
        return []
    try:
        JsonPath.parse(options["path"], "options.path")
    except ReadingError as error:
        return [error.reason]
    return []


DECODER = Decoder("home_assistant", read, own_problems=problems)
