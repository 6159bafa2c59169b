"""Deciding: the policy input of one call, the decision on it, and once more when the policy replaced a parameter.

Pure apart from reading named state. Nothing here has an effect, so advice and action share it.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import msgspec

from bywire.approvals.grant import Grant
from bywire.gateway import counting, inputs
from bywire.gateway.asking import Asked, Entrance
from bywire.gateway.contract import ContractError
from bywire.gateway.inspection import mask
from bywire.gateway.pending import Pending
from bywire.gateway.ports import ChangeFacts, Debit, NamedState, Standing
from bywire.identity.trust import TrustRoot
from bywire.model.connected import Cost
from bywire.model.decision import Decision, Effect, Sanitized
from bywire.model.gateway_budgets import Budgets
from bywire.model.operator import OperatorConfig

# What the door does for every call anyway: packets name roles and tier, answers are redacted, outcomes carry the target
# before and after, and a fix is a branch that nothing merges. `replace`, `mask`, `debit`, `break_glass` and `shadowed`
# are met below.
OBLIGATIONS = frozenset(
    {
        "approval",
        "break_glass",
        "debit",
        "mask",
        "no_auto_merge",
        "record_telemetry",
        "redact",
        "replace",
        "rerun_is_an_experiment",
        "shadowed",
        "tier",
    }
)
OBJECTIONS = frozenset({Effect.DENY, Effect.APPROVAL_NEEDED})
# What the rules of an agent's own policy begin with.
OF_AN_AGENT = "agents."
CHANGES = frozenset({"replace", "mask"})
# What is to be replaced in an action that is allowed as it stands would be executed unreplaced.
OF_AN_ALLOW = OBLIGATIONS - CHANGES
ENTRYPOINT = "data.bywire.action.decision"
# (change, facts, retreat) of the policy input.
Delivered: TypeAlias = tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]
NOTHING_DELIVERED: Delivered = ({}, {}, None)


class Engine(Protocol):
    """The policy engine as the door needs it."""

    def decide(self, entrypoint: str, policy_input: dict[str, Any]) -> Decision:
        """Decide; never raise for a bad policy or input, deny instead."""
        ...


class Judged(msgspec.Struct, frozen=True):
    """One call with its decision: what was asked in the end, on which input, under which grant."""

    asked: Asked
    decision: Decision
    policy_input: dict[str, Any]
    grant: Grant | None
    error: dict[str, str] | None

    @property
    def preauthorised(self) -> bool:
        """Whether this is the retreat that was authorised with its rollout: only that is free (RULES 16)."""
        contract, retreat = self.asked.contract, self.policy_input["retreat"]
        if contract is None or not contract.exposure_reducing or retreat is None or retreat["authorised"] is not True:
            return False
        to = self.asked.action.parameters.get("to")
        return isinstance(to, str) and to != "" and to == str(retreat["last_good"])


def unknown_obligations(decision: Decision) -> dict[str, str] | None:
    """The error for an obligation that this door cannot meet: then an allow is none (AuthZEN 1.0)."""
    known = OF_AN_ALLOW if decision.effect is Effect.ALLOW else OBLIGATIONS
    kinds = {str(item.get("kind")) for item in decision.obligations}
    if kinds <= known and "debit" not in kinds:
        return None
    unknown = sorted(kinds - known)
    debits = [item for item in decision.obligations if item.get("kind") == "debit"]
    unknown += ["a debit that is none" for item in debits if not counting.is_debit(item)]
    if not unknown:
        return None
    return {
        "code": "obligation_unknown",
        "message": f"the policy asks for {', '.join(unknown)}, which this door cannot do",
        "next_step": "remove the obligation from the policy, or use a bywire that knows it",
    }


class Decider:
    """What the envelope says to a call."""

    def __init__(
        self,
        *,
        engine: Callable[[], Engine],
        operator: OperatorConfig,
        trust: Callable[[], TrustRoot],
        state: NamedState,
        standing: Standing,
        facts: ChangeFacts,
        pending: Pending,
        entrance: Entrance,
        budgets: Budgets = inputs.NO_BUDGETS,
        budgets_fault: dict[str, str] | None = None,
    ) -> None:
        self._budgets = budgets
        self._budgets_fault = budgets_fault
        self._engine = engine
        self._operator = operator
        self._trust = trust
        self._known_operator: tuple[TrustRoot, dict[str, Any]] | None = None
        self._state = state
        self._standing = standing
        self._facts = facts
        self._pending = pending
        self._entrance = entrance

    def judge(self, asked: Asked) -> Judged:
        """Decide; where the policy replaces parameters, decide once more on the new action (RULES 6)."""
        judged = self._decide(asked)
        if not _is_changed(judged.decision) or asked.contract is None:
            return judged
        try:
            again = self._decide(self._changed(judged.decision, asked))
        except ContractError as error:
            return msgspec.structs.replace(judged, error=error.as_json())
        if not _is_changed(again.decision):
            return again
        problem = {
            "code": "sanitize_unstable",
            "message": "the policy wants to change the action that it made itself",
            "next_step": "correct the policy: bywire policy explain",
        }
        return msgspec.structs.replace(again, error=problem)

    def _decide(self, asked: Asked) -> Judged:
        grant, uses_left, revoked = self._pending.grant(asked)
        about = self._facts.facts_for(asked.request.change)
        policy_input = self._input(asked, about, grant, uses_left, revoked=revoked)
        decision = self._engine().decide(ENTRYPOINT, policy_input)
        error = unknown_obligations(decision)
        # Whoever cannot read the budgets does not know that there are none; only retreats need none (RULES 16).
        if error is None and asked.contract is not None and not asked.contract.exposure_reducing:
            error = self._budgets_fault
        return Judged(asked, decision, policy_input, grant, error)

    def judge_read(self, asked: Asked) -> Judged:
        """A read rests on no evidence, grant or budget."""
        policy_input, decision = self._decide_read(asked)
        error = unknown_obligations(decision)
        if decision.effect is Effect.SANITIZE and error is None:
            try:
                asked = self._changed(decision, asked)
            except ContractError as refused:
                return Judged(asked, decision, policy_input, None, refused.as_json())
            policy_input, decision = self._decide_read(asked)
            error = unknown_obligations(decision)
        return Judged(asked, decision, policy_input, None, error)

    def _decide_read(self, asked: Asked) -> tuple[dict[str, Any], Decision]:
        """The question and the answer. Which rules are on trial is looked up where one of them objects."""
        policy_input = self._input(asked, NOTHING_DELIVERED)
        decision = self._engine().decide(ENTRYPOINT, policy_input)
        if decision.effect in OBJECTIONS and not policy_input["shadow"]:
            shadows, objections = self._standing.shadows(asked.now_ms), {reason.rule for reason in decision.reasons}
            if any(one.get("rule") in objections for one in shadows):
                policy_input = {**policy_input, "shadow": shadows}
                decision = self._engine().decide(ENTRYPOINT, policy_input)
        return policy_input, decision

    def _changed(self, decision: Decision, asked: Asked) -> Asked:
        """The action that the policy wants instead, and what was done to make it: replaced first, then masked."""
        values = {str(item["parameter"]): item["value"] for item in decision.obligations if _replaces(item)}
        replaced, counts = len(values), Counter[str]()
        for item in decision.obligations:
            if item.get("kind") == "mask":
                name = _parameter_of(str(item.get("parameter", "")), asked.request.parameters)
                values[name] = mask(values.get(name, asked.request.parameters[name]), self._entrance.inspection, counts)
        told = Sanitized(decision.effect, decision.id, asked.action.digest, dict(counts), replaced)
        return msgspec.structs.replace(self._entrance.replaced(asked, values), sanitized=told)

    def _input(
        self, asked: Asked, about: Delivered, grant: Grant | None = None, uses_left: int = 0, *, revoked: bool = False
    ) -> dict[str, Any]:
        change, facts, retreat = about
        principal = asked.action.principal
        contract = asked.contract
        read = contract is not None and contract.read
        # A read of a reviewed tool hardly breaks a rule that may be on trial: see `_decide_read`.
        settled = contract is not None and contract.category == "read" and contract.reviewed
        shadows = [] if settled else self._standing.shadows(asked.now_ms)
        registration, team = self._standing.registration(principal), self._budgets.team_of(principal)
        return {
            "version": inputs.INPUT_VERSION,
            "now_ms": asked.now_ms,
            "principal": inputs.principal_facts(asked.snapshot, self._operator, registration, team),
            "action": inputs.action_facts(asked, self._evidence(asked)),
            # A read rests on no threshold, no exception and no count; what it does not need is not encoded either.
            "operator": {} if read else self._operator_facts(),
            "change": change,
            "facts": facts,
            "grant": inputs.grant_input(grant, asked.action, self._operator, uses_left, revoked=revoked),
            "break_glass": None if read else self._standing.break_glass(principal, asked.action.tool, asked.now_ms),
            "shadow": shadows,
            "retreat": retreat,
            "state": inputs.state_facts(asked, self._operator) if read else self._counted(asked, shadows),
        }

    def _counted(self, asked: Asked, shadows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        debits = self.debits(asked)
        recent = counting.recent(self._state, asked, debits)
        limits = counting.limits(self._state, asked, debits, recent)
        wide = any(str(one.get("rule")).startswith(OF_AN_AGENT) for one in shadows)
        usage = counting.usage(self._state, asked, recent, wide=wide)
        return inputs.state_facts(asked, self._operator, limits, usage)

    def debits(self, asked: Asked, decision: Decision | None = None) -> tuple[Debit, ...]:
        """What the action would use up, and what the decision wants counted."""
        registration = self._standing.registration(asked.action.principal)
        own = inputs.debits(asked, self._operator, registration, self._budgets)
        return own if decision is None else (*own, *counting.policy_debits(asked, decision))

    def charge(self, asked: Asked) -> tuple[tuple[Cost, ...], str]:
        """(what the action is charged with, the team that it is charged to)."""
        return inputs.charged(asked), self._budgets.team_of(asked.action.principal)

    def _evidence(self, asked: Asked) -> str:
        """What is known of the evidence that the contract requires; empty where it requires none."""
        if asked.contract is None or not asked.contract.evidence:
            return ""
        named = asked.action.evidence
        return inputs.RECORDED if named and self._facts.recorded(named) else inputs.MISSING

    def _operator_facts(self) -> dict[str, Any]:
        """The operator's part of the input, made again when the trust root changed."""
        trust, known = self._trust(), self._known_operator
        if known is None or known[0] is not trust:
            known = self._known_operator = (trust, inputs.operator_facts(self._operator, trust))
        return known[1]


def _parameter_of(place: str, parameters: Mapping[str, Any]) -> str:
    """The parameter that a finding's place (`a.b[0]`) lies in. Raises ContractError when there is none."""
    names = [name for name in parameters if place == name or place.startswith((f"{name}.", f"{name}["))]
    if not names:
        raise ContractError("the policy masks a parameter that the call has not", next_step="correct the policy")
    return max(names, key=len)


def _is_changed(decision: Decision) -> bool:
    """Whether the policy wants another action. A person is asked about that one: what they sign is what can run."""
    changing = any(_replaces(item) or item.get("kind") == "mask" for item in decision.obligations)
    waits = decision.effect is Effect.APPROVAL_NEEDED and changing
    return decision.effect is Effect.SANITIZE or waits


def _replaces(obligation: dict[str, Any]) -> bool:
    return obligation.get("kind") == "replace" and "parameter" in obligation and "value" in obligation
