"""JSON at the border: it may be anything, and what is wrong with it is said in one way."""

import re
from typing import Any, TypeVar

import msgspec

from geo_service.errors import InvalidInputError

T = TypeVar("T")
_AT = re.compile(r"(.*) - at `(?:key in )?\$(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*?)`(?: - at `\$(.*)`)?", re.DOTALL)


def decode_json(decoder: msgspec.json.Decoder[T], payload: bytes) -> T:
    """Decode, or say in one way what is wrong.

    Raises:
        InvalidInputError: whatever the bytes are; `field` is the path inside the document (`lat`, `[3].time`).
    """
    try:
        return decoder.decode(payload)
    except msgspec.MsgspecError as error:
        raise refusal_of(error) from error
    except UnicodeDecodeError as error:
        raise InvalidInputError("is not valid UTF-8") from error
    except RecursionError as error:
        raise InvalidInputError("is nested too deeply") from error


def refusal_of(error: Exception) -> InvalidInputError:
    """What msgspec found, as a field and a reason."""
    missing = _MISSING.fullmatch(str(error))
    if missing is not None:
        return InvalidInputError("is missing", field=f"{missing[2] or ''}.{missing[1]}".lstrip("."))
    match = _AT.fullmatch(str(error))
    if match is None:
        return InvalidInputError(str(error)[:200])
    return InvalidInputError(match[1][:200], field=match[2].lstrip(".")[:100] or None)


def convert(value: Any, type_: type[T]) -> T:
    """Already parsed JSON as a Struct.

    Raises:
        InvalidInputError: with the field and what it should have been.
    """
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        raise refusal_of(error) from error
