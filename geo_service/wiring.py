"""The one place that knows everything: settings in, running roles out."""

import gc
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import Any, NamedTuple

from paho.mqtt.client import topic_matches_sub

from geo_service import __version__
from geo_service.catalogue.documents import Sensitive, Sensor, Store
from geo_service.catalogue.site import Site, decode_document, encode_document
from geo_service.delivery.announcer import Announcer
from geo_service.delivery.deliver import deliver
from geo_service.delivery.mqtt_publisher import MqttPublisher
from geo_service.delivery.mqtt_reader import MqttReader
from geo_service.delivery.waypoints import Waypoints
from geo_service.errors import InvalidInputError, UnreachableError
from geo_service.flow.entries import Change
from geo_service.flow.folding import Folding
from geo_service.flow.ingest import Ingest
from geo_service.flow.intake import SensorDirectory
from geo_service.people.sensitive import SensitivePlaces
from geo_service.roles import Roles
from geo_service.settings import Settings
from geo_service.storage.catalogue import Catalogue
from geo_service.storage.connection import Client, connect
from geo_service.storage.keys import Keys
from geo_service.storage.questions import Questions
from geo_service.storage.recent_offers import RecentOffers
from geo_service.storage.redis_ledger import RedisLedger
from geo_service.storage.redis_log import RedisLog
from geo_service.storage.worker_counts import WorkerCounts
from geo_service.wiring_offers import CodedOutputs, LiveCoupons, faring, keeping, rules_of
from geo_service.wiring_people import border_of, people_roles, webhook_roles

SENSOR_TOPICS = "geo/v1/sensor/+"
TOPICS = ("geo/v1/ping/+", "owntracks/+/+", "owntracks/+/+/event", SENSOR_TOPICS)
"""What is listened to whatever the site says: a sensor that nobody configured is told of, too."""
_REFRESH_S = 1.0
# A fold costs nearly the same for ten pings as for a thousand: under load they may wait a little for each other.
_FLUSH_S = 0.04
# Threads here take turns at the interpreter, and each waits for servers that answer within a millisecond. At Python's usual
# 5 ms a turn an offer would spend more time in line than under way.
_TURN_S = 0.001
# What comes in lives for one batch and dies without cycles. At Python's usual 700 objects the collector would look through a
# backlog's rows again and again, and stop everybody for a fifth of a second while it does.
_OBJECTS_BEFORE_COLLECTING = 200_000


def now_ms() -> int:
    """The wall clock; the border and the shell may look at it, the core never does."""
    return time.time_ns() // 1_000_000


class Counts:
    """The worker's counters, from several threads, for whoever asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, name: str, number: int) -> None:
        """Add to one counter."""
        if number:
            with self._lock:
                self._counts[name] += number

    def all(self) -> dict[str, int]:
        """A copy of all."""
        with self._lock:
            return dict(self._counts)


class Directory:
    """Keeps who publishes where, and where nobody may be followed, up to date with the catalogue."""

    def __init__(
        self,
        catalogue: Catalogue,
        changed: Callable[[SensorDirectory], None],
        sensitive: Callable[[SensitivePlaces], None],
    ) -> None:
        self._catalogue = catalogue
        self._changed = changed
        self._sensitive = sensitive
        self._lock = threading.Lock()
        self._version = -1
        self._sensors: dict[str, Sensor] = {}
        self._stores: dict[str, Store] = {}
        self._places: dict[str, Sensitive] = {}

    def refresh(self) -> None:
        """Look whether the site changed, and if so read its sensors and sensitive places anew."""
        with self._lock:
            if self._catalogue.version() != self._version:
                self._read()

    def _read(self) -> None:
        changed = self._catalogue.since(self._version)
        self._version = changed.version
        kept: dict[str, dict[str, Any]] = {"sensor": self._sensors, "store": self._stores, "sensitive": self._places}
        for (kind, key), stored in changed.documents.items():
            if kind not in kept:
                continue
            if stored is None:
                kept[kind].pop(key, None)
            else:
                kept[kind][key] = decode_document(kind, stored.document)
        if any(kind == "sensitive" for kind, _ in changed.documents):
            self._sensitive(SensitivePlaces(self._places.values()))
        self._changed(SensorDirectory(self._sensors, self._stores))

    def run(self, stop: threading.Event) -> None:
        """Refresh every second until stopped."""
        while not stop.wait(_REFRESH_S):
            self.refresh()


def require(url: str | None, name: str) -> str:
    """A server's URL.

    Raises:
        InvalidInputError: none was given.
    """
    if url is None:
        raise InvalidInputError(f"is needed: give --{name} or GEO_{name.upper()}", field=name)
    return url


def import_site(client: Client, settings: Settings, site: Site) -> int:
    """Bring a running service's site up to this one; returns how many documents changed."""
    keys = Keys(settings.prefix)
    RedisLog.open(client, settings.partitions, keys=keys)
    changes = [Change(kind, key, encode_document(document)) for kind, key, document in site.documents()]
    return Catalogue(client, settings.partitions, keys=keys).apply(changes).changed


class _Shell(NamedTuple):
    """What the worker's roles share."""

    settings: Settings
    client: Client
    broker: str
    keys: Keys
    log: RedisLog
    catalogue: Catalogue
    counts: Counts
    client_id: str


Role = Callable[[threading.Event], None]
NamedRoles = list[tuple[str, Role]]


def tune_interpreter() -> None:
    """Have threads take short turns, and the collector look seldom."""
    sys.setswitchinterval(_TURN_S)
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTING, 10, 10)


def run_worker(settings: Settings) -> None:
    """Ingest, fold and deliver until a signal says stop.

    Raises:
        UnreachableError: a server cannot be reached.
        FencedOffError: another worker took over.
    """
    tune_interpreter()
    client, broker = connect(require(settings.redis, "redis")), require(settings.mqtt, "mqtt")
    keys = Keys(settings.prefix)
    log = RedisLog.open(client, settings.partitions, keys=keys)
    catalogue = Catalogue(client, settings.partitions, keys=keys)
    shell = _Shell(settings, client, broker, keys, log, catalogue, Counts(), f"{settings.prefix.rstrip(':')}-worker")
    roles = Roles()
    running = [
        *_fold_roles(shell),
        *_border_roles(shell, roles.stop),
        *webhook_roles(client, log, settings, now_ms, shell.counts.add),
        *people_roles(client, log, settings, now_ms, shell.counts.add),
    ]
    roles.stop_on_signals()
    for name, role in running:
        roles.start(name, role)
    roles.wait()


def _border_roles(shell: _Shell, stop: threading.Event) -> NamedRoles:
    """From the broker to the log."""
    settings, client_id, counts = shell.settings, shell.client_id, shell.counts
    announcer = _announcer(settings, shell.broker, client_id)
    waypoints = _waypoints(settings, shell.broker, client_id, shell.catalogue, counts, stop)
    border = border_of(shell.client, settings)
    seen = None if waypoints is None else waypoints.seen
    ingest = Ingest(shell.log, client_id, now_ms, counts.add, seen, border)

    def changed(directory: SensorDirectory) -> None:
        ingest.use(directory)
        # A broker may deliver twice what two subscriptions match.
        others = (topic for topic in directory.by_topic if not topic_matches_sub(SENSOR_TOPICS, topic))
        reader.set_topics(sorted({*TOPICS, *others}))
        if announcer is not None:
            announcer.announce(directory.stores, directory.sensors)

    reader = MqttReader(
        shell.broker,
        client_id=client_id,
        topics=TOPICS,
        on_batch=ingest.take_batch,
        on_refused=ingest.refused,
        flush_s=_FLUSH_S,
    )
    directory = Directory(shell.catalogue, changed, border.use)
    directory.refresh()
    telling = _counting(WorkerCounts(shell.client, keys=shell.keys), counts, reader)
    roles = [("ingest", _reading(reader)), ("directory", directory.run), ("counts", telling)]
    return roles if waypoints is None else [*roles, ("waypoints", waypoints.run)]


def _fold_roles(shell: _Shell) -> NamedRoles:
    """From the log to the outputs, and out."""
    client, keys = shell.client, shell.keys
    folding = Folding(
        shell.log,
        RedisLedger(client, keys=keys),
        rules_of(shell.settings),
        partitions=range(shell.settings.partitions),
        checkpoint_s=shell.settings.checkpoint_s,
        count=shell.counts.add,
        questions=Questions(client, keys=keys),
    )
    coupons = LiveCoupons(client, shell.log, shell.settings, keys)
    delivering = _delivering(shell, RecentOffers(client, keys=keys), coupons)
    return [("fold", folding.run), ("deliver", delivering), ("coupons", coupons.run)]


def _announcer(settings: Settings, broker: str, client_id: str) -> Announcer | None:
    if not settings.home_assistant:
        return None
    return Announcer(MqttPublisher(broker, client_id=f"{client_id}-announce"), settings.home_assistant, __version__)


def _waypoints(
    settings: Settings, broker: str, client_id: str, catalogue: Catalogue, counts: Counts, stop: threading.Event
) -> Waypoints | None:
    if not settings.owntracks_waypoints:
        return None
    return Waypoints(catalogue, MqttPublisher(broker, client_id=f"{client_id}-waypoints", stop=stop), counts.add)


def _delivering(shell: _Shell, offers: RecentOffers, coupons: LiveCoupons) -> Role:
    def run(stop: threading.Event) -> None:
        with closing(MqttPublisher(shell.broker, client_id=f"{shell.client_id}-out", stop=stop)) as publisher:
            try:
                outputs = CodedOutputs(shell.log.reader("mqtt"), coupons.with_code)
                keep, fared = keeping(offers, coupons), faring(offers, shell.log)
                deliver(outputs, publisher, keep, now_ms, stop, fared, shell.counts.add)
            except UnreachableError:
                if not stop.is_set():  # told to stop while it waited for a broker that is away: delivered next time
                    raise

    return run


def _reading(reader: MqttReader) -> Role:
    def run(stop: threading.Event) -> None:
        reader.start()
        while reader.failure is None and not stop.wait(0.2):
            pass
        reader.stop()
        reader.join()

    return run


def _counting(told: WorkerCounts, counts: Counts, reader: MqttReader) -> Role:
    """Tell the counters every second."""

    def run(stop: threading.Event) -> None:
        while not stop.wait(_REFRESH_S):
            told.tell(counts.all() | {"mqtt_messages": reader.counts.messages})

    return run
