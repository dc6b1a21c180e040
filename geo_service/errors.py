"""The exceptions of the service, each carrying its data; `api/problems.py` maps them to HTTP, `__main__.py` to exit codes."""


class GeoServiceError(Exception):
    """Anything this service refuses or cannot do."""


class InvalidInputError(GeoServiceError):
    """What was given is wrong: `field` says where, `reason` why. Exit code 1, HTTP 400."""

    def __init__(self, reason: str, *, field: str | None = None) -> None:
        self.reason = reason
        self.field = field
        super().__init__(f"{field}: {reason}" if field else reason)


class UnreachableError(GeoServiceError):
    """A server that is needed does not answer. Exit code 3, HTTP 503."""

    def __init__(self, server: str, reason: str) -> None:
        self.server = server
        self.reason = reason
        super().__init__(f"cannot reach {server}: {reason}")


class FencedOffError(GeoServiceError):
    """Another worker took over this partition; this one must stop before it writes anything."""

    def __init__(self, partition: int, epoch: int) -> None:
        self.partition = partition
        self.epoch = epoch
        super().__init__(f"partition {partition} was taken over by another worker (this one held epoch {epoch})")


class VersionConflictError(GeoServiceError):
    """The document is not, or no more, of the version that the change was made for. HTTP 412."""

    def __init__(self, kind: str, key: str, expected: int, found: int) -> None:
        self.kind = kind
        self.key = key
        self.expected = expected
        self.found = found
        super().__init__(f"the {kind} {key!r} has version {found}, not {expected}")
