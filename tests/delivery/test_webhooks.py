"""Sending webhooks to a real HTTP server from queues on a real Redis."""

import base64
import hashlib
import hmac
import json
import shutil
import ssl
import subprocess
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest

from geo_service.delivery.webhook_endpoints import EndpointBody, made, rotated
from geo_service.delivery.webhook_feed import Queued
from geo_service.delivery.webhook_request import Poster, tls
from geo_service.delivery.webhook_signing import new_secret
from geo_service.delivery.webhook_targets import read_target
from geo_service.delivery.webhooks import SENDERS, SENDERS_TO_FAILING, Sending
from geo_service.storage.keys import Keys
from geo_service.storage.webhooks import WebhookEndpoints, WebhookQueues

DAY_MS = 24 * 3_600_000


class Receiver:
    """An endpoint: answers as `answers` says, one after the other, then 204; keeps what came."""

    def __init__(self, certificate=None):
        self.came, self.answers, self.hold = [], [], None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.came.append((dict(self.headers), body, self.path))
                if receiver.hold is not None:
                    receiver.hold(self)
                    return
                status, headers = receiver.answers.pop(0) if receiver.answers else (204, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                """Not on our screen."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._server.handle_error = lambda *_: None  # a handshake that a client breaks off
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/in?shop=1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def ids(self):
        return [headers["webhook-id"] for headers, _, _ in self.came]

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


class Office:
    """Endpoints, queues, and a sender whose clock the test moves."""

    def __init__(self, client, prefix, **options):
        keys = Keys(prefix)
        self.endpoints, self.queues = WebhookEndpoints(client, keys=keys), WebhookQueues(client, keys=keys)
        self.ahead_ms, self.counts = 0, {}
        self._stop, self._thread = threading.Event(), None
        options = {"allow_private": True} | options
        self.sending = Sending(self.endpoints, self.queues, self.now_ms, self._count, **options)

    def now_ms(self):
        return time.time_ns() // 1_000_000 + self.ahead_ms

    def _count(self, name, number):
        self.counts[name] = self.counts.get(name, 0) + number

    def add(self, name, url, **more):
        endpoint = made(EndpointBody(url=url, kinds=["crossing"], **more), name, new_secret(), self.now_ms())
        self.endpoints.add(endpoint)
        return endpoint

    def queue(self, name, *numbers):
        bodies = [Queued(name, f"0-{number}-0", "crossing", b'{"n":%d}' % number) for number in numbers]
        self.queues.enqueue(bodies, {}, self.now_ms())

    def start(self):
        self._thread = threading.Thread(target=self.sending.run, args=(self._stop,))
        self._thread.start()

    def stop(self):
        self._stop.set()
        if self._thread is not None:
            self._thread.join(20)
            assert not self._thread.is_alive()

    def state(self, name):
        return self.queues.states([name])[name]


@pytest.fixture
def office(redis, request):
    with ExitStack() as stack:

        def make(**options):
            made = Office(redis, f"w{abs(hash(request.node.name))}:", **options)
            stack.callback(made.stop)
            return made

        yield make
    for key in redis.scan_iter(match=f"w{abs(hash(request.node.name))}:*"):
        redis.delete(key)


def until(question, timeout_s=30):
    deadline = time.monotonic() + timeout_s
    while not (answer := question()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return answer


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


def test_a_failure_holds_the_rest_back_and_is_tried_again_later(office, receiver):
    desk = office()
    desk.add("wh", receiver.url)
    receiver.answers = [(500, {}), (503, {"Retry-After": "600"})]
    desk.queue("wh", 1, 2)
    desk.start()
    until(lambda: desk.state("wh").failed == 1)
    state = desk.state("wh")
    assert state.reason.startswith("500")
    assert 2_000 <= state.next_ms - desk.now_ms() <= 5_000
    desk.ahead_ms += 5_000
    until(lambda: desk.state("wh").failed == 2)
    assert desk.state("wh").next_ms - desk.now_ms() > 590_000
    desk.ahead_ms += 600_000
    until(lambda: desk.state("wh").delivered == 2)
    assert receiver.ids == ["0-1-0"] * 3 + ["0-2-0"]
    assert [(fate.id, fate.attempts) for fate in desk.queues.fates("wh", 9)] == [("0-2-0", 1), ("0-1-0", 3)]


def test_after_a_day_of_failures_a_delivery_is_a_dead_letter_and_can_be_sent_again(office, receiver):
    desk = office()
    desk.add("wh", receiver.url)
    receiver.answers = [(500, {})] * 2
    desk.queue("wh", 1)
    desk.start()
    until(lambda: desk.state("wh").failed == 1)
    desk.ahead_ms += DAY_MS
    (letter,) = until(lambda: desk.queues.dead("wh", None, 9))
    assert (letter.id, letter.attempts, letter.reason) == ("0-1-0", 2, "500 Internal Server Error")
    assert desk.state("wh").waiting == 0
    assert desk.queues.resend("wh", [letter.entry], desk.now_ms()) == 1
    until(lambda: desk.state("wh").delivered == 1)


def test_what_has_waited_for_a_day_behind_it_is_given_up_with_it(office, receiver):
    desk = office()
    desk.add("wh", receiver.url)
    receiver.answers = [(500, {})] * 2
    desk.queue("wh", 1, 2, 3)
    desk.start()
    until(lambda: desk.state("wh").failed == 1)
    desk.ahead_ms += DAY_MS - 1000
    desk.queue("wh", 4)
    desk.ahead_ms += 1000
    until(lambda: desk.state("wh").dead_letters == 3)
    assert [delivery.id for delivery in desk.queues.waiting("wh", 9)] == ["0-4-0"]
    assert receiver.ids == ["0-1-0"] * 2


def test_the_last_try_is_made_when_the_day_is_over_and_no_later(office, receiver):
    desk = office()
    desk.add("wh", receiver.url)
    receiver.answers = [(500, {"Retry-After": "3600"})] * 2
    desk.queue("wh", 1)
    queued_ms = desk.queues.waiting("wh", 1)[0].queued_ms
    desk.ahead_ms += DAY_MS - 60_000
    desk.start()
    until(lambda: desk.state("wh").failed == 1)
    assert desk.state("wh").next_ms == queued_ms + DAY_MS


def test_410_disables_the_endpoint_and_nothing_that_waited_is_lost(office, receiver):
    desk = office()
    desk.add("wh", receiver.url)
    receiver.answers = [(204, {}), (410, {})]
    desk.queue("wh", 1, 2, 3)
    desk.start()
    until(lambda: desk.endpoints.get("wh").disabled)
    until(lambda: desk.state("wh").dead_letters == 2)
    assert receiver.ids == ["0-1-0", "0-2-0"]
    desk.queue("wh", 4)  # queued in the second before the disabling was heard of
    until(lambda: desk.state("wh").dead_letters == 3)
    assert len(receiver.came) == 2


def test_what_an_endpoint_says_is_shown_without_what_would_steer_a_terminal(office, receiver):
    desk = office()
    desk.add("wh", receiver.url)

    def answer(handler):
        handler.wfile.write(b"HTTP/1.1 418 tea\x1b[31m\x00pot\r\nContent-Length: 0\r\n\r\n")

    receiver.hold = answer
    desk.queue("wh", 1)
    desk.start()
    until(lambda: desk.state("wh").failed == 1)
    assert desk.state("wh").reason == "418 tea?[31m?pot"


def test_a_redirect_is_a_failure_and_is_not_followed(office, receiver):
    desk = office()
    desk.add("wh", receiver.url)
    receiver.answers = [(307, {"Location": f"http://127.0.0.1:{receiver.port}/elsewhere"})]
    desk.queue("wh", 1)
    desk.start()
    until(lambda: desk.state("wh").failed == 1)
    assert desk.state("wh").reason.startswith("307")
    assert len(receiver.came) == 1


def test_endpoints_do_not_wait_for_each_other(office, receiver):
    desk = office()
    slow = Receiver()
    release = threading.Event()

    def wait(handler):
        release.wait(20)
        handler.close_connection = True

    slow.hold = wait
    try:
        desk.add("slow", slow.url)
        desk.add("quick", receiver.url)
        desk.queue("slow", 1)
        desk.queue("quick", 2, 3)
        desk.start()
        until(lambda: slow.came)
        until(lambda: desk.state("quick").delivered == 2)
        assert desk.state("slow").delivered == 0
    finally:
        release.set()
        slow.close()


def test_however_many_hang_the_others_are_served(office, receiver):
    desk = office()
    slow = Receiver()
    release = threading.Event()

    def wait(handler):
        release.wait(20)
        handler.close_connection = True

    slow.hold = wait
    try:
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
    finally:
        release.set()
        slow.close()


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


def test_the_connection_goes_to_the_address_that_was_checked(receiver):
    target = read_target(f"http://hooks.example:{receiver.port}/", allow_private=True)
    poster = Poster(target, allow_private=True, resolve=lambda *_: ["127.0.0.1"])
    assert poster.post(b"{}", {}).status == 204
    assert receiver.came[0][0]["Host"] == f"hooks.example:{receiver.port}"
    poster.close()


def test_an_endpoint_that_never_comes_to_an_end_is_cut_off(receiver):
    def drip(handler):
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b".")
                time.sleep(0.02)
        except OSError:
            handler.close_connection = True

    receiver.hold = drip
    target = read_target(receiver.url, allow_private=True)
    poster = Poster(target, allow_private=True, whole_s=0.3)
    began = time.monotonic()
    answer = poster.post(b"{}", {})
    assert time.monotonic() - began < 5
    poster.close()
    assert not answer.is_success or answer.status == 200


def test_a_kept_connection_that_the_other_side_closed_is_opened_again(receiver):
    poster = Poster(read_target(receiver.url, allow_private=True), allow_private=True)

    def leave(handler):
        handler.send_response(204)
        handler.end_headers()
        handler.close_connection = True

    receiver.hold = leave
    for _ in range(3):
        assert poster.post(json.dumps({}).encode(), {}).status == 204
        time.sleep(0.05)
    assert len(receiver.came) == 3
    poster.close()


def test_who_does_not_answer_at_all_is_a_failure_with_its_reason(receiver):
    receiver.close()
    poster = Poster(read_target(receiver.url, allow_private=True), allow_private=True)
    answer = poster.post(b"{}", {})
    assert answer.status is None
    assert "ConnectionRefusedError" in answer.reason


@pytest.fixture
def certificate(tmp_path, monkeypatch):
    """A certificate for hooks.example, signed by itself; `trust()` makes it one of the authorities."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on the PATH")
    key, made = tmp_path / "key.pem", tmp_path / "cert.pem"
    what = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=hooks.example"]
    alternative = ["-addext", "subjectAltName=DNS:hooks.example"]
    command = [openssl, "req", "-x509", *what, *alternative, "-keyout", key, "-out", made]
    subprocess.run(command, check=True, capture_output=True)
    tls.cache_clear()

    def trust():
        monkeypatch.setenv("SSL_CERT_FILE", str(made))
        tls.cache_clear()

    yield made, key, trust
    tls.cache_clear()


@pytest.mark.parametrize(
    ("trusted", "host", "arrives"),
    [(True, "hooks.example", True), (True, "other.example", False), (False, "hooks.example", False)],
)
def test_over_tls_the_name_must_be_the_certificates_and_the_authority_known(certificate, trusted, host, arrives):
    made, key, trust = certificate
    if trusted:
        trust()
    receiver = Receiver(certificate=(made, key))
    try:
        target = read_target(f"https://{host}:{receiver.port}/in", allow_private=True)
        poster = Poster(target, allow_private=True, resolve=lambda *_: ["127.0.0.1"])
        answer = poster.post(b"{}", {})
        poster.close()
    finally:
        receiver.close()
    assert answer.is_success == arrives
    assert len(receiver.came) == arrives
    if not arrives:
        assert "CERTIFICATE_VERIFY_FAILED" in answer.reason


def test_what_is_queued_goes_out_at_once_when_the_sender_is_woken(office, receiver):
    desk = office()
    desk.add("wh", receiver.url)
    desk.start()
    until(lambda: desk.sending._listening.all)
    desk.queue("wh", 1)
    desk.sending.woken.set()
    until(lambda: receiver.came)
    until(lambda: desk.state("wh").delivered == 1)
