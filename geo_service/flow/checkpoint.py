"""What a partition's checkpoint is made of, as MessagePack."""

from typing import Any

import msgspec

from geo_service.catalogue.site import Site
from geo_service.errors import InvalidInputError

VERSION = 3


class State(msgspec.Struct):
    """Everything a partition knows, by the part of it that knows it."""

    version: int
    now_ms: int
    rules: list[Any]
    site: Site
    devices: dict[str, Any]
    stores: dict[str, Any]
    handed: dict[str, str]
    offering: dict[str, Any] = {}
    profiles: dict[str, Any] = {}
    pacers: dict[str, Any] = {}


class _Version(msgspec.Struct):
    version: int


encode = msgspec.msgpack.Encoder().encode
_decode_version = msgspec.msgpack.Decoder(_Version).decode
_decode = msgspec.msgpack.Decoder(State).decode


def decode(dumped: bytes) -> State:
    """The state in a checkpoint.

    Raises:
        InvalidInputError: another version of the program wrote it.
    """
    version = _decode_version(dumped).version
    if version != VERSION:
        raise InvalidInputError(f"checkpoint has version {version}, this program reads {VERSION}")
    return _decode(dumped)
