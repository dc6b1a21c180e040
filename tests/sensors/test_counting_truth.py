"""For any true sequence of crossings, whatever happens on the way: the counted total is the truth, and never more.

A door is simulated with its truth; its messages are then lost, repeated, swapped, replayed as retained, cut by restarts
and wraps, and dated by frozen or wild clocks. `expected` is what the delivered messages determine.
"""

import random
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensors.config import LineConfig, SensorConfig
from sensors.counters import Counters
from sensors.readings import Reading

START = 1_785_492_000_000
SECOND = 1_000
DAY_S = 86_400


class Step(NamedTuple):
    """What happens between two messages of a door."""

    pause_s: int
    ins: int
    outs: int
    restarts: bool


class Sent(NamedTuple):
    """A message as the door sends it, beside the truth."""

    number: int
    life: int
    at_ms: int
    began_ms: int
    ins: int
    outs: int
    step_ins: int
    step_outs: int


class Delivered(NamedTuple):
    """A message as it arrives."""

    sent: Sent
    at_ms: int
    retained: bool = False


steps = st.lists(
    st.builds(
        Step,
        pause_s=st.integers(20, 1_200),
        ins=st.integers(0, 12),
        outs=st.integers(0, 12),
        restarts=st.sampled_from([False] * 6 + [True]),
    ),
    min_size=2,
    max_size=25,
)
seeds = st.integers(0, 2**32)
clocks = st.sampled_from(["right", "none", "frozen", "wild", "backwards hour"])


def door(plan, *, first=0, restarts=True):
    """The door's messages: totals since its restart, and what is new in each."""
    at_ms, began_ms, life, ins, outs = START, START - DAY_S * SECOND, 0, first, first
    sent = [Sent(0, 0, at_ms, began_ms, ins, outs, 0, 0)]
    for number, step in enumerate(plan, 1):
        at_ms += step.pause_s * SECOND
        if step.restarts and restarts:
            life, ins, outs, began_ms = life + 1, 0, 0, at_ms - 5 * SECOND - number
        ins, outs = ins + step.ins, outs + step.outs
        sent.append(Sent(number, life, at_ms, began_ms, ins, outs, step.ins, step.outs))
    return sent


def deliver(sent, rng, *, lose=0.0, repeat=0.0, swap=0.0, replay=0.0):
    """What arrives, in the order of arrival; only messages within one life and five minutes are swapped."""
    arriving = [message for message in sent if message.number == 0 or rng.random() >= lose]
    place = 1
    while place < len(arriving) - 1:
        before, this, after = arriving[place - 1 : place + 2]
        one_life = before.life == this.life == after.life
        if rng.random() < swap and one_life and after.at_ms - this.at_ms <= 250 * SECOND:
            arriving[place : place + 2] = [after, this]
            place += 1
        place += 1
    delivered, now = [], START
    for number, message in enumerate(arriving):
        now = max(now + 1, message.at_ms + 40)
        delivered.append(Delivered(message, now))
        if rng.random() < repeat:
            now += 1
            recent = [
                one for one in arriving[max(0, number - 1) : number + 1] if message.at_ms - one.at_ms <= 250 * SECOND
            ]
            delivered.append(Delivered(rng.choice(recent), now))
        if rng.random() < replay:
            now += 1
            delivered.append(Delivered(rng.choice(arriving[: number + 1]), now, retained=True))
    return delivered


def clock_of(kind, delivered, rng):
    """What the device believes the time is."""
    at_ms = delivered.sent.at_ms
    if kind == "wild":
        # By message: a copy of a message carries the same wrong time.
        return random.Random(f"{rng}{delivered.sent.number}").choice(
            [0, 2 * at_ms, at_ms - 400 * DAY_S * SECOND, at_ms]
        )
    return {"right": at_ms, "none": None, "frozen": START, "backwards hour": at_ms - 3_600 * SECOND}[kind]


def count(readings, config=None):
    """The ins and outs that the counters make of readings; the state is saved and loaded in between."""
    config = config or SensorConfig(id="door-1")
    counters, ins, outs = Counters(config), 0, 0
    for number, reading in enumerate(readings):
        if number % 7 == 3:
            state = counters.dump()
            counters = Counters.load(config, state)
            assert counters.dump() == state
        for counted in counters.take(reading):
            assert counted.at_ms == reading.received_ms
            assert counted.backfill is None or counted.backfill[0] <= counted.backfill[1] <= counted.at_ms
            ins += counted.ins
            outs += counted.outs
    return ins, outs


def total(delivered, *, modulus=None, **marks):
    sent = delivered.sent
    ins, outs = (sent.ins % modulus, sent.outs % modulus) if modulus else (sent.ins, sent.outs)
    return Reading(
        sensor="door-1", kind="cumulative", ins=ins, outs=outs, received_ms=delivered.at_ms,
        retained=delivered.retained, **marks,
    )  # fmt: skip


def uptime_s(sent):
    return (sent.at_ms - sent.began_ms) / 1000


def expected_of_totals(delivered):
    """What live totals determine, direction by direction.

    A total that did not fall at a restart may have been kept through it, so only the difference is sure, until a
    restart has been seen to set the counter to zero; and a restart is only seen where total or uptime fell.
    """
    live = sorted((one.sent for one in delivered if not one.retained), key=lambda sent: sent.number)
    base = delivered[0].sent
    ins = outs = 0
    zeroes = False
    for sent in live[live.index(base) :]:
        fell = sent.ins < base.ins or sent.outs < base.outs
        zeroes = zeroes or fell
        new_life = sent.life != base.life and zeroes and (fell or uptime_s(sent) < uptime_s(base))
        ins += sent.ins - (0 if new_life else base.ins)
        outs += sent.outs - (0 if new_life else base.outs)
        base = sent
    return ins, outs


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


def period(delivered, sent, *, clock=True):
    one = delivered.sent
    from_ms = sent[one.number - 1].at_ms if one.number else one.at_ms - 60 * SECOND
    return Reading(
        sensor="door-1", kind="delta", ins=one.step_ins, outs=one.step_outs, from_ms=from_ms if clock else None,
        to_ms=one.at_ms if clock else None, received_ms=delivered.at_ms, retained=delivered.retained,
    )  # fmt: skip


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
    for readings in (totals, [period(one, sent) for one in delivered], _numbered_triggers(delivered)):
        assert count(readings, BACKWARD) == count(readings)[::-1]


def _numbered_triggers(delivered):
    return [
        Reading(
            sensor="door-1", kind="delta", ins=one.sent.step_ins, outs=one.sent.step_outs, trigger=True,
            key=f"crossing {one.sent.number}", received_ms=one.at_ms, retained=one.retained,
        )
        for one in delivered
    ]  # fmt: skip


@given(plan=steps, seed=seeds, clock=clocks, modulus=st.sampled_from([None, 2**16]), first=st.integers(0, 65_535))
@settings(max_examples=150, deadline=None)
def test_marked_triggers_are_the_count_whatever_totals_and_clocks_say(plan, seed, clock, modulus, first):
    """Beside them totals that wrap, fall at restarts and come again as retained ones, under any clock."""
    rng = random.Random(seed)
    sent = door(plan, first=first)
    delivered = deliver(sent, rng, repeat=0.4, swap=0.3, replay=0.4)
    readings = []
    for trigger, one in zip(_numbered_triggers(delivered), delivered, strict=True):
        pair = [trigger, total(one, modulus=modulus, uptime_s=uptime_s(one.sent), to_ms=clock_of(clock, one, seed))]
        readings += pair if one.sent.number == 0 or rng.random() < 0.5 else pair[::-1]
    live = {one.sent.number: one.sent for one in delivered if not one.retained}
    truth = sum(one.step_ins for one in live.values()), sum(one.step_outs for one in live.values())
    assert count(readings) == truth


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
