"""Each ledger against a model that does everything the slow and obvious way.

Claims on caps that are raised and lowered while their counters stand; commits that come late, or never, because their
caller died and asks again; releases before and after; counters that are forgotten in between; clocks that go back.
"""

from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from geo_service.flow.ledger import Claim, MemoryLedger, Reservation
from geo_service.storage.connection import connect
from geo_service.storage.keys import Keys
from geo_service.storage.redis_ledger import RedisLedger

T0 = 2_000_000_000_000
COUNTERS = {"total": None, "budget": None, "day": 400, "gap": 60}
"""Each with how long after its first claim it is forgotten."""
_wanted = st.dictionaries(st.sampled_from(sorted(COUNTERS)), st.integers(1, 4), min_size=1, max_size=3)


class Model(RuleBasedStateMachine):
    make = MemoryLedger

    @initialize()
    def begin(self):
        self.ledger, self.now_ms = type(self).make(), T0
        self.caps = dict.fromkeys(COUNTERS, 5)
        self.made: list[SimpleNamespace] = []
        self.lives: dict[str, SimpleNamespace] = {}

    # --- the model ---------------------------------------------------------------------------------------------------

    def total(self, counter):
        life = self.lives.get(counter)
        held = [made for made in self.made if made.state in {"reserved", "committed"}]
        return sum(amount for made in held for name, amount, of in made.claims if name == counter and of is life)

    def sweep(self):
        for made in self.made:
            if made.state == "reserved" and made.expires_ms <= self.now_ms:
                made.state = "expired"
        self.bury()

    def bury(self):
        for counter, life in list(self.lives.items()):
            if (life.ends_ms is not None and life.ends_ms <= self.now_ms) or self.total(counter) == 0:
                del self.lives[counter]

    def claim(self, counter, amount):
        after_ms = COUNTERS[counter]
        ends_ms = None if after_ms is None else self.now_ms + after_ms
        return counter, amount, self.lives.setdefault(counter, SimpleNamespace(ends_ms=ends_ms))

    # --- what happens ------------------------------------------------------------------------------------------------

    @rule(wanted=_wanted, ttl_ms=st.integers(1, 200), unlimited=st.booleans())
    def reserve(self, wanted, ttl_ms, unlimited):
        self.sweep()
        limits = {counter: None if unlimited and counter == "total" else self.caps[counter] for counter in wanted}
        claims = [Claim(counter, amount, limits[counter], COUNTERS[counter]) for counter, amount in wanted.items()]
        full = [
            claim.counter
            for claim in claims
            if claim.limit is not None and self.total(claim.counter) + claim.amount > claim.limit
        ]
        made = SimpleNamespace(asked=Reservation(f"k{len(self.made)}", claims, ttl_ms), expires_ms=self.now_ms + ttl_ms)
        made.state = "refused" if full else "reserved"
        made.claims = [] if full else [self.claim(*pair) for pair in wanted.items()]
        (made.answer,) = self.ledger.reserve([made.asked], self.now_ms)
        assert (made.answer.granted, made.answer.refused) == (not full, full[0] if full else None)
        self.made.append(made)
        for claim in claims:
            if made.answer.granted and claim.limit is not None:
                assert self.ledger.total([claim.counter], self.now_ms)[0] <= claim.limit

    @precondition(lambda self: self.made)
    @rule(data=st.data())
    def crash_and_ask_again(self, data):
        """Whoever asked died before it committed, and goes through it all again: in one call, or one by one."""
        again = self.made[data.draw(st.integers(0, len(self.made) - 1)) :]
        if data.draw(st.booleans()):
            answers = self.ledger.reserve([made.asked for made in again], self.now_ms)
        else:
            answers = [self.ledger.reserve([made.asked], self.now_ms)[0] for made in again]
        assert answers == [made.answer for made in again]

    @precondition(lambda self: self.made)
    @rule(data=st.data(), gives_back=st.booleans())
    def settle(self, data, gives_back):
        """Commit or release some, known to be so or not; whatever is said, it is said again when asked again."""
        self.sweep()
        some = data.draw(st.lists(st.sampled_from(range(len(self.made))), min_size=1, max_size=4))
        expected = []
        for made in (self.made[at] for at in some):
            if gives_back:
                if made.state in {"reserved", "committed"}:
                    made.state, made.released = "released", True
                    self.bury()
                expected.append(hasattr(made, "released"))
            else:
                if made.state == "reserved":
                    made.state, made.committed = "committed", True
                expected.append(hasattr(made, "committed"))
        keys = [self.made[at].asked.key for at in some]
        call = self.ledger.release if gives_back else self.ledger.commit
        assert call(keys, self.now_ms) == expected
        assert call([*keys, "nobody"], self.now_ms) == [*expected, False]

    @rule(counter=st.sampled_from(sorted(COUNTERS)), cap=st.integers(0, 12))
    def set_cap(self, counter, cap):
        """Below what is held already, it only means that there is no room."""
        self.caps[counter] = cap

    @rule(ms=st.integers(-20, 120))
    def wait(self, ms):
        self.now_ms += ms

    @invariant()
    def totals_are_what_is_held(self):
        if hasattr(self, "ledger"):
            self.sweep()
            assert self.ledger.total(sorted(COUNTERS), self.now_ms) == [self.total(name) for name in sorted(COUNTERS)]

    def teardown(self):
        """Once every hold is over, nothing is taken but what was committed."""
        if hasattr(self, "ledger"):
            self.now_ms += 1000
            self.totals_are_what_is_held()
            committed = [made for made in self.made if made.state == "committed"]
            for counter in ("total", "budget"):
                sold = sum(amount for made in committed for name, amount, _ in made.claims if name == counter)
                assert self.ledger.total([counter], self.now_ms) == [sold]
            assert self.ledger.total(["day", "gap"], self.now_ms) == [0, 0]


@pytest.mark.parametrize("kind", ["memory", "redis", "valkey"])
def test_each_ledger_does_what_the_model_does(servers, kind):
    def run(make):
        Model.make = make
        about = settings(
            max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        )
        run_state_machine_as_test(Model, settings=about)

    if kind == "memory":
        run(staticmethod(MemoryLedger))
        return
    with connect(servers[kind], retries=0) as client:
        client.connection_pool.connection_kwargs["db"] = 10

        def fresh():
            client.flushdb()
            return RedisLedger(client, keys=Keys("model:"))

        run(staticmethod(fresh))
        client.flushdb()


pytestmark = pytest.mark.xdist_group("ledger model")
