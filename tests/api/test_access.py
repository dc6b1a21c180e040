"""Who may do what."""

import base64

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from geo_service.api.access import Requires
from geo_service.api.app import ApiSettings, build_app


def test_every_route_of_the_api_has_a_guard_but_the_login(client):
    app: Litestar = client.app
    open_routes = {
        (route.path, method)
        for route in app.routes
        if route.path.startswith("/v1/")
        for handler in route.route_handlers
        for method in handler.http_methods
        if method != "OPTIONS" and not any(isinstance(guard, Requires) for guard in handler.resolve_guards())
    }
    assert open_routes == {("/v1/session", method) for method in ("GET", "POST", "DELETE")}


@pytest.mark.parametrize(
    "header",
    [
        "Bearer unknown",
        "Bearer ",
        "Bearer " + "x" * 600,
        "Basic !",
        "Basic " + base64.b64encode(b"a:no").decode(),
        "Digest x",
    ],
)
def test_wrong_credentials_are_a_401_whatever_is_asked(client, header):
    answer = client.get("/v1/stores", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_no_credentials_are_a_401(client):
    assert client.get("/v1/stores").status_code == 401


@pytest.mark.parametrize(
    ("credential", "method", "path"),
    [
        ("pk_app", "GET", "/v1/stores"),
        ("pk_app", "POST", "/v1/pings"),
        ("pk_app", "GET", "/v1/stream"),
        ("token-1", "GET", "/v1/stores"),
        ("token-1", "GET", "/v1/context?lat=0&lon=0"),
        ("token-1", "POST", "/v1/sensors/door-1"),
        ("token-1", "GET", "/v1/devices/phone-2/offers"),
        ("token-1", "DELETE", "/v1/people/phone-1"),
        ("sk_readonly", "PUT", "/v1/stores/harbour"),
        ("sk_readonly", "POST", "/v1/pings"),
        ("sk_readonly", "DELETE", "/v1/people/phone-1"),
        ("sk_harbour", "GET", "/v1/stores/market"),
        ("sk_harbour", "GET", "/v1/stores/market/occupancy"),
        ("sk_harbour", "POST", "/v1/stores/market/occupancy/recount"),
        ("sk_harbour", "GET", "/v1/stream?stores=market"),
        ("sk_harbour", "DELETE", "/v1/sensors/door-2"),
    ],
)
def test_what_a_credential_is_not_for_is_a_403(client, bearer, credential, method, path):
    body = {"count": 1} if path.endswith("recount") else {}
    answer = client.request(method, path, headers=bearer(credential), json=body if method != "GET" else None)
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("session", "method", "path", "status"),
    [
        ("staff", "GET", "/v1/stores/harbour", 200),
        ("staff", "POST", "/v1/stores/harbour/occupancy/recount", 202),
        ("staff", "PUT", "/v1/stores/harbour", 403),
        ("analyst", "POST", "/v1/stores/harbour/occupancy/recount", 403),
        ("manager", "DELETE", "/v1/sensors/door-1", 204),
        ("manager", "DELETE", "/v1/people/phone-1", 403),
        ("admin", "DELETE", "/v1/people/phone-1", 202),
        ("ended", "GET", "/v1/stores", 401),
    ],
)
def test_a_session_may_do_what_its_role_says(client, session, method, path, status):
    client.cookies.set("geo_session", session)
    body = {"count": 1} if path.endswith("recount") else None
    assert client.request(method, path, json=body).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://proxied.example"}, 204),
        ({"Origin": "http://testserver.local"}, 204),
        ({}, 204),
    ],
)
def test_a_change_under_a_cookie_must_come_from_our_own_page(client, headers, status):
    client.cookies.set("geo_session", "manager")
    assert client.delete("/v1/sensors/door-1", headers=headers).status_code == status


def test_reading_under_a_cookie_needs_no_origin(client):
    client.cookies.set("geo_session", "manager")
    assert client.get("/v1/stores", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_a_key_is_held_to_so_many_requests_a_minute(fakes, bearer):
    with TestClient(build_app(fakes.services(), ApiSettings(requests_per_minute=2))) as client:
        answers = [client.get("/v1/stores", headers=bearer("sk_all")) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert int(answers[2].headers["retry-after"]) > 0
        assert client.get("/v1/stores", headers=bearer("sk_harbour")).status_code == 200


def test_an_unknown_path_and_a_wrong_method_are_problems_too(client):
    for answer, status in ((client.get("/v1/nothing"), 404), (client.patch("/v1/stores"), 405)):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
