"""The API on fakes of its ports: what they are given is kept, what they answer is set by the test."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from geo_service.api.app import ApiSettings, build_app
from geo_service.api.places import LivePlaces
from geo_service.api.server import server
from geo_service.api.services import Accepted, Refused, Services
from geo_service.catalogue.site import Kind
from geo_service.errors import UnreachableError, VersionConflictError
from geo_service.flow.entries import START, EntryId
from geo_service.principals import BY_ROLE, DEVICE, PUBLISHABLE, SECRET, Action, DeviceToken, Principal, Role, Session

NOW_MS = 1_772_366_400_000


def key(name: str, actions: frozenset[Action] = SECRET, stores: set[str] | None = None) -> Principal:
    scope = None if stores is None else frozenset(stores)
    return Principal(kind="secret", id=name, actions=actions, stores=scope)


def person(role: Role, stores: set[str] | None = None) -> Principal:
    scope = None if stores is None else frozenset(stores)
    return Principal(kind="person", id=f"the-{role}", actions=BY_ROLE[role], stores=scope, role=role)


@dataclass
class FakeIntake:
    answer: Accepted = field(default_factory=lambda: Accepted(1, ()))
    taken: list[tuple[str, bytes, str | None]] = field(default_factory=list)
    down: bool = False

    def take(self, topic: str, payload: bytes, *, device: str | None = None) -> Accepted:
        if self.down:
            raise UnreachableError("redis at localhost:6379", "refused")
        self.taken.append((topic, payload, device))
        return self.answer

    def refuse(self, *problems: tuple[int | None, str | None, str], accepted: int = 0) -> None:
        self.answer = Accepted(accepted, [Refused(*problem) for problem in problems])


class Stored(NamedTuple):
    version: int
    document: bytes


class Written(NamedTuple):
    version: int
    is_new: bool


class Changed(NamedTuple):
    version: int
    documents: dict[tuple[Kind, str], Stored | None]


@dataclass
class FakeCatalogue:
    documents: dict[tuple[Kind, str], bytes] = field(default_factory=dict)
    known: set[tuple[Kind, str]] = field(default_factory=set)
    versions: dict[tuple[Kind, str], tuple[int, bytes]] = field(default_factory=dict)

    def add(self, kind: Kind, key: str, **fields: object) -> None:
        self.documents[kind, key] = json.dumps({"id": key, **fields}).encode()

    def get(self, kind: Kind, key: str) -> bytes | None:
        return self.documents.get((kind, key))

    def find(self, kind: Kind, key: str) -> Stored | None:
        document = self.documents.get((kind, key))
        if document is None:
            return None
        version, as_of = self.versions.get((kind, key), (0, b""))
        if as_of != document:  # tests write straight into `documents`, too
            version = 1 + max((number for number, _ in self.versions.values()), default=0)
            self.versions[kind, key] = version, document
        return Stored(version, document)

    def version(self) -> int:
        return hash(frozenset(self.documents.items()))

    def since(self, version: int) -> Changed:
        """All of them, and what is gone: a catalogue may say more than was changed."""
        gone = {name: None for name in self.known if name not in self.documents}
        self.known |= self.documents.keys()
        return Changed(self.version(), {name: Stored(0, body) for name, body in self.documents.items()} | gone)

    def page(self, kind: Kind, after: str | None, limit: int) -> Sequence[tuple[str, bytes]]:
        keys = sorted(name for of, name in self.documents if of == kind and (after is None or name > after))
        return [(name, self.documents[kind, name]) for name in keys[:limit]]

    def put(self, kind: Kind, key: str, document: bytes, *, expected: int | None = None) -> Written:
        before = self.find(kind, key)
        self._expect(kind, key, expected, document)
        self.documents[kind, key] = document
        after = self.find(kind, key)
        assert after is not None
        return Written(after.version, before is None)

    def remove(self, kind: Kind, key: str, *, expected: int | None = None) -> bool:
        self._expect(kind, key, expected, None)
        return self.documents.pop((kind, key), None) is not None

    def _expect(self, kind: Kind, key: str, expected: int | None, document: bytes | None) -> None:
        stored = self.find(kind, key)
        found = stored.version if stored else 0
        if expected not in {None, found} and document != (stored.document if stored else None):
            raise VersionConflictError(kind, key, expected or 0, found)


@dataclass
class FakeCurrent:
    values: dict[str, list[bytes]] = field(default_factory=dict)
    names: dict[str, bytes] = field(default_factory=dict)
    standing: dict[str, bytes] = field(default_factory=dict)
    """Alerts, by store."""

    def alerts(self, stores: Sequence[str] | None = None) -> Sequence[bytes]:
        return [line for store, line in self.standing.items() if stores is None or store in stores]

    def named(self, names: Sequence[str]) -> Mapping[str, bytes]:
        return {name: self.names[name] for name in names if name in self.names}

    def occupancy(self, stores: Sequence[str] | None = None) -> Mapping[str, Sequence[bytes]]:
        return {store: lines for store, lines in self.values.items() if stores is None or store in stores}


@dataclass
class FakeOutputs:
    """One list of outputs a partition; `kept_from` plays a trimmed log."""

    partitions: dict[int, list[tuple[EntryId, bytes]]] = field(default_factory=lambda: {0: [], 1: []})
    down: bool = False
    reads: int = 0

    def add(self, partition: int, ms: int, *outputs: dict[str, object]) -> None:
        lines = b"\n".join(json.dumps(output).encode() for output in outputs)
        self.partitions[partition].append((EntryId(ms, 0), lines))

    async def ends(self) -> dict[int, EntryId]:
        self._reach()
        return {name: rows[-1][0] if rows else START for name, rows in self.partitions.items()}

    async def read(
        self, after: Mapping[int, EntryId], limit: int, wait_s: float
    ) -> Sequence[tuple[int, EntryId, bytes]]:
        self._reach()
        self.reads += 1
        found = [
            (name, position, lines)
            for name, rows in self.partitions.items()
            for position, lines in [row for row in rows if row[0] > after.get(name, START)][:limit]
        ]
        if not found and wait_s:
            await asyncio.sleep(0.01)
        return found

    async def close(self) -> None:
        """Nothing is open."""

    def _reach(self) -> None:
        if self.down:
            raise UnreachableError("redis at localhost:6379", "refused")


@dataclass
class FakeAccounts:
    keys: dict[str, Principal] = field(default_factory=dict)
    sessions: dict[str, Principal] = field(default_factory=dict)
    people: dict[tuple[str, str], Principal] = field(default_factory=dict)
    devices: set[str] = field(default_factory=set)

    def identify(self, credential: str) -> Principal | None:
        return self.keys.get(credential)

    def resume(self, session: str) -> Principal | None:
        return self.sessions.get(session)

    def log_in(self, name: str, password: str) -> Session | None:
        principal = self.people.get((name, password))
        if principal is None:
            return None
        self.sessions["fresh"] = principal
        return Session("fresh", principal, 43_200)

    def log_out(self, session: str) -> None:
        self.sessions.pop(session, None)

    def forget_device(self, device: str) -> bool:
        was_there = device in self.devices
        self.devices.discard(device)
        return was_there

    def register(self, device: str | None) -> DeviceToken | None:
        name = device or f"d-{len(self.devices)}"
        if name in self.devices:
            return None
        self.devices.add(name)
        return DeviceToken(name, f"token-of-{name}")


@dataclass
class FakeLimits:
    counts: dict[str, int] = field(default_factory=dict)

    def take(self, key: str, *, limit: int, window_s: float) -> float:
        self.counts[key] = self.counts.get(key, 0) + 1
        return 0.0 if self.counts[key] <= limit else window_s


@dataclass
class FakeOffers:
    offers: dict[str, list[bytes]] = field(default_factory=dict)
    pulled: list[str] = field(default_factory=list)

    def of(self, device: str, limit: int) -> list[bytes]:
        return self.offers.get(device, [])[:limit]

    def find(self, offer_id: str) -> None:
        return None

    def fared(self, fates: Mapping[str, str], at_ms: int) -> None:
        self.pulled += list(fates)

    def forget(self, device: str) -> None:
        self.offers.pop(device, None)


@dataclass
class Fakes:
    intake: FakeIntake = field(default_factory=FakeIntake)
    catalogue: FakeCatalogue = field(default_factory=FakeCatalogue)
    current: FakeCurrent = field(default_factory=FakeCurrent)
    outputs: FakeOutputs = field(default_factory=FakeOutputs)
    accounts: FakeAccounts = field(default_factory=FakeAccounts)
    limits: FakeLimits = field(default_factory=FakeLimits)
    nearby: LivePlaces | None = None
    offers: FakeOffers = field(default_factory=FakeOffers)
    now_ms: Callable[[], int] = field(default=lambda: NOW_MS)
    checks: dict[str, str | None] = field(default_factory=lambda: {"redis": None})

    def __post_init__(self) -> None:
        self.nearby = LivePlaces(self.catalogue)

    def services(self) -> Services:
        return Services(
            intake=self.intake,
            catalogue=self.catalogue,
            current=self.current,
            outputs=self.outputs,
            accounts=self.accounts,
            limits=self.limits,
            now_ms=self.now_ms,
            checks=lambda: self.checks,
            nearby=self.nearby,
            offers=self.offers,
        )


@pytest.fixture
def fakes() -> Fakes:
    """A small town with one of each credential; `Bearer` texts are the names used in the tests."""
    fakes = Fakes()
    fakes.accounts.keys = {
        "sk_all": key("all"),
        "sk_harbour": key("harbour-office", stores={"harbour"}),
        "sk_readonly": key("reader", actions=frozenset({Action.READ})),
        "pk_app": Principal(kind="publishable", id="app", actions=PUBLISHABLE),
        "token-1": Principal(kind="device", id="phone-1", actions=DEVICE),
    }
    fakes.accounts.people = {("ada", "correct horse"): person("manager")}
    fakes.accounts.sessions = {
        "admin": person("admin"),
        "manager": person("manager", {"harbour"}),
        "staff": person("staff", {"harbour"}),
        "analyst": person("analyst"),
    }
    for store in ("harbour", "market"):
        fakes.catalogue.add("store", store, name=store.title(), lat=60.17, lon=24.94, timezone="Europe/Helsinki")
    fakes.catalogue.add("sensor", "door-1", store="harbour")
    fakes.catalogue.add("sensor", "door-2", store="market")
    return fakes


class Switch:
    """Stands for one port and passes everything on to the fake of the test that is running."""

    def __init__(self, current: dict[str, Fakes], port: str) -> None:
        self._current = current
        self._port = port

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(self._current["fakes"], self._port), name)


@pytest.fixture(scope="session")
def shared() -> Iterator[tuple[TestClient, dict[str, Fakes]]]:
    """One app for all tests that only ask and answer: making one takes longer than most of them."""
    current = {"fakes": Fakes()}
    ports: dict[str, Any] = {port: Switch(current, port) for port in Fakes.__dataclass_fields__}
    ports |= {
        "now_ms": lambda: current["fakes"].now_ms(),  # noqa: PLW0108 - of the test that is running
        "checks": lambda: current["fakes"].checks,
    }
    with TestClient(build_app(Services(**ports))) as client:
        yield client, current


@pytest.fixture
def client(fakes: Fakes, shared: tuple[TestClient, dict[str, Fakes]]) -> TestClient:
    client, current = shared
    current["fakes"] = fakes
    client.cookies.clear()
    return client


Headers = dict[str, str]


@pytest.fixture
def bearer() -> Callable[[str], Headers]:
    return lambda credential: {"Authorization": f"Bearer {credential}"}


class Served:
    """The app behind a real server on a port of its own."""

    def __init__(self, app: Litestar, port: int = 0) -> None:
        self.app = app
        self.server = server(app, host="127.0.0.1", port=port)
        self._thread = threading.Thread(target=self.server.run)

    def __enter__(self) -> Self:
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self.server.started:
            assert self._thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    def stop(self) -> None:
        """Ask it to stop, as a signal does, and wait until it has."""
        self.server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()

    def is_running(self) -> bool:
        return self._thread.is_alive()

    def __exit__(self, *_: object) -> None:
        self.stop()


@pytest.fixture
def make_app() -> Iterator[Callable[..., Served]]:
    """Serve an app on these services, under given settings."""
    with ExitStack() as stack:
        yield lambda services, **settings: stack.enter_context(Served(build_app(services, ApiSettings(**settings))))


@pytest.fixture
def make_served(fakes: Fakes, make_app: Callable[..., Served]) -> Callable[..., Served]:
    """Serve the fakes, under given settings."""
    return lambda **settings: make_app(fakes.services(), **settings)


@pytest.fixture
def served(make_served: Callable[..., Served]) -> Served:
    return make_served(heartbeat_s=0.5)
