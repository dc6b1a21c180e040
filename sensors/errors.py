"""What this library refuses."""


class SensorsError(Exception):
    """Anything that this library refuses; `reason` is a sentence for the person who set the sensor up."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class ReadingError(SensorsError):
    """A payload that cannot be used."""


class UnknownFormatError(SensorsError):
    """No decoder has this name."""

    def __init__(self, name: str, known: list[str]) -> None:
        self.name = name
        self.known = known
        super().__init__(f"unknown sensor format {name!r}; known: {', '.join(known)}")
