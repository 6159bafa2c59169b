"""The signed webhook by the Standard Webhooks specification: what is sent, and which verdicts are heard."""

import base64
import hashlib
import hmac
import json

import pytest

from bywire.approvals.channel_heard import Heard
from bywire.approvals.channel_text import Asked
from bywire.approvals.channel_webhook import (
    BODY_BYTES_MAX,
    NAME,
    SIGNATURES_MAX,
    event,
    headers,
    heard,
    secret_bytes,
)
from bywire.model.errors import ConfigError, EvidenceError

AT = 1_790_000_000
NOW = AT * 1_000
KEY = b"0123456789abcdef"
SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZg=="
OTHER_KEY = b"fedcba9876543210"
# The example of the specification, as its reference libraries test it.
SPEC_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SPEC_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
SPEC_AT = 1_614_265_330
SPEC_BODY = b'{"test": 2432232314}'
SPEC_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
DATA = {"approval": "ap-0123456789ab", "packet_digest": "a1" * 32, "verdict": "approved", "member": "ines@example"}
ASKED = Asked(
    id="ap-0123456789ab",
    digest="a1" * 32,
    url="https://b.example/approvals/ap-0123456789ab",
    tool="set_canary_weight",
    arguments='{"weight":5}',
    is_whole=True,
    service="storefront",
    environment="production",
    requester="agent:fixer",
    owner="person:dana",
    tier="high",
    quorum=2,
    roles=("sre-oncall", "security"),
    expires_at_ms=NOW,
    reasons=("r",),
    missing=(),
    contrary=("c",),
    uncertain=("u",),
    may_answer=False,
    supersedes="",
)
TOLD = (
    b'{"data":{"arguments":"{\\"weight\\":5}","contrary":["c"],"digest":"' + b"a1" * 32 + b'",'
    b'"environment":"production","expires_at_ms":1790000000000,"id":"ap-0123456789ab","is_whole":true,'
    b'"may_answer":false,"missing":[],%b"owner":"person:dana","quorum":2,"reasons":["r"],"requester":"agent:fixer",'
    b'"roles":["sre-oncall","security"],"service":"storefront","supersedes":"","tier":"%b",'
    b'"tool":"set_canary_weight","uncertain":["u"],"url":"https://b.example/approvals/ap-0123456789ab"},'
    b'"type":"%b"}'
)
REFUSED = {
    "code": "callback_refused",
    "next_step": "check the signing secret and the clock; see docs/gateway.md, channels",
}
NO_FORM = {**REFUSED, "message": "the callback has no id or time, or is too large"}
FORGED = {**REFUSED, "message": "the callback's signature is not the sender's"}
OUTSIDE = {**REFUSED, "message": "the callback is too old, or of the future"}
UNREAD = {**REFUSED, "message": "the callback cannot be read"}
NO_VERDICT = {**REFUSED, "message": "the callback is no verdict"}
MALFORMED = {
    "code": "secret_malformed",
    "message": "a webhook's secret is not of the form whsec_BASE64, of 16 bytes or more",
    "next_step": "make one: echo whsec_$(openssl rand -base64 32)",
}


def without(found, name):
    return {key: value for key, value in found.items() if key != name}


def written(data=DATA, **more):
    return json.dumps({"type": "approval.verdict", "data": data, **more}).encode()


def signed(body, identifier=b"msg_1", at=b"%d" % AT, key=KEY):
    return b"v1," + base64.b64encode(hmac.new(key, identifier + b"." + at + b"." + body, hashlib.sha256).digest())


def posted(body=None, identifier=b"msg_1", at=b"%d" % AT, *, signature=None, secret=SECRET, now_ms=NOW):
    """What is heard of a callback, signed rightly unless a signature is given."""
    body = written() if body is None else body
    signature = signed(body, identifier, at) if signature is None else signature
    return heard(body, identifier, at, signature, secret=secret, now_ms=now_ms)


def refusal(*args, **changes):
    with pytest.raises(EvidenceError) as found:
        posted(*args, **changes)
    return found.value.as_json()


def name_of(identifier):
    return "webhook:" + hashlib.sha256(len(identifier).to_bytes(8, "big") + identifier).hexdigest()


def said(**changes):
    found = {
        "channel": "webhook",
        "member": "ines@example",
        "approval": "ap-0123456789ab",
        "digest": "a1" * 32,
        "verdict": "approved",
        "once": name_of(b"msg_1"),
        "reason": "",
    }
    return Heard(**{**found, **changes})


def test_the_channels_name_and_bounds():
    assert (NAME, BODY_BYTES_MAX, SIGNATURES_MAX) == ("webhook", 65_536, 4)


@pytest.mark.parametrize(
    ("kind", "more", "filled"),
    [
        ("approval.requested", {}, (b"", b"high", b"approval.requested")),
        ("approval.ended", {"outcome": "denied"}, (b'"outcome":"denied",', b"high", b"approval.ended")),
        ("approval.reminder", {"tier": "low"}, (b"", b"low", b"approval.reminder")),
    ],
)
def test_an_event_is_its_kind_the_request_and_what_is_added(kind, more, filled):
    assert event(kind, ASKED, more) == TOLD % filled


class TestSent:
    def test_the_headers_are_those_of_the_specifications_example(self):
        assert headers(SPEC_ID, SPEC_AT, SPEC_BODY, SPEC_SECRET) == {
            "content-type": "application/json",
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": SPEC_SIGNATURE,
        }

    def test_the_signature_is_over_id_time_and_body(self):
        digest = hmac.new(b"0123456789abcdef", b'ev_1.1790000000.{"a":1}', hashlib.sha256).digest()
        found = headers("ev_1", AT, b'{"a":1}', SECRET)
        assert found["webhook-signature"] == "v1," + base64.b64encode(digest).decode()

    def test_what_is_sent_can_be_heard(self):
        body = written()
        sent = headers("msg_1", AT, body, SECRET)
        assert posted(body, signature=sent["webhook-signature"].encode()) == said()

    def test_nothing_is_signed_with_a_malformed_secret(self):
        with pytest.raises(ConfigError) as found:
            headers("ev_1", AT, b"{}", "whsec_")
        assert found.value.as_json() == MALFORMED


class TestSecret:
    @pytest.mark.parametrize(
        ("secret", "key"),
        [
            ("whsec_MDEyMzQ1Njc4OWFiY2RlZg==", b"0123456789abcdef"),
            ("whsec_MDEyMzQ1Njc4OWFiY2RlZmc=", b"0123456789abcdefg"),
            ("whsec_+/+/+/+/+/+/+/+/+/+/+/+/", bytes.fromhex("fbffbf" * 6)),
            (SPEC_SECRET, bytes.fromhex("31f290f6bf06298aab4f08d43c3f082cf648a362da2da4b0")),
        ],
    )
    def test_the_key_is_what_follows_the_prefix(self, secret, key):
        assert secret_bytes(secret) == key

    @pytest.mark.parametrize(
        "secret",
        [
            "",
            "whsec_",
            "whsec_MDEyMzQ1Njc4OWFiY2Rl",
            "MDEyMzQ1Njc4OWFiY2RlZg==",
            "WHSEC_MDEyMzQ1Njc4OWFiY2RlZg==",
            "whsec-MDEyMzQ1Njc4OWFiY2RlZg==",
            " whsec_MDEyMzQ1Njc4OWFiY2RlZg==",
            "whsec_whsec_MDEyMzQ1Njc4OWFiY2RlZg==",
            "whsec_MDEyMzQ1Njc4OWFiY2RlZg",
            "whsec_MDEyMzQ1Njc4OWFiY2RlZg=",
            "whsec_MDEy!!!!MzQ1Njc4OWFiY2RlZg==",
            "whsec_MDEyMzQ1Njc4OWFiY2RlZg==\n",
            "whsec_-_-_-_-_-_-_-_-_-_-_-_-_",
            "whsec_MDEyMzQ1Njc4OWFiY2RlZgé=",
        ],
    )
    def test_any_other_form_is_refused_before_anything_is_believed(self, secret):
        with pytest.raises(ConfigError) as found:
            secret_bytes(secret)
        assert found.value.as_json() == MALFORMED
        with pytest.raises(ConfigError) as found:
            posted(secret=secret)
        assert found.value.as_json() == MALFORMED


class TestForm:
    @pytest.mark.parametrize("identifier", [b"m", b"m" * 255, b"m" * 256, b"\xff.1"])
    def test_an_id_has_up_to_256_bytes_and_names_the_message(self, identifier):
        assert posted(identifier=identifier) == said(once=name_of(identifier))

    @pytest.mark.parametrize("identifier", [b"", b"m" * 257])
    def test_another_id_is_refused(self, identifier):
        assert refusal(identifier=identifier) == NO_FORM

    def test_a_time_has_up_to_twelve_digits(self):
        assert posted(at=b"001790000000") == said()
        assert posted(at=b"999999999999", now_ms=999_999_999_999_000) == said()
        assert posted(at=b"0", now_ms=0) == said()

    @pytest.mark.parametrize(
        "at", [b"", b"0001790000000", b"1790000000.0", b"-1", b"+1790000000", b" 1790000000", b"now", b"\xd9\xa1"]
    )
    def test_another_time_is_refused(self, at):
        assert refusal(at=at) == NO_FORM

    def test_a_body_has_up_to_65536_bytes(self):
        assert posted(written().ljust(65_535)) == said()
        assert posted(written().ljust(65_536)) == said()
        assert refusal(written().ljust(65_537)) == NO_FORM

    def test_what_has_no_form_is_refused_before_its_secret_is_read(self):
        assert refusal(identifier=b"", secret="none") == NO_FORM


class TestSignature:
    GOOD = signed(written())

    @pytest.mark.parametrize(
        "signature",
        [
            GOOD,
            GOOD + b" v1,AAAA",
            b"v1,AAAA " + GOOD,
            b"v1a,AAAA v2,AAAA " + GOOD,
            b"v1,AAAA v1,AAAA v1,AAAA " + GOOD,
            b"v1,AAAA v1,AAAA v1,AAAA " + GOOD + b" v1,AAAA v1,AAAA",
            signed(written(), key=OTHER_KEY) + b" " + GOOD,
            b"v1,\xff\xfe " + GOOD,
            b"  " + GOOD + b" ",
        ],
    )
    def test_one_of_the_first_four_is_enough(self, signature):
        assert posted(signature=signature) == said()

    @pytest.mark.parametrize(
        "signature",
        [
            b"",
            b" ",
            b"v1,",
            b"v1,AAAA v1,AAAA v1,AAAA v1,AAAA " + GOOD,
            b"    " + GOOD,
            GOOD[3:],
            b"v1 " + GOOD[3:],
            b"V1," + GOOD[3:],
            b"v2," + GOOD[3:],
            b"v1a," + GOOD[3:],
            GOOD[:-1],
            GOOD + b"=",
            GOOD + b"," + GOOD,
            GOOD + b"\t" + GOOD,
            GOOD.lower(),
            b"\xff" + GOOD,
            b"v1," + hmac.new(KEY, b"msg_1.%d." % AT + written(), hashlib.sha256).hexdigest().encode(),
            signed(written(), key=OTHER_KEY),
            signed(written(), key=SECRET.encode()),
            signed(written(), key=b"MDEyMzQ1Njc4OWFiY2RlZg=="),
            signed(written(), identifier=b"msg_2"),
            signed(written(), at=b"1790000001"),
            signed(written() + b" "),
            b"v1," + base64.b64encode(hmac.new(KEY, written(), hashlib.sha256).digest()),
        ],
    )
    def test_another_signature_is_not_the_senders(self, signature):
        assert refusal(signature=signature) == FORGED

    def test_what_is_forged_is_neither_dated_nor_read(self):
        assert refusal(b"{", signature=b"v1,AAAA", now_ms=0) == FORGED

    def test_the_specifications_example_is_signed_well_and_is_no_event(self):
        signature, now_ms = SPEC_SIGNATURE.encode(), SPEC_AT * 1_000
        found = refusal(
            SPEC_BODY, SPEC_ID.encode(), b"1614265330", signature=signature, secret=SPEC_SECRET, now_ms=now_ms
        )
        assert found == UNREAD


class TestWindow:
    @pytest.mark.parametrize("late_ms", [-300_000, -299_999, 0, 299_999, 300_000])
    def test_five_minutes_away_at_most_is_heard(self, late_ms):
        assert posted(now_ms=NOW + late_ms) == said()

    @pytest.mark.parametrize("late_ms", [-300_001, 300_001])
    def test_further_away_is_refused_unread(self, late_ms):
        assert refusal(now_ms=NOW + late_ms) == OUTSIDE
        assert refusal(b"{", now_ms=NOW + late_ms) == OUTSIDE


class TestRead:
    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"reason": "read it"}, {"reason": "read it"}),
            ({"reason": "é" * 1_999}, {"reason": "é" * 1_999}),
            ({"reason": "é" * 2_000}, {"reason": "é" * 2_000}),
            ({"member": "m"}, {"member": "m"}),
            ({"member": "m" * 128}, {"member": "m" * 128}),
            ({"approval": "ap-ffffffffffff"}, {"approval": "ap-ffffffffffff"}),
            ({"packet_digest": "09af" * 16}, {"digest": "09af" * 16}),
            ({"verdict": "denied"}, {"verdict": "denied"}),
            ({"verdict": ""}, {"verdict": ""}),
        ],
    )
    def test_every_field_of_the_verdict_is_heard_as_it_was_said(self, changes, expected):
        assert posted(written({**DATA, **changes})) == said(**expected)

    @pytest.mark.parametrize("timestamp", ["", "2026-09-21T14:13:20Z", "never"])
    def test_the_time_within_the_event_is_not_asked(self, timestamp):
        assert posted(written(timestamp=timestamp)) == said()

    @pytest.mark.parametrize(
        "data",
        [
            *(without(DATA, name) for name in DATA),
            *({**DATA, name: None} for name in (*DATA, "reason")),
            *({**DATA, name: 1} for name in (*DATA, "reason")),
            {**DATA, "more": ""},
            {**DATA, "member": ""},
            {**DATA, "member": "m" * 129},
            {**DATA, "reason": "r" * 2_001},
            {**DATA, "approval": "ap-0123456789a"},
            {**DATA, "approval": "ap-0123456789abc"},
            {**DATA, "approval": "ap-0123456789aB"},
            {**DATA, "approval": "ap-0123456789ag"},
            {**DATA, "approval": "xap-0123456789ab"},
            {**DATA, "approval": "ap-0123456789ab\n"},
            {**DATA, "packet_digest": "a1" * 32 + "\n"},
            {**DATA, "packet_digest": "a" * 63},
            {**DATA, "packet_digest": "a" * 65},
            {**DATA, "packet_digest": "A" * 64},
            {**DATA, "packet_digest": "g" * 64},
            {**DATA, "packet_digest": "a" * 16},
            {},
            None,
            [DATA],
        ],
    )
    def test_another_verdict_cannot_be_read(self, data):
        assert refusal(written(data)) == UNREAD

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"null",
            b"[]",
            b"[" * 60_000,
            written() + b"x",
            written().replace(b"ines", b"\xff"),
            written(more=1),
            written(timestamp=1),
            written(timestamp=None),
            written(type=None),
            json.dumps({"data": DATA}).encode(),
            json.dumps({"type": "approval.verdict"}).encode(),
        ],
    )
    def test_another_body_cannot_be_read(self, body):
        assert refusal(body) == UNREAD

    @pytest.mark.parametrize("kind", ["", "approval.requested", "approval.verdicts", "Approval.verdict"])
    def test_another_kind_of_event_is_no_verdict(self, kind):
        assert refusal(written(type=kind)) == NO_VERDICT
