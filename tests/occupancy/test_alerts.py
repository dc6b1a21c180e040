from hypothesis import given
from hypothesis import strategies as st

from occupancy.alerts import NOT_LIFE_SAFETY, judge
from occupancy.estimate import Estimate


def at(rate, *, p_over=0.0, status="live"):
    people = 100 * rate
    return Estimate(people, people - 5, people + 5, rate, p_over, "normal", status, 0, 0)


def follow(estimates):
    raised, story = frozenset(), []
    for estimate in estimates:
        raised, alerts = judge(raised, estimate)
        story += [(alert.kind, alert.began) for alert in alerts]
    return raised, story


def test_a_filling_and_emptying_store_warns_once_is_full_once_and_calms_down():
    _, story = follow([at(rate) for rate in (0.5, 0.79, 0.8, 0.78, 0.81, 0.95, 0.92, 0.96, 0.89, 0.76, 0.74, 0.5)])
    assert story == [("warn", True), ("full", True), ("full", False), ("warn", False)]


def test_the_legal_capacity_is_a_matter_of_probability_and_no_life_safety():
    raised, alerts = judge(frozenset(), at(0.7, p_over=0.15))
    assert raised == {"legal"}
    assert NOT_LIFE_SAFETY in alerts[0].text
    assert "15%" in alerts[0].text
    assert judge(raised, at(0.7, p_over=0.05)) == (raised, [])
    assert judge(raised, at(0.7, p_over=0.01))[1][0].began is False


def test_while_blind_nothing_begins_and_nothing_ends():
    assert judge(frozenset(), at(2.0, p_over=1.0, status="blind")) == (frozenset(), [])
    assert judge(frozenset({"full"}), at(0.0, status="blind")) == (frozenset({"full"}), [])


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 1)), max_size=40))
def test_every_alert_begins_and_ends_in_turn(history):
    raised, story = follow([at(rate, p_over=p_over) for rate, p_over in history])
    for kind in ("warn", "full", "legal"):
        turns = [began for name, began in story if name == kind]
        assert turns == [index % 2 == 0 for index in range(len(turns))]
        assert (kind in raised) == (len(turns) % 2 == 1)
