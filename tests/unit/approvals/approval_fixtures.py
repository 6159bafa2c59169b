"""A packet, the people who may sign it, and the trust root that knows them."""

import msgspec

from bywire.approvals.packet import Packet, evidence_digest, sign_verdict
from bywire.identity.trust import TrustedKey, TrustRoot
from bywire.model.principal import KeyRole
from bywire.model.rollout_plan import RolloutPlan, RolloutStep
from bywire.seal import jcs
from bywire.seal.digest import sha256_hex
from bywire.seal.keys import SigningKey

NOW = 1_790_000_000_000
CHAT = SigningKey.from_seed(b"e" * 32)
KEYS = {
    "person:alice": SigningKey.from_seed(b"a" * 32),
    "person:bob": SigningKey.from_seed(b"b" * 32),
    "agent:release-controller": SigningKey.from_seed(b"c" * 32),
    "workload:builder": SigningKey.from_seed(b"d" * 32),
    "workload:chat": CHAT,
}
ROLES = {"person": KeyRole.APPROVER, "agent": KeyRole.AGENT, "workload": KeyRole.BUILDER}
TRUST = TrustRoot(
    version=1,
    origin="log.example/workspace",
    keys=tuple(
        TrustedKey(
            key_id=key.key_id,
            role=KeyRole.CHANNEL if key is CHAT else ROLES[principal.partition(":")[0]],
            principal=principal,
            public=key.public.raw_public.hex(),
        )
        for principal, key in KEYS.items()
    ),
)
EVIDENCE = tuple(sorted((sha256_hex(b"sbom"), sha256_hex(b"tests"))))
PLAN = msgspec.json.decode(
    msgspec.json.encode(
        RolloutPlan(
            service="storefront",
            environment="production",
            artifact="a" * 64,
            last_good="b" * 64,
            steps=(RolloutStep(5, ("ios",)), RolloutStep(50)),
            ceiling=100,
            warm=True,
            origin="bywire.yaml",
        )
    )
)


def other(value):
    """A different value of the same type."""
    if value is None:
        return PLAN
    if isinstance(value, str):
        return value + "0"
    if isinstance(value, int):
        return value + 1
    if isinstance(value, (tuple, list)):
        return (*value, "0" * 64)
    return {**value, "one": "more"}


def packet(plan=None, **changes):
    parameters = {"artifact": "a" * 64, "weight": 5}
    action = {"tool": "set_canary_weight", "parameters": parameters, "principal": "agent:release-controller"}
    made = Packet(
        id="ap-0123456789ab",
        action=action,
        action_digest=jcs.digest(action),
        evidence=EVIDENCE,
        evidence_digest=evidence_digest(EVIDENCE),
        bundle_digest="d" * 64,
        environment="production",
        service="storefront",
        requester="agent:release-controller",
        target={"version": 7, "stable": "b" * 64},
        plan=plan,
        plan_digest=jcs.digest(plan) if plan else "",
        tier="high",
        approver_roles=("sre-oncall",),
        requested_at_ms=NOW,
        expires_at_ms=NOW + 3_600_000,
        undo="bywire rollback",
        expected="traffic share changes",
        missing=("no SBOM",),
        contrary=("evaluation: 1 of 40 fail",),
        uncertain=("provenance is SLSA L1",),
        prose="the agent says it is fine",
        supersedes="",
    )
    return msgspec.structs.replace(made, **changes)


def approve(of, *, verdict="approved", approver="person:alice", role="sre-oncall", reason="looked at it", key=None):
    return sign_verdict(of, verdict, approver, role, reason, NOW + 1, key or KEYS[approver])


def action_packet(**parameters):
    asked = {"tool": "set_canary_weight", "parameters": parameters, "principal": "agent:release-controller"}
    return packet(action=asked, action_digest=jcs.digest(asked))
