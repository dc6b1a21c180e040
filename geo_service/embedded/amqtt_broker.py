"""amqtt as a broker in a process of its own, where no mosquitto is installed: `python -m geo_service.embedded.amqtt_broker PORT`.

MQTT 3.1.1, about 5 000 messages a second at QoS 1, and all of it in memory: fit for the demo and for trying things out.

Some things that amqtt 0.11 and 0.12 do are corrected here, for phones and sensors rely on them; `tests/embedded` holds each:
a session without a user name would not outlive its connection; messages kept for a session would be delivered as retained;
a client that returns would get the retained messages of everybody's topics; one that returns before its old connection was
cleared away would be taken for absent, and get nothing while it stays; a message that is not acknowledged within five
seconds, or before the connection ends, would be forgotten; and messages are acknowledged before they are routed, so that
those of a client that publishes and leaves would be lost.
"""

import asyncio
import logging
import signal
import sys
from typing import Any, ClassVar

import amqtt.broker
from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.mqtt.puback import PubackPacket
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import OUTGOING


class LoopbackAuth(BaseAuthPlugin):  # type: ignore[misc]  # amqtt is untyped
    """Lets everybody in who can reach a loopback port; unlike amqtt's own, it does not mark them as anonymous."""

    async def authenticate(self, *, session: Any) -> bool:
        """Yes."""
        return session is not None


class PatientHandler(BrokerProtocolHandler):  # type: ignore[misc]
    """Acknowledges what it has routed, and keeps what it delivers until that is acknowledged."""

    broker: ClassVar["EmbeddedBroker"]

    async def _handle_qos1_message_flow(self, app_message: Any) -> None:
        if app_message.direction == OUTGOING:
            await self._deliver(app_message)
        elif _may_be_published_to(app_message.topic):
            await self.broker.route(self.session, self, app_message)
            await self._send_packet(PubackPacket.build(app_message.packet_id))
        else:  # amqtt hangs up
            await super()._handle_qos1_message_flow(app_message)

    async def _deliver(self, app_message: Any) -> None:
        inflight, number = self.session.inflight_out, app_message.packet_id
        again = app_message.publish_packet is not None
        inflight[number] = app_message
        app_message.publish_packet = app_message.build_publish_packet(dup=again)
        waiter = self._puback_waiters[number] = asyncio.get_running_loop().create_future()
        try:
            await self._send_packet(app_message.publish_packet)
            app_message.puback_packet = await waiter
        finally:
            self._puback_waiters.pop(number, None)
        inflight.pop(number, None)


def _may_be_published_to(topic: str) -> bool:
    return bool(topic) and not topic.startswith("$") and "#" not in topic and "+" not in topic


class EmbeddedBroker(Broker):  # type: ignore[misc]
    """amqtt's broker with the corrections named above."""

    async def route(self, session: Any, handler: Any, app_message: Any) -> None:
        """Put a message into the queue of what goes to the subscribers, which outlives the client's connection."""
        arrived = asyncio.get_running_loop().create_future()
        arrived.set_result(app_message)
        await self._handle_message_delivery(session, handler, arrived)

    async def _handle_disconnect(self, client_session: Any, handler: Any, disconnect_waiter: Any) -> None:
        await super()._handle_disconnect(client_session, handler, disconnect_waiter)
        if self._get_handler(client_session) is not handler:  # only an old connection of a client that is back
            await self._publish_session_retained_messages(client_session)

    async def _publish_session_retained_messages(self, session: Any) -> None:
        # Present first: what comes from now on goes to the client, and not into the queue that is emptied here.
        if not session.transitions.is_connected():
            session.transitions.connect()
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
    amqtt.broker.BrokerProtocolHandler = PatientHandler
    broker = PatientHandler.broker = EmbeddedBroker(config)
    await broker.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await broker.shutdown()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    asyncio.run(serve(int(sys.argv[1])))
