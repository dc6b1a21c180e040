"""Reading from a broker: every message once, in order, acknowledged after it was taken."""

import socket
import threading

import pytest

from geo_service.delivery import mqtt_reception
from geo_service.delivery.mqtt_reader import MqttReader
from geo_service.delivery.mqtt_reception import FastClient, PlainClient
from geo_service.errors import UnreachableError


def test_the_names_that_the_fast_way_needs_are_there(options):
    """The contract with paho: a version without them is read plainly, until this code has learned its names."""
    assert FastClient.is_supported()
    assert MqttReader("mqtt://x", **options())._kind is FastClient


@pytest.mark.parametrize("name", mqtt_reception._PRIVATE_NAMES)
def test_without_one_of_these_names_messages_are_read_plainly(name, options, monkeypatch):
    monkeypatch.setattr(mqtt_reception, "_PRIVATE_NAMES", (*mqtt_reception._PRIVATE_NAMES, f"{name}_of_old"))
    assert MqttReader("mqtt://x", **options())._kind is PlainClient


def test_messages_arrive_in_order_and_whole(broker, name, inbox, read, publish, options, plain):
    read(broker, **options(plain=plain))
    sent = [(f"{name}/{number % 7}", b"%d" % number) for number in range(300)]
    publish(broker, *sent)
    messages = inbox.expect(300)
    assert [(message.topic, message.payload) for message in messages] == sent
    assert all(message.qos == 1 and not message.retained and message.mid for message in messages)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_each_qos_arrives_once(broker, name, inbox, read, publish, options, plain, qos):
    read(broker, **options(plain=plain, qos=2))
    publish(broker, *[(f"{name}/x", b"%d" % number) for number in range(50)], qos=qos)
    inbox.expect(50)
    publish(broker, (f"{name}/x", b"end"), qos=1)
    assert [message.payload for message in inbox.expect(51)] == [b"%d" % number for number in range(50)] + [b"end"]


def test_a_retained_message_says_so_and_a_live_one_does_not(broker, name, inbox, read, publish, options, plain):
    publish(broker, (f"{name}/kept", b"old"), retain=True)
    read(broker, **options(plain=plain))
    inbox.expect(1)
    publish(broker, (f"{name}/kept", b"new"), retain=True)
    assert [(message.payload, message.retained) for message in inbox.expect(2)] == [(b"old", True), (b"new", False)]
    publish(broker, (f"{name}/kept", b""), retain=True)


def test_what_comes_while_we_are_away_is_kept_for_us(broker, name, inbox, read, publish, options, plain):
    read(broker, **options(plain=plain)).stop()
    publish(broker, *[(f"{name}/x", b"%d" % number) for number in range(200)])
    read(broker, **options(plain=plain))
    messages = inbox.expect(200)
    assert sorted(int(message.payload) for message in messages) == list(range(200))
    assert not any(message.retained for message in messages)


def test_without_a_session_nothing_is_kept_for_us(broker, name, inbox, read, publish, options, plain):
    read(broker, **options(plain=plain, keep_session=False)).stop()
    publish(broker, (f"{name}/x", b"missed"))
    read(broker, **options(plain=plain, keep_session=False))
    publish(broker, (f"{name}/x", b"heard"))
    assert [message.payload for message in inbox.expect(1)] == [b"heard"]


def test_a_batch_is_acknowledged_only_after_it_was_taken(
    broker, name, inbox, read, publish, options, plain, eventually
):
    """The first reader dies while it appends: the broker delivers again, with `dup` and the same message ids."""
    first = []

    def die(batch):
        first.extend(batch)
        raise ZeroDivisionError

    reader = MqttReader(broker, **options(plain=plain, on_batch=die))
    reader.start()
    publish(broker, (f"{name}/x", b"1"))
    with pytest.raises(ZeroDivisionError):
        reader.join(20)
    read(broker, **options(plain=plain))
    (again,) = inbox.expect(1)
    assert again.payload == first[0].payload == b"1"
    assert (first[0].dup, again.dup) == (False, True)
    assert again.mid == first[0].mid


def test_a_taken_batch_does_not_come_again(broker, name, inbox, read, publish, options, plain):
    reader = read(broker, **options(plain=plain))
    publish(broker, *[(f"{name}/x", b"%d" % number) for number in range(100)])
    inbox.expect(100)
    reader.stop()
    read(broker, **options(plain=plain))
    publish(broker, (f"{name}/x", b"end"))
    assert inbox.expect(101)[-1].payload == b"end"
    assert len(inbox.messages) == 101


def test_a_stop_loses_no_acknowledgement(mqtt_url, name, inbox, read, publish, options, plain):
    """A connection that is closed too early is reset, and the broker forgets acknowledgements it has not read yet."""
    for number in range(1, 11):
        reader = read(mqtt_url, **options(plain=plain))
        publish(mqtt_url, *[(f"{name}/x", b"x")] * 100)
        inbox.expect(100 * number)
        reader.stop()
    assert len(inbox.messages) == 1000


def test_while_the_log_is_out_of_reach_nothing_is_lost_and_nothing_acknowledged(
    mqtt_url, name, inbox, read, publish, options, plain, eventually
):
    away = threading.Event()
    away.set()

    def take(batch):
        if away.is_set():
            raise UnreachableError("redis", "connection refused")
        inbox.take(batch)

    reader = read(mqtt_url, **options(plain=plain, on_batch=take))
    publish(mqtt_url, *[(f"{name}/x", b"%d" % number) for number in range(50)])
    eventually(lambda: reader.counts.retries >= 2)
    publish(mqtt_url, (f"{name}/x", b"end"))
    assert inbox.messages == []
    away.clear()
    assert [m.payload for m in inbox.expect(51)] == [b"%d" % number for number in range(50)] + [b"end"]


def test_a_reader_that_waits_for_the_log_can_be_stopped(mqtt_url, name, inbox, publish, options, plain, eventually):
    def take(_batch):
        raise ConnectionError

    reader = MqttReader(mqtt_url, **options(plain=plain, on_batch=take))
    reader.start()
    publish(mqtt_url, (f"{name}/x", b"1"))
    eventually(lambda: reader.counts.retries)
    reader.stop(5)
    reader.join()
    assert not reader.connected


def test_an_exception_ends_the_reader_and_reaches_its_owner(mqtt_url, name, inbox, publish, options, plain, eventually):
    def take(_batch):
        raise KeyError("a fault of ours")

    reader = MqttReader(mqtt_url, **options(plain=plain, on_batch=take))
    reader.start()
    publish(mqtt_url, (f"{name}/x", b"1"))
    with pytest.raises(KeyError, match="a fault of ours"):
        reader.join(20)
    assert isinstance(reader.failure, KeyError)
    assert not reader.connected


def test_a_too_large_message_is_refused_and_does_not_come_back(
    broker, name, inbox, read, publish, options, plain, eventually
):
    reader = read(broker, **options(plain=plain, on_refused=inbox.refuse, max_packet_bytes=100_000))
    publish(broker, (f"{name}/big", b"x" * 10_000_000), (f"{name}/small", b"1"))
    inbox.expect(1)
    eventually(lambda: inbox.refused)
    (topic, reason) = inbox.refused[0]
    assert topic == f"{name}/big"
    assert reason.startswith("too large")
    reader.stop()
    read(broker, **options(plain=plain, on_refused=inbox.refuse, max_packet_bytes=100_000))
    publish(broker, (f"{name}/small", b"2"))
    inbox.expect(2)
    assert len(inbox.refused) == 1
    assert inbox.payloads == [b"1", b"2"]


def test_topics_can_change_while_it_reads(mqtt_url, name, inbox, read, publish, options, plain, eventually):
    reader = read(mqtt_url, **options(plain=plain, topics=[]))
    reader.set_topics([f"{name}/a"])
    reader.set_topics([f"{name}/b"])

    def heard():
        publish(mqtt_url, (f"{name}/b", b"b"))
        return inbox.messages

    eventually(heard)
    publish(mqtt_url, (f"{name}/a", b"a"), (f"{name}/b", b"end"))
    eventually(lambda: b"end" in inbox.payloads)
    assert b"a" not in inbox.payloads


def test_a_lone_message_is_handed_over_at_once_and_a_flood_in_batches(
    mqtt_url, name, inbox, read, publish, options, plain
):
    reader = read(mqtt_url, **options(plain=plain, flush_s=0.2))
    publish(mqtt_url, (f"{name}/x", b"first"))
    inbox.expect(1)
    publish(mqtt_url, *[(f"{name}/x", b"%d" % number) for number in range(500)])
    inbox.expect(501)
    assert reader.counts.batches < 50


def test_no_time_is_lost_waiting_for_more_than_the_broker_sends(inbox, options, plain, monkeypatch):
    """A broker that keeps to a window: 20 messages, and the next 20 after their acknowledgements."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def send_by_twenties():
            connection = server.accept()[0]
            with connection, connection.makefile("rb") as stream:
                connection.recv(1000)
                connection.sendall(b"\x20\x02\x00\x00")
                subscribe = connection.recv(1000)
                connection.sendall(b"\x90\x03" + subscribe[2:4] + b"\x01")
                for _ in range(20):
                    connection.sendall(b"".join(b"\x32\x06\0\1x\0" + bytes([mid, 0]) for mid in range(1, 21)))
                    stream.read(4 * 20)
                connection.recv(1000)

        thread = threading.Thread(target=send_by_twenties, daemon=True)
        thread.start()
        url = f"mqtt://127.0.0.1:{server.getsockname()[1]}?version=3.1.1"
        reader = MqttReader(url, **options(plain=plain, flush_s=0.1))
        waits, wait = [], reader._stopping.wait
        monkeypatch.setattr(reader._stopping, "wait", lambda wait_s: waits.append(wait_s) or wait(wait_s))
        reader.start()
        inbox.expect(400)
        thread_waits = len(waits)
        reader.stop()
        thread.join(10)
    assert len(inbox.batches) == 20
    assert thread_waits <= 6


def test_no_batch_is_larger_than_asked(broker, name, inbox, read, publish, options, plain):
    read(broker, **options(plain=plain)).stop()
    publish(broker, *[(f"{name}/x", b"%d" % number) for number in range(500)])
    read(broker, **options(plain=plain, max_batch=64))
    inbox.expect(500)
    assert max(map(len, inbox.batches)) <= 64
