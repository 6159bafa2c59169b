"""`window` of a contract: how long a stretch of time one call may ask for, read without a doubt or refused."""

import pytest
from gateway_doubles import NOW, ask, entrance
from hypothesis import given
from hypothesis import strategies as st

from bywire.gateway.contract import Catalogue, Contract, ContractError
from bywire.gateway.time_window import check_window
from bywire.model.connected import Place, TimeWindow

WINDOW = TimeWindow(since="start", until="end", seconds=3_600)
HOUR_MS = 3_600_000
# 2026-01-05T10:00:00Z
AT = 1_767_607_200_000


def width(now_ms=AT, window=WINDOW, **parameters):
    """Whether a call passes."""
    try:
        check_window(window, parameters, now_ms)
    except ContractError as error:
        assert error.next_step
        return error.message
    return ""


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"start": "2026-01-05T09:00:00Z"},
        {"start": "2026-01-05T09:00:00Z", "end": "2026-01-05T10:00:00Z"},
        {"start": "2026-01-05T11:00:00+02:00", "end": "2026-01-05T10:00:00.000Z"},
        {"start": "2026-01-05T04:00:00-05:00"},
        {"start": "2019-01-05t09:00:00z", "end": "2019-01-05t10:00:00z"},
        {"start": "2026-01-05T09:00:00.5Z", "end": "2026-01-05T09:00:00.500Z"},
        {"start": "now-1h"},
        {"start": "now-60m", "end": "now"},
        {"start": "-1h", "end": "now"},
        {"start": "now-0.5h30m"},
        {"start": "now-1w1h", "end": "now-1w"},
        {"start": "2026-01-05T09:30:00Z", "end": "now"},
        {"start": "now", "end": "2026-01-05T11:00:00Z"},
        {"start": "2026-01-05T14:30:00+05:30"},
        {"start": "2026-01-05T09:00:00Z", "end": "2026-01-05T10:00:00.000000900Z"},
    ],
)
def test_a_stretch_within_the_window_passes(parameters):
    assert width(**parameters) == ""


@pytest.mark.parametrize(
    "parameters",
    [
        {"start": "2026-01-05T08:59:59Z"},
        {"start": "2026-01-05T08:59:59.999Z", "end": "2026-01-05T10:00:00Z"},
        {"start": "2026-01-05T09:00:00+01:00", "end": "2026-01-05T10:00:00Z"},
        {"start": "2026-01-05T14:29:59+05:30"},
        {"start": "2026-01-05T09:00:00Z", "end": "2026-01-05T10:00:00.5Z"},
        {"start": "now-61m"},
        {"start": "now-1h1s"},
        {"start": "-1d", "end": "now"},
        {"start": "now-1w"},
        {"start": "1970-01-01T00:00:00Z", "end": "now"},
        {"start": "now-1h", "end": "2099-01-01T00:00:00Z"},
    ],
)
def test_a_longer_one_is_refused(parameters):
    said = width(**parameters)
    assert said == "start to end is more than 3600 seconds"


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "yesterday", "now+1h", "now-", "now-1", "now-1M", "now-1y", "now/d", "now-1d/d", "now - 1h", "NOW-1h",
        "-", "1h", "1767607200", "1767607200000", "2026-01-05", "2026-01-05T09:00:00", "2026-01-05 09:00:00Z",
        "2026-13-05T09:00:00Z", "2026-01-05T09:00:00Z ", "2026-01-05T09:00:00+99:00", "\uff12026-01-05T09:00:00Z",
        "now-\u0661h", "now-1h\n", "2026-01-05T09:00:00Z\n", "0000-01-05T09:00:00Z", "now-" + "1h" * 40,
        "now-99999999999999999999h", 1_767_607_200, 1_767_607_200_000, 1.5, True, None, ["now-1h"], {},
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["start", "end"])
def test_rule_08_what_has_not_one_reading_is_refused_wherever_it_stands(name, text):
    other = {"start": "now-1h"} if name == "end" else {"end": "now"}
    assert width(**{**other, name: text}).startswith(f"{name} is no time that has one reading")


def test_rule_08_an_end_before_its_start_is_refused_because_servers_may_turn_it_round():
    assert width(start="now", end="now-1d") == "start is after end"
    assert width(start="2026-01-05T10:00:01Z") == "start is after end"


def test_without_a_start_the_server_has_its_own_and_the_end_is_still_read():
    assert width(end="now") == ""
    assert width(end="soon").startswith("end is no time")


def test_what_is_not_the_windows_is_not_looked_at():
    assert width(begin="whenever", logql="{}") == ""


@given(back=st.integers(0, 10**6), wide=st.integers(0, 10**6))
def test_text_and_relative_times_agree(back, wide):
    """The same two moments, said in both ways, are judged alike: by how far apart they are."""
    fits = wide <= WINDOW.seconds
    assert (width(start=f"now-{back + wide}s", end=f"now-{back}s") == "") is fits
    start, end = (AT // 1000 - back - wide, AT // 1000 - back)
    assert (width(start=rfc3339(start), end=rfc3339(end)) == "") is fits


def rfc3339(seconds):
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


LOGS = Contract(
    "obs.logs",
    "read",
    "upstream:obs",
    {"type": "object", "additionalProperties": False, "properties": {"start": {}, "end": {}, "q": {}}},
    read=True,
    upstream="obs",
    place=Place("storefront", "production"),
    window=WINDOW,
)


def test_the_door_refuses_what_is_longer_before_anything_is_decided():
    door = entrance(catalogue=Catalogue((LOGS,)))
    assert NOW > HOUR_MS
    assert door.ask("1", ask("obs.logs", {"start": "now-1h"})).contract is LOGS
    with pytest.raises(ContractError, match="more than 3600 seconds"):
        door.ask("1", ask("obs.logs", {"start": "now-2h"}))
    with pytest.raises(ContractError, match="more than 3600 seconds"):
        door.ask("1", ask("obs.logs", {"start": "now-2h"}), advice=True)


def test_rule_06_what_the_policy_replaces_is_within_the_window_too():
    door = entrance(catalogue=Catalogue((LOGS,)))
    asked = door.ask("1", ask("obs.logs", {"start": "now-1h"}))
    with pytest.raises(ContractError, match="more than 3600 seconds"):
        door.replaced(asked, {"start": "now-2h"})
