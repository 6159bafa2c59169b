"""Telling channels what waits, whom it waits for, and how it ended; each on a thread of its own.

What is to be told follows from the stored requests alone, so that nothing is forgotten when a process ends. A message
that does not arrive is tried again, ever more slowly, and given up at last; `bywire approvals channels` counts those.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from bywire.adapters.channel_senders import (
    ENDED,
    ESCALATED,
    REMINDER,
    REQUESTED,
    Message,
    Sender,
    SlackSender,
    TeamsSender,
    WebhookSender,
)
from bywire.adapters.channel_store import SENT, Told
from bywire.adapters.sqlite_approvals import ApprovalRow
from bywire.approvals import reminders
from bywire.model.errors import BywireError
from bywire.wiring.approval_view import state_of
from bywire.wiring.approving import progress
from bywire.wiring.channels import SLACK, TEAMS, ApprovalChannels

ROUND_SECONDS = 1.0
# What changes with time alone: requests that expire.
LOOK_MS = 15_000
REQUESTS_MAX = 200
_logger = logging.getLogger("bywire.channels")


@contextmanager
def telling(channels: ApprovalChannels) -> Iterator[tuple["Telling", ...]]:
    """Tell every configured channel until the block ends. Raises ConfigError for a secret that is not there."""
    channels.prepare()
    stop = threading.Event()
    with ExitStack() as held:
        found = tuple(Telling(channels, name, sender(channels, name)) for name in channels.configured)
        for one in found:
            held.callback(one.sender.close)
            thread = threading.Thread(target=one.run, args=(stop,), name=f"bywire-channel-{one.name}")
            thread.start()
            held.callback(thread.join)
        held.callback(stop.set)
        yield found


def sender(channels: ApprovalChannels, name: str) -> Sender:
    """The way to a channel. ConfigError when its secret is not there, ConflictError `not_found` when it is not."""
    said = channels.channels
    if name == SLACK and said.slack is not None:
        return SlackSender(said.slack, channels.secret(said.slack.token))
    if name == TEAMS and said.teams is not None:
        return TeamsSender(channels.secret(said.teams.url), private=said.teams.private)
    secret = channels.secret(said.webhook.secret if said.webhook is not None else None)
    assert said.webhook is not None  # noqa: S101  `secret` has raised otherwise
    return WebhookSender(said.webhook, secret)


class Telling:
    """One channel. `round` is one look at what is to be told."""

    def __init__(self, channels: ApprovalChannels, name: str, way: Sender) -> None:
        self.name = name
        self.sender = way
        self._channels = channels
        self._seen = -1
        self._look_ms = 0

    def run(self, stop: threading.Event) -> None:
        """Rounds until `stop` is set."""
        while not stop.is_set():
            try:
                self.round(stop.is_set)
            except BywireError as error:
                _logger.warning("channel %s: %s", self.name, error.code)
            stop.wait(ROUND_SECONDS)

    def round(self, stopped: Callable[[], bool] = lambda: False) -> int:
        """Tell what is due; returns how many messages were sent or failed."""
        workspace, now_ms = self._channels.workspace, self._channels.workspace.clock.now_ms()
        version, tried = workspace.reader.data_version(), 0
        if version == self._seen and now_ms < self._look_ms:
            return 0
        self._seen, self._look_ms = version, now_ms + LOOK_MS
        for about in self._channels.store.open_requests(self.name, now_ms, REQUESTS_MAX):
            row = workspace.approvals.row(about)
            for message in self._due(row, now_ms) if row is not None else ():
                if stopped():
                    return tried
                tried += self._tell(message, now_ms)
        return tried

    def _due(self, row: ApprovalRow, now_ms: int) -> list[Message]:
        """What this channel was not told yet, in order."""
        told = self._channels.store.told(row.packet.id, self.name)
        asked = told.get(REQUESTED)
        pending = state_of(row, now_ms) == "pending"
        for one in told.values():
            if one.state == "waiting":
                self._look_ms = min(self._look_ms, one.next_ms)
        if asked is None or asked.state != SENT:
            wanted = [(REQUESTED, REQUESTED)] if pending and (asked is None or asked.state == "waiting") else []
        elif pending:
            wanted = [(ESCALATED if name == reminders.ESCALATED else REMINDER, name) for name in row.reminded]
        else:
            wanted = [(ENDED, ENDED)]
        return [
            self._message(row, kind, event, asked, now_ms) for kind, event in wanted if _open(told.get(event), now_ms)
        ]

    def _message(self, row: ApprovalRow, kind: str, event: str, asked: Told | None, now_ms: int) -> Message:
        return Message(
            kind=kind,
            event=event,
            asked=self._channels.asked(row.packet, self.name),
            until=moment(row.packet.expires_at_ms),
            told=self._words(row, kind, now_ms),
            reference=asked.reference if asked is not None else "",
            at_ms=now_ms,
        )

    def _words(self, row: ApprovalRow, kind: str, now_ms: int) -> str:
        standing = progress(self._channels.workspace, row, now_ms)
        if kind == ENDED:
            agreed = ", ".join(f"{one.approver} ({one.asserted_by})" for one in standing.agreed)
            by = standing.denied_by or (standing.revocation.person if standing.revocation else "") or agreed
            return f"{state_of(row, now_ms)}{f' by {by}' if by else ''}"
        who = ", ".join(standing.escalated_to if kind == ESCALATED else standing.may_answer) or "nobody who could"
        return f"{row.packet.id} waits for {who}: answer by {moment(row.packet.expires_at_ms)}"

    def _tell(self, message: Message, now_ms: int) -> int:
        store, about = self._channels.store, message.asked.id
        if not store.claim(about, self.name, message.event, now_ms):
            return 0
        try:
            reference = self.sender.send(message)
        except (BywireError, OSError) as error:
            store.failed(about, self.name, message.event, self._channels.workspace.clock.now_ms(), final=False)
            _logger.warning("channel %s: %s", self.name, getattr(error, "code", type(error).__name__))
        else:
            store.sent(about, self.name, message.event, reference)
        return 1


def moment(at_ms: int) -> str:
    """A time for people, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _open(told: Told | None, now_ms: int) -> bool:
    return told is None or (told.state == "waiting" and told.next_ms <= now_ms)
