from datetime import UTC, datetime

import pytest

from geo_service.catalogue.check import check_site
from geo_service.catalogue.hours import Hours
from geo_service.catalogue.site import read_site
from geo_service.simulator.demo_site import write_demo_site
from sensors.instants import millis


@pytest.mark.parametrize("hour", [0, 5, 11, 12, 23])
def test_at_any_hour_most_shops_of_the_demo_are_open(tmp_path, hour):
    now = datetime(2026, 11, 22, hour, 59, tzinfo=UTC)
    write_demo_site(tmp_path, now)
    site, problems = read_site(tmp_path)
    assert problems + check_site(site) == []
    is_open = [
        store.hours is None or Hours(store.hours, store.timezone).is_open(millis(now)) for store in site.store.values()
    ]
    assert sum(is_open) == 11
