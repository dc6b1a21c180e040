"""Serving the app, and stopping in time."""

import resource
import socket

import uvicorn
from litestar import Litestar

_GRACE_S = 2


class Server(uvicorn.Server):
    """uvicorn waits for open answers before it tells the app to stop; an event stream never ends by itself.

    So the streams are closed first. A client that takes nothing more is cut off after the grace period.
    """

    def __init__(self, app: Litestar, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._app = app

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Let the process have as many sockets as it may (most systems begin with 1 024), then start as uvicorn does."""
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the streams, then stop as uvicorn does."""
        self._app.state.hub.close()
        await super().shutdown(sockets)


def server(app: Litestar, *, host: str, port: int, trusted_proxies: str = "127.0.0.1") -> Server:
    """What serves the app; its `serve()` runs until SIGTERM or SIGINT.

    Args:
        app: from `build_app`.
        host: address to listen on.
        port: 0 for any that is free.
        trusted_proxies: addresses, with commas, whose X-Forwarded-For and -Proto are believed.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=trusted_proxies,
        timeout_graceful_shutdown=_GRACE_S,
        timeout_keep_alive=30,
        limit_concurrency=None,
    )
    return Server(app, config)
