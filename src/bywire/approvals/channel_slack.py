"""Slack: a Block Kit message that asks, and the signed callback of its buttons.

Sources: Slack's "Verifying requests from Slack" (v0), "Block Kit: blocks" and "block_actions payload". Exact arguments
stand in a preformatted rich text block, which knows no markup; everything else is plain text.
"""

from typing import Any
from urllib.parse import parse_qsl

import msgspec

from bywire.approvals.channel_heard import Heard, check_mac, check_window, mac, once, refused
from bywire.approvals.channel_text import Asked

NAME = "slack"
APPROVE, DENY = "bywire_approve", "bywire_deny"
VERDICT_OF = {APPROVE: "approved", DENY: "denied"}
BODY_BYTES_MAX = 262_144
_FIELDS_MAX = 4


class _Named(msgspec.Struct, frozen=True):
    id: str


class _Action(msgspec.Struct, frozen=True):
    action_id: str
    value: str = ""


class _Payload(msgspec.Struct, frozen=True):
    type: str
    user: _Named
    team: _Named
    channel: _Named
    actions: list[_Action]


def message(said: Asked, until: str) -> dict[str, Any]:
    """The message that asks. `until` is the expiry in words."""
    about = f"{said.tool} on {said.service} in {said.environment}"
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": _plain(f"Approval needed: {said.tool}", 150)},
        {"type": "section", "text": _plain(_summary(said, until))},
        _exactly(said),
        *({"type": "section", "text": _plain(text)} for text in _against(said)),
    ]
    if said.may_answer:
        blocks.append(_buttons(said))
    else:
        blocks.append({"type": "section", "text": _plain(_elsewhere(said))})
    blocks.append(
        {
            "type": "actions",
            "elements": [
                {"type": "button", "text": _plain("Open the request"), "url": said.url, "action_id": "bywire_open"}
            ],
        }
    )
    return {"text": escaped(f"{said.id}: {about}"), "blocks": blocks, "unfurl_links": False, "unfurl_media": False}


def decided(said: Asked, told: str) -> dict[str, Any]:
    """What takes the message's place once it is over: no buttons any more."""
    about = f"{said.tool} on {said.service} in {said.environment}, asked by {said.requester}"
    return {
        "text": escaped(f"{said.id}: {told}"),
        "blocks": [
            {"type": "section", "text": _plain(f"{said.id}: {told}")},
            {"type": "section", "text": _plain(about)},
            _exactly(said),
        ],
    }


def reminder(said: Asked, told: str) -> dict[str, Any]:
    """A reminder, in the thread of the message that asked."""
    return {"text": escaped(told), "blocks": [{"type": "section", "text": _plain(f"{told}\n{said.url}")}]}


def heard(
    body: bytes, timestamp: bytes, signature: bytes, *, secret: bytes, team: str, place: str, now_ms: int
) -> Heard:
    """A pressed button.

    1. The signature is Slack's over exactly this body and timestamp. 2. It is five minutes old at most. 3. It comes
    from our workspace and channel. 4. It is one press of one of our buttons. Raises EvidenceError `callback_refused`.
    """
    if not timestamp.isdigit() or len(timestamp) > 12 or len(body) > BODY_BYTES_MAX:
        raise refused("the callback has no timestamp, or is too large")
    expected = b"v0=" + mac(secret, b"v0:" + timestamp + b":" + body).hex().encode()
    check_mac(signature, expected)
    check_window(int(timestamp) * 1_000, now_ms)
    said = _payload(body)
    if said.type != "block_actions" or len(said.actions) != 1:
        raise refused("the callback is no pressed button")
    if (said.team.id, said.channel.id) != (team, place):
        raise refused("the callback comes from another workspace or channel")
    action = said.actions[0]
    approval, _, digest = action.value.partition("|")
    return Heard(
        channel=NAME,
        member=said.user.id,
        approval=approval,
        digest=digest,
        verdict=VERDICT_OF.get(action.action_id, ""),
        once=once(NAME, timestamp, signature),
    )


def escaped(text: str) -> str:
    """Slack's three control characters, as its documentation has them escaped."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _payload(body: bytes) -> _Payload:
    try:
        fields = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, strict_parsing=True, max_num_fields=_FIELDS_MAX
        )
        if [name for name, _ in fields] != ["payload"]:
            raise refused("the callback holds no one payload")
        return msgspec.json.decode(fields[0][1], type=_Payload)
    except (ValueError, RecursionError) as error:
        raise refused("the callback's payload cannot be read") from error


def _buttons(said: Asked) -> dict[str, Any]:
    """The packet's digest travels with the press: what was seen is what is answered."""
    value = f"{said.id}|{said.digest}"
    return {
        "type": "actions",
        "block_id": said.id,
        "elements": [
            {"type": "button", "style": "primary", "text": _plain("Approve"), "action_id": APPROVE, "value": value},
            {"type": "button", "style": "danger", "text": _plain("Deny"), "action_id": DENY, "value": value},
        ],
    }


def _exactly(said: Asked) -> dict[str, Any]:
    text = said.arguments or "too long to be shown here whole: open the request"
    element = {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": text}]}
    return {"type": "rich_text", "elements": [element]}


def _summary(said: Asked, until: str) -> str:
    who = ", ".join(said.roles) or "any listed approver"
    asks = f"{said.quorum} persons of {who}" if said.quorum > 1 else who
    return (
        f"{said.service}, {said.environment}, {said.tier} tier\nasked by {said.requester}, owner {said.owner or 'none'}"
        f"\nwaits for {asks}, until {until}\n{said.id}, packet {said.digest[:16]}"
    )


def _against(said: Asked) -> list[str]:
    rows = (
        ("risk", said.reasons),
        ("missing", said.missing),
        ("contrary", said.contrary),
        ("uncertain", said.uncertain),
    )
    return ["\n".join(f"{label}: {text}" for text in found) for label, found in rows if found]


def _elsewhere(said: Asked) -> str:
    why = f"the {said.tier} tier takes no verdict from a chat" if said.is_whole else "a verdict needs the whole request"
    return f"{why}: bywire approvals approve {said.id} --as NAME"


def _plain(text: str, most: int = 2_900) -> dict[str, Any]:
    return {"type": "plain_text", "text": text[:most] or "-", "emoji": False}
