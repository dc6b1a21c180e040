"""A partition with one store: what it says, and the values that it leaves behind."""

import json
from datetime import UTC, datetime
from typing import Any

from geo_service import outputs
from geo_service.catalogue.documents import Capacity, Fence, Sensor, Store
from geo_service.catalogue.site import Site, encode_document
from geo_service.flow.entries import Change, Changes, Entry, EntryId, Readings, Tick
from geo_service.flow.ledger import MemoryLedger
from geo_service.flow.partition import Partition, Rules
from sensors.instants import millis
from sensors.readings import Reading

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
DAY = 24 * HOUR
T0 = millis(datetime(2026, 6, 1, 8, tzinfo=UTC))  # a Monday
STEP_MS = 5 * MINUTE
POINT = {"type": "Point", "coordinates": [25.0, 60.0]}


def store(**fields: Any) -> Store:
    fields = {"capacity": Capacity(comfort=10, legal=20)} | fields
    return Store(id="s1", name="One", lat=60, lon=25, **fields)


class Town:
    """One partition with one store, and the values that its steps left behind."""

    def __init__(self, store_: Store | None = None, *sensors: Sensor, fences: tuple[Fence, ...] = ()) -> None:
        self.partition = Partition(0, 1, MemoryLedger(), Rules())
        self.values: dict[str, bytes] = {}
        self.said: list[outputs.AnyOutput] = []
        self.now_ms, self.seq = T0, 0
        site = Site(
            store={"s1": store_ or store()},
            fence={fence.id: fence for fence in fences},
            sensor={sensor.id: sensor for sensor in sensors or (Sensor(id="door", store="s1"),)},
        )
        self.change(*[(kind, key, encode_document(document)) for kind, key, document in site.documents()])

    def change(self, *changes: tuple[str, str, bytes | None]) -> list[outputs.AnyOutput]:
        return self.feed(Changes([Change(*change) for change in changes]))

    def feed(self, body: Any) -> list[outputs.AnyOutput]:
        # A tick at which nothing happens changes nothing, so it must not change an id either.
        self.seq += not isinstance(body, Tick)
        step = self.partition.advance(Entry(EntryId(self.now_ms, 0 if isinstance(body, Tick) else self.seq), body))
        for name, value in step.values.items():
            if value is None:
                self.values.pop(name, None)
            else:
                self.values[name] = value
        self.said += step.outputs
        return step.outputs

    def read(self, at_ms: int, **reading: Any) -> list[outputs.AnyOutput]:
        """A reading, and what is said within a second of it."""
        self.pass_time(at_ms)
        said = self.feed(Readings([Reading(**({"sensor": "door", "kind": "delta"} | reading))]))
        return said + self.pass_time(at_ms + SECOND)

    def pass_time(self, until_ms: int) -> list[outputs.AnyOutput]:
        """Tick at whole seconds when something is due, as a replay does."""
        said = []
        while (due_ms := self.partition.next_due_ms()) is not None and (
            at_ms := -(-due_ms // SECOND) * SECOND
        ) <= until_ms:
            self.now_ms = max(at_ms, self.now_ms)
            said += self.feed(Tick())
        self.now_ms = max(until_ms, self.now_ms)
        return said

    def status(self, sensor: str = "door") -> dict[str, Any]:
        return json.loads(self.values[f"status:{sensor}"])

    def reload(self) -> None:
        self.partition = Partition.load(self.partition.dump(), 0, 1, MemoryLedger(), Rules())


def of(kind: type, said: list[outputs.AnyOutput]) -> list[Any]:
    return [output for output in said if isinstance(output, kind)]


def alerts(said: list[outputs.AnyOutput]) -> list[tuple[str, str]]:
    return [(alert.alert, alert.state) for alert in of(outputs.Alert, said)]
