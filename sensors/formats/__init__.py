"""Formats: one file per make, each turning a payload into canonical readings."""

from sensors.errors import UnknownFormatError
from sensors.formats import (
    axis,
    esphome,
    frigate,
    home_assistant,
    lorawan,
    mapping,
    milesight,
    native,
    senml,
    shelly,
    tasmota,
    xovis,
    zigbee2mqtt,
)
from sensors.formats.message import Decoder

_ALL = (
    *(
        make.DECODER
        for make in (
            axis,
            esphome,
            frigate,
            home_assistant,
            mapping,
            milesight,
            native,
            senml,
            shelly,
            tasmota,
            xovis,
            zigbee2mqtt,
        )
    ),
    lorawan.CHIRPSTACK,
    lorawan.THE_THINGS_STACK,
)
_DECODERS: dict[str, Decoder] = {decoder.format: decoder for decoder in _ALL}
# What people call them.
_OTHER_NAMES = {
    "tts": "the_things_stack",
    "ttn": "the_things_stack",
    "things_stack": "the_things_stack",
    "z2m": "zigbee2mqtt",
    "homeassistant": "home_assistant",
    "json": "mapping",
    "generic": "mapping",
}


def formats() -> list[str]:
    """The names of all formats."""
    return sorted(_DECODERS)


def decoder(name: str) -> Decoder:
    """The decoder of a format.

    Raises:
        UnknownFormatError: there is none; carries the names that there are.
    """
    plain = name.strip().lower().replace("-", "_")
    found = _DECODERS.get(_OTHER_NAMES.get(plain, plain))
    if found is None:
        raise UnknownFormatError(name, formats())
    return found
