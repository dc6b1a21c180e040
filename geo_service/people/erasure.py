"""An erasure: what became of it, and of whom only while it is under way."""

import msgspec


class Erasure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One erasure."""

    about: str
    """Ties it to its person for whoever has the receipt, and for nobody else."""
    requested_ms: int
    person: str | None = None
    """Only while traces are being taken out."""
    done_ms: int | None = None
    removed: dict[str, int] = {}
    """By the name of the key (`storage/keys.py`) or place, how much."""
    left: list[str] = []
    """Where the id is still found; gone about again until there is nothing."""
    files: str | None = None
    """What became of the store's own files on disk."""
