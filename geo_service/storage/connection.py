"""Connections to Redis: bounded retries, and one clear error when they are used up."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from geo_service.errors import InvalidInputError, UnreachableError

# A blocking read must end before the socket gives up on it, or waiting for news would look like a lost server.
SOCKET_TIMEOUT_S = 15.0
LONGEST_WAIT_S = 10.0
# About three seconds together: longer than a restart of Redis on the same machine, shorter than a supervisor's patience.
RETRIES = 6
_BACKOFF = {"base": 0.05, "cap": 1.0}
Client = redis.Redis
AsyncClient = redis.asyncio.Redis


def connect(url: str, *, retries: int = RETRIES, timeout_s: float = SOCKET_TIMEOUT_S) -> Client:
    """A client of this server; it connects when first used.

    Args:
        url: `redis://[user:password@]host:port/db`, `rediss://` or `unix://`.
        retries: further tries of a command after a lost connection or a timeout. Everything in this package may be
            repeated without harm.
        timeout_s: how long one answer may take.

    Raises:
        InvalidInputError: not a URL of Redis.
    """
    retry = Retry(ExponentialWithJitterBackoff(**_BACKOFF), retries)
    return redis.Redis.from_url(url, retry=retry, **_options(url, timeout_s))


def connect_async(url: str, *, retries: int = RETRIES, timeout_s: float = SOCKET_TIMEOUT_S) -> AsyncClient:
    """The same for asyncio."""
    retry = AsyncRetry(ExponentialWithJitterBackoff(**_BACKOFF), retries)
    return redis.asyncio.Redis.from_url(url, retry=retry, **_options(url, timeout_s))


def _options(url: str, timeout_s: float) -> dict[str, Any]:
    scheme = urlsplit(url).scheme
    if scheme not in {"redis", "rediss", "unix"}:
        raise InvalidInputError("is no redis://, rediss:// or unix:// URL", field="redis")
    options = {
        # RESP 2: the shapes of replies that this package reads, the same from Redis 7.0 and Valkey 9.
        "protocol": 2,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": min(timeout_s, 5.0),
        "health_check_interval": 30,
        "client_name": "geo-service",
    }
    return options if scheme == "unix" else options | {"socket_keepalive": True}


@contextmanager
def reaching(client: Client | AsyncClient) -> Iterator[None]:
    """Turn what redis-py raises after its last retry into an UnreachableError that names the server."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise UnreachableError(server_name(client), str(error)) from error


def server_name(client: Client | AsyncClient) -> str:
    """Host and port, never the password."""
    where = client.connection_pool.connection_kwargs
    return f"redis at {where.get('path') or '{}:{}'.format(where.get('host', 'localhost'), where.get('port', 6379))}"
