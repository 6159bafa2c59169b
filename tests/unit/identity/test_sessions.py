"""Sessions: issued here, to the principal whose own key asked, and to nobody who only says so."""

import base64
import hmac
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bywire.identity import session
from bywire.identity.session import (
    REQUEST_AGE_MS_MAX,
    SESSION_REQUEST,
    open_session,
    request_session,
    session_id_of,
    session_token,
)
from bywire.identity.trust import TrustedKey, TrustRoot
from bywire.model.errors import EvidenceError
from bywire.model.principal import KeyRole
from bywire.model.statement import PLAN, Statement, subject
from bywire.seal import jcs
from bywire.seal.dsse import sign_statement
from bywire.seal.keys import SigningKey

NOW = 1_790_000_000_000
WORKSPACE_KEY = b"w" * 32
HOLDERS = {
    "agent:planner": (KeyRole.AGENT, SigningKey.from_seed(b"1" * 32)),
    "agent:coder": (KeyRole.AGENT, SigningKey.from_seed(b"2" * 32)),
    "workload:builder": (KeyRole.BUILDER, SigningKey.from_seed(b"3" * 32)),
    "workload:log": (KeyRole.LOG, SigningKey.from_seed(b"4" * 32)),
    "person:alice": (KeyRole.APPROVER, SigningKey.from_seed(b"5" * 32)),
}
TRUST = TrustRoot(
    version=1,
    origin="log.example/workspace",
    keys=tuple(
        TrustedKey(key_id=key.key_id, role=role, principal=principal, public=key.public.raw_public.hex())
        for principal, (role, key) in HOLDERS.items()
    ),
)


SAID = {
    "principal": "agent:planner",
    "run": "r",
    "nonce": "n",
    "at_ms": NOW,
    "workspace": TRUST.origin,
    "parent": "",
}


def key(principal):
    return HOLDERS[principal][1]


def ask(principal, run, nonce, now_ms, signer, **more):
    return request_session(principal, run, nonce, now_ms, signer, **{"workspace": TRUST.origin, **more})


def asked(principal, *, signer=None, now_ms=NOW):
    return ask(principal, "run-1", "nonce", now_ms, key(signer or principal))


def refused(envelope, *, trust=TRUST, now_ms=NOW):
    with pytest.raises(EvidenceError) as caught:
        open_session(envelope, trust, now_ms, WORKSPACE_KEY)
    assert caught.value.next_step
    return caught.value.code


def signed(predicate, *, kind=SESSION_REQUEST, signer="agent:planner"):
    said = Statement(subject=(subject("session", jcs.digest(predicate)),), predicateType=kind, predicate=predicate)
    return sign_statement(said, key(signer))


@pytest.mark.parametrize("principal", ["agent:planner", "agent:coder", "workload:builder"])
def test_a_principal_opens_a_session_with_its_own_key(principal):
    opened, token = open_session(asked(principal), TRUST, NOW, WORKSPACE_KEY)
    assert opened.principal == TRUST.principal(principal)
    assert (opened.run, opened.integrity) == ("run-1", "trusted")
    assert session_id_of(token, WORKSPACE_KEY) == opened.id


def test_rule_03_nobody_opens_a_session_with_another_key():
    for principal in ("agent:planner", "workload:builder"):
        for signer in HOLDERS.keys() - {principal}:
            assert refused(asked(principal, signer=signer)) == "signature_invalid"


def test_a_person_holds_no_session():
    assert refused(asked("person:alice")) == "session_refused"


def test_rule_03_the_log_key_opens_no_session():
    assert refused(asked("workload:log")) == "signature_invalid"


@pytest.mark.parametrize("principal", ["", "agent:", "agent:nobody", "planner", "AGENT:planner"])
def test_who_is_not_registered_is_refused(principal):
    assert refused(ask(principal, "r", "n", NOW, key("agent:planner"))) == "session_refused"


def test_a_retired_key_opens_nothing():
    keys = tuple(msgspec.structs.replace(entry, to_index=5) for entry in TRUST.keys)
    assert refused(asked("agent:planner"), trust=msgspec.structs.replace(TRUST, keys=keys)) == "session_refused"


@pytest.mark.parametrize("age_ms", [REQUEST_AGE_MS_MAX + 1, 10**12, -1, -REQUEST_AGE_MS_MAX])
def test_a_stale_or_future_request_is_refused(age_ms):
    assert refused(asked("agent:planner", now_ms=NOW - age_ms)) == "session_refused"


@pytest.mark.parametrize("age_ms", [0, REQUEST_AGE_MS_MAX])
def test_a_fresh_request_is_taken(age_ms):
    open_session(asked("agent:planner", now_ms=NOW - age_ms), TRUST, NOW, WORKSPACE_KEY)


def test_rule_22_a_replayed_request_gives_the_same_session():
    envelope = asked("agent:planner")
    first = open_session(envelope, TRUST, NOW, WORKSPACE_KEY)
    assert open_session(envelope, TRUST, NOW + 1_000, WORKSPACE_KEY) == first
    # Nothing that the signature leaves open (key id, white space) makes a second session of one request.
    parsed = json.loads(envelope)
    parsed["signatures"][0]["keyid"] = "another"
    assert open_session(json.dumps(parsed, indent=1).encode(), TRUST, NOW, WORKSPACE_KEY) == first


def test_two_requests_are_two_sessions():
    one = open_session(ask("agent:planner", "r", "a", NOW, key("agent:planner")), TRUST, NOW, WORKSPACE_KEY)
    two = open_session(ask("agent:planner", "r", "b", NOW, key("agent:planner")), TRUST, NOW, WORKSPACE_KEY)
    assert one[0].id != two[0].id


@pytest.mark.parametrize("workspace", ["log.example/other", "", "LOG.example/workspace", "log.example/workspace "])
def test_rule_22_a_session_of_another_workspace_is_refused(workspace):
    assert refused(ask("agent:planner", "r", "n", NOW, key("agent:planner"), workspace=workspace)) == "session_refused"


def test_rule_22_workspace_and_parent_are_signed_for():
    envelope = ask("agent:planner", "r", "n", NOW, key("agent:planner"), parent="se-1")
    opened, _ = open_session(envelope, TRUST, NOW, WORKSPACE_KEY)
    assert (opened.workspace, opened.parent) == (TRUST.origin, "se-1")
    orphan, _ = open_session(ask("agent:planner", "r", "n", NOW, key("agent:planner")), TRUST, NOW, WORKSPACE_KEY)
    assert orphan.id != opened.id
    parsed = json.loads(envelope)
    payload = base64.b64decode(parsed["payload"]).replace(b"se-1", b"se-2")
    parsed["payload"] = base64.b64encode(payload).decode()
    assert refused(json.dumps(parsed).encode()) == "signature_invalid"


def test_another_statement_of_the_same_key_is_no_session_request():
    predicate = {**SAID}
    assert refused(signed(predicate, kind=PLAN)) == "session_refused"


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"at_ms": str(NOW)},
        {"at_ms": None},
        {"run": None},
        {"run": ""},
        {"run": "x" * 257},
        {"nonce": "x" * 257},
        {"principal": ["agent:planner"]},
        {"workspace": None},
        {"parent": 1},
        {"parent": "x" * 65},
    ],
)
def test_a_malformed_request_is_refused(change):
    predicate = {**SAID, **change}
    assert refused(signed(predicate)) == "session_refused"


@pytest.mark.parametrize("envelope", [b"", b"{}", b"\xff", b"[" * 10_000])
def test_what_is_no_envelope_opens_nothing(envelope):
    assert refused(envelope) == "envelope_malformed"


def test_a_changed_request_is_refused():
    parsed = json.loads(asked("agent:planner"))
    payload = base64.b64decode(parsed["payload"]).replace(b"run-1", b"run-2")
    parsed["payload"] = base64.b64encode(payload).decode()
    assert refused(json.dumps(parsed).encode()) == "signature_invalid"


def forged(token):
    with pytest.raises(EvidenceError) as caught:
        session_id_of(token, WORKSPACE_KEY)
    assert caught.value.code == "session_refused"


TOKEN = session_token("se-1", WORKSPACE_KEY)


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "se-1",
        "se-1.",
        TOKEN[:-1],
        TOKEN + "0",
        TOKEN.upper(),
        TOKEN.replace("se-1", "se-2"),
        session_token("se-1", b"x" * 32),
        " " + TOKEN,
        TOKEN + "\n",
        "se-1." + "0" * 64,
        "\ud800." + "0" * 64,
        "se-1.\udfff",
        "é.é",
        TOKEN * 10_000,
    ],
)
def test_a_forged_token_is_refused(token):
    forged(token)


@given(st.text(max_size=80))
def test_no_text_is_a_token_by_chance(text):
    forged(text)


@given(st.integers(0, len(TOKEN) - 1), st.sampled_from("0123456789abcdefg.-"))
def test_a_token_with_one_other_character_is_refused(position, character):
    if TOKEN[position] != character:
        forged(TOKEN[:position] + character + TOKEN[position + 1 :])


def test_a_token_is_bound_to_its_purpose_and_workspace():
    bare = hmac.new(WORKSPACE_KEY, b"se-1", "sha256").hexdigest()
    forged(f"se-1.{bare}")
    assert session_id_of(session_token("se-1", b"x" * 32), b"x" * 32) == "se-1"


def test_tokens_are_compared_in_constant_time(monkeypatch):
    compared = []
    monkeypatch.setattr(
        session.hmac, "compare_digest", lambda left, right: compared.append((left, right)) or left == right
    )
    session_id_of(TOKEN, WORKSPACE_KEY)
    forged("se-1.guess")
    assert len(compared) == 2
