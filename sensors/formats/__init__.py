"""Formats: one file per make, each turning a payload into canonical readings."""

from sensors.errors import UnknownFormatError
from sensors.formats import native
from sensors.formats.message import Decoder

_DECODERS: dict[str, Decoder] = {module.DECODER.format: module.DECODER for module in (native,)}


def formats() -> list[str]:
    """The names of all formats."""
    return sorted(_DECODERS)


def decoder(name: str) -> Decoder:
    """The decoder of a format.

    Raises:
        UnknownFormatError: there is none; carries the names that there are.
    """
    found = _DECODERS.get(name.strip().lower().replace("-", "_"))
    if found is None:
        raise UnknownFormatError(name, formats())
    return found
