"""The connection of a reader: brokers that are away, hang up or refuse, and others under our name."""

import contextlib
import os
import resource
import socket
import subprocess
import threading

import pytest

from geo_service.delivery import mqtt_reader
from geo_service.delivery.mqtt_reader import MqttReader
from geo_service.delivery.mqtt_url import BrokerUrl
from geo_service.embedded.servers import find_mosquitto, start_servers
from geo_service.errors import InvalidInputError, UnreachableError


def test_it_comes_back_after_the_broker_was_away(tmp_path, name, inbox, read, publish, options, plain, eventually):
    if find_mosquitto() is None:
        pytest.skip("no mosquitto is installed: amqtt forgets everything when it ends")
    with start_servers(tmp_path, redis=False) as servers:
        port = BrokerUrl.parse(servers.mqtt_url).port
        reader = read(servers.mqtt_url, **options(plain=plain))
        publish(servers.mqtt_url, (f"{name}/x", b"1"))
        inbox.expect(1)
    eventually(lambda: not reader.connected)
    with subprocess.Popen(
        [find_mosquitto(), "-c", str(tmp_path / "mosquitto.conf")], stderr=subprocess.DEVNULL
    ) as again:
        try:
            eventually(lambda: reader.connected)
            publish(f"mqtt://127.0.0.1:{port}", (f"{name}/x", b"2"))
            inbox.expect(2)
        finally:
            again.terminate()
    assert [message.payload for message in inbox.messages if not message.dup] == [b"1", b"2"]
    assert reader.counts.connections == 2


def test_a_broker_that_is_not_there_is_named(closed_port, options, plain):
    reader = MqttReader(f"mqtt://me:secret@127.0.0.1:{closed_port}", **options(plain=plain))
    with pytest.raises(UnreachableError, match=f"mqtt://127.0.0.1:{closed_port}.*refused") as raised:
        reader.start()
    assert "secret" not in str(raised.value)


def test_a_broker_that_hangs_up_at_once_is_named(name, inbox, options, plain):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up():
            with contextlib.suppress(OSError):
                while True:
                    server.accept()[0].close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        url = f"mqtt://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UnreachableError, match=url):
            MqttReader(url, **options(plain=plain)).start()
        server.shutdown(socket.SHUT_RDWR)


def test_a_broker_that_says_that_another_took_our_session_over_ends_the_reader(name, inbox, options, plain):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept_and_hang_up():
            connection = server.accept()[0]
            with connection:
                connection.recv(1000)
                connection.sendall(b"\x20\x03\x00\x00\x00")
                subscribe = connection.recv(1000)
                connection.sendall(b"\x90\x04" + subscribe[2:4] + b"\x00\x01" + b"\xe0\x06\x8e\x04\x1f\x00\x01x")
                connection.recv(1000)

        thread = threading.Thread(target=accept_and_hang_up, daemon=True)
        thread.start()
        reader = MqttReader(f"mqtt://127.0.0.1:{server.getsockname()[1]}?version=5", **options(plain=plain))
        with pytest.raises(UnreachableError, match="another client with the id"):  # noqa: PT012 - whichever comes first
            reader.start()
            reader.join(20)
        thread.join(20)


def test_a_topic_that_is_not_granted_is_named(name, options, plain):
    with _broker_that_answers(lambda subscribe: b"\x90\x03" + subscribe[2:4] + b"\x80") as (url, _):
        reader = MqttReader(url, **options(plain=plain))
        with pytest.raises(UnreachableError, match=f"it does not grant {name}/#"):
            reader.start()


def test_while_it_waits_for_the_log_the_broker_hears_that_it_lives(options, monkeypatch, eventually):
    def take(_batch):
        raise ConnectionError

    monkeypatch.setattr(mqtt_reader, "KEEPALIVE_S", 0.2)
    granted_with_a_message = b"\x01" + b"\x32\x06\0\1x\0\1!"
    with _broker_that_answers(lambda subscribe: b"\x90\x03" + subscribe[2:4] + granted_with_a_message) as (url, heard):
        reader = MqttReader(url, **options(on_batch=take))
        reader.start()
        eventually(lambda: heard.count(b"\xc0\0") >= 2)
        reader.stop()


@contextlib.contextmanager
def _broker_that_answers(answer):
    """A broker for one client: its URL, and what it hears after the subscription."""
    heard = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection = server.accept()[0]
            with connection:
                connection.recv(1000)
                connection.sendall(b"\x20\x02\x00\x00")
                connection.sendall(answer(connection.recv(1000)))
                while piece := connection.recv(1000):
                    heard.extend(piece)
                    if piece.endswith(b"\xe0\0"):
                        return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"mqtt://127.0.0.1:{server.getsockname()[1]}?version=3.1.1", heard
        thread.join(10)


def test_two_readers_with_one_id_are_suspected_by_how_they_fight(
    mqtt_url, name, inbox, options, plain, eventually, capsys
):
    readers = [MqttReader(mqtt_url, **options(plain=plain)) for _ in range(2)]
    for reader in readers:
        reader.start()
    eventually(lambda: f"another client with the id {name}" in capsys.readouterr().out)
    for reader in readers:
        reader.stop()


def test_more_open_files_than_select_can_count_do_no_harm(mqtt_url, name, inbox, publish, options, plain):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1200:
        pytest.skip("the system does not grant 1200 open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1050)]
    try:
        reader = MqttReader(mqtt_url, **options(plain=plain))
        reader.start()
        assert reader._client.socket().fileno() > 1023
    finally:
        for number in held:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    publish(mqtt_url, (f"{name}/x", b"1"))
    inbox.expect(1)
    reader.stop()


@pytest.mark.parametrize(
    "url",
    [
        "mqtt://a..b",
        "http://x",
        "mqtt://",
        "mqtt://x:port",
        "mqtt://x/path",
        "mqtt://x?version=4",
        "mqtt://x?colour=red",
        "x",
    ],
)
def test_a_url_that_is_none_is_refused(url, options):
    with pytest.raises(InvalidInputError, match="mqtt: "):
        MqttReader(url, **options())
