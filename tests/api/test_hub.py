"""The hub: one reader, many clients, none of which holds up another."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import CollectorRegistry

from geo_service.api.events import View
from geo_service.api.hub import Client, Hub
from geo_service.errors import UnreachableError
from geo_service.flow.entries import EntryId
from geo_service.principals import BY_ROLE, Principal

ADMIN = Principal(kind="person", id="a", actions=BY_ROLE["admin"], role="admin")
STAFF = Principal(kind="person", id="s", actions=BY_ROLE["staff"], role="staff", stores=frozenset({"harbour"}))


def occupancy(mean: float, store: str = "harbour", zone: str | None = None) -> dict[str, object]:
    return {"kind": "occupancy", "store": store, "zone": zone, "mean": mean}


def crossing(number: int, store: str = "harbour", device: str = "phone-1") -> dict[str, object]:
    return {"kind": "crossing", "id": f"c{number}", "device": device, "store": store}


def events(block: bytes) -> list[tuple[str, dict]]:
    """`(kind, data)` of the events of a block."""
    found = []
    for part in block.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in part.splitlines() if not line.startswith(":"))
        if "data" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


@pytest.fixture
def run(fakes) -> Callable[[Callable[[Hub], Awaitable[None]]], None]:
    """Run a scenario beside a hub that reads the fake outputs."""

    def run(scenario: Callable[[Hub], Awaitable[None]], *, bound: int = 4, heartbeat_s: float = 60) -> None:
        async def whole() -> None:
            hub = Hub(
                fakes.outputs, CollectorRegistry(), fakes.now_ms, bound=bound, heartbeat_s=heartbeat_s, stalled_s=60
            )
            reader = asyncio.create_task(hub.run())
            try:
                async with asyncio.timeout(10):
                    await scenario(hub)
            finally:
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)

        asyncio.run(whole())

    return run


def put(hub: Hub, *outputs: dict[str, object], ms: int = 1) -> None:
    hub.publish([(0, EntryId(ms, 0), b"\n".join(json.dumps(output).encode() for output in outputs))])


async def admin(hub: Hub) -> Client:
    return await hub.subscribe(View(ADMIN, None))


def test_what_the_log_says_reaches_a_client_with_the_position_as_its_id(run, fakes):
    fakes.outputs.add(0, 5, crossing(0))

    async def scenario(hub: Hub) -> None:
        client = await admin(hub)
        fakes.outputs.add(0, 10, crossing(1), occupancy(4))
        block = await client.take()
        assert [kind for kind, _ in events(block)] == ["crossing", "occupancy"]
        assert block.endswith(hub.mark)
        assert hub.positions == {0: EntryId(10, 0), 1: EntryId(0, 0)}

    run(scenario)


def test_clients_share_the_bytes_of_an_event(run):
    async def scenario(hub: Hub) -> None:
        first, second = await admin(hub), await admin(hub)
        put(hub, crossing(1))
        [one], [other] = first._drain(), second._drain()
        assert one.full is other.full

    run(scenario)


def test_of_an_occupancy_only_the_newest_value_waits(run):
    async def scenario(hub: Hub) -> None:
        client = await admin(hub)
        put(hub, occupancy(1), occupancy(7, zone="deli"), crossing(1), occupancy(2), occupancy(3))
        assert events(await client.take()) == [
            ("occupancy", occupancy(7, zone="deli")),
            ("crossing", crossing(1)),
            ("occupancy", occupancy(3)),
        ]

    run(scenario)


def test_a_slow_client_loses_the_oldest_events_and_is_told_how_many(run):
    async def scenario(hub: Hub) -> None:
        slow, quick = await admin(hub), await admin(hub)
        for number in range(10):
            put(hub, crossing(number), occupancy(number))
            await quick.take()
        kinds = events(await slow.take())
        assert kinds[0] == ("lagged", {"dropped": 6})
        assert [data["id"] for kind, data in kinds if kind == "crossing"] == ["c6", "c7", "c8", "c9"]
        assert [data["mean"] for kind, data in kinds if kind == "occupancy"] == [9]
        put(hub, crossing(10))
        assert events(await slow.take()) == [("crossing", crossing(10))]
        assert quick.dropped == 0

    run(scenario)


def test_a_client_sees_its_stores_only_and_no_device_below_analyst(run):
    async def scenario(hub: Hub) -> None:
        client = await hub.subscribe(View(STAFF, None))
        put(
            hub,
            crossing(1, store="market"),
            {"kind": "crossing", "id": "phone-1:9", "device": "phone-1", "store": "harbour", "role": "near"},
            {
                "kind": "offer",
                "device": "phone-1",
                "store": "harbour",
                "code": "XYZ",
                "evidence": {"by": "cap:phone-1"},
            },
            {"kind": "rejected", "topic": "geo/v1/ping/phone-1", "reason": "no"},
            crossing(2, store=None),
        )
        assert events(await client.take()) == [
            ("crossing", {"kind": "crossing", "store": "harbour", "role": "near"}),
            ("offer", {"kind": "offer", "store": "harbour"}),
        ]

    run(scenario)


def test_wanted_stores_narrow_what_an_admin_sees(run):
    async def scenario(hub: Hub) -> None:
        client = await hub.subscribe(View(ADMIN, frozenset({"market"})))
        put(hub, crossing(1), crossing(2, store="market"), {"kind": "rejected", "topic": "x", "reason": "y"})
        assert events(await client.take()) == [("crossing", crossing(2, store="market"))]

    run(scenario)


def test_kinds_that_are_not_streamed_and_lines_that_cannot_be_read_are_left_out(run):
    async def scenario(hub: Hub) -> None:
        client = await admin(hub)
        lines = b'{"kind":"visit","store":"harbour"}\nnot json\n{"kind":"crossing","store":"harbour"}'
        hub.publish([(0, EntryId(3, 0), lines)])
        assert [kind for kind, _ in events(await client.take())] == ["crossing"]

    run(scenario)


def test_a_lost_server_ends_no_stream_and_nothing_is_missed(run, fakes):
    async def scenario(hub: Hub) -> None:
        client = await admin(hub)
        fakes.outputs.down = True
        while hub.up:  # noqa: ASYNC110 - the hub has nobody to tell but the readiness check
            await asyncio.sleep(0.01)
        fakes.outputs.add(1, 20, crossing(1))
        fakes.outputs.down = False
        assert events(await client.take()) == [("crossing", crossing(1))]
        assert hub.up

    run(scenario)


def test_a_heartbeat_comes_when_nothing_else_does(run):
    async def scenario(hub: Hub) -> None:
        client = await admin(hub)
        block = await client.take()
        assert events(block) == [("heartbeat", {"time": "2026-03-01T12:00:00Z"})]
        assert block.endswith(hub.mark)

    run(scenario, heartbeat_s=0.02)


def test_closing_ends_every_stream_after_what_is_buffered(run):
    async def scenario(hub: Hub) -> None:
        client = await admin(hub)
        put(hub, crossing(1))
        hub.close()
        assert events(await client.take()) == [("crossing", crossing(1))]
        assert await client.take() == b""

    run(scenario)


def test_the_newest_events_are_kept_for_who_comes_later(run):
    async def scenario(hub: Hub) -> None:
        await admin(hub)
        put(hub, *(crossing(number) for number in range(300)), occupancy(3))
        recent = hub.recent(View(ADMIN, None), 2)
        assert [json.loads(event._line)["id"] for event in recent] == ["c298", "c299"]
        assert hub.recent(View(ADMIN, None), 0) == []

    run(scenario)


def test_a_reader_that_ends_unasked_makes_the_process_unready(fakes, monkeypatch):
    async def scenario() -> None:
        hub = Hub(fakes.outputs, CollectorRegistry(), fakes.now_ms, bound=4, heartbeat_s=0.0, stalled_s=60)
        monkeypatch.setattr(hub, "heartbeat", lambda: 1 / 0)
        reader = asyncio.create_task(hub.run())
        reader.add_done_callback(hub.ended)
        await asyncio.wait([reader], timeout=10)
        await asyncio.sleep(0)
        assert not hub.up
        with pytest.raises(UnreachableError):
            await hub.subscribe(View(ADMIN, None))

    asyncio.run(scenario())


def test_who_is_forgotten_is_not_among_the_recent_events_any_more(fakes):
    hub = Hub(fakes.outputs, CollectorRegistry(), fakes.now_ms, bound=8, heartbeat_s=60, stalled_s=60)
    view = View(ADMIN, None)

    def say(**fields):
        hub.publish([(0, EntryId(1, 0), json.dumps({"kind": "crossing", "store": "harbour"} | fields).encode())])

    for device in ("phone-1", "phone-2", "phone-1"):
        say(device=device)
    say(device="phone-1", reason="forgotten")
    assert [json.loads(event.full.partition(b"data: ")[2])["device"] for event in hub.recent(view, 9)] == ["phone-2"]
    hub.forget("phone-2")
    assert hub.recent(view, 9) == []
