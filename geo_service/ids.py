"""Ids: one rule for devices, fences, stores, sensors and campaigns."""

import re

from geo_service.errors import InvalidInputError

# `fullmatch`, because `$` in a pattern accepts a trailing newline.
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
is_id = _ID.fullmatch


def require_id(value: str, field: str) -> str:
    """Return `value` if it is an id.

    Raises:
        InvalidInputError: it is not; names `field` and the rule.
    """
    if _ID.fullmatch(value) is None:
        raise InvalidInputError("must be 1 to 64 of A-Z a-z 0-9 _ . : -", field=field)
    return value
