"""Which tools a principal is shown: those that its registration and the policy in force could ever let it use.

A list is not a permission. It leaves out what would be denied whatever the parameters, so that nobody plans with it:
by the table, by the agent's pattern, by its own policy, or because nobody has reviewed the tool's contract; unless a
signed trial keeps that denial from being enforced (RULES 28). What an advisor may only try is left out, too.
"""

import threading
from collections.abc import Iterable, Mapping
from typing import Any

from bywire.gateway.contract import Contract
from bywire.identity.registration import Registration
from bywire.model.connected import PRODUCTION
from bywire.policy.agent_outright import Where, denied_outright
from bywire.policy.bundle import Bundle

FORBIDDEN, UNREVIEWED = "forbidden", "contract.unreviewed"
# What no agent does, whatever the table says (seed 001, 4.1): secrets change through people, checks through review.
_NEVER = frozenset({"secret_mutation", "verification_weakening"})
# Agents whose answers are remembered; one more, and all of them are asked anew.
AGENTS_MAX = 1_024
_AGENT = "agent:"
_HARMLESS = frozenset({"read", "egress"})
_NOTHING: frozenset[str] = frozenset()


class Lister:
    """What each agent is shown, under one bundle after another. Thread-safe.

    `service` and `environment` are the operator's own, where a built-in tool acts.
    """

    def __init__(self, service: str, environment: str) -> None:
        self._service = service
        self._environment = environment
        self._digest = ""
        self._known: dict[str, dict[Where, frozenset[str]]] = {}
        self._lock = threading.Lock()

    def shown(
        self,
        contracts: Iterable[Contract],
        registration: Registration,
        bundle: Bundle,
        shadows: Iterable[Mapping[str, Any]] = (),
    ) -> tuple[Contract, ...]:
        """Those of `contracts` that could ever be allowed; `shadows` are the trials in force, as a question has them.

        Raises PolicyError for a policy that cannot be read.
        """
        tried, found = tuple(shadows), [one for one in contracts if one.name in registration.tools]
        places = {one.name: self._environments(one) & {*registration.environments} for one in found}
        own = self._own(registration, bundle, {(tool, place) for tool, there in places.items() for place in there})
        return tuple(
            contract
            for contract in found
            if fits_pattern(contract, registration, bundle)
            and any(
                row_allows(contract, bundle, place)
                and not self._denied(contract, place, bundle, own) - self._trial(contract, place, tried)
                for place in places[contract.name]
            )
        )

    def _denied(
        self, contract: Contract, place: str, bundle: Bundle, own: Mapping[Where, frozenset[str]]
    ) -> frozenset[str]:
        """The rules that say no to every call of it there."""
        drafted = contract.upstream and not contract.reviewed and contract.name not in _table(bundle, "capabilities")
        return own.get((contract.name, place), _NOTHING) | (frozenset({UNREVIEWED}) if drafted else _NOTHING)

    def _trial(self, contract: Contract, place: str, tried: tuple[Mapping[str, Any], ...]) -> frozenset[str]:
        service = contract.place.service if contract.place is not None else self._service
        return frozenset(
            str(one["rule"]) for one in tried if (one.get("service"), one.get("environment")) == (service, place)
        )

    def _own(self, registration: Registration, bundle: Bundle, asked: set[Where]) -> dict[Where, frozenset[str]]:
        """What the agent's own policy denies outright: a function of bundle, agent and place, so asked once."""
        agent = registration.principal.removeprefix(_AGENT)
        module = bundle.agents.get(agent) if registration.principal.startswith(_AGENT) else None
        if module is None:
            return {}
        with self._lock:
            if self._digest != bundle.digest or (agent not in self._known and len(self._known) >= AGENTS_MAX):
                self._digest, self._known = bundle.digest, {}
            known = self._known.setdefault(agent, {})
            new = asked - known.keys()
            if new:
                known.update(denied_outright(agent, module, new))
            return dict(known)

    def _environments(self, contract: Contract) -> frozenset[str]:
        """Every environment that the tool's parameters could lead to."""
        if contract.place is None:
            return frozenset({self._environment})
        if contract.place.parameter:
            return frozenset({*contract.place.values.values(), PRODUCTION})
        return frozenset({contract.place.environment})


def row_allows(contract: Contract, bundle: Bundle, environment: str) -> bool:
    """Whether the capability table lets an agent do this there; a cell without a posture has its category's."""
    row = _row(contract, bundle)
    cell = row.get("environments", {}).get(environment)
    if not isinstance(cell, dict):
        return False
    category = str(row.get("category"))
    posture = _table(bundle, "categories").get(category, {}).get("posture", FORBIDDEN)
    return category not in _NEVER and bool(cell.get("posture", posture) != FORBIDDEN)


def fits_pattern(contract: Contract, registration: Registration, bundle: Bundle) -> bool:
    """Whether the agent's operating pattern permits any real call of it; a runbook or a retreat may come."""
    patterns = _table(bundle, "patterns")
    pattern = patterns.get(str(registration.pattern))
    if not patterns:
        return True
    if not isinstance(pattern, dict):
        return False
    if _row(contract, bundle).get("category") in _HARMLESS or contract.name in pattern.get("tools", ()):
        return True
    writes = pattern.get("writes")
    # A retreat is authorised by the rollout that it ends, and no connected tool is part of one.
    connected = contract.upstream and contract.name not in _table(bundle, "capabilities")
    retreats = contract.exposure_reducing and not connected
    return writes in {"registered", "runbook"} or (writes == "listed" and retreats)


def _row(contract: Contract, bundle: Bundle) -> Mapping[str, Any]:
    named = _table(bundle, "capabilities").get(contract.name)
    if named is None and contract.upstream:
        named = _table(bundle, "connected").get(contract.category)
    return named if isinstance(named, dict) else {}


def _table(bundle: Bundle, name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = bundle.tables.get(name, {})
    return found
