import numpy as np
import pytest

from occupancy.sources import MINUTE_MS, SILENT_AFTER_MS, Source


def heard_at(times_ms):
    source = Source(0)
    for at in times_ms:
        source.spoke(int(at), source.last_ms)
    return source


@pytest.mark.parametrize("every_s", [10, 60, 300, 1800])
def test_a_door_that_reports_by_the_clock_is_silent_after_two_missed_reports(every_s):
    source = heard_at(np.arange(1, 30) * every_s * 1000)
    assert source.regular
    assert source.silent_after_ms == max(2 * every_s * 1000 + 5000, MINUTE_MS)
    assert source.quiet_after_ms == max(every_s * 1000 + 5000, MINUTE_MS)


def test_a_door_that_speaks_of_crossings_only_is_not_silent_in_a_lull():
    random = np.random.default_rng(1)
    times = np.cumsum(random.exponential(20_000, 300))
    source = heard_at(times)
    assert not source.regular
    assert 3 * MINUTE_MS < source.silent_after_ms < SILENT_AFTER_MS
    assert source.quiet_after_ms == MINUTE_MS


def test_a_rare_door_is_silent_after_a_quarter_of_an_hour():
    source = heard_at(np.cumsum(np.random.default_rng(2).exponential(600_000, 50)))
    assert source.silent_after_ms == SILENT_AFTER_MS


def test_a_door_of_which_little_is_known_has_a_quarter_of_an_hour():
    assert heard_at([1000, 2000, 3000]).silent_after_ms == SILENT_AFTER_MS


def test_one_long_outage_does_not_make_it_patient_for_ever():
    times = list(np.arange(1, 30) * 60_000)
    outage = times[-1] + 6 * 3_600_000
    source = heard_at([*times, *(outage + np.arange(1, 150) * 60_000)])
    assert source.silent_after_ms < 5 * MINUTE_MS


def test_a_silence_is_believed_to_be_a_fault_more_and_more():
    source = heard_at(np.arange(1, 30) * 60_000)
    shares = [source.broken(seconds * 1000) for seconds in (0, 60, 64, 70, 90, 124, 125, 500)]
    assert shares == sorted(shares)
    assert shares[0] == shares[2] == 0
    assert shares[-1] == shares[-2] == 1
