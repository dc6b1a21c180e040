"""A door whose truth is known: what it sends, what of that arrives, and what the counters make of it.

Its messages are lost, repeated, swapped, replayed as retained, cut by restarts and wraps, and dated by frozen or wild
clocks. `expected_of_totals` is what the delivered messages determine.
"""

import random
from typing import NamedTuple

from hypothesis import strategies as st

from sensors.config import SensorConfig
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


def period(delivered, sent, *, clock=True):
    one = delivered.sent
    from_ms = sent[one.number - 1].at_ms if one.number else one.at_ms - 60 * SECOND
    return Reading(
        sensor="door-1", kind="delta", ins=one.step_ins, outs=one.step_outs, from_ms=from_ms if clock else None,
        to_ms=one.at_ms if clock else None, received_ms=delivered.at_ms, retained=delivered.retained,
    )  # fmt: skip


def numbered_triggers(delivered):
    return [
        Reading(
            sensor="door-1", kind="delta", ins=one.sent.step_ins, outs=one.sent.step_outs, trigger=True,
            key=f"crossing {one.sent.number}", received_ms=one.at_ms, retained=one.retained,
        )
        for one in delivered
    ]  # fmt: skip
