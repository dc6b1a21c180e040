"""For any true sequence of crossings, whatever happens on the way: deltas, periods and triggers, alone or beside totals,
count everybody once, and a door mounted backwards counts them the other way.
"""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensors.config import LineConfig, SensorConfig
from sensors.readings import Reading

from .simulated_door import (
    SECOND,
    START,
    Delivered,
    Step,
    clock_of,
    clocks,
    count,
    deliver,
    door,
    numbered_triggers,
    period,
    seeds,
    steps,
    total,
    uptime_s,
)


@given(plan=steps, seed=seeds, clock=clocks)
@settings(max_examples=100, deadline=None)
def test_numbered_deltas_are_counted_once_in_any_order(plan, seed, clock):
    rng = random.Random(seed)
    delivered = deliver(door(plan, restarts=False), rng, repeat=0.4, replay=0.2)
    live = [one for one in delivered if not one.retained]
    rng.shuffle(live)
    readings = [
        Reading(
            sensor="door-1", kind="delta", ins=one.sent.step_ins, outs=one.sent.step_outs, seq=one.sent.number + 100,
            to_ms=clock_of(clock, one, seed), received_ms=START + number * SECOND, retained=one.retained,
        )
        for number, one in enumerate(live)
    ]  # fmt: skip
    assert count(readings) == (sum(step.ins for step in plan), sum(step.outs for step in plan))


@given(plan=steps, seed=seeds)
@settings(max_examples=60, deadline=None)
def test_periods_are_counted_once_by_their_windows(plan, seed):
    rng = random.Random(seed)
    sent = door(plan, restarts=False)
    delivered = deliver(sent, rng, repeat=0.4, swap=0.4, replay=0.3)
    readings = [period(one, sent) for one in delivered]
    assert count(readings) == (sum(step.ins for step in plan), sum(step.outs for step in plan))


@given(plan=steps)
@settings(max_examples=60, deadline=None)
def test_periods_of_a_door_without_a_clock_are_all_counted(plan):
    sent = door(plan, restarts=False)
    readings = [period(Delivered(one, one.at_ms), sent, clock=False) for one in sent]
    assert count(readings) == (sum(step.ins for step in plan), sum(step.outs for step in plan))


@given(plan=steps, extra=st.integers(4, 20))
@settings(max_examples=60, deadline=None)
def test_periods_of_a_clock_that_froze_are_all_counted(plan, extra):
    """Equal counts in equal windows look like repeats, until the clock has plainly stopped."""
    sent = door([*plan, *[Step(60, 2, 1, restarts=False)] * extra], restarts=False)
    frozen_ms = sent[len(plan)].at_ms
    readings = [
        period(Delivered(one, one.at_ms), sent)
        if one.number <= len(plan)
        else Reading(
            sensor="door-1", kind="delta", ins=one.step_ins, outs=one.step_outs, from_ms=frozen_ms - 60 * SECOND,
            to_ms=frozen_ms, received_ms=one.at_ms,
        )
        for one in sent
    ]  # fmt: skip
    assert count(readings) == (sum(step.ins for step in plan) + 2 * extra, sum(step.outs for step in plan) + extra)


def triggers(sent, before):
    """One message per person, spread over the step."""
    people = [(1, 0)] * sent.step_ins + [(0, 1)] * sent.step_outs
    room_ms = sent.at_ms - before.at_ms
    return [
        Reading(
            sensor="door-1", kind="delta", ins=ins, outs=outs, trigger=True,
            to_ms=before.at_ms + (place + 1) * room_ms // (len(people) + 2), received_ms=0,
        )
        for place, (ins, outs) in enumerate(people)
    ]  # fmt: skip


@given(plan=steps, seed=seeds, lines=st.sets(st.sampled_from(["period", "total"])), backward=st.booleans())
@settings(max_examples=150, deadline=None)
def test_triggers_periods_and_totals_together_count_everybody_once(plan, seed, lines, backward):
    """In any order within a step, with repeats: the three tell of the same people."""
    rng = random.Random(seed)
    sent = door(plan, restarts=False)
    readings = []
    for before, one in pairwise(sent):
        batch = triggers(one, before)
        if "period" in lines:
            batch.append(period(Delivered(one, one.at_ms), sent))
        if "total" in lines:
            batch.append(total(Delivered(one, one.at_ms), to_ms=one.at_ms))
        batch += rng.sample(batch, rng.randint(0, len(batch)))
        rng.shuffle(batch)
        readings += [
            Reading(
                **{name: getattr(reading, name) for name in Reading.__struct_fields__}
                | {"received_ms": one.at_ms + place}
            )
            for place, reading in enumerate(batch)
        ]
    config = SensorConfig(id="door-1", lines={"door": LineConfig(in_is="backward" if backward else "forward")})
    truth = sum(step.ins for step in plan), sum(step.outs for step in plan)
    assert count(readings, config) == (truth[::-1] if backward else truth)


@pytest.mark.parametrize("mode", ["delta", "cumulative"])
def test_a_sensor_mounted_backwards_counts_the_same_people_the_other_way(mode):
    plan = [Step(60, number % 5, number % 3, restarts=False) for number in range(50)]
    sent = door(plan, first=500)
    arrivals = [Delivered(one, one.at_ms) for one in sent]
    readings = [total(one) if mode == "cumulative" else period(one, sent) for one in arrivals]
    turned = SensorConfig(id="door-1", lines={"door": LineConfig(in_is="backward")})
    assert count(readings, turned) == count(readings)[::-1] != (0, 0)


BACKWARD = SensorConfig(id="door-1", lines={"door": LineConfig(in_is="backward")})


@given(plan=steps, seed=seeds, clock=clocks, modulus=st.sampled_from([None, 2**16, 2**32]), before=st.integers(0, 150))
@settings(max_examples=100, deadline=None)
def test_whatever_happens_a_door_mounted_backwards_counts_the_same_people_the_other_way(
    plan, seed, clock, modulus, before
):
    """Losses, repeats, swaps, retained copies, restarts, wraps and wrong clocks, in every mode."""
    rng = random.Random(seed)
    sent = door(plan, first=modulus - before if modulus else 5_000)
    delivered = deliver(sent, rng, lose=0.2, repeat=0.3, swap=0.3, replay=0.3)
    totals = [total(one, modulus=modulus, to_ms=clock_of(clock, one, seed)) for one in delivered]
    for readings in (totals, [period(one, sent) for one in delivered], numbered_triggers(delivered)):
        assert count(readings, BACKWARD) == count(readings)[::-1]


@given(plan=steps, seed=seeds, clock=clocks, modulus=st.sampled_from([None, 2**16]), first=st.integers(0, 65_535))
@settings(max_examples=150, deadline=None)
def test_marked_triggers_are_the_count_whatever_totals_and_clocks_say(plan, seed, clock, modulus, first):
    """Beside them totals that wrap, fall at restarts and come again as retained ones, under any clock."""
    rng = random.Random(seed)
    sent = door(plan, first=first)
    delivered = deliver(sent, rng, repeat=0.4, swap=0.3, replay=0.4)
    readings = []
    for trigger, one in zip(numbered_triggers(delivered), delivered, strict=True):
        pair = [trigger, total(one, modulus=modulus, uptime_s=uptime_s(one.sent), to_ms=clock_of(clock, one, seed))]
        readings += pair if one.sent.number == 0 or rng.random() < 0.5 else pair[::-1]
    live = {one.sent.number: one.sent for one in delivered if not one.retained}
    truth = sum(one.step_ins for one in live.values()), sum(one.step_outs for one in live.values())
    assert count(readings) == truth
