"""Roles of the worker that have to do with people and with those who are told of them: webhooks."""

import threading
from collections.abc import Callable

from geo_service.api.services import People
from geo_service.delivery.webhook_targets import check_url
from geo_service.delivery.webhooks import Sending, feed_queues
from geo_service.flow.erasing import Erasing
from geo_service.settings import Settings
from geo_service.storage.connection import Client
from geo_service.storage.consents import Consents, LiveBorder
from geo_service.storage.erasures import Erasures
from geo_service.storage.files import StoreFiles
from geo_service.storage.keys import Keys
from geo_service.storage.people import PersonalData
from geo_service.storage.positions import Positions
from geo_service.storage.redis_log import RedisLog
from geo_service.storage.retention import DeadLetterRetention, PingRetention
from geo_service.storage.webhooks import READER, WebhookEndpoints, WebhookQueues

_RETENTION_S = 60.0
Role = Callable[[threading.Event], None]
Count = Callable[[str, int], None]


def webhook_roles(
    client: Client, log: RedisLog, settings: Settings, now_ms: Callable[[], int], count: Count
) -> list[tuple[str, Role]]:
    """What a worker runs so that webhooks are told."""
    endpoints, queues = WebhookEndpoints(client, keys=log.keys), WebhookQueues(client, keys=log.keys)
    sending = Sending(endpoints, queues, now_ms, count, allow_private=settings.webhook_private)

    def feed(stop: threading.Event) -> None:
        feed_queues(
            log.reader(READER), endpoints, queues, log.current_values.occupancy, now_ms, count, sending.woken.set, stop
        )

    return [("webhook queues", feed), ("webhooks", sending.run)]


def border_of(client: Client, settings: Settings) -> LiveBorder:
    """What keeps pings out that may not be stored."""
    consents, assumed = Consents(client, keys=Keys(settings.prefix)), settings.assumed
    return LiveBorder(consents, assumed="location" in assumed, offers="offers" in assumed)


def people_roles(
    client: Client, log: RedisLog, settings: Settings, now_ms: Callable[[], int], count: Count
) -> list[tuple[str, Role]]:
    """What a worker runs so that people are erased when they ask, and raw pings after a day whether they ask or not."""
    data = PersonalData(client, settings.partitions, keys=log.keys)
    erasing = Erasing(
        Erasures(client, now_ms, keys=log.keys),
        log,
        Positions(client, settings.partitions, keys=log.keys),
        [data],
        Consents(client, keys=log.keys),
        data.forget_at_border,
        StoreFiles(client).rewrite,
        now_ms,
        count,
    )
    return [("erasures", erasing.run), ("retention", retention_of(client, settings, now_ms, count))]


def retention_of(client: Client, settings: Settings, now_ms: Callable[[], int], count: Count) -> Role:
    """Deletes raw pings that are a day old, and dead letters of a week. Worker and API both do: each may be what is left
    when the other is not.
    """
    keys = Keys(settings.prefix)
    retention, letters = PingRetention(client, settings.partitions, keys=keys), DeadLetterRetention(client, keys=keys)

    def run(stop: threading.Event) -> None:
        while True:
            count("pings_expired", retention.expire(now_ms()))
            letters.expire(now_ms())
            if stop.wait(_RETENTION_S):
                return

    return run


def people_of(client: Client, settings: Settings, now_ms: Callable[[], int]) -> People:
    """What the API asks about people."""
    keys = Keys(settings.prefix)
    return People(
        Erasures(client, now_ms, keys=keys),
        PersonalData(client, settings.partitions, keys=keys),
        Consents(client, keys=keys),
    )


def check_target(settings: Settings) -> Callable[[str], None]:
    """What the API asks of a webhook's URL."""
    return lambda url: check_url(url, allow_private=settings.webhook_private)
