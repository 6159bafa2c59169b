"""Envelopes, keys, trust, tokens and approvals: what somebody signed, and what they signed it with."""

import base64
import json
from hashlib import sha256
from typing import Any

import msgspec
from registry import ALICE, KEYS, NOW, ORIGIN, TRUST, WORKSPACE_KEY, Parser, parser, sealed

from bywire.model.statement import APPROVAL, Statement, subject
from bywire.seal import dsse, jcs
from bywire.seal.keys import SigningKey

# --- what is signed ---


STATEMENT = Statement(
    subject=(subject("thing", "a" * 64),), predicateType="https://bywire.dev/plan/v1", predicate={"n": 1, "s": ["x"]}
)
ENVELOPE = dsse.sign_statement(STATEMENT, ALICE)


@parser("seal/dsse.py:verify_statement")
def _() -> Parser:
    return Parser(lambda raw: dsse.verify_statement(raw, (ALICE.public,)), (ENVELOPE,))


@parser("seal/dsse.py:unverified_statement")
def _() -> Parser:
    return Parser(dsse.unverified_statement, (json.loads(ENVELOPE),), "json")


@parser("seal/dsse.py:parse_statement")
def _() -> Parser:
    return Parser(dsse.parse_statement, (STATEMENT.as_json(),), "json")


@parser("seal/jcs.py:canonical")
def _() -> Parser:
    return Parser(jcs.canonical, ({"a": [1, "x", None, 1.5, {"b": True}]},), "value")


@parser("seal/keys.py:VerifyKey.from_hex")
def _() -> Parser:
    from bywire.seal.keys import VerifyKey

    return Parser(VerifyKey.from_hex, (ALICE.public.raw_public.hex(),), "text")


@parser("seal/keys.py:verify_key")
def _() -> Parser:
    from bywire.seal.keys import verify_key

    return Parser(lambda text: verify_key(text, "ssh:"), (ALICE.public.raw_public.hex(),), "text")


@parser("seal/keys.py:SigningKey.from_pem")
def _() -> Parser:
    return Parser(SigningKey.from_pem, (ALICE.to_pem(),))


@parser("seal/es256.py:Es256Key.from_pem")
def _() -> Parser:
    from cryptography.hazmat.primitives.asymmetric import ec

    from bywire.seal.es256 import Es256Key

    return Parser(Es256Key.from_pem, (Es256Key(ec.derive_private_key(7, ec.SECP256R1())).to_pem(),))


@parser("seal/keys.py:VerifyKey.verify")
def _() -> Parser:
    return Parser(lambda raw: ALICE.public.verify(b"said", raw), (ALICE.sign(b"said"),))


@parser("seal/keys.py:SkVerifyKey.verify")
def _() -> Parser:
    from bywire.seal.keys import verify_key

    key = verify_key(ALICE.public.raw_public.hex(), "ssh:")
    touched = b"\x01\0\0\0\x05"
    covered = sha256(b"ssh:").digest() + touched + sha256(b"said").digest()
    return Parser(lambda raw: key.verify(b"said", raw), (ALICE.sign(covered) + touched,))


def _ssh_blob() -> bytes:
    from bywire.seal.ssh_wire import SK_ED25519, string

    return string(SK_ED25519) + string(ALICE.public.raw_public) + string(b"ssh:")


@parser("seal/ssh_wire.py:parse_public_blob")
def _() -> Parser:
    from bywire.seal.ssh_wire import ED25519, parse_public_blob, string

    return Parser(parse_public_blob, (_ssh_blob(), string(ED25519) + string(ALICE.public.raw_public)))


@parser("seal/ssh_wire.py:parse_public_line")
def _() -> Parser:
    from bywire.seal.ssh_wire import SK_ED25519, parse_public_line

    line = f"{SK_ED25519.decode()} {base64.b64encode(_ssh_blob()).decode()} alice@laptop\n"
    return Parser(parse_public_line, (line,), "text")


# --- identity ---


@parser("identity/trust.py:parse_trust_root")
def _() -> Parser:
    from bywire.identity.trust import parse_trust_root

    return Parser(parse_trust_root, (msgspec.to_builtins(TRUST),), "json")


@parser("identity/session.py:session_id_of")
def _() -> Parser:
    from bywire.identity.session import session_id_of, session_token

    return Parser(
        lambda text: session_id_of(text, WORKSPACE_KEY), (session_token("se-" + "0" * 24, WORKSPACE_KEY),), "text"
    )


SESSION = {"principal": "agent:planner", "run": "r", "nonce": "n", "at_ms": NOW, "workspace": ORIGIN, "parent": ""}


@parser("identity/session.py:open_session")
def _() -> Parser:
    from bywire.identity.session import SESSION_REQUEST, open_session

    key = KEYS["agent:planner"][1]
    return Parser(
        lambda said: open_session(sealed(said, SESSION_REQUEST, key), TRUST, NOW, WORKSPACE_KEY), (SESSION,), "value"
    )


def _token() -> str:
    from bywire.identity import tokens
    from bywire.identity.session import SESSION_REQUEST, open_session

    session, _ = open_session(sealed(SESSION, SESSION_REQUEST, KEYS["agent:planner"][1]), TRUST, NOW, WORKSPACE_KEY)
    key = KEYS["workload:token-issuer"][1]
    return tokens.issue(session, key, now_ms=NOW, lifetime_seconds=600, jti="j")


@parser("identity/tokens.py:verify")
def _() -> Parser:
    from bywire.identity import tokens

    audience = tokens.door_audience(ORIGIN)
    return Parser(lambda text: tokens.verify(text, TRUST, audience=audience, now_ms=NOW), (_token(),), "text")


@parser("identity/tokens.py:verify (signed claims)")
def _() -> Parser:
    from bywire.identity import tokens

    key = KEYS["workload:token-issuer"][1]
    part = lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("=")

    def call(document: Any) -> Any:
        head, claims = document if isinstance(document, list) and len(document) == 2 else (document, document)
        text = f"{part(json.dumps(head).encode())}.{part(json.dumps(claims).encode())}"
        signed = f"{text}.{part(key.sign(text.encode()))}"
        return tokens.verify(signed, TRUST, audience=tokens.door_audience(ORIGIN), now_ms=NOW)

    seconds = NOW // 1000
    head = {"alg": "EdDSA", "kid": key.key_id, "typ": tokens.TOKEN_TYPE}
    claims = {"iss": ORIGIN, "aud": tokens.door_audience(ORIGIN), "sub": "agent:planner", "jti": "j", "sid": "se"}
    times = {"iat": seconds, "nbf": seconds, "exp": seconds + 60, "run": "r"}
    return Parser(call, ([head, {**claims, **times}],), "value")


@parser("identity/tokens.py:TokenVerifier.session_of")
def _() -> Parser:
    from bywire.identity.session import session_token
    from bywire.identity.tokens import TokenVerifier

    verifier = TokenVerifier(lambda: TRUST, WORKSPACE_KEY)
    seeds = (_token(), session_token("se-1", WORKSPACE_KEY))
    return Parser(lambda text: verifier.session_of(text, NOW), seeds, "text")


# --- approvals ---


def _packet() -> dict[str, Any]:
    from bywire.approvals.packet import evidence_digest

    action = {"tool": "set_canary_weight", "parameters": {"artifact": "a" * 64, "weight": 5}}
    return {
        "id": "ap-0123456789ab",
        "action": action,
        "action_digest": jcs.digest(action),
        "evidence": ["b" * 64],
        "evidence_digest": evidence_digest(("b" * 64,)),
        "bundle_digest": "d" * 64,
        "environment": "production",
        "service": "storefront",
        "requester": "agent:planner",
        "target": {"version": 7},
        "plan": None,
        "plan_digest": "",
        "tier": "high",
        "approver_roles": ["sre-oncall"],
        "requested_at_ms": NOW,
        "expires_at_ms": NOW + 600_000,
        "undo": "set it back",
        "expected": "5 %",
        "missing": [],
        "contrary": ["a test is slow"],
        "uncertain": [],
        "prose": "",
        "quorum": 2,
        "quorum_roles": ["sre-oncall"],
    }


@parser("approvals/grant.py:verify_approval")
def _() -> Parser:
    from bywire.approvals.grant import verify_approval
    from bywire.approvals.packet import Packet

    said = {
        "approver": "person:alice",
        "role": "sre-oncall",
        "verdict": "approved",
        "reason": "looked",
        "at_ms": NOW,
        "packet": _packet(),
    }

    def call(predicate: Any) -> Any:
        shown = predicate.get("packet") if isinstance(predicate, dict) else None
        try:
            digest = msgspec.convert(shown, Packet).digest
        except (msgspec.ValidationError, UnicodeEncodeError):
            digest = jcs.digest(shown)
        return verify_approval(sealed(predicate, APPROVAL, ALICE, "ap", digest), TRUST)

    return Parser(call, (said,), "value")


@parser("approvals/revocation.py:verify_revocation")
def _() -> Parser:
    from bywire.approvals.packet import Packet
    from bywire.approvals.revocation import verify_revocation
    from bywire.model.statement import APPROVAL_REVOCATION

    packet = msgspec.convert(_packet(), Packet)
    said = {"approval": packet.id, "person": "person:alice", "reason": "no longer", "at_ms": NOW}
    return Parser(
        lambda predicate: verify_revocation(
            sealed(predicate, APPROVAL_REVOCATION, ALICE, packet.id, packet.digest), packet, TRUST
        ),
        (said,),
        "value",
    )


GLASS = {
    "person": "person:alice",
    "role": "sre-oncall",
    "reason": "the canary burns and nobody answers",
    "tools": ["set_canary_weight"],
    "principals": ["agent:planner"],
    "service": "storefront",
    "environment": "production",
    "uses": 2,
    "opened_at_ms": NOW,
    "expires_at_ms": NOW + 600_000,
}


@parser("approvals/break_glass.py:verify_break_glass")
def _() -> Parser:
    from bywire.approvals.break_glass import verify_break_glass
    from bywire.model.statement import BREAK_GLASS

    return Parser(
        lambda said: verify_break_glass(sealed(said, BREAK_GLASS, ALICE, "bg", jcs.digest(said)), TRUST),
        (GLASS,),
        "value",
    )


@parser("approvals/break_glass.py:verify_postmortem")
def _() -> Parser:
    from bywire.approvals.break_glass import BreakGlass, verify_postmortem
    from bywire.model.statement import BREAK_GLASS_POSTMORTEM

    glass = msgspec.convert(GLASS, BreakGlass)
    said = {"break_glass": glass.id, "person": "person:alice", "document": "what happened " * 10, "at_ms": NOW}
    return Parser(
        lambda predicate: verify_postmortem(sealed(predicate, BREAK_GLASS_POSTMORTEM, ALICE, glass.id), glass, TRUST),
        (said,),
        "value",
    )


@parser("approvals/runbook.py:parse_runbook")
def _() -> Parser:
    from bywire.approvals.runbook import parse_runbook

    step = {"tool": "restart", "parameters": {"n": {"min": 1, "max": 5}, "s": {"one_of": ["a", 1]}, "e": {"equals": 1}}}
    runbook = {"service": "s", "environment": "production", "steps": [step], "uses": 3, "valid_seconds": 600}
    return Parser(parse_runbook, (runbook,), "value")
