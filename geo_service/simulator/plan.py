"""A site folder as the simulator sees it: the retailer's files, and `streets.geojson` with streets and doors.

`streets.geojson` is a FeatureCollection that only the simulator reads: LineStrings are streets (lines that share a
position meet there), Points with `{sensor, line}` are doors. A door lies on the edge of its store's polygon.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geo_service.catalogue.documents import Fence, Role, Sensor
from geo_service.catalogue.site import Site, read_site
from geo_service.errors import InvalidInputError
from geo_service.simulator.paths import Streets
from geo_service.simulator.plane import Disc, Outline, Plane, Point, Shape, rings_of
from geo_service.simulator.premises import Door, Premises, lay_paths, point_in, step_inside

STREETS = "streets.geojson"


@dataclass(frozen=True, slots=True)
class FencePlan:
    """A fence on the plane."""

    id: str
    store: str
    role: Role
    shape: Shape


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything about a town that does not move."""

    site: Site
    plane: Plane
    streets: Streets
    premises: dict[str, Premises]
    fences: list[FencePlan]

    @property
    def sensors(self) -> list[Sensor]:
        """The sensors, in the order of their file."""
        return list(self.site.sensor.values())


def read_plan(folder: Path) -> Plan:
    """Read a site and its streets.

    Raises:
        InvalidInputError: the site has errors, or lacks what a simulated town needs; says which.
    """
    site, problems = read_site(folder)
    for problem in problems:
        if problem.severity == "error":
            raise InvalidInputError(f"{problem.file}: {problem.id}: {problem.reason}")
    if not site.store:
        raise InvalidInputError(f"{folder}: a town needs stores")
    lats, lons = zip(*((store.lat, store.lon) for store in site.store.values()), strict=True)
    plane = Plane((min(lats) + max(lats)) / 2, (min(lons) + max(lons)) / 2)
    fences = [_fence(fence, plane) for fence in site.fence.values() if fence.store is not None and not fence.disabled]
    lines, doors = _read_streets(folder / STREETS, plane)
    premises, streets = _build(site, fences, lines, doors)
    return Plan(site, plane, streets, premises, fences)


def built_in() -> Plan:
    """The town of `fixtures/town`, without its files."""
    from geo_service.simulator.blueprint import write

    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        return read_plan(Path(folder))


def _fence(fence: Fence, plane: Plane) -> FencePlan:
    return FencePlan(fence.id, fence.store or "", fence.role, _shape(fence, plane))


def _shape(fence: Fence, plane: Plane) -> Shape:
    where = f"fences.geojson: {fence.id}"
    try:
        if fence.geometry["type"] != "Point":
            return Outline.of(rings_of(fence.geometry, plane))
        centre = plane.metres(*fence.geometry["coordinates"][:2])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInputError(f"geometry cannot be read: {error!r}", field=where) from error
    if fence.radius_m is None:
        raise InvalidInputError("a Point needs radius_m", field=where)
    return Disc(*centre, fence.radius_m)


Doors = dict[tuple[str, str], Point]
"""Where a sensor's line is."""


def _read_streets(path: Path, plane: Plane) -> tuple[list[list[Point]], Doors]:
    if not path.is_file():
        raise InvalidInputError(f"{path} is missing: the simulator needs streets and doors (see docs/simulator.md)")
    lines: list[list[Point]] = []
    doors: Doors = {}
    try:
        for feature in json.loads(path.read_bytes())["features"]:
            geometry: dict[str, Any] = feature["geometry"]
            if geometry["type"] == "LineString":
                lines.append([plane.metres(*position[:2]) for position in geometry["coordinates"]])
            else:
                properties = feature["properties"]
                doors[properties["sensor"], properties.get("line", "door")] = plane.metres(*geometry["coordinates"][:2])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInputError(f"is not a FeatureCollection of streets and doors: {error!r}", field=STREETS) from error
    if not lines:
        raise InvalidInputError("holds no street", field=STREETS)
    return lines, doors


def _build(
    site: Site, fences: list[FencePlan], lines: list[list[Point]], doors: Doors
) -> tuple[dict[str, Premises], Streets]:
    """Premises with their doors, and the streets with a kerb for each door and each waiting car."""
    unknown = {sensor for sensor, _ in doors} - set(site.sensor)
    if unknown:
        raise InvalidInputError(
            f"a door names the sensor {min(unknown)!r}, which is not in sensors.json", field=STREETS
        )
    parking = {fence.store: _middle(fence.shape) for fence in fences if fence.role == "curbside"}
    streets = Streets(lines, [*doors.values(), *parking.values()])
    door_kerbs = dict(zip(doors, streets.kerbs[: len(doors)], strict=True))
    parking_kerbs = dict(zip(parking, streets.kerbs[len(doors) :], strict=True))
    premises = {}
    for store in site.store.values():
        outline = _outline(store.id, fences)
        mine = [key for key in doors if site.sensor[key[0]].store == store.id]
        if not mine:
            raise InvalidInputError(f"store {store.id!r} has no door", field=STREETS)
        zones = [fence.shape for fence in fences if (fence.store, fence.role) == (store.id, "zone")]
        try:
            inner = [step_inside(outline, doors[key]) for key in mine]
            paths = lay_paths(outline, inner, [zone for zone in zones if isinstance(zone, Outline)])
        except InvalidInputError as error:
            raise InvalidInputError(f"{store.id}: {error}") from error
        premises[store.id] = Premises(
            store=store,
            outline=outline,
            doors=tuple(
                Door(store.id, *key, doors[key], behind, door_kerbs[key], place)
                for place, (key, behind) in enumerate(zip(mine, inner, strict=True))
            ),
            paths=paths,
            parking=(parking[store.id], parking_kerbs[store.id]) if store.id in parking else None,
        )
    return premises, streets


def _outline(store: str, fences: list[FencePlan]) -> Outline:
    shapes = [fence.shape for fence in fences if (fence.store, fence.role) == (store, "store")]
    if len(shapes) != 1 or not isinstance(shapes[0], Outline):
        raise InvalidInputError(f"{store}: a simulated store has one fence of role 'store', a polygon")
    return shapes[0]


def _middle(shape: Shape) -> Point:
    return (
        point_in(shape)
        if isinstance(shape, Outline)
        else ((shape.box[0] + shape.box[2]) / 2, (shape.box[1] + shape.box[3]) / 2)
    )
