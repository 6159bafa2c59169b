"""Sending what a channel is to be told: Slack's Web API, a Teams workflow, a signed webhook; each one origin only.

A sender returns what the platform calls the message, so that it can be changed later, and raises TargetError or
TimeoutError for one that did not arrive. What a platform answers is never repeated: it may quote what it was sent.
"""

from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

from bywire.adapters.pinned_http import Answer, PinnedHttp, parse_origin
from bywire.approvals import channel_slack, channel_teams, channel_webhook
from bywire.approvals.channel_text import Asked
from bywire.model.errors import TargetError
from bywire.model.gateway_channels import SlackChannel, WebhookChannel

SEND_SECONDS = 10.0
REQUESTED, REMINDER, ESCALATED, ENDED = "requested", "reminder", "escalated", "ended"
_JSON = {"Content-Type": "application/json; charset=utf-8"}


class Message(msgspec.Struct, frozen=True):
    """One thing to tell. `reference` is what the platform called the message that asked; `told` says it in words."""

    kind: str
    event: str
    asked: Asked
    until: str
    told: str
    reference: str
    at_ms: int


class Sender(Protocol):
    """A way to one channel."""

    def send(self, message: Message) -> str:
        """Send it; returns what the platform calls it. TargetError or TimeoutError."""
        ...

    def close(self) -> None:
        """Give connections back."""
        ...


class SlackSender:
    """chat.postMessage, chat.update and chat.postEphemeral with a bot's token."""

    def __init__(self, said: SlackChannel, token: str) -> None:
        self._http = PinnedHttp(parse_origin(said.address, private=said.private), timeout_seconds=SEND_SECONDS)
        self._headers = {**_JSON, "Authorization": f"Bearer {token}"}
        self._channel = said.channel

    def send(self, message: Message) -> str:
        """Ask, answer in the thread, or change what asked."""
        if message.kind == ENDED and message.reference:
            document = {**channel_slack.decided(message.asked, message.told), "ts": message.reference}
            return self._call("chat.update", document)
        if message.kind == REQUESTED:
            return self._call("chat.postMessage", channel_slack.message(message.asked, message.until))
        document = channel_slack.reminder(message.asked, message.told)
        return self._call("chat.postMessage", {**document, **_thread(message)})

    def whisper(self, member: str, text: str) -> None:
        """Tell one member, where only they see it."""
        said = {"user": member, "text": channel_slack.escaped(text), "link_names": False}
        self._call("chat.postEphemeral", said)

    def close(self) -> None:
        """Give connections back."""
        self._http.close()

    def _call(self, method: str, document: dict[str, Any]) -> str:
        body = msgspec.json.encode({"channel": self._channel, **document})
        answer = self._http.send("POST", f"/api/{method}", self._headers, body)
        _check(answer, "Slack")
        try:
            said = msgspec.json.decode(answer.body, type=_SlackAnswer)
        except (ValueError, RecursionError) as error:
            raise _refused("Slack", "an answer that is none") from error
        if not said.ok:
            raise _refused("Slack", said.error if said.error.replace("_", "").isalnum() else "an error")
        return said.ts


class TeamsSender:
    """A workflow's webhook: `url` is a secret, whose query carries the signature."""

    def __init__(self, url: str, *, private: bool) -> None:
        parts = urlsplit(url)
        origin = parse_origin(f"{parts.scheme}://{parts.netloc}", private=private)
        self._http = PinnedHttp(origin, timeout_seconds=SEND_SECONDS)
        self._path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"

    def send(self, message: Message) -> str:
        """A card each time: what a workflow posted cannot be changed."""
        if message.kind == REQUESTED:
            document = channel_teams.message(message.asked, message.until)
        else:
            document = channel_teams.told(message.asked, message.told)
        _check(self._http.send("POST", self._path, _JSON, msgspec.json.encode(document)), "Teams")
        return ""

    def close(self) -> None:
        """Give connections back."""
        self._http.close()


class WebhookSender:
    """Standard Webhooks to one URL. The id is the same each time one event is tried."""

    def __init__(self, said: WebhookChannel, secret: str) -> None:
        parts = urlsplit(said.url)
        origin = parse_origin(f"{parts.scheme}://{parts.netloc}", private=said.private)
        self._http = PinnedHttp(origin, timeout_seconds=SEND_SECONDS)
        self._path, self._secret = parts.path or "/", secret

    def send(self, message: Message) -> str:
        """One event."""
        identifier = f"{message.asked.id}.{message.event}"
        body = channel_webhook.event(f"approval.{message.kind}", message.asked, {"told": message.told})
        headers = channel_webhook.headers(identifier, message.at_ms // 1_000, body, self._secret)
        _check(self._http.send("POST", self._path, headers, body), "the webhook")
        return identifier

    def close(self) -> None:
        """Give connections back."""
        self._http.close()


class _SlackAnswer(msgspec.Struct, frozen=True):
    ok: bool
    ts: str = ""
    error: str = ""


def _thread(message: Message) -> dict[str, str]:
    return {"thread_ts": message.reference} if message.reference else {}


def _check(answer: Answer, who: str) -> None:
    if not 200 <= answer.status < 300:
        raise _refused(who, f"status {answer.status}")


def _refused(who: str, what: str) -> TargetError:
    return TargetError(f"{who} answered {what}", code="channel_failed", next_step="bywire approvals channels")
