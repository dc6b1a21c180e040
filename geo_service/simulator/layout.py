"""The tables of Quillmere: stores and where they stand, what they sell, what they offer. Lengths in metres of the town's grid.

Streets run every 200 m; a house stands at least 8 m off their middle, its doors face one of them.
"""

from typing import Any, NamedTuple

from geo_service.simulator.plane import Point

Ring = list[Point]
"""Not closed."""


class StoreTable(NamedTuple):
    """One store of the town."""

    id: str
    name: str
    address: str
    comfort: int
    legal: int
    hours: str | None
    """A name in `HOURS`; None is always open."""
    near_m: int
    parts: list[list[Ring]]
    """Buildings: the outer ring, then its holes."""
    doors: list[tuple[str, str, Point, str]]
    """Sensor, line, place on the edge, and which way of crossing the line is in."""
    tags: list[str]
    services: list[str] = []  # noqa: RUF012 - nobody writes to a table
    zones: dict[str, Ring] = {}  # noqa: RUF012
    curbside: Ring = []  # noqa: RUF012
    camera: str | None = None
    """Where a store never closes, for then it is never known to be empty, and what doors miss adds up without end."""
    sensor_topic: str | None = None


def _box(west: float, south: float, east: float, north: float) -> Ring:
    return [(west, south), (east, south), (east, north), (west, north)]


_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri")


def _week(weekday: str, saturday: str, sunday: str, **more: Any) -> dict[str, Any]:
    """Hours like `09:00-21:00`, or nothing for closed."""
    days = {**dict.fromkeys(_WEEKDAYS, weekday), "sat": saturday, "sun": sunday}
    hours: dict[str, Any] = {day: [span.split("-") for span in spans.split()] for day, spans in days.items()}
    return {**hours, **more}


HOURS: dict[str, dict[str, Any]] = {
    "department": _week("09:00-21:00", "09:00-21:00", "11:00-18:00", exceptions={"2026-12-25": [], "2027-12-25": []}),
    "shops": _week("10:00-20:00", "10:00-20:00", ""),
    "trade": _week("07:00-19:00", "08:00-17:00", ""),
    "siesta": _week("08:30-13:00 14:30-19:00", "09:00-18:00", "09:00-13:00"),
    "late": _week("17:00-02:00", "15:00-03:00", "15:00-00:00"),
}

STORES = [
    StoreTable(
        id="emberoat",
        name="Emberoat Bakehouse",
        address="1 Lantern Cross",
        comfort=26,
        legal=32,
        hours=None,
        near_m=220,
        parts=[[[(14, 10), (34, 10), (34, 28), (10, 28), (10, 14)]]],
        doors=[
            ("emberoat-front", "door", (24, 10), "forward"),
            ("emberoat-side", "door", (10, 21), "forward"),
        ],
        tags=["bakery", "food"],
        services=["pickup"],
        camera="emberoat-ceiling",
    ),
    StoreTable(
        id="saltvane",
        name="Saltvane & Daughters",
        address="14 Lantern Street",
        comfort=240,
        legal=300,
        hours="department",
        near_m=300,
        parts=[[_box(215, 12, 325, 92), _box(255, 40, 285, 65)]],
        doors=[
            ("saltvane-doors", "lantern-street", (270, 12), "forward"),
            ("saltvane-doors", "tollgate-row", (215, 50), "backward"),
        ],
        tags=["department", "fashion", "home"],
        services=["pickup", "curbside", "returns", "appointments"],
        zones={
            "beauty": _box(218, 14, 252, 38),
            "home": _box(288, 16, 322, 62),
            "food-hall": _box(220, 68, 320, 90),
        },
        curbside=_box(332, 2, 360, 11),
    ),
    StoreTable(
        id="tidewick",
        name="Tidewick Provisions",
        address="40 Lantern Street",
        comfort=120,
        legal=150,
        hours=None,
        near_m=280,
        parts=[[[(-385, -15), (-385, -95), (-345, -95), (-345, -55), (-305, -55), (-305, -15)]]],
        doors=[
            ("tidewick-north", "door", (-330, -15), "forward"),
            ("tidewick-west", "door", (-385, -62), "forward"),
        ],
        tags=["grocery", "food"],
        services=["pickup", "curbside"],
        zones={"produce": _box(-340, -50, -308, -20), "deli": _box(-382, -92, -348, -64)},
        curbside=_box(-300, -11, -272, -2),
        camera="tidewick-ceiling",
    ),
    StoreTable(
        id="quaynook",
        name="Quaynook Kiosk",
        address="2 Ferry Steps",
        comfort=10,
        legal=12,
        hours=None,
        near_m=150,
        parts=[[_box(-192, -191, -177, -180)]],
        doors=[("quaynook-door", "door", (-185, -191), "forward")],
        tags=["kiosk", "food"],
        camera="quaynook-ceiling",
    ),
    StoreTable(
        id="lumenfold",
        name="Lumenfold Tailoring",
        address="7 Lantern Street",
        comfort=60,
        legal=75,
        hours="shops",
        near_m=200,
        parts=[[_box(60, -45, 90, -12)], [_box(98, -45, 132, -12)]],
        doors=[
            ("lumenfold-women", "door", (75, -12), "forward"),
            ("lumenfold-men", "door", (115, -12), "forward"),
        ],
        tags=["fashion"],
        services=["appointments", "returns"],
    ),
    StoreTable(
        id="brasswick",
        name="Brasswick Tools",
        address="3 Foundry Row",
        comfort=80,
        legal=100,
        hours="trade",
        near_m=250,
        parts=[[[(415, -215), (425, -285), (490, -290), (500, -215)]]],
        doors=[("brasswick-door", "door", (455, -215), "forward")],
        tags=["hardware", "home"],
        services=["pickup", "curbside"],
        curbside=_box(505, -211, 535, -202),
        sensor_topic="brasswick/counter/main",
    ),
    StoreTable(
        id="fernhollow",
        name="Fernhollow Books",
        address="12 Chapel Rise",
        comfort=35,
        legal=45,
        hours="shops",
        near_m=180,
        parts=[[[(-150, 212), (-110, 212), (-100, 232), (-130, 252), (-160, 232)]]],
        doors=[("fernhollow-door", "door", (-130, 212), "forward")],
        tags=["books"],
        services=["pickup", "events"],
    ),
    StoreTable(
        id="pixelmoor",
        name="Pixelmoor Electronics",
        address="21 Chapel Rise",
        comfort=70,
        legal=90,
        hours="shops",
        near_m=230,
        parts=[[[(212, 215), (300, 215), (300, 270), (270, 270), (270, 245), (242, 245), (242, 270), (212, 270)]]],
        doors=[
            ("pixelmoor-south", "door", (256, 215), "forward"),
            ("pixelmoor-west", "door", (212, 240), "backward"),
        ],
        tags=["electronics"],
        services=["appointments", "pickup", "returns"],
        zones={"repairs": _box(274, 247, 297, 268)},
    ),
    StoreTable(
        id="nightjar",
        name="Nightjar Pharmacy",
        address="55 Lantern Street",
        comfort=18,
        legal=24,
        hours=None,
        near_m=170,
        parts=[[_box(-446, 12, -418, 34)]],
        doors=[("nightjar-door", "door", (-432, 12), "forward")],
        tags=["pharmacy"],
        services=["pickup", "appointments"],
        camera="nightjar-ceiling",
    ),
    StoreTable(
        id="velvetfox",
        name="The Velvet Fox Record Bar",
        address="9 Alder Lane",
        comfort=40,
        legal=50,
        hours="late",
        near_m=190,
        parts=[[[(-345, 388), (-340, 355), (-305, 360), (-310, 388)]]],
        doors=[("velvetfox-door", "door", (-328, 388), "forward")],
        tags=["records", "food"],
        services=["events"],
    ),
    StoreTable(
        id="stridehaven",
        name="Stridehaven Sports",
        address="30 Ferry Steps",
        comfort=55,
        legal=70,
        hours="shops",
        near_m=240,
        parts=[
            [
                [
                    (-120, -215),
                    (-128, -226),
                    (-128, -258),
                    (-115, -270),
                    (-75, -270),
                    (-60, -260),
                    (-60, -230),
                    (-70, -215),
                ]
            ]
        ],
        doors=[("stridehaven-door", "door", (-95, -215), "forward")],
        tags=["sports", "fashion"],
        services=["pickup", "returns"],
    ),
    StoreTable(
        id="petalform",
        name="Petalform Florist",
        address="2 Chapel Rise",
        comfort=14,
        legal=18,
        hours="siesta",
        near_m=150,
        parts=[[[(412, 212), (440, 212), (426, 236)]]],
        doors=[("petalform-door", "door", (426, 212), "forward")],
        tags=["flowers"],
        services=["pickup"],
    ),
]


def _product(sku: str, name: str, category: str, amount: int) -> dict[str, Any]:
    return {"sku": sku, "name": name, "category": category, "price": {"amount": amount, "currency": "EUR"}}


PRODUCTS: dict[str, list[dict[str, Any]]] = {
    "bakery": [
        _product("loaf-rye", "Seeded rye loaf", "bakery", 480),
        _product("bun-cardamom", "Cardamom bun", "bakery", 290),
    ],
    "grocery": [
        _product("oil-olive-500", "Olive oil, 500 ml", "grocery", 1150),
        _product("coffee-1kg", "Coffee beans, 1 kg", "grocery", 1890),
        _product("cheese-alpine", "Alpine cheese, 300 g", "grocery", 720),
    ],
    "fashion": [
        _product("coat-wool", "Wool coat", "fashion", 18900),
        _product("scarf-linen", "Linen scarf", "fashion", 3900),
    ],
    "home": [
        _product("lamp-brass", "Brass desk lamp", "home", 7900),
        _product("kettle-steel", "Steel kettle", "home", 4500),
    ],
    "hardware": [_product("drill-18v", "Cordless drill, 18 V", "hardware", 12900)],
    "books": [_product("atlas-pocket", "Pocket atlas", "books", 2400)],
    "electronics": [
        _product("headset-quiet", "Quiet headset", "electronics", 19900),
        _product("phone-mend", "Refurbished phone", "electronics", 24900),
    ],
    "pharmacy": [_product("sunscreen-50", "Sunscreen, factor 50", "pharmacy", 1290)],
    "sports": [_product("shoe-trail", "Trail running shoe", "sports", 11900)],
    "flowers": [_product("bunch-season", "Bunch of the season", "flowers", 1500)],
}

_SINCE = {"starts": "2025-01-01T00:00:00Z"}

CAMPAIGNS: list[dict[str, Any]] = [
    {
        "id": "warm-bread",
        "name": "Warm bread round the corner",
        **_SINCE,
        "stores": ["emberoat"],
        "trigger": {"role": "near", "type": "enter"},
        "benefit": {"kind": "percent", "percent": 20},
        "skus": ["loaf-rye", "bun-cardamom"],
        "caps": {"min_gap_s": 240},
        "priority": 5,
        "holdout": 0.1,
        "expires_s": 1800,
        "when_full": {"wait_s": 900},
    },
    {
        "id": "tidewick-basket",
        "name": "Five off a full basket",
        **_SINCE,
        "stores": ["tidewick"],
        "trigger": {"role": "near", "type": "enter"},
        "benefit": {"kind": "amount", "amount": 500, "currency": "EUR"},
        "caps": {"per_device": 3, "min_gap_s": 900, "per_day": 2000, "budget": 5000000},
        "holdout": 0.1,
        "expires_s": 7200,
    },
    {
        "id": "deli-tasting",
        "name": "A taste at the deli counter",
        **_SINCE,
        "stores": ["tidewick"],
        "trigger": {"role": "zone", "type": "dwell", "dwell_s": 60},
        "benefit": {"kind": "gift", "cost": 150, "currency": "EUR"},
        "skus": ["cheese-alpine"],
        "caps": {"per_device": 1, "total": 1000},
        "holdout": 0,
        "expires_s": 900,
    },
    {
        "id": "night-kiosk",
        "name": "Coffee for the late ones",
        **_SINCE,
        "tags": ["kiosk"],
        "trigger": {"role": "near", "type": "enter"},
        "hours": {day: [["20:00", "06:00"]] for day in (*_WEEKDAYS, "sat", "sun")},
        "benefit": {"kind": "percent", "percent": 50},
        "caps": {"per_device": 2, "min_gap_s": 600},
        "holdout": 0.1,
        "expires_s": 1200,
    },
    {
        "id": "new-season",
        "name": "The new season is in",
        **_SINCE,
        "tags": ["fashion"],
        "trigger": {"role": "near", "type": "dwell", "dwell_s": 180},
        "hours": {day: [["11:00", "19:00"]] for day in (*_WEEKDAYS, "sat")},
        "benefit": {"kind": "percent", "percent": 15},
        "skus": ["coat-wool", "scarf-linen"],
        "caps": {"per_device": 2, "min_gap_s": 1800, "per_day": 500},
        "priority": 2,
        "holdout": 0.1,
        "expires_s": 14400,
        "when_full": {"redirect_m": 600, "wait_s": 900},
    },
    {
        "id": "nightjar-hello",
        "name": "Welcome to Nightjar",
        **_SINCE,
        "stores": ["nightjar"],
        "trigger": {"role": "store", "type": "enter"},
        "benefit": {"kind": "gift", "cost": 90, "currency": "EUR"},
        "caps": {"per_device": 1},
        "holdout": 0,
        "expires_s": 3600,
    },
    {
        "id": "kerb-coffee",
        "name": "A coffee while you wait",
        **_SINCE,
        "stores": ["tidewick", "saltvane", "brasswick"],
        "trigger": {"role": "curbside", "type": "enter"},
        "benefit": {"kind": "gift", "cost": 120, "currency": "EUR"},
        "caps": {"per_device": 5, "min_gap_s": 600},
        "holdout": 0,
        "expires_s": 900,
    },
    {
        "id": "trade-in",
        "name": "Your old phone for a new one",
        "state": "paused",
        **_SINCE,
        "stores": ["pixelmoor"],
        "trigger": {"role": "store", "type": "dwell", "dwell_s": 120},
        "benefit": {"kind": "amount", "amount": 5000, "currency": "EUR"},
        "skus": ["phone-mend"],
        "caps": {"per_device": 1, "total": 200, "budget": 1000000},
        "holdout": 0.1,
        "expires_s": 86400,
    },
]
