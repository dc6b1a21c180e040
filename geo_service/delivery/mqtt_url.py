"""`mqtt://user:password@host:1883` and `mqtts://…`: where a broker is, and a paho client made for it."""

import socket
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from geo_service.errors import InvalidInputError
from geo_service.flow.log import UNACKNOWLEDGED

AnyClient = TypeVar("AnyClient", bound=Client)
KEEPALIVE_S = 30
_DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}
_VERSIONS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}
_SESSION_EXPIRY_S = 7 * 24 * 3600
"""How long a broker of MQTT 5 keeps the session of a reader that is away (3.1.1: as long as the broker likes)."""


class BrokerUrl(NamedTuple):
    """A broker's address, as `parse` reads it; `str()` is without user and password, for messages and logs."""

    host: str
    port: int
    tls: bool
    username: str | None
    password: str | None
    ca: str | None
    """A file of certificates to trust instead of the system's."""
    versions: tuple[MQTTProtocolVersion, ...]
    """To be tried in this order."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `mqtt[s]://[user[:password]@]host[:port][?version=5|3.1.1][&ca=FILE]`.

        Without `version`, MQTT 5 is tried first and 3.1.1 where the broker does not speak it.

        Raises:
            InvalidInputError: it is something else.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
            (parts.hostname or "").encode("idna")  # else a resolver would raise, long after
        except ValueError as error:
            raise InvalidInputError(str(error), field="mqtt") from error
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.path not in ("", "/"):
            raise InvalidInputError("must look like mqtt://host:1883 or mqtts://user:password@host:8883", field="mqtt")
        options = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        version, ca = options.pop("version", None), options.pop("ca", None)
        if options or (version is not None and version not in _VERSIONS):
            raise InvalidInputError("knows the options version=5, version=3.1.1 and ca=FILE only", field="mqtt")
        return cls(
            host=parts.hostname,
            port=port or _DEFAULT_PORTS[parts.scheme],
            tls=parts.scheme == "mqtts",
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            ca=ca,
            versions=(_VERSIONS[version],) if version else tuple(_VERSIONS.values()),
        )


def make_client(
    url: BrokerUrl,
    version: MQTTProtocolVersion,
    client_id: str,
    kind: type[AnyClient],
    *,
    keep_session: bool,
    keepalive_s: int = KEEPALIVE_S,
    **options: Any,
) -> AnyClient:
    """A client of `kind` that knows where to connect and has not done so; `reconnect()` does.

    Raises:
        InvalidInputError: the file of certificates cannot be used.
    """
    is_5 = version == MQTTProtocolVersion.MQTTv5
    client = kind(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=version,
        clean_session=None if is_5 else not keep_session,
        reconnect_on_failure=False,  # who owns the client reconnects; paho would also fall back to MQTT 3.1
        **options,
    )
    client.on_socket_open = _send_at_once
    introduce(client, url)
    if is_5:
        properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = _SESSION_EXPIRY_S if keep_session else 0
        properties.ReceiveMaximum = UNACKNOWLEDGED
        client.connect_async(url.host, url.port, keepalive_s, clean_start=not keep_session, properties=properties)
    else:
        client.connect_async(url.host, url.port, keepalive_s)
    return client


def _send_at_once(_client: Client, _userdata: Any, sock: Any) -> None:
    """Nagle's waiting for a fuller packet helps nobody who writes whole batches."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def introduce(client: Client, url: BrokerUrl) -> None:
    """Give a client the user, the password and the certificates of a URL.

    Raises:
        InvalidInputError: the file of certificates cannot be used.
    """
    if url.username is not None:
        client.username_pw_set(url.username, url.password)
    if url.tls:
        try:
            client.tls_set(ca_certs=url.ca)
        except OSError as error:
            raise InvalidInputError(f"cannot use the certificates in {url.ca}: {error}", field="mqtt") from error
