"""One attempt at a webhook: an HTTP/1.1 POST to an address that was checked, bounded in time and in what is read.

The standard library's client does: it follows no redirect, heeds no proxy from the environment, and lets us connect to the
very address that was looked at.
"""

import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import NamedTuple

from geo_service.delivery.webhook_targets import AddressRefusedError, Resolve, Target, checked_addresses, resolve

_CONNECT_S = 10.0
_WHOLE_S = 20.0
"""One attempt, whatever the endpoint does to make it last."""
_READ_BYTES = 65_536
_LONGEST_REASON = 200
_MOST_ADDRESSES = 4
_CLOSED = (ConnectionError, http.client.RemoteDisconnected)


class Answer(NamedTuple):
    """What came of an attempt."""

    status: int | None
    """Of HTTP; None where there was no answer."""
    reason: str
    retry_after_s: float | None = None

    @property
    def is_success(self) -> bool:
        """2xx, as the Standard Webhooks specification has it."""
        return self.status is not None and 200 <= self.status < 300


class _Connection(http.client.HTTPConnection):
    """To the first of the checked addresses that takes it."""

    def __init__(self, target: Target, addresses: list[str]) -> None:
        super().__init__(target.host, target.port, timeout=_CONNECT_S)
        self._target = target
        self._addresses = addresses
        self._wire: socket.socket | None = None

    def connect(self) -> None:
        failure: OSError | None = None
        for address in self._addresses:
            try:
                plain = socket.create_connection((address, self._target.port), timeout=_CONNECT_S)
            except OSError as error:
                failure = error
                continue
            # Head and body go out as two writes: without this the second waits for the first to be acknowledged.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock = self._wire = plain
            if self._target.scheme == "https":
                self.sock = self._wire = tls().wrap_socket(plain, server_hostname=self._target.host)
            return
        raise failure or OSError("no address")

    def cut(self) -> None:
        """End it, from another thread: whoever waits on it gets an error. `sock` may be given up by then, an answer
        without a length is still being read from what it was.
        """
        if self._wire is not None:
            with suppress(OSError):  # it ended by itself in this moment
                self._wire.shutdown(socket.SHUT_RDWR)


@cache
def tls() -> ssl.SSLContext:
    """Certificates checked against the system's authorities (or SSL_CERT_FILE); read once, when first needed."""
    return ssl.create_default_context()


class Poster:
    """Posts to one target; keeps the connection while both sides like it. One thread at a time."""

    def __init__(
        self, target: Target, *, allow_private: bool, resolve: Resolve = resolve, whole_s: float = _WHOLE_S
    ) -> None:
        """Connects when first used."""
        self._target = target
        self._allow_private = allow_private
        self._resolve = resolve
        self._whole_s = whole_s
        self._connection: _Connection | None = None

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post once; whatever goes wrong is in the answer."""
        kept = self._connection is not None
        try:
            try:
                return self._exchange(body, headers)
            except _CLOSED:
                self.close()
                if not kept:
                    raise
                # The other side may close a kept connection at any time: that is no failure of theirs.
                return self._exchange(body, headers)
        except AddressRefusedError as error:
            return Answer(None, f"refused: {error.reason}"[:_LONGEST_REASON])
        except (OSError, http.client.HTTPException, UnicodeError, ValueError) as error:
            self.close()
            return Answer(None, f"{type(error).__name__}: {error}"[:_LONGEST_REASON])

    def close(self) -> None:
        """Give the connection up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def cut(self) -> None:
        """End an attempt that is under way on another thread."""
        if self._connection is not None:
            self._connection.cut()

    def _exchange(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        if self._connection is None:
            addresses = checked_addresses(self._target, allow_private=self._allow_private, resolve=self._resolve)
            self._connection = _Connection(self._target, addresses[:_MOST_ADDRESSES])
        connection = self._connection
        cut = threading.Timer(self._whole_s, connection.cut)
        cut.daemon = True
        cut.start()
        try:
            every = {"Host": self._target.host_header, "Content-Type": "application/json", **headers}
            connection.request("POST", self._target.path, body, every)
            response = connection.getresponse()
            rest = response.read(_READ_BYTES)
            is_whole = len(rest) < _READ_BYTES and response.isclosed()
            answer = Answer(response.status, response.reason[:_LONGEST_REASON], _retry_after_s(response))
        finally:
            cut.cancel()
        if not is_whole:
            self.close()
        return answer


def _retry_after_s(response: http.client.HTTPResponse) -> float | None:
    said = (response.getheader("Retry-After") or "").strip()
    return float(said) if said.isascii() and said.isdigit() and len(said) < 8 else None
