"""A channel's word that a person said something: who it was, whether they may, and up to which tier it counts.

A channel lacks the person's key, so that it signs with its own and says so (RULES 19). Whoever holds a platform's
signing secret can say anything in the name of the people who are mapped there: what that can permit is `channel_tiers`,
and nothing above it is even stored. Denials are heard at every tier. The policy looks at all of it again at each use.
"""

from functools import cached_property
from typing import Any

import msgspec

from bywire.adapters.channel_store import ChannelStore
from bywire.adapters.operator_secret import secret_text
from bywire.adapters.sqlite_approvals import ApprovalRow
from bywire.approvals.channel_heard import WINDOW_MS, Heard, refused
from bywire.approvals.channel_text import Asked, asked
from bywire.approvals.packet import Packet, differences, sign_verdict
from bywire.gateway.redaction import Redactor
from bywire.model.errors import BywireError, ConfigError, ConflictError, EvidenceError
from bywire.model.gateway import GatewayConfig
from bywire.model.gateway_credentials import Found
from bywire.model.principal import KeyRole
from bywire.seal.digest import same_digest
from bywire.seal.keys import SigningKey
from bywire.wiring.approval_view import state_of
from bywire.wiring.approving import found_row, record_verdict, roles_of
from bywire.wiring.door import DeliveryFacts, Shelf
from bywire.wiring.key_changes import introduce_key
from bywire.wiring.standing import WorkspaceStanding
from bywire.wiring.workspace import Workspace

WEB, SLACK, TEAMS, WEBHOOK = "web", "slack", "teams", "webhook"
APPROVED, DENIED = "approved", "denied"
DIGEST_DIGITS_MIN = 16


class Settled(msgspec.Struct, frozen=True):
    """A verdict that was taken: whose it is, its ledger index, and how the request stands now."""

    approval: str
    person: str
    verdict: str
    entry: int
    state: str


class ApprovalChannels:
    """The channels of one gateway. Thread-safe. `hear` and `assert_verdict` raise; nothing that raised was stored."""

    def __init__(self, workspace: Workspace, settings: GatewayConfig, standing: WorkspaceStanding) -> None:
        self.workspace = workspace
        self.settings = settings
        self.channels = settings.channels
        self.store = ChannelStore(workspace.writer, workspace.reader)
        self._standing = standing
        self._redactor = Redactor(workspace.workspace_key, settings.inspection)
        self._keys: dict[str, SigningKey] = {}

    @property
    def configured(self) -> tuple[str, ...]:
        """The channels that tell."""
        return tuple(name for name in (SLACK, TEAMS, WEBHOOK) if getattr(self.channels, name) is not None)

    @cached_property
    def facts(self) -> DeliveryFacts:
        """Who wrote a change."""
        return DeliveryFacts(self.workspace, Shelf(self.workspace))

    def secret(self, found: Found | None) -> str:
        """A platform's secret. ConflictError `not_found` where the channel is not configured."""
        if found is None:
            raise ConflictError("there is no such channel", code="not_found", next_step="add it to gateway.yaml")
        return secret_text(found)

    def hear(self, heard: Heard) -> Settled:
        """A verdict that a chat or another system heard; once a message.

        Raises EvidenceError `callback_refused`, `callback_replayed`, `member_unknown`, or as `assert_verdict`.
        """
        now_ms = self.workspace.clock.now_ms()
        # Twice the window: a message may be from five minutes ahead.
        if not self.store.heard_first(heard.once, now_ms, now_ms + 2 * WINDOW_MS):
            raise EvidenceError(
                "this message was heard before", code="callback_replayed", next_step="look at the request again"
            )
        person = self.channels.people(heard.channel).get(heard.member)
        if person is None:
            raise EvidenceError(
                f"nobody is known here as {heard.member[:64]}",
                code="member_unknown",
                next_step=f"an operator adds you under channels.{heard.channel}.people in gateway.yaml",
            )
        return self.assert_verdict(heard, person)

    def assert_verdict(self, heard: Heard, person: str) -> Settled:
        """Sign and store what a person said on a channel.

        1. The request waits, and it is the very packet that was shown. 2. Its tier is one that takes a channel's word.
        3. It was shown whole there. 4. The person neither asked, nor owns the agent, nor wrote the change. 5. They hold
        a role that counts. 6. The channel's own key signs, and the verdict is verified like any other's.
        Raises EvidenceError `approval_changed`, `channel_capped`, `duties_separated`, `approval_role`; ConflictError
        `approval_settled`, `not_found`.
        """
        if heard.verdict not in {APPROVED, DENIED}:
            raise refused("a verdict is to approve or to deny")
        workspace, now_ms = self.workspace, self.workspace.clock.now_ms()
        row = found_row(workspace.approvals.row(heard.approval), heard.approval)
        self.check_current(row, heard.digest, now_ms)
        if heard.verdict == APPROVED:
            self._check_may_permit(row, heard.channel, person)
        role = self._role(person, row.packet.roles)
        key = self._key(heard.channel)
        envelope = sign_verdict(
            row.packet, heard.verdict, person, role, heard.reason, now_ms, key, channel=heard.channel
        )
        entry = record_verdict(workspace, envelope)
        after = found_row(workspace.approvals.row(heard.approval), heard.approval)
        return Settled(heard.approval, person, heard.verdict, entry, state_of(after, now_ms))

    def why_not(self, packet: Packet, channel: str) -> str:
        """Why this channel's word does not permit it; empty when it may."""
        if channel == WEB and not self.channels.web.verdicts:
            return "this page takes no verdicts: channels.web.verdicts in gateway.yaml"
        gates = self.workspace.bundle().tables.get("gates", {})
        tiers = gates.get("channel_tiers", ()) if isinstance(gates, dict) else ()
        if packet.tier not in tiers:
            allowed = ", ".join(map(str, tiers)) or "no tier"
            return f"it is of {packet.tier} tier, and a channel's word counts for {allowed} only"
        if channel != WEB and not self._shown(packet).is_whole:
            return "its arguments are too long to be shown whole there"
        return ""

    def asked(self, packet: Packet, channel: str) -> Asked:
        """What a chat is told of a request; `may_answer` without looking at who reads it."""
        answers = self._hears(channel) and not self.why_not(packet, channel)
        return msgspec.structs.replace(self._shown(packet), may_answer=answers)

    def owner(self, principal: str) -> str:
        """Who answers for an agent."""
        try:
            registration = self._standing.registration(principal)
        except BywireError:
            return ""
        return registration.owner if registration is not None else ""

    def changed(self, row: ApprovalRow) -> tuple[str, ...]:
        """What a later request for the same differs in from this one; empty when there is none."""
        for other in self.workspace.approvals.rows():
            if other.packet.supersedes == row.packet.id:
                return (f"asked again as {other.packet.id}", *differences(row.packet, other.packet))
        return ()

    def display(self, text: str) -> str:
        """Text with what is sensitive masked."""
        return self._redactor.display(text)

    def _shown(self, packet: Packet) -> Asked:
        return asked(
            packet,
            url=f"{self.settings.url}/approvals/{packet.id}",
            owner=self.owner(packet.requester),
            may_answer=False,
            display=self._redactor.shown,
        )

    def _hears(self, channel: str) -> bool:
        if channel == WEBHOOK:
            return self.channels.webhook is not None and self.channels.webhook.verdict_secret is not None
        return bool(self.channels.people(channel))

    def check_current(self, row: ApprovalRow, digest: str, now_ms: int) -> None:
        """That it still waits, and is what was shown. Raises `approval_settled`, `approval_changed`."""
        state = state_of(row, now_ms)
        if state != "pending":
            raise ConflictError(
                f"{row.packet.id} is {state}{self._and(row)}",
                code="approval_settled",
                next_step=f"look at it again: {self.settings.url}/approvals/{row.packet.id}",
            )
        shown = row.packet.digest[: len(digest)]
        if len(digest) < DIGEST_DIGITS_MIN or not same_digest(shown, digest):
            raise EvidenceError(
                f"{row.packet.id} is not the packet that was shown{self._and(row)}",
                code="approval_changed",
                next_step=f"look at it again: {self.settings.url}/approvals/{row.packet.id}",
            )

    def _and(self, row: ApprovalRow) -> str:
        found = "; ".join(self.changed(row))
        return f"; {found[:500]}" if found else ""

    def _check_may_permit(self, row: ApprovalRow, channel: str, person: str) -> None:
        packet = row.packet
        why = self.why_not(packet, channel)
        if why:
            raise EvidenceError(
                f"{packet.id} stays pending: {why}",
                code="channel_capped",
                next_step=f"sign with your own key: bywire approvals approve {packet.id} --as NAME",
            )
        duty = self._duty(packet, person)
        if duty:
            raise EvidenceError(
                f"{packet.id} stays pending: {person} {duty}",
                code="duties_separated",
                next_step="another person who holds a role answers it",
            )

    def _duty(self, packet: Packet, person: str) -> str:
        """What keeps a person from agreeing, whatever role they hold. Raises what keeps us from knowing."""
        registration = self._standing.registration(packet.requester)
        owners = {self.workspace.operator.agents_owner, registration.owner if registration is not None else ""}
        if person == packet.requester:
            return "asked for it"
        if person in owners:
            return "owns the agent that asks"
        change, _, _ = self.facts.facts_for(str(packet.action.get("change") or ""))
        if person in change.get("authors", ()) or person in change.get("patch_authors", ()):
            return "wrote the change"
        return ""

    def _role(self, person: str, wanted: tuple[str, ...]) -> str:
        held = [role for role in roles_of(self.workspace.operator, person) if not wanted or role in wanted]
        if not held:
            raise EvidenceError(
                f"{person} holds no role that counts here: {', '.join(wanted) or 'none listed'}",
                code="approval_role",
                next_step="ask a person who holds one; roles are listed in operator.yaml under people",
            )
        return held[0]

    def _key(self, channel: str) -> SigningKey:
        """The channel's key in this workspace, drawn and logged when it is first needed. ConfigError `key_retired`."""
        principal = f"workload:{channel}"
        known = introduce_key(self.workspace, KeyRole.CHANNEL, principal, self.workspace.operator.agents_owner)
        found = self._keys.get(channel)
        if found is None or found.key_id != known.key_id:
            found = self._keys[channel] = self.workspace.keys.load(KeyRole.CHANNEL, principal)
        return found

    def prepare(self) -> dict[str, Any]:
        """Make sure that what is configured is there: secrets and keys. Raises ConfigError; returns what hears."""
        hearing = [name for name in self.configured if self._hears(name)]
        for name in hearing + ([WEB] if self.channels.web.verdicts else []):
            self._key(name)
        slack, teams, webhook = self.channels.slack, self.channels.teams, self.channels.webhook
        for found in (
            *((slack.token, slack.signing_secret) if slack else ()),
            *((teams.url, teams.secret) if teams else ()),
            *((webhook.secret, webhook.verdict_secret) if webhook else ()),
        ):
            if found is not None:
                secret_text(found)
        unknown = sorted(
            {person for name in self.configured for person in self.channels.people(name).values()}
            - {person.id for person in self.workspace.operator.people}
        )
        if unknown:
            raise ConfigError(
                f"gateway.yaml maps members to {unknown[0]}, who is not one of the people",
                code="person_unknown",
                next_step="add them to operator.yaml, or correct channels in gateway.yaml",
            )
        return {"tells": list(self.configured), "hears": hearing}
