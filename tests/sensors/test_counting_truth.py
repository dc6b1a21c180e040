"""For any true sequence of crossings, whatever happens on the way: the total that is counted from a door's totals is the
truth, and never more.
"""

import random
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from sensors.config import SensorConfig
from sensors.counters import Counters

from .simulated_door import (
    Delivered,
    Step,
    clock_of,
    clocks,
    count,
    deliver,
    door,
    expected_of_totals,
    seeds,
    steps,
    total,
    uptime_s,
)


@given(plan=steps, seed=seeds, clock=clocks, first=st.integers(0, 50_000))
@settings(max_examples=150, deadline=None)
def test_totals_with_uptime_are_counted_exactly(plan, seed, clock, first):
    """Loss, repeats, swaps, retained copies, restarts and any clock."""
    rng = random.Random(seed)
    # A swapped message is only told from a restart by size or by the clock, so young counters need a clock.
    sent = door(plan, first=first, restarts=clock == "right" or first == 0)
    swap = 0.3 if clock == "right" or first >= 1_000 else 0
    delivered = deliver(sent, rng, lose=0.2, repeat=0.3, swap=swap, replay=0.2)
    readings = [total(one, uptime_s=uptime_s(one.sent), to_ms=clock_of(clock, one, seed)) for one in delivered]
    assert count(readings) == expected_of_totals(delivered)


@given(plan=steps, seed=seeds)
@settings(max_examples=80, deadline=None)
def test_totals_without_any_mark_are_counted_exactly_where_their_size_tells(plan, seed):
    """A counter that never restarts and is not young: what falls is late."""
    delivered = deliver(
        door(plan, first=2_000, restarts=False), random.Random(seed), lose=0.2, repeat=0.3, swap=0.3, replay=0.2
    )
    assert count([total(one) for one in delivered]) == expected_of_totals(delivered)


@given(plan=steps, seed=seeds)
@settings(max_examples=80, deadline=None)
def test_one_restart_without_any_mark_is_counted_where_its_size_tells(plan, seed):
    """The counter stood high and starts again near zero."""
    plan = [step._replace(restarts=number == len(plan) // 2) for number, step in enumerate(plan)]
    delivered = deliver(door(plan, first=5_000), random.Random(seed), lose=0.1, repeat=0.0, replay=0.2)
    assert count([total(one) for one in delivered]) == expected_of_totals(delivered)


@given(
    plan=steps, seed=seeds, modulus=st.sampled_from([2**16, 2**32]), before=st.integers(0, 150), uptime=st.booleans()
)
@settings(max_examples=100, deadline=None)
def test_counters_that_wrap_are_counted_across_their_end(plan, seed, modulus, before, uptime):
    delivered = deliver(
        door(plan, first=modulus - before, restarts=False),
        random.Random(seed),
        lose=0.2,
        repeat=0.2,
        swap=0.3,
        replay=0.2,
    )
    readings = [
        total(
            one,
            modulus=modulus,
            uptime_s=uptime_s(one.sent) if uptime else None,
            to_ms=one.sent.at_ms,
        )
        for one in delivered
    ]
    assert count(readings) == expected_of_totals(delivered)


@given(plan=steps, seed=seeds, clock=clocks)
@settings(max_examples=100, deadline=None)
def test_totals_that_say_when_they_began_are_counted_exactly(plan, seed, clock):
    """Restarts between any two messages, even where the new total is already higher."""
    delivered = deliver(door(plan), random.Random(seed), lose=0.3, repeat=0.3, swap=0.3, replay=0.2)
    readings = [total(one, from_ms=one.sent.began_ms, to_ms=clock_of(clock, one, seed)) for one in delivered]
    last = {one.sent.life: one.sent for one in sorted(delivered, key=lambda one: one.sent.number) if not one.retained}
    assert count(readings) == (sum(sent.ins for sent in last.values()), sum(sent.outs for sent in last.values()))


@given(plan=steps, seed=seeds, clock=clocks, modulus=st.sampled_from([None, 2**16]), first=st.integers(0, 70_000))
@settings(max_examples=200, deadline=None)
def test_nothing_is_ever_counted_twice(plan, seed, clock, modulus, first):
    """Everything at once, with uptime and sequence numbers: people may be missed, none is counted again."""
    rng = random.Random(seed)
    first = first % modulus if modulus else first
    delivered = deliver(door(plan, first=max(first, 1_000)), rng, lose=0.3, repeat=0.4, swap=0.4, replay=0.4)
    readings = [
        total(
            one, modulus=modulus, uptime_s=uptime_s(one.sent), seq=one.sent.number + 100,
            to_ms=clock_of(clock, one, seed),
        )
        for one in delivered
    ]  # fmt: skip
    ins, outs = count(readings)
    truth = expected_of_totals(delivered)
    assert ins <= truth[0]
    assert outs <= truth[1]


@given(
    plan=steps,
    outage_h=st.integers(1, 160),
    missed=st.tuples(st.integers(0, 400), st.integers(0, 400)),
    clock=st.sampled_from(["right", "none", "frozen"]),
    restarts=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_a_gap_is_counted_once_and_dated_within_it(plan, outage_h, missed, clock, restarts):
    """A door that nobody heard for hours or days, through a restart or not: its total tells who passed meanwhile."""
    middle = len(plan) // 2
    gap = Step(outage_h * 3_600, *missed, restarts=restarts)
    sent = door([*plan[:middle], gap, *plan[middle:]], first=1_000 if restarts else 0, restarts=restarts)
    delivered = [Delivered(one, one.at_ms + 40) for one in sent]
    counters = Counters(SensorConfig(id="door-1"))
    ins = outs = 0
    for before, one in pairwise([None, *delivered]):
        reading = total(one, uptime_s=uptime_s(one.sent), to_ms=clock_of(clock, one, 0))
        for counted in counters.take(reading):
            ins, outs = ins + counted.ins, outs + counted.outs
            if counted.backfill is not None:
                assert before.at_ms - 40 <= counted.backfill[0] <= counted.backfill[1] <= one.at_ms
            else:
                assert one.at_ms - before.at_ms <= 300_000 + 40
    assert (ins, outs) == expected_of_totals(delivered)
