"""The town for a demo: whenever it is started, it is eleven in the morning there, on a day when the shops are open."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from geo_service.catalogue.hours import DAYS
from geo_service.simulator.blueprint import write

_LOCAL_HOUR = 11
_WEEKDAY = "fri"


def write_demo_site(folder: Path, now: datetime) -> None:
    """Write the town's folder with a clock of its own: every day is a Friday, and `now` (aware, UTC) is 11 h there.

    The sun is not asked: `check` notes how far away it stands.
    """
    write(folder)
    path = folder / "stores.json"
    stores: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    ahead = _LOCAL_HOUR - now.hour
    for store in stores:
        # POSIX counts west of Greenwich: Etc/GMT-5 is five hours ahead of it (tzdata, file etcetera).
        store["timezone"] = f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT"
        if store.get("hours"):
            store["hours"] = dict.fromkeys(DAYS, store["hours"][_WEEKDAY])
    path.write_text(json.dumps(stores, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
