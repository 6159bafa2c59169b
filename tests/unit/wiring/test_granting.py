"""Where a read that is only decided runs: where it is asked, unless others would wait for it."""

import asyncio
from types import SimpleNamespace

import pytest

from bywire.gateway.contract import Catalogue, Contract, parameters
from bywire.model.ask import Answered, Ask
from bywire.model.decision import Outcome, OutcomeStatus
from bywire.wiring.call_pool import OWN
from bywire.wiring.gateway import SOON_BYTES_MAX, Gateway

READ = Contract("look", "read", "target", parameters({"text": {"type": "string"}}), read=True)
PINNED = Contract("up.look", "read", "upstream:up", READ.schema, read=True, definition="sha256:" + "0" * 64)
WRITE = Contract("change", "repo_write", "target", READ.schema)
BACK = Contract("back", "exposure_reducing", "target", READ.schema, exposure_reducing=True)
SMALL = {"text": "x" * (SOON_BYTES_MAX - len('{"text":""}'))}


class Decides:
    """As much of a gateway as grants."""

    catalogue = Catalogue((READ, PINNED, WRITE, BACK))
    agrant, _granted, lane_of = Gateway.agrant, staticmethod(Gateway._granted), Gateway.lane_of
    _has_own_policy = Gateway._has_own_policy

    def __init__(self):
        self.pooled, self.lanes = 0, []
        self._sessions = {}

    def permit(self, token, ask, *, exact):
        outcome = Outcome(status=OutcomeStatus.DENIED, action_digest="", decision=None)
        return Answered(outcome=outcome, payload={"code": "denied"}, tool=ask.tool)

    async def run(self, work, lane):
        self.pooled += 1
        self.lanes.append(lane)
        return work()


@pytest.mark.parametrize(
    ("tool", "values", "pooled"),
    [
        ("look", SMALL, 0),
        ("look", {"text": SMALL["text"] + "x"}, 1),
        ("look", {"a": [1.5] * 250_000}, 1),
        ("up.look", {}, 1),
        ("change", {}, 1),
        ("unknown", {}, 1),
    ],
)
def test_a_read_is_decided_where_it_is_asked_when_nobody_waits_for_it(tool, values, pooled):
    gateway = Decides()
    asyncio.run(gateway.agrant("token", Ask(tool=tool, parameters=values), exact=True))
    assert gateway.pooled == pooled


@pytest.mark.parametrize(
    ("tool", "lane"),
    [
        ("up.look", "upstream:up"),
        ("change", "target"),
        ("back", "target:retreat"),
        ("up.unknown", OWN),
        ("", OWN),
    ],
)
def test_rule_16_a_call_takes_the_lane_of_what_carries_it_out_and_a_retreat_one_of_its_own(tool, lane):
    gateway = Decides()
    asyncio.run(gateway.agrant("token", Ask(tool=tool, parameters={}), exact=True))
    assert gateway.lanes == [lane]


@pytest.mark.parametrize(("agent", "pooled"), [("fixer", 1), ("other", 0)])
def test_what_waits_in_the_line_of_the_policy_keeps_nobody_else_waiting(agent, pooled):
    gateway = Decides()
    gateway._sessions["token"] = SimpleNamespace(principal=SimpleNamespace(id=f"agent:{agent}"))
    gateway.workspace = SimpleNamespace(bundle=lambda: SimpleNamespace(agents={"fixer": None}))
    asyncio.run(gateway.agrant("token", Ask(tool="look", parameters={}), exact=True))
    assert gateway.pooled == pooled
