"""The proof of who opens a page: what it holds, whose key it asks for, and where and how long it is good."""

import base64
import hashlib
import json

import msgspec
import pytest
from approval_fixtures import KEYS, NOW, TRUST

from bywire.approvals.channel_sign_in import (
    AGE_MS_MAX,
    PROOF_CHARS_MAX,
    Proved,
    SignIn,
    challenge_of,
    claimed_by,
    sign_in,
    verify_sign_in,
)
from bywire.identity.trust import TrustedKey
from bywire.model.errors import EvidenceError
from bywire.model.principal import KeyRole
from bywire.model.statement import Statement, subject
from bywire.seal.dsse import sign_statement
from bywire.seal.keys import SigningKey

ALICE, BOB = KEYS["person:alice"], KEYS["person:bob"]
STRANGER = SigningKey.from_seed(b"s" * 32)
SAID = SignIn(person="person:alice", nonce="n-1", challenge="", workspace="log.example/workspace", at_ms=NOW)
PREDICATE = (
    b'{"at_ms":1790000000000,"challenge":"","nonce":"n-1","person":"person:alice","workspace":"log.example/workspace"}'
)
KIND = "https://bywire.dev/approval-sign-in/v1"
ID = "sign-in:" + hashlib.sha256(PREDICATE).hexdigest()
PROVED = Proved(person="person:alice", at_ms=NOW, id=ID, key_id=ALICE.key_id)
REFUSED = {"code": "sign_in_refused", "next_step": "make a new one: bywire approvals link --as NAME"}
NO_PROOF = {**REFUSED, "message": "this is no proof"}
NOBODY = {**REFUSED, "message": "nobody of that name holds an approver key"}
ELSEWHERE = {**REFUSED, "message": "this proves nothing here"}
OLD = {**REFUSED, "message": "the proof is older than five minutes"}
OTHER_PAGE = {**REFUSED, "message": "the proof is for another page's challenge"}
UNSIGNED = {
    "code": "signature_invalid",
    "message": "no signature of the envelope fits a trusted key",
    "next_step": "do not use this document; ask its producer for the original",
}
MALFORMED = {
    "code": "envelope_malformed",
    "message": "the envelope is malformed",
    "next_step": "do not use this document; ask its producer for the original",
}


def says(**changes):
    return msgspec.structs.replace(SAID, **changes)


def carried(envelope):
    return base64.urlsafe_b64encode(envelope).decode().rstrip("=")


def envelope_of(proof):
    return base64.urlsafe_b64decode(proof + "=" * (-len(proof) % 4))


def signed(predicate, *, kind=KIND, key=ALICE):
    """The proof of any predicate, also one that `sign_in` would not make."""
    statement = Statement(subject=(subject("sign-in", "0" * 64),), predicateType=kind, predicate=predicate)
    return carried(sign_statement(statement, key))


def predicate(**changes):
    return {**json.loads(PREDICATE), **changes}


def trust_with(key, **changes):
    entry = {"key_id": key.key_id, "role": KeyRole.APPROVER, "public": key.public.raw_public.hex(), **changes}
    return msgspec.structs.replace(TRUST, keys=(*TRUST.keys, TrustedKey(**entry)))


def refusal(proof, *, trust=TRUST, now_ms=NOW, challenge=""):
    with pytest.raises(EvidenceError) as found:
        verify_sign_in(proof, trust, now_ms, challenge)
    return found.value.as_json()


def proved(said, challenge=""):
    return verify_sign_in(sign_in(said, ALICE), TRUST, NOW, challenge)


def test_the_bounds_of_a_proof():
    assert (AGE_MS_MAX, PROOF_CHARS_MAX) == (300_000, 8_192)


@pytest.mark.parametrize("found", [SAID, PROVED])
def test_nobody_rewrites_what_was_said_or_proved(found):
    with pytest.raises(AttributeError):
        found.person = "person:bob"


class TestMade:
    def test_a_proof_is_a_signed_statement_letter_by_letter(self):
        payload = (
            b'{"_type":"https://in-toto.io/Statement/v1","predicate":' + PREDICATE + b',"predicateType":'
            b'"https://bywire.dev/approval-sign-in/v1","subject":[{"digest":{"sha256":"'
            + hashlib.sha256(PREDICATE).hexdigest().encode()
            + b'"},"name":"sign-in"}]}'
        )
        signature = ALICE.sign(b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(payload), payload))
        envelope = (
            '{"payload":"' + base64.b64encode(payload).decode() + '","payloadType":"application/vnd.in-toto+json",'
            '"signatures":[{"keyid":"' + ALICE.key_id + '","sig":"' + base64.b64encode(signature).decode() + '"}]}'
        )
        assert sign_in(SAID, ALICE) == carried(envelope.encode())

    @pytest.mark.parametrize("length", range(1, 13))
    def test_a_proof_fits_a_url_whatever_its_length(self, length):
        said = says(nonce="n" * length)
        proof = sign_in(said, ALICE)
        assert not set(proof) & set("=+/ ")
        assert claimed_by(proof) == "person:alice"
        assert proved(said).person == "person:alice"


class TestProved:
    def test_who_when_and_with_which_key(self):
        assert verify_sign_in(sign_in(SAID, ALICE), TRUST, NOW, "") == PROVED

    def test_another_person_with_their_own_key(self):
        found = verify_sign_in(sign_in(says(person="person:bob"), BOB), TRUST, NOW, "")
        said = PREDICATE.replace(b"alice", b"bob")
        assert found == Proved("person:bob", NOW, "sign-in:" + hashlib.sha256(said).hexdigest(), BOB.key_id)

    def test_a_second_key_of_the_same_person(self):
        trust = trust_with(STRANGER, principal="person:alice")
        found = verify_sign_in(sign_in(SAID, STRANGER), trust, NOW, "")
        assert found == Proved("person:alice", NOW, ID, STRANGER.key_id)

    def test_one_statement_has_one_id_however_it_travels(self):
        proof = sign_in(SAID, ALICE)
        document = json.loads(envelope_of(proof))
        document["signatures"] = [{"keyid": "other", "sig": "AAAA"}, *document["signatures"]]
        for other in (
            f" \n{proof[:9]}\r\n\t{proof[9:]}\u2003\n",
            carried(envelope_of(proof) + b"  \n"),
            carried(json.dumps(document).encode()),
        ):
            assert verify_sign_in(other, TRUST, NOW, "") == PROVED

    @pytest.mark.parametrize("padding", ["", "=", "=="])
    def test_padding_may_be_written_out(self, padding):
        envelope = envelope_of(sign_in(SAID, ALICE))
        envelope += b" " * ((len(padding) * 2 - len(envelope)) % 3)
        proof = base64.urlsafe_b64encode(envelope).decode()
        assert proof == carried(envelope) + padding
        assert verify_sign_in(proof, TRUST, NOW, "") == PROVED

    def test_a_proof_has_up_to_8192_characters_without_its_spaces(self):
        envelope = envelope_of(sign_in(SAID, ALICE))
        whole = carried(envelope.ljust(6_144))
        assert len(whole) == 8_192
        assert verify_sign_in(whole, TRUST, NOW, "") == PROVED
        assert verify_sign_in(whole[:4_096] + "\n" + whole[4_096:] + "  ", TRUST, NOW, "") == PROVED
        longer = carried(envelope.ljust(6_145))
        assert len(longer) == 8_194
        assert refusal(longer) == NO_PROOF
        assert claimed_by(longer) == ""

    @pytest.mark.parametrize("age_ms", [0, 1, 299_999, 300_000])
    def test_it_is_good_for_five_minutes(self, age_ms):
        assert verify_sign_in(sign_in(SAID, ALICE), TRUST, NOW + age_ms, "") == PROVED

    @pytest.mark.parametrize("age_ms", [-NOW, -1, 300_001, 86_400_000])
    def test_it_is_not_good_before_or_after(self, age_ms):
        assert refusal(sign_in(SAID, ALICE), now_ms=NOW + age_ms) == OLD

    @pytest.mark.parametrize(
        ("said", "shown"),
        [
            ("", ""),
            ("", "ABCD-EFGH"),
            ("ABCD-EFGH", "ABCD-EFGH"),
            ("c" * 64, "c" * 64),
            ("é", "é"),
        ],
    )
    def test_it_is_for_the_pages_challenge_or_for_none(self, said, shown):
        assert proved(says(challenge=said), shown).person == "person:alice"

    @pytest.mark.parametrize("shown", ["", "ABCD", "ABCD-EFGI", "abcd-efgh", "ABCD-EFGH "])
    def test_it_is_for_no_other_pages_challenge(self, shown):
        assert refusal(sign_in(says(challenge="ABCD-EFGH"), ALICE), challenge=shown) == OTHER_PAGE

    @pytest.mark.parametrize("field", ["nonce", "challenge", "at_ms"])
    def test_every_field_makes_another_id(self, field):
        changed = {"nonce": "n-2", "challenge": "c", "at_ms": NOW - 1}[field]
        assert proved(says(**{field: changed}), "c").id != ID


class TestWhose:
    @pytest.mark.parametrize(
        "person",
        ["person:carol", "person:", "alice", "person:alic", "person:alice2", "PERSON:alice", "*", " person:alice"],
    )
    def test_who_holds_no_key_is_nobody(self, person):
        assert refusal(sign_in(says(person=person), ALICE)) == NOBODY

    @pytest.mark.parametrize("principal", ["agent:release-controller", "workload:builder", "workload:chat"])
    def test_the_key_of_another_role_is_no_approvers(self, principal):
        assert refusal(sign_in(says(person=principal), KEYS[principal])) == NOBODY

    @pytest.mark.parametrize("principal", ["agent:carol", "carol", "person:", "person:a/b", "workload:builder"])
    def test_an_approver_key_of_what_is_no_person_opens_nothing(self, principal):
        trust = trust_with(STRANGER, principal=principal)
        assert refusal(sign_in(says(person=principal), STRANGER), trust=trust) == NOBODY

    @pytest.mark.parametrize("role", [KeyRole.CHANNEL, KeyRole.AGENT, KeyRole.TOKEN])
    def test_a_persons_key_of_another_role_opens_nothing(self, role):
        trust = trust_with(STRANGER, principal="person:carol", role=role)
        assert refusal(sign_in(says(person="person:carol"), STRANGER), trust=trust) == NOBODY

    def test_a_key_that_has_ended_opens_nothing(self):
        trust = trust_with(STRANGER, principal="person:carol", to_index=9)
        assert refusal(sign_in(says(person="person:carol"), STRANGER), trust=trust) == NOBODY

    @pytest.mark.parametrize("key", [BOB, STRANGER, KEYS["workload:chat"], KEYS["agent:release-controller"]])
    def test_nobody_signs_for_another(self, key):
        assert refusal(sign_in(SAID, key)) == UNSIGNED

    def test_a_changed_word_is_unsigned(self):
        document = json.loads(envelope_of(sign_in(SAID, ALICE)))
        payload = base64.b64decode(document["payload"]).replace(b"n-1", b"n-2")
        document["payload"] = base64.b64encode(payload).decode()
        assert refusal(carried(json.dumps(document).encode())) == UNSIGNED


class TestWhere:
    @pytest.mark.parametrize("kind", ["https://bywire.dev/approval/v1", KIND + "0", KIND.upper()])
    def test_another_kind_of_statement_proves_nothing(self, kind):
        assert refusal(signed(predicate(), kind=kind)) == ELSEWHERE

    @pytest.mark.parametrize("workspace", ["log.example/other", "log.example/workspace/", "l", "w" * 256])
    def test_a_proof_for_another_workspace_proves_nothing(self, workspace):
        assert refusal(sign_in(says(workspace=workspace), ALICE)) == ELSEWHERE

    def test_the_subject_is_not_asked(self):
        assert verify_sign_in(signed(predicate()), TRUST, NOW, "") == PROVED


class TestRead:
    @pytest.mark.parametrize(
        "changes",
        [
            *({name: None} for name in json.loads(PREDICATE)),
            *({name: ["x"]} for name in json.loads(PREDICATE)),
            *({name: ""} for name in ("person", "nonce", "workspace")),
            *({name: "x" * 257} for name in ("person", "nonce", "workspace")),
            {"nonce": 1},
            {"challenge": "c" * 65},
            {"at_ms": str(NOW)},
            {"at_ms": True},
            {"at_ms": 1.5},
            {"more": ""},
        ],
    )
    def test_another_statement_is_no_proof(self, changes):
        proof = signed(predicate(**changes))
        assert refusal(proof) == NO_PROOF
        assert claimed_by(proof) == ""

    @pytest.mark.parametrize("name", json.loads(PREDICATE))
    def test_a_statement_without_a_field_is_no_proof(self, name):
        proof = signed({key: value for key, value in predicate().items() if key != name})
        assert refusal(proof) == NO_PROOF
        assert claimed_by(proof) == ""

    @pytest.mark.parametrize("person", ["p", "p" * 256, "é" * 256])
    def test_a_name_has_up_to_256_characters(self, person):
        assert claimed_by(signed(predicate(person=person))) == person

    @pytest.mark.parametrize("changes", [{"nonce": "n"}, {"nonce": "n" * 256}, {"challenge": "c" * 64}])
    def test_the_longest_and_the_shortest_are_read(self, changes):
        assert verify_sign_in(signed(predicate(**changes)), TRUST, NOW, "c" * 64).person == "person:alice"

    @pytest.mark.parametrize("proof", ["A", "é", "AAA!", "AA=A", "=", "!!!!", "AAAAA", "A" * 8_196])
    def test_what_is_not_base64_is_no_proof(self, proof):
        assert refusal(proof) == NO_PROOF
        assert claimed_by(proof) == ""

    @pytest.mark.parametrize("stray", ["!!!!", "....", "====", "éééé", "\0\0\0\0"])
    def test_nothing_stray_is_skipped_in_a_proof(self, stray):
        proof = sign_in(SAID, ALICE)
        assert refusal(proof[:8] + stray + proof[8:]) == NO_PROOF
        assert claimed_by(proof[:8] + stray + proof[8:]) == ""

    @pytest.mark.parametrize("envelope", [b"", b"{", b"null", b"{}", b"[]", b"\xff", b'{"payload":1}'])
    def test_what_is_no_envelope_is_malformed(self, envelope):
        assert refusal(carried(envelope)) == MALFORMED
        assert claimed_by(carried(envelope)) == ""


class TestClaimed:
    @pytest.mark.parametrize(
        ("said", "key"),
        [
            (SAID, ALICE),
            (SAID, STRANGER),
            (says(person="anybody"), STRANGER),
            (says(at_ms=0, workspace="other", challenge="c"), ALICE),
        ],
    )
    def test_it_is_told_before_anything_is_verified(self, said, key):
        assert claimed_by(sign_in(said, key)) == said.person


class TestChallenge:
    @pytest.mark.parametrize("secret", ["", "a", "secret", "é" * 40])
    def test_it_is_the_first_sixteen_letters_of_a_digest_in_fours(self, secret):
        digest = hashlib.sha256(b"bywire sign-in challenge\0" + secret.encode()).digest()
        found = base64.b32encode(digest).decode()
        assert challenge_of(secret) == f"{found[:4]}-{found[4:8]}-{found[8:12]}-{found[12:16]}"

    @pytest.mark.parametrize(("secret", "challenge"), [("", "MB7V-4NS2-HMLY-GXTT"), ("secret", "QBHQ-YA2A-CZNF-2AQR")])
    def test_it_is_known_by_its_letters(self, secret, challenge):
        assert challenge_of(secret) == challenge
