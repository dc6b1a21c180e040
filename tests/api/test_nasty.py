"""Nothing that anybody sends is an error of ours."""

import pytest

BODIES = {
    "empty": b"",
    "not JSON": b"{",
    "null": b"null",
    "a number": b"1e999",
    "bad UTF-8": b'{"name": "\xff\xfe", "id": "\xff"}',
    "a lone surrogate": b'{"name": "\\ud800", "password": "\\ud800", "device": "\\ud800", "id": "\\ud800"}',
    "nested": b"[" * 100_000,
    "nested objects": b'{"a":' * 50_000,
    "huge numbers": b'{"count": 1' + b"0" * 5_000 + b', "lat": 1e400}',
    "nulls": b'{"name": "\\u0000", "password": "\\u0000", "device": "\\u0000", "count": null}',
    "wrong types": b'{"name": {}, "password": [], "device": {}, "count": [], "geometry": 3, "hours": [], "id": []}',
}
PATHS = ["a%20b", "%00", "%ff", "%E2%82%AC", "x" * 5_000, "..%2f..%2fetc", "a%0ab"]
QUERIES = [
    "lat=%ff&lon=1",
    "lat=1e999&lon=1",
    "lat=inf&lon=1",
    "limit=-1",
    "cursor=%00",
    "stores=%ff",
    "after=%ff",
    "u=%00&d=%ff",
]
ROUTES = [
    ("POST", "/v1/session"),
    ("POST", "/v1/devices"),
    ("POST", "/v1/pings"),
    ("POST", "/v1/owntracks?u=a&d=b"),
    ("POST", "/v1/sensors/door-1"),
    ("PUT", "/v1/stores/s"),
    ("PUT", "/v1/fences/f"),
    ("PUT", "/v1/sensors/s"),
    ("PUT", "/v1/campaigns/c"),
    ("POST", "/v1/stores/harbour/occupancy/recount"),
    ("PUT", "/v1/people/p/consent"),
]


@pytest.mark.parametrize("content", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_nasty_body_is_an_answer_below_500(client, bearer, method, path, content):
    headers = bearer("sk_all") | {"Content-Type": "application/json"}
    answer = client.request(method, path, content=content, headers=headers)
    assert answer.status_code < 500, answer.text


@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "multipart/form-data", "nonsense/;"])
def test_what_a_body_calls_itself_changes_nothing(client, bearer, media_type):
    headers = {"Content-Type": media_type}
    login = client.post("/v1/session", content=b'{"name": "ada", "password": "correct horse"}', headers=headers)
    assert login.status_code == 201
    ping = client.post("/v1/pings", content=b"{}", headers=bearer("sk_all") | headers)
    assert ping.status_code == 202


@pytest.mark.parametrize("part", PATHS)
@pytest.mark.parametrize(
    "path",
    [
        "/v1/stores/{}",
        "/v1/fences/{}",
        "/v1/stores/{}/occupancy",
        "/v1/devices/{}/offers",
        "/v1/{}",
        "/{}",
        "/schema/{}",
    ],
)
def test_a_nasty_path_is_an_answer_below_500(client, bearer, path, part):
    answer = client.get(path.format(part), headers=bearer("sk_all"))
    assert 400 <= answer.status_code < 500, answer.text


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("path", ["/v1/stores", "/v1/context", "/v1/stores/nearby", "/v1/devices/d/offers"])
def test_a_nasty_query_is_an_answer_below_500(client, bearer, path, query):
    assert client.get(f"{path}?{query}", headers=bearer("sk_all")).status_code < 500


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": b"Bearer \xff\xfe"},
        {"Authorization": "Basic " + "A" * 100_000},
        {"Cookie": b"geo_session=\xff; \x01=2"},
        {"Cookie": "geo_session=" + "x" * 5_000},
        {"Content-Length": "-1"},
        {"Content-Length": "x"},
        {"Last-Event-ID": b"\xff"},
        {"Origin": "http://[", "Cookie": "geo_session=admin"},
        {"X-Limit-U": b"\xff", "X-Limit-D": b"\xff"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/stores"), ("POST", "/v1/session"), ("POST", "/v1/owntracks")]
)
def test_nasty_headers_are_an_answer_below_500(client, method, path, headers):
    assert client.request(method, path, headers=headers, content=b"{}").status_code < 500
