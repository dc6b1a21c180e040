"""What an offer takes of the caps: whatever a campaign's document may say, the ledger can mean it."""

from hypothesis import given
from hypothesis import strategies as st

from geo_service.catalogue.documents import Campaign, Caps, Policy, PolicyCaps, Store
from geo_service.flow.ledger import MemoryLedger, Reservation
from geo_service.offers.campaigns import Placement, StoreRules, Terms
from geo_service.offers.decide import HELD_MS

NOW_MS = 2_000_000_000_000
_count = st.none() | st.sampled_from([0, 1, 1_000_000_000])
_seconds = st.none() | st.floats(0, 31_536_000)
_caps = st.builds(
    Caps,
    per_device=_count,
    per_store=_count,
    per_day=_count,
    min_gap_s=_seconds,
    total=_count,
    budget=_count,
)


@given(
    caps=_caps,
    policy=st.builds(PolicyCaps, per_device_day=_count, min_gap_s=_seconds),
    expires_s=st.floats(0, 31_536_000, exclude_min=True),
    cost=st.sampled_from([0, 1, 1_000_000_000]),
)
def test_whatever_a_campaign_may_say_the_ledger_can_mean(caps, policy, expires_s, cost):
    benefit = {"type": "percentage", "value": 10, "cost": cost}
    campaign = Campaign(id="c", name="C", caps=caps, exclusive="x", expires_s=expires_s, benefit=benefit)
    rules = StoreRules(Store(id="s", name="S", lat=0, lon=0), [Policy(id="p", caps=policy)])
    claims = Placement(Terms(campaign, {}), rules).claims("phone", NOW_MS)
    (answer,) = MemoryLedger().reserve([Reservation("k", claims, HELD_MS)], NOW_MS)
    limits = [caps.per_device, caps.per_store, caps.per_day, caps.total, policy.per_device_day]
    has_room = all(limit is None or limit >= 1 for limit in limits)
    assert answer.granted == (has_room and (caps.budget is None or cost <= caps.budget))
