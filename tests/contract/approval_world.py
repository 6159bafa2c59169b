"""A request for approval, the people who may answer it, and their signed answers; for tests of the approval store."""

import msgspec

from bywire.approvals.break_glass import BreakGlass
from bywire.approvals.grant import verify_approval
from bywire.approvals.packet import Packet, evidence_digest, sign_verdict
from bywire.approvals.revocation import sign_revocation, verify_revocation
from bywire.identity.trust import TrustedKey, TrustRoot
from bywire.model.principal import KeyRole
from bywire.model.rollout_plan import RolloutPlan, RolloutStep
from bywire.seal import jcs
from bywire.seal.keys import SigningKey

NOW = 1_790_000_000_000
TTL_MS = 1_000
KEYS = {name: SigningKey.from_seed(name[:1].encode() * 32) for name in ("alice", "bob", "carol")}
SPARE = SigningKey.from_seed(b"A" * 32)  # alice's second key
TRUST = TrustRoot(
    version=1,
    origin="log.example/x",
    keys=tuple(
        TrustedKey(
            key_id=key.key_id, role=KeyRole.APPROVER, principal=f"person:{name}", public=key.public.raw_public.hex()
        )
        for name, key in (*KEYS.items(), ("alice", SPARE))
    ),
)
PLAN = RolloutPlan("storefront", "production", "a" * 64, "", (RolloutStep(5),), 100, warm=False, origin="x")
PLAN = msgspec.json.decode(msgspec.json.encode(PLAN))
GLASS = BreakGlass(
    person="person:alice",
    role="sre-oncall",
    reason="checkout is down and nobody else answers",
    tools=("set_canary_weight",),
    principals=("agent:release-controller",),
    service="storefront",
    environment="production",
    uses=3,
    opened_at_ms=NOW,
    expires_at_ms=NOW + 600_000,
)


def packet(number=0, *, plan=None, at_ms=NOW, quorum=1, roles=(), **action):
    asked = {"tool": "deploy_release", "change": "dl-1", "parameters": {"n": 0}, **action}
    return Packet(
        id=f"ap-{number}",
        action=asked,
        action_digest=jcs.digest(asked),
        evidence=(),
        evidence_digest=evidence_digest(()),
        bundle_digest="d" * 64,
        environment="production",
        service="storefront",
        requester="agent:release-controller",
        target={"version": 1},
        plan=plan,
        plan_digest=jcs.digest(plan) if plan else "",
        tier="high",
        approver_roles=("sre-oncall",),
        requested_at_ms=at_ms,
        expires_at_ms=at_ms + TTL_MS,
        undo="",
        expected="",
        missing=(),
        contrary=(),
        uncertain=(),
        prose="",
        quorum=quorum,
        quorum_roles=roles,
    )


def signed(of, verdict="approved", who="alice", role="sre-oncall", key=None):
    envelope = sign_verdict(of, verdict, f"person:{who}", role, "", NOW, key or KEYS[who])
    return verify_approval(envelope, TRUST), envelope


def taken_back(of, who="alice"):
    envelope = sign_revocation(of, f"person:{who}", "wrong one", NOW, KEYS[who])
    return verify_revocation(envelope, of, TRUST), envelope
