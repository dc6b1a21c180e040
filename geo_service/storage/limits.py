"""Rate limits over all processes: a token bucket per key, decided in Redis in one step.

A bucket holds `limit` tokens and gains `limit` per window; each request takes one (the "leaky bucket as a meter" of
ITU-T I.371, as a counter). Bursts up to the limit pass, and in the long run no more than the limit per window.
"""

import time
from collections.abc import Callable, Collection

from geo_service.errors import UnreachableError
from geo_service.storage.connection import Client, reaching
from geo_service.storage.keys import Keys
from geo_service.storage.scripts import Script

_LONGEST_SUBJECT = 200
# While Redis is known to be away, nobody waits for it to say so again.
_REST_S = 1.0


class RateLimiter:
    """Takes tokens. When Redis cannot be reached, most keys pass: a phone's pings should not fail for a counter.

    Keys whose first word (before `:`) is in `strict` do not pass then: `take` raises UnreachableError. Guessing a password
    without a limit would be worse than not logging in for a while.
    """

    def __init__(
        self,
        client: Client,
        *,
        keys: Keys | None = None,
        strict: Collection[str] = ("login",),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`client` should be one that gives up quickly: `connect(url, retries=0, timeout_s=0.5)`."""
        self._client = client
        self._keys = keys or Keys()
        self._strict = frozenset(strict)
        self._clock = clock
        self._script = Script("limit")
        self._rest_until: float | None = None

    def take(self, key: str, *, limit: int, window_s: float) -> float:
        """Take one token of this key's bucket.

        Args:
            key: `what:whom`, such as `login:10.0.0.1`.
            limit: tokens per window, and at most at once; at least 1.
            window_s: seconds, more than 0.

        Returns:
            0.0 where there was one, else the seconds after which there will be.

        Raises:
            UnreachableError: no server, and the key is one of the strict ones.
            ValueError: a limit or window that lets nothing pass.
        """
        if limit < 1 or window_s <= 0:
            raise ValueError(f"a limit of {limit} in {window_s} s lets nothing pass")
        is_strict = key.partition(":")[0] in self._strict
        if self._rest_until is not None and self._clock() < self._rest_until and not is_strict:
            return 0.0
        bucket = self._keys("limit", subject=key[:_LONGEST_SUBJECT])
        try:
            with reaching(self._client):
                wait_ms = int(self._script.run(self._client, [bucket], [limit, window_s * 1000]))
        except UnreachableError:
            self._rest_until = self._clock() + _REST_S
            if is_strict:
                raise
            return 0.0
        self._rest_until = None
        return wait_ms / 1000
