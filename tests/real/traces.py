"""Crossings of real traces, told twice: by strict presence, and by asking shapely about every ping and every fence.

A trace is batches of `(device, time in ms, lat, lon)`, each with the time at which it was logged.
"""

import gzip
import json
import math
from pathlib import Path

import numpy as np
import shapely

from geo_service.catalogue.documents import Fence
from geo_service.geofences.presence import Presence
from geo_service.pings.batch import PingBatch

DATA = Path(__file__).resolve().parents[2] / "../shared/data"
VENUES = DATA / "footprints/osm_venue_polygons.geojson.gz"
DAY_MS = 86_400_000
NEVER_SILENT_S = 31_536_000


def around(lat, lon, radius_m):
    """A polygon of twelve corners."""
    north = radius_m / 111_320
    east = north / math.cos(math.radians(lat))
    turns = [2 * math.pi * corner / 12 for corner in range(12)]
    ring = [[lon + east * math.cos(turn), lat + north * math.sin(turn)] for turn in turns]
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}


def venues():
    with gzip.open(VENUES, "rt") as file:
        return json.load(file)["features"]


def places(rows):
    """Fences of 25 to 400 m around places that the traces pass, and the venues within their bounds."""
    step = max(len(rows) // 150, 1)
    geometries = [around(lat, lon, 25 * 2 ** (i % 5)) for i, (_, _, lat, lon) in enumerate(rows[::step])]
    _, _, lats, lons = zip(*rows, strict=True)
    tree = shapely.STRtree(shapely.points(lons, lats))
    for feature in venues():
        shape = shapely.geometry.shape(feature["geometry"])
        if shape.is_valid and shape.geom_type in ("Polygon", "MultiPolygon") and len(tree.query(shape)):
            geometries.append(feature["geometry"])
    return [
        Fence(id=f"p{i:04d}", geometry=geometry, silence_s=NEVER_SILENT_S, detect=("enter", "exit"))
        for i, geometry in enumerate(geometries)
    ]


def brute_force(batches, fences):
    """Every ping against every fence with shapely, one after another; events, and how many pings did not count."""
    shapes = [shapely.geometry.shape(fence.geometry) for fence in fences]
    tree = shapely.STRtree(shapes)
    newest, inside, events, refused = {}, {}, [], 0
    for rows, logged in batches:
        for device, said, lat, lon in rows:
            time = logged if said > logged + 120_000 else said
            if time < logged - DAY_MS or time <= newest.get(device, -math.inf):
                refused += 1
                continue
            newest[device] = time
            now = {int(i) for i in tree.query(shapely.Point(lon, lat)) if shapes[i].covers(shapely.Point(lon, lat))}
            was = inside.get(device, set())
            events += [("exit", device, fences[i].id, time) for i in sorted(was - now)]
            events += [("enter", device, fences[i].id, time) for i in sorted(now - was)]
            inside[device] = now
    return events, refused


def told(batches, fences):
    """The same of strict presence."""
    presence, events, refused = Presence("strict"), [], 0
    for fence in fences:
        assert presence.put_fence(fence, batches[0][1]) == []
    for rows, logged in batches:
        devices, times, lats, lons = zip(*rows, strict=True)
        unsaid = np.full(len(rows), np.nan)
        step = presence.advance(
            PingBatch(
                list(devices), np.array(times), np.array(lats), np.array(lons), unsaid, unsaid, unsaid,
                np.zeros(len(rows), np.uint8),
            ),
            logged,
        )  # fmt: skip
        events += [
            (event.type, event.device, event.fence, event.time_ms)
            for event in step.events
            if event.reason == "observed"
        ]
        refused += len(step.late) + len(step.duplicate) + len(step.too_old)
    return events, refused
