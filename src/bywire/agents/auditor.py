"""The Auditor: puts verified facts before the gate and writes its verdict down; it adds no opinion of its own."""

from typing import Any

from bywire.evidence import vsa
from bywire.evidence.facts import Derived
from bywire.model.decision import Decision, Effect
from bywire.model.errors import EvidenceError
from bywire.model.json_value import JsonObject
from bywire.model.principal import Principal

INPUT_VERSION = 1


def gate_input(
    derived: Derived,
    *,
    auditor: Principal,
    action: JsonObject,
    operator: JsonObject,
    state: JsonObject,
    now_ms: int,
) -> dict[str, Any]:
    """The policy input (version 1) for `data.bywire.gate.decision`.

    `action` carries tool, environment, service and digest of what is judged; `operator` and `state` are the named parts
    of the input as the door builds them.
    """
    return {
        "version": INPUT_VERSION,
        "now_ms": now_ms,
        "principal": {"id": auditor.id, "kind": str(auditor.kind), "owner": auditor.owner, "role": auditor.name},
        "action": dict(action),
        "operator": dict(operator),
        "change": derived.change,
        "facts": derived.facts,
        "grant": None,
        "retreat": None,
        "state": dict(state),
    }


def vsa_predicate(
    decision: Decision, facts: JsonObject, *, service: str, environment: str, verifier_version: str, now_ms: int
) -> dict[str, Any]:
    """The SLSA verification summary of `decision` about `facts`: PASSED only for a plain allow.

    Raises EvidenceError `artifact_missing` when the facts are about no artifact.
    """
    if not facts["subject"]:
        raise EvidenceError(
            "there is no artifact to summarise", code="artifact_missing", next_step="build before the gate is asked"
        )
    provenance = facts["provenance"] or {}
    return vsa.predicate(
        resource_uri=f"bywire:{environment}/{service}@sha256:{facts['subject']}",
        passed=decision.effect is Effect.ALLOW,
        level=provenance.get("level", 0),
        bundle_digest=decision.bundle_digest,
        decision_id=decision.id,
        inputs=[line["digest"] for line in facts["statements"] if line["verified"]],
        verifier_version=verifier_version,
        now_ms=now_ms,
    )
