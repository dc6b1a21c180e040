"""Roles of the worker that have to do with people and with those who are told of them: webhooks."""

import threading
from collections.abc import Callable

from geo_service.delivery.webhook_targets import check_url
from geo_service.delivery.webhooks import Sending, feed_queues
from geo_service.settings import Settings
from geo_service.storage.connection import Client
from geo_service.storage.consents import Consents, LiveBorder
from geo_service.storage.keys import Keys
from geo_service.storage.redis_log import RedisLog
from geo_service.storage.webhooks import READER, WebhookEndpoints, WebhookQueues

Role = Callable[[threading.Event], None]
Count = Callable[[str, int], None]


def webhook_roles(
    client: Client, log: RedisLog, settings: Settings, now_ms: Callable[[], int], count: Count
) -> list[tuple[str, Role]]:
    """What a worker runs so that webhooks are told."""
    endpoints, queues = WebhookEndpoints(client, keys=log.keys), WebhookQueues(client, keys=log.keys)
    sending = Sending(endpoints, queues, now_ms, count, allow_private=settings.webhook_private)

    def feed(stop: threading.Event) -> None:
        feed_queues(log.reader(READER), endpoints, queues, log.current_values.occupancy, now_ms, count, stop)

    return [("webhook queues", feed), ("webhooks", sending.run)]


def border_of(client: Client, settings: Settings) -> LiveBorder:
    """What keeps pings out that may not be stored."""
    return LiveBorder(Consents(client, keys=Keys(settings.prefix)), assumed="location" in settings.assumed)


def check_target(settings: Settings) -> Callable[[str], None]:
    """What the API asks of a webhook's URL."""
    return lambda url: check_url(url, allow_private=settings.webhook_private)
