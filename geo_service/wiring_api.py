"""The API process: ports of `api/services.py` onto storage, and the server that runs until a signal says stop."""

import threading
from collections.abc import Iterator, Mapping

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from geo_service.api.app import build_app
from geo_service.api.places import LivePlaces
from geo_service.api.server import server
from geo_service.api.services import Accepted, Refused, Services, Webhooks
from geo_service.errors import GeoServiceError, UnreachableError
from geo_service.flow.ingest import Ingest
from geo_service.settings import Settings
from geo_service.storage.accounts import Accounts
from geo_service.storage.catalogue import Catalogue
from geo_service.storage.connection import connect, connect_async
from geo_service.storage.current import CurrentValues
from geo_service.storage.keys import Keys
from geo_service.storage.limits import RateLimiter
from geo_service.storage.recent_offers import RecentOffers
from geo_service.storage.redis_log import RedisLog
from geo_service.storage.redis_outputs import OutputTail
from geo_service.storage.webhooks import WebhookEndpoints, WebhookQueues
from geo_service.storage.worker_counts import WorkerCounts
from geo_service.wiring import Counts, Directory, now_ms, require
from geo_service.wiring_offers import LiveCoupons, LiveQuestions
from geo_service.wiring_people import border_of, check_target, people_of, retention_of

_log = structlog.get_logger(__name__)
_TRY_AGAIN_S = 10.0


def run_api(settings: Settings) -> None:
    """Serve until a signal says stop.

    Raises:
        UnreachableError: Redis cannot be reached at the start.
    """
    registry = CollectorRegistry()
    app = build_app(services_of(settings, registry), registry=registry)
    serving = server(app, host=settings.host, port=settings.port)
    stop = threading.Event()
    _keep_retention(settings, stop)
    serving.run()
    stop.set()
    if not serving.started:
        raise GeoServiceError(f"could not listen on {settings.host}:{settings.port}")


def _keep_retention(settings: Settings, stop: threading.Event) -> None:
    """Raw pings go after a day even where no worker runs any more."""
    expire = retention_of(connect(require(settings.redis, "redis")), settings, now_ms, lambda _name, _number: None)

    def run() -> None:
        while not stop.is_set():
            try:
                expire(stop)
            except UnreachableError as error:
                _log.warning("raw pings could not be looked through", reason=str(error))
                stop.wait(_TRY_AGAIN_S)

    threading.Thread(target=run, name="retention", daemon=True).start()


def services_of(settings: Settings, registry: CollectorRegistry) -> Services:
    """The ports, on one Redis client; its pool gives each request's thread a connection of its own."""
    url = require(settings.redis, "redis")
    # Short limits: a request had better fail and be sent again than wait with all others for a Redis that hangs.
    client = connect(url, retries=2, timeout_s=3.0)
    keys = Keys(settings.prefix)
    log = RedisLog.open(client, settings.partitions, keys=keys)
    counts, worker_counts = Counts(), WorkerCounts(client, keys=keys)
    registry.register(_Counters(counts, worker_counts))
    border = border_of(client, settings)
    ingest = Ingest(log, "", now_ms, counts.add, border=border)
    catalogue = Catalogue(client, settings.partitions, keys=keys)
    directory = Directory(catalogue, ingest.use, border.use)

    def checks() -> Mapping[str, str | None]:
        wrong: dict[str, str | None] = {"redis": None, "worker": None}
        try:
            if worker_counts.all() is None:
                wrong["worker"] = "no worker has said anything for ten seconds"
        except GeoServiceError as error:
            wrong["redis"] = str(error)
        return wrong

    return Services(
        intake=_Border(ingest, directory),
        catalogue=catalogue,
        current=CurrentValues(client, keys, settings.partitions),
        outputs=OutputTail(connect_async(url), keys, settings.partitions),
        accounts=Accounts(client, now_ms, keys=keys),
        limits=RateLimiter(connect(url, retries=0, timeout_s=0.5), keys=keys),
        now_ms=now_ms,
        checks=checks,
        nearby=LivePlaces(catalogue),
        offers=RecentOffers(client, keys=keys),
        coupons=LiveCoupons(client, log, settings, keys),
        # An answer takes longer than a request should wait for a Redis that hangs.
        questions=LiveQuestions(connect(url, retries=0, timeout_s=12.0), settings.partitions, keys),
        people=people_of(client, settings, now_ms),
        webhooks=Webhooks(
            WebhookEndpoints(client, keys=keys), WebhookQueues(client, keys=keys), check_target(settings)
        ),
    )


class _Border:
    """The same border as MQTT's, with the sensors and sensitive places as of now."""

    def __init__(self, ingest: Ingest, directory: Directory) -> None:
        self._ingest = ingest
        self._directory = directory

    def take(self, topic: str, payload: bytes, *, device: str | None = None) -> Accepted:
        """Decode, judge and append."""
        self._directory.refresh()
        accepted = self._ingest.take_one(topic, payload, device)
        return Accepted(accepted.accepted, [Refused(*problem) for problem in accepted.problems], accepted.dropped)


class _Counters(Collector):
    """Counters of this process's border and of the worker, as Prometheus wants them."""

    def __init__(self, own: Counts, worker: WorkerCounts) -> None:
        self._own = own
        self._worker = worker

    def collect(self) -> Iterator[Metric]:
        """One family of counters by name and role, and whether the worker is heard of."""
        family = CounterMetricFamily("geo_events", "What came in and what came of it", labels=("name", "role"))
        try:
            worker = self._worker.all()
        except GeoServiceError:
            worker = None
        for role, counts in (("api", self._own.all()), ("worker", worker or {})):
            for name, number in sorted(counts.items()):
                family.add_metric((name, role), number)
        yield family
        yield GaugeMetricFamily("geo_worker_up", "Whether the worker is heard of", value=float(worker is not None))
