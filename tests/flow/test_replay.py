"""Replay through the command line: a recording in, every output out, the same bytes every time."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOWN = ROOT / "fixtures" / "town"
T0 = 1_780_740_000


def geo(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        [sys.executable, "-m", "geo_service", *arguments], capture_output=True, timeout=100, check=False
    )
    assert done.returncode == code, done.stderr.decode()
    return done


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "stores.json").write_text(
        json.dumps([{"id": "s1", "name": "One", "lat": 45, "lon": -6, "capacity": {"comfort": 10, "legal": 20}}])
    )
    ring = [[-6.001, 44.999], [-5.999, 44.999], [-5.999, 45.001], [-6.001, 45.001], [-6.001, 44.999]]
    fence = {
        "type": "Feature",
        "id": "shop",
        "properties": {"store": "s1", "role": "store", "dwell_s": 60, "silence_s": 600},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    (folder / "fences.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [fence]}))
    (folder / "sensors.json").write_text(json.dumps([{"id": "door1", "store": "s1", "topic": "shop/door"}]))
    return folder


def line(second: float, topic: str, payload: object, **more: object) -> str:
    return json.dumps({"time": T0 + second, "topic": topic, "payload": payload, **more})


def ping(second: float, lat: float, device: str = "d1") -> str:
    return line(second, f"geo/v1/ping/{device}", {"time": T0 + second, "lat": lat, "lon": -6})


def replay(site: Path, recording: Path, *more: str) -> list[dict]:
    """What is said after the first word: that nothing is known yet of the one store with a sensor."""
    done = geo("replay", "--site", str(site), "--log", str(recording), "--presence", "strict", *more)
    first, *said = [json.loads(text) for text in done.stdout.splitlines()]
    assert (first["kind"], first["store"], first["status"]) == ("occupancy", "s1", "blind")
    return said


def test_a_visit_is_told_from_enter_to_exit_in_order(site, tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join([ping(0, 45), ping(30, 45), ping(100, 45), ping(200, 45.01)]))
    said = replay(site, log)
    assert [(output["kind"], output.get("type")) for output in said] == [
        ("crossing", "enter"),
        ("crossing", "dwell"),
        ("crossing", "exit"),
        ("visit", None),
    ]
    assert said[1]["time"] == "2026-06-06T10:01:00Z"
    assert said[2]["duration_s"] == 200.0


def test_a_line_that_cannot_be_used_is_rejected_and_the_rest_goes_on(site, tmp_path):
    log = tmp_path / "log.jsonl"
    lines = [
        ping(0, 45),
        "{ not json",
        line(2, "geo/v1/ping/d1", {"time": T0, "lat": 200, "lon": 0}),
        line(3, "geo/v1/ping/d1", {"time": T0 + 3, "lat": 45, "lon": -6}, retained=True),
        line(4, "nobody/knows", "ON"),
        json.dumps({"time": "yesterday", "topic": "x", "payload": 1}),
        ping(5, 45.01),
    ]
    log.write_text("\n".join(lines))
    said = replay(site, log)
    assert [output["kind"] for output in said] == ["crossing", *["rejected"] * 5, "crossing", "visit"]
    rejected = [output for output in said if output["kind"] == "rejected"]
    assert [output["topic"] for output in rejected] == ["", "geo/v1/ping/d1", "geo/v1/ping/d1", "nobody/knows", "x"]
    assert rejected[1]["reason"].startswith("lat: ")
    assert rejected[1]["time"] == "2026-06-06T10:00:02Z"


def test_bodies_received_over_http_are_replayed_by_their_path(site, tmp_path):
    log = tmp_path / "log.jsonl"
    lines = [
        line(0, "http:/v1/pings", [{"device": "d9", "time": T0, "lat": 45, "lon": -6}]),
        line(1, "http:/v1/sensors/door1", {"in": 4, "out": 1}),
        line(3, "http:/v1/stores/s1/occupancy/recount", {"count": 9}),
    ]
    log.write_text("\n".join(lines))
    said = replay(site, log)
    assert [output["kind"] for output in said] == ["crossing", "occupancy", "occupancy", "alert"]
    assert said[1]["in_total"] == 4
    assert abs(said[2]["mean"] - 9) < 1
    assert (said[3]["alert"], said[3]["state"], said[3]["store"]) == ("warn", "raised", "s1")


def test_until_lets_the_clock_run_on(site, tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text(ping(0, 45))
    assert len(replay(site, log)) == 1
    said = replay(site, log, "--until", "2026-06-06T11:00:00Z")
    crossings = [output for output in said if output["kind"] == "crossing"]
    assert [(crossing["type"], crossing["reason"]) for crossing in crossings] == [
        ("enter", "observed"),
        ("dwell", "observed"),
        ("exit", "silence"),
    ]
    sensors = [(output["id"], output["state"]) for output in said if output["kind"] == "sensor"]
    assert sensors == [("door1", "silent")]


def test_a_quarter_of_an_hour_in_town_replays_to_the_same_bytes_plain_and_compressed(tmp_path):
    log = tmp_path / "town.jsonl.gz"
    geo("simulate", str(log), "--hours", "0.25", "--phones", "60")
    plain = tmp_path / "town.jsonl"
    plain.write_bytes(gzip.decompress(log.read_bytes()))
    first = geo("replay", "--site", str(TOWN), "--log", str(log)).stdout
    assert first == geo("replay", "--site", str(TOWN), "--log", str(plain)).stdout
    kinds = {json.loads(text)["kind"] for text in first.splitlines()}
    assert {"crossing", "occupancy", "offer", "visit"} <= kinds


def test_nothing_to_read_is_one_clear_line_and_exit_code_1(site, tmp_path):
    done = geo("replay", "--site", str(site), "--log", str(tmp_path / "missing"), code=1)
    assert done.stderr.decode().count("\n") == 1
    assert "missing" in done.stderr.decode()
    broken = tmp_path / "broken.gz"
    broken.write_bytes(b"not gzip at all")
    assert b"Traceback" not in geo("replay", "--site", str(site), "--log", str(broken), code=1).stderr


def test_wrong_usage_is_exit_code_2(tmp_path):
    geo("replay", code=2)
    geo("invented", code=2)
    geo("simulate", code=2)


def test_a_server_out_of_reach_is_exit_code_3(tmp_path):
    done = geo("keys", "list", "--redis", "redis://127.0.0.1:1/0", code=3)
    assert done.stderr.decode().startswith("geo-service: cannot reach redis at 127.0.0.1:1")


def test_check_names_every_problem_and_fails_on_an_error(site):
    assert geo("check", "--site", str(site)).stdout == b""
    stores = json.loads((site / "stores.json").read_text())
    stores += [
        {"id": "s2", "name": "North of north", "lat": 91, "lon": 0},
        {"id": "s3", "name": "Nowhere", "lat": 0, "lon": 0},
        {"id": "s4", "name": "A sign lost", "lat": 40.7, "lon": 74.0, "timezone": "America/New_York"},
        {"id": "s1", "name": "Again", "lat": 1, "lon": 1},
        {"id": "s5", "name": "Hours", "lat": 1, "lon": 2, "hours": {"mon": [["25:00", "26:00"]]}},
    ]
    (site / "stores.json").write_text(json.dumps(stores))
    lines = geo("check", "--site", str(site), code=1).stdout.decode().splitlines()
    assert [text.partition(": ")[0] for text in lines] == ["error", "error", "error", "warning", "error"]
    for text, (store, reason) in zip(
        lines,
        [("s2", "lat: "), ("s1", "twice"), ("s3", "unknown addresses"), ("s4", "sign lost"), ("s5", "25:00")],
        strict=True,
    ):
        assert f"stores.json {store}: " in text
        assert reason in text
