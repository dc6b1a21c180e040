"""What a person agreed to, as they said it."""

import msgspec


class Said(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a person said once."""

    at_ms: int
    purposes: dict[str, bool]
    version: str | None = None
    """Of the text they saw."""
