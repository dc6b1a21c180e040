"""What the HTTP shell needs of the catalogue."""

from collections.abc import Sequence
from typing import Protocol

from geo_service.catalogue.site import Kind


class StoredDocument(Protocol):
    """A document as it is kept. Of one document no two versions are the same."""

    @property
    def version(self) -> int:
        """Rises with every change."""
        ...

    @property
    def document(self) -> bytes:
        """Canonical JSON."""
        ...


class WrittenDocument(Protocol):
    """What came of writing one."""

    @property
    def version(self) -> int:
        """That it has now."""
        ...

    @property
    def is_new(self) -> bool:
        """There was none."""
        ...


class Catalogue(Protocol):
    """The documents of the site as they stand."""

    def get(self, kind: Kind, key: str) -> bytes | None:
        """One document as canonical JSON."""
        ...

    def page(self, kind: Kind, after: str | None, limit: int) -> Sequence[tuple[str, bytes]]:
        """Up to `limit` documents with keys above `after`, in key order."""
        ...

    def find(self, kind: Kind, key: str) -> StoredDocument | None:
        """One document with its version."""
        ...

    def put(self, kind: Kind, key: str, document: bytes, *, expected: int | None = None) -> WrittenDocument:
        """Write one and tell the log. With `expected`, VersionConflictError where it has another version now (0: is not there),
        unless it is already as it should become.
        """
        ...

    def remove(self, kind: Kind, key: str, *, expected: int | None = None) -> bool:
        """Remove one and tell the log; False where there was none. `expected` likewise."""
        ...
