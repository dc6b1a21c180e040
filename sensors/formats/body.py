"""A payload from outside as JSON values or text, whatever its bytes are."""

from typing import Any

import msgspec

from sensors.errors import ReadingError

_decode = msgspec.json.Decoder().decode


def json_body(payload: bytes) -> Any:
    """The payload's JSON value.

    Raises:
        ReadingError: not JSON, not UTF-8, or nested too deeply.
    """
    try:
        return _decode(payload)
    except UnicodeDecodeError as error:
        raise ReadingError("is not valid UTF-8") from error
    except RecursionError as error:
        raise ReadingError("is nested too deeply") from error
    except msgspec.MsgspecError as error:
        raise ReadingError(f"is not JSON: {str(error)[:120]}") from error


def text_body(payload: bytes) -> str:
    """The payload's text, trimmed.

    Raises:
        ReadingError: not UTF-8.
    """
    try:
        return payload.decode().strip()
    except UnicodeDecodeError as error:
        raise ReadingError("is not valid UTF-8") from error


def object_body(payload: bytes) -> dict[str, Any]:
    """The payload's JSON object.

    Raises:
        ReadingError: it holds something else.
    """
    return as_object(json_body(payload), "the body")


def as_object(value: Any, name: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ReadingError: it is none.
    """
    if not isinstance(value, dict):
        raise ReadingError(f"{name} must be an object")
    return value


def as_list(value: Any, name: str) -> list[Any]:
    """A JSON list; null is an empty one.

    Raises:
        ReadingError: it is none.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise ReadingError(f"{name} must be a list")
    return value


def objects(value: Any, name: str) -> list[dict[str, Any]]:
    """A JSON list of objects; a single object is a list of one.

    Raises:
        ReadingError: it is neither.
    """
    if isinstance(value, dict):
        return [value]
    return [as_object(item, f"{name}[{place}]") for place, item in enumerate(as_list(value, name))]
