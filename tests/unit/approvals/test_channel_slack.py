"""What Slack is told of a request, block for block, and which pressed button is believed."""

import hashlib
import hmac
import json
from urllib.parse import quote_plus, urlencode

import msgspec
import pytest

from bywire.approvals.channel_heard import Heard
from bywire.approvals.channel_slack import _Action, _Named, _Payload, _plain, decided, escaped, heard, message, reminder
from bywire.approvals.channel_text import Asked
from bywire.model.errors import EvidenceError

NOW = 1_790_000_000_000
AT = b"1790000000"
SECRET = b"8f742231b10e8888abcd99yyyzzz85a5"
DIGEST = "0123456789abcdef" * 4
BODY_BYTES_MAX = 262_144
MARKUP = "<!channel> & *b* `c` <https://evil.example|x>"
SPOKEN_MARKUP = "&lt;!channel&gt; &amp; *b* `c` &lt;https://evil.example|x&gt;"
SAID = Asked(
    id="ap-0123456789ab", digest=DIGEST, url="https://b.example/approvals/ap-0123456789ab",
    tool="set_canary_weight", arguments='{"weight":5}', is_whole=True, may_answer=True,
    service="storefront", environment="production", requester="agent:release-controller", owner="person:o",
    tier="medium", quorum=2, roles=("sre-oncall", "release-manager"), expires_at_ms=NOW, supersedes="ap-000000000000",
    reasons=("path class: a.yaml", "blast radius"), missing=("no SBOM",),
    contrary=("evaluation: 1 of 40 fail", "alert"), uncertain=("provenance is SLSA L1",),
)  # fmt: skip
NOTHING_AGAINST = {"reasons": (), "missing": (), "contrary": (), "uncertain": ()}
BARE = msgspec.structs.replace(SAID, owner="", quorum=1, roles=(), supersedes="", **NOTHING_AGAINST)
SHOWN = f"ap-0123456789ab|{DIGEST}"
PRESS = {
    "type": "block_actions", "user": {"id": "U0"}, "team": {"id": "T0"}, "channel": {"id": "C0"},
    "actions": [{"action_id": "bywire_approve", "value": SHOWN}],
}  # fmt: skip
TOO_LONG = "too long to be shown here whole: open the request"
TOO_LARGE = "the callback has no timestamp, or is too large"
FORGED = "the callback's signature is not the platform's"
LATE = "the callback is too old, or of the future"
NO_BUTTON = "the callback is no pressed button"
ELSEWHERE = "the callback comes from another workspace or channel"
NOT_ONE = "the callback holds no one payload"
UNREADABLE = "the callback's payload cannot be read"


def plain(text):
    return {"type": "plain_text", "text": text, "emoji": False}


def section(text):
    return {"type": "section", "text": plain(text)}


def exact(text):
    shown = {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": text}]}
    return {"type": "rich_text", "elements": [shown]}


def button(text, **more):
    return {"type": "button", "text": plain(text), **more}


OPENED = {"type": "actions", "elements": [button("Open the request", url=SAID.url, action_id="bywire_open")]}
BUTTONS = {
    "type": "actions",
    "block_id": "ap-0123456789ab",
    "elements": [
        button("Approve", style="primary", action_id="bywire_approve", value=SHOWN),
        button("Deny", style="danger", action_id="bywire_deny", value=SHOWN),
    ],
}


def asks(blocks):
    text = "ap-0123456789ab: set_canary_weight on storefront in production"
    return {"text": text, "blocks": blocks, "unfurl_links": False, "unfurl_media": False}


def body_of(press):
    return urlencode({"payload": json.dumps(press)}).encode()


def signed(body, at=AT, secret=SECRET):
    return b"v0=" + hmac.new(secret, b"v0:" + at + b":" + body, hashlib.sha256).hexdigest().encode()


def hear(body, *, at=AT, signature=None, now_ms=NOW, team="T0", place="C0"):
    made = signed(body, at) if signature is None else signature
    return heard(body, at, made, secret=SECRET, team=team, place=place, now_ms=now_ms)


PAYLOAD = body_of(PRESS)
SIGNED = signed(PAYLOAD)


def refusal(body, **changes):
    with pytest.raises(EvidenceError) as caught:
        hear(body, **changes)
    return caught.value.as_json()


def told(why):
    next_step = "check the signing secret and the clock; see docs/gateway.md, channels"
    return {"code": "callback_refused", "message": why, "next_step": next_step}


def test_a_request_that_a_chat_may_answer():
    assert message(SAID, "14:00 UTC") == asks(
        [
            {"type": "header", "text": plain("Approval needed: set_canary_weight")},
            section(
                "storefront, production, medium tier\n"
                "asked by agent:release-controller, owner person:o\n"
                "waits for 2 persons of sre-oncall, release-manager, until 14:00 UTC\n"
                "ap-0123456789ab, packet 0123456789abcdef"
            ),
            exact('{"weight":5}'),
            section("risk: path class: a.yaml\nrisk: blast radius"),
            section("missing: no SBOM"),
            section("contrary: evaluation: 1 of 40 fail\ncontrary: alert"),
            section("uncertain: provenance is SLSA L1"),
            BUTTONS,
            OPENED,
        ]
    )


@pytest.mark.parametrize(
    ("changes", "shown", "why"),
    [
        ({"arguments": "", "is_whole": False}, TOO_LONG, "a verdict needs the whole request"),
        ({"is_whole": False}, '{"weight":5}', "a verdict needs the whole request"),
        ({"tier": "odd"}, '{"weight":5}', "the odd tier takes no verdict from a chat"),
    ],
)
def test_a_request_that_a_chat_may_not_answer_has_no_buttons(changes, shown, why):
    said = msgspec.structs.replace(BARE, may_answer=False, **changes)
    assert message(said, "soon") == asks(
        [
            {"type": "header", "text": plain("Approval needed: set_canary_weight")},
            section(
                f"storefront, production, {said.tier} tier\n"
                "asked by agent:release-controller, owner none\n"
                "waits for any listed approver, until soon\n"
                "ap-0123456789ab, packet 0123456789abcdef"
            ),
            exact(shown),
            section(f"{why}: bywire approvals approve ap-0123456789ab --as NAME"),
            OPENED,
        ]
    )


@pytest.mark.parametrize(
    ("quorum", "roles", "waits"),
    [
        (1, ("sre-oncall",), "sre-oncall"), (1, ("a", "b"), "a, b"), (2, ("sre-oncall",), "2 persons of sre-oncall"),
        (2, (), "2 persons of any listed approver"), (3, ("a", "b", "c"), "3 persons of a, b, c"),
    ],
)  # fmt: skip
def test_who_is_waited_for(quorum, roles, waits):
    said = msgspec.structs.replace(BARE, quorum=quorum, roles=roles)
    text = message(said, "soon")["blocks"][1]["text"]["text"]
    assert text.split("\n")[2] == f"waits for {waits}, until soon"


@pytest.mark.parametrize("kind", ["reasons", "missing", "contrary", "uncertain"])
def test_what_speaks_against_it_stands_alone_when_nothing_else_does(kind):
    said = msgspec.structs.replace(BARE, **{kind: ("one", "two")})
    label = "risk" if kind == "reasons" else kind
    assert message(said, "soon")["blocks"][3:] == [section(f"{label}: one\n{label}: two"), BUTTONS, OPENED]


def test_a_request_that_is_over_has_no_buttons():
    assert decided(SAID, "approved by person:alice") == {
        "text": "ap-0123456789ab: approved by person:alice",
        "blocks": [
            section("ap-0123456789ab: approved by person:alice"),
            section("set_canary_weight on storefront in production, asked by agent:release-controller"),
            exact('{"weight":5}'),
        ],
    }
    assert decided(msgspec.structs.replace(SAID, arguments=""), "expired")["blocks"][2] == exact(TOO_LONG)


def test_a_reminder_says_where_the_request_is():
    blocks = [section("10 minutes left\nhttps://b.example/approvals/ap-0123456789ab")]
    assert reminder(SAID, "10 minutes left") == {"text": "10 minutes left", "blocks": blocks}


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("", ""), ("a b", "a b"), ("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("&lt;", "&amp;lt;"),
        ("<<>>&&", "&lt;&lt;&gt;&gt;&amp;&amp;"), ("\"'*_~`|", "\"'*_~`|"), (MARKUP, SPOKEN_MARKUP),
    ],
)  # fmt: skip
def test_three_characters_are_escaped_and_no_others(text, spoken):
    assert escaped(text) == spoken


def test_text_that_may_be_markup_is_escaped_and_plain_text_is_not():
    said = msgspec.structs.replace(BARE, tool=MARKUP, service="a&b", arguments=MARKUP)
    asked = message(said, "soon")
    assert asked["text"] == f"ap-0123456789ab: {SPOKEN_MARKUP} on a&amp;b in production"
    assert asked["blocks"][0] == {"type": "header", "text": plain(f"Approval needed: {MARKUP}")}
    assert asked["blocks"][2] == exact(MARKUP)
    about = f"{MARKUP} on a&b in production, asked by agent:release-controller"
    over = {"text": f"ap-0123456789ab: {SPOKEN_MARKUP}", "blocks": [section(f"ap-0123456789ab: {MARKUP}")]}
    over["blocks"] += [section(about), exact(MARKUP)]
    assert decided(said, MARKUP) == over
    assert reminder(said, MARKUP) == {"text": SPOKEN_MARKUP, "blocks": [section(f"{MARKUP}\n{SAID.url}")]}


@pytest.mark.parametrize(("chars", "kept"), [(132, 132), (133, 133), (134, 133), (200, 133)])
def test_a_header_has_150_characters_at_most(chars, kept):
    asked = message(msgspec.structs.replace(BARE, tool="t" * chars), "soon")
    assert asked["blocks"][0]["text"] == plain("Approval needed: " + "t" * kept)
    assert asked["text"] == f"ap-0123456789ab: {'t' * chars} on storefront in production"


@pytest.mark.parametrize(("chars", "kept"), [(1, 1), (2_899, 2_899), (2_900, 2_900), (2_901, 2_900)])
def test_plain_text_is_bounded_and_never_empty(chars, kept):
    assert _plain("t" * chars) == plain("t" * kept)
    assert _plain("") == plain("-")


@pytest.mark.parametrize(
    ("action", "verdict"),
    [("bywire_approve", "approved"), ("bywire_deny", "denied"), ("bywire_open", ""), ("Bywire_deny", ""), ("", "")],
)
def test_a_pressed_button_is_a_verdict(action, verdict):
    body = body_of({**PRESS, "actions": [{**PRESS["actions"][0], "action_id": action}]})
    parts = (AT, signed(body))
    once = hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).hexdigest()
    assert hear(body) == Heard("slack", "U0", "ap-0123456789ab", DIGEST, verdict, f"slack:{once}", "")


@pytest.mark.parametrize(
    ("action", "approval", "digest"),
    [
        ({"value": "ap-1|d"}, "ap-1", "d"), ({"value": "ap-1|d|e"}, "ap-1", "d|e"), ({"value": "ap-1|"}, "ap-1", ""),
        ({"value": "|d"}, "", "d"), ({"value": "ap-1"}, "ap-1", ""), ({"value": ""}, "", ""), ({}, "", ""),
    ],
)  # fmt: skip
def test_the_value_of_a_button_names_the_packet_that_was_shown(action, approval, digest):
    found = hear(body_of({**PRESS, "actions": [{"action_id": "bywire_deny", **action}]}))
    assert (found.approval, found.digest, found.verdict) == (approval, digest, "denied")


def test_no_other_field_of_a_callback_is_read():
    more = {
        **{name: {"id": PRESS[name]["id"], "name": "n", "team_id": "T9"} for name in ("user", "team", "channel")},
        "actions": [{**PRESS["actions"][0], "type": "button", "block_id": "ap-9", "text": None}],
        "api_app_id": "A9", "message": {"text": "ap-9"}, "verdict": "denied", "reason": "r",
    }  # fmt: skip
    bare, full = hear(PAYLOAD), hear(body_of({**PRESS, **more}))
    assert bare.once != full.once
    assert msgspec.structs.replace(full, once=bare.once) == bare


def test_a_replay_has_the_same_name_and_another_press_has_not():
    assert hear(PAYLOAD).once == hear(PAYLOAD, now_ms=NOW + 9).once
    assert len({hear(PAYLOAD).once, hear(PAYLOAD, at=b"1790000001").once, hear(PAYLOAD + b"+").once}) == 3


def test_the_example_of_slacks_documentation_is_signed_well():
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    signature = b"v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    example = {"at": b"1531420618", "signature": signature, "now_ms": 1_531_420_618_000}
    assert refusal(body, **example) == told(UNREADABLE)
    assert refusal(body + b"0", **example) == told(FORGED)


@pytest.mark.parametrize(
    "signature",
    [
        b"", b"v0=", b"v0=" + b"0" * 64, b"v0=\xc3\xa9", SIGNED[3:], b"v1=" + SIGNED[3:], SIGNED.upper(), SIGNED[:-1],
        SIGNED + b"\n", signed(PAYLOAD, secret=b"another"), signed(PAYLOAD, at=b"1790000001"), signed(PAYLOAD + b"&"),
    ],
)  # fmt: skip
def test_a_signature_over_anything_else_is_refused(signature):
    assert refusal(PAYLOAD, signature=signature) == told(FORGED)


@pytest.mark.parametrize("late_ms", [-300_000, -299_999, 0, 299_999, 300_000])
def test_five_minutes_are_not_too_late(late_ms):
    assert hear(PAYLOAD, now_ms=NOW + late_ms).member == "U0"


@pytest.mark.parametrize("late_ms", [-NOW, -300_001, 300_001, NOW])
def test_more_than_five_minutes_are_too_late_or_too_early(late_ms):
    assert refusal(PAYLOAD, now_ms=NOW + late_ms) == told(LATE)


def test_a_timestamp_of_twelve_digits_is_read():
    assert hear(PAYLOAD, at=b"001790000000").member == "U0"


@pytest.mark.parametrize(
    "at",
    [
        b"", b"0001790000000", b"9" * 20, b"-1790000000", b"+1790000000", b" 1790000000", b"1790000000\n",
        b"1790000000.0", b"179000000x", b"0x10", b"1_790_000_000", "\u0661".encode(),
    ],
)  # fmt: skip
def test_a_timestamp_of_any_other_form_is_refused(at):
    assert refusal(PAYLOAD, at=at) == told(TOO_LARGE)


def test_a_body_has_a_largest_size():
    room = BODY_BYTES_MAX - len(body_of({**PRESS, "more": ""}))
    below, largest, above = (body_of({**PRESS, "more": "x" * (room + more)}) for more in (-1, 0, 1))
    assert (len(largest), hear(below).member, hear(largest).member) == (BODY_BYTES_MAX, "U0", "U0")
    assert refusal(above) == told(TOO_LARGE)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (PAYLOAD + b"&" + PAYLOAD, NOT_ONE), (PAYLOAD + b"&x=", NOT_ONE), (b"x=&" + PAYLOAD, NOT_ONE),
        (PAYLOAD.replace(b"payload", b"Payload"), NOT_ONE), (PAYLOAD + b"&x=1" * 3, NOT_ONE),
        (PAYLOAD + b"&x=1" * 4, UNREADABLE), (PAYLOAD + b"&x", UNREADABLE), (PAYLOAD + b"&", UNREADABLE),
        (b"payload=", UNREADABLE), (b"payload", UNREADABLE), (b"payload=\xff", UNREADABLE),
        (b"payload=%FF", UNREADABLE), (b"payload=null", UNREADABLE), (b"payload=[]", UNREADABLE),
        (b"payload={}", UNREADABLE), (PAYLOAD[:-3], UNREADABLE), (PAYLOAD + b"x", UNREADABLE),
        (json.dumps(PRESS).encode(), UNREADABLE), (b'payload={"x":' + b"[" * 100_000, UNREADABLE),
    ],
    ids=range(19),
)  # fmt: skip
def test_a_body_that_is_not_one_payload(body, why):
    assert refusal(body) == told(why)


@pytest.mark.parametrize("wrong", [None, 1, True, [], {}, [1], {"id": 1}, {"id": None}])
@pytest.mark.parametrize("name", ["type", "user", "team", "channel", "actions"])
def test_a_field_of_another_type_or_none_at_all(name, wrong):
    why = NO_BUTTON if (name, wrong) == ("actions", []) else UNREADABLE
    assert refusal(body_of({**PRESS, name: wrong})) == told(why)
    assert refusal(body_of({key: PRESS[key] for key in PRESS if key != name})) == told(UNREADABLE)


@pytest.mark.parametrize(
    "action", [{}, {"value": "v"}, {"action_id": 1}, {"action_id": None}, {"action_id": "a", "value": None}, "a", None]
)
def test_an_action_of_another_form(action):
    assert refusal(body_of({**PRESS, "actions": [action]})) == told(UNREADABLE)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"type": "view_submission"}, NO_BUTTON), ({"type": "Block_actions"}, NO_BUTTON), ({"type": ""}, NO_BUTTON),
        ({"actions": []}, NO_BUTTON), ({"actions": PRESS["actions"] * 2}, NO_BUTTON),
        ({"type": "", "actions": []}, NO_BUTTON), ({"type": "", "team": {"id": "T1"}}, NO_BUTTON),
        ({"team": {"id": "T1"}}, ELSEWHERE), ({"channel": {"id": "C1"}}, ELSEWHERE), ({"team": {"id": ""}}, ELSEWHERE),
        ({"team": {"id": "C0"}, "channel": {"id": "T0"}}, ELSEWHERE), ({"team": {"id": "t0"}}, ELSEWHERE),
    ],
)  # fmt: skip
def test_what_is_no_press_of_one_button_in_this_channel(changes, why):
    assert refusal(body_of({**PRESS, **changes})) == told(why)


@pytest.mark.parametrize("ours", [{"team": "T1"}, {"place": "C1"}, {"team": "C0", "place": "T0"}, {"team": ""}])
def test_a_press_in_a_channel_that_is_not_ours(ours):
    assert refusal(PAYLOAD, **ours) == told(ELSEWHERE)


def test_the_first_thing_that_is_wrong_is_the_one_that_is_told():
    late = NOW + 300_001
    assert refusal(b"x" * (BODY_BYTES_MAX + 1), signature=b"", now_ms=late) == told(TOO_LARGE)
    assert refusal(b"x", at=b"x", signature=b"", now_ms=late) == told(TOO_LARGE)
    assert refusal(b"x", signature=b"", now_ms=late) == told(FORGED)
    assert refusal(b"x", now_ms=late) == told(LATE)
    assert refusal(b"x") == told(UNREADABLE)


def test_text_of_a_form_is_read_as_utf_8():
    raw = json.dumps({**PRESS, "user": {"id": "Ué"}}, ensure_ascii=False)
    assert hear(f"payload={quote_plus(raw)}".encode()).member == "Ué"
    assert hear(f"payload={raw}".encode()).member == "Ué"


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (_Named("U0"), "id"), (_Action("bywire_deny"), "value"),
        (_Payload("block_actions", _Named("U0"), _Named("T0"), _Named("C0"), []), "type"),
    ],
)  # fmt: skip
def test_what_was_heard_cannot_be_changed(made, name):
    with pytest.raises(AttributeError):
        setattr(made, name, "another")
