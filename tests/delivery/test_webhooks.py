"""Sending webhooks to a real HTTP server from queues on a real Redis."""

import base64
import hashlib
import hmac
import threading
import time

import msgspec

from geo_service.delivery.webhook_endpoints import rotated
from geo_service.delivery.webhook_signing import new_secret
from geo_service.delivery.webhooks import SENDERS, SENDERS_TO_FAILING

from .webhook_office import Receiver, hanging, until


def test_what_waits_arrives_in_order_signed_and_with_its_id(office, receiver):
    desk = office()
    endpoint = desk.add("wh", receiver.url)
    desk.queue("wh", *range(1, 121))
    desk.start()
    until(lambda: desk.state("wh").delivered == 120)
    assert receiver.ids == [f"0-{number}-0" for number in range(1, 121)]
    headers, body, path = receiver.came[0]
    assert (body, path, headers["Content-Type"], headers["Host"]) == (
        b'{"n":1}',
        "/in?shop=1",
        "application/json",
        f"127.0.0.1:{receiver.port}",
    )
    key = base64.b64decode(endpoint.secrets[0].secret.removeprefix("whsec_"))
    signed = f"0-1-0.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    assert desk.counts == {"webhooks_delivered": 120}


def test_during_a_rotation_both_secrets_sign(office, receiver):
    desk = office()
    desk.add("wh", receiver.url)
    desk.endpoints.change("wh", lambda found: rotated(found, new_secret(), desk.now_ms()))
    desk.queue("wh", 1)
    desk.start()
    until(lambda: receiver.came)
    assert len(receiver.came[0][0]["webhook-signature"].split(" ")) == 2


def test_endpoints_do_not_wait_for_each_other(office, receiver):
    desk = office()
    with hanging() as slow:
        desk.add("slow", slow.url)
        desk.add("quick", receiver.url)
        desk.queue("slow", 1)
        desk.queue("quick", 2, 3)
        desk.start()
        until(lambda: slow.came)
        until(lambda: desk.state("quick").delivered == 2)
        assert desk.state("slow").delivered == 0


def test_however_many_hang_the_others_are_served(office, receiver):
    desk = office()
    with hanging() as slow:
        for number in range(SENDERS + 4):
            desk.add(f"slow{number}", slow.url)
            desk.queue(f"slow{number}", 1)
            delivery, _ = desk.queues.head(f"slow{number}")
            desk.queues.failed(f"slow{number}", delivery, "timeout", 1, 1)
        desk.start()
        until(lambda: len(slow.came) == SENDERS_TO_FAILING)
        desk.add("wh", receiver.url)
        desk.queue("wh", 2)
        until(lambda: desk.state("wh").delivered == 1)
        assert len(slow.came) == SENDERS_TO_FAILING


def test_a_new_address_is_heeded_between_two_deliveries(office, receiver):
    desk = office()
    other = Receiver()
    reached, release = threading.Event(), threading.Event()

    def wait(handler):
        reached.set()
        release.wait(20)
        handler.send_response(204)
        handler.end_headers()

    other.hold = wait
    try:
        desk.add("wh", other.url)
        desk.queue("wh", 1, 2, 3)
        desk.start()
        assert reached.wait(20)
        desk.endpoints.change("wh", lambda found: msgspec.structs.replace(found, url=receiver.url))
        time.sleep(1.6)  # endpoints are looked at once a second
        release.set()
        until(lambda: desk.state("wh").delivered == 3)
        assert (other.ids, receiver.ids) == (["0-1-0"], ["0-2-0", "0-3-0"])
    finally:
        release.set()
        other.close()


def test_who_stops_does_not_wait_for_an_endpoint(office, receiver):
    desk = office()
    release = threading.Event()
    receiver.hold = lambda _: release.wait(20)
    desk.add("wh", receiver.url)
    desk.queue("wh", 1)
    desk.start()
    until(lambda: receiver.came)
    began = time.monotonic()
    desk.stop()
    release.set()
    assert time.monotonic() - began < 5
    state = desk.state("wh")
    assert (state.waiting, state.failed) == (1, 0)


def test_without_leave_no_connection_is_made_to_our_own_network(office, receiver):
    asked = []

    def lies(host, port):
        """First a public address, then, when it counts, our own: DNS rebinding."""
        asked.append(host)
        return ["127.0.0.1"]

    desk = office(allow_private=False, resolve=lies)
    desk.add("wh", f"https://hooks.example:{receiver.port}/")
    desk.queue("wh", 1)
    desk.start()
    until(lambda: desk.state("wh").failed == 1)
    assert "not a public address" in desk.state("wh").reason
    assert asked == ["hooks.example"]
    assert receiver.came == []


def test_what_is_queued_goes_out_at_once_when_the_sender_is_woken(office, receiver):
    desk = office()
    desk.add("wh", receiver.url)
    desk.start()
    until(lambda: desk.sending._listening.all)
    desk.queue("wh", 1)
    desk.sending.woken.set()
    until(lambda: receiver.came)
    until(lambda: desk.state("wh").delivered == 1)
