"""What became of each offer's delivery, on a broker that refuses some: the rest goes on, and pacing waits for nobody in vain."""

import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from geo_service.embedded.servers import find_mosquitto

ACL = "\n".join(
    f"topic readwrite {topic}/#"
    for topic in ("geo/v1/store", "geo/v1/ping", "geo/v1/sensor", "geo/v1/device/heard", "geo/v1/device/deaf")
)


@pytest.fixture(scope="module")
def choosy_mqtt(tmp_path_factory):
    """A broker that takes offers for the phones `heard` and `deaf` and for no other."""
    if find_mosquitto() is None:
        pytest.skip("no mosquitto is installed: only MQTT 5 tells what is refused")
    folder = tmp_path_factory.mktemp("mosquitto")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "acl").write_text(ACL + "\n")
    lines = ["user root", f"listener {port} 127.0.0.1", "allow_anonymous true", f"acl_file {folder}/acl"]
    (folder / "conf").write_text("\n".join([*lines, "max_inflight_messages 0", ""]))
    with subprocess.Popen([find_mosquitto(), "-c", folder / "conf"], stderr=subprocess.DEVNULL) as broker:
        yield f"mqtt://127.0.0.1:{port}"
        broker.terminate()


@pytest.fixture(scope="module")
def receiver():
    """Answers webhooks with 500 until told otherwise."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(self.server.answers)
            self.end_headers()

        def log_message(self, *_):
            """Not on our screen."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.answers = 500
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def service(redis_url, choosy_mqtt, service_of, town_of, until):
    environment = pytest.MonkeyPatch()
    environment.setenv("GEO_WEBHOOK_PRIVATE", "true")
    with service_of(redis_url, choosy_mqtt, town_of("harbour", comfort=50)) as service:
        service.start_worker()
        service.start_api()
        until(lambda: service.get("/readyz").status_code == 200)
        yield service
    environment.undo()


def fate_of(service, until, device, fate):
    """The explained offer of a device, once its delivery has come to that."""

    def look():
        kept = service.get(f"/v1/devices/{device}/offers").json()["items"]
        for offer in kept:
            explained = service.get(f"/v1/offers/{offer['id']}").json()
            if explained["delivery"]["fate"] == fate:
                return explained
        return None

    return until(look)


def walk_up(service, until, device):
    """Walk up to the store until there is an offer."""

    def ping():
        service.post("/v1/pings", {"device": device, **service.town.ping("harbour", 280)})
        return service.get(f"/v1/devices/{device}/offers").json()["items"]

    until(ping)


def test_a_refused_offer_keeps_none_of_the_others_and_is_not_waited_for(service, receiver, until):
    service.listen().publish("geo/v1/sensor/harbour.door", {"in": 1, "out": 0})
    until(lambda: service.get("/v1/stores/harbour/pacing").json()["pacing"])
    body = {"url": f"http://127.0.0.1:{receiver.server_address[1]}/", "kinds": ["offer"]}
    webhook = service.post("/v1/webhooks", body).json()["id"]
    time.sleep(1.5)  # the worker looks for new endpoints once a second
    listener = service.listen("geo/v1/device/heard/offers")
    for device in ("refused", "deaf", "heard"):
        walk_up(service, until, device)

    refused = fate_of(service, until, "refused", "refused")
    fate_of(service, until, "deaf", "unheard")
    heard = fate_of(service, until, "heard", "acknowledged")
    assert listener.expect("geo/v1/device/heard/offers")["id"] == heard["id"]
    assert "since" in refused["delivery"]
    # Who is deaf may pull their offer yet; who was refused is not waited for.
    until(lambda: service.get("/v1/stores/harbour/pacing").json()["pacing"]["in_flight"] == 2)
    until(lambda: service.counters("worker").get("mqtt_refused") == 1)

    def told():
        (each,) = service.get(f"/v1/offers/{heard['id']}").json()["delivery"]["webhooks"]
        assert each["webhook"] == webhook
        return each

    receiver.answers = 200
    until(lambda: told()["state"] == "delivered")
    assert told()["attempts"] >= 1
