"""The trust root: a key speaks for one principal of one kind in one role, or the whole file is refused."""

import json

import msgspec
import pytest

from bywire.identity import trust
from bywire.identity.trust import TrustedKey, TrustRoot, check_trust_root, parse_trust_root
from bywire.model.errors import EvidenceError
from bywire.model.principal import KeyRole, PrincipalKind
from bywire.seal.keys import SigningKey, verify_key

ORIGIN = "log.example/workspace"


def key_for(role, principal, seed=b"a", **more):
    key = SigningKey.from_seed(seed * 32)
    return TrustedKey(key_id=key.key_id, role=role, principal=principal, public=key.public.raw_public.hex(), **more)


AGENT = key_for(KeyRole.AGENT, "agent:planner", b"1", owner="person:dana")
PERSON = key_for(KeyRole.APPROVER, "person:alice", b"2")
BUILDER = key_for(KeyRole.BUILDER, "workload:builder", b"3", owner="person:dana")
LOG = key_for(KeyRole.LOG, "workload:log", b"4")
ROOT = TrustRoot(version=1, origin=ORIGIN, keys=(AGENT, PERSON, BUILDER, LOG))


def refused(*keys, **fields):
    with pytest.raises(EvidenceError) as caught:
        check_trust_root(msgspec.structs.replace(ROOT, **({"keys": keys} if keys else {}), **fields))
    assert caught.value.code in {"trust_invalid", "key_invalid"}
    return caught.value


def malformed(data):
    with pytest.raises(EvidenceError) as caught:
        parse_trust_root(data)
    assert caught.value.code == "trust_invalid"
    assert caught.value.next_step


def test_a_root_survives_its_file():
    assert parse_trust_root(ROOT.to_bytes()) == ROOT


@pytest.mark.parametrize(
    ("role", "principal"),
    [
        (KeyRole.AGENT, "person:alice"),
        (KeyRole.AGENT, "workload:builder"),
        (KeyRole.APPROVER, "agent:planner"),
        (KeyRole.APPROVER, "workload:builder"),
        (KeyRole.BUILDER, "agent:planner"),
        (KeyRole.LOG, "person:alice"),
        (KeyRole.AGENT, "AGENT:planner"),
        (KeyRole.AGENT, "agentplanner"),
        (KeyRole.AGENT, ""),
    ],
)
def test_rule_03_a_role_speaks_only_for_its_kind(role, principal):
    refused(key_for(role, principal))


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a|b", "a\nb", "../../etc", "a/b", "a:b", "a\u202eb", "x" * 129, "\x00", "-", ".", ".."]
)
def test_a_principal_has_a_plain_name(name):
    refused(key_for(KeyRole.AGENT, f"agent:{name}"))


def test_rule_03_one_key_never_serves_two_roles_or_principals():
    log_again = msgspec.structs.replace(BUILDER, role=KeyRole.LOG)
    other = msgspec.structs.replace(AGENT, principal="agent:coder")
    approver = msgspec.structs.replace(PERSON, role=KeyRole.AGENT, principal="agent:alice")
    for pair in ((BUILDER, log_again), (AGENT, other), (PERSON, approver)):
        refused(*pair)
        refused(*reversed(pair))


@pytest.mark.parametrize("spelling", [str.upper, lambda text: " ".join([text[:32], text[32:]])])
def test_rule_03_a_second_spelling_of_a_key_does_not_hide_that_it_is_shared(spelling):
    twin = msgspec.structs.replace(AGENT, principal="agent:coder", public=spelling(AGENT.public))
    refused(AGENT, twin)
    refused(twin)


def test_a_key_id_that_is_not_the_keys_is_refused():
    refused(msgspec.structs.replace(AGENT, key_id=PERSON.key_id))
    refused(msgspec.structs.replace(AGENT, key_id=""))
    refused(msgspec.structs.replace(AGENT, public="00"))


def test_rule_19_an_owner_is_one_person():
    for owner in ("agent:planner", "workload:builder", "dana", "person:", "person:a b"):
        refused(msgspec.structs.replace(AGENT, owner=owner))
    refused(msgspec.structs.replace(PERSON, owner="person:dana"))
    renewed = key_for(KeyRole.AGENT, "agent:planner", b"9", owner="person:erin")
    refused(AGENT, renewed)
    check_trust_root(msgspec.structs.replace(ROOT, keys=(AGENT, msgspec.structs.replace(renewed, owner="person:dana"))))


@pytest.mark.parametrize("window", [(-1, None), (5, 4), (-5, -1)])
def test_a_validity_that_cannot_be_is_refused(window):
    refused(msgspec.structs.replace(AGENT, from_index=window[0], to_index=window[1]))


def test_a_root_of_another_version_or_without_keys_is_refused():
    refused(version=0)
    refused(version=2)
    refused(origin="")
    with pytest.raises(EvidenceError):
        check_trust_root(TrustRoot(version=1, origin=ORIGIN, keys=()))


def test_the_number_of_keys_is_bounded():
    refused(*(AGENT,) * (trust.KEYS_MAX + 1))


@pytest.mark.parametrize(
    "change",
    [
        lambda plain: {**plain, "extra": 1},
        lambda plain: {**plain, "keys": [{**plain["keys"][0], "valid_until": "2030"}]},
        lambda plain: {**plain, "keys": [{**plain["keys"][0], "role": "root"}]},
        lambda plain: {**plain, "keys": "all"},
        lambda plain: {**plain, "version": "1"},
        lambda plain: {**plain, "keys": [{**plain["keys"][0], "from_index": 0.5}]},
        lambda plain: [plain],
    ],
)
def test_a_file_of_another_shape_is_refused(change):
    malformed(json.dumps(change(json.loads(ROOT.to_bytes()))).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[" * 50_000, b"null", b" " * (trust.TRUST_BYTES_MAX + 1)])
def test_what_is_no_json_is_refused(data):
    malformed(data)


def test_rule_25_keys_are_valid_by_log_index():
    key = msgspec.structs.replace(AGENT, from_index=10, to_index=20)
    asked = {index: key.valid_at(index) for index in (0, 9, 10, 19, 20, 10**9)}
    assert asked == {0: False, 9: False, 10: True, 19: True, 20: False, 10**9: False}
    assert not key.valid_at(None)
    assert AGENT.valid_at(None)
    assert AGENT.valid_at(0)


def test_rule_25_a_retired_key_is_believed_for_its_own_time_only():
    old = msgspec.structs.replace(AGENT, to_index=20)
    new = key_for(KeyRole.AGENT, "agent:planner", b"9", owner="person:dana", from_index=20)
    root = TrustRoot(version=1, origin=ORIGIN, keys=(old, new))
    check_trust_root(root)

    def ids(index):
        return [key.key_id for key in root.keys_for(KeyRole.AGENT, principal="agent:planner", index=index)]

    assert (ids(19), ids(20), ids(None)) == ([old.key_id], [new.key_id], [new.key_id])
    retired = msgspec.structs.replace(root, keys=(old, PERSON))
    assert retired.principal("agent:planner") is None
    assert retired.keys_for(KeyRole.AGENT) == ()


def test_keys_are_found_by_role_and_principal_and_nothing_else():
    assert [key.key_id for key in ROOT.keys_for(KeyRole.APPROVER, principal="person:alice")] == [PERSON.key_id]
    assert ROOT.keys_for(KeyRole.APPROVER, principal="agent:planner") == ()
    assert ROOT.keys_for(KeyRole.AGENT, principal="person:alice") == ()
    assert ROOT.keys_for(KeyRole.BUILDER, principal="workload:log") == ()
    assert ROOT.entry(LOG.key_id) == LOG
    assert ROOT.entry("") is None


def test_a_principal_is_what_its_key_makes_it():
    agent = ROOT.principal("agent:planner")
    assert (agent.kind, agent.owner, agent.name) == (PrincipalKind.AGENT, "person:dana", "planner")
    assert ROOT.principal("person:alice").kind is PrincipalKind.PERSON
    assert ROOT.principal("workload:builder").kind is PrincipalKind.WORKLOAD
    assert ROOT.principal("planner") is None
    assert ROOT.principal("") is None


def test_rule_25_an_end_only_ever_comes_earlier():
    assert ROOT.retired({}) is ROOT
    assert ROOT.retired({"unknown": 3}) is ROOT
    ended = ROOT.retired({AGENT.key_id: 7})
    assert ended.entry(AGENT.key_id).to_index == 7
    assert ended.retired({AGENT.key_id: 9}) is ended
    assert ended.retired({AGENT.key_id: 3}).entry(AGENT.key_id).to_index == 3
    late = msgspec.structs.replace(ROOT, keys=(msgspec.structs.replace(AGENT, from_index=5), PERSON))
    never = late.retired({AGENT.key_id: 2})
    check_trust_root(never)
    assert not any(never.entry(AGENT.key_id).valid_at(index) for index in range(10))


def test_who_holds_a_role_now():
    assert ROOT.holding(KeyRole.AGENT, "agent:planner") == (AGENT,)
    assert ROOT.holding(KeyRole.APPROVER, "agent:planner") == ()
    assert ROOT.retired({AGENT.key_id: 0}).holding(KeyRole.AGENT, "agent:planner") == ()


def token_for(role, principal, application="ssh:", seed=b"7"):
    plain = SigningKey.from_seed(seed * 32).public
    key = verify_key(plain.raw_public.hex(), application)
    return TrustedKey(
        key_id=key.key_id, role=role, principal=principal, public=plain.raw_public.hex(), application=application
    )


def test_only_persons_have_security_keys():
    check_trust_root(msgspec.structs.replace(ROOT, keys=(*ROOT.keys, token_for(KeyRole.APPROVER, "person:bo"))))
    refused(token_for(KeyRole.AGENT, "agent:x"))
    refused(token_for(KeyRole.LOG, "workload:x"))
    refused(token_for(KeyRole.TOKEN, "workload:x"))


@pytest.mark.parametrize("application", ["web", "ssh", "ssh:a b", "ssh:\n", "ssh:" + "x" * 65])
def test_an_application_is_openssh_s(application):
    refused(token_for(KeyRole.APPROVER, "person:bo", application))


def test_the_algorithm_of_a_key_cannot_be_exchanged():
    token, plain = token_for(KeyRole.APPROVER, "person:bo"), key_for(KeyRole.APPROVER, "person:bo", b"7")
    assert token.key_id != plain.key_id
    refused(msgspec.structs.replace(token, application=""))
    refused(msgspec.structs.replace(plain, application="ssh:"))
    refused(msgspec.structs.replace(token, application="ssh:other"))


def test_rule_03_a_security_key_serves_no_second_person():
    refused(token_for(KeyRole.APPROVER, "person:bo"), key_for(KeyRole.AGENT, "agent:x", b"7"))
    refused(token_for(KeyRole.APPROVER, "person:bo"), key_for(KeyRole.APPROVER, "person:al", b"7"))
