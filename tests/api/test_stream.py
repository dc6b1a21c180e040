"""The event stream over a real socket."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
import pytest

ADMIN = {"Cookie": "geo_session=admin"}


class Reader:
    """Reads server-sent events off an open answer."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.iter_lines()
        self.last_id = ""

    def next(self, *, besides: tuple[str, ...] = ("heartbeat",)) -> tuple[str, dict]:
        """The next event, heartbeats aside."""
        while True:
            kind, data = "", ""
            for line in self._lines:
                if not line:
                    break
                field, _, value = line.partition(": ")
                if field == "event":
                    kind = value
                elif field == "data":
                    data = value
                elif field == "id":
                    self.last_id = value
            else:
                raise EOFError
            if data and kind not in besides:
                return kind, json.loads(data)

    def read_to_end(self) -> None:
        """Returns once the server has ended the stream."""
        with suppress(EOFError):
            while True:
                self.next(besides=())


@contextmanager
def stream(served, query: str = "", headers: dict[str, str] = ADMIN) -> Iterator[Reader]:
    with (
        httpx.Client(timeout=5, trust_env=False) as client,
        client.stream("GET", f"{served.url}/v1/stream{query}", headers=headers) as answer,
    ):
        yield Reader(answer)


def crossing(number: int, store: str = "harbour") -> dict[str, object]:
    return {"kind": "crossing", "id": f"c{number}", "device": "phone-1", "store": store}


def occupancy(mean: int, store: str = "harbour") -> dict[str, object]:
    return {"kind": "occupancy", "store": store, "zone": None, "mean": mean}


def until(condition) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_stream_begins_with_the_occupancies_and_goes_on_with_what_comes(served, fakes):
    fakes.current.values = {"harbour": [json.dumps(occupancy(4)).encode()]}
    with stream(served) as reader:
        assert reader.answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert reader.answer.headers["cache-control"] == "no-store"
        assert reader.next() == ("occupancy", occupancy(4))
        fakes.outputs.add(0, 10, crossing(1))
        assert reader.next() == ("crossing", crossing(1))
        fakes.outputs.add(1, 10, occupancy(5))
        assert reader.next() == ("occupancy", occupancy(5))


def test_a_stream_begins_with_the_alerts_that_stand(served, fakes):
    alert = {"kind": "alert", "store": "harbour", "zone": None, "alert": "full", "state": "raised"}
    fakes.current.standing = {"harbour": json.dumps(alert).encode(), "market": b"{}"}
    with stream(served, "?stores=harbour") as reader:
        assert reader.next() == ("alert", alert)
        cleared = alert | {"state": "cleared"}
        fakes.outputs.add(0, 10, cleared)
        assert reader.next() == ("alert", cleared)


def test_only_the_stores_asked_for_are_streamed(served, fakes):
    fakes.current.values = {name: [json.dumps(occupancy(4, name)).encode()] for name in ("harbour", "market")}
    with stream(served, "?stores=market") as reader:
        assert reader.next() == ("occupancy", occupancy(4, "market"))
        fakes.outputs.add(0, 10, crossing(1), crossing(2, "market"))
        assert reader.next() == ("crossing", crossing(2, "market"))


@pytest.mark.parametrize("how", ["header", "query"])
def test_a_stream_resumes_where_it_broke(served, fakes, how):
    with stream(served) as reader:
        fakes.outputs.add(0, 10, crossing(1))
        reader.next()
        if not reader.last_id:
            reader.next(besides=())
    last_id = reader.last_id
    fakes.outputs.add(0, 20, crossing(2), occupancy(3))
    fakes.outputs.add(1, 15, crossing(3))
    until(lambda: served.app.state.hub.positions[0].ms == 20)
    headers, query = ({**ADMIN, "Last-Event-ID": last_id}, "") if how == "header" else (ADMIN, f"?after={last_id}")
    with stream(served, query, headers) as reader:
        assert [reader.next(), reader.next()] == [("crossing", crossing(3)), ("crossing", crossing(2))]
        fakes.outputs.add(0, 30, crossing(4))
        assert reader.next() == ("crossing", crossing(4))


def test_a_resume_that_cannot_be_complete_says_so(served, fakes):
    fakes.outputs.add(0, 10, crossing(1))
    until(lambda: served.app.state.hub.positions[0].ms == 10)
    with stream(served) as reader:
        reader.next(besides=())
    fakes.outputs.add(0, 20, crossing(2))
    fakes.outputs.add(0, 900_000, crossing(3))
    fakes.outputs.partitions[0][:2] = []  # trimmed
    until(lambda: served.app.state.hub.positions[0].ms == 900_000)
    with stream(served, headers={**ADMIN, "Last-Event-ID": reader.last_id}) as again:
        assert again.next()[0] == "reset"
        assert again.next() == ("crossing", crossing(3))


def test_an_id_of_somebody_elses_stream_is_a_new_start(served):
    with stream(served, headers={**ADMIN, "Last-Event-ID": "42"}) as reader:
        assert reader.next()[0] == "reset"


def test_a_page_may_ask_for_the_newest_events(served, fakes):
    fakes.outputs.add(0, 10, *(crossing(number) for number in range(5)))
    until(lambda: served.app.state.hub.positions[0].ms == 10)
    with stream(served, "?recent=2") as reader:
        assert [reader.next(), reader.next()] == [("crossing", crossing(3)), ("crossing", crossing(4))]


@pytest.mark.parametrize(
    ("query", "status"), [("?stores=nowhere", 404), ("?stores=", 400), ("?stores=a%20b", 400), ("?recent=900", 400)]
)
def test_what_cannot_be_streamed_is_a_problem(client, query, status):
    answer = client.get(f"/v1/stream{query}", headers=ADMIN)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_what_one_person_sees_is_kept_by_no_cache(client):
    answer = client.get("/v1/stores", headers=ADMIN)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_page_that_goes_away_leaves_nothing_behind(served, fakes):
    fakes.current.values = {"harbour": [json.dumps(occupancy(4)).encode()]}
    hub = served.app.state.hub
    for _ in range(20):
        with stream(served) as reader:
            reader.next(besides=())
            assert len(hub.clients) <= 2
    until(lambda: not hub.clients)
    until(lambda: not served.server.server_state.tasks)
    assert hub.metrics.clients._value.get() == 0


def test_a_stream_whose_session_ends_ends_too(served, fakes, monkeypatch):
    monkeypatch.setattr("geo_service.api.stream._RECHECK_S", 0.0)
    with stream(served) as reader:
        reader.next(besides=())
        del fakes.accounts.sessions["admin"]
        reader.read_to_end()


def test_a_client_that_takes_nothing_is_cut_off(fakes, make_served):
    served = make_served(heartbeat_s=0.1, stalled_s=0.3)
    with stream(served) as reader:
        reader.next(besides=())
        for number in range(1, 60):
            fakes.outputs.add(0, number * 10, {**crossing(number), "detail": "x" * 400_000})
        until(lambda: not served.app.state.hub.clients)


def test_a_server_that_stops_ends_its_streams_in_order(served):
    with stream(served) as reader:
        reader.next(besides=())
        served.stop()
        reader.read_to_end()  # a stream that was torn off would raise
