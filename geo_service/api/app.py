"""The app: ports in, ASGI out. Nothing is built at import."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from litestar import Litestar, Router
from litestar.datastructures import ResponseHeader
from litestar.di import Provide
from litestar.middleware import DefineMiddleware
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from prometheus_client import CollectorRegistry

import geo_service
from geo_service.api import (
    behaviour,
    catalogue,
    context,
    coupons,
    devices,
    health,
    history,
    ingest,
    occupancy,
    offers,
    pacing,
    page,
    people,
    session,
    stream,
    webhooks,
)
from geo_service.api.access import COOKIE, AccessMiddleware
from geo_service.api.bodies import JsonRequest
from geo_service.api.hub import Hub
from geo_service.api.metrics import MetricsMiddleware, RequestMetrics
from geo_service.api.problems import HANDLERS
from geo_service.api.services import OutputsTail, Services


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator may choose."""

    max_body_bytes: int = 1_048_576
    requests_per_minute: int = 6_000
    """Of one key, token or person."""
    stream_buffer: int = 256
    """Events kept for a client that is slow; occupancies not among them."""
    heartbeat_s: float = 15.0
    stalled_s: float = 60.0
    """A client that takes nothing for so long is cut off, whatever TCP says."""
    threads: int = 16
    """Requests that may wait for Redis at the same time."""


def build_app(
    services: Services, settings: ApiSettings | None = None, registry: CollectorRegistry | None = None
) -> Litestar:
    """The ASGI app. Its hub is `app.state.hub`: whoever serves the app closes that first when it is to stop."""
    settings = settings or ApiSettings()
    registry = registry or CollectorRegistry()
    hub = Hub(
        services.outputs,
        registry,
        services.now_ms,
        bound=settings.stream_buffer,
        heartbeat_s=settings.heartbeat_s,
        stalled_s=settings.stalled_s,
    )
    app = Litestar(
        route_handlers=_routes(services),
        dependencies={
            "services": Provide(lambda: services, sync_to_thread=False),
            "hub": Provide(lambda: hub, sync_to_thread=False),
            "registry": Provide(lambda: registry, sync_to_thread=False),
        },
        middleware=[
            DefineMiddleware(MetricsMiddleware, metrics=RequestMetrics(registry)),
            DefineMiddleware(AccessMiddleware, services=services, requests_per_minute=settings.requests_per_minute),
        ],
        exception_handlers=HANDLERS,
        request_class=JsonRequest,
        lifespan=[_lifespan(hub, services.outputs, settings.threads)],
        response_headers=[ResponseHeader(name="X-Content-Type-Options", value="nosniff")],
        request_max_body_size=settings.max_body_bytes,
        openapi_config=_openapi(),
        logging_config=None,
    )
    app.state.hub = hub
    return app


def _routes(services: Services) -> list[Any]:
    resources = [
        session.router(),
        devices.router(services),
        ingest.router(),
        context.router(services),
        catalogue.router(),
        occupancy.router(),
        history.router(),
        pacing.router(),
        people.router(),
        offers.router(services),
        coupons.router(services),
        behaviour.router(),
        webhooks.router(services),
        stream.router(),
    ]
    handlers = [router for router in resources if router is not None]
    # What one person may see is nothing for a cache that another one shares.
    private = ResponseHeader(name="Cache-Control", value="no-store")
    version = Router("/v1", route_handlers=handlers, response_headers=[private])
    return [version, health.get_healthz, health.get_readyz, health.get_metrics, *page.handlers()]


def _lifespan(hub: Hub, outputs: OutputsTail, threads: int) -> Any:
    @asynccontextmanager
    async def running(_: Litestar) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(threads, thread_name_prefix="api"))
        reader = asyncio.create_task(hub.run(), name="event stream reader")
        reader.add_done_callback(hub.ended)
        try:
            yield
        finally:
            hub.close()
            reader.cancel()
            await asyncio.wait((reader,))
            await outputs.close()

    return running


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="geo-service",
        version=geo_service.__version__,
        description="Geofenced foot traffic and occupancy for retailers. Errors are RFC 9457 problem details.",
        use_handler_docstrings=True,
        components=Components(
            security_schemes={
                "key": SecurityScheme(type="http", scheme="bearer", description="pk_…, sk_… or a device's token"),
                "basic": SecurityScheme(type="http", scheme="basic", description="any user, the key as password"),
                "session": SecurityScheme(type="apiKey", name=COOKIE, security_scheme_in="cookie"),
            }
        ),
        security=[{"key": []}, {"basic": []}, {"session": []}],
        render_plugins=[JsonRenderPlugin()],
    )
