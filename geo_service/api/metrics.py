"""How many requests, how long, with what answer: by route, never by address."""

import time

from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Histogram


class RequestMetrics:
    """What the middleware counts; one for an app."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "geo_http_requests", "Requests answered", ("method", "route", "status"), registry=registry
        )
        self.seconds = Histogram(
            "geo_http_request_seconds",
            "Time until the answer began",
            ("route",),
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
            registry=registry,
        )


class MetricsMiddleware:
    """Counts every request once its answer begins: a stream that lasts a day is no slow request."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics) -> None:
        self.app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass through, counting."""
        began = time.perf_counter()

        async def counting_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = str(scope.get("path_template") or "unknown")
                self._metrics.requests.labels(scope["method"], route, message["status"]).inc()  # type: ignore[typeddict-item]
                self._metrics.seconds.labels(route).observe(time.perf_counter() - began)
            await send(message)

        await self.app(scope, receive, counting_send)
