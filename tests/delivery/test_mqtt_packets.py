import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_service.delivery.mqtt_packets import MalformedError, Message, PacketSplitter, pack_acknowledgements

LIMIT = 1000


def length_bytes(length):
    encoded = b""
    while True:
        length, byte = divmod(length, 128)
        encoded += bytes([byte | (128 if length else 0)])
        if not length:
            return encoded


def publish(message, *, version_5, properties=b""):
    head = 0x30 | message.dup << 3 | message.qos << 1 | message.retained
    topic = message.topic.encode()
    body = struct.pack(">H", len(topic)) + topic
    if message.qos:
        body += struct.pack(">H", message.mid)
    if version_5:
        body += length_bytes(len(properties)) + properties
    body += message.payload
    return bytes([head]) + length_bytes(len(body)) + body


def split(stream, *, version_5=False, pieces=(), limit=LIMIT):
    splitter = PacketSplitter(max_packet_bytes=limit, version_5=version_5)
    for start, stop in zip((0, *pieces), (*pieces, len(stream)), strict=True):
        splitter.feed(stream[start:stop])
    return splitter


@st.composite
def messages(draw):
    qos = draw(st.sampled_from([0, 1, 1, 1, 2]))
    return Message(
        topic=draw(st.sampled_from(["a", "geo/v1/ping/p1", "t" * 130, "läden/übersicht"])),
        payload=draw(st.binary(max_size=20) | st.just(b"x" * 300)),
        qos=qos,
        retained=draw(st.booleans()),
        dup=qos > 0 and draw(st.booleans()),
        mid=draw(st.integers(1, 65535)) if qos else 0,
    )


@settings(max_examples=200)
@given(st.data(), st.booleans())
def test_a_stream_cut_anywhere_gives_the_same_messages(data, version_5):
    sent = data.draw(st.lists(messages(), max_size=12, unique_by=lambda message: (message.qos == 2, message.mid)))
    properties = data.draw(st.lists(st.binary(max_size=200), min_size=len(sent), max_size=len(sent)))
    stream = b"".join(publish(m, version_5=version_5, properties=p) for m, p in zip(sent, properties, strict=True))
    pieces = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    splitter = split(stream, version_5=version_5, pieces=pieces)
    assert splitter.messages == sent
    answers = {1: 0x40, 2: 0x50}
    expected = b"".join(struct.pack(">BBH", answers[m.qos], 2, m.mid) for m in sent if m.qos)
    assert pack_acknowledgements(splitter.acknowledgements) == expected


@settings(max_examples=300)
@given(st.binary(max_size=60), st.booleans(), st.lists(st.integers(0, 60), max_size=3))
def test_arbitrary_bytes_are_split_or_refused_and_never_anything_else(stream, version_5, cuts):
    pieces = sorted(min(cut, len(stream)) for cut in cuts)
    try:
        splitter = split(stream, version_5=version_5, pieces=pieces)
    except MalformedError:
        return
    taken = sum(len(m.topic.encode()) + len(m.payload) for m in splitter.messages)
    assert taken <= len(stream)


@settings(max_examples=100)
@given(st.data(), st.booleans())
def test_a_too_large_packet_is_refused_and_acknowledged_and_the_next_one_is_read(data, version_5):
    small = Message("t", b"small", 1, False, False, 7)
    large = Message(data.draw(st.sampled_from(["t", "t" * 300, "t" * 2000])), b"x" * 5000, 1, False, False, 8)
    stream = b"".join(publish(m, version_5=version_5) for m in (small, large, small))
    pieces = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    splitter = split(stream, version_5=version_5, pieces=pieces)
    assert splitter.messages == [small, small]
    assert [topic for topic, _ in splitter.refused] == [large.topic]
    assert splitter.refused[0][1].startswith("too large: ")
    assert [word & 0xFFFF for word in splitter.acknowledgements] == [7, 8, 7]


def test_a_too_large_packet_is_not_held():
    large = publish(Message("t", b"x" * 10_000_000, 1, False, False, 8), version_5=False)
    splitter = PacketSplitter(max_packet_bytes=LIMIT, version_5=False)
    splitter.feed(large[:20])
    assert len(splitter.refused) == 1
    for start in range(20, len(large), 65536):
        splitter.feed(large[start : start + 65536])
        assert sum(map(len, splitter._chunks)) == 0
    splitter.feed(publish(Message("t", b"next", 0, False, False, 0), version_5=False))
    assert [message.payload for message in splitter.messages] == [b"next"]


def test_a_topic_that_is_not_text_is_refused_and_acknowledged():
    packet = bytearray(publish(Message("tt", b"x", 1, False, False, 9), version_5=False))
    packet[4:6] = b"\xff\xfe"
    splitter = split(bytes(packet) * 2)
    assert splitter.messages == []
    assert [reason for _, reason in splitter.refused] == ["topic is not UTF-8"] * 2
    assert len(splitter.acknowledgements) == 2


def test_at_qos_2_a_message_delivered_again_before_its_release_counts_once():
    message = Message("t", b"x", 2, False, False, 5)
    again = Message("t", b"x", 2, False, True, 5)
    release = b"\x62\x02\x00\x05"
    splitter = split(publish(message, version_5=False) + publish(again, version_5=False) + release)
    assert splitter.messages == [message]
    assert pack_acknowledgements(splitter.acknowledgements) == b"\x50\x02\x00\x05\x50\x02\x00\x05\x70\x02\x00\x05"
    splitter.feed(publish(message, version_5=False))
    assert splitter.messages == [message, message]


def test_other_packets_are_kept_whole_for_others():
    splitter = split(b"\xd0\x00" + b"\x90\x03\x00\x01\x01" + b"\xd0\x00", pieces=(1, 4))
    assert splitter.others == [(0xD0, b""), (0x90, b"\x00\x01\x01"), (0xD0, b"")]


@pytest.mark.parametrize(
    "stream",
    [
        b"\x32\x01\x00",
        b"\x32\x03\x00\x09x",
        b"\x32\x04\x00\x01xy",
        b"\x36\x06\x00\x01x\x00\x01y",
        b"\x30\xff\xff\xff\xff\x01",
        b"\x62\x01\x00",
        b"\x90\xff\x7f" + b"x" * 10,
    ],
)
def test_what_is_not_mqtt_is_named_so(stream):
    with pytest.raises(MalformedError):
        split(stream)


def test_a_new_connection_forgets_half_a_packet():
    whole = publish(Message("t", b"x", 1, False, False, 1), version_5=False)
    splitter = split(whole[:5])
    splitter.restart()
    splitter.feed(whole)
    assert len(splitter.messages) == 1
