import contextlib
import socket
import subprocess
import threading
import time

import pytest

from geo_service.delivery.mqtt_publisher import MqttPublisher, Outgoing
from geo_service.delivery.mqtt_url import BrokerUrl
from geo_service.embedded.servers import find_mosquitto, start_servers
from geo_service.errors import InvalidInputError, UnreachableError


@pytest.fixture
def publisher(name):
    """Make publishers that are closed with the test."""
    made = []

    def make(url, **options):
        made.append(MqttPublisher(url, f"{name}-publisher", **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_every_message_arrives_once_and_in_order(broker, name, inbox, read, options, publisher):
    read(broker, **options())
    sent = [Outgoing(f"{name}/{number % 5}", b"%d" % number) for number in range(3000)]
    one = publisher(broker)
    one.publish(sent[:2500])
    one.publish([])
    one.publish(sent[2500:])
    assert [(m.topic, m.payload) for m in inbox.expect(3000)] == [(m.topic, m.payload) for m in sent]


def test_a_retained_message_meets_who_comes_later_and_qos_0_goes_too(broker, name, inbox, read, options, publisher):
    publisher(broker).publish(
        [
            Outgoing(f"{name}/kept", b"1", retain=True),
            Outgoing(f"{name}/lost", b"2"),
            Outgoing(f"{name}/quick", b"3", retain=True, qos=0),
        ]
    )
    read(broker, **options())
    assert {(m.topic, m.payload, m.retained) for m in inbox.expect(2)} == {
        (f"{name}/kept", b"1", True),
        (f"{name}/quick", b"3", True),
    }


def test_an_expired_message_is_not_delivered(tmp_path, name, inbox, read, options, publisher):
    if find_mosquitto() is None:
        pytest.skip("no mosquitto is installed: amqtt does not speak MQTT 5")
    with start_servers(tmp_path, redis=False) as servers:
        read(servers.mqtt_url, **options()).stop()
        publisher(servers.mqtt_url).publish(
            [
                Outgoing(f"{name}/short", b"1", expires_s=1),
                Outgoing(f"{name}/long", b"2", expires_s=300),
                Outgoing(f"{name}/for ever", b"3"),
            ]
        )
        time.sleep(2.1)
        reader = read(servers.mqtt_url, **options())
        assert [m.payload for m in inbox.expect(2)] == [b"2", b"3"]
        reader.stop()


def test_a_window_that_the_broker_asks_for_is_kept(mosquitto, name, publisher):
    """Mosquitto's own default is 20; who sends more at a time is disconnected."""
    with mosquitto("allow_anonymous true") as port:
        one = publisher(f"mqtt://127.0.0.1:{port}")
        one.publish([Outgoing(f"{name}/x", b"x")] * 500)
        assert one._room == 20


def test_a_broker_that_went_away_gets_the_rest_when_it_is_back(tmp_path, name, inbox, read, options, publisher):
    if find_mosquitto() is None:
        pytest.skip("no mosquitto is installed: amqtt forgets everything when it ends")
    with start_servers(tmp_path, redis=False) as servers:
        port = BrokerUrl.parse(servers.mqtt_url).port
        read(servers.mqtt_url, **options()).stop()
        one = publisher(servers.mqtt_url)
        one.publish([Outgoing(f"{name}/x", b"before")])
    batch = [Outgoing(f"{name}/x", b"%d" % number) for number in range(100)]
    thread = threading.Thread(target=one.publish, args=(batch,))
    thread.start()
    time.sleep(0.5)
    with subprocess.Popen([find_mosquitto(), "-c", tmp_path / "mosquitto.conf"], stderr=subprocess.DEVNULL) as again:
        try:
            thread.join(20)
            assert not thread.is_alive()
            reader = read(f"mqtt://127.0.0.1:{port}", **options())
            assert [m.payload for m in inbox.expect(101)] == [b"before", *(m.payload for m in batch)]
            reader.stop()
        finally:
            again.terminate()


def test_what_was_not_acknowledged_goes_again_over_a_new_connection(name, publisher):
    """A broker that acknowledges half and hangs up: the first message of the next connection is the next in order."""
    received = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            for acknowledged in (2, 3):
                connection = server.accept()[0]
                with connection, connection.makefile("rb") as stream:
                    _read_packet(stream)
                    connection.sendall(b"\x20\x02\x00\x00")
                    payloads = []
                    received.append(payloads)
                    for number in range(5 if acknowledged == 2 else 3):
                        packet = _read_packet(stream)
                        mid = packet[3 + len(name) : 5 + len(name)]
                        payloads.append(packet[5 + len(name) :])
                        if number < acknowledged:
                            connection.sendall(b"\x40\x02" + mid)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        one = publisher(f"mqtt://127.0.0.1:{server.getsockname()[1]}?version=3.1.1")
        one.publish([Outgoing(f"{name}x", b"%d" % number) for number in range(5)])
        thread.join(10)
    assert received == [[b"0", b"1", b"2", b"3", b"4"], [b"2", b"3", b"4"]]


def test_a_broker_that_never_acknowledges_is_named(name, publisher):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with contextlib.suppress(OSError), contextlib.ExitStack() as connections:
                while True:
                    connection = connections.enter_context(server.accept()[0])
                    connection.recv(1000)
                    connection.sendall(b"\x20\x02\x00\x00")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"mqtt://127.0.0.1:{server.getsockname()[1]}"
        one = publisher(f"{url}?version=3.1.1", answer_s=0.2, patience_s=0.5)
        with pytest.raises(UnreachableError, match=f"{url}: no acknowledgement"):
            one.publish([Outgoing(f"{name}/x", b"x")])
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_a_broker_that_is_not_there_is_named(closed_port, publisher):
    one = publisher(f"mqtt://127.0.0.1:{closed_port}", patience_s=0.1)
    with pytest.raises(UnreachableError, match="refused"):
        one.connect()
    with pytest.raises(UnreachableError, match="refused"):
        one.publish([Outgoing("x", b"x")])


def test_close_ends_a_publish_that_waits(closed_port, publisher):
    one = publisher(f"mqtt://127.0.0.1:{closed_port}", patience_s=600)
    failures = []

    def publish():
        try:
            one.publish([Outgoing("x", b"x")])
        except UnreachableError as error:
            failures.append(error)

    thread = threading.Thread(target=publish)
    thread.start()
    time.sleep(0.3)
    one.close()
    thread.join(10)
    assert "closed" in str(failures[0])


def test_a_message_that_the_broker_refuses_is_told_and_keeps_none_of_the_others(
    mosquitto, tmp_path, name, inbox, read, options, publisher
):
    (tmp_path / "acl").write_text("topic readwrite allowed/#\n")
    with mosquitto("allow_anonymous true", f"acl_file {tmp_path}/acl") as port:
        url = f"mqtt://127.0.0.1:{port}"
        read(url, **options(topics=("allowed/#",)))
        one = publisher(url)
        sent = [Outgoing("allowed/x", b"1"), Outgoing("forbidden/x", b"2"), Outgoing("allowed/x", b"3")]
        assert one.publish(sent) == {1: "refused"}
        assert [message.payload for message in inbox.expect(2)] == [b"1", b"3"]


def test_a_message_that_nobody_listens_for_is_told(mosquitto, name, read, options, publisher):
    with mosquitto("allow_anonymous true") as port:
        url = f"mqtt://127.0.0.1:{port}"
        read(url, **options())
        assert publisher(url).publish([Outgoing(f"{name}/x", b""), Outgoing("elsewhere", b"")]) == {1: "unheard"}


@pytest.mark.parametrize(
    "message",
    [
        Outgoing("", b""),
        Outgoing("a/+", b""),
        Outgoing("a/#", b""),
        Outgoing("a\0b", b""),
        Outgoing("a\ud800", b""),
        Outgoing("a" * 70000, b""),
        Outgoing("a", b"", expires_s=-1),
        Outgoing("a", b"", expires_s=1 << 32),
    ],
)
def test_what_cannot_be_published_is_refused_before_anything_is_sent(message, publisher):
    with pytest.raises(InvalidInputError):
        publisher("mqtt://127.0.0.1:1").publish([Outgoing("fine", b""), message])


def _read_packet(stream):
    """The body of the next packet, of at most 127 bytes."""
    head = stream.read(2)
    return stream.read(head[1])
