"""amqtt as a broker in a process of its own, where no mosquitto is installed: `python -m geo_service.embedded.amqtt_broker PORT`.

MQTT 3.1.1, about 5 000 messages a second at QoS 1, and all of it in memory. It acknowledges before it routes, and forgets a
message that a client leaves unacknowledged for five seconds: fit for the demo and for trying things out.

Four things that amqtt 0.11 and 0.12 do are corrected here, for phones and sensors rely on them; `tests/embedded` holds each:
a session without a user name would not outlive its connection; messages kept for a session would be delivered as retained;
a client that returns would get the retained messages of everybody's topics; and one that returns before its old connection
was cleared away would be taken for absent, and get nothing while it stays.
"""

import asyncio
import logging
import signal
import sys
from typing import Any

from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig
from amqtt.plugins.base import BaseAuthPlugin


class LoopbackAuth(BaseAuthPlugin):  # type: ignore[misc]  # amqtt is untyped
    """Lets everybody in who can reach a loopback port; unlike amqtt's own, it does not mark them as anonymous."""

    async def authenticate(self, *, session: Any) -> bool:
        """Yes."""
        return session is not None


class EmbeddedBroker(Broker):  # type: ignore[misc]
    """amqtt's broker with the corrections named above."""

    async def _client_message_loop(self, client_session: Any, handler: Any) -> None:
        if not client_session.transitions.is_connected():
            client_session.transitions.connect()
        await super()._client_message_loop(client_session, handler)

    async def _handle_disconnect(self, client_session: Any, handler: Any, disconnect_waiter: Any) -> None:
        await super()._handle_disconnect(client_session, handler, disconnect_waiter)
        if self._get_handler(client_session) is not handler and client_session.transitions.is_disconnected():
            client_session.transitions.connect()  # it was the old connection that ended

    async def _publish_session_retained_messages(self, session: Any) -> None:
        handler = self._get_handler(session)
        tasks = []
        while handler is not None and not session.retained_messages.empty():
            kept = session.retained_messages.get_nowait()
            tasks.append(asyncio.ensure_future(handler.mqtt_publish(kept.topic, kept.data, kept.qos, retain=False)))
        if tasks:
            await asyncio.wait(tasks)

    async def _publish_retained_messages_for_subscription(self, subscription: tuple[str, int], session: Any) -> None:
        subscribers = self._subscriptions.get(subscription[0], [])
        if any(subscriber.client_id == session.client_id for subscriber, _ in subscribers):
            await super()._publish_retained_messages_for_subscription(subscription, session)


async def serve(port: int) -> None:
    """Serve on loopback until SIGTERM."""
    config = BrokerConfig(
        listeners={"default": ListenerConfig(bind=f"127.0.0.1:{port}")},
        plugins={"geo_service.embedded.amqtt_broker.LoopbackAuth": {}},
    )
    broker = EmbeddedBroker(config)
    await broker.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await broker.shutdown()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    asyncio.run(serve(int(sys.argv[1])))
