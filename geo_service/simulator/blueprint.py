"""The made town of Quillmere: its site folder, written from a few tables; no random number, so the bytes are always the same.

It lies on the open sea, in the Bay of Biscay where it is four kilometres deep: no real place, street or shop is meant.
"""

import json
import math
from pathlib import Path
from typing import Any

from geo_service.simulator.layout import CAMPAIGNS, HOURS, PRODUCTS, STORES, StoreTable
from geo_service.simulator.plan import STREETS
from geo_service.simulator.plane import Plane, Point

_PLANE = Plane(45.6, -6.4)
_TIMEZONE = "Europe/Paris"
_TURN = math.radians(14)
"""The town is not square with the meridians, so that no edge of a store is either."""
_EAST_WEST = range(-600, 601, 200)
_NORTH_SOUTH = range(-800, 801, 200)
_OUTSKIRTS_M = 250

Json = dict[str, Any]


def position(x: float, y: float) -> list[float]:
    """Metres of the town's own grid as a GeoJSON position; 7 decimals are a centimetre."""
    east = x * math.cos(_TURN) - y * math.sin(_TURN)
    north = x * math.sin(_TURN) + y * math.cos(_TURN)
    lon, lat = _PLANE.degrees(east, north)
    return [round(lon, 7), round(lat, 7)]


def write(folder: Path) -> None:
    """Write the site as `docs/simulator.md` describes it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in documents().items():
        (folder / name).write_text(content, encoding="utf-8")


def documents() -> dict[str, str]:
    """The files of the folder, by name."""
    stores = [_store(table) for table in STORES]
    return {
        "stores.json": _list(stores),
        "fences.geojson": _collection([feature for table in STORES for feature in _fences(table)]),
        "sensors.json": _list([sensor for table in STORES for sensor in _sensors(table)]),
        "campaigns.json": _list(CAMPAIGNS),
        "products.json": _list([product for products in PRODUCTS.values() for product in products]),
        "stock.json": _list([level for table in STORES for level in _stock(table)]),
        STREETS: _collection([*_streets(), *(door for table in STORES for door in _doors(table))]),
    }


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _list(items: list[Json]) -> str:
    return "[\n" + ",\n".join(f" {_line(item)}" for item in items) + "\n]\n"


def _collection(features: list[Json]) -> str:
    return '{"type": "FeatureCollection", "features": ' + _list(features).rstrip() + "}\n"


def _feature(geometry: Json, properties: Json, feature_id: str | None = None) -> Json:
    named = {} if feature_id is None else {"id": feature_id}
    return {"type": "Feature", **named, "geometry": geometry, "properties": properties}


def _centre(table: StoreTable) -> Point:
    ring = table.parts[0][0]
    return sum(x for x, _ in ring) / len(ring), sum(y for _, y in ring) / len(ring)


def _store(table: StoreTable) -> Json:
    lon, lat = position(*_centre(table))
    area = sum(_area(outer) - sum(_area(hole) for hole in holes) for outer, *holes in table.parts)
    opening = {} if table.hours is None else {"hours": HOURS[table.hours]}
    return {
        "id": table.id,
        "name": table.name,
        "timezone": _TIMEZONE,
        "lat": lat,
        "lon": lon,
        "address": f"{table.address}, Quillmere",
        **opening,
        "area_m2": round(area),
        "capacity": {"comfort": table.comfort, "legal": table.legal},
        "services": table.services,
        "tags": table.tags,
    }


def _signed_area(ring: list[Point]) -> float:
    following = [*ring[1:], ring[0]]
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(ring, following, strict=True)) / 2


def _area(ring: list[Point]) -> float:
    return abs(_signed_area(ring))


def _ring(ring: list[Point], *, hole: bool = False) -> list[list[float]]:
    """Closed, counterclockwise, holes clockwise (RFC 7946 section 3.1.6)."""
    turned = [*reversed(ring)] if (_signed_area(ring) > 0) == hole else ring
    return [position(x, y) for x, y in [*turned, turned[0]]]


def _polygons(table: StoreTable) -> Json:
    polygons = [[_ring(outer), *(_ring(hole, hole=True) for hole in holes)] for outer, *holes in table.parts]
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _polygon(ring: list[Point]) -> Json:
    return {"type": "Polygon", "coordinates": [_ring(ring)]}


def _fences(table: StoreTable) -> list[Json]:
    store = table.id
    around = {"type": "Point", "coordinates": position(*_centre(table))}
    near = {"store": store, "role": "near", "radius_m": table.near_m, "dwell_s": 180}
    fences = [
        _feature(around, near, f"{store}.near"),
        _feature(_polygons(table), {"store": store, "role": "store", "dwell_s": 120}, f"{store}.store"),
    ]
    if table.curbside:
        properties = {"store": store, "role": "curbside", "dwell_s": 60, "exit_after_s": 30}
        fences.append(_feature(_polygon(table.curbside), properties, f"{store}.curbside"))
    for zone, ring in table.zones.items():
        fences.append(_feature(_polygon(ring), {"store": store, "role": "zone", "dwell_s": 60}, f"{store}.{zone}"))
    return fences


def _sensors(table: StoreTable) -> list[Json]:
    sensors: dict[str, Json] = {}
    for sensor, line, _, in_is in table.doors:
        entry = sensors.setdefault(
            sensor, {"id": sensor, "store": table.id, "format": "native", "lines": {}, "role": "door"}
        )
        entry["lines"][line] = {"in_is": in_is}
    if table.sensor_topic:
        next(iter(sensors.values()))["topic"] = table.sensor_topic
    if table.camera:
        sensors[table.camera] = {"id": table.camera, "store": table.id, "format": "native", "role": "camera"}
    return list(sensors.values())


def _stock(table: StoreTable) -> list[Json]:
    """Levels that differ from store to store and are sometimes nothing, without a random number."""
    levels = []
    for category, products in PRODUCTS.items():
        if category in table.tags:
            for index, product in enumerate(products):
                on_hand = (len(table.name) * 7 + index * 11 + table.comfort) % 40
                levels.append({"store": table.id, "sku": product["sku"], "on_hand": on_hand, "safety": min(on_hand, 2)})
    return levels


def _streets() -> list[Json]:
    rows = [[(x, y) for x in _to_the_outskirts(_NORTH_SOUTH)] for y in _EAST_WEST]
    columns = [[(x, y) for y in _to_the_outskirts(_EAST_WEST)] for x in _NORTH_SOUTH]
    return [
        _feature({"type": "LineString", "coordinates": [position(x, y) for x, y in street]}, {})
        for street in rows + columns
    ]


def _to_the_outskirts(crossings: range) -> list[int]:
    return [crossings[0] - _OUTSKIRTS_M, *crossings, crossings[-1] + _OUTSKIRTS_M]


def _doors(table: StoreTable) -> list[Json]:
    return [
        _feature({"type": "Point", "coordinates": position(*at)}, {"sensor": sensor, "line": line})
        for sensor, line, at, _ in table.doors
    ]
