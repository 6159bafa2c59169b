"""Which role of key may sign which kind of statement (RULES 3): believed for one thing, a key is for no other."""

from bywire.model.principal import KeyRole
from bywire.model.statement import (
    AGENT_REGISTRATION,
    APPROVAL,
    APPROVAL_REVOCATION,
    APPROVAL_SIGN_IN,
    BREAK_GLASS,
    BREAK_GLASS_POSTMORTEM,
    DECISION,
    FORK,
    INTENT_SETTLEMENT,
    KEY_CHANGE,
    OUTCOME,
    POLICY_BUNDLE,
    PROVENANCE,
    RECONCILE_EXPLANATION,
    RECONCILE_FINDING,
    RETENTION,
    SHADOW_RULE,
)

_BY_PERSON = frozenset({KeyRole.APPROVER})
_BY_LOG = frozenset({KeyRole.LOG})
_ROLES = {
    APPROVAL: frozenset({KeyRole.APPROVER, KeyRole.CHANNEL}),
    APPROVAL_REVOCATION: _BY_PERSON,
    APPROVAL_SIGN_IN: _BY_PERSON,
    BREAK_GLASS: _BY_PERSON,
    BREAK_GLASS_POSTMORTEM: _BY_PERSON,
    INTENT_SETTLEMENT: _BY_PERSON,
    POLICY_BUNDLE: _BY_PERSON,
    RECONCILE_EXPLANATION: _BY_PERSON,
    RETENTION: _BY_PERSON,
    SHADOW_RULE: _BY_PERSON,
    PROVENANCE: frozenset({KeyRole.BUILDER}),
    AGENT_REGISTRATION: _BY_LOG,
    DECISION: _BY_LOG,
    FORK: _BY_LOG,
    KEY_CHANGE: _BY_LOG,
    OUTCOME: _BY_LOG,
    RECONCILE_FINDING: _BY_LOG,
}
# Deliverables of any kind: people, channels and token issuers hand none over.
_DELIVERABLE = frozenset({KeyRole.AGENT, KeyRole.BUILDER, KeyRole.LOG})


def may_sign(role: KeyRole, predicate_type: str) -> bool:
    """Whether a key of `role` may sign statements of this predicate type."""
    return role in _ROLES.get(predicate_type, _DELIVERABLE)
