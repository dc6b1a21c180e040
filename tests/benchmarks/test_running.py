"""The phones of `bench ingest` and `bench latency`: what they send is what phones send."""

import numpy as np
import pytest

from geo_service.benchmarks.ingest import run as run_ingest
from geo_service.benchmarks.latency import run as run_latency
from geo_service.benchmarks.running import Walkers
from geo_service.catalogue.site import read_site
from geo_service.delivery.mqtt_packets import PacketSplitter
from geo_service.embedded.servers import find_mosquitto
from geo_service.pings import native
from geo_service.simulator.blueprint import write


@pytest.fixture
def site(tmp_path):
    write(tmp_path)
    return read_site(tmp_path)[0]


def pings_of(packets):
    splitter = PacketSplitter(max_packet_bytes=1 << 20, version_5=False)
    splitter.feed(b"".join(packets))
    for message in splitter.messages:
        rows, refused = native.decode(message.payload, message.topic.removeprefix(native.TOPIC))
        assert refused == []
        yield rows


def test_phones_walk_no_faster_than_people_and_are_seen_in_the_town(site):
    walkers = Walkers(site, 50)
    before = walkers._at.copy()
    walkers.walk(10)
    moved_m = np.hypot(*((walkers._at - before) * walkers._per_degree).T)
    assert moved_m.max() <= 14.01
    assert moved_m.min() > 0
    assert ((walkers._low <= walkers._at) & (walkers._at <= walkers._high)).all()


def test_singles_come_phone_after_phone_at_the_rate_that_is_asked_for(site):
    rows = [row for (row,) in pings_of(Walkers(site, 4).singles(1_780_000_000, 2, 10))]
    assert [row[0] for row in rows] == [f"w{number % 4}" for number in range(10)]
    assert [row[1] - rows[0][1] for row in rows] == [500 * number for number in range(10)]


def test_hundreds_go_on_where_the_phones_last_ones_ended(site):
    batches = list(pings_of(Walkers(site, 2).hundreds(1_780_000_000, 4)))
    assert [len(rows) for rows in batches] == [100] * 4
    times = [row[1] for rows in (batches[0], batches[2]) for row in rows]
    assert np.diff(times).tolist() == [1000] * 199


@pytest.mark.slow
@pytest.mark.skipif(find_mosquitto() is None, reason="no mosquitto is installed")
@pytest.mark.parametrize(
    ("run", "keys"),
    [
        (run_ingest, ("ours_us_per_ping", "broker_us_per_ping", "store_us_per_ping", "batch100_pings_per_s")),
        (run_latency, ("p50_ms", "p99_ms", "pings_per_s")),
    ],
)
def test_the_benchmarks_run_and_give_their_figures(run, keys):
    found = run(quick=True, progress=lambda _: None)
    assert all(found[key] > 0 for key in keys)
