"""kill -9 of the worker while webhooks are under way: every crossing arrives, in order, whatever the endpoint did meanwhile."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from geo_service.embedded.servers import find_mosquitto, start_servers

PHONES = 60


class Receiver:
    """Takes webhooks; every seventh is answered with a 500 after all, so that it comes again."""

    def __init__(self):
        self.accepted, self.count, self.lock = [], 0, threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with receiver.lock:
                    receiver.count += 1
                    is_taken = receiver.count % 7 != 0
                    if is_taken:
                        receiver.accepted.append((self.headers["webhook-id"], json.loads(body)))
                self.send_response(200 if is_taken else 500)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                """Not on our screen."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.mark.slow
def test_kill_minus_nine_loses_no_delivery(tmp_path, receiver, service_of, town_of, until, monkeypatch):
    if find_mosquitto() is None:
        pytest.skip("no mosquitto is installed")
    monkeypatch.setenv("GEO_WEBHOOK_PRIVATE", "true")
    town = town_of("north", "south")
    with (
        start_servers(tmp_path / "servers", fsync="everysec") as servers,
        service_of(servers.redis_url, servers.mqtt_url, town) as service,
    ):
        service.start_api()
        worker = service.start_worker()
        service.await_worker()
        body = {"url": receiver.url, "kinds": ["crossing"], "stores": ["south"], "identities": True}
        made = service.post("/v1/webhooks", body)
        assert made.status_code == 201, made.text
        path = f"/v1/webhooks/{made.json()['id']}"
        time.sleep(1.5)  # the worker looks for new endpoints once a second
        phones = service.listen()
        for phone in range(PHONES):
            phones.publish(f"geo/v1/ping/w{phone}", town.ping("south", 20))
            if phone % 20 == 10:
                worker.process.kill()
                worker.process.wait()
                worker = service.start_worker()

        def seen():
            # Whatever pauses the backoff makes: a resend of nothing ends none of them, so the state is moved by hand.
            service.client.hdel(service.keys("webhook_state", endpoint=made.json()["id"]), "next_ms", "failures")
            return len({said["device"] for _, said in list(receiver.accepted) if said["fence"] == "south.shop"})

        until(lambda: seen() == PHONES)
        until(lambda: service.get(path).json()["standing"]["waiting"] == 0)
        in_log = [
            json.loads(line)
            for _, line in service.outputs()
            if line.startswith(b'{"kind":"crossing"') and b'"store":"south"' in line
        ]
        accepted = list(receiver.accepted)
    first = list(dict.fromkeys(delivery_id for delivery_id, _ in accepted))
    assert first == [said["id"] for said in in_log]
    assert all(delivery_id == said["id"] for delivery_id, said in accepted)
