"""Settings: read once at the start, from the command line or the environment, and handed down from there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import msgspec

from geo_service.errors import InvalidInputError

Purpose = Literal["location", "offers", "analytics"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All of them, one sentence each; the environment variable is the name in capitals after GEO_."""

    mqtt: str | None = None
    """URL of the MQTT broker (mqtt://, mqtts://); without one, an embedded broker is started."""
    redis: str | None = None
    """URL of Redis or Valkey (redis://, rediss://, unix://); without one, an embedded server is started."""
    data: Path = Path(".data")
    """Folder of the embedded servers' data."""
    site: Path | None = None
    """Folder of the site to import at the start."""
    host: str = "127.0.0.1"
    """Address on which the API listens; 0.0.0.0 for all."""
    port: int = 8080
    """Port of the API and the dashboard; 0 takes a free one."""
    prefix: str = "geo:"
    """What every Redis key begins with, so that several services can share a server."""
    partitions: int = 1
    """Into how many partitions the log is made; fixed once the log exists."""
    presence: Literal["strict", "steady"] = "steady"
    """Geofence rule: strict takes every fix at its word, steady knows that a fix has an error."""
    consent: str = "location,offers"
    """Purposes that count as agreed to until a person says otherwise (the app asks); `none` for opt-in only."""
    checkpoint_s: float = 5.0
    """Seconds between checkpoints at the least; after a crash so much of the log is folded again."""
    home_assistant: str | None = None
    """Prefix of Home Assistant's MQTT discovery, mostly `homeassistant`; without one nothing is announced to it."""
    owntracks_waypoints: bool = True
    """Whether OwnTracks phones are given the ten nearest store fences as regions to watch."""
    webhook_private: bool = False
    """Whether webhooks may go to private, loopback and link-local addresses, and over plain http."""
    coupon_secret: str | None = None
    """What coupon codes are made with, 16 characters and more; without one, it is made once and kept in Redis."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """How much is logged, on standard error."""

    @property
    def assumed(self) -> frozenset[Purpose]:
        """The purposes in `consent`.

        Raises:
            InvalidInputError: a word that is no purpose.
        """
        words = [word.strip() for word in self.consent.split(",") if word.strip() and word.strip() != "none"]
        for word in words:
            if word not in get_args(Purpose):
                raise InvalidInputError(f"{word!r} is none of {', '.join(get_args(Purpose))}", field="consent")
        return frozenset(words)  # type: ignore[arg-type]  # checked above


def read_settings(environment: Mapping[str, str], given: Mapping[str, object]) -> Settings:
    """Settings from the environment, overridden by what was given on the command line (None: not given).

    Raises:
        InvalidInputError: a value that does not fit; names the setting.
    """
    values: dict[str, object] = {}
    for name in Settings.__struct_fields__:
        if (value := environment.get(f"GEO_{name.upper()}")) is not None:
            values[name] = value
    values |= {name: value for name, value in given.items() if value is not None}
    for name in ("data", "site"):
        if name in values:
            values[name] = str(values[name])
    try:
        settings = msgspec.convert(values, Settings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise InvalidInputError(str(error), field="settings") from error
    if settings.coupon_secret is not None and len(settings.coupon_secret) < 16:
        raise InvalidInputError("must be at least 16 characters", field="coupon_secret")
    if settings.partitions < 1:
        raise InvalidInputError("must be at least 1", field="partitions")
    return settings


def _path(wanted: type, value: object) -> object:
    if wanted is Path:
        return Path(str(value))
    raise NotImplementedError
