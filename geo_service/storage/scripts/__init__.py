"""Lua that Redis runs: each file is one step that happens at once or not at all."""

import hashlib
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

import redis
from redis.client import Pipeline

from geo_service.storage.connection import Client


class Script:
    """One Lua file, called by its digest, and loaded into the server when that does not know it (yet, or any more)."""

    def __init__(self, name: str) -> None:
        self.text = files(__package__).joinpath(f"{name}.lua").read_bytes()
        self.digest = hashlib.sha1(self.text, usedforsecurity=False).hexdigest()

    def queue(self, pipe: Pipeline, keys: Sequence[str], arguments: Sequence[Any]) -> None:
        """Add a call to a pipeline; execute that with `run_pipeline`."""
        pipe.evalsha(self.digest, len(keys), *keys, *arguments)

    def run(self, client: Client, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Call it alone."""
        try:
            return client.evalsha(self.digest, len(keys), *keys, *arguments)
        except redis.exceptions.NoScriptError:
            client.script_load(self.text)
            return client.evalsha(self.digest, len(keys), *keys, *arguments)


def run_pipeline(
    client: Client, queue: Callable[[Pipeline], object], scripts: Sequence[Script], *, transaction: bool
) -> list[Any]:
    """Send in one round trip what `queue` adds to a pipeline; again, once the server has the scripts, if it lacked them.

    What is queued must bear being repeated: commands beside an unknown script have been carried out by then.
    """
    for last in (False, True):
        with client.pipeline(transaction=transaction) as pipe:
            queue(pipe)
            try:
                return pipe.execute()
            except redis.exceptions.NoScriptError:
                if last:
                    raise
                for script in scripts:
                    client.script_load(script.text)
    raise AssertionError
