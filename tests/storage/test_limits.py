"""The rate limiter: never one too many, over all who ask."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from geo_service.errors import UnreachableError
from geo_service.storage.connection import connect
from geo_service.storage.limits import RateLimiter


@pytest.fixture
def limits(client, keys):
    return RateLimiter(client, keys=keys)


def test_as_many_as_the_limit_pass_at_once_and_the_next_is_told_when(limits):
    assert [limits.take("a:1", limit=3, window_s=3600) for _ in range(3)] == [0.0] * 3
    assert 1190 < limits.take("a:1", limit=3, window_s=3600) <= 1200


def test_each_key_has_its_own_bucket(limits):
    limits.take("a:1", limit=1, window_s=3600)
    assert limits.take("a:2", limit=1, window_s=3600) == 0.0
    assert limits.take("a:1", limit=1, window_s=3600) > 0


def test_a_refusal_costs_nothing(limits):
    limits.take("a:1", limit=1, window_s=3600)
    first = limits.take("a:1", limit=1, window_s=3600)
    for _ in range(10):
        limits.take("a:1", limit=1, window_s=3600)
    assert limits.take("a:1", limit=1, window_s=3600) <= first


def test_tokens_come_back_with_time(limits, client, keys):
    limits.take("a:1", limit=2, window_s=3600)
    limits.take("a:1", limit=2, window_s=3600)
    bucket = keys("limit", subject="a:1")
    client.hset(bucket, "at", f"{float(client.hget(bucket, 'at')) - 1_800_000:.3f}")
    assert limits.take("a:1", limit=2, window_s=3600) == 0.0
    assert limits.take("a:1", limit=2, window_s=3600) > 0


def test_a_clock_that_is_set_back_gives_and_takes_nothing(limits, client, keys):
    limits.take("a:1", limit=2, window_s=3600)
    bucket = keys("limit", subject="a:1")
    client.hset(bucket, "at", f"{float(client.hget(bucket, 'at')) + 7_200_000:.3f}")
    assert limits.take("a:1", limit=2, window_s=3600) == 0.0
    assert 1790 < limits.take("a:1", limit=2, window_s=3600) <= 1800


def test_a_bucket_that_is_full_again_is_gone(limits, client, keys):
    limits.take("a:1", limit=10, window_s=100)
    assert 9_000 < client.pttl(keys("limit", subject="a:1")) <= 10_000


def test_many_at_once_never_get_one_too_many(url, client, keys):
    def worker(_):
        with connect(url, retries=0) as own:
            limits = RateLimiter(own, keys=keys)
            return sum(limits.take("a:1", limit=50, window_s=3600) == 0.0 for _ in range(20))

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(worker, range(10))) == 50


def test_a_key_of_any_length_takes_little_room(limits, client, keys):
    limits.take("a:" + "x" * 100_000, limit=1, window_s=3600)
    [bucket] = client.keys(f"{keys.prefix}*")
    assert len(bucket) < 300


def test_without_a_server_pings_pass_and_logins_do_not(keys, tmp_path):
    now = [0.0]
    with connect(f"unix://{tmp_path}/nobody.sock", retries=0) as client:
        limits = RateLimiter(client, keys=keys, clock=lambda: now[0])
        assert limits.take("http:device:1", limit=1, window_s=60) == 0.0
        assert limits.take("http:device:1", limit=1, window_s=60) == 0.0
        with pytest.raises(UnreachableError):
            limits.take("login:10.0.0.1", limit=1, window_s=60)


def test_a_server_that_comes_back_is_asked_again(mortal_server):
    now = [0.0]
    with connect(mortal_server.url, retries=0) as client:
        limits = RateLimiter(client, clock=lambda: now[0])
        limits.take("a:1", limit=1, window_s=3600)
        mortal_server.kill()
        assert limits.take("a:1", limit=1, window_s=3600) == 0.0
        mortal_server.start()
        now[0] = 2.0
        assert limits.take("a:1", limit=1, window_s=3600) > 0


@pytest.mark.parametrize(("limit", "window_s"), [(0, 1), (1, 0), (-1, 1)])
def test_a_limit_that_lets_nothing_pass_is_an_error(limits, limit, window_s):
    with pytest.raises(ValueError, match="lets nothing pass"):
        limits.take("a:1", limit=limit, window_s=window_s)
