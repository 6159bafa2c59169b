"""Teams: an Adaptive Card that asks, and the signed message of an outgoing webhook that answers.

A card that came by a workflow's webhook cannot carry a person's answer back, so it names the words that do: people
write them to the outgoing webhook, and Teams signs what they wrote. Source: Microsoft's "Create outgoing webhooks".
"""

import base64
import binascii
import html
import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from bywire.approvals.channel_heard import Heard, check_mac, check_window, mac, once, refused
from bywire.approvals.channel_text import Asked

NAME = "teams"
BODY_BYTES_MAX = 65_536
VERDICT_OF = {"approve": "approved", "deny": "denied"}
DIGEST_SHOWN = 16
_MENTION = re.compile(r"<at>[^<]{0,200}</at>")
_TAG = re.compile(r"</?(?:p|div|span|br)\s*/?>")
_WORDS = re.compile(r"(approve|deny)\s+(ap-[0-9a-f]{12})\s+([0-9a-f]{16,64})(?:\s+(.{1,500}))?", re.DOTALL)


class _From(msgspec.Struct, frozen=True):
    aadObjectId: str  # noqa: N815  the platform's own name


class _Tenant(msgspec.Struct, frozen=True):
    id: str


class _ChannelData(msgspec.Struct, frozen=True):
    tenant: _Tenant


class _Activity(msgspec.Struct, frozen=True):
    type: str
    id: str
    timestamp: str
    from_: _From = msgspec.field(name="from")
    channelData: _ChannelData = msgspec.field()  # noqa: N815
    text: str = ""


def message(said: Asked, until: str) -> dict[str, Any]:
    """The card that asks."""
    facts = {
        "action": f"{said.tool} on {said.service} in {said.environment}",
        "tier": said.tier,
        "requested by": said.requester,
        "owner": said.owner or "none",
        "waits for": ", ".join(said.roles) or "any listed approver",
        "persons": str(said.quorum),
        "until": until,
        "packet": said.digest[:DIGEST_SHOWN],
    }
    rows = (
        ("risk", said.reasons),
        ("missing", said.missing),
        ("contrary", said.contrary),
        ("uncertain", said.uncertain),
    )
    body = [
        _text(f"Approval needed: {said.tool}", weight="Bolder", size="Medium"),
        {"type": "FactSet", "facts": [{"title": name, "value": escaped(value)} for name, value in facts.items()]},
        _exactly(said),
        *(_text(f"{label}: {text}") for label, found in rows for text in found),
        _text(_answer(said)),
    ]
    return _card(body, said.url)


def told(said: Asked, text: str) -> dict[str, Any]:
    """A reminder, or how it ended. A workflow's card cannot be changed, so that this is a card of its own."""
    return _card([_text(f"{said.id}: {text}", weight="Bolder"), _text(f"{said.tool} on {said.service}")], said.url)


def heard(body: bytes, authorization: bytes, *, secret: str, tenant: str, now_ms: int) -> Heard:
    """What a person wrote to the outgoing webhook.

    1. The HMAC is Teams' over exactly this body. 2. The time in it is five minutes away at most. 3. It comes from our
    directory. 4. It is one verdict on one packet. Raises EvidenceError `callback_refused`.
    """
    said = authorization.removeprefix(b"HMAC ")
    if said == authorization or len(body) > BODY_BYTES_MAX:
        raise refused("the callback is not signed, or too large")
    check_mac(said, base64.b64encode(mac(secret_bytes(secret), body)))
    activity = _activity(body)
    check_window(_at_ms(activity.timestamp), now_ms)
    if activity.type != "message" or activity.channelData.tenant.id != tenant:
        raise refused("the callback is no message of our directory")
    words = _WORDS.fullmatch(_plain(activity.text))
    if words is None:
        raise refused("write: approve ap-... PACKET, or deny ap-... PACKET REASON")
    return Heard(
        channel=NAME,
        member=activity.from_.aadObjectId,
        approval=words[2],
        digest=words[3],
        verdict=VERDICT_OF[words[1]],
        once=once(NAME, said),
        reason=(words[4] or "").strip(),
    )


def secret_bytes(secret: str) -> bytes:
    """The key in a webhook's security token, which is Base64."""
    try:
        found = base64.b64decode(secret, validate=True)
    except (ValueError, binascii.Error) as error:
        raise refused("the security token is not Base64") from error
    if len(found) < 16:
        raise refused("the security token is too short")
    return found


def escaped(text: str) -> str:
    """Text without Markdown: the characters that Adaptive Cards read as markup lose their meaning."""
    return re.sub(r"([\\`*_\[\]()#!|<>~-])", r"\\\1", text)


def _answer(said: Asked) -> str:
    if said.may_answer:
        words = f"{said.id} {said.digest[:DIGEST_SHOWN]}"
        return f"To answer, mention the webhook: approve {words} or deny {words} REASON"
    why = f"The {said.tier} tier takes no verdict from a chat" if said.is_whole else "A verdict needs the whole request"
    return f"{why}: bywire approvals approve {said.id} --as NAME"


def _exactly(said: Asked) -> dict[str, Any]:
    """A text run is shown as it is: it knows no Markdown."""
    text = said.arguments or "too long to be shown here whole: open the request"
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, "fontType": "Monospace"}]}


def _text(text: str, **more: str) -> dict[str, Any]:
    return {"type": "TextBlock", "text": escaped(text), "wrap": True, **more}


def _card(body: list[dict[str, Any]], url: str) -> dict[str, Any]:
    content = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "actions": [{"type": "Action.OpenUrl", "title": "Open the request", "url": url}],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": content}
    return {"type": "message", "attachments": [attachment]}


def _activity(body: bytes) -> _Activity:
    try:
        return msgspec.json.decode(body, type=_Activity)
    except (ValueError, RecursionError) as error:
        raise refused("the callback cannot be read") from error


def _at_ms(text: str) -> int:
    """RFC 3339 with up to seven digits of a second, as .NET writes it."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,7})?Z", text, re.ASCII)
    try:
        at = datetime.fromisoformat(found[1]) if found else None
    except ValueError:
        at = None
    if at is None:
        raise refused("the callback has no time")
    return int(at.replace(tzinfo=UTC).timestamp()) * 1_000


def _plain(text: str) -> str:
    """What was written, without the mention and the markup around it."""
    return " ".join(html.unescape(_TAG.sub(" ", _MENTION.sub(" ", text[:4_096]))).split())
