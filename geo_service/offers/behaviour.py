"""What shoppers do online, as an app or a shop's back end tells it: JSON in, entries of the log out.

`{"type": "viewed", "sku": "loaf-rye"}`, or a list of up to 500; `type` is viewed, searched, listed, cart or bought; what it is
about is a `sku`, a `category` or, of a search, the `query`. A back end names the `device` in each; a phone need not.
An `id` (of the order's line, say) or a `time` makes it safe to send again: what is the same in both counts once.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec

from geo_service.decoding import decode_json
from geo_service.errors import InvalidInputError
from geo_service.flow.entries import Action, Behaviour, Traits
from geo_service.ids import require_id
from geo_service.offers.affinity import Deed
from sensors.instants import millis

MOST = 500
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Language = Annotated[str, msgspec.Meta(pattern=r"\A([A-Za-z0-9]{1,8}(-[A-Za-z0-9]{1,8}){0,4})?\Z")]
_Segments = Annotated[
    list[Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_.:-]{1,64}\Z")]], msgspec.Meta(max_length=100)
]


class Told(msgspec.Struct):
    """One thing that somebody did."""

    type: Deed
    device: str | None = None
    sku: _Text | None = None
    category: _Text | None = None
    query: _Text | None = None
    quantity: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    time: datetime | float | None = None
    id: _Text | None = None


class TraitsBody(msgspec.Struct):
    """What a retailer knows of a person."""

    segments: _Segments | None = None
    language: Language | None = None
    """A language tag such as `fi` or `pt-BR` (RFC 5646); "" forgets it."""


_items = msgspec.json.Decoder(list[msgspec.Raw])
_one = msgspec.json.Decoder(Told)
_traits = msgspec.json.Decoder(TraitsBody)
Refused = tuple[int | None, InvalidInputError]


def items_of(payload: bytes) -> tuple[list[msgspec.Raw], bool]:
    """The actions of a body, and whether it was a list of them.

    Raises:
        InvalidInputError: it is not JSON.
    """
    if payload.lstrip()[:1] == b"[":
        return decode_json(_items, payload), True
    return [msgspec.Raw(payload)], False


def decode(payload: bytes, device: str | None) -> tuple[list[Behaviour], list[Refused]]:
    """Entries, one a person in the order of their first action, and what was refused by its place in the list.

    Raises:
        InvalidInputError: nothing of it can be read.
    """
    said, is_list = items_of(payload)
    if len(said) > MOST:
        raise InvalidInputError(f"has {len(said)} actions; at most {MOST} are read")
    by_device: dict[str, list[Action]] = {}
    refused: list[Refused] = []
    for index, raw in enumerate(said):
        try:
            who, action = _action(decode_json(_one, bytes(raw)), device)
        except InvalidInputError as error:
            refused.append((index if is_list else None, error))
            continue
        by_device.setdefault(who, []).append(action)
    return [Behaviour(who, actions) for who, actions in by_device.items()], refused


def _action(told: Told, device: str | None) -> tuple[str, Action]:
    if device is not None and told.device not in {None, device}:
        raise InvalidInputError(f"is {str(told.device)[:64]!r} but the sender is {device!r}", field="device")
    who = device or told.device
    if who is None:
        raise InvalidInputError("is missing", field="device")
    about = [name for name in ("sku", "category", "query") if getattr(told, name) is not None]
    if len(about) != 1:
        raise InvalidInputError("say one of sku, category and query", field="sku")
    try:
        time_ms = None if told.time is None else millis(told.time)
    except ValueError as error:
        raise InvalidInputError(str(error), field="time") from error
    return require_id(who, "device"), Action(
        told.type, told.sku, told.category, told.query, told.quantity, time_ms, told.id
    )


def decode_traits(payload: bytes, device: str) -> Traits:
    """Segments and language of a person.

    Raises:
        InvalidInputError: it cannot be read.
    """
    body = decode_json(_traits, payload)
    return Traits(require_id(device, "person"), body.segments, body.language)


def problems_of(refused: Sequence[Refused]) -> list[tuple[int | None, str | None, str]]:
    """Refusals as the border tells them: place, field, reason."""
    return [(index, error.field, error.reason) for index, error in refused]
