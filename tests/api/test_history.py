"""How full a store was and will be, from the values that the fold leaves."""

from datetime import date

import numpy as np
import pytest
from msgspec.json import encode

from geo_service.flow.diary import Diary, Recounted, day_name, pack_smoothed, smoothed_name
from geo_service.flow.outlook import outlook_name, week_name
from occupancy.estimate import Estimate
from occupancy.smooth import Known, pack, smooth

NOW_MS = 1_772_366_400_000  # 2026-03-01T12:00:00Z
MINUTE, HOUR = 60_000, 3_600_000
BEGAN_MS = NOW_MS - 10 * HOUR
STEP_MS = 5 * MINUTE


def kept(zone: str = "", hours: int = 10) -> dict[str, bytes]:
    """A day since 02:00 UTC in which a person a step comes in, and at 11:00 somebody counts 7."""
    diary = Diary.begin(BEGAN_MS, BEGAN_MS + 24 * HOUR, date(2026, 3, 1))
    for step in range(hours * 12):
        status = "degraded" if step == 3 else "live"
        people = float(step + 1)
        diary.note(
            BEGAN_MS + (step + 1) * STEP_MS,
            Estimate(people, people / 2, people * 2, 0.1, 0.0, "quiet", status, step + 1, step // 2),
        )
    diary.recounted(Recounted(NOW_MS - HOUR, 7, "ada", 9.123, 6.0, 12.0))
    return {day_name("harbour", zone, "2026-03-01"): diary.pack()}


def evening(steps: int) -> dict[str, bytes]:
    smoothed = smooth(np.ones(steps), np.full(steps, 0.1), {}, Known(0, 1), Known(float(steps), 0.1))
    return {smoothed_name("harbour", "", "2026-03-01"): pack_smoothed(pack(BEGAN_MS, STEP_MS, smoothed).unpack())}


def ask(client, bearer, query: str = "", who: str = "sk_harbour"):
    return client.get(f"/v1/stores/harbour/occupancy/history{query}", headers=bearer(who))


def test_the_last_day_is_told_in_steps_of_five_minutes_as_it_was_said(client, fakes, bearer):
    fakes.current.names = kept()
    told = ask(client, bearer).json()
    assert (told["store"], told["zone"], told["step_s"], len(told["items"])) == ("harbour", None, 300, 120)
    assert told["items"][1] == {
        "time": "2026-03-01T02:05:00Z",
        "mean": 2.0,
        "low": 1.0,
        "high": 4.0,
        "peak": 2.0,
        "in": 1,
        "out": 0,
        "status": "live",
        "smoothed": None,
    }
    assert told["recounts"] == [
        {"time": "2026-03-01T11:00:00Z", "count": 7.0, "by": "ada", "mean": 9.12, "low": 6.0, "high": 12.0}
    ]


def test_a_longer_step_gathers_means_peaks_sums_and_the_worst_status(client, fakes, bearer):
    fakes.current.names = kept() | evening(120)
    told = ask(client, bearer, "?from=2026-03-01T02:00:00Z&to=2026-03-01T04:00:00Z&step=3600").json()
    first, second = told["items"]
    assert (first["time"], first["mean"], first["peak"], first["in"], first["out"], first["status"]) == (
        "2026-03-01T02:00:00Z",
        6.5,
        12.0,
        12,
        5,
        "degraded",
    )
    assert second["mean"] == 18.5
    assert second["smoothed"]["low"] <= second["smoothed"]["mean"] <= second["smoothed"]["high"]
    assert second["smoothed"]["mean"] == pytest.approx(18.5, abs=0.2)
    assert told["recounts"] == []


def test_what_the_evening_made_of_it_stands_beside_what_was_said(client, fakes, bearer):
    fakes.current.names = kept() | evening(60)
    items = ask(client, bearer).json()["items"]
    assert items[0]["mean"] == 1.0
    assert items[0]["smoothed"] is not None
    assert items[60]["smoothed"] is None


def test_times_may_be_epoch_seconds_and_a_zone_may_be_asked_for(client, fakes, bearer):
    fakes.current.names = kept("deli")
    query = f"?from={BEGAN_MS // 1000}&to={BEGAN_MS / 1000 + 600}&zone=deli"
    told = ask(client, bearer, query).json()
    assert (told["zone"], len(told["items"])) == ("deli", 2)
    assert ask(client, bearer).json()["items"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?from=yesterday", "from"),
        ("?to=2026-03-01T00:00:00", "to"),
        ("?to=1e999", "to"),
        ("?from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z", "from"),
        ("?from=2024-01-01T00:00:00Z&step=86400", "from"),
        ("?from=2026-01-01T00:00:00Z", "step"),
        ("?step=301", "step"),
        ("?step=0", "step"),
        ("?zone=a%20b", "zone"),
    ],
)
def test_what_cannot_be_asked_says_which_field(client, bearer, query, field):
    answer = ask(client, bearer, query)
    assert answer.status_code == 400
    assert field in {error["field"] for error in answer.json()["errors"]}


def test_the_past_and_the_future_of_other_stores_are_nobodys_business(client, bearer):
    for what in ("history", "forecast"):
        assert client.get(f"/v1/stores/market/occupancy/{what}", headers=bearer("sk_harbour")).status_code == 403
        assert client.get(f"/v1/stores/nowhere/occupancy/{what}", headers=bearer("sk_all")).status_code == 404
        assert client.get(f"/v1/stores/harbour/occupancy/{what}", headers=bearer("pk_app")).status_code == 403


def test_the_next_hours_and_the_typical_week(client, fakes, bearer):
    hour = {"time": "2026-03-01T13:00:00Z", "mean": 5.0, "low": 2.0, "high": 8.0}
    url = "/v1/stores/harbour/occupancy/forecast"
    empty = client.get(url, headers=bearer("sk_all")).json()
    assert empty == {"store": "harbour", "zone": None, "time": None, "hours": [], "week": []}
    fakes.current.names = {
        outlook_name("harbour", ""): b'{"time":"2026-03-01T12:00:00Z","hours":[%s]}' % encode(hour),
        week_name("harbour", ""): b"[%s]" % encode(hour),
    }
    told = client.get(url, headers=bearer("sk_all")).json()
    assert (told["time"], told["hours"], told["week"]) == ("2026-03-01T12:00:00Z", [hour], [hour])
