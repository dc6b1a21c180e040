"""Strict presence against the plainest thing that could be right: every ping, every fence, one after another."""

from dataclasses import dataclass, field

import shapely
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from geo_service.catalogue.documents import Fence
from geo_service.geofences.events import Event
from geo_service.geofences.presence import Presence
from geo_service.pings.batch import PingBatch

NOON = 1_780_000_000_000
GRID = 0.001
TYPE_ORDER = ["exit", "cross", "enter", "dwell"]


def batch(rows):
    """PingBatch of (device, time_ms, x, y, mock) on the grid."""
    return PingBatch.from_rows(
        [
            (device, time, y * GRID, x * GRID, 10.0, float("nan"), float("nan"), mock)
            for device, time, x, y, mock in rows
        ]
    )


def crosses(shape, lon0, lat0, lon1, lat1):
    """The way passes through, and does not begin within."""
    return shape.intersects(shapely.LineString([(lon0, lat0), (lon1, lat1)])) and not shape.covers(
        shapely.Point(lon0, lat0)
    )


@dataclass
class Plain:
    """Presence, one ping at a time."""

    fences: dict = field(default_factory=dict)
    shapes: dict = field(default_factory=dict)
    devices: dict = field(default_factory=dict)
    stays: dict = field(default_factory=dict)
    now: int = 0
    refused: list = field(default_factory=list)

    def event(self, kind, device, fence, time, enter=None, reason="observed", confidence=1.0):
        seen, about = self.devices[device], self.fences[fence]
        return Event(
            kind, device, fence, about.store, about.role, time, seen["lat"], seen["lon"], 10.0, confidence,
            None if enter is None else max(time - enter, 0), reason, bool(seen["mock"]),
        )  # fmt: skip

    def asked(self, events):
        return [event for event in events if event.type in self.fences[event.fence].detect]

    def due(self, now):
        """Settle instant by instant."""
        self.now = max(now, self.now)
        events = []
        while True:
            instants = []
            for (device, fence), stay in self.stays.items():
                about = self.fences[fence]
                silent = self.devices[device]["logged"] + round(about.silence_s * 1000)
                instants.append(silent)
                if about.dwell_s is not None and not stay["dwelt"]:
                    instants.append(stay["logged"] + round(about.dwell_s * 1000))
            at = min(instants, default=self.now + 1)
            if at > self.now:
                return self.asked(events)
            here = []
            for (device, fence), stay in list(self.stays.items()):
                about = self.fences[fence]
                if self.devices[device]["logged"] + round(about.silence_s * 1000) <= at:
                    here.append(
                        self.event("exit", device, fence, self.devices[device]["time"], stay["enter"], "silence", 0.5)
                    )
                    del self.stays[device, fence]
                elif about.dwell_s is not None and not stay["dwelt"]:
                    dwell = round(about.dwell_s * 1000)
                    if stay["logged"] + dwell <= at:
                        here.append(self.event("dwell", device, fence, stay["enter"] + dwell, stay["enter"]))
                        stay["dwelt"] = True
            events += sorted(here, key=lambda e: (e.device, TYPE_ORDER.index(e.type), e.fence))

    def ping(self, device, time, x, y, mock, logged):
        events = self.due(logged)
        if time < self.now - 86_400_000:
            self.refused.append("too_old")
            return events
        if time > self.now + 120_000:
            self.refused.append("skewed")
            time = self.now
        seen = self.devices.get(device)
        if seen and time <= seen["time"]:
            self.refused.append("duplicate" if time == seen["time"] else "late")
            return events
        lat, lon = y * GRID, x * GRID
        point = shapely.Point(lon, lat)
        before = dict(seen) if seen else None
        self.devices[device] = {"time": time, "logged": self.now, "lat": lat, "lon": lon, "mock": mock}
        here = []
        for fence, shape in self.shapes.items():
            about, stay = self.fences[fence], self.stays.get((device, fence))
            dwell = None if about.dwell_s is None else round(about.dwell_s * 1000)
            if shape.covers(point):
                if stay is None:
                    stay = self.stays[device, fence] = {"enter": time, "logged": self.now, "dwelt": False}
                    here.append(self.event("enter", device, fence, time))
                if dwell is not None and not stay["dwelt"] and time - stay["enter"] >= dwell:
                    stay["dwelt"] = True
                    here.append(self.event("dwell", device, fence, stay["enter"] + dwell, stay["enter"]))
            elif stay is not None:
                here.append(self.event("exit", device, fence, time, stay["enter"]))
                del self.stays[device, fence]
            elif before and time - before["time"] <= 300_000 and crosses(shape, before["lon"], before["lat"], lon, lat):
                here.append(self.event("cross", device, fence, time))
        return events + sorted(self.asked(here), key=lambda e: (TYPE_ORDER.index(e.type), e.fence))

    def put(self, fence, now):
        events = self.due(now)
        if fence.disabled:
            return events + self.drop(fence.id, "fence_changed")
        here = []
        known = self.fences.get(fence.id)
        self.fences[fence.id] = fence
        self.shapes[fence.id] = shapely.geometry.shape(fence.geometry)
        for (device, name), stay in list(self.stays.items()):
            seen = self.devices[device]
            if name == fence.id and known.dwell_s != fence.dwell_s:
                stay["logged"] = stay["enter"]
            if name == fence.id and not self.shapes[name].covers(shapely.Point(seen["lon"], seen["lat"])):
                time = max(self.now, seen["time"])
                here.append(self.event("exit", device, name, time, stay["enter"], "fence_changed"))
                del self.stays[device, name]
        return events + self.asked(sorted(here, key=lambda e: e.device))

    def drop(self, fence, reason):
        here = []
        for (device, name), stay in list(self.stays.items()):
            if name == fence:
                time = max(self.now, self.devices[device]["time"])
                here.append(self.event("exit", device, name, time, stay["enter"], reason))
                del self.stays[device, name]
        here = self.asked(sorted(here, key=lambda e: e.device))
        self.fences.pop(fence, None)
        self.shapes.pop(fence, None)
        return here

    def remove(self, fence, now):
        return self.due(now) + self.drop(fence, "fence_removed")

    def forget(self, device, now):
        events = self.due(now)
        here = []
        for (who, name), stay in list(self.stays.items()):
            if who == device:
                time = max(self.now, self.devices[device]["time"])
                here.append(self.event("exit", device, name, time, stay["enter"], "forgotten"))
                del self.stays[who, name]
        here = self.asked(sorted(here, key=lambda e: e.fence))
        self.devices.pop(device, None)
        return events + here


# --- random worlds ---------------------------------------------------------------------------------------------------

corner = st.integers(0, 6)


@st.composite
def geometries(draw):
    """A box, perhaps with a hole, or a triangle, or two boxes; corners on the grid, so that points fall on edges."""
    x, y, w, h = draw(corner), draw(corner), draw(st.integers(2, 9)), draw(st.integers(2, 9))

    def ring(*corners):
        return [[a * GRID, b * GRID] for a, b in (*corners, corners[0])]

    box = ring((x, y), (x + w, y), (x + w, y + h), (x, y + h))
    kind = draw(st.sampled_from(["box", "holed", "triangle", "two"]))
    if kind == "holed" and w > 2 and h > 2:
        hole = ring((x + 1, y + 1), (x + 1, y + h - 1), (x + w - 1, y + h - 1), (x + w - 1, y + 1))
        return {"type": "Polygon", "coordinates": [box, hole]}
    if kind == "triangle":
        return {"type": "Polygon", "coordinates": [ring((x, y), (x + w, y), (x + draw(st.integers(0, w)), y + h))]}
    if kind == "two":
        x += w + draw(st.integers(1, 3))
        return {"type": "MultiPolygon", "coordinates": [[box], [ring((x, y), (x + 2, y), (x + 2, y + 1), (x, y + 1))]]}
    return {"type": "Polygon", "coordinates": [box]}


@st.composite
def fences(draw):
    changes = st.lists(st.sampled_from(TYPE_ORDER), unique=True, max_size=4).map(tuple)
    return Fence(
        id=draw(st.sampled_from("abcde")),
        geometry=draw(geometries()),
        dwell_s=draw(st.sampled_from([None, None, 0, 20, 45.5, 120])),
        silence_s=draw(st.sampled_from([60, 90, 1800])),
        detect=draw(st.sampled_from([("enter", "dwell", "exit"), tuple(TYPE_ORDER)]) | changes),
        role=draw(st.sampled_from(["near", "store"])),
        store=draw(st.sampled_from([None, "s1"])),
    )


offsets = st.integers(-5, 50) | st.integers(-5, 50) | st.sampled_from([-90_000, -600, 119, 121, 300, -86_400])
pings = st.tuples(
    st.sampled_from(["d1", "d2", "d10"]), offsets, st.integers(0, 10), st.integers(0, 10), st.sampled_from([0, 0, 1])
)
wait = st.sampled_from([0, 1, 300, 1_000, 10_000, 20_000, 45_500, 60_000, 200_000])
steps = st.one_of(
    st.tuples(st.just("pings"), wait, st.lists(pings, min_size=5, max_size=16)),
    st.tuples(st.just("pings"), wait, st.lists(pings, min_size=5, max_size=16)),
    st.tuples(st.just("tick"), wait, st.none()),
    st.tuples(st.just("put"), wait, fences()),
    st.tuples(st.just("disable"), wait, fences()),
    st.tuples(st.just("remove"), wait, st.sampled_from("abcde")),
    st.tuples(st.just("forget"), wait, st.sampled_from(["d1", "d2"])),
)
histories = st.tuples(st.lists(fences(), min_size=3, max_size=6), st.lists(steps, min_size=6, max_size=25))


def disabled(fence):
    return Fence(id=fence.id, geometry=fence.geometry, disabled=True)


def told(presence, step, now, cut):
    """The events of one step; pings in batches of `cut`."""
    kind, _, what = step
    if kind == "pings":
        rows = [(device, now + offset * 1000, x, y, mock) for device, offset, x, y, mock in what]
        parts = [rows[i : i + cut] for i in range(0, len(rows), cut)]
        return [event for part in parts for event in presence.advance(batch(part), now).events]
    if kind == "tick":
        return presence.tick(now)
    if kind == "put":
        return presence.put_fence(what, now)
    if kind == "disable":
        return presence.put_fence(disabled(what), now)
    return presence.remove_fence(what, now) if kind == "remove" else presence.forget(what, now)


def expected(plain, step, now):
    kind, _, what = step
    if kind == "pings":
        return [
            event
            for device, offset, x, y, mock in what
            for event in plain.ping(device, now + offset * 1000, x, y, mock, now)
        ]
    if kind == "tick":
        return plain.due(now)
    if kind == "put":
        return plain.put(what, now)
    if kind == "disable":
        return plain.put(disabled(what), now)
    return plain.remove(what, now) if kind == "remove" else plain.forget(what, now)


@settings(max_examples=100, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(histories, st.integers(1, 12), st.integers(0, 25))
def test_strict_presence_equals_brute_force_event_for_event(history, cut, reload_at):
    initial, todo = history
    presence, plain = Presence("strict"), Plain()
    now = NOON
    for fence in initial:
        assert presence.put_fence(fence, now) == plain.put(fence, now)
    for number, step in enumerate(todo):
        now += step[1]
        assert told(presence, step, now, cut) == expected(plain, step, now)
        for fence in plain.fences:
            here = sum(name == fence for _, name in plain.stays)
            assert presence.inside(fence) == here
        if number == reload_at:
            presence = Presence.load(presence.dump(), plain.fences.values())
