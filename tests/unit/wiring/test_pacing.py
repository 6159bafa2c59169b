"""Call rates: who is counted with whom, what is never held up, and what is told."""

import threading
import time

import pytest

from bywire.gateway.contract import Catalogue
from bywire.gateway.contracts import CONTRACTS
from bywire.model.errors import RateError
from bywire.model.gateway import GatewayConfig
from bywire.model.gateway_budgets import CallRate
from bywire.wiring import pacing, payload
from bywire.wiring.pacing import Pacing, Refusals

NOW = 1_790_000_000_000
READ, WRITE, RETREAT = "get_deployment_status", "rerun_job", "rollback_release"
CATALOGUE = Catalogue(CONTRACTS)


def made(*rates):
    return Pacing(tuple(CallRate(*rate) for rate in rates), CATALOGUE)


def passed(pace, *calls):
    """How many of these calls pass."""
    return sum(went(pace, *call) for call in calls)


def went(pace, principal="agent:a", now=NOW, tool=READ):
    try:
        pace.check(principal, tool, now)
    except RateError:
        return False
    return True


def test_whoever_waits_as_long_as_they_were_told_gets_through():
    pace = made(("agent:a", "second", 2))
    pace.check("agent:a", READ, NOW)
    pace.check("agent:a", READ, NOW + 300)
    for now in (NOW + 300, NOW + 999):
        with pytest.raises(RateError) as refused:
            pace.check("agent:a", READ, now)
        assert refused.value.retry_after_ms == NOW + 1_000 - now
    # What was refused counts for nothing.
    assert went(pace, now=NOW + 1_000)
    assert not went(pace, now=NOW + 1_001)


def test_the_turn_of_a_minute_gives_no_second_helping():
    turn = (NOW // 60_000 + 1) * 60_000
    pace = made(("agent:*", "minute", 5))
    assert passed(pace, *[("agent:a", turn - 1)] * 9, *[("agent:a", turn)] * 9) == 5


def test_a_call_has_to_fit_every_rate_and_is_counted_once_in_each():
    pace = made(("agent:a", "second", 3), ("agent:a", "minute", 4))
    assert passed(pace, *[("agent:a", NOW)] * 5) == 3
    assert passed(pace, *[("agent:a", NOW + 1_000)] * 5) == 1
    with pytest.raises(RateError) as refused:
        pace.check("agent:a", READ, NOW + 2_000)
    assert refused.value.retry_after_ms == 58_000


def test_each_agent_has_calls_of_its_own_and_other_principals_none():
    pace = made(("agent:*", "minute", 1), ("agent:b", "minute", 2))
    assert passed(pace, *[("agent:a", NOW)] * 3) == 1
    assert passed(pace, *[("agent:b", NOW)] * 3) == 2
    assert passed(pace, *[("agent:c", NOW)] * 3) == 1
    assert passed(pace, *[("person:dana", NOW)] * 9) == 9


def test_nobody_uses_up_what_others_may_ask_of_a_tool():
    pace = made((f"tool:{READ}", "minute", 2))
    assert passed(pace, *[("agent:hostile", NOW)] * 9) == 2
    assert went(pace, "agent:a")
    assert passed(pace, *[("agent:a", NOW, "get_job_logs")] * 9) == 9
    assert passed(pace, *[("agent:a", NOW, f"{READ} ")] * 9) == 9  # no tool at all, and denied as such


def test_rule_16_a_retreat_is_counted_and_never_held_up():
    pace = made(("agent:a", "minute", 1))
    assert passed(pace, *[("agent:a", NOW, RETREAT)] * 3) == 3
    assert not went(pace)
    assert not went(pace, now=NOW + 59_999)
    assert went(pace, now=NOW + 60_000)


class Slow(pacing.Pace):
    """Somebody else runs between looking and counting."""

    def free_ms(self, now_ms):
        found = super().free_ms(now_ms)
        time.sleep(0)
        return found


def test_calls_at_once_are_counted_one_by_one(monkeypatch):
    monkeypatch.setattr(pacing, "Pace", Slow)
    pace, done = made(("agent:a", "minute", 50)), []
    threads = [threading.Thread(target=lambda: done.append(passed(pace, *[("agent:a", NOW)] * 40))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done) == 50


def test_only_who_was_silent_is_forgotten(monkeypatch):
    monkeypatch.setattr(pacing, "REMEMBERED", 4)
    pace = made(("agent:*", "minute", 1))
    assert passed(pace, *((f"agent:{n}", NOW) for n in range(20))) == 20
    assert passed(pace, *((f"agent:{n}", NOW + 59_999) for n in range(20))) == 0
    assert passed(pace, ("agent:new", NOW + 60_000)) == 1
    assert len(pace._paces) == 1


def test_it_is_told_as_busy_with_the_time_to_come_back():
    pace = made(("agent:a", "minute", 1))
    pace.check("agent:a", READ, NOW)
    with pytest.raises(RateError) as refused:
        pace.check("agent:a", READ, NOW + 58_001)
    said = payload.of_error(refused.value, key="k")
    assert (said["code"], said["retryable"], said["retry"]) == ("busy", True, {"key": "k", "after_seconds": 2})
    assert [rule["rule"] for rule in said["rules"]] == ["calls_too_many"]
    assert "agent:a" in said["reason"]


def in_vain(*rates):
    return Refusals(tuple(CallRate(*rate) for rate in rates), CATALOGUE)


def waits(refusals, principal="agent:a", now=NOW, tool=WRITE):
    held = refusals.look(principal, tool, now)
    return held.retry_after_ms if held is not None else 0


def test_without_a_word_a_loop_is_broken_after_three_hundred_refusals_in_a_minute():
    refusals = Refusals(GatewayConfig().refusals, CATALOGUE)
    for step in range(300):
        assert waits(refusals, now=NOW + step) == 0
        refusals.count("agent:a", WRITE, NOW + step)
    assert waits(refusals, now=NOW + 299) == 60_000 - 299
    assert waits(refusals, now=NOW + 60_000) == 0
    assert waits(refusals, now=NOW + 299, principal="agent:b") == 0


def test_what_is_looked_at_counts_for_nothing_and_leaves_nothing_behind():
    refusals = in_vain(("agent:*", "minute", 1))
    assert not any(waits(refusals) for _ in range(9))
    assert not refusals.remembers
    refusals.count("agent:a", WRITE, NOW)
    assert refusals.remembers
    assert [waits(refusals, now=NOW + 1) for _ in range(3)] == [59_999] * 3


def test_a_loop_of_refused_effects_leaves_reads_alone_and_the_other_way_round():
    refusals = in_vain(("agent:*", "minute", 1))
    refusals.count("agent:a", "no_such_tool", NOW)
    assert (waits(refusals), waits(refusals, tool="another"), waits(refusals, tool=READ)) == (60_000, 60_000, 0)
    refusals.count("agent:b", READ, NOW)
    assert (waits(refusals, "agent:b", tool=READ), waits(refusals, "agent:b")) == (60_000, 0)


def test_rule_16_refusals_never_hold_up_a_retreat():
    refusals = in_vain(("agent:*", "minute", 1))
    refusals.count("agent:a", RETREAT, NOW)
    assert (waits(refusals, tool=RETREAT), waits(refusals)) == (0, 60_000)


def test_refusals_of_one_tool_and_of_one_agent_are_bounded_apart():
    refusals = in_vain((f"tool:{WRITE}", "minute", 1), ("agent:b", "second", 1))
    refusals.count("agent:a", WRITE, NOW)
    refusals.count("agent:b", "deploy_release", NOW)
    assert (waits(refusals), waits(refusals, tool="deploy_release")) == (60_000, 0)
    assert waits(refusals, "agent:b", tool="start_rollout") == 1_000
    assert waits(in_vain()) == 0


def test_it_says_to_do_something_else():
    refusals = in_vain(("agent:*", "minute", 1))
    refusals.count("agent:a", WRITE, NOW)
    said = payload.of_error(refusals.look("agent:a", WRITE, NOW + 1), key="k")
    assert (said["code"], said["retry"]) == ("busy", {"key": "k", "after_seconds": 60})
    assert [rule["rule"] for rule in said["rules"]] == ["refusals_too_many"]
    assert "do what the refusals say" in said["next_step"]
