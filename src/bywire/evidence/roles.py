"""Who may say what: for each kind of statement the key role and principal whose signature makes it count (RULES 1, 3).

This table is the envelope's; no statement can add to it.
"""

from bywire.model import statement
from bywire.model.principal import KeyRole

Signer = tuple[KeyRole, str]

PLANNER: Signer = (KeyRole.AGENT, "agent:planner")
CODER: Signer = (KeyRole.AGENT, "agent:coder")
TESTER: Signer = (KeyRole.AGENT, "agent:tester")
AUDITOR: Signer = (KeyRole.AGENT, "agent:auditor")
BUILDER: Signer = (KeyRole.BUILDER, "workload:builder")
PRODUCER: Signer = (KeyRole.BUILDER, "workload:producer")

SIGNERS: dict[str, frozenset[Signer]] = {
    statement.PLAN: frozenset({PLANNER}),
    statement.CHANGE_SET: frozenset({CODER}),
    statement.TEST_REPORT: frozenset({TESTER}),
    statement.EVALUATION_REPORT: frozenset({TESTER}),
    statement.SBOM: frozenset({BUILDER}),
    # The builder attests artifacts, the producer attests assets: facts tell them apart by subject.
    statement.PROVENANCE: frozenset({BUILDER, PRODUCER}),
    statement.VSA: frozenset({AUDITOR}),
}


def may_sign(predicate_type: str, signer: Signer) -> bool:
    """Whether `signer` may make statements of this type; a type nobody knows has no signer."""
    return signer in SIGNERS.get(predicate_type, frozenset())
