"""Who sends webhooks, with a clock that the test moves, and who receives them, on a real HTTP server."""

import ssl
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from geo_service.delivery.webhook_endpoints import EndpointBody, made
from geo_service.delivery.webhook_feed import Queued
from geo_service.delivery.webhook_signing import new_secret
from geo_service.delivery.webhooks import Sending
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


@contextmanager
def hanging():
    """An endpoint that takes what comes and answers nothing, until the end."""
    receiver, release = Receiver(), threading.Event()

    def wait(handler):
        release.wait(20)
        handler.close_connection = True

    receiver.hold = wait
    try:
        yield receiver
    finally:
        release.set()
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


def until(question, timeout_s=30):
    deadline = time.monotonic() + timeout_s
    while not (answer := question()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return answer
