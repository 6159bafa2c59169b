"""The Teams card, field by field; and what is read of a signed callback, bound by bound."""

import base64
import hashlib
import hmac
import json

import msgspec
import pytest

from bywire.approvals.channel_heard import Heard
from bywire.approvals.channel_teams import escaped, heard, message, secret_bytes, told
from bywire.approvals.channel_text import Asked
from bywire.model.errors import EvidenceError

NOW = 1_790_000_000_000
SECRET = "MDEyMzQ1Njc4OWFiY2RlZg=="
APPROVAL, DIGEST = "ap-0123456789ab", "0123456789abcdef"
APPROVE = f"approve {APPROVAL} {DIGEST}"
BODY = (
    b'{"type":"message","id":"1","timestamp":"2026-09-21T14:13:20.0000000Z","from":{"aadObjectId":"member-1"},'
    b'"channelData":{"tenant":{"id":"tenant-1"}},"text":"<at>bywire</at> approve ap-0123456789ab 0123456789abcdef"}'
)
SIGNED = b"HMAC uthtIdT/DdchTiVPpDXcJYT3RlIqpxjEHJnOL57M7Dg="
ONCE = "teams:dc0bc0e869b70ab92290d05d99cf2f913ab6006341cb175ca637c74dd1721e14"
HELP = "check the signing secret and the clock; see docs/gateway.md, channels"
UNSIGNED = "the callback is not signed, or too large"
FORGED = "the callback's signature is not the platform's"
UNREADABLE = "the callback cannot be read"
TIMELESS = "the callback has no time"
LATE = "the callback is too old, or of the future"
ELSEWHERE = "the callback is no message of our directory"
WORDS = "write: approve ap-... PACKET, or deny ap-... PACKET REASON"
NOT_BASE64, SHORT = "the security token is not Base64", "the security token is too short"
FULL = Asked(
    id=APPROVAL,
    digest=DIGEST + "f" * 48,
    url="https://b.example/approvals/ap-0123456789ab",
    tool="set_weight",
    arguments='{"note":"*bold* [x](y)","weight":5}',
    is_whole=True,
    service="shop*",
    environment="prod_eu",
    requester="agent:release-controller",
    owner="person:o_o",
    tier="high",
    quorum=2,
    roles=("sre-oncall", "owner"),
    expires_at_ms=NOW,
    reasons=("spend > limit", "second risk"),
    missing=("no SBOM",),
    contrary=("1 of 40 fail",),
    uncertain=("SLSA L1 #1",),
    may_answer=True,
    supersedes="",
)
NOTHING = {"reasons": (), "missing": (), "contrary": (), "uncertain": (), "roles": (), "owner": ""}
BARE = msgspec.structs.replace(
    FULL, tool="stop", service="shop", environment="prod", requester="agent:r", quorum=1, **NOTHING
)


def refusal(call, *given, **named):
    with pytest.raises(EvidenceError) as caught:
        call(*given, **named)
    return caught.value.as_json()


def refused(why):
    return {"code": "callback_refused", "message": why, "next_step": HELP}


def authorization(body, secret=SECRET):
    return b"HMAC " + base64.b64encode(hmac.new(base64.b64decode(secret), body, hashlib.sha256).digest())


def activity(**changes):
    """A callback with some of its fields replaced; None leaves a field out."""
    said = {**json.loads(BODY), **changes}
    return json.dumps({name: value for name, value in said.items() if value is not None}).encode()


def hear(body, signed=None, *, secret=SECRET, tenant="tenant-1", now_ms=NOW):
    signed = authorization(body, secret) if signed is None else signed
    return heard(body, signed, secret=secret, tenant=tenant, now_ms=now_ms)


def wrote(text):
    found = hear(activity(text=text))
    return found.verdict, found.approval, found.digest, found.reason


def block(text, **more):
    return {"type": "TextBlock", "text": text, "wrap": True, **more}


def card(*body):
    url = "https://b.example/approvals/ap-0123456789ab"
    content = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": list(body),
        "actions": [{"type": "Action.OpenUrl", "title": "Open the request", "url": url}],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": content}
    return {"type": "message", "attachments": [attachment]}


# --- the card that asks ---


def test_the_card_of_a_request_with_everything_in_it():
    facts = [
        {"title": "action", "value": r"set\_weight on shop\* in prod\_eu"},
        {"title": "tier", "value": "high"},
        {"title": "requested by", "value": r"agent:release\-controller"},
        {"title": "owner", "value": r"person:o\_o"},
        {"title": "waits for", "value": r"sre\-oncall, owner"},
        {"title": "persons", "value": "2"},
        {"title": "until", "value": r"2026\-09\-21 15:13 UTC"},
        {"title": "packet", "value": "0123456789abcdef"},
    ]
    exactly = '{"note":"*bold* [x](y)","weight":5}'
    assert message(FULL, "2026-09-21 15:13 UTC") == card(
        block(r"Approval needed: set\_weight", weight="Bolder", size="Medium"),
        {"type": "FactSet", "facts": facts},
        {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": exactly, "fontType": "Monospace"}]},
        block(r"risk: spend \> limit"),
        block("risk: second risk"),
        block("missing: no SBOM"),
        block("contrary: 1 of 40 fail"),
        block(r"uncertain: SLSA L1 \#1"),
        block(
            r"To answer, mention the webhook: approve ap\-0123456789ab 0123456789abcdef"
            r" or deny ap\-0123456789ab 0123456789abcdef REASON"
        ),
    )


@pytest.mark.parametrize(
    ("changes", "exactly", "answer"),
    [
        (
            {"arguments": "{}", "may_answer": False},
            "{}",
            r"The high tier takes no verdict from a chat: bywire approvals approve ap\-0123456789ab \-\-as NAME",
        ),
        (
            {"arguments": "", "is_whole": False, "may_answer": False},
            "too long to be shown here whole: open the request",
            r"A verdict needs the whole request: bywire approvals approve ap\-0123456789ab \-\-as NAME",
        ),
    ],
)
def test_the_card_of_a_request_with_nothing_said_that_no_chat_answers(changes, exactly, answer):
    facts = [
        {"title": "action", "value": "stop on shop in prod"},
        {"title": "tier", "value": "high"},
        {"title": "requested by", "value": "agent:r"},
        {"title": "owner", "value": "none"},
        {"title": "waits for", "value": "any listed approver"},
        {"title": "persons", "value": "1"},
        {"title": "until", "value": "soon"},
        {"title": "packet", "value": "0123456789abcdef"},
    ]
    assert message(msgspec.structs.replace(BARE, **changes), "soon") == card(
        block("Approval needed: stop", weight="Bolder", size="Medium"),
        {"type": "FactSet", "facts": facts},
        {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": exactly, "fontType": "Monospace"}]},
        block(answer),
    )


def test_a_reminder_is_a_card_of_its_own():
    assert told(FULL, "approved by *alice*") == card(
        block(r"ap\-0123456789ab: approved by \*alice\*", weight="Bolder"), block(r"set\_weight on shop\*")
    )


@pytest.mark.parametrize("char", list(r"\`*_[]()#!|<>~-"))
def test_each_character_of_markdown_loses_its_meaning_wherever_it_stands(char):
    assert escaped(f"{char}a{char}{char}") == f"\\{char}a\\{char}\\{char}"


@pytest.mark.parametrize("text", ["", "plain words, 1.5 + {x} = y: 'a' \"b\" & c/d @e ^ $5; ?", "über\nline"])
def test_other_text_is_shown_as_it_is(text):
    assert escaped(text) == text


# --- the signature ---


def test_a_signed_message_is_heard_whole():
    assert heard(BODY, SIGNED, secret=SECRET, tenant="tenant-1", now_ms=NOW) == Heard(
        channel="teams",
        member="member-1",
        approval="ap-0123456789ab",
        digest="0123456789abcdef",
        verdict="approved",
        once=ONCE,
        reason="",
    )


@pytest.mark.parametrize(
    ("signed", "why"),
    [
        (b"", UNSIGNED),
        (SIGNED.removeprefix(b"HMAC "), UNSIGNED),
        (SIGNED.replace(b"HMAC ", b"hmac "), UNSIGNED),
        (SIGNED.replace(b"HMAC ", b"HMAC"), UNSIGNED),
        (SIGNED.replace(b"HMAC ", b"Bearer "), UNSIGNED),
        (b" " + SIGNED, UNSIGNED),
        (b"HMAC ", FORGED),
        (b"HMAC " + SIGNED, FORGED),
        (SIGNED.replace(b"HMAC ", b"HMAC  "), FORGED),
        (SIGNED + b" ", FORGED),
        (SIGNED.removesuffix(b"="), FORGED),
        (SIGNED.lower().replace(b"hmac", b"HMAC"), FORGED),
        (authorization(BODY + b" "), FORGED),
        (authorization(BODY, "MDEyMzQ1Njc4OWFiY2RlZw=="), FORGED),
        (b"HMAC \xff", FORGED),
    ],
)
def test_another_authorization_is_refused(signed, why):
    assert refusal(hear, BODY, signed) == refused(why)


def test_the_signature_is_over_exactly_this_body():
    assert refusal(hear, BODY + b"\n", SIGNED) == refused(FORGED)


def test_what_is_forged_is_not_read():
    assert refusal(hear, b"{", SIGNED) == refused(FORGED)


def test_a_body_of_65_536_bytes_is_heard():
    assert hear(BODY.ljust(65_536)).approval == APPROVAL


def test_a_larger_body_is_refused():
    assert refusal(hear, BODY.ljust(65_537)) == refused(UNSIGNED)


def test_another_signature_makes_another_message():
    assert hear(BODY + b" ").once != ONCE


# --- the security token ---


@pytest.mark.parametrize("size", [16, 17, 32, 256])
def test_a_security_token_is_the_base64_of_its_key(size):
    key = bytes(range(size))
    assert secret_bytes(base64.b64encode(key).decode()) == key


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        ("", SHORT),
        (base64.b64encode(b"k" * 15).decode(), SHORT),
        ("MDEyMzQ1Njc4OWFiY2RlZg", NOT_BASE64),
        ("MDEyMzQ1Njc4 OWFiY2RlZg==", NOT_BASE64),
        ("MDEyMzQ1Njc4OWFiY2RlZg==\n", NOT_BASE64),
        ("-_-_" * 8, NOT_BASE64),
        ("é" * 24, NOT_BASE64),
    ],
)
def test_another_security_token_is_refused(secret, why):
    assert refusal(secret_bytes, secret) == refused(why)
    assert refusal(hear, BODY, SIGNED, secret=secret) == refused(why)


# --- which fields are read ---


def test_fields_that_nobody_reads_change_nothing():
    more = {
        "serviceUrl": 1,
        "id": "another",
        "from": {"id": "29:1", "name": "Mallory", "aadObjectId": "member-1"},
        "channelData": {"tenant": {"id": "tenant-1", "name": "x"}, "team": []},
        "conversation": {"tenantId": "tenant-2"},
    }
    body = activity(**more)
    said = hashlib.sha256((44).to_bytes(8, "big") + authorization(body)[5:]).hexdigest()
    assert hear(body) == msgspec.structs.replace(hear(BODY), once=f"teams:{said}")


@pytest.mark.parametrize("name", ["type", "id", "timestamp", "from", "channelData"])
@pytest.mark.parametrize("value", [None, 1, True, [], {}, {"aadObjectId": 1, "tenant": {"id": 1}}, {"tenant": {}}])
def test_a_field_that_is_missing_or_of_another_type_is_refused(name, value):
    assert refusal(hear, activity(**{name: value})) == refused(UNREADABLE)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"\xff", BODY[:-1], BODY + b"x", BODY.replace(b"member-1", b"\xff"),
        BODY.replace(b'"from"', b'"from_"'), BODY.replace(b'"text":"', b'"text":null,"x":"'),
        BODY.replace(b'"text":"', b'"text":1,"x":"'), b"[" * 60_000, BODY[:-1] + b',"x":' + b"[" * 60_000,
    ],
)  # fmt: skip
def test_a_signed_body_of_another_form_is_refused(body):
    assert refusal(hear, body) == refused(UNREADABLE)


def test_a_message_without_text_says_nothing():
    assert refusal(hear, activity(text=None)) == refused(WORDS)


@pytest.mark.parametrize(
    ("changes", "tenant"),
    [
        ({"type": "messageUpdate"}, "tenant-1"),
        ({"type": "Message"}, "tenant-1"),
        ({"type": ""}, "tenant-1"),
        ({}, "tenant-2"),
        ({}, ""),
        ({"channelData": {"tenant": {"id": "TENANT-1"}}}, "tenant-1"),
        ({"type": "invoke"}, "tenant-2"),
    ],
)
def test_what_is_no_message_of_the_directory_is_refused(changes, tenant):
    assert refusal(hear, activity(**changes), tenant=tenant) == refused(ELSEWHERE)


# --- the time ---


@pytest.mark.parametrize("fraction", ["", ".1", ".12", ".123", ".1234", ".12345", ".123456", ".9999999"])
@pytest.mark.parametrize("away_ms", [-300_000, 0, 300_000])
def test_a_time_at_most_five_minutes_away_is_heard_and_its_fraction_is_dropped(fraction, away_ms):
    body = activity(timestamp=f"2026-09-21T14:13:20{fraction}Z")
    assert hear(body, now_ms=NOW + away_ms).approval == APPROVAL
    further = away_ms + (1 if away_ms > 0 else -1)
    if away_ms:
        assert refusal(hear, body, now_ms=NOW + further) == refused(LATE)


@pytest.mark.parametrize(
    "timestamp",
    [
        "", "now", "2026-09-21", "2026-09-21T14:13:20", "2026-09-21T14:13:20z", "2026-09-21T14:13:20+00:00",
        "2026-09-21T14:13:20.Z", "2026-09-21T14:13:20.12345678Z", "2026-09-21T14:13:20,1Z", "2026-09-21 14:13:20Z",
        "2026-09-21T14:13:20Z\n", " 2026-09-21T14:13:20Z", "2026-09-21T14:13:20.0Z.0Z", "2026-09-21T14:13Z",
        "2026-13-21T14:13:20Z", "2026-02-30T14:13:20Z", "2026-09-21T25:13:20Z", "2026-09-21T14:60:20Z",
        "0000-09-21T14:13:20Z", "202-09-21T14:13:20Z", "٢٠٢٦-09-21T14:13:20Z", "20260921T141320Z",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused(timestamp):
    assert refusal(hear, activity(timestamp=timestamp)) == refused(TIMELESS)


# --- the words ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (APPROVE, ("approved", APPROVAL, DIGEST, "")),
        (f"deny {APPROVAL} {DIGEST} too risky", ("denied", APPROVAL, DIGEST, "too risky")),
        (f"deny {APPROVAL} {DIGEST}", ("denied", APPROVAL, DIGEST, "")),
        (f"approve {APPROVAL} {'a' * 64}", ("approved", APPROVAL, "a" * 64, "")),
        (f"{APPROVE} x", ("approved", APPROVAL, DIGEST, "x")),
        (f"{APPROVE} {'r' * 500}", ("approved", APPROVAL, DIGEST, "r" * 500)),
        (f"\n approve\t {APPROVAL}\r\n{DIGEST}  two \n lines ", ("approved", APPROVAL, DIGEST, "two lines")),
        (f"<at>{'b' * 200}</at>{APPROVE}", ("approved", APPROVAL, DIGEST, "")),
        (f"<at></at>{APPROVE}<at>b</at>", ("approved", APPROVAL, DIGEST, "")),
        (f"<p>{APPROVE}</p><div><span>a</span><br>b<br/>c<br />d</div>", ("approved", APPROVAL, DIGEST, "a b c d")),
        (f"approve<at>b</at>{APPROVAL}<br>{DIGEST}", ("approved", APPROVAL, DIGEST, "")),
        (f"approve&nbsp;{APPROVAL}&#32;{DIGEST}", ("approved", APPROVAL, DIGEST, "")),
        (f"{APPROVE} a &amp; &lt;p&gt; &amp;lt; <b>c</b>", ("approved", APPROVAL, DIGEST, "a & <p> &lt; <b>c</b>")),
        (f"{APPROVE}{' ' * (4_096 - len(APPROVE) - 2)}xyz", ("approved", APPROVAL, DIGEST, "xy")),
        (f"{APPROVE}{' ' * (4_096 - len(APPROVE))}xyz", ("approved", APPROVAL, DIGEST, "")),
    ],
)
def test_the_words_of_a_verdict(text, expected):
    assert wrote(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "approve", f"approve {APPROVAL}", f"approve {DIGEST} {APPROVAL}", f"Approve {APPROVAL} {DIGEST}",
        f"approved {APPROVAL} {DIGEST}", f"please {APPROVE}", f"approve{APPROVAL} {DIGEST}",
        f"approve {APPROVAL}{DIGEST}", f"approve {APPROVAL[:-1]} {DIGEST}", f"approve {APPROVAL}0 {DIGEST}",
        f"approve AP-0123456789ab {DIGEST}", f"approve ap-0123456789aB {DIGEST}", f"approve {APPROVAL} {DIGEST[:-1]}",
        f"approve {APPROVAL} {'a' * 65}", f"approve {APPROVAL} {'A' * 16}", f"approve {APPROVAL} {'g' * 16}",
        f"{APPROVE} {'r' * 501}", f"<at>{'b' * 201}</at> {APPROVE}", f"<at>b<i></at> {APPROVE}",
        f"<p class='x'>{APPROVE}</p>", f"<pre>{APPROVE}", f"<at>b {APPROVE}", f"&lt;at&gt;b&lt;/at&gt; {APPROVE}",
        f"maybe {APPROVAL} {DIGEST}",
    ],
)  # fmt: skip
def test_other_words_are_no_verdict(text):
    assert refusal(hear, activity(text=text)) == refused(WORDS)
