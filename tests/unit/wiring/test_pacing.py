"""Call rates: who is counted with whom, what is never held up, and what is told."""

import threading
import time

import pytest

from bywire.gateway.contract import Catalogue
from bywire.gateway.contracts import CONTRACTS
from bywire.model.errors import RateError
from bywire.model.gateway_budgets import CallRate
from bywire.wiring import pacing, payload
from bywire.wiring.pacing import Pacing

NOW = 1_790_000_000_000
READ, RETREAT = "get_deployment_status", "rollback_release"
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
