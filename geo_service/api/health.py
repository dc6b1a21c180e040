"""For operators: is it alive, is it ready, what does it count."""

import asyncio

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0

from geo_service.api.hub import Hub
from geo_service.api.services import Services

Ports = NamedDependency[SkipValidation[Services]]
Streams = NamedDependency[SkipValidation[Hub]]
Registry = NamedDependency[SkipValidation[CollectorRegistry]]


class Readiness(msgspec.Struct, frozen=True):
    """Each thing that is needed: "ok", or what is wrong with it."""

    ready: bool
    checks: dict[str, str]


@get("/healthz", tags=["operators"], summary="Alive", media_type="text/plain")
async def get_healthz() -> str:
    """200 as long as the process answers at all."""
    return "ok\n"


@get("/readyz", tags=["operators"], summary="Ready")
async def get_readyz(services: Ports, hub: Streams) -> Response[Readiness]:
    """200 when requests can be served, else 503; either way with what was looked at."""
    found = dict(await asyncio.to_thread(services.checks))
    found["events"] = None if hub.up else "the outputs cannot be read"
    ready = not any(found.values())
    body = Readiness(ready, {name: wrong or "ok" for name, wrong in sorted(found.items())})
    return Response(body, status_code=200 if ready else 503, headers={"Cache-Control": "no-store"})


@get("/metrics", tags=["operators"], summary="Prometheus metrics", media_type=CONTENT_TYPE_PLAIN_1_0_0)
async def get_metrics(registry: Registry) -> bytes:
    """Counts and durations; no id of a device, a person or a key is among them."""
    return generate_latest(registry)
