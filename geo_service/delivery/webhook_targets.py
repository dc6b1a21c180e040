"""Where a webhook may go: not into our own network (server-side request forgery, OWASP A10:2021).

A name is looked up for every connection, every address that it has must be a public one, and the connection goes to the
address that was looked at: a name that means something else a moment later changes nothing.
"""

import re
import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from geo_service.errors import InvalidInputError

_PORTS = {"https": 443, "http": 80}
_LONGEST_URL = 2048
_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST, _DOCUMENTATION = IPv6Network("2000::/3"), IPv6Network("3fff::/20")
"""What IANA gives to the public internet, all of it; and a part (RFC 9637) that older Pythons do not know to be none."""
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
Resolve = Callable[[str, int], Sequence[str]]


class Target(NamedTuple):
    """A URL, taken apart."""

    scheme: str
    host: str
    """ASCII; an IPv6 address without its brackets."""
    port: int
    path: str
    """With the query."""

    @property
    def host_header(self) -> str:
        """As HTTP wants it."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == _PORTS[self.scheme] else f"{name}:{self.port}"


class AddressRefusedError(InvalidInputError):
    """The target lies in a private network."""


def read_target(url: str, *, allow_private: bool) -> Target:
    """A target as somebody wrote it.

    Raises:
        InvalidInputError: no URL that a webhook can have; `http` only where private addresses are allowed, because what is
            sent may concern people.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode() if parts.hostname and ":" not in parts.hostname else ""
        host = host or parts.hostname or ""
    except (ValueError, UnicodeError) as error:
        raise InvalidInputError("is not a URL", field="url") from error
    if parts.scheme not in _PORTS or _HOST.fullmatch(host) is None:
        raise InvalidInputError("must be https://host/…", field="url")
    if port == 0:
        raise InvalidInputError("has port 0, where nothing can listen", field="url")
    if parts.scheme == "http" and not allow_private:
        raise InvalidInputError("must be https: plain http is readable on its way", field="url")
    if parts.username is not None or parts.fragment:
        raise InvalidInputError("may hold no user, password or fragment", field="url")
    if len(url) > _LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidInputError(f"must be up to {_LONGEST_URL} ASCII characters without spaces", field="url")
    path = parts.path or "/"
    return Target(parts.scheme, host, port or _PORTS[parts.scheme], f"{path}?{parts.query}" if parts.query else path)


def resolve(host: str, port: int) -> list[str]:
    """Every address of a name, by the system's resolver.

    Raises:
        OSError: it has none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


def checked_addresses(target: Target, *, allow_private: bool, resolve: Resolve = resolve) -> list[str]:
    """The target's addresses, all of them public unless private ones are allowed.

    Raises:
        AddressRefusedError: one of them is not.
        OSError: the name cannot be looked up.
    """
    addresses = list(resolve(target.host, target.port))
    if not addresses:
        raise OSError(f"{target.host} has no address")
    if not allow_private:
        for address in addresses:
            if not is_public(address):
                raise AddressRefusedError(f"{target.host} is {address}, which is not a public address", field="url")
    return addresses


def check_url(url: str, *, allow_private: bool, resolve: Resolve = resolve) -> None:
    """Refuse a target as somebody names it. A name that cannot be looked up now passes: each attempt looks again.

    Raises:
        InvalidInputError: it is no target, or lies in a private network.
    """
    target = read_target(url, allow_private=allow_private)
    try:
        checked_addresses(target, allow_private=allow_private, resolve=resolve)
    except OSError:
        return


def is_public(address: str) -> bool:
    """Whether an address belongs to the public internet, whatever way it is written in IPv6."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        inner = _inner(found)
        if inner is not None and not is_public(str(inner)):
            return False
        if found in _NAT64 or found.ipv4_mapped is not None:
            return True
        if found not in _GLOBAL_UNICAST or found in _DOCUMENTATION:
            return False
    return found.is_global and not found.is_multicast


def _inner(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address leads to: mapped, 6to4 (RFC 3056), Teredo (RFC 4380), NAT64 (RFC 6052)."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)
