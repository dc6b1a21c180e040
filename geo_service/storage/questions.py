"""Questions to a running worker and its answers: a short list a partition, beside the log, forgotten within a minute."""

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec

from geo_service.storage.connection import LONGEST_WAIT_S, Client, reaching
from geo_service.storage.keys import Keys

_KEPT_S = 60
_MOST_WAITING = 20
_AT_ONCE = 4


class Questions:
    """Both ends of the channel. Methods raise UnreachableError once the client's retries are used up."""

    def __init__(self, client: Client, *, keys: Keys | None = None) -> None:
        """Sends nothing."""
        self._client = client
        self._keys = keys or Keys()

    def ask(self, partition: int, question: bytes, timeout_s: float) -> bytes | None:
        """The worker's answer; None where it gave none in time, or is asked too much already."""
        number = secrets.token_hex(8)
        waiting = self._keys("questions", partition=partition)
        with reaching(self._client):
            if self._client.llen(waiting) >= _MOST_WAITING:
                return None
            with self._client.pipeline() as pipe:
                pipe.rpush(waiting, msgspec.msgpack.encode((number, question)))
                pipe.expire(waiting, _KEPT_S)
                pipe.execute()
            answer = self._keys("question_answer", partition=partition, number=number)
            found: Any = self._client.blpop([answer], timeout=min(timeout_s, LONGEST_WAIT_S))
        return None if found is None else bytes(found[1])

    def waiting(self, partitions: Sequence[int]) -> list[tuple[int, str, bytes]]:
        """A few `(partition, number, question)` that nobody has taken yet; they are taken now."""
        with reaching(self._client), self._client.pipeline(transaction=False) as pipe:
            for partition in partitions:
                pipe.lpop(self._keys("questions", partition=partition), _AT_ONCE)
            taken = pipe.execute()
        return [
            (partition, *msgspec.msgpack.decode(packed, type=tuple[str, bytes]))
            for partition, items in zip(partitions, taken, strict=True)
            for packed in items or ()
        ]

    def answer(self, partition: int, number: str, answer: bytes) -> None:
        """Give the answer to whoever asked."""
        key = self._keys("question_answer", partition=partition, number=number)
        with reaching(self._client), self._client.pipeline() as pipe:
            pipe.rpush(key, answer)
            pipe.expire(key, _KEPT_S)
            pipe.execute()
