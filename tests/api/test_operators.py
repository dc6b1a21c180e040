"""Health, metrics, the OpenAPI document and the page's files."""

import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest


def test_alive_is_plain(client):
    answer = client.get("/healthz")
    assert (answer.status_code, answer.text) == (200, "ok\n")


def test_ready_says_what_it_looked_at(client, fakes):
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "checks": {"events": "ok", "redis": "ok"}})
    fakes.checks["redis"] = "refused"
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "checks": {"events": "ok", "redis": "refused"}}


def test_metrics_count_by_route_and_name_nobody(client, bearer):
    client.get("/v1/stores/harbour", headers=bearer("sk_all"))
    client.get("/v1/stores/harbour")
    text = client.get("/metrics").text
    assert 'geo_http_requests_total{method="GET",route="/v1/stores/{key}",status="200"}' in text
    assert 'geo_http_requests_total{method="GET",route="/v1/stores/{key}",status="401"}' in text
    assert "geo_stream_clients 0.0" in text
    assert "harbour" not in text


def test_a_path_that_somebody_makes_up_makes_no_new_series(client):
    client.get("/v1/whatever-1")
    client.get("/whatever-2")
    assert "whatever" not in client.get("/metrics").text


@pytest.mark.parametrize("path", ["/schema", "/schema/openapi.json"])
def test_the_openapi_document_describes_every_resource(client, path):
    document = client.get(path).json()
    assert document["openapi"].startswith("3.")
    for resource in ("/v1/pings", "/v1/owntracks", "/v1/stores/{key}", "/v1/stream", "/v1/session"):
        assert resource in document["paths"]
    ping = document["paths"]["/v1/pings"]["post"]
    assert ping["requestBody"]["content"]["application/json"]["example"]["device"]
    assert document["paths"]["/v1/sensors/{key}"].keys() >= {"get", "put", "delete", "post"}


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html"),
        ("/dashboard.js", "text/javascript"),
        ("/dashboard.css", "text/css"),
        ("/icon.svg", "image/svg+xml"),
    ],
)
def test_the_page_comes_under_a_policy_that_lets_nothing_else_in(client, path, media_type):
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(media_type)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    again = client.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_page_names_no_other_host(client):
    for path in ("/", "/dashboard.js", "/dashboard.css"):
        text = client.get(path).text
        assert "https://" not in text
        assert "http://" not in text
        assert "innerHTML" not in text


SERVE = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("api_fakes", sys.argv[1])
fakes = importlib.util.module_from_spec(spec)
sys.modules["api_fakes"] = fakes
spec.loader.exec_module(fakes)
town = fakes.Fakes()
town.accounts.sessions["admin"] = fakes.person("admin")
serving = fakes.server(fakes.build_app(town.services()), host="127.0.0.1", port=0)
started = serving.startup
async def say_where(sockets=None):
    await started(sockets)
    print(serving.servers[0].sockets[0].getsockname()[1], flush=True)
serving.startup = say_where
serving.run()
"""


def test_sigterm_ends_open_streams_and_then_the_process():
    fakes = Path(__file__).with_name("conftest.py")
    process = subprocess.Popen([sys.executable, "-c", SERVE, fakes], stdout=subprocess.PIPE, text=True)
    try:
        port = int(process.stdout.readline())
        headers = {"Cookie": "geo_session=admin"}
        with (
            httpx.Client(timeout=5, trust_env=False) as client,
            client.stream("GET", f"http://127.0.0.1:{port}/v1/stream", headers=headers) as answer,
        ):
            blocks = answer.iter_bytes()
            assert next(blocks)
            process.send_signal(signal.SIGTERM)
            for _ in blocks:  # a stream that was torn off instead of ended would raise here
                pass
        assert process.wait(10) in {0, -signal.SIGTERM}
    finally:
        process.kill()
        process.communicate()
